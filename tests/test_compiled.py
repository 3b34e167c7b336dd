"""The compiled engine gives Pillow's pixels and ink, to the bit, for every operation, size, mode and parameter."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import epochbank.augment.distortion.compiled as compiled
import epochbank.augment.distortion.engine as engine
from conftest import SHAPES, pictures_of
from epochbank.augment.cli import main
from epochbank.augment.distortion.distort import distort
from epochbank.augment.distortion.draw import draw
from epochbank.augment.distortion.engine import PILLOW, choose_engine, engine_named, self_check
from epochbank.augment.distortion.operations import BUILT_IN
from epochbank.augment.distortion.recipe import Recipe, load_recipe, parse_recipe
from epochbank.augment.errors import EpochbankError

Shape = tuple[int, int, int]

WIDE: dict[str, dict[str, Any]] = {
    "rotate": {"op": "rotate", "degrees": [-360, 360]},
    "rotate a little": {"op": "rotate"},
    "shear": {"op": "shear", "x": [-3, 3], "y": [-3, 3]},
    "shear a little": {"op": "shear"},
    "scale": {"op": "scale", "width": [0, 1], "height": [0, 1]},
    "sine": {"op": "sine", "strength": [-3, 3]},
    "sine of every column": {"op": "sine", "strength": [-3, 3], "per_column": True},
    "blur": {"op": "blur", "radius": [0, 6]},
    "blur a little": {"op": "blur"},
    "sharpen": {"op": "sharpen"},
    "smooth": {"op": "smooth"},
    "elastic": {"op": "elastic", "alpha": [0, 400], "sigma": [0, 12]},
    "affine": {"op": "affine"},
    "affine, nearest": {"op": "affine", "degrees": [-180, 180], "scale": [0.3, 3], "resample": "nearest"},
    "affine, bilinear": {"op": "affine", "degrees": [-180, 180], "scale": [0.3, 3], "shift_x": [-1, 1]},
    "affine, bicubic": {"op": "affine", "degrees": [-180, 180], "aspect": [0.5, 2], "resample": "bicubic"},
    "perspective": {"op": "perspective"},
    "perspective, nearest": {"op": "perspective", "resample": "nearest"},
    "perspective, bicubic": {"op": "perspective", "resample": "bicubic"},
    "stroke": {"op": "stroke", "strength": [-3, 3]},
    "noise": {"op": "noise", "amount": [0, 128]},
    "contrast": {"op": "contrast", "brightness": [-1, 1], "contrast": [0, 4], "gamma": [0.2, 5]},
    "erase": {"op": "erase", "boxes": [0, 5], "width": [0, 1], "height": [0, 1], "fill": 77},
    "flip": {"op": "flip"},
    "flip both": {"op": "flip", "vertical": True},
    "crop": {"op": "crop", "area": [0.05, 1]},
    "colour": {"op": "colour", "brightness": [0, 2], "saturation": [0, 2], "hue": [-0.5, 0.5]},
}
"""Recipes of one operation each, over ranges at their widest."""


def recipe_of(what: str) -> Recipe:
    return parse_recipe({"name": "test", "stage": [{"operation": [WIDE[what]]}]})


def suits(what: str, channels: int) -> bool:
    return what != "colour" or channels == 3


def assert_engines_agree(recipe: Recipe, pictures: np.ndarray, epoch: int) -> None:
    count = len(pictures)
    drawn = draw(recipe, pictures.shape[1:], "f", epoch, 0, count)
    lost, other = np.empty((count, len(recipe.stages))), np.empty((count, len(recipe.stages)))
    kept = pictures.copy()
    expected = distort(pictures, recipe, drawn, PILLOW, lost=lost)
    result = distort(pictures, recipe, drawn, engine_named("compiled"), lost=other)
    assert np.array_equal(pictures, kept)
    differing = np.flatnonzero((result != expected).reshape(count, -1).any(1))
    assert not len(differing), f"{len(differing)} of {count}, the first by {drawn.applied(recipe)[differing[0]]}"
    assert np.array_equal(lost, other)


def test_every_operation_is_here_and_has_a_kernel() -> None:
    """No operation joins the built-in ones without a kernel and a place in these tests, unless it says so itself."""
    compilable = {name for name, operation in BUILT_IN.items() if operation.compilable}
    assert compilable == compiled.KERNELS.keys() == {recipe["op"] for recipe in WIDE.values()}
    for name, operation in BUILT_IN.items():
        assert operation.name == name


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("what", WIDE)
def test_engines_agree(what: str, shape: Shape) -> None:
    """Pixels and lost ink are the same over wide ranges, whatever the size."""
    if suits(what, shape[2]):
        assert_engines_agree(recipe_of(what), pictures_of(shape, 15, seed=1), epoch=0)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    what=st.sampled_from(sorted(WIDE)),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    channels=st.sampled_from([1, 3]),
    epoch=st.integers(0, 1 << 20),
)
def test_engines_agree_on_any_size(what: str, height: int, width: int, channels: int, epoch: int) -> None:
    """So they are for any size and any draw."""
    if suits(what, channels):
        assert_engines_agree(recipe_of(what), pictures_of((height, width, channels), 6, seed=epoch % 97), epoch)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["kanji", "kanji-strong", "handwriting", "photo"])
def test_engines_agree_on_built_in_recipes(name: str, channels: int) -> None:
    """So they are for whole recipes, stage after stage."""
    if name != "photo" or channels == 3:
        assert_engines_agree(load_recipe(name), pictures_of((64, 64, channels), 60, seed=2), epoch=5)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270, -90, 360, 1e-9, -1e-9, 45, 14.999999999, 0.5])
@pytest.mark.parametrize("shape", [(64, 64, 1), (31, 20, 3)], ids=str)
def test_particular_angles(degrees: float, shape: Shape) -> None:
    """So they are for angles that Pillow treats apart, among others that it does not."""
    recipe = parse_recipe(
        {"name": "t", "stage": [{"operation": [{"op": "rotate", "degrees": [degrees] * 2}, {"op": "rotate"}]}]}
    )
    assert_engines_agree(recipe, pictures_of(shape, 40, seed=3), epoch=0)


@pytest.mark.long
@pytest.mark.parametrize("what", WIDE)
def test_engines_agree_many_times(what: str) -> None:
    """More than 5,000 drawn parameters for each of these, 140,000 in all, over hundreds of sizes."""
    random, recipe = np.random.default_rng(11), recipe_of(what)
    for epoch in range(65):
        channels = 3 if what == "colour" else int(random.choice([1, 3]))
        shape = (int(random.integers(1, 81)), int(random.integers(1, 81)), channels)
        assert_engines_agree(recipe, pictures_of(shape, 80, seed=epoch), epoch)


@pytest.mark.long
@pytest.mark.parametrize("name", ["kanji", "kanji-strong", "handwriting"])
def test_engines_agree_on_built_in_recipes_many_times(name: str) -> None:
    """20,000 draws of each built-in recipe for 64 x 64."""
    for epoch in range(40):
        assert_engines_agree(load_recipe(name), pictures_of((64, 64, 1), 500, seed=epoch), epoch)


# --- Choosing the engine -----------------------------------------------------------------------------------


@pytest.fixture
def other_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Pillow whose blur computes otherwise, as a release might."""
    blur, apply = BUILT_IN["blur"], BUILT_IN["blur"].apply
    monkeypatch.setattr(blur, "apply", lambda self, image, *, radius: apply(self, image, radius=radius + 0.01))


