"""NVIDIA DALI's operators for the CPU: nearest-neighbor rotation, then Gaussian blur, of every image.

Batches are passed and read without a copy. There is one worker thread, and DALI's default prefetching of two batches,
which is not slower on one core than none. It needs no GPU. The window of the blur is DALI's default, 5 to 9 pixels
wide. There is no shear, scale, sine or sharpening.
"""

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from distorters.ranges import BATCH, DEGREES, SIGMA

KIND = "glyphs"
REQUIRES = {"nvidia.dali": "nvidia-dali-cuda120"}


def distorter(images: np.ndarray) -> Callable[[], Iterator[np.ndarray]]:
    from nvidia.dali import fn, pipeline_def, types

    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]

    @pipeline_def(batch_size=BATCH, num_threads=1, device_id=None, seed=1)
    def rotation_and_blur():
        images = fn.external_source(itertools.cycle(batches), batch=True, no_copy=True, layout="HWC", dtype=types.UINT8)
        angle = fn.random.uniform(range=(-DEGREES, DEGREES))
        images = fn.rotate(images, angle=angle, interp_type=types.INTERP_NN, keep_size=True, fill_value=0)
        return fn.gaussian_blur(images, sigma=fn.random.uniform(range=SIGMA))

    pipeline = rotation_and_blur()

    def distort() -> Iterator[np.ndarray]:
        for _ in batches:
            (images,) = pipeline.run()
            yield np.asarray(images.as_tensor())

    return distort
