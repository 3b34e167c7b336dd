"""Mistyped names: each message suggests the closest valid one, before anything slow is imported."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

import epochbank
import epochbank.augment.cli
import epochbank.train.cli
from epochbank.augment.shared.closest import closest, did_you_mean

SETS = ("digits-kanji-1f2e3d4c", "letters-photo-0a1b2c3d")

TYPOS = {
    "command of augment": (["augment", "inspct", "digits"], "inspect"),
    "command of train": (["train", "evalute"], "evaluate"),
    "option": (["augment", "run", "digits", "--epoch", "3"], "--epochs"),
    "option of train": (["train", "fit", "--learing-rate", "1"], "--learning-rate"),
    "recipe": (["augment", "plan", "digits", "--recipe", "kanij"], "kanji"),
    "operation": (["augment", "plan", "digits", "--recipe", "operation.toml"], "rotate"),
    "parameter": (["augment", "plan", "digits", "--recipe", "parameter.toml"], "degrees"),
    "codec": (["augment", "run", "digits", "--codec", "ztsd"], "zstd"),
    "engine": (["augment", "run", "digits", "--engine", "compield"], "compiled"),
    "color": (["augment", "run", "digits", "--color", "gry"], "gray"),
    "kind of source": (["augment", "inspect", "nzp:arrays.npz"], "npz"),
    "key of arrays": (["augment", "inspect", "arrays.npz", "--images-key", "pictrues"], "pictures"),
    "set": (["train", "fit", "digits-kanji-1f2e3d4d"], SETS[0]),
    "set by its beginning": (["augment", "info", "letters"], SETS[1]),
    "model": (["train", "fit", "--model", "cnn-smal"], "cnn-small"),
    "precision": (["train", "fit", "--precision", "mixed_flaot16"], "mixed_float16"),
    "run": (["train", "evaluate", "runs/frist"], "first"),
    "split": (["train", "evaluate", "--split", "tset"], "test"),
    "format": (["train", "export", "runs/first", "--format", "tflight", "--out", "m.tflite"], "tflite"),
}
"""What a user types, and what they meant."""

OTHER_MISTAKES = {
    "batch size of the wrong type": (["train", "fit", "--batch-size", "many"], "--batch-size"),
    "batch without originals": (["train", "fit", "--batch-size", "1"], "Use a larger batch"),
    "existing run directory": (["train", "fit", "--run", "runs/first"], "expected a new run directory"),
    "module of a model": (["train", "fit", "--model", "my_modles:wide"], "Did you mean `my_models`?"),
    "unknown image": (["train", "predict", "runs/first", "gone.png"], "image gone.png does not exist"),
}
"""Other mistakes in options of training that are found before TensorFlow is imported."""

GUARD = """
import sys
class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras", "torch", "jax"):
            raise SystemExit(f"{name} was imported")
sys.meta_path.insert(0, Guard())
from epochbank.{0}.cli import main
sys.argv = ["{0}", *sys.argv[1:]]
main()
"""
"""Runs a command line, and ends with a message as soon as a framework is imported."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a set, a run, recipes, arrays and a module."""
    folder = tmp_path_factory.mktemp("typos")
    np.savez(folder / "arrays.npz", pictures=np.zeros((4, 8, 8), np.uint8), labels=[0, 0, 1, 1])
    for name, operation in (("operation", 'op = "rotat"'), ("parameter", 'op = "rotate", degrese = [-5, 5]')):
        (folder / f"{name}.toml").write_text(f"[[stage]]\noperation = [{{ {operation} }}]\n")
    (folder / "my_models.py").write_text("raise SystemExit('the module was executed')\n")
    made = epochbank.generate("digits", epochs=1, size=(8, 8), limit=200, jobs=1, sets=folder / "sets")
    for name in SETS:
        made.path.rename(folder / "sets" / name) if name == SETS[0] else (folder / "sets" / name).mkdir()
    (folder / "sets" / SETS[1] / "set.json").write_text("{}")
    os.utime(folder / "sets" / SETS[1] / "set.json", (1, 1))
    (folder / "runs/first").mkdir(parents=True)
    (folder / "runs/first/config.json").write_text(json.dumps({"set": {"path": "x", "fingerprint": "x"}}))
    return folder


def answer(folder: Path, words: list[str]) -> str:
    """Run a command, and return what it prints on standard error."""
    program, *rest = words
    command = [sys.executable, "-c", GUARD.replace("{0}", program), *rest]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (1, 2), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "was imported" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("typo", TYPOS)