def test_the_compiled_engine_is_chosen_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """Where Numba is installed and agrees with Pillow; nothing is said of it."""
    assert choose_engine("auto", load_recipe("kanji"), (64, 64, 1)).name == "compiled"
    choose_engine("auto", load_recipe("kanji"), (64, 64, 1))
    assert choose_engine("pillow", load_recipe("kanji"), (64, 64, 1)) is PILLOW
    assert "Pillow" not in capsys.readouterr().err


@pytest.mark.usefixtures("other_pillow")
def test_another_pillow_is_noticed_before_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    """The run falls back to Pillow and says why; it refuses where the compiled engine was asked for."""
    recipe = load_recipe("kanji")
    assert self_check(engine_named("compiled"), recipe, (64, 64, 1)) == ["blur"]
    assert choose_engine("auto", recipe, (64, 64, 1)) is PILLOW
    assert (
        "the compiled engine differs from the installed Pillow in blur: this run uses Pillow" in capsys.readouterr().err
    )
    with pytest.raises(
        EpochbankError, match=r"--engine compiled: the compiled engine differs .* in blur\. Leave it out"
    ):
        choose_engine("compiled", recipe, (64, 64, 1))


@pytest.fixture
def without_numba(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if Numba were not installed."""
    for name in [name for name in sys.modules if name.startswith("epochbank.augment.distortion.compiled")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "numba", None)
    engine_named.cache_clear()
    yield
    engine_named.cache_clear()


@pytest.mark.usefixtures("without_numba")
def test_without_numba_pillow_does_it(npz: Path, tmp_path: Path) -> None:
    """The run says so and goes on; asked for, the compiled engine is refused with what to install."""
    words = ["run", str(npz), "--sets", str(tmp_path / "sets"), "--epochs", "1", "--jobs", "1"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert "needs Numba, which cannot be imported" in done.stderr
    assert "pillow engine" in done.stdout
    refused = CliRunner().invoke(main, [*words, "--seed", "1", "--engine", "compiled"])
    assert refused.exit_code == 2
    assert "pip install numba" in refused.output


@pytest.mark.parametrize(
    "trouble", [{"NUMBA_DISABLE_JIT": "1"}, {"NUMBA_CACHE_DIR": "/proc/none", "HOME": "/proc/none"}]
)
def test_a_numba_that_cannot_do_is_no_traceback(npz: Path, tmp_path: Path, trouble: dict[str, str]) -> None:
    """Switched off, or without a place for its cache: the run succeeds, with whichever engine."""
    command = [
        sys.executable,
        "-m",
        "epochbank.augment",
        "run",
        str(npz),
        "--sets",
        str(tmp_path / "sets"),
        "--limit",
        "40",
    ]
    done = subprocess.run(
        [*command, "--epochs", "1", "--jobs", "1"],
        capture_output=True,
        text=True,
        env=os.environ | trouble,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_operations_without_a_kernel_are_done_by_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operation of one's own runs within the compiled engine, and leaves the others' pixels alone."""
    (tmp_path / "mine_for_engine.py").write_text("def turn(picture, generator):\n    return picture[::-1].copy()\n")
    monkeypatch.chdir(tmp_path)
    stages = [{"operation": [{"op": "mine_for_engine:turn"}, {"op": "blur"}]}, {"operation": [{"op": "sine"}]}]
    assert_engines_agree(parse_recipe({"name": "t", "stage": stages}), pictures_of((20, 20, 1), 30, seed=4), epoch=0)


def test_a_kernel_that_fails_to_compile_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the compiler raises, the run goes on with Pillow and says what it was."""

    def broken(*_: Any) -> None:
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(engine, "engine_named", lambda name: replace(engine_named(name), apply=broken))
    assert choose_engine("auto", load_recipe("kanji"), (8, 8, 1)) is PILLOW
    assert "cannot be compiled here (RuntimeError: no such instruction)" in capsys.readouterr().err
