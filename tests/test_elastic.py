"""Elastic distortion: the noise, the field, the sampling and the ink, each against another way to compute it."""

import hashlib
import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from conftest import SHAPES
from epochbank.augment.distortion.distort import distort
from epochbank.augment.distortion.draw import draw
from epochbank.augment.distortion.engine import PILLOW, engine_named
from epochbank.augment.distortion.operations import Elastic
from epochbank.augment.distortion.operations.elastic import displacements, fields_of
from epochbank.augment.distortion.operations.seeds import random_bytes
from epochbank.augment.distortion.recipe import Recipe, parse_recipe

Shape = tuple[int, int, int]


def recipe_of(**keys: Any) -> Recipe:
    return parse_recipe({"name": "test", "stage": [{"operation": [{"op": "elastic", **keys}]}]})


def noise_of(shape: Shape, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


# --- The parts of it ------------------------------------------------------------------------------------


def splitmix(number: int) -> int:
    """The finaliser of SplitMix64, with Python's integers."""
    number = (number + 0x9E3779B97F4A7C15) % 2**64
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    number = (number ^ number >> 27) * 0x94D049BB133111EB % 2**64
    return number ^ number >> 31


@pytest.mark.parametrize("seed", [0, 1, 2**53 - 1])
def test_random_bytes(seed: int) -> None:
    """The stream is SplitMix64's finaliser over a counter, lowest byte first; shorter runs are its beginning."""
    assert splitmix(0) == 0xE220A8397B1DCDAF  # The first word of SplitMix64 from 0, as published.
    words = [splitmix((splitmix(seed) + at) % 2**64) for at in range(5)]
    expected = b"".join(word.to_bytes(8, "little") for word in words)
    assert random_bytes(seed, 40).tobytes() == expected
    assert random_bytes(seed, 13).tobytes() == expected[:13]
    assert random_bytes(seed, 0).shape == (0,)


@pytest.mark.parametrize("sigma", [0, 0.5, 1, 1.7, 4, 8.8, 9.13, 30.2, 64])
def test_running_means_are_nearly_a_gaussian(sigma: float) -> None:
    """The three boxes, one after another, have the standard deviation asked for, and nearly the curve."""
    (widths,) = fields_of(np.array([1.0]), np.array([float(sigma)])).widths
    kernel = np.ones(1)
    for width in widths:
        kernel = np.convolve(kernel, np.full(width, 1 / width))
    at = np.arange(len(kernel)) - (len(kernel) - 1) / 2
    variance = (kernel * at**2).sum()
    # Whole widths can be off by half of what one pixel more under one box adds.
    assert abs(variance - sigma**2) <= (2 * widths.min() + 1) / 24 + 1e-9
    if sigma >= 4:
        gaussian = np.exp(-(at**2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
        assert np.abs(kernel - gaussian).max() < 0.07 * gaussian.max()


@pytest.mark.parametrize(("alpha", "sigma"), [(100, 8.8), (10_000, 64), (30, 1.5), (3, 0)])
@pytest.mark.parametrize("shape", [(64, 64, 1), (20, 33, 3), (5, 1, 1)], ids=str)
def test_field_is_smoothed_noise(alpha: float, sigma: float, shape: Shape) -> None:
    """dx and dy are the noise of the seed, wrapped round, under the boxes, times alpha: nearly so in floating point."""
    height, width, _ = shape
    (widths,) = fields_of(np.array([1.0]), np.array([float(sigma)])).widths
    noise = (2 * random_bytes(5, 2 * height * width).astype(float) - 255) / 256
    fields = noise.reshape(width, 2, height).transpose(1, 2, 0)
    for axis, box in itertools.product((1, 2), widths):
        fields = sum(np.roll(fields, -ahead, axis) for ahead in range(box)) / box
    for one, expected in zip(displacements(shape, alpha, sigma, 5), fields, strict=True):
        assert one.dtype == np.int32
        assert np.abs(one / 256 - alpha * expected).max() < 1 / 128 + 2e-4 * alpha


def test_typical_displacement() -> None:
    """Its root mean square is 0.577 alpha / (2 sigma sqrt(pi)), at the border as in the middle."""
    alpha, sigma = 100.0, 4.0
    fields = np.array([displacements((64, 64, 1), alpha, sigma, seed) for seed in range(60)]) / 256
    expected = alpha / math.sqrt(3) / (2 * sigma * math.sqrt(math.pi))
    assert math.sqrt((fields**2).mean()) == pytest.approx(expected, rel=0.04)
    border = np.concatenate([fields[:, :, 0].ravel(), fields[:, :, :, -1].ravel()])
    assert math.sqrt((border**2).mean()) == pytest.approx(expected, rel=0.1)
    assert abs(fields.mean()) < 0.1 * expected
    assert abs((fields[:, 0] * fields[:, 1]).mean()) < 0.1 * expected**2  # dx and dy are independent.


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("alpha", "sigma"), [(120.0, 9.0), (20.0, 0.0), (900.0, 6.0)])
def test_bilinear_sampling_with_black_outside(shape: Shape, alpha: float, sigma: float) -> None:
    """Pixels come from (x + dx, y + dy), as scipy interpolates there with zeros around."""
    pictures, operation = noise_of(shape, 3), Elastic()
    for seed, picture in enumerate(pictures):
        dx, dy = displacements(shape, alpha, sigma, seed)
        y, x = np.mgrid[: shape[0], : shape[1]]
        places = [y + dy / 256, x + dx / 256]
        image = Image.fromarray(picture[:, :, 0] if shape[2] == 1 else picture)
        result = np.asarray(operation.apply(image, alpha=alpha, sigma=sigma, seed=seed)).reshape(shape)
        for channel in range(shape[2]):
            values = picture[:, :, channel].astype(float)
            expected = ndimage.map_coordinates(values, places, order=1, mode="grid-constant")
            assert np.abs(result[:, :, channel] - np.floor(expected + 0.5)).max() <= 1
            assert np.abs(result[:, :, channel] - expected).max() < 0.5 + 1e-6


def test_ink_that_leaves() -> None:
    """Ink is lost where a pixel's centre less its displacement is outside: counted pixel by pixel."""
    shape = (16, 20, 3)
    pictures, operation = noise_of(shape, 4), Elastic(alpha=(40, 40), sigma=(3, 3))
    parameters = operation.parameters(np.random.default_rng(1).random((4, 3)), shape)
    kept = []
    for picture, seed in zip(pictures, parameters["seed"].tolist(), strict=True):
        dx, dy = displacements(shape, 40, 3, seed)
        kept.append(0)
        for row, column in itertools.product(range(16), range(20)):
            x, y = column + 0.5 - dx[row, column] / 256, row + 0.5 - dy[row, column] / 256
            kept[-1] += int(picture[row, column].sum()) if 0 <= x < 20 and 0 <= y < 16 else 0
    measured = operation.ink(pictures, parameters)
    assert measured[:, 0].tolist() == kept
    assert measured[:, 1].tolist() == pictures.sum((1, 2, 3)).tolist()
    assert (measured[:, 0] < measured[:, 1]).all()


def test_ink_in_the_middle_stays() -> None:
    """Ink further from the border than the field moves it is measured as kept, and is there afterwards."""
    picture = np.zeros((1, 64, 64, 1), np.uint8)
    picture[0, 24:40, 24:40] = 200
    parameters = {"alpha": np.array([80.0]), "sigma": np.array([9.0]), "seed": np.array([3])}
    ((kept, total),) = Elastic().ink(picture, parameters)
    assert kept == total == 200 * 256
    assert Elastic().apply_many(picture, parameters).sum() == pytest.approx(total, rel=0.3)


# --- As an operation ------------------------------------------------------------------------------------


def test_draw() -> None:
    """alpha, sigma and seed are drawn from their ranges, suffice, and come through JSON."""
    recipe, shape = recipe_of(), (64, 64, 1)
    pictures, drawn = noise_of(shape, 20), draw(recipe, shape, "f", 0, 0, 20)
    result = distort(pictures, recipe, drawn)
    for picture, after, (applied,) in zip(pictures, result, drawn.applied(recipe), strict=True):
        parameters = json.loads(json.dumps(applied.parameters))
        assert parameters.keys() == {"alpha", "sigma", "seed"}
        assert 40 <= parameters["alpha"] <= 120
        assert 8 <= parameters["sigma"] <= 10
        assert 0 <= parameters["seed"] < 2**53
        again = Elastic().apply(Image.fromarray(picture[:, :, 0]), **parameters)
        assert np.array_equal(np.asarray(again), after[:, :, 0])
    assert len({applied.parameters["seed"] for (applied,) in drawn.applied(recipe)}) == 20


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_no_strength_changes_nothing(shape: Shape) -> None:
    """With alpha 0 a picture stays as it was, and keeps its ink."""
    recipe, pictures = recipe_of(alpha=[0, 0], sigma=[0, 20]), noise_of(shape, 3)
    lost = np.ones((3, 1))
    result = distort(pictures, recipe, draw(recipe, shape, "f", 0, 0, 3), lost=lost)
    assert np.array_equal(result, pictures)
    assert not lost.any()


def assert_engines_agree(operation: Elastic, shape: Shape, count: int, seed: int) -> None:
    compiled, uniform = engine_named("compiled"), np.random.default_rng(seed).random((count, 3))
    source, target = noise_of(shape, count + 2, seed), np.full((count + 2, *shape), 77, np.uint8)
    before, members = source.copy(), np.arange(count) + 1
    parameters = operation.parameters(uniform, shape)
    compiled.apply(operation, source, target, members, parameters)
    assert np.array_equal(target[1:-1], operation.apply_many(source[1:-1], parameters))
    assert (target[[0, -1]] == 77).all()
    ink = compiled.ink(operation, source, members, parameters)
    assert np.array_equal(ink, PILLOW.ink(operation, source, members, parameters))
    assert np.array_equal(source, before)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("keys", [{}, {"alpha": (0, 3000), "sigma": (0, 20)}], ids=str)
def test_compiled(shape: Shape, keys: dict[str, Any]) -> None:
    """The kernel gives the same pixels and ink, whatever the size."""
    assert_engines_agree(Elastic(**keys), shape, 6, seed=2)


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    channels=st.sampled_from([1, 3]),
    alpha=st.floats(0, 10_000),
    sigma=st.floats(0, 64),
    seed=st.integers(0, 2**32),
)
def test_compiled_of_any_size(height: int, width: int, channels: int, alpha: float, sigma: float, seed: int) -> None:
    """So it does for any size and strength."""
    assert_engines_agree(Elastic(alpha=(alpha, alpha), sigma=(sigma, sigma)), (height, width, channels), 2, seed)


def test_pixels_are_pinned() -> None:
    """The very pixels, which no machine and no later version may change."""
    pictures = np.arange(2 * 24 * 30 * 3).astype(np.uint8).reshape(2, 24, 30, 3) * 7
    parameters = {"alpha": np.array([60.5, 90.0]), "sigma": np.array([4.0, 7.25]), "seed": np.array([123, 2**52])}
    digest = hashlib.sha256(Elastic().apply_many(pictures, parameters).tobytes()).hexdigest()
    assert digest[:16] == "e9d7b60b913267ec"


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (
            {"alpha": [-1, 5]},
            r"alpha = \[-1, 5\] is out of bounds; expected \[low, high\] with 0 <= low <= high <= 10000",
        ),
        ({"sigma": [1, 65]}, r"sigma = \[1, 65\] is out of bounds; expected \[low, high\] with 0 <= low <= high <= 64"),
        ({"sigma": 4}, r"sigma = 4; expected \[low, high\]"),
        ({"seed": [0, 1]}, r"seed: unknown key; expected alpha, sigma"),
    ],
)
def test_refusals(keys: dict[str, Any], text: str) -> None:
    """A key that is wrong is named, with what was received and what is expected."""
    with pytest.raises(ValueError, match=text):
        recipe_of(**keys)
