"""The command lines as a person meets them: help, examples, README, what may import what."""

import importlib
import json
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import epochbank.augment.cli
import epochbank.train.cli
from conftest import glyphs
from epochbank.augment.distortion.recipe import built_in_names

ROOT = Path(__file__).parents[1]
GROUPS = {"augment": epochbank.augment.cli.main, "train": epochbank.train.cli.main}
COMMANDS = [(group, name) for group, commands in GROUPS.items() for name in sorted(commands.commands)]


def invoke(group: str, *words: str) -> str:
    done = CliRunner().invoke(GROUPS[group], list(words))
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize(("group", "name"), COMMANDS)
def test_every_command_has_help_that_ends_in_examples_of_itself(group: str, name: str) -> None:
    """Each help has an example; each example is a call of that command with options that exist."""
    command = GROUPS[group].commands[name]
    text = click.unstyle(command.get_help(click.Context(command, info_name=f"{group} {name}")))
    examples = re.findall(rf"^ +({group} {name}.*)$", text.split("Example")[1].split("Options:")[0], re.MULTILINE)
    assert examples
    for example in examples:
        words = shlex.split(example.split(" > ")[0])[2:]
        command.make_context(name, words)


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_is_described(group: str) -> None:
    """No option without a help text."""
    for name, command in GROUPS[group].commands.items():
        silent = [option.name for option in command.params if isinstance(option, click.Option) and not option.help]
        assert not silent, name


def test_the_command_line_reference_is_what_the_help_says() -> None:
    """docs/cli.md is generated: `make docs` changes nothing."""
    made = subprocess.run(
        [sys.executable, ROOT / "docs/make_cli.py", "--print"], capture_output=True, text=True, check=True
    )
    assert (ROOT / "docs/cli.md").read_text() == made.stdout


def test_the_commands_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every `augment` and `train` line in README's shell blocks, in order, on digits made few."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    commands = [line for line in lines if line.split(" ")[0] in GROUPS and not re.search("omniglot|etl", line)]
    assert len(commands) >= 8
    made = ""
    for line in commands:
        group, *words = shlex.split(line, comments=True)
        if words[0] in ("run", "plan", "preview") and "digits" in words:
            words += ["--limit", "200"]
        if "--resume" in words:  # As if it had been killed before its end.
            next(Path("runs").glob("*/summary.json")).unlink()
        elif words[0] == "fit":
            words += ["--epochs", "1", "--batch-size", "32"]
        if words[0] == "bench":
            words += ["--seconds", "0", "--steps", "2"]
        places = {"SET": "sets/digits-*", "runs/RUN": "runs/*"}
        made += invoke(group, *(str(next(Path().glob(places[word]))) if word in places else word for word in words))
    assert "accuracy" in made


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """README's Python block, on the newest set."""
    monkeypatch.chdir(tmp_path)
    invoke("augment", "run", "digits", "--limit", "200", "--epochs", "2", "--jobs", "1")
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names: dict = {}
    exec(block.replace("epochs=100", "epochs=1"), names)
    assert len(names["data"][0][1]) > 0


def test_split_acts_on_a_source_file_in_plan_and_run(tmp_path: Path) -> None:
    """Parts that a source file names are obeyed, or not, as --split says; `plan` and `run` tell the same."""
    source, file = tmp_path / "parted.npz", tmp_path / "parted.h5"
    parts = np.where(np.arange(90) < 60, "train", "test")
    np.savez(source, images=glyphs(90), labels=np.arange(90) % 3, parts=parts)
    invoke("augment", "import", str(source), str(file), "--jobs", "1")
    words = [str(file), "--epochs", "1", "--sets", str(tmp_path / "sets"), "--jobs", "1"]
    for split, images in (("source", 30), ("fractions", 9)):
        for command in ("plan", "run"):
            assert f"test       {images} pictures" in invoke("augment", command, *words, "--split", split)


