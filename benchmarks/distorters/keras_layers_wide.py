"""`keras_layers` with a window of 7 x 7 pixels, wide enough for its Gaussians, as that of DALI (5 to 9) is."""

from collections.abc import Callable, Iterator

import numpy as np

from distorters import keras_layers
from distorters.keras_layers import PICTURES, REQUIRES

__all__ = ["PICTURES", "REQUIRES", "distorter"]


def distorter(pictures: np.ndarray) -> Callable[[], Iterator[np.ndarray]]:
    return keras_layers.distorter(pictures, window=7)
