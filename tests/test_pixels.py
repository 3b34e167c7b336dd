"""Contrast, noise and colour: each against another way to compute it, and in the compiled engine."""

import hashlib
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conftest import SHAPES
from epochbank.augment.distortion.distort import distort
from epochbank.augment.distortion.draw import draw
from epochbank.augment.distortion.engine import PILLOW, engine_named
from epochbank.augment.distortion.operations import Colour, Contrast, Noise, Operation
from epochbank.augment.distortion.operations.pixels import GAMMAS
from epochbank.augment.distortion.recipe import Recipe, parse_recipe

Shape = tuple[int, int, int]

KEYS: list[dict[str, Any]] = [
    {"op": "contrast"},
    {"op": "contrast", "brightness": [-1, 1], "contrast": [0, 10], "gamma": [0.125, 8], "pivot": 0.25},
    {"op": "noise"},
    {"op": "noise", "amount": [0, 128]},
    {"op": "colour"},
    {"op": "colour", "brightness": [0, 2], "saturation": [0, 2], "hue": [-0.5, 0.5]},
]

NOTHING: list[dict[str, Any]] = [
    {"op": "contrast", "brightness": [0, 0], "contrast": [1, 1], "gamma": [1, 1]},
    {"op": "contrast", "brightness": [0, 0], "contrast": [1, 1], "gamma": [1, 1], "pivot": 0},
    {"op": "noise", "amount": [0, 0]},
    {"op": "colour", "brightness": [1, 1], "saturation": [1, 1], "hue": [0, 0]},
]


def recipe_of(keys: dict[str, Any]) -> Recipe:
    return parse_recipe({"name": "test", "stage": [{"operation": [keys]}]})


def operation_of(keys: dict[str, Any]) -> Operation:
    return recipe_of(keys).stages[0].choices[0].operation


def pictures_of(shape: Shape, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


def to_pillow(picture: np.ndarray) -> Image.Image:
    return Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)


def through_json(parameters: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps({name: np.asarray(value).tolist() for name, value in parameters.items()}))


def takes(keys: dict[str, Any], shape: Shape) -> bool:
    """Whether the operation takes pictures of `shape`: colour has no grey ones."""
    return keys["op"] != "colour" or shape[2] == 3


GREYS = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
"""Every grey value."""


# --- contrast -------------------------------------------------------------------------------------------


def contrast_of(brightness: float, contrast: float, gamma: float, pivot: float) -> np.ndarray:
    numbers = {"brightness": brightness, "contrast": contrast, "gamma": gamma, "pivot": pivot}
    return np.asarray(Contrast().apply(to_pillow(GREYS), **numbers)).ravel().astype(int)


@settings(deadline=None, max_examples=200)
@given(
    brightness=st.floats(-1, 1),
    contrast=st.floats(0, 10),
    gamma=st.integers(32, 2048).map(lambda number: number / 256),
    pivot=st.floats(0, 1),
)
def test_contrast_is_its_formula(brightness: float, contrast: float, gamma: float, pivot: float) -> None:
    """Every grey value comes out as the formula says in plain floating point, near a tie within one."""
    for grey, after in enumerate(contrast_of(brightness, contrast, gamma, pivot)):
        value = ((grey / 255) ** gamma - pivot) * contrast + pivot + brightness
        exact = 255 * min(max(value, 0.0), 1.0)
        assert abs(after - exact) <= 0.5 + 255 * max(contrast, 1) * 2.0**-24


def test_particular_contrasts() -> None:
    """Brightness shifts, contrast stretches about the pivot, gamma bends, and black stays black at pivot 0."""
    greys = np.arange(256)
    assert np.array_equal(contrast_of(0, 1, 1, 0.5), greys)
    assert np.array_equal(contrast_of(51 / 255, 1, 1, 0.5), np.minimum(greys + 51, 255))
    assert np.array_equal(contrast_of(-0.2, 1, 1, 0), np.maximum(greys - 51, 0))
    assert np.array_equal(contrast_of(0, 2, 1, 0), np.minimum(2 * greys, 255))
    assert np.array_equal(contrast_of(0, 0, 1, 0.2), np.full(256, 51))
    assert np.array_equal(contrast_of(0, 1, 2, 0.5), np.floor(greys**2 / 255 + 0.5))
    assert contrast_of(0, 1.2, 0.8, 0)[0] == 0
    assert (np.diff(contrast_of(0.1, 1.2, 0.8, 0.5)) >= 0).all()


