"""Stroke and erase: pixel for pixel as Pillow makes them, and in the compiled engine."""

import hashlib
import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from scipy import ndimage

from conftest import SHAPES
from epochbank.augment.distortion.distort import distort
from epochbank.augment.distortion.draw import draw
from epochbank.augment.distortion.engine import PILLOW, engine_named
from epochbank.augment.distortion.operations import Erase, Operation, Stroke
from epochbank.augment.distortion.recipe import Recipe, parse_recipe

Shape = tuple[int, int, int]

KEYS: list[dict[str, Any]] = [
    {"op": "stroke"},
    {"op": "stroke", "strength": [-4, 4]},
    {"op": "erase"},
    {"op": "erase", "boxes": [0, 16], "width": [0, 1], "height": [0, 1], "fill": 99},
]


def recipe_of(keys: dict[str, Any]) -> Recipe:
    return parse_recipe({"name": "test", "stage": [{"operation": [keys]}]})


def operation_of(keys: dict[str, Any]) -> Operation:
    return recipe_of(keys).stages[0].choices[0].operation


def pictures_of(shape: Shape, count: int, seed: int = 0) -> np.ndarray:
    """Noise and, in every other picture, black and white alone."""
    pictures = np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)
    pictures[::2] = np.where(pictures[::2] > 200, 255, 0)
    return pictures


def to_pillow(picture: np.ndarray) -> Image.Image:
    return Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)


# --- stroke ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_whole_steps_are_grey_dilation_and_erosion(shape: Shape) -> None:
    """n steps are grey dilation, or erosion, by a square of 2 n + 1, borders repeated."""
    for picture, steps in itertools.product(pictures_of(shape, 2), (1, 2, 5)):
        size = (2 * steps + 1, 2 * steps + 1, 1)
        for sign, filtered in ((1, ndimage.maximum_filter), (-1, ndimage.minimum_filter)):
            result = Stroke().apply(to_pillow(picture), strength=sign * steps)
            assert np.array_equal(np.asarray(result).reshape(shape), filtered(picture, size, mode="nearest"))


@pytest.mark.parametrize("strength", [0.25, -0.25, 1.5, -2.75, 128 / 256, -1 / 256])
@pytest.mark.parametrize("shape", [(31, 20, 1), (9, 12, 3)], ids=str)
def test_parts_of_a_step_are_blended(strength: float, shape: Shape) -> None:
    """What is left of whole steps blends the picture with its next step, by Pillow alone."""
    (picture,) = pictures_of(shape, 1, seed=1)
    image, left = to_pillow(picture), abs(strength)
    step = ImageFilter.MaxFilter(3) if strength > 0 else ImageFilter.MinFilter(3)
    while left >= 1:
        image, left = image.filter(step), left - 1
    expected = Image.blend(image, image.filter(step), left)
    assert np.array_equal(np.asarray(Stroke().apply(to_pillow(picture), strength=strength)), np.asarray(expected))


def test_strength_is_in_256ths() -> None:
    """Strengths are drawn evenly, in whole 256ths, and reported so."""
    strengths = Stroke().parameters(np.random.default_rng(0).random((5000, 1)), (64, 64, 1))["strength"]
    assert np.array_equal(strengths * 256, np.rint(strengths * 256))
    assert -0.5 <= strengths.min() < -0.48 < 0.48 < strengths.max() <= 0.5
    assert len(np.unique(strengths)) == 257


