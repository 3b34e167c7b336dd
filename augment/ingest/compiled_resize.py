"""`preprocess.resize_each` with the compiled kernel of the operation `scale`."""

import numpy as np

from ..distortion.compiled.resize import backgrounds, black, resize_boxes
from .preprocess import Preprocessing, boxes_of, padding


def resize_compiled(images: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Resize `images` (uint8 (n, h, w, C), contiguous, in their final color mode) to uint8 (n, H, W, C)."""
    if images.shape[1:] == preprocessing.shape:
        return images
    members = np.arange(len(images))
    target = np.empty((len(images), *preprocessing.shape), np.uint8)
    box, box_after = boxes_of(images.shape[1], images.shape[2], preprocessing)
    background = black(images, members)
    if preprocessing.pad_color is not None:
        background = padding(images, preprocessing)
    elif box_after[2:] != (preprocessing.width, preprocessing.height):
        backgrounds(images, background)
    before, after = (np.tile(np.array(one), (len(members), 1)) for one in (box, box_after))
    resize_boxes(images, target, members, before, after, background)
    return target
