"""Flip and crop: against NumPy and against Pillow called directly."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conftest import SHAPES, pictures_of
from epochbank.augment.distortion.distort import distort
from epochbank.augment.distortion.draw import draw
from epochbank.augment.distortion.engine import PILLOW, engine_named
from epochbank.augment.distortion.operations import Crop, Flip, Operation
from epochbank.augment.distortion.recipe import Recipe, parse_recipe
from epochbank.augment.views.explain import stage_facts, stage_text

Shape = tuple[int, int, int]

KEYS: list[dict[str, Any]] = [
    {"op": "flip"},
    {"op": "flip", "horizontal": False, "vertical": True},
    {"op": "flip", "vertical": True},
    {"op": "crop"},
    {"op": "crop", "area": [0.01, 1], "aspect": [0.1, 10]},
    {"op": "crop", "area": [0.3, 0.5], "aspect": [1, 1]},
]

few = settings(deadline=None, max_examples=60)


def recipe_of(keys: dict[str, Any]) -> Recipe:
    return parse_recipe({"name": "test", "stage": [{"operation": [keys]}]})


def operation_of(keys: dict[str, Any]) -> Operation:
    return recipe_of(keys).stages[0].choices[0].operation


def parameters_of(keys: dict[str, Any], shape: Shape, count: int, seed: str = "f") -> dict[str, np.ndarray]:
    return draw(recipe_of(keys), shape, seed, 0, 0, count).stages[0].parameters[0]


def with_pillow(picture: np.ndarray, left: int, top: int, width: int, height: int) -> np.ndarray:
    image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
    box = (left, top, left + width, top + height)
    return np.asarray(image.crop(box).resize(image.size, Image.Resampling.BICUBIC)).reshape(picture.shape)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("keys", KEYS, ids=str)
def test_as_it_is_reported(keys: dict[str, Any], shape: Shape) -> None:
    """What is reported, through JSON, is what was done."""
    recipe, pictures = recipe_of(keys), pictures_of(shape, 9, seed=1)
    drawn = draw(recipe, shape, "f", 0, 0, 9)
    result = distort(pictures, recipe, drawn)
    for picture, after, (applied,) in zip(pictures, result, drawn.applied(recipe), strict=True):
        facts = json.loads(json.dumps(stage_facts(applied)))
        assert stage_text(facts).startswith(facts["op"])
        if facts.pop("op") == "crop":
            expected = with_pillow(picture, **facts)
        else:
            assert facts == {"horizontal": keys.get("horizontal", True), "vertical": keys.get("vertical", False)}
            expected = picture[:: -1 if facts["vertical"] else 1, :: -1 if facts["horizontal"] else 1]
        assert np.array_equal(after, expected)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("keys", KEYS, ids=str)
def test_compiled_as_pillow_makes_it(keys: dict[str, Any], shape: Shape) -> None:
    """The compiled engine gives the same pictures, the same ink, and writes no others."""
    assert_engines_agree(keys, shape, seed=2)


@few
@given(
    keys=st.sampled_from(KEYS),
    height=st.integers(1, 120),
    width=st.integers(1, 120),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**20),
)
def test_compiled_as_pillow_makes_it_at_any_size(
    keys: dict[str, Any], height: int, width: int, channels: int, seed: int
) -> None:
    """So it does at any size: also where Pillow takes one direction first, and where it takes the other."""
    assert_engines_agree(keys, (height, width, channels), seed)


def assert_engines_agree(keys: dict[str, Any], shape: Shape, seed: int) -> None:
    operation, compiled = operation_of(keys), engine_named("compiled")
    pictures, members = pictures_of(shape, 15, seed), np.arange(0, 15, 2)
    parameters = parameters_of(keys, shape, len(members), str(seed))
    before, target = pictures.copy(), np.full_like(pictures, 77)
    compiled.apply(operation, pictures, target, members, parameters)
    assert np.array_equal(target[members], operation.apply_many(pictures[members], parameters))
    assert (target[1::2] == 77).all()
    assert np.array_equal(pictures, before)
    ink, expected = (engine.ink(operation, pictures, members, parameters) for engine in (compiled, PILLOW))
    assert np.array_equal(ink, expected)  # None equals None.


def test_flip_mirrors() -> None:
    """Left becomes right, and top bottom only where that is asked for."""
    picture = np.arange(6, dtype=np.uint8).reshape(1, 2, 3, 1)
    for keys, expected in (
        ({"op": "flip"}, [[2, 1, 0], [5, 4, 3]]),
        ({"op": "flip", "horizontal": False, "vertical": True}, [[3, 4, 5], [0, 1, 2]]),
        ({"op": "flip", "vertical": True}, [[5, 4, 3], [2, 1, 0]]),
    ):
        for engine in (PILLOW, engine_named("compiled")):
            result = distort(picture, recipe_of(keys), draw(recipe_of(keys), (2, 3, 1), "f", 0, 0, 1), engine)
            assert result[0, :, :, 0].tolist() == expected


def test_flip_takes_no_ink() -> None:
    """All ink stays; none is measured."""
    assert not Flip.takes_ink
    assert Crop.takes_ink


@pytest.mark.parametrize("shape", [(100, 100, 1), (64, 200, 3)], ids=str)
def test_crop_draws_area_and_aspect(shape: Shape) -> None:
    """Where no side is cut, area and the logarithm of the aspect are drawn evenly; the box lies anywhere."""
    drawn = parameters_of({"op": "crop", "area": [0.1, 0.4], "aspect": [0.5, 2]}, shape, 20000)
    wide, high = drawn["width"] / shape[1], drawn["height"] / shape[0]
    assert np.histogram(wide * high, 6, (0.1, 0.4))[0].min() > 2900
    assert np.histogram(np.log(wide / high), 6, (math.log(0.5), math.log(2)))[0].min() > 2900
    for start, side, whole in (("left", "width", shape[1]), ("top", "height", shape[0])):
        assert drawn[start].min() == 0
        room = whole - drawn[side]
        assert (drawn[start] <= room).all()
        assert np.histogram(drawn[start] / room, 5, (0, 1))[0].min() > 3500


@few
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    area=st.floats(0.01, 1),
    aspect=st.floats(0.1, 10),
)
def test_crop_stays_in_the_picture(height: int, width: int, area: float, aspect: float) -> None:
    """A box of the rounded size, cut to the picture where it is longer, and never empty."""
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


@pytest.mark.parametrize("shape", [(64, 64, 1), (31, 20, 3), (1, 1, 1)], ids=str)
def test_whole_crop_changes_nothing(shape: Shape) -> None:
    """A box as large as the picture gives it back as it was, by either engine."""
    recipe, pictures = recipe_of({"op": "crop", "area": [1, 1], "aspect": [1, 1]}), pictures_of(shape, 6, seed=3)
    for engine in (PILLOW, engine_named("compiled")):
        assert np.array_equal(distort(pictures, recipe, draw(recipe, shape, "f", 0, 0, 6), engine), pictures)


@pytest.mark.parametrize("shape", [(64, 64, 1), (33, 50, 3)], ids=str)
def test_crop_keeps_the_ink_of_its_box(shape: Shape) -> None:
    """The ink that stays is that of the box."""
    keys = {"op": "crop", "area": [0.05, 1], "aspect": [0.2, 5]}
    drawn, pictures = parameters_of(keys, shape, 40), pictures_of(shape, 40, seed=4)
    for number, (kept, whole) in enumerate(operation_of(keys).ink(pictures, drawn)):
        left, top, width, height = (drawn[name][number] for name in ("left", "top", "width", "height"))
        assert kept == pictures[number, top : top + height, left : left + width].sum(dtype=int)
        assert whole == pictures[number].sum(dtype=int)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"op": "flip", "horizontal": 1}, "horizontal = 1; expected true or false"),
        ({"op": "flip", "vertical": "yes"}, "vertical = 'yes'; expected true or false"),
        ({"op": "flip", "horizontal": False}, "horizontal = False, vertical = False; expected at least one"),
        ({"op": "flip", "chance": 0.5}, "chance: unknown key; expected horizontal, vertical"),
        ({"op": "crop", "area": [0, 1]}, r"area = \[0, 1\] is out of bounds; expected .* 0.01 <= low"),
        ({"op": "crop", "area": [0.5, 1.5]}, r"area = \[0.5, 1.5\] is out of bounds"),
        ({"op": "crop", "aspect": [2, 0.5]}, r"aspect = \[2, 0.5\] is upside down"),
        ({"op": "crop", "resample": "nearest"}, "resample: unknown key; expected area, aspect"),
    ],
    ids=str,
)
def test_what_is_refused(keys: dict[str, Any], text: str) -> None:
    """A wrong key says which, what was received, and what is expected."""
    with pytest.raises(ValueError, match=text):
        recipe_of(keys)
