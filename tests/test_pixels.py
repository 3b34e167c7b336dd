"""Contrast, noise and color, each compared with another way to compute it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conftest import images_of
from epochbank.augment.distortion.distort import distort
from epochbank.augment.distortion.draw import draw
from epochbank.augment.distortion.operations import Color, Contrast, Noise
from epochbank.augment.distortion.operations.pixels import GAMMAS
from operation_battery import Shape, distorted, recipe_of, splitmix, through_json, to_pillow

GRAYS = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
"""Every gray value."""


# --- contrast -------------------------------------------------------------------------------------------


def contrast_of(brightness: float, contrast: float, gamma: float, pivot: float) -> np.ndarray:
    numbers = {"brightness": brightness, "contrast": contrast, "gamma": gamma, "pivot": pivot}
    return np.asarray(Contrast().apply(to_pillow(GRAYS), **numbers)).ravel().astype(int)


@settings(deadline=None, max_examples=200)
@given(
    brightness=st.floats(-1, 1),
    contrast=st.floats(0, 10),
    gamma=st.integers(32, 2048).map(lambda number: number / 256),
    pivot=st.floats(0, 1),
)
def test_contrast_follows_the_formula(brightness: float, contrast: float, gamma: float, pivot: float) -> None:
    """Every gray value is the formula in plain floating point, rounded; near a tie it may differ by one."""
    for gray, after in enumerate(contrast_of(brightness, contrast, gamma, pivot)):
        value = ((gray / 255) ** gamma - pivot) * contrast + pivot + brightness
        exact = 255 * min(max(value, 0.0), 1.0)
        assert abs(after - exact) <= 0.5 + 255 * max(contrast, 1) * 2.0**-24


def test_particular_contrasts() -> None:
    """Brightness adds, contrast multiplies about the pivot, gamma is a power, and black stays black at pivot 0."""
    grays = np.arange(256)
    assert np.array_equal(contrast_of(0, 1, 1, 0.5), grays)
    assert np.array_equal(contrast_of(51 / 255, 1, 1, 0.5), np.minimum(grays + 51, 255))
    assert np.array_equal(contrast_of(-0.2, 1, 1, 0), np.maximum(grays - 51, 0))
    assert np.array_equal(contrast_of(0, 2, 1, 0), np.minimum(2 * grays, 255))
    assert np.array_equal(contrast_of(0, 0, 1, 0.2), np.full(256, 51))
    assert np.array_equal(contrast_of(0, 1, 2, 0.5), np.floor(grays**2 / 255 + 0.5))
    assert contrast_of(0, 1.2, 0.8, 0)[0] == 0
    assert (np.diff(contrast_of(0.1, 1.2, 0.8, 0.5)) >= 0).all()


def test_pow_is_far_from_rounding_ties() -> None:
    """No power of a possible gamma is so close to a tie of its 24 bits that another `pow` could round differently."""
    low, high = (int(gamma * 256) for gamma in GAMMAS)
    scaled = np.array([[math.pow(gray / 255, gamma / 256) for gray in range(1, 255)] for gamma in range(low, high + 1)])
    scaled *= 2.0**24
    from_tie = np.abs(scaled - np.floor(scaled) - 0.5)
    assert from_tie.min() > 16 * 2.0**-53 * 2**24  # Sixteen units in the last place.


# --- noise ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [1.0, 10.0, 30.0])
def test_noise_is_nearly_normal(amount: float) -> None:
    """Noise has mean 0, standard deviation `amount`, the kurtosis of four uniform numbers, and no pattern."""
    flat = Image.new("RGB", (200, 200), (128, 128, 128))
    noise = np.asarray(Noise().apply(flat, amount=amount, seed=11)).astype(float) - 128
    assert abs(noise.mean()) < 0.02 * amount
    assert noise.std() == pytest.approx(math.sqrt(amount**2 + 1 / 12), rel=0.02)
    assert (noise**4).mean() / noise.var() ** 2 == pytest.approx(3 - 1.2 / 4, abs=0.1)
    one = noise / noise.std()
    for other in (np.roll(one, 1, 0), np.roll(one, 1, 1), np.roll(one, 1, 2)):
        assert abs((one * other).mean()) < 0.02


def test_noise_in_python_integers() -> None:
    """Value i gets bytes 4 i to 4 i + 3 of the seed's stream, computed here in Python's integers."""
    images = images_of((3, 5, 3), 1, seed=0)
    stream = b"".join(splitmix((splitmix(99) + at) % 2**64).to_bytes(8, "little") for at in range(23))
    factor = round(20 * 65536 / math.sqrt(21845))
    expected = [
        min(max((65536 * gray + factor * (sum(stream[4 * at : 4 * at + 4]) - 510) + 32768) // 65536, 0), 255)
        for at, gray in enumerate(images.ravel().tolist())
    ]
    result = Noise().apply(to_pillow(images[0]), amount=20, seed=99)
    assert np.asarray(result).ravel().tolist() == expected


def test_every_image_has_different_noise() -> None:
    """No two images get the same noise."""
    result = distorted(np.zeros((50, 8, 8, 1), np.uint8), {"op": "noise", "amount": [50, 50]})
    assert len({image.tobytes() for image in result}) == 50


# --- color ---------------------------------------------------------------------------------------------


def matrix_of(brightness: float = 1, saturation: float = 1, hue: float = 0) -> np.ndarray:
    ranges = {"brightness": brightness, "saturation": saturation, "hue": hue}
    operation = Color(**{name: (number, number) for name, number in ranges.items()})
    return operation.parameters(np.zeros((1, 3)), (1, 1, 3))["matrix"][0].reshape(3, 4)


LUMA = np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("hue", [0, 0.05, -0.05, 0.125, 0.25, -0.4, 0.5])
@pytest.mark.parametrize("saturation", [0, 0.6, 1, 2])
def test_color_keeps_luma(saturation: float, hue: float) -> None:
    """Grays and luma stay; the differences of red and blue from luma are scaled and rotated."""
    matrix, colors = matrix_of(0.9, saturation, hue), np.random.default_rng(0).random((50, 3))
    assert not matrix[:, 3].any()
    after, luma = colors @ matrix[:, :3].T / 0.9, colors @ LUMA
    assert np.allclose(after @ LUMA, luma, atol=1e-3)
    before = (colors[:, 0] - luma) + 1j * (colors[:, 2] - luma)
    rotated = (after[:, 0] - luma) + 1j * (after[:, 2] - luma)
    # As one complex number, the differences of red and blue are rotated by the hue, in multiples of 1/1024 turn.
    turn = -2 * math.pi * round(hue * 1024) / 1024
    assert np.allclose(rotated, saturation * np.exp(1j * turn) * before, atol=1e-3)


def test_color_without_saturation_is_gray() -> None:
    """Saturation 0 is Pillow's own conversion to gray."""
    (image,) = images_of((40, 40, 3), 1, seed=0)
    gray = np.asarray(to_pillow(image).convert("L")).astype(int)
    parameters = {"brightness": 1, "saturation": 0, "hue": 0, "matrix": matrix_of(saturation=0).ravel().tolist()}
    result = np.asarray(Color().apply(to_pillow(image), **parameters)).astype(int)
    assert np.abs(result - gray[:, :, None]).max() <= 1


