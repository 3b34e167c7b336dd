"""Affine and perspective: matrices compared with other computations, pixels with Pillow called directly."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from conftest import SHAPES, images_of
from epochbank.augment.distortion.choose_engine import engine_named
from epochbank.augment.distortion.distort import distort
from epochbank.augment.distortion.draw import draw
from epochbank.augment.distortion.operations import Perspective
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

FILTERS = ("nearest", "bilinear", "bicubic")

WIDEST: Table = {
    "op": "affine",
    "degrees": [-360, 360],
    "shear_x": [-1, 1],
    "shear_y": [-1, 1],
    "scale": [0.1, 10],
    "aspect": [0.1, 10],
    "shift_x": [-1, 1],
    "shift_y": [-1, 1],
}

IDENTITY: Table = {
    "op": "affine",
    "degrees": [0, 0],
    "shear_x": [0, 0],
    "shear_y": [0, 0],
    "scale": [1, 1],
    "shift_x": [0, 0],
    "shift_y": [0, 0],
}

VARIANTS = {name: keys for name, keys in variants().items() if keys["op"] in ("affine", "perspective")}


def with_pillow(image: np.ndarray, op: str, matrix: list[float], resample: int) -> np.ndarray:
    pil_image = to_pillow(image)
    method = {"affine": Image.Transform.AFFINE, "perspective": Image.Transform.PERSPECTIVE}[op]
    return np.asarray(pil_image.transform(pil_image.size, method, matrix, resample)).reshape(image.shape)


def one(keys: Table, image: np.ndarray) -> np.ndarray:
    """Return `image` (H, W) distorted by one operation."""
    return distorted(image[None, :, :, None], keys)[0, :, :, 0]


def as_three_by_three(matrices: np.ndarray) -> np.ndarray:
    """Return Pillow's six or eight numbers as matrices (n, 3, 3)."""
    last = [[0, 0, 1]] if matrices.shape[1] == 6 else [[1]]
    return np.concatenate([matrices, np.repeat(last, len(matrices), 0)], 1).reshape(-1, 3, 3)


# --- Pixels from the reported parameters ------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("keys", VARIANTS.values(), ids=VARIANTS.keys())
def test_pixels_are_those_of_pillow(keys: Table, shape: Shape) -> None:
    """Pillow makes the same images from the reported matrix and filter."""
    recipe, images = recipe_of(keys), images_of(shape, 9, seed=1)
    drawn = draw(recipe, shape, "f", 0, 0, 9)
    result = distort(images, recipe, drawn)
    for image, after, (applied,) in zip(images, result, drawn.applied(recipe), strict=True):
        facts = through_json(applied.parameters)
        assert np.array_equal(after, with_pillow(image, applied.op, facts["matrix"], facts["resample"]))
        assert facts["resample"] == Image.Resampling[keys.get("resample", "bilinear").upper()]


@pytest.mark.parametrize("shape", [(64, 64, 1), (20, 31, 3)], ids=str)
@pytest.mark.parametrize("resample", FILTERS)
@pytest.mark.parametrize(
    "matrix",
    [
        (1.1, 0.1, 1 / 3, -0.2, 0.9, 2 / 7),  # not on the grid
        (1, 0.5, 40000, 0.5, 1, 0),  # beyond fixed point
        (1, 0.25, -0.5, 0.25, 1, 0.5),  # along the edges of the pixels
        (2.0**-14, 1, 0, 1, 2.0**-14, 0),
        (0, 0, 10.25, 0, 0, 7.75),
        (1, 0, 0.5, 0, 1, 0.5),
    ],
)
def test_compiled_engine_with_other_matrices(matrix: tuple[float, ...], resample: str, shape: Shape) -> None:
    """Matrices that are never drawn work as well, on the grid and off it, with small and large numbers."""
    images, members = images_of(shape, 6, seed=3), np.arange(6)
    for op, numbers in (("affine", matrix), ("perspective", (*matrix, 1e-3, -1e-3))):
        parameters = parameters_of({"op": op, "resample": resample}, shape, 6)
        parameters["matrix"][::2] = numbers
        target = np.full_like(images, 77)
        engine_named("compiled").apply(
            operation_of({"op": op, "resample": resample}), images, target, members, parameters
        )
        filter_ = int(Image.Resampling[resample.upper()])
        expected = [with_pillow(*pair, filter_) for pair in zip(images, [op] * 6, parameters["matrix"], strict=True)]
        assert np.array_equal(target, expected)