def test_a_typo_gets_a_suggestion_before_a_framework_is_imported(folder: Path, typo: str) -> None:
    """The message ends with the closest valid name."""
    words, meant = TYPOS[typo]
    shown = answer(folder, words)
    assert "Did you mean" in shown, shown
    assert meant in shown.split("Did you mean")[1], shown


@pytest.mark.parametrize("mistake", OTHER_MISTAKES)
def test_other_mistakes_are_found_before_a_framework_is_imported(folder: Path, mistake: str) -> None:
    words, message = OTHER_MISTAKES[mistake]
    assert message in answer(folder, words)


@pytest.mark.parametrize(
    ("name", "names", "found"),
    [
        ("tset", ["train", "test"], "test"),
        ("Kanji", ["kanji", "kana"], "kanji"),
        ("cnn_small", ["cnn", "cnn-small"], "cnn-small"),
        ("letters", ["letters-photo-0a1b2c3d", "digits"], "letters-photo-0a1b2c3d"),
        ("x", ["zstd", "lz4"], None),
        ("zstd", [], None),
        ("", ["zstd"], None),
    ],
)
def test_the_closest_name(name: str, names: list[str], found: str | None) -> None:
    """Letters in another order, case, `_` for `-` and the beginning of a name are recognized; a stranger is not."""
    assert closest(name, names) == found
    assert did_you_mean(name, names) == ("" if found is None else f" Did you mean `{found}`?")


@pytest.mark.parametrize("word", ["color", "colour"])
def test_color_is_suggested_to_be_rgb(word: str) -> None:
    """`--color colour` is refused with the word as it was given, and the mode that is meant."""
    result = CliRunner().invoke(epochbank.augment.cli.main, ["import", "digits", "o.h5", "--color", word])
    assert result.exit_code == 2
    assert f"'{word}' is not one of 'auto', 'gray', 'rgb'. Did you mean `rgb`?" in result.output


@pytest.mark.parametrize("words", [["--colour", "gray"], ["--color", "grey"], ["--colour=grey"]])
def test_british_spellings_are_options_and_values(tmp_path: Path, npz: Path, words: list[str]) -> None:
    """`--colour grey` is `--color gray`, without a message."""
    out = tmp_path / "out.h5"
    result = CliRunner().invoke(epochbank.augment.cli.main, ["import", str(npz), str(out), "--jobs", "1", *words])
    assert result.exit_code == 0, result.output
    assert "renamed" not in result.stderr
    assert "is now called" not in result.stderr


def test_british_values_in_python(npz: Path, tmp_path: Path) -> None:
    """`color="grey"` is `color="gray"`."""
    digests = {
        epochbank.import_source(npz, tmp_path / f"{color}.h5", color=color, jobs=1).digest  # type: ignore[arg-type]
        for color in ("grey", "gray")
    }
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("keywords", "meant"), [({"codec": "ztsd"}, "zstd"), ({"engine": "pilow"}, "pillow"), ({"color": "gry"}, "gray")]
)
def test_values_of_keywords_get_suggestions(npz: Path, tmp_path: Path, keywords: dict[str, Any], meant: str) -> None:
    with pytest.raises(epochbank.EpochbankError, match=f"Did you mean `{meant}`"):
        epochbank.plan(npz, sets=tmp_path, **keywords)


def test_a_keyword_gets_a_suggestion(npz: Path) -> None:
    with pytest.raises(TypeError, match="Did you mean `validation`"):
        epochbank.plan(npz, validaton=0.2)  # type: ignore[call-arg]


def test_the_names_of_models_are_those_of_the_module_with_the_models() -> None:
    """The list that is read before Keras is imported names every built-in model."""
    from epochbank.train.training.model_names import MODEL_NAMES
    from epochbank.train.training.models import BUILT_IN

    assert tuple(BUILT_IN) == MODEL_NAMES


@pytest.mark.parametrize("program", [epochbank.augment.cli.main, epochbank.train.cli.main])
def test_every_choice_suggests(program: click.Group) -> None:
    """All options with a choice use the type that suggests the closest value."""
    from epochbank.augment.console import Choice

    for name, command in program.commands.items():
        for option in command.params:
            assert not isinstance(option.type, click.Choice) or isinstance(option.type, Choice), (name, option.name)
