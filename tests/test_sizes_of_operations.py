"""Ranges in pixels scale with the image if the recipe says so, and a recipe says for which sizes it is meant."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from conftest import glyphs
from epochbank.augment.cli import main
from epochbank.augment.distortion.operations import BUILT_IN
from epochbank.augment.distortion.recipe import built_in_names, load_recipe, parse_recipe
from epochbank.augment.distortion.suitability import size_warning
from operation_battery import operation_of, parameters_of, recipe_of

SCALED = {"blur": {"radius": 1}, "stroke": {"strength": 1}, "elastic": {"alpha": 2, "sigma": 1}}
"""Operations with ranges in pixels: the parameters, and the power of the side that they grow with."""


def test_operations_with_ranges_in_pixels() -> None:
    """Exactly these operations have the key `pixels_at`; it is not stored if it is not given."""
    assert {name for name, one in BUILT_IN.items() if "pixels_at" in one.__dataclass_fields__} == SCALED.keys()
    for name in SCALED:
        assert "pixels_at" not in operation_of({"op": name}).settings()
        assert operation_of({"op": name, "pixels_at": 64}).settings()["pixels_at"] == 64


@pytest.mark.parametrize("shape", [(28, 28, 1), (64, 64, 3), (9, 12, 1), (128, 300, 3)])
@pytest.mark.parametrize("name", SCALED)
def test_pixels_scale_with_the_shorter_side(name: str, shape: tuple[int, int, int]) -> None:
    """Parameters are those of 64 x 64, times the shorter side / 64; the square of it for alpha."""
    keys = {"op": name, "pixels_at": 64}
    expected, found = parameters_of({"op": name}, shape, 20), parameters_of(keys, shape, 20)
    for parameter, power in SCALED[name].items():
        values = expected[parameter] * (min(shape[:2]) / 64) ** power
        assert np.abs(found[parameter] - values).max() <= (1 / 128 if name == "stroke" else 1e-9)
    at_64 = (64, 80, 1)
    for parameter, values in parameters_of(keys, at_64, 20).items():
        assert np.array_equal(values, parameters_of({"op": name}, at_64, 20)[parameter])


def test_scaled_pixels_stay_in_bounds() -> None:
    """A large image gets at most what the operation accepts."""
    shape = (4096, 4096, 1)
    for name, bounds in (
        ("blur", {"radius": 100}),
        ("stroke", {"strength": 8}),
        ("elastic", {"alpha": 10_000, "sigma": 64}),
    ):
        drawn = operation_of({"op": name, "pixels_at": 1}).parameters(np.full((2, 3), 0.9), shape)
        assert {parameter: float(np.abs(drawn[parameter]).max()) for parameter in bounds} == bounds


def test_pixels_at_of_a_recipe_applies_to_all_operations() -> None:
    """At the top of a recipe it is the default of each operation that has ranges in pixels."""
    recipe = recipe_of([{"op": "blur"}, {"op": "rotate"}, {"op": "stroke", "pixels_at": 32}], pixels_at=64)
    blur, rotate, stroke = (choice.operation.settings() for choice in recipe.stages[0].choices)
    assert (blur["pixels_at"], stroke["pixels_at"]) == (64, 32)
    assert "pixels_at" not in rotate
    assert (
        recipe.settings()
        == recipe_of([{"op": "blur", "pixels_at": 64}, {"op": "rotate"}, {"op": "stroke", "pixels_at": 32}]).settings()
    )


@pytest.mark.parametrize("value", [0, 4097, 1.5, "64", True, [64]])
def test_invalid_pixels_at_is_refused(value: Any) -> None:
    """It is a side of an image in whole pixels."""
    for keys in ({"pixels_at": value, "stage": [{"operation": [{"op": "blur"}]}]},
                 {"stage": [{"operation": [{"op": "blur", "pixels_at": value}]}]}):  # fmt: skip
        with pytest.raises(ValueError, match=r"pixels_at = .*; expected a whole number of pixels from 1 to 4096"):
            parse_recipe({"name": "x", **keys})


@pytest.mark.parametrize("value", [[64], [0, 64], [64, 32], [1, 5000], [1.5, 64], "48:128", 48, [True, 64]])
def test_invalid_sizes_are_refused(value: Any) -> None:
    """`sizes` is the least and the largest shorter side."""
    with pytest.raises(ValueError, match=r"sizes = .*; expected \[least, largest\], sides in pixels from 1 to 4096"):
        recipe_of({"op": "blur"}, sizes=value)


def test_sizes_warn_and_change_no_set() -> None:
    """A recipe warns for smaller and larger images; its settings, and so the fingerprint, do not have the sizes."""
    recipe = recipe_of({"op": "blur"}, sizes=[48, 128])
    assert size_warning(recipe, (48, 200, 1)) is size_warning(recipe, (128, 128, 3)) is None
    small, large = size_warning(recipe, (47, 64, 1)), size_warning(recipe, (129, 130, 1))
    assert small is not None
    assert "at least 48 pixels, but these have 47" in small
    assert large is not None
    assert "at most 128 pixels, but these have 129" in large
    assert recipe.settings() == recipe_of({"op": "blur"}).settings()


def test_built_in_recipes_at_common_sizes() -> None:
    """The recipes for kanji warn at 28 x 28; `handwriting` and `photo` suit every size; none warns at 64 x 64."""
    warned = {name for name in built_in_names() if size_warning(load_recipe(name), (28, 28, 1))}
    assert warned == {"kanji", "kanji-strong"}
    assert not any(size_warning(load_recipe(name), (64, 64, 1)) for name in built_in_names())


def test_plan_run_and_preview_warn(tmp_path: Path) -> None:
    """All three print the size, and `run` does so before it generates."""
    source = tmp_path / "small.npz"
    np.savez(source, images=glyphs(60, (9, 12, 1)), labels=np.arange(60) % 3)
    sets = ["--sets", str(tmp_path / "sets"), "--jobs", "1"]
    for words in (["plan", *sets], ["preview", "--out", str(tmp_path / "p.png")], ["run", "--epochs", "1", *sets]):
        result = CliRunner().invoke(main, [words[0], str(source), *words[1:]])
        assert result.exit_code == 0, result.output
        assert (
            "recipe kanji is meant for images whose shorter side has at least 40 pixels, but these have 9"
            in result.output
        )
        assert "--recipe handwriting" in result.output
