"""The draw: distributed as in the table of distortions.md, and a pure function of the position."""

import itertools
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epochbank.augment.distortion.draw import Draw, draw
from epochbank.augment.distortion.recipe import Recipe, load_recipe
from epochbank.augment.store.description import fingerprint_of
from operation_battery import recipe_of

few = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])

SHAPE = (64, 64, 1)
GEOMETRY = ["rotate", "shear", "scale", "sine"]
FILTERS = ["blur", "sharpen", "smooth"]
COUNT = 60_000
"""Positions drawn for the statistics; the fingerprint is fixed, so that these tests are deterministic."""


def plain(drawn: Draw, recipe: Recipe) -> list[list[tuple[str, dict[str, Any]]]]:
    """Return what is applied to each image, in plain numbers that can be compared."""
    return [
        [
            (
                one.op,
                {
                    name: value.tolist() if isinstance(value, np.ndarray) else value
                    for name, value in one.parameters.items()
                    if name != "generator"
                },
            )
            for one in image
        ]
        for image in drawn.applied(recipe)
    ]


@cache
def drawn_of(name: str) -> dict[str, Any]:
    """Return `ops`, the operation of each stage by position, and the parameters of each operation as arrays."""
    recipe, run = load_recipe(name), 10_000
    ops: list[list[str]] = []
    parameters: dict[str, dict[str, list[Any]]] = {}
    for start in range(0, COUNT, run):
        for image in draw(recipe, SHAPE, "statistics", 0, start, start + run).applied(recipe):
            ops.append([one.op for one in image])
            for one in image:
                for key, value in one.parameters.items():
                    parameters.setdefault(one.op, {}).setdefault(key, []).append(value)
    arrays = {op: {key: np.array(value) for key, value in of.items()} for op, of in parameters.items()}
    return {"ops": np.array(ops), **arrays}


def assert_within_chance(chi_square: float, freedom: int) -> None:
    """The sum is below the five-sigma limit (one in three million, by Wilson and Hilferty)."""
    limit = freedom * (1 - 2 / (9 * freedom) + 5 * math.sqrt(2 / (9 * freedom))) ** 3
    assert chi_square < limit, (chi_square, limit, freedom)


def assert_even(values: np.ndarray, possible: Any, shares: Any = None) -> None:
    """By chi-square, `values` are distributed over `possible` as in `shares`, by default evenly."""
    found, counts = np.unique(values, return_counts=True)
    assert set(found.tolist()) == set(possible)
    observed = dict(zip(found.tolist(), counts.tolist(), strict=True))
    expected = len(values) * (np.full(len(possible), 1 / len(possible)) if shares is None else np.array(shares))
    counted = np.array([observed[value] for value in possible])
    spread = float(((counted - expected) ** 2 / expected).sum())
    assert_within_chance(spread, len(possible) - 1)


def assert_uniform(values: np.ndarray, low: float, high: float) -> None:
    """`values` are uniform in [low, high] and come near both ends."""
    assert values.dtype == np.float64
    assert values.min() >= low
    assert values.max() <= high
    near = 20 * (high - low) / len(values)
    assert values.min() < low + near
    assert values.max() > high - near
    assert_even(np.minimum((values - low) / (high - low) * 40, 39).astype(int), range(40))


def assert_independent(one: np.ndarray, other: np.ndarray) -> None:
    """By chi-square, two columns of a few names or numbers are independent."""
    rows, columns = np.unique(one, return_inverse=True)[1], np.unique(other, return_inverse=True)[1]
    table = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(table, (rows, columns), 1)
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    assert_within_chance(((table - expected) ** 2 / expected).sum(), (table.shape[0] - 1) * (table.shape[1] - 1))