# --- The matrices ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [{"op": "affine"}, WIDEST], ids=["affine", "widest"])
@pytest.mark.parametrize("shape", [(64, 64, 1), (30, 100, 1), (224, 224, 1)], ids=str)
def test_affine_matrix_shears_scales_rotates_and_shifts(keys: Table, shape: Shape) -> None:
    """The matrix is the inverse of the documented steps, in their order, about the center."""
    drawn, (height, width, _) = parameters_of(keys, shape, 200), shape
    center = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    for number, matrix in enumerate(as_three_by_three(drawn["matrix"])):
        of = {name: column[number] for name, column in drawn.items() if column.ndim == 1}
        angle, root = math.radians(of["degrees"]), math.sqrt(of["aspect"])
        unshear = np.array([[1, of["shear_x"], 0], [of["shear_y"], 1, 0], [0, 0, 1]])
        enlarge = np.diag([of["scale"] * root, of["scale"] / root, 1])
        # Rows run downward, so a counter-clockwise rotation takes (1, 0) to (cos, -sin).
        rotate = np.array([[math.cos(angle), math.sin(angle), 0], [-math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
        shift = np.array([[1, 0, of["shift_x"] * width], [0, 1, of["shift_y"] * height], [0, 0, 1]])
        to_target = np.linalg.inv(center) @ shift @ rotate @ enlarge
        expected = np.linalg.inv(center) @ unshear @ center @ np.linalg.inv(to_target @ center)
        assert np.allclose(matrix[:, :2], expected[:, :2], rtol=0, atol=2**-15 + 1e-9)
        # The offsets compensate for the rounded steps, so that the error at the center is that of half a side at most.
        middle = np.array([width / 2, height / 2, 1])
        assert np.allclose(matrix @ middle, expected @ middle, rtol=0, atol=(height + width) * 2**-14)


def test_affine_stays_within_its_ranges() -> None:
    """Every number is drawn uniformly from its range, aspect on a logarithmic scale, independent of the others."""
    drawn = parameters_of(WIDEST, (20, 20, 1), 20000)
    for name in ("degrees", "shear_x", "shear_y", "scale", "shift_x", "shift_y"):
        low, high = WIDEST[name]
        assert drawn[name].min() >= low
        assert drawn[name].max() <= high
        assert np.histogram(drawn[name], 10, (low, high))[0].min() > 1800
    assert np.histogram(np.log(drawn["aspect"]), 10, (math.log(0.1), math.log(10)))[0].min() > 1800
    numbers = np.stack([column for name, column in drawn.items() if column.ndim == 1 and name != "resample"])
    assert np.abs(np.corrcoef(numbers) - np.eye(7)).max() < 0.05


def test_perspective_moves_the_corners_to_the_reported_places() -> None:
    """The matrix solves the usual eight equations; corners move within the range of `shift`."""
    for shape in ((64, 64, 1), (30, 100, 1), (224, 224, 1)):
        height, width, _ = shape
        drawn = parameters_of({"op": "perspective", "shift": [-0.15, 0.1]}, shape, 300)
        before = np.array([[0, 0], [width, 0], [width, height], [0, height]])
        inwards = (drawn["corners"] - before) * [[1, 1], [-1, 1], [-1, -1], [1, -1]] / [width, height]
        assert inwards.min() >= -0.15 - 1e-12
        assert inwards.max() <= 0.1 + 1e-12
        assert np.histogram(inwards, 10, (-0.15, 0.1))[0].min() > 150
        for corners, matrix in zip(drawn["corners"], drawn["matrix"], strict=True):
            equations, right = [], []
            for (x, y), (u, v) in zip(corners, before, strict=True):
                equations += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
                right += [u, v]
            expected = np.linalg.solve(equations, right)
            scale = np.array([1, 1, width, 1, 1, height, 1 / width, 1 / height])
            assert np.allclose(matrix / scale, expected / scale, rtol=0, atol=1e-6)


@settings(deadline=None, max_examples=300)
@given(corners=st.lists(st.one_of(st.sampled_from([-0.15, 0.15]), st.floats(-0.15, 0.15)), min_size=8, max_size=8))
def test_perspective_keeps_the_horizon_outside(corners: list[float]) -> None:
    """Pillow's divisor stays above 0 in the whole image, however far the corners move."""
    operation = Perspective(shift=(-0.15, 0.15))
    uniform = (np.array([corners]) + 0.15) / 0.3
    matrix = operation.parameters(uniform, (100, 100, 1))["matrix"][0]
    assert min(matrix[6] * x + matrix[7] * y + 1 for x in (0, 100) for y in (0, 100)) > 0.05


@pytest.mark.parametrize("keys", [WIDEST, {"op": "perspective", "shift": [-0.15, 0.15]}], ids=["affine", "perspective"])
@pytest.mark.parametrize("shape", [(64, 64, 1), (3000, 2000, 1)], ids=str)
def test_sums_of_pillow_are_exact(keys: Table, shape: Shape) -> None:
    """Doubles represent every product and sum of a matrix with a pixel exactly, so that fusing them changes nothing."""
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


def test_affine_rotates_counter_clockwise_as_rotate_does() -> None:
    """A rotation without other steps is `Image.rotate` with the same filter, except for the grid."""
    soft = ndimage.gaussian_filter(images_of((64, 64, 1), 1, seed=5)[0, :, :, 0], 2)
    expected = np.asarray(Image.fromarray(soft).rotate(7, Image.Resampling.BILINEAR))
    rotated = one({**IDENTITY, "degrees": [7, 7]}, soft)
    assert np.abs(rotated.astype(int) - expected)[8:-8, 8:-8].max() <= 1
    arm = np.zeros((64, 64), np.uint8)
    arm[30:34, 50:] = 200  # Points right; after the rotation it points up and right.
    rows, columns = np.nonzero(one({**IDENTITY, "degrees": [15, 15]}, arm))
    assert rows.mean() < 28
    assert columns.mean() > 50


def test_affine_shears_as_shear_does() -> None:
    """`shear_x` is the x of `shear`, source columns per row, but about the center."""
    soft = ndimage.gaussian_filter(images_of((64, 64, 1), 1, seed=6)[0, :, :, 0], 2)
    image = Image.fromarray(soft)
    matrix = (1, 0.25, -0.25 * 32, 0.125, 1, -0.125 * 32)
    expected = np.asarray(image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR))
    assert np.array_equal(one({**IDENTITY, "shear_x": [0.25, 0.25], "shear_y": [0.125, 0.125]}, soft), expected)


def test_affine_enlarges_widens_and_shifts() -> None:
    """A scale above 1 enlarges, an aspect above 1 widens, and shifts go right and down."""
    square = np.zeros((64, 64), np.uint8)
    square[28:36, 28:36] = 255
    larger = one({**IDENTITY, "scale": [2, 2]}, square)
    assert larger[25:39, 25:39].min() == 255
    assert larger.sum() / square.sum() == pytest.approx(4, rel=0.02)
    wider = one({**IDENTITY, "aspect": [4, 4]}, square)
    assert (wider.sum(0) > 0).sum() > 3 * (wider.sum(1) > 0).sum()
    assert wider.sum() / square.sum() == pytest.approx(1, rel=0.02)
    assert np.array_equal(
        one({**IDENTITY, "shift_x": [0.125, 0.125], "shift_y": [0.25, 0.25]}, square), np.roll(square, (16, 8), (0, 1))
    )


def test_bilinear_agrees_with_scipy() -> None:
    """Away from the edges, SciPy's linear interpolation at the same places differs by rounding only."""
    soft = ndimage.gaussian_filter(images_of((48, 80, 1), 1, seed=7)[0, :, :, 0], 1)
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


@pytest.mark.parametrize("keys", [{"op": "affine", "shift_x": [-0.3, 0.3]}, {"op": "perspective"}], ids=str)
def test_ink_that_leaves_the_frame_is_measured(keys: Table) -> None:
    """The ink that remains is that of the pixels whose center the inverse of the matrix moves into the frame."""
    operation, shape = operation_of(keys), (40, 30, 1)
    drawn, images = parameters_of(keys, shape, 20), images_of(shape, 20, seed=9)
    y, x = np.mgrid[:40, :30] + 0.5
    for matrix, image, (kept, whole) in zip(
        as_three_by_three(drawn["matrix"]), images, operation.ink(images, drawn), strict=True
    ):
        u, v, w = np.einsum("ij,jyx->iyx", np.linalg.inv(matrix), np.stack([x, y, np.ones_like(x)]))
        inside = (u >= 0) & (u < 30 * w) & (v >= 0) & (v < 40 * w)
        assert kept == image[:, :, 0][inside].sum(dtype=int)
        assert whole == image.sum(dtype=int)
