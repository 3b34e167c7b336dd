"""Warns of a recipe that does not suit the images of a source, and suggests one that does."""

import math

import numpy as np

from ..distortion.recipe import Recipe
from ..distortion.suitability import fills_black, size_warning
from ..ingest.preprocess import border
from ..ingest.source_file import SourceFile
from ..shared.spacing import evenly_spaced
from ..shared.types import Shape

_SAMPLE, _SAMPLE_BYTES = 256, 32 << 20
"""Maximum number of sampled images, and maximum bytes of the sample."""
_CHARACTER_RECIPES = ("kanji", "kanji-strong", "handwriting")
_KANJI_SIDE = 40
"""Least shorter side, in pixels, of images that the recipe `kanji` suits; `handwriting` suits any size."""


def sampled(source: SourceFile) -> np.ndarray:
    """Return up to 256 images of a source file, evenly spaced, uint8 (n, H, W, C)."""
    most = max(1, min(_SAMPLE, _SAMPLE_BYTES // math.prod(source.shape)))
    return source.read(evenly_spaced(source.num_images, most))


def recipe_notes(recipe: Recipe, images: np.ndarray) -> list[str]:
    """Return why `recipe` does not suit images like `images` (uint8 (n, H, W, C)), one sentence each."""
    height, width, channels = images.shape[1:]
    notes = [size_warning(recipe, (height, width, channels))]
    light, black = int((np.median(border(images).mean(axis=2), axis=1) > 127).sum()), fills_black(recipe)
    if channels == 3 and recipe.name in _CHARACTER_RECIPES:
        notes.append(
            f"the images are RGB, and recipe {recipe.name} is for characters: --recipe photo suits photographs"
        )
    if black and 2 * light > len(images):
        notes.append(
            f"recipe {recipe.name} fills areas from outside the image with black ({', '.join(black)}), but {light:,} "
            f"of {len(images):,} sampled images have a light background: choose --invert yes, or a recipe with fill = "
            '"edge" or "reflect"'
        )
    return [note for note in notes if note]


def suggested_recipe(shape: Shape) -> str:
    """Return the built-in recipe that suits images of this shape: `photo` for RGB, else one for characters."""
    height, width, channels = shape
    if channels == 3:
        return "photo"
    return "kanji" if min(height, width) >= _KANJI_SIDE else "handwriting"