def test_hue_moves_red_towards_yellow() -> None:
    """A hue above 0 moves red towards yellow, one below 0 towards magenta."""
    red = np.array([1, 0, 0])
    for hue, more in ((0.1, 1), (-0.1, 2)):
        after = matrix_of(hue=hue)[:, :3] @ red
        assert after[more] > 0.1 > after[3 - more]


@pytest.mark.parametrize("shape", [(31, 20, 3), (1, 1, 3)], ids=str)
def test_color_is_the_conversion_of_pillow(shape: Shape) -> None:
    """The reported matrix makes the same image with Pillow, and in integers."""
    recipe, count = recipe_of({"op": "color", "brightness": [0, 2], "saturation": [0, 2], "hue": [-0.5, 0.5]}), 30
    images, drawn = images_of(shape, count, seed=0), draw(recipe, shape, "f", 0, 0, count)
    result = distort(images, recipe, drawn)
    for image, after, (applied,) in zip(images, result, drawn.applied(recipe), strict=True):
        matrix = through_json(applied.parameters)["matrix"]
        assert np.array_equal(np.asarray(to_pillow(image).convert("RGB", tuple(matrix))), after)
        whole = np.rint(np.reshape(matrix, (3, 4)) * 4096).astype(int)
        assert np.array_equal(whole / 4096, np.reshape(matrix, (3, 4)))
        # The sum is at most 16, so that no sum needs more than 24 bits and float32 is exact.
        assert np.abs(whole).sum(1).max() <= 16 * 4096
        assert np.array_equal(((image @ whole[:, :3].T + whole[:, 3] + 2048) // 4096).clip(0, 255), after)


def test_sines_are_far_from_rounding_ties() -> None:
    """No sine or cosine of a possible hue is so close to a tie of its 24 bits that machines could differ."""
    angles = [2 * math.pi * (number / 1024) for number in range(-512, 513)]
    scaled = np.array([(math.cos(angle), math.sin(angle)) for angle in angles]) * 2.0**24
    assert np.abs(scaled - np.floor(scaled) - 0.5).min() > 16 * 2.0**-53 * 2**24


def test_color_refuses_gray_images() -> None:
    """Gray images are refused when parameters are drawn; the message says what is expected."""
    recipe = recipe_of({"op": "color"})
    with pytest.raises(ValueError, match=r"op = 'color' received gray images, \(8, 8, 1\); expected RGB, \(H, W, 3\)"):
        draw(recipe, (8, 8, 1), "f", 0, 0, 4)
    with pytest.raises(ValueError, match="expected RGB"):
        Color().parameters(np.zeros((1, 3)), (8, 8, 1))
