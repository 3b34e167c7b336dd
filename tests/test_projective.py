"""Affine and perspective: their matrices against others made otherwise, their pixels against Pillow called directly."""

import json
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from conftest import SHAPES, pictures_of
from epochbank.augment.distortion.compiled import KERNELS
from epochbank.augment.distortion.distort import distort
from epochbank.augment.distortion.draw import draw
from epochbank.augment.distortion.engine import PILLOW, engine_named
from epochbank.augment.distortion.operations import Affine, Operation, Perspective
from epochbank.augment.distortion.recipe import Recipe, parse_recipe
from epochbank.augment.views.explain import stage_facts, stage_text

Shape = tuple[int, int, int]

FILTERS = ("nearest", "bilinear", "bicubic")

WIDEST: dict[str, Any] = {
    "op": "affine",
    "degrees": [-360, 360],
    "shear_x": [-1, 1],
    "shear_y": [-1, 1],
    "scale": [0.1, 10],
    "aspect": [0.1, 10],
    "shift_x": [-1, 1],
    "shift_y": [-1, 1],
}

STILL: dict[str, Any] = {
    "op": "affine",
    "degrees": [0, 0],
    "shear_x": [0, 0],
    "shear_y": [0, 0],
    "scale": [1, 1],
    "shift_x": [0, 0],
    "shift_y": [0, 0],
}

KEYS: list[dict[str, Any]] = [
    {**keys, "resample": resample}
    for keys in ({"op": "affine"}, WIDEST, {"op": "perspective"}, {"op": "perspective", "shift": [-0.15, 0.15]})
    for resample in FILTERS
]

few = settings(deadline=None, max_examples=40)


def recipe_of(keys: dict[str, Any]) -> Recipe:
    return parse_recipe({"name": "test", "stage": [{"operation": [keys]}]})


def operation_of(keys: dict[str, Any]) -> Operation:
    return recipe_of(keys).stages[0].choices[0].operation


def parameters_of(keys: dict[str, Any], shape: Shape, count: int) -> dict[str, np.ndarray]:
    return draw(recipe_of(keys), shape, "f", 0, 0, count).stages[0].parameters[0]


def with_pillow(picture: np.ndarray, op: str, matrix: list[float], resample: int) -> np.ndarray:
    image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
    method = {"affine": Image.Transform.AFFINE, "perspective": Image.Transform.PERSPECTIVE}[op]
    return np.asarray(image.transform(image.size, method, matrix, resample)).reshape(picture.shape)


def one(keys: dict[str, Any], picture: np.ndarray) -> np.ndarray:
    """`picture` (H, W) distorted by one operation."""
    recipe, shape = recipe_of(keys), (*picture.shape, 1)
    return distort(picture[None, :, :, None], recipe, draw(recipe, shape, "f", 0, 0, 1))[0, :, :, 0]


def as_three_by_three(matrices: np.ndarray) -> np.ndarray:
    """Pillow's numbers, six or eight, as (n, 3, 3)."""
    last = [[0, 0, 1]] if matrices.shape[1] == 6 else [[1]]
    return np.concatenate([matrices, np.repeat(last, len(matrices), 0)], 1).reshape(-1, 3, 3)


# --- What is done, from what is reported ------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("keys", KEYS, ids=str)
def test_as_pillow_makes_it_from_what_is_reported(keys: dict[str, Any], shape: Shape) -> None:
    """The reported matrix and filter, through JSON, make the same pictures with Pillow alone."""
    recipe, pictures = recipe_of(keys), pictures_of(shape, 9, seed=1)
    drawn = draw(recipe, shape, "f", 0, 0, 9)
    result = distort(pictures, recipe, drawn)
    for picture, after, (applied,) in zip(pictures, result, drawn.applied(recipe), strict=True):
        facts = json.loads(json.dumps(stage_facts(applied)))
        assert np.array_equal(after, with_pillow(picture, facts["op"], facts["matrix"], facts["resample"]))
        assert facts["resample"] == Image.Resampling[keys["resample"].upper()]
        assert stage_text(facts).startswith(keys["op"])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("keys", KEYS, ids=str)
