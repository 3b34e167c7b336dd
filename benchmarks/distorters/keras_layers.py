"""Keras' preprocessing layers in tf.data: nearest-neighbor rotation, then Gaussian blur, a batch at a time.

tf.data uses one thread, within operations and between them. Each image has its own angle; the layer draws one sigma
along x and one along y of the blur for the whole batch. The window of the blur is the layer's default, 3 x 3 pixels,
which is too narrow for a sigma of 1.2: `keras_layers_wide` has 7 x 7. The input is uint8; the output is float32 in
[0, 255], as the layers return it. There is no shear, scale, sine or sharpening.
"""

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from distorters.ranges import BATCH, DEGREES, SIGMA

KIND = "glyphs"
REQUIRES = {"keras": "keras", "tensorflow": "tensorflow"}


def distorter(images: np.ndarray, window: int = 3) -> Callable[[], Iterator[np.ndarray]]:
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    rotation = keras.layers.RandomRotation(
        DEGREES / 360, fill_mode="constant", fill_value=0, interpolation="nearest", seed=1
    )
    # A factor of 1 blurs every image.
    blur = keras.layers.RandomGaussianBlur(factor=(1.0, 1.0), kernel_size=window, sigma=SIGMA, seed=2)
    whole = tf.constant(images)
    starts = range(0, len(images), BATCH)
    batches = tf.data.Dataset.range(0, len(images), BATCH).repeat().map(lambda start: whole[start : start + BATCH])
    batches = batches.map(lambda images: blur(rotation(images, training=True), training=True))
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    endless = batches.with_options(options).as_numpy_iterator()
    return lambda: itertools.islice(endless, len(starts))
