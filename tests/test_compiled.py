"""The compiled engine in whole recipes, and the choice of the engine; test_operation_contract.py has the operations."""

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

import epochbank.augment.distortion.choose_engine as engine
from conftest import images_of
from epochbank.augment.cli import main
from epochbank.augment.distortion.choose_engine import choose_engine, engine_named, self_check
from epochbank.augment.distortion.distort import distort
from epochbank.augment.distortion.draw import draw
from epochbank.augment.distortion.engine import PILLOW
from epochbank.augment.distortion.operations import BUILT_IN
from epochbank.augment.distortion.recipe import Recipe, built_in_names, load_recipe
from epochbank.augment.errors import EpochbankError
from operation_battery import Shape, assert_same, recipe_of

# --- Whole recipes -----------------------------------------------------------------------------------------


def assert_engines_agree_on(recipe: Recipe, images: np.ndarray, epoch: int = 0) -> None:
    """Images and lost ink of every stage are the same with both engines."""
    drawn = draw(recipe, images.shape[1:], "f", epoch, 0, len(images))
    lost, expected_lost = np.empty((2, len(images), len(recipe.stages)))
    before = images.copy()
    result = distort(images, recipe, drawn, engine_named("compiled"), lost=lost)
    assert_same(result, distort(images, recipe, drawn, PILLOW, lost=expected_lost))
    assert np.array_equal(lost, expected_lost)
    assert np.array_equal(images, before)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", built_in_names())
def test_engines_agree_on_built_in_recipes(name: str, channels: int) -> None:
    """The engines compute the same images and lost ink, stage after stage."""
    if name != "photo" or channels == 3:
        assert_engines_agree_on(load_recipe(name), images_of((64, 64, channels), 60, seed=2), epoch=5)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270, -90, 360, 1e-9, -1e-9, 45, 14.999999999, 0.5])
@pytest.mark.parametrize("shape", [(64, 64, 1), (31, 20, 3)], ids=str)
def test_engines_agree_on_particular_angles(degrees: float, shape: Shape) -> None:
    """Angles that Pillow treats separately may be mixed with others in one block."""
    recipe = recipe_of([{"op": "rotate", "degrees": [degrees] * 2}, {"op": "rotate"}])
    assert_engines_agree_on(recipe, images_of(shape, 40, seed=3))


@pytest.mark.long
@pytest.mark.parametrize("name", ["kanji", "kanji-strong", "handwriting"])
def test_engines_agree_on_built_in_recipes_many_times(name: str) -> None:
    """The engines agree on 20,000 draws of each built-in recipe for 64 x 64."""
    for epoch in range(40):
        assert_engines_agree_on(load_recipe(name), images_of((64, 64, 1), 500, seed=epoch), epoch)


def test_custom_operations_run_in_the_compiled_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A custom operation, which has no kernel, shares a stage with operations that have one."""
    (tmp_path / "mine_for_engine.py").write_text("def turn(image, generator):\n    return image[::-1].copy()\n")
    monkeypatch.chdir(tmp_path)
    recipe = recipe_of([{"op": "mine_for_engine:turn"}, {"op": "blur"}], {"op": "sine"})
    assert_engines_agree_on(recipe, images_of((20, 20, 1), 30, seed=4))


# --- Choosing the engine -----------------------------------------------------------------------------------


@pytest.fixture
def other_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Pillow whose blur gives other pixels, as a new release might."""
    blur, apply = BUILT_IN["blur"], BUILT_IN["blur"].apply
    monkeypatch.setattr(blur, "apply", lambda self, image, *, radius: apply(self, image, radius=radius + 0.01))


def test_compiled_engine_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    """`auto` chooses the compiled engine if Numba is installed and agrees with Pillow, and prints nothing about it."""
    assert choose_engine("auto", load_recipe("kanji"), (64, 64, 1)).name == "compiled"
    assert choose_engine("pillow", load_recipe("kanji"), (64, 64, 1)) is PILLOW
    assert "Pillow" not in capsys.readouterr().err


@pytest.mark.usefixtures("other_pillow")
def test_another_pillow_is_detected_before_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    """`auto` falls back to Pillow and prints why; `compiled` is refused."""
    recipe = load_recipe("kanji")
    assert self_check(engine_named("compiled"), recipe, (64, 64, 1)) == ["blur"]
    assert choose_engine("auto", recipe, (64, 64, 1)) is PILLOW
    message = "the compiled engine differs from the installed Pillow in blur: this run falls back to Pillow"
    assert message in capsys.readouterr().err
    with pytest.raises(
        EpochbankError,
        match=r"--engine compiled: the compiled engine differs .* in blur\. Omit the option or use --engine pillow",
    ):
        choose_engine("compiled", recipe, (64, 64, 1))


@pytest.fixture
def without_numba(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Python without Numba."""
    for name in [name for name in sys.modules if name.startswith("epochbank.augment.distortion.compiled")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "numba", None)
    engine_named.cache_clear()
    yield
    engine_named.cache_clear()


@pytest.mark.usefixtures("without_numba")
def test_without_numba_the_run_uses_pillow(npz: Path, tmp_path: Path) -> None:
    """The run continues with Pillow and prints why; `--engine compiled` is refused with what to install."""
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
def test_a_numba_that_cannot_compile_or_cache_stops_no_run(npz: Path, tmp_path: Path, trouble: dict[str, str]) -> None:
    """With compilation disabled, or without a directory for the cache, the run succeeds without a traceback."""
    words = ["run", str(npz), "--sets", str(tmp_path / "sets"), "--limit", "40", "--epochs", "1", "--jobs", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "epochbank.augment", *words],
        capture_output=True,
        text=True,
        env=os.environ | trouble,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_failed_compilation_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """If the compiler raises, the run falls back to Pillow and prints the error."""

    def broken(*_: Any) -> None:
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(engine, "engine_named", lambda name: replace(engine_named(name), apply=broken))
    assert choose_engine("auto", load_recipe("kanji"), (8, 8, 1)) is PILLOW
    assert "cannot be compiled here (RuntimeError: no such instruction)" in capsys.readouterr().err
