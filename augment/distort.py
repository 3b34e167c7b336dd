"""The Pillow engine: a chunk of pictures and their draw in, the distorted chunk out."""

import numpy as np
from PIL import Image

from augment.draw import Draw
from augment.recipe import Recipe


def distort(pictures: np.ndarray, recipe: Recipe, drawn: Draw) -> np.ndarray:
    """Distort `pictures` (uint8 (n, H, W, C)), the n pictures of `drawn`; a new array of the same shape."""
    result = np.empty_like(pictures)
    for number, operations in enumerate(drawn.applied(recipe)):
        image = to_image(pictures[number])
        for applied in operations:
            image = applied.operation.apply(image, **applied.parameters)
        result[number] = np.frombuffer(image.tobytes(), np.uint8).reshape(pictures.shape[1:])
    return result


def to_image(picture: np.ndarray) -> Image.Image:
    """A contiguous uint8 (H, W, C) picture as a Pillow image, mode L or RGB, that shares its memory."""
    height, width, channels = picture.shape
    mode = "L" if channels == 1 else "RGB"
    return Image.frombuffer(mode, (width, height), picture, "raw", mode, 0, 1)
