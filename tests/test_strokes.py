"""Stroke and erase, compared with SciPy and with Pillow called directly."""

import itertools

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy import ndimage

from conftest import SHAPES, images_of
from epochbank.augment.distortion.distort import distort
from epochbank.augment.distortion.draw import draw
from epochbank.augment.distortion.operations import Erase, Stroke
from operation_battery import Shape, recipe_of, through_json, to_pillow

# --- stroke ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_whole_steps_are_gray_dilation_and_erosion(shape: Shape) -> None:
    """n steps are gray dilation or erosion by a square of 2 n + 1 pixels; pixels at the border repeat outside."""
    for image, steps in itertools.product(images_of(shape, 3, seed=0), (1, 2, 5)):
        size = (2 * steps + 1, 2 * steps + 1, 1)
        for sign, filtered in ((1, ndimage.maximum_filter), (-1, ndimage.minimum_filter)):
            result = Stroke().apply(to_pillow(image), strength=sign * steps)
            assert np.array_equal(np.asarray(result).reshape(shape), filtered(image, size, mode="nearest"))


@pytest.mark.parametrize("strength", [0.25, -0.25, 1.5, -2.75, 128 / 256, -1 / 256])
@pytest.mark.parametrize("shape", [(31, 20, 1), (9, 12, 3)], ids=str)
def test_fraction_of_a_step_is_blended(strength: float, shape: Shape) -> None:
    """The fraction of a step blends the image with its next step, as Pillow does."""
    (image,) = images_of(shape, 1, seed=1)
    pil_image, steps = to_pillow(image), abs(strength)
    step = ImageFilter.MaxFilter(3) if strength > 0 else ImageFilter.MinFilter(3)
    while steps >= 1:
        pil_image, steps = pil_image.filter(step), steps - 1
    expected = Image.blend(pil_image, pil_image.filter(step), steps)
    assert np.array_equal(np.asarray(Stroke().apply(to_pillow(image), strength=strength)), np.asarray(expected))


def test_strength_is_a_multiple_of_a_256th() -> None:
    """Strengths are drawn uniformly and rounded to multiples of 1/256, which are the reported numbers."""
    strengths = Stroke().parameters(np.random.default_rng(0).random((5000, 1)), (64, 64, 1))["strength"]
    assert np.array_equal(strengths * 256, np.rint(strengths * 256))
    assert -0.5 <= strengths.min() < -0.48 < 0.48 < strengths.max() <= 0.5
    assert len(np.unique(strengths)) == 257


def test_blending_in_256ths_is_exact() -> None:
    """For any two gray values and every multiple of 1/256, Pillow's float32 gives the exact value, rounded down."""
    one, two = (np.ascontiguousarray(values, np.uint8) for values in np.mgrid[:256, :256])
    for part in range(257):
        blended = np.asarray(Image.blend(Image.fromarray(one), Image.fromarray(two), part / 256))
        assert np.array_equal(blended, (one.astype(int) * (256 - part) + two.astype(int) * part) // 256)


def test_thicker_and_thinner() -> None:
    """A line of three pixels becomes five wide with one step, one wide with one step back, and vanishes with two."""
    line = np.zeros((15, 15, 1), np.uint8)
    line[6:9] = 255
    for strength, rows in ((1, 5), (0, 3), (-1, 1), (-2, 0)):
        result = np.asarray(Stroke().apply(to_pillow(line), strength=strength))
        assert (result[:, 7] == 255).sum() == (result[:, 7] > 0).sum() == rows


# --- erase ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_boxes_are_filled_as_reported(shape: Shape) -> None:
    """The reported boxes, with sides in their ranges and inside the frame, are `fill`; the rest is unchanged."""
    height, width, _ = shape
    keys = {"op": "erase", "boxes": [1, 3], "width": [0.2, 0.5], "height": [0.1, 0.3], "fill": 7}
    recipe, count = recipe_of(keys), 60
    images, drawn = images_of(shape, count, seed=0), draw(recipe, shape, "f", 0, 0, count)
    result, numbers = distort(images, recipe, drawn), set()
    for image, after, (applied,) in zip(images, result, drawn.applied(recipe), strict=True):
        parameters = through_json(applied.parameters)
        assert parameters["fill"] == 7
        boxes, expected = parameters["boxes"], image.copy()
        assert len(boxes) == 3
        used = [box for box in boxes if box != [0, 0, 0, 0]]
        assert boxes[: len(used)] == used
        numbers.add(len(used))
        for left, top, box_width, box_height in used:
            assert max(1, round(0.2 * width)) <= box_width <= max(1, round(0.5 * width))
            assert max(1, round(0.1 * height)) <= box_height <= max(1, round(0.3 * height))
            assert 0 <= left <= width - box_width
            assert 0 <= top <= height - box_height
            expected[top : top + box_height, left : left + box_width] = 7
        assert np.array_equal(after, expected)
    assert numbers == {1, 2, 3}


def test_boxes_reach_every_place() -> None:
    """Boxes can be anywhere in the frame, up to every border, and have every size in the range."""
    boxes = Erase().parameters(np.random.default_rng(0).random((4000, 9)), (32, 40, 1))["boxes"].reshape(-1, 4)
    left, top, width, height = boxes[boxes[:, 2] > 0].T
    assert (left.min(), top.min(), (left + width).max(), (top + height).max()) == (0, 0, 40, 32)
    assert (width.min(), width.max(), height.min(), height.max()) == (4, 10, 3, 8)


def test_erased_ink() -> None:
    """The ink under the boxes counts as lost, once where they overlap, for any `fill`."""
    images = images_of((20, 30, 3), 1, seed=3)
    boxes = np.array([[[2, 3, 10, 5], [8, 0, 6, 20], [0, 0, 0, 0]]])
    under = np.zeros((20, 30), bool)
    under[3:8, 2:12] = under[:, 8:14] = True
    ((kept, total),) = Erase(fill=255).ink(images, {"boxes": boxes, "fill": np.array([255])})
    assert total == images.sum()
    assert total - kept == images[0][under].sum()