def test_every_pow_rounds_alike() -> None:
    """No power of a gamma that can be drawn is so near a tie of its 24 bits that another `pow` might differ."""
    low, high = (int(gamma * 256) for gamma in GAMMAS)
    scaled = np.array([[math.pow(grey / 255, gamma / 256) for grey in range(1, 255)] for gamma in range(low, high + 1)])
    scaled *= 2.0**24
    from_tie = np.abs(scaled - np.floor(scaled) - 0.5)
    assert from_tie.min() > 16 * 2.0**-53 * 2**24  # Sixteen units in the last place.


# --- noise ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [1.0, 10.0, 30.0])
def test_noise_is_nearly_normal(amount: float) -> None:
    """It has the mean 0, the standard deviation `amount`, the kurtosis of four uniform numbers, and no pattern."""
    flat = Image.new("RGB", (200, 200), (128, 128, 128))
    noise = np.asarray(Noise().apply(flat, amount=amount, seed=11)).astype(float) - 128
    assert abs(noise.mean()) < 0.02 * amount
    assert noise.std() == pytest.approx(math.sqrt(amount**2 + 1 / 12), rel=0.02)
    assert (noise**4).mean() / noise.var() ** 2 == pytest.approx(3 - 1.2 / 4, abs=0.1)
    one = noise / noise.std()
    for other in (np.roll(one, 1, 0), np.roll(one, 1, 1), np.roll(one, 1, 2)):
        assert abs((one * other).mean()) < 0.02


