"""`preprocess.resize_each` with the compiled kernel of the operation `scale`."""

import numpy as np

from ..distortion.compiled.resize import backgrounds, black, resize_boxes, whole
from .preprocess import Preprocessing, placement


def resize_compiled(images: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Resize `images` (uint8 (n, h, w, C), contiguous, in their final color mode) to uint8 (n, H, W, C)."""
    if images.shape[1:] == preprocessing.shape:
        return images
    members = np.arange(len(images))
    target = np.empty((len(images), *preprocessing.shape), np.uint8)
    box = placement(images.shape[1], images.shape[2], preprocessing)
    background = black(images, members)
    if box[2:] != (preprocessing.width, preprocessing.height):
        backgrounds(images, background)
    boxes = np.tile(np.array(box), (len(members), 1))
    resize_boxes(images, target, members, whole(images, members), boxes, background)
    return target
