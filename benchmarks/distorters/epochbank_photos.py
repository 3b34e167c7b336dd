"""epochbank's compiled engine on photos: `affine` (bilinear), `blur`, `contrast`, drawn and distorted in batches."""

from collections.abc import Callable, Iterator

import numpy as np

from distorters.ranges import BRIGHTNESS, CONTRAST, DEGREES, GAMMA, SCALE, SHEAR_DEGREES, SHIFT, SIGMA

KIND = "photos"
REQUIRES = {"epochbank": "epochbank", "numba": "numba"}
_BATCH = 32


def distorter(images: np.ndarray) -> Callable[[], Iterator[np.ndarray]]:
    from math import radians, tan

    from epochbank.augment.distortion.choose_engine import choose_engine
    from epochbank.augment.distortion.distort import distort
    from epochbank.augment.distortion.draw import draw
    from epochbank.augment.distortion.recipe import parse_recipe

    shear = tan(radians(SHEAR_DEGREES))
    affine = {
        "op": "affine",
        "degrees": [-DEGREES, DEGREES],
        "shear_x": [-shear, shear],
        "shear_y": [0, 0],
        "scale": SCALE,
        "shift_x": [-SHIFT, SHIFT],
        "shift_y": [-SHIFT, SHIFT],
    }
    contrast = {
        "op": "contrast",
        "brightness": [-BRIGHTNESS, BRIGHTNESS],
        "contrast": [1 - CONTRAST, 1 + CONTRAST],
        "gamma": GAMMA,
    }
    operations = [affine, {"op": "blur", "radius": SIGMA}, contrast]
    recipe = parse_recipe({"name": "photos", "stage": [{"operation": [operation]} for operation in operations]})
    shape = images.shape[1:]
    engine = choose_engine("compiled", recipe, shape)

    def distorted() -> Iterator[np.ndarray]:
        for start in range(0, len(images), _BATCH):
            batch = images[start : start + _BATCH]
            yield distort(batch, recipe, draw(recipe, shape, "photos", 0, start, start + len(batch)), engine)

    return distorted
