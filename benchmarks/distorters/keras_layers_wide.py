"""`keras_layers` with a window of 7 x 7 pixels, which is wide enough for its Gaussians; DALI's has 5 to 9 pixels."""

from collections.abc import Callable, Iterator

import numpy as np

from distorters import keras_layers
from distorters.keras_layers import KIND, REQUIRES

__all__ = ["KIND", "REQUIRES", "distorter"]


def distorter(images: np.ndarray) -> Callable[[], Iterator[np.ndarray]]:
    return keras_layers.distorter(images, window=7)