def test_noise_of_small_picture() -> None:
    """Value i has byte 4 i to 4 i + 3 of the stream of the seed, as Python's integers make it."""

    def splitmix(number: int) -> int:
        number = (number + 0x9E3779B97F4A7C15) % 2**64
        number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        number = (number ^ number >> 27) * 0x94D049BB133111EB % 2**64
        return number ^ number >> 31

    pictures = pictures_of((3, 5, 3), 1)
    stream = b"".join(splitmix((splitmix(99) + at) % 2**64).to_bytes(8, "little") for at in range(23))
    factor = round(20 * 65536 / math.sqrt(21845))
    expected = [
        min(max((65536 * grey + factor * (sum(stream[4 * at : 4 * at + 4]) - 510) + 32768) // 65536, 0), 255)
        for at, grey in enumerate(pictures.ravel().tolist())
    ]
    result = Noise().apply(to_pillow(pictures[0]), amount=20, seed=99)
    assert np.asarray(result).ravel().tolist() == expected


def test_seeds_differ() -> None:
    """Every picture has noise of its own."""
    recipe, black = recipe_of({"op": "noise", "amount": [50, 50]}), np.zeros((50, 8, 8, 1), np.uint8)
    result = distort(black, recipe, draw(recipe, (8, 8, 1), "f", 0, 0, 50))
    assert len({picture.tobytes() for picture in result}) == 50


# --- colour ---------------------------------------------------------------------------------------------


def matrix_of(brightness: float = 1, saturation: float = 1, hue: float = 0) -> np.ndarray:
    ranges = {"brightness": brightness, "saturation": saturation, "hue": hue}
    operation = Colour(**{name: (number, number) for name, number in ranges.items()})
    return operation.parameters(np.zeros((1, 3)), (1, 1, 3))["matrix"][0].reshape(3, 4)


LUMA = np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("hue", [0, 0.05, -0.05, 0.125, 0.25, -0.4, 0.5])
@pytest.mark.parametrize("saturation", [0, 0.6, 1, 2])
def test_colour_keeps_luma(saturation: float, hue: float) -> None:
    """Greys and luma stay; the differences from luma, red and blue, are scaled and turned."""
    matrix, colours = matrix_of(0.9, saturation, hue), np.random.default_rng(0).random((50, 3))
    assert not matrix[:, 3].any()
    after, luma = colours @ matrix[:, :3].T / 0.9, colours @ LUMA
    assert np.allclose(after @ LUMA, luma, atol=1e-3)
    before = (colours[:, 0] - luma) + 1j * (colours[:, 2] - luma)
    turned = (after[:, 0] - luma) + 1j * (after[:, 2] - luma)
    # Red and blue differences, taken as one complex number, turn by what the hue does, in 1024ths of a turn.
    turn = -2 * math.pi * round(hue * 1024) / 1024
    assert np.allclose(turned, saturation * np.exp(1j * turn) * before, atol=1e-3)


def test_colour_without_saturation_is_grey() -> None:
    """Saturation 0 is Pillow's own conversion to grey."""
    (picture,) = pictures_of((40, 40, 3), 1)
    grey = np.asarray(to_pillow(picture).convert("L")).astype(int)
    parameters = {"brightness": 1, "saturation": 0, "hue": 0, "matrix": matrix_of(saturation=0).ravel().tolist()}
    result = np.asarray(Colour().apply(to_pillow(picture), **parameters)).astype(int)
    assert np.abs(result - grey[:, :, None]).max() <= 1


def test_hue_turns_red_towards_yellow() -> None:
    """Above 0 red goes to yellow, below 0 to magenta."""
    red = np.array([1, 0, 0])
    for hue, more in ((0.1, 1), (-0.1, 2)):
        after = matrix_of(hue=hue)[:, :3] @ red
        assert after[more] > 0.1 > after[3 - more]


@pytest.mark.parametrize("shape", [(31, 20, 3), (1, 1, 3)], ids=str)
def test_colour_is_pillows_conversion(shape: Shape) -> None:
    """The matrix that is reported makes the picture with Pillow alone, and in whole numbers."""
    recipe, count = recipe_of(KEYS[5]), 30
    pictures, drawn = pictures_of(shape, count), draw(recipe, shape, "f", 0, 0, count)
    result = distort(pictures, recipe, drawn)
    for picture, after, (applied,) in zip(pictures, result, drawn.applied(recipe), strict=True):
        matrix = through_json(applied.parameters)["matrix"]
        assert np.array_equal(np.asarray(to_pillow(picture).convert("RGB", tuple(matrix))), after)
        whole = np.rint(np.reshape(matrix, (3, 4)) * 4096).astype(int)
        assert np.array_equal(whole / 4096, np.reshape(matrix, (3, 4)))
        # At most 16 in all, so that no sum takes more than 24 bits: float32 is exact.
        assert np.abs(whole).sum(1).max() <= 16 * 4096
        assert np.array_equal(((picture @ whole[:, :3].T + whole[:, 3] + 2048) // 4096).clip(0, 255), after)


def test_every_turn_rounds_alike() -> None:
    """No sine or cosine of a hue that can be drawn is so near a tie of its 24 bits that machines might differ."""
    angles = [2 * math.pi * (number / 1024) for number in range(-512, 513)]
    scaled = np.array([(math.cos(angle), math.sin(angle)) for angle in angles]) * 2.0**24
    assert np.abs(scaled - np.floor(scaled) - 0.5).min() > 16 * 2.0**-53 * 2**24


def test_colour_refuses_grey_pictures() -> None:
    """Grey pictures have no colour: refused when the draw is made, saying what is expected."""
    recipe = recipe_of({"op": "colour"})
    with pytest.raises(
        ValueError, match=r"op = 'colour' received grey pictures, \(8, 8, 1\); expected RGB, \(H, W, 3\)"
    ):
        draw(recipe, (8, 8, 1), "f", 0, 0, 4)
    with pytest.raises(ValueError, match="expected RGB"):
        Colour().parameters(np.zeros((1, 3)), (8, 8, 1))


# --- All of them ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", KEYS[::2], ids=lambda keys: keys["op"])
def test_parameters_suffice(keys: dict[str, Any]) -> None:
    """Parameters lie in the ranges, come through JSON, and make the picture again."""
    recipe, shape, operation = recipe_of(keys), (9, 14, 3), operation_of(keys)
    pictures, drawn = pictures_of(shape, 30), draw(recipe, shape, "f", 0, 0, 30)
    result = distort(pictures, recipe, drawn)
    for picture, after, (applied,) in zip(pictures, result, drawn.applied(recipe), strict=True):
        parameters = through_json(applied.parameters)
        for name, limits in operation.settings().items():
            low, high = limits if isinstance(limits, list) else (limits, limits)
            assert low <= parameters[name] <= high
        assert np.array_equal(np.asarray(operation.apply(to_pillow(picture), **parameters)), after)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("keys", NOTHING, ids=str)
def test_no_strength_changes_nothing(keys: dict[str, Any], shape: Shape) -> None:
    """An operation of no strength gives the picture back as it was."""
    if not takes(keys, shape):
        return
    recipe, pictures = recipe_of(keys), pictures_of(shape, 4)
    for engine in (PILLOW, engine_named("compiled")):
        result = distort(pictures, recipe, draw(recipe, shape, "f", 0, 0, 4), engine)
        assert np.array_equal(result, pictures)
        assert not np.shares_memory(result, pictures)


def assert_engines_agree(operation: Operation, shape: Shape, count: int, seed: int) -> None:
    compiled, uniform = engine_named("compiled"), np.random.default_rng(seed).random((count, operation.uniforms(shape)))
    source, target = pictures_of(shape, count + 2, seed), np.full((count + 2, *shape), 77, np.uint8)
    before, members = source.copy(), np.arange(count) + 1
    parameters = operation.parameters(uniform, shape)
    compiled.apply(operation, source, target, members, parameters)
    assert np.array_equal(target[1:-1], operation.apply_many(source[1:-1], parameters))
    assert (target[[0, -1]] == 77).all()
    assert compiled.ink(operation, source, members, parameters) is None
    assert np.array_equal(source, before)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("keys", KEYS, ids=str)
def test_compiled(keys: dict[str, Any], shape: Shape) -> None:
    """The kernels give the same pixels, whatever the size."""
    if takes(keys, shape):
        assert_engines_agree(operation_of(keys), shape, 20, seed=4)


@settings(deadline=None, max_examples=60)
@given(
    keys=st.sampled_from(KEYS[1::2]),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**32),
)
def test_compiled_of_any_size(keys: dict[str, Any], height: int, width: int, channels: int, seed: int) -> None:
    """So they do for any size."""
    if takes(keys, (height, width, channels)):
        assert_engines_agree(operation_of(keys), (height, width, channels), 3, seed)


@pytest.mark.parametrize(
    ("keys", "pinned"),
    [(KEYS[1], "7d1a8c2205afcd55"), (KEYS[3], "4007ca1ad278e0d7"), (KEYS[5], "f6921c3cda0f9cde")],
    ids=["contrast", "noise", "colour"],
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
        (
            {"op": "contrast", "brightness": [-2, 0]},
            r"brightness = \[-2, 0\] is out of bounds; .* -1 <= low <= high <= 1",
        ),
        ({"op": "contrast", "contrast": [0, 11]}, r"contrast = \[0, 11\] is out of bounds; .* 0 <= low <= high <= 10"),
        ({"op": "contrast", "gamma": [0, 1]}, r"gamma = \[0, 1\] is out of bounds; .* 0.125 <= low <= high <= 8"),
        ({"op": "contrast", "pivot": 2}, r"pivot = 2; expected a number from 0 \(black\) to 1 \(white\)"),
        ({"op": "contrast", "pivot": [0, 1]}, r"pivot = \[0, 1\]; expected a number"),
        ({"op": "noise", "amount": [0, 129]}, r"amount = \[0, 129\] is out of bounds; .* 0 <= low <= high <= 128"),
        ({"op": "noise", "seed": 3}, r"seed: unknown key; expected amount"),
        ({"op": "colour", "hue": [-1, 1]}, r"hue = \[-1, 1\] is out of bounds; .* -0.5 <= low <= high <= 0.5"),
        ({"op": "colour", "saturation": [2, 0]}, r"saturation = \[2, 0\] is upside down"),
        ({"op": "colour", "brightness": [0, 3]}, r"brightness = \[0, 3\] is out of bounds; .* 0 <= low <= high <= 2"),
    ],
)
def test_refusals(keys: dict[str, Any], text: str) -> None:
    """A key that is wrong is named, with what was received and what is expected."""
    with pytest.raises(ValueError, match=text):
        recipe_of(keys)