def test_blending_in_256ths_is_exact() -> None:
    """For any two grey values and every part in 256ths, Pillow's float32 gives the whole number below."""
    one, two = (np.ascontiguousarray(values, np.uint8) for values in np.mgrid[:256, :256])
    for part in range(257):
        blended = np.asarray(Image.blend(Image.fromarray(one), Image.fromarray(two), part / 256))
        assert np.array_equal(blended, (one.astype(int) * (256 - part) + two.astype(int) * part) // 256)


def test_thicker_and_thinner() -> None:
    """A line of three pixels gets five with a step, one with a step back, and none with two."""
    line = np.zeros((15, 15, 1), np.uint8)
    line[6:9] = 255
    for strength, rows in ((1, 5), (0, 3), (-1, 1), (-2, 0)):
        result = np.asarray(Stroke().apply(to_pillow(line), strength=strength))
        assert (result[:, 7] == 255).sum() == (result[:, 7] > 0).sum() == rows


# --- erase ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_boxes_are_as_drawn(shape: Shape) -> None:
    """As many boxes as drawn, of sides in the range, each inside the frame; the picture is `fill` there alone."""
    height, width, _ = shape
    keys = {"op": "erase", "boxes": [1, 3], "width": [0.2, 0.5], "height": [0.1, 0.3], "fill": 7}
    recipe, count = recipe_of(keys), 60
    pictures, drawn = pictures_of(shape, count), draw(recipe, shape, "f", 0, 0, count)
    result, numbers = distort(pictures, recipe, drawn), set()
    for picture, after, (applied,) in zip(pictures, result, drawn.applied(recipe), strict=True):
        parameters = json.loads(
            json.dumps({name: np.asarray(value).tolist() for name, value in applied.parameters.items()})
        )
        assert parameters["fill"] == 7
        boxes, expected = parameters["boxes"], picture.copy()
        assert len(boxes) == 3
        there = [box for box in boxes if box != [0, 0, 0, 0]]
        assert boxes[: len(there)] == there
        numbers.add(len(there))
        for left, top, across, down in there:
            assert max(1, round(0.2 * width)) <= across <= max(1, round(0.5 * width))
            assert max(1, round(0.1 * height)) <= down <= max(1, round(0.3 * height))
            assert 0 <= left <= width - across
            assert 0 <= top <= height - down
            expected[top : top + down, left : left + across] = 7
        assert np.array_equal(after, expected)
        again = Erase().apply(to_pillow(picture), **parameters)
        assert np.array_equal(np.asarray(again).reshape(shape), expected)
    assert numbers == {1, 2, 3}


def test_boxes_reach_every_place() -> None:
    """Boxes lie anywhere, up to every border."""
    boxes = Erase().parameters(np.random.default_rng(0).random((4000, 9)), (32, 40, 1))["boxes"].reshape(-1, 4)
    left, top, width, height = boxes[boxes[:, 2] > 0].T
    assert (left.min(), top.min(), (left + width).max(), (top + height).max()) == (0, 0, 40, 32)
    assert (width.min(), width.max(), height.min(), height.max()) == (4, 10, 3, 8)


def test_erased_ink() -> None:
    """The ink under boxes is lost, once where they overlap, whatever they are filled with."""
    pictures = pictures_of((20, 30, 3), 1, seed=3)
    boxes = np.array([[[2, 3, 10, 5], [8, 0, 6, 20], [0, 0, 0, 0]]])
    under = np.zeros((20, 30), bool)
    under[3:8, 2:12] = under[:, 8:14] = True
    ((kept, total),) = Erase(fill=255).ink(pictures, {"boxes": boxes, "fill": np.array([255])})
    assert total == pictures.sum()
    assert total - kept == pictures[0][under].sum()


# --- Both -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    "keys", [{"op": "stroke", "strength": [0, 0]}, {"op": "erase", "boxes": [0, 0]}], ids=lambda keys: keys["op"]
)
def test_no_strength_changes_nothing(keys: dict[str, Any], shape: Shape) -> None:
    """An operation of no strength gives the picture back as it was, and takes no ink."""
    recipe, pictures, lost = recipe_of(keys), pictures_of(shape, 4), np.ones((4, 1))
    for engine in (PILLOW, engine_named("compiled")):
        result = distort(pictures, recipe, draw(recipe, shape, "f", 0, 0, 4), engine, lost=lost)
        assert np.array_equal(result, pictures)
        assert not np.shares_memory(result, pictures)
        assert not lost.any()