def strengths(shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and largest strength that rolls column i by `shift[..., i]` in distortions.md.

    If trunc(s c) = k, then s c is in [k, k + 1), (k - 1, k] or (-1, 1). A column with c = 0 allows any strength.
    """
    factor = np.array([64 / 3 * math.sin(-2 * math.pi * column * (2 / 64)) for column in range(64)])
    reach = shift * np.sign(factor)  # of s |c|
    low = np.where(reach > 0, reach, reach - 1) / np.maximum(np.abs(factor), 1e-9)
    high = np.where(reach < 0, reach, reach + 1) / np.maximum(np.abs(factor), 1e-9)
    assert np.all(shift[..., np.abs(factor) < 1e-9] == 0)
    return low, high


@pytest.mark.parametrize("name", ["kanji", "kanji-strong"])
class TestBuiltInRecipe:
    def test_one_geometric_operation_then_one_filter(self, name: str) -> None:
        """An image gets one of the four geometric operations, then one of the three filters, with equal probability."""
        ops = drawn_of(name)["ops"]
        assert ops.shape == (COUNT, 2)
        assert_even(ops[:, 0], GEOMETRY)
        assert_even(ops[:, 1], FILTERS)

    def test_stages_and_neighbors_are_independent(self, name: str) -> None:
        """The choice depends neither on the other stage nor on earlier positions."""
        ops = drawn_of(name)["ops"]
        assert_independent(ops[:, 0], ops[:, 1])
        for level in (0, 1):
            for lag in (1, 2, 3, 4, 64):
                assert_independent(ops[:-lag, level], ops[lag:, level])
        assert_independent(ops[:-1, 0], ops[1:, 1])

    def test_choice_is_even_in_every_part_of_the_epoch(self, name: str) -> None:
        """Every part of the epoch has the operations in the same proportions."""
        ops = drawn_of(name)["ops"]
        assert_independent(ops[:, 0], np.arange(COUNT) // 2000)
        assert_independent(ops[:, 0], np.arange(COUNT) % 64)

    def test_rotate(self, name: str) -> None:
        """Degrees are uniform in [-15, 15], and in [-30, 30] for kanji-strong."""
        limit = {"kanji": 15, "kanji-strong": 30}[name]
        assert drawn_of(name)["rotate"].keys() == {"degrees"}
        assert_uniform(drawn_of(name)["rotate"]["degrees"], -limit, limit)

    def test_shear(self, name: str) -> None:
        """x and y are uniform in [-0.2, 0.2], independently of each other."""
        shear = drawn_of(name)["shear"]
        assert shear.keys() == {"x", "y"}
        assert_uniform(shear["x"], -0.2, 0.2)
        assert_uniform(shear["y"], -0.2, 0.2)
        assert_independent((shear["x"] * 25).round(), (shear["y"] * 25).round())

    def test_scale(self, name: str) -> None:
        """Sides are uniform integers in [25, 62] (kanji-strong: [20, 62]), offsets in [0, 63 - side]."""
        lowest = {"kanji": 25, "kanji-strong": 20}[name]
        scale = drawn_of(name)["scale"]
        assert scale.keys() == {"width", "height", "left", "top"}
        for side, offset in (("width", "left"), ("height", "top")):
            assert scale[side].dtype == np.int64
            assert scale[offset].dtype == np.int64
            assert_even(scale[side], range(lowest, 63))
            assert scale[offset].min() == 0
            room = 63 - scale[side]
            assert np.all(scale[offset] <= room)
            for pixels in range(lowest, 63):
                at = scale[offset][scale[side] == pixels]
                if 63 - pixels <= 20:  # Enough draws to see every offset many times.
                    assert_even(at, range(64 - pixels))
                else:
                    assert at.min() <= 2
                    assert at.max() >= 63 - pixels - 2
            assert np.any(scale[offset][scale[side] == lowest] == 63 - lowest)
        assert_independent(scale["width"] // 8, scale["height"] // 8)
        assert_independent(scale["left"] > (63 - scale["width"]) / 2, scale["top"] > (63 - scale["height"]) / 2)
        assert_independent(scale["width"] // 8, scale["top"] / (64 - scale["height"]) > 0.5)

    def test_blur(self, name: str) -> None:
        """The radius is uniform in [0.5, 1.2]; the other filters have no parameters."""
        assert drawn_of(name)["blur"].keys() == {"radius"}
        assert_uniform(drawn_of(name)["blur"]["radius"], 0.5, 1.2)
        assert drawn_of(name).keys() == {"ops", "rotate", "shear", "scale", "sine", "blur"}

    def test_neighboring_parameters_are_uncorrelated(self, name: str) -> None:
        """One draw is not correlated with the next."""
        for op, key in (("rotate", "degrees"), ("shear", "x"), ("shear", "y"), ("scale", "width"), ("blur", "radius")):
            values = drawn_of(name)[op][key]
            for lag in (1, 2, 3):
                assert abs(np.corrcoef(values[:-lag], values[lag:])[0, 1]) < 5 / math.sqrt(len(values))


def test_kanji_wave_has_one_strength_and_a_random_sign() -> None:
    """In kanji all columns share one strength in [0.15, 0.2], and both signs are equally likely."""
    shift = drawn_of("kanji")["sine"]["shift"]
    assert drawn_of("kanji")["sine"].keys() == {"shift"}
    assert shift.dtype == np.int64
    assert shift.shape[1:] == (64,)
    low, high = (edge.astype(float) for edge in strengths(shift))
    least, most = low.max(axis=1), high.min(axis=1)
    assert np.all(least <= most)  # A single strength explains every column.
    assert np.all(np.maximum(least, -0.2) <= np.minimum(most, 0.2))
    negative = most < 0
    assert np.all((least > 0) | negative)
    assert np.all(np.where(negative, -least, most) >= 0.15)
    assert_even(negative, [False, True])
    # 0.15 to 0.2 of 64 / 3 rows: the deepest column is rolled by 3 or 4, with 4 from 0.1875 on.
    deepest = np.abs(shift).max(axis=1)
    assert_even(deepest, [3, 4], [0.75, 0.25])


def test_strong_wave_is_ragged_and_positive() -> None:
    """In kanji-strong every column has a separate strength in [0.15, 0.2], never a negative one."""
    shift = drawn_of("kanji-strong")["sine"]["shift"]
    low, high = (edge.astype(float) for edge in strengths(shift))
    assert np.all(np.maximum(low, 0.15) <= np.minimum(high, 0.2) + 1e-12)
    # For few images only, a single strength explains all columns.
    assert np.mean(low.max(axis=1) > high.min(axis=1)) > 0.9
    # The factor of column 16 is 64 / 3 * sin(-pi) = 0; that of column 8 is the largest.
    assert_even(shift[:, 8], [-4, -3], [0.25, 0.75])
    assert_even(shift[:, 24], [3, 4], [0.75, 0.25])
    assert_independent(shift[:, 8], shift[:, 9])
    assert_independent(shift[:, 8], shift[:, 24])


def test_scale_is_a_fraction_of_each_side() -> None:
    """For another image size, width and height are the same fractions of its sides."""
    recipe = recipe_of({"op": "scale", "width": [25 / 64, 62 / 64], "height": [0.5, 0.75]})
    drawn = [one.parameters for (one,) in draw(recipe, (32, 128, 3), "f", 0, 0, 20_000).applied(recipe)]
    assert {one["width"] for one in drawn} == set(range(50, 125))
    assert {one["height"] for one in drawn} == set(range(16, 25))
    assert all(0 <= one["left"] <= 127 - one["width"] and 0 <= one["top"] <= 31 - one["height"] for one in drawn)
    assert max(one["left"] for one in drawn) > 70
    assert {one["top"] for one in drawn} == set(range(16))


def test_scale_of_the_whole_side_stays_where_it_is() -> None:
    """A side at full size has offset 0, and no side becomes shorter than one pixel."""
    recipe = recipe_of({"op": "scale", "width": [1, 1], "height": [0, 0]})
    for (one,) in draw(recipe, (10, 7, 1), "f", 0, 0, 50).applied(recipe):
        assert (one.parameters["width"], one.parameters["left"]) == (7, 0)
        assert one.parameters["height"] == 1
        assert 0 <= one.parameters["top"] <= 8


def test_weights_are_respected() -> None:
    """Operations are drawn in proportion to their weights; an operation of weight 0 is never drawn."""
    operations = [
        {"op": "smooth", "weight": 0},
        {"op": "rotate", "weight": 3},
        {"op": "sharpen", "weight": 0},
        {"op": "shear", "weight": 1},
        {"op": "blur", "weight": 0.5},
        {"op": "sine", "weight": 0},
    ]
    recipe = recipe_of(operations)
    ops = np.array([one.op for (one,) in draw(recipe, SHAPE, "weights", 0, 0, 45_000).applied(recipe)])
    assert_even(ops, ["rotate", "shear", "blur"], [3 / 4.5, 1 / 4.5, 0.5 / 4.5])


@pytest.mark.parametrize("probability", [0, 0.01, 0.3, 0.5, 1])
def test_stage_probability_is_respected(probability: float) -> None:
    """A stage is applied with its probability (never at 0, always at 1), independently of the other stages."""
    recipe = recipe_of(
        {"probability": probability, "operation": [{"op": "rotate"}, {"op": "shear"}]},
        {"probability": 0.5, "operation": [{"op": "smooth"}, {"op": "blur"}]},
    )
    count = 40_000
    images = draw(recipe, SHAPE, "probability", 0, 0, count).applied(recipe)
    first = np.array([any(one.op in GEOMETRY for one in image) for image in images])
    second = np.array([any(one.op in FILTERS for one in image) for image in images])
    assert abs(first.mean() - probability) <= 5 * math.sqrt(probability * (1 - probability) / count)
    assert abs(second.mean() - 0.5) < 5 * math.sqrt(0.25 / count)
    if 0 < probability < 1:
        assert_independent(first, second)
        assert_independent(first[:-1], first[1:])
        chosen = np.array([image[0].op for image in images if image and image[0].op in GEOMETRY])
        assert abs((chosen == "rotate").mean() - 0.5) < 5 * math.sqrt(0.25 / len(chosen))


@few
@given(
    name=st.sampled_from(["kanji", "kanji-strong"]),
    epoch=st.integers(0, 10_000),
    start=st.one_of(st.integers(0, 1000), st.integers(10**9, 10**12)),
    cuts=st.lists(st.integers(0, 60), max_size=6),
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 3])),
)
def test_draws_do_not_depend_on_how_positions_are_divided(
    name: str, epoch: int, start: int, cuts: list[int], shape: tuple[int, int, int]
) -> None:
    """However positions are divided into runs, even empty ones, each position gets the same draw."""
    recipe, stop = load_recipe(name), start + 60
    edges = [start, *sorted(start + cut for cut in cuts), stop]
    whole = plain(draw(recipe, shape, "cuts", epoch, start, stop), recipe)
    assert len(whole) == 60
    divided = [
        image
        for low, high in itertools.pairwise(edges)
        for image in plain(draw(recipe, shape, "cuts", epoch, low, high), recipe)
    ]
    assert divided == whole


def test_every_position_of_every_epoch_has_a_different_draw() -> None:
    """No number is drawn twice, at any position, epoch, stage or fingerprint."""
    rotation = {"op": "rotate", "degrees": [-180, 180]}
    recipe = recipe_of(rotation, rotation)
    seen: list[float] = []
    for fingerprint in ("a", "b", fingerprint_of({"seed": 1}), fingerprint_of({"seed": 2})):
        for epoch in (0, 1, 2, 10, 11, 100):
            for image in draw(recipe, SHAPE, fingerprint, epoch, 0, 500).applied(recipe):
                seen += [one.parameters["degrees"] for one in image]
    assert len(seen) == 4 * 6 * 500 * 2
    assert len(set(seen)) == len(seen)


def test_epochs_are_uncorrelated() -> None:
    """The draw at a position is not correlated with the draw at the same position of another epoch."""
    recipe = recipe_of({"op": "rotate"})
    epochs = [
        np.array([one.parameters["degrees"] for (one,) in draw(recipe, SHAPE, "f", epoch, 0, 4000).applied(recipe)])
        for epoch in range(6)
    ]
    table = np.corrcoef(epochs)
    assert np.abs(table - np.eye(6)).max() < 5 / math.sqrt(4000)


def test_draw_is_deterministic() -> None:
    """Two calls give the same draw."""
    recipe = load_recipe("kanji")
    assert plain(draw(recipe, SHAPE, "f", 3, 5, 50), recipe) == plain(draw(recipe, SHAPE, "f", 3, 5, 50), recipe)


def test_shift_follows_the_formula_of_the_table() -> None:
    """Column i is rolled by trunc(s (H / 3) sin(-2 pi i (2 / W))) rows, for any size."""
    for strength, shape in ((0.17, (64, 64, 1)), (0.2, (48, 80, 3)), (-0.15, (33, 7, 1)), (3.0, (5, 31, 1))):
        recipe = recipe_of(
            {"op": "sine", "strength": [strength] * 2, "random_sign": False},
            {"op": "sine", "strength": [strength] * 2, "random_sign": False, "per_column": True},
        )
        height, width, _ = shape
        expected = [
            math.trunc(strength * (height / 3) * math.sin(-2 * math.pi * i * (2 / width))) for i in range(width)
        ]
        for image in draw(recipe, shape, "f", 0, 0, 3).applied(recipe):
            assert [one.parameters["shift"].tolist() for one in image] == [expected, expected]


def test_random_sign_of_every_column() -> None:
    """With `random_sign` and `per_column`, the sign of each column is drawn separately, both equally likely."""
    recipe = recipe_of({"op": "sine", "strength": [1, 1], "random_sign": True, "per_column": True})
    shift = np.array([one.parameters["shift"] for (one,) in draw(recipe, SHAPE, "f", 0, 0, 4000).applied(recipe)])
    for column in (3, 8, 24, 60):
        assert set(np.abs(shift[:, column])) == {abs(shift[0, column])}
        assert_even(np.sign(shift[:, column]), [-1, 1])
    assert_independent(np.sign(shift[:, 3]), np.sign(shift[:, 8]))


def test_parameters_are_plain_numbers() -> None:
    """Parameters are Python floats and integers, as JSON and Pillow need them; a shift is an array of integers."""
    kinds = {
        (one.op, key): type(value)
        for image in draw(load_recipe("kanji"), SHAPE, "f", 0, 0, 200).applied(load_recipe("kanji"))
        for one in image
        for key, value in one.parameters.items()
    }
    assert kinds == {
        ("rotate", "degrees"): float,
        ("shear", "x"): float,
        ("shear", "y"): float,
        **{("scale", key): int for key in ("width", "height", "left", "top")},
        ("sine", "shift"): np.ndarray,
        ("blur", "radius"): float,
    }


def test_golden() -> None:
    """The stream never changes: these positions of this fingerprint have these draws."""
    recipe = load_recipe("kanji")
    assert plain(draw(recipe, (64, 16, 1), "golden", 3, 1007, 1015), recipe) == GOLDEN


def test_golden_strong() -> None:
    """The same holds with a strength for every column, where an image needs more than one block of random numbers."""
    recipe = recipe_of(
        {
            "probability": 0.5,
            "operation": [
                {"op": "sine", "weight": 2, "strength": [0.5, 1], "random_sign": True, "per_column": True},
                {"op": "blur", "weight": 1},
            ],
        }
    )
    assert plain(draw(recipe, (30, 10, 1), "golden", 0, 7, 15), recipe) == GOLDEN_STRONG


def test_golden_generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The raw words of the generator of a custom operation never change either."""
    (tmp_path / "custom_golden.py").write_text("def same(image, generator):\n    return image\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    recipe = recipe_of({"op": "custom_golden:same"}, {"op": "custom_golden:same"})
    drawn = draw(recipe, SHAPE, "golden", 3, 1000, 1002).applied(recipe)
    words = [one.parameters["generator"].bit_generator.random_raw() for image in drawn for one in image]
    assert words == GOLDEN_WORDS


GOLDEN = [
    [("rotate", {"degrees": 1.8406368264133022}), ("blur", {"radius": 0.9893460042865908})],
    [("shear", {"x": -0.07122598393950594, "y": -0.18414515498197398}), ("smooth", {})],
    [("scale", {"height": 46, "left": 0, "top": 3, "width": 15}), ("smooth", {})],
    [("sine", {"shift": [0, -2, -3, -2, 0, 2, 3, 2, 0, -2, -3, -2, 0, 2, 3, 2]}), ("smooth", {})],
    [("shear", {"x": -0.18831207505002376, "y": 0.09874809090005676}), ("blur", {"radius": 0.939545367501317})],
    [("shear", {"x": 0.02634053481726434, "y": -0.020552467533575314}), ("smooth", {})],
    [("shear", {"x": 0.09767285833930484, "y": -0.1285811065218569}), ("smooth", {})],
    [("scale", {"height": 61, "left": 6, "top": 0, "width": 9}), ("sharpen", {})],
]

GOLDEN_STRONG = [
    [],
    [("blur", {"radius": 1.001491654063352})],
    [],
    [],
    [("sine", {"shift": [0, 9, 3, 3, -9, 0, -8, 3, 4, -7]})],
    [],
    [],
    [("sine", {"shift": [0, -7, 5, 4, 8, 0, 6, 4, -5, -7]})],
]

GOLDEN_WORDS = [15559151735442375696, 18026971964413530171, 1649653063915489792, 5240088524775498220]
