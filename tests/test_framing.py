"""Flip and crop, compared with NumPy and with Pillow called directly."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conftest import SHAPES, images_of
from epochbank.augment.distortion.choose_engine import engine_named
from epochbank.augment.distortion.distort import distort
from epochbank.augment.distortion.draw import draw
from epochbank.augment.distortion.engine import PILLOW
from epochbank.augment.distortion.operations import Crop, Flip
from operation_battery import (
    Shape,
    Table,
    distorted,
    operation_of,
    parameters_of,
    recipe_of,
    through_json,
    to_pillow,
    variants,
)

VARIANTS = {name: keys for name, keys in variants().items() if keys["op"] in ("flip", "crop")}


def with_pillow(image: np.ndarray, left: int, top: int, width: int, height: int) -> np.ndarray:
    pil_image, box = to_pillow(image), (left, top, left + width, top + height)
    return np.asarray(pil_image.crop(box).resize(pil_image.size, Image.Resampling.BICUBIC)).reshape(image.shape)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("keys", VARIANTS.values(), ids=VARIANTS.keys())
def test_pixels_follow_from_the_reported_parameters(keys: Table, shape: Shape) -> None:
    """NumPy makes the same flips, and Pillow the same crops, from the reported parameters."""
    recipe, images = recipe_of(keys), images_of(shape, 9, seed=1)
    drawn = draw(recipe, shape, "f", 0, 0, 9)
    result = distort(images, recipe, drawn)
    for image, after, (applied,) in zip(images, result, drawn.applied(recipe), strict=True):
        facts = through_json(applied.parameters)
        if applied.op == "crop":
            expected = with_pillow(image, **facts)
        else:
            assert facts == {"horizontal": keys["horizontal"], "vertical": keys["vertical"]}
            expected = image[:: -1 if facts["vertical"] else 1, :: -1 if facts["horizontal"] else 1]
        assert np.array_equal(after, expected)


def test_flip() -> None:
    """`horizontal` swaps left and right, `vertical` swaps top and bottom; the default is horizontal."""
    image = np.arange(6, dtype=np.uint8).reshape(1, 2, 3, 1)
    for keys, expected in (
        ({"op": "flip"}, [[2, 1, 0], [5, 4, 3]]),
        ({"op": "flip", "horizontal": False, "vertical": True}, [[3, 4, 5], [0, 1, 2]]),
        ({"op": "flip", "vertical": True}, [[5, 4, 3], [2, 1, 0]]),
    ):
        for engine in (PILLOW, engine_named("compiled")):
            assert distorted(image, keys, engine=engine)[0, :, :, 0].tolist() == expected


def test_flip_loses_no_ink() -> None:
    """A flip keeps all ink, so that none is measured; a crop may lose some."""
    assert not Flip.takes_ink
    assert Crop.takes_ink


@pytest.mark.parametrize("shape", [(100, 100, 1), (64, 200, 3)], ids=str)
def test_crop_draws_area_and_aspect(shape: Shape) -> None:
    """If no side is cut, area and the logarithm of the aspect are drawn uniformly, and so is the place of the box."""
    drawn = parameters_of({"op": "crop", "area": [0.1, 0.4], "aspect": [0.5, 2]}, shape, 20000)
    width, height = drawn["width"] / shape[1], drawn["height"] / shape[0]
    assert np.histogram(width * height, 6, (0.1, 0.4))[0].min() > 2900
    assert np.histogram(np.log(width / height), 6, (math.log(0.5), math.log(2)))[0].min() > 2900
    for start, side, whole in (("left", "width", shape[1]), ("top", "height", shape[0])):
        assert drawn[start].min() == 0
        room = whole - drawn[side]
        assert (drawn[start] <= room).all()
        assert np.histogram(drawn[start] / room, 5, (0, 1))[0].min() > 3500


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    area=st.floats(0.01, 1),
    aspect=st.floats(0.1, 10),
)
def test_crop_stays_in_the_image(height: int, width: int, area: float, aspect: float) -> None:
    """The box has the rounded size, at least one pixel, and is cut to the image."""
    operation = Crop(area=(area, area), aspect=(aspect, aspect))
    drawn = operation.parameters(np.random.default_rng(0).random((20, 4)), (height, width, 1))
    for side, whole, fraction in (
        ("width", width, math.sqrt(area * aspect)),
        ("height", height, math.sqrt(area / aspect)),
    ):
        assert np.abs(drawn[side] - min(max(fraction * whole, 1), whole)).max() <= 0.5 + 1e-9
        assert drawn[side].min() >= 1
    assert (drawn["left"] >= 0).all()
    assert (drawn["top"] >= 0).all()
    assert (drawn["left"] + drawn["width"] <= width).all()
    assert (drawn["top"] + drawn["height"] <= height).all()


@pytest.mark.parametrize("shape", [(64, 64, 1), (33, 50, 3)], ids=str)
def test_crop_keeps_the_ink_of_its_box(shape: Shape) -> None:
    """The ink that remains is the ink inside the box."""
    keys = {"op": "crop", "area": [0.05, 1], "aspect": [0.2, 5]}
    drawn, images = parameters_of(keys, shape, 40), images_of(shape, 40, seed=4)
    for number, (kept, whole) in enumerate(operation_of(keys).ink(images, drawn)):
        left, top, width, height = (drawn[name][number] for name in ("left", "top", "width", "height"))
        assert kept == images[number, top : top + height, left : left + width].sum(dtype=int)
        assert whole == images[number].sum(dtype=int)