def test_info_list_and_plan_say_what_scripts_need(npz: Path, tmp_path: Path) -> None:
    """The JSON of `info` and `list` has the promised keys; `plan` reckons what `run` then writes."""
    sets = str(tmp_path / "sets")
    words = [str(npz), "--epochs", "2", "--sets", sets, "--jobs", "1"]
    planned = invoke("augment", "plan", *words)
    assert not (tmp_path / "sets").exists()
    assert "300 of 20 x 16 grey, 6 classes" in planned
    assert "train      240 pictures (80.0 %), 6 of 6 classes, 8 groups" in planned
    assert "780 pictures" in planned
    invoke("augment", "run", *words)
    facts = json.loads(invoke("augment", "info", "--sets", sets, "--json"))
    # `list` counts what was drawn again, and leaves it to `info` to look into the shards for more.
    counts = {name: facts["redrawn"][name] for name in ("images", "undistorted")}
    assert json.loads(invoke("augment", "list", "--sets", sets, "--json")) == [facts | {"redrawn": counts}]
    assert {"path", "fingerprint", "images", "classes", "shape", "codec", "bytes", "epochs"} <= set(facts)
    assert [set(epoch) for epoch in facts["epochs"]] == [{"epoch", "images", "bytes", "digest"}] * 2
    assert (facts["images"], facts["shape"]) == ({"train": 240, "validation": 30, "test": 30}, [20, 16, 1])
    shards = [path.stat().st_size for path in Path(facts["path"]).glob("*/*.h5")]
    assert facts["bytes"] == sum(shards)
    assert "nothing" in invoke("augment", "plan", *words)
    assert "240 pictures" in invoke("augment", "plan", *words, "--epochs", "3")


def test_print_path_prints_the_path_alone(npz: Path, tmp_path: Path) -> None:
    """For scripts: the set's directory on standard output, whether it was made or was there."""
    words = ["run", str(npz), "--epochs", "1", "--sets", str(tmp_path / "sets"), "--jobs", "1", "--print-path"]
    told = {CliRunner().invoke(epochbank.augment.cli.main, words).stdout for _ in range(2)}
    (path,) = told
    assert (Path(path.strip()) / "set.json").exists()


def test_preview_and_explain_draw_sheets(npz: Path, tmp_path: Path) -> None:
    """PNGs of a source, of a set, and of one picture; an older sheet of ours is replaced."""
    sets = str(tmp_path / "sets")
    source, stored, one = (tmp_path / f"{name}.png" for name in ("source", "stored", "one"))
    invoke("augment", "preview", str(npz), "--out", str(source))
    path = invoke("augment", "run", str(npz), "--epochs", "2", "--sets", sets, "--print-path").splitlines()[-1]
    for _ in range(2):
        invoke("augment", "preview", path, "--out", str(stored))
    invoke("augment", "explain", path, "1", "7", "--out", str(one))
    sizes = {}
    for png in (source, stored, one):
        with Image.open(png) as picture:
            assert len(picture.convert("L").getcolors()) > 20
            sizes[png.stem] = picture.size
    assert sizes["source"][0] > 2 * sizes["stored"][0]
    assert sizes["stored"][1] > 3 * sizes["one"][1]


def test_recipes_are_listed_and_printed_to_start_from(tmp_path: Path, npz: Path) -> None:
    """`augment recipes kanji` prints a file that makes the same set as the built-in recipe."""
    assert [line.split()[0] for line in invoke("augment", "recipes").splitlines()] == built_in_names()
    (tmp_path / "mine.toml").write_text(invoke("augment", "recipes", "kanji"))
    usual = invoke("augment", "run", str(npz), "--sets", str(tmp_path), "--epochs", "1", "--print-path")
    words = ["--recipe", str(tmp_path / "mine.toml"), "--sets", str(tmp_path), "--epochs", "1", "--print-path"]
    assert invoke("augment", "run", str(npz), *words).splitlines()[-1] == usual.splitlines()[-1]


@pytest.mark.parametrize("group", GROUPS)
def test_help_imports_nothing_slow(group: str) -> None:
    """`--help` starts fast because it loads neither NumPy nor what is built on it."""
    slow = ("numpy", "h5py", "keras", "joblib", "rich")
    code = f"import sys, epochbank.{group}.cli; print([name for name in {slow} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("package", ["epochbank.augment", "epochbank.train"])
def test_everything_public_has_a_docstring(package: str) -> None:
    """Modules, functions, classes and methods without a leading underscore."""
    root = importlib.import_module(package)
    names = [package, *(module.name for module in pkgutil.walk_packages(root.__path__, f"{package}."))]
    for name in names:
        if name.endswith("__main__"):
            continue
        module = importlib.import_module(name)
        assert module.__doc__, name
        for attribute, value in vars(module).items():
            if not attribute.startswith("_") and callable(value) and getattr(value, "__module__", "") == name:
                assert getattr(value, "__doc__", None), f"{name}.{attribute}"