def assert_engines_agree(operation: Operation, shape: Shape, count: int, seed: int) -> None:
    compiled, uniform = engine_named("compiled"), np.random.default_rng(seed).random((count, operation.uniforms(shape)))
    source, target = pictures_of(shape, count + 2, seed), np.full((count + 2, *shape), 77, np.uint8)
    before, members = source.copy(), np.arange(count) + 1
    parameters = operation.parameters(uniform, shape)
    compiled.apply(operation, source, target, members, parameters)
    assert np.array_equal(target[1:-1], operation.apply_many(source[1:-1], parameters))
    assert (target[[0, -1]] == 77).all()
    ink = compiled.ink(operation, source, members, parameters)
    assert np.array_equal(ink, PILLOW.ink(operation, source, members, parameters))
    assert np.array_equal(source, before)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("keys", KEYS, ids=str)
def test_compiled(keys: dict[str, Any], shape: Shape) -> None:
    """The kernels give the same pixels and ink, whatever the size."""
    assert_engines_agree(operation_of(keys), shape, 20, seed=4)


@settings(deadline=None, max_examples=60)
@given(
    keys=st.sampled_from([KEYS[1], KEYS[3]]),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**32),
)
def test_compiled_of_any_size(keys: dict[str, Any], height: int, width: int, channels: int, seed: int) -> None:
    """So they do for any size."""
    assert_engines_agree(operation_of(keys), (height, width, channels), 3, seed)


@pytest.mark.parametrize(
    ("keys", "pinned"), [(KEYS[1], "c82607254921bbee"), (KEYS[3], "5b29fb5167fa03f6")], ids=["stroke", "erase"]
)
def test_pixels_are_pinned(keys: dict[str, Any], pinned: str) -> None:
    """The very pixels, which no machine and no later version may change."""
    operation, shape = operation_of(keys), (24, 30, 3)
    pictures = (np.arange(8 * 24 * 30 * 3) * 7 % 256).astype(np.uint8).reshape(8, *shape)
    uniform = np.arange(8 * operation.uniforms(shape)).reshape(8, -1) * 0.6180339887 % 1
    result = operation.apply_many(pictures, operation.parameters(uniform, shape))
    assert hashlib.sha256(result.tobytes()).hexdigest()[:16] == pinned


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"op": "stroke", "strength": [-9, 0]}, r"strength = \[-9, 0\] is out of bounds; .* -8 <= low <= high <= 8"),
        ({"op": "stroke", "strength": 1}, r"strength = 1; expected \[low, high\]"),
        (
            {"op": "erase", "boxes": [1, 2.5]},
            r"boxes = \[1, 2.5\]; expected \[fewest, most\], whole numbers from 0 to 16",
        ),
        ({"op": "erase", "boxes": [1, 17]}, r"boxes = \[1, 17\] is out of bounds; .* 0 <= low <= high <= 16"),
        ({"op": "erase", "width": [0, 1.5]}, r"width = \[0, 1.5\] is out of bounds"),
        ({"op": "erase", "height": "tall"}, r"height = 'tall'; expected \[low, high\]"),
        ({"op": "erase", "fill": 256}, r"fill = 256; expected a whole number from 0 \(black\) to 255"),
        ({"op": "erase", "fill": 0.5}, r"fill = 0.5; expected a whole number"),
        ({"op": "erase", "fill": True}, r"fill = True; expected a whole number"),
    ],
)
def test_refusals(keys: dict[str, Any], text: str) -> None:
    """A key that is wrong is named, with what was received and what is expected."""
    with pytest.raises(ValueError, match=text):
        recipe_of(keys)


def test_settings_make_the_same_operation() -> None:
    """Settings are JSON values, and give the operation back."""
    erase = Erase(boxes=(0, 3), fill=12)
    assert json.loads(json.dumps(erase.settings())) == erase.settings()
    assert Erase(**erase.settings()) == erase
    assert erase.settings()["boxes"] == [0, 3]
