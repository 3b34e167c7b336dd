"""The engine: a chunk of pictures and their draw in, the distorted chunk out.

Pillow's arithmetic throughout: through Pillow picture by picture, or in NumPy over many at once where
whole numbers give the same pixels.
"""

import numpy as np

from augment.draw import Draw
from augment.recipe import Recipe


def distort(pictures: np.ndarray, recipe: Recipe, drawn: Draw) -> np.ndarray:
    """Distort `pictures` (uint8 (n, H, W, C)), the n pictures of `drawn`; a new array of the same shape."""
    result = pictures.copy()
    for stage, stage_draw in zip(recipe.stages, drawn.stages, strict=True):
        for picked, choice in enumerate(stage.choices):
            members = np.flatnonzero(stage_draw.choice == picked)
            if len(members):
                result[members] = choice.operation.apply_many(result[members], stage_draw.parameters[picked])
    return result