def test_compiled_as_pillow_makes_it(keys: dict[str, Any], shape: Shape) -> None:
    """The compiled engine gives the same pictures, the same ink, and writes no others."""
    assert_engines_agree(keys, shape, seed=2)


@few
@given(
    keys=st.sampled_from(KEYS),
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**20),
)
def test_compiled_as_pillow_makes_it_at_any_size(
    keys: dict[str, Any], height: int, width: int, channels: int, seed: int
) -> None:
    """So it does at any size."""
    assert_engines_agree(keys, (height, width, channels), seed)


def assert_engines_agree(keys: dict[str, Any], shape: Shape, seed: int) -> None:
    recipe, operation, compiled = recipe_of(keys), operation_of(keys), engine_named("compiled")
    pictures, members = pictures_of(shape, 15, seed), np.arange(0, 15, 2)
    parameters = draw(recipe, shape, str(seed), 0, 0, len(members)).stages[0].parameters[0]
    before, target = pictures.copy(), np.full_like(pictures, 77)
    compiled.apply(operation, pictures, target, members, parameters)
    assert np.array_equal(target[members], operation.apply_many(pictures[members], parameters))
    assert (target[1::2] == 77).all()
    assert np.array_equal(pictures, before)
    ink = PILLOW.ink(operation, pictures, members, parameters)
    assert ink is not None
    assert np.array_equal(compiled.ink(operation, pictures, members, parameters), ink)


@pytest.mark.parametrize("shape", [(64, 64, 1), (20, 31, 3)], ids=str)
@pytest.mark.parametrize("resample", FILTERS)
@pytest.mark.parametrize(
    "matrix",
    [
        (1.1, 0.1, 1 / 3, -0.2, 0.9, 2 / 7),  # not on the grid
        (1, 0.5, 40000, 0.5, 1, 0),  # beyond fixed point
        (1, 0.25, -0.5, 0.25, 1, 0.5),  # along the very edges
        (2.0**-14, 1, 0, 1, 2.0**-14, 0),
        (0, 0, 10.25, 0, 0, 7.75),
        (1, 0, 0.5, 0, 1, 0.5),
    ],
)
def test_compiled_with_matrices_of_ones_own(matrix: tuple[float, ...], resample: str, shape: Shape) -> None:
    """Matrices that are never drawn are followed as well, whether on the grid or beside it, near or far."""
    pictures, members = pictures_of(shape, 6, seed=3), np.arange(6)
    for op, numbers in (("affine", matrix), ("perspective", (*matrix, 1e-3, -1e-3))):
        parameters = parameters_of({"op": op, "resample": resample}, shape, 6)
        parameters["matrix"][::2] = numbers
        target = np.full_like(pictures, 77)
        engine_named("compiled").apply(
            operation_of({"op": op, "resample": resample}), pictures, target, members, parameters
        )
        filter_ = int(Image.Resampling[resample.upper()])
        expected = [with_pillow(*pair, filter_) for pair in zip(pictures, [op] * 6, parameters["matrix"], strict=True)]
        assert np.array_equal(target, expected)


@pytest.mark.parametrize("name", ["affine", "perspective"])
def test_compiled_of_no_pictures(name: str) -> None:
    """No members, nothing done."""
    pictures, nobody = pictures_of((8, 8, 1), 3, seed=4), np.arange(0)
    target = np.zeros_like(pictures)
    assert len(KERNELS[name](pictures, target, nobody, parameters_of({"op": name}, (8, 8, 1), 0))) == 0
    assert not target.any()


# --- The matrices ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [{"op": "affine"}, WIDEST], ids=["affine", "widest"])
@pytest.mark.parametrize("shape", [(64, 64, 1), (30, 100, 1), (224, 224, 1)], ids=str)
def test_affine_is_sheared_scaled_turned_and_shifted(keys: dict[str, Any], shape: Shape) -> None:
    """The matrix undoes the steps that the documentation names, in their order, about the centre."""
    drawn, (height, width, _) = parameters_of(keys, shape, 200), shape
    centre = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    for number, matrix in enumerate(as_three_by_three(drawn["matrix"])):
        of = {name: column[number] for name, column in drawn.items() if column.ndim == 1}
        angle, root = math.radians(of["degrees"]), math.sqrt(of["aspect"])
        unshear = np.array([[1, of["shear_x"], 0], [of["shear_y"], 1, 0], [0, 0, 1]])
        enlarge = np.diag([of["scale"] * root, of["scale"] / root, 1])
        # With rows that run down, counter-clockwise takes (1, 0) to (cos, -sin).
        turn = np.array([[math.cos(angle), math.sin(angle), 0], [-math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
        shift = np.array([[1, 0, of["shift_x"] * width], [0, 1, of["shift_y"] * height], [0, 0, 1]])
        to_target = np.linalg.inv(centre) @ shift @ turn @ enlarge
        expected = np.linalg.inv(centre) @ unshear @ centre @ np.linalg.inv(to_target @ centre)
        assert np.allclose(matrix[:, :2], expected[:, :2], rtol=0, atol=2**-15 + 1e-9)
        # The offsets follow the rounded steps, so that the centre is off by no more than these are over half a side.
        middle = np.array([width / 2, height / 2, 1])
        assert np.allclose(matrix @ middle, expected @ middle, rtol=0, atol=(height + width) * 2**-14)


def test_affine_stays_within_its_ranges() -> None:
    """Every number is drawn evenly over its range, aspect on a logarithmic scale, independent of the others."""
    drawn = parameters_of(WIDEST, (20, 20, 1), 20000)
    for name in ("degrees", "shear_x", "shear_y", "scale", "shift_x", "shift_y"):
        low, high = WIDEST[name]
        assert drawn[name].min() >= low
        assert drawn[name].max() <= high
        assert np.histogram(drawn[name], 10, (low, high))[0].min() > 1800
    assert np.histogram(np.log(drawn["aspect"]), 10, (math.log(0.1), math.log(10)))[0].min() > 1800
    numbers = np.stack([column for name, column in drawn.items() if column.ndim == 1 and name != "resample"])
    assert np.abs(np.corrcoef(numbers) - np.eye(7)).max() < 0.05


def test_perspective_sends_the_corners_where_it_says() -> None:
    """The matrix is the one that the usual eight equations give; corners move as far as `shift` says."""
    for shape in ((64, 64, 1), (30, 100, 1), (224, 224, 1)):
        height, width, _ = shape
        drawn = parameters_of({"op": "perspective", "shift": [-0.15, 0.1]}, shape, 300)
        own = np.array([[0, 0], [width, 0], [width, height], [0, height]])
        inwards = (drawn["corners"] - own) * [[1, 1], [-1, 1], [-1, -1], [1, -1]] / [width, height]
        assert inwards.min() >= -0.15 - 1e-12
        assert inwards.max() <= 0.1 + 1e-12
        assert np.histogram(inwards, 10, (-0.15, 0.1))[0].min() > 150
        for corners, matrix in zip(drawn["corners"], drawn["matrix"], strict=True):
            equations, right = [], []
            for (x, y), (u, v) in zip(corners, own, strict=True):
                equations += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
                right += [u, v]
            expected = np.linalg.solve(equations, right)
            scale = np.array([1, 1, width, 1, 1, height, 1 / width, 1 / height])
            assert np.allclose(matrix / scale, expected / scale, rtol=0, atol=1e-6)


@settings(deadline=None, max_examples=300)
@given(corners=st.lists(st.one_of(st.sampled_from([-0.15, 0.15]), st.floats(-0.15, 0.15)), min_size=8, max_size=8))
def test_perspective_keeps_the_horizon_out(corners: list[float]) -> None:
    """However far the corners move, what Pillow divides by stays above 0 in the whole picture."""
    operation = Perspective(shift=(-0.15, 0.15))
    uniform = (np.array([corners]) + 0.15) / 0.3
    matrix = operation.parameters(uniform, (100, 100, 1))["matrix"][0]
    assert min(matrix[6] * x + matrix[7] * y + 1 for x in (0, 100) for y in (0, 100)) > 0.05


@pytest.mark.parametrize("keys", [WIDEST, {"op": "perspective", "shift": [-0.15, 0.15]}], ids=["affine", "perspective"])
@pytest.mark.parametrize("shape", [(64, 64, 1), (3000, 2000, 1)], ids=str)
def test_sums_of_pillow_are_exact(keys: dict[str, Any], shape: Shape) -> None:
    """Doubles hold every product and sum of a matrix with a pixel, so that fusing them would change nothing."""
    for matrix in parameters_of(keys, shape, 30)["matrix"].tolist():
        rows = [matrix[:3], matrix[3:6]] + ([[*matrix[6:], 1.0]] if len(matrix) == 8 else [])
        for x, y in ((0.5, 0.5), (shape[1] - 0.5, shape[0] - 0.5), (17.5, shape[0] - 0.5), (shape[1] / 2 + 0.5, 1.5)):
            for a, b, c in rows:
                exact = Fraction(a) * Fraction(x) + Fraction(b) * Fraction(y) + Fraction(c)
                assert Fraction(a * x) == Fraction(a) * Fraction(x)
                assert Fraction(b * y) == Fraction(b) * Fraction(y)
                assert Fraction(a * x + b * y) == Fraction(a * x) + Fraction(b * y)
                assert Fraction(a * x + b * y + c) == exact


# --- What the operations mean ------------------------------------------------------------------------------


def test_affine_turns_counter_clockwise_as_rotate_does() -> None:
    """A turn alone is `Image.rotate` with the same filter, but for the grid."""
    soft = ndimage.gaussian_filter(pictures_of((64, 64, 1), 1, seed=5)[0, :, :, 0], 2)
    expected = np.asarray(Image.fromarray(soft).rotate(7, Image.Resampling.BILINEAR))
    turned = one({**STILL, "degrees": [7, 7]}, soft)
    assert np.abs(turned.astype(int) - expected)[8:-8, 8:-8].max() <= 1
    arm = np.zeros((64, 64), np.uint8)
    arm[30:34, 50:] = 200  # Points right; it must then point up and right.
    rows, columns = np.nonzero(one({**STILL, "degrees": [15, 15]}, arm))
    assert rows.mean() < 28
    assert columns.mean() > 50


def test_affine_shears_as_shear_does() -> None:
    """`shear_x` is `shear`'s x: that many source columns per row, here about the centre."""
    soft = ndimage.gaussian_filter(pictures_of((64, 64, 1), 1, seed=6)[0, :, :, 0], 2)
    image = Image.fromarray(soft)
    matrix = (1, 0.25, -0.25 * 32, 0.125, 1, -0.125 * 32)
    expected = np.asarray(image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR))
    assert np.array_equal(one({**STILL, "shear_x": [0.25, 0.25], "shear_y": [0.125, 0.125]}, soft), expected)


def test_affine_enlarges_widens_and_shifts() -> None:
    """A scale above 1 enlarges, an aspect above 1 widens, and shifts go right and down."""
    square = np.zeros((64, 64), np.uint8)
    square[28:36, 28:36] = 255
    larger = one({**STILL, "scale": [2, 2]}, square)
    assert larger[25:39, 25:39].min() == 255
    assert larger.sum() / square.sum() == pytest.approx(4, rel=0.02)
    wider = one({**STILL, "aspect": [4, 4]}, square)
    assert (wider.sum(0) > 0).sum() > 3 * (wider.sum(1) > 0).sum()
    assert wider.sum() / square.sum() == pytest.approx(1, rel=0.02)
    assert np.array_equal(
        one({**STILL, "shift_x": [0.125, 0.125], "shift_y": [0.25, 0.25]}, square), np.roll(square, (16, 8), (0, 1))
    )


def test_bilinear_as_scipy_interpolates() -> None:
    """Away from the edges, SciPy's linear interpolation at the same places differs by rounding alone."""
    soft = ndimage.gaussian_filter(pictures_of((48, 80, 1), 1, seed=7)[0, :, :, 0], 1)
    for name in ("affine", "perspective"):
        drawn = parameters_of({"op": name}, (48, 80, 1), 20)
        y, x = np.mgrid[:48, :80] + 0.5
        for matrix, numbers in zip(as_three_by_three(drawn["matrix"]), drawn["matrix"].tolist(), strict=True):
            u, v, w = np.einsum("ij,jyx->iyx", matrix, np.stack([x, y, np.ones_like(x)]))
            expected = ndimage.map_coordinates(soft.astype(float), [v / w - 0.5, u / w - 0.5], order=1)
            inside = (u > w) & (u < 79 * w) & (v > w) & (v < 47 * w)
            result = with_pillow(soft[:, :, None], name, numbers, Image.Resampling.BILINEAR)[:, :, 0]
            assert np.abs(result - np.floor(expected + 1e-9))[inside].max() <= 1
            assert (result == np.floor(expected + 1e-9))[inside].mean() > 0.999


@pytest.mark.parametrize("nothing", [STILL, {"op": "perspective", "shift": [0, 0]}], ids=["affine", "perspective"])
@pytest.mark.parametrize("resample", FILTERS)
@pytest.mark.parametrize("shape", [(64, 64, 1), (31, 20, 3), (1, 1, 1)], ids=str)
def test_no_strength_changes_nothing(nothing: dict[str, Any], resample: str, shape: Shape) -> None:
    """An operation of no strength gives the picture back as it was, by either engine."""
    recipe, pictures = recipe_of({**nothing, "resample": resample}), pictures_of(shape, 6, seed=8)
    for engine in (PILLOW, engine_named("compiled")):
        assert np.array_equal(distort(pictures, recipe, draw(recipe, shape, "f", 0, 0, 6), engine), pictures)


@pytest.mark.parametrize("keys", [{"op": "affine", "shift_x": [-0.3, 0.3]}, {"op": "perspective"}], ids=str)
def test_ink_that_leaves_is_measured(keys: dict[str, Any]) -> None:
    """What stays is the ink of the pixels whose centre the inverse of the matrix sends into the frame."""
    operation, shape = operation_of(keys), (40, 30, 1)
    drawn, pictures = parameters_of(keys, shape, 20), pictures_of(shape, 20, seed=9)
    y, x = np.mgrid[:40, :30] + 0.5
    for matrix, picture, (kept, whole) in zip(
        as_three_by_three(drawn["matrix"]), pictures, operation.ink(pictures, drawn), strict=True
    ):
        u, v, w = np.einsum("ij,jyx->iyx", np.linalg.inv(matrix), np.stack([x, y, np.ones_like(x)]))
        inside = (u >= 0) & (u < 30 * w) & (v >= 0) & (v < 40 * w)
        assert kept == picture[:, :, 0][inside].sum(dtype=int)
        assert whole == picture.sum(dtype=int)


# --- What is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"op": "affine", "degrees": [-400, 0]}, r"degrees = \[-400, 0\] is out of bounds; expected .* -360"),
        ({"op": "affine", "shear_x": [0, 2]}, r"shear_x = \[0, 2\] is out of bounds; expected .* 1$"),
        ({"op": "affine", "shear_y": 0.1}, r"shear_y = 0.1; expected \[low, high\]"),
        ({"op": "affine", "scale": [0, 1]}, r"scale = \[0, 1\] is out of bounds; expected .* 0.1 <= low"),
        ({"op": "affine", "aspect": [2, 1]}, r"aspect = \[2, 1\] is upside down"),
        ({"op": "affine", "shift_x": [-2, 2]}, r"shift_x = \[-2, 2\] is out of bounds"),
        ({"op": "affine", "resample": "lanczos"}, "resample = 'lanczos'; expected one of nearest, bilinear, bicubic"),
        ({"op": "perspective", "resample": 2}, "resample = 2; expected one of nearest, bilinear, bicubic"),
        ({"op": "perspective", "resample": ["nearest"]}, r"resample = \['nearest'\]; expected one of"),
        ({"op": "perspective", "shift": [0, 0.2]}, r"shift = \[0, 0.2\] is out of bounds; expected .* 0.15"),
        ({"op": "perspective", "degrees": [0, 1]}, "degrees: unknown key; expected resample, shift"),
    ],
    ids=str,
)
def test_what_is_refused(keys: dict[str, Any], text: str) -> None:
    """A wrong key says which, what was received, and what is expected."""
    with pytest.raises(ValueError, match=text):
        recipe_of(keys)


def test_settings_survive_json() -> None:
    """The settings, filter included, are plain values that make the operation again."""
    for operation in (Affine(resample="bicubic"), Perspective(shift=(0.0, 0.1))):
        plain = json.loads(json.dumps(operation.settings()))
        assert type(operation)(**plain) == operation
