"""The command lines: help, examples, output for scripts, closed pipes, old option names."""

import importlib
import json
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

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
    result = CliRunner().invoke(GROUPS[group], list(words))
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize(("group", "name"), COMMANDS)
def test_every_help_has_valid_examples(group: str, name: str) -> None:
    """Each help text has at least one example, which calls that command with valid options."""
    command = GROUPS[group].commands[name]
    text = click.unstyle(command.get_help(click.Context(command, info_name=f"{group} {name}")))
    examples = re.findall(rf"^ +({group} {name}.*)$", text.split("Example")[1].split("Options:")[0], re.MULTILINE)
    assert examples
    for example in examples:
        words = shlex.split(example.split(" > ")[0])[2:]
        command.make_context(name, words)


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_is_described(group: str) -> None:
    """Every option has a help text."""
    for name, command in GROUPS[group].commands.items():
        undescribed = [one.name for one in command.params if isinstance(one, click.Option) and not one.help]
        assert not undescribed, name


def test_the_command_line_reference_is_up_to_date() -> None:
    """docs/cli.md equals what `make docs` generates from the help texts."""
    generated = subprocess.run(
        [sys.executable, ROOT / "docs/make_cli.py", "--print"], capture_output=True, text=True, check=True
    )
    assert (ROOT / "docs/cli.md").read_text() == generated.stdout


def test_split_applies_to_a_source_file_in_plan_and_run(tmp_path: Path) -> None:
    """`--split` selects the splits that a source file names, or fractions; `plan` and `run` print the same split."""
    source, file = tmp_path / "split.npz", tmp_path / "split.h5"
    splits = np.where(np.arange(90) < 60, "train", "test")
    np.savez(source, images=glyphs(90), labels=np.arange(90) % 3, splits=splits)
    invoke("augment", "import", str(source), str(file), "--jobs", "1")
    words = [str(file), "--epochs", "1", "--sets", str(tmp_path / "sets"), "--jobs", "1"]
    for split, num_images in (("source", 30), ("fractions", 9)):
        for command in ("plan", "run"):
            assert f"test       {num_images} images" in invoke("augment", command, *words, "--split", split)


def test_info_list_and_plan_print_what_scripts_need(npz: Path, tmp_path: Path) -> None:
    """The JSON of `info` and `list` has the documented keys, and `plan` prints what `run` then writes."""
    sets = str(tmp_path / "sets")
    words = [str(npz), "--epochs", "2", "--sets", sets, "--jobs", "1"]
    planned = invoke("augment", "plan", *words)
    assert not (tmp_path / "sets").exists()
    assert "300 of 20 x 16 gray, 6 classes" in planned
    assert "train      240 images (80.0 %), 6 of 6 classes, 8 groups" in planned
    assert "780 images" in planned
    invoke("augment", "run", *words)
    facts = json.loads(invoke("augment", "info", "--sets", sets, "--json"))
    # `list` has only the counts of the manifest; `info` also reads the rejected attempts from the shards.
    counts = {name: facts["resampled"][name] for name in ("images", "undistorted")}
    assert json.loads(invoke("augment", "list", "--sets", sets, "--json")) == [facts | {"resampled": counts}]
    assert {"path", "fingerprint", "images", "classes", "shape", "codec", "bytes", "epochs"} <= set(facts)
    assert [set(epoch) for epoch in facts["epochs"]] == [{"epoch", "images", "bytes", "digest"}] * 2
    assert (facts["images"], facts["shape"]) == ({"train": 240, "validation": 30, "test": 30}, [20, 16, 1])
    shards = [path.stat().st_size for path in Path(facts["path"]).glob("*/*.h5")]
    assert facts["bytes"] == sum(shards)
    assert "to write  nothing: the set is complete" in invoke("augment", "plan", *words)
    assert "240 images" in invoke("augment", "plan", *words, "--epochs", "3")


def test_print_path_prints_only_the_path(npz: Path, tmp_path: Path) -> None:
    """Standard output has only the set's directory, for a new set and for a complete one."""
    words = ["run", str(npz), "--epochs", "1", "--sets", str(tmp_path / "sets"), "--jobs", "1", "--print-path"]
    (path,) = {CliRunner().invoke(epochbank.augment.cli.main, words).stdout for _ in range(2)}
    assert (Path(path.strip()) / "set.json").exists()


def test_preview_and_explain_write_sheets(npz: Path, tmp_path: Path) -> None:
    """They write PNGs of a source, a set and one image, and replace a sheet that epochbank wrote."""
    sets = str(tmp_path / "sets")
    source, stored, one = (tmp_path / f"{name}.png" for name in ("source", "stored", "one"))
    invoke("augment", "preview", str(npz), "--out", str(source))
    path = invoke("augment", "run", str(npz), "--epochs", "2", "--sets", sets, "--print-path").splitlines()[-1]
    for _ in range(2):
        invoke("augment", "preview", path, "--out", str(stored))
    invoke("augment", "explain", path, "1", "7", "--out", str(one))
    sizes = {}
    for png in (source, stored, one):
        with Image.open(png) as image:
            assert len(image.convert("L").getcolors()) > 20
            sizes[png.stem] = image.size
    assert sizes["source"][0] > 2 * sizes["stored"][0]
    assert sizes["stored"][1] > 3 * sizes["one"][1]


def test_recipes_are_listed_and_printed(tmp_path: Path, npz: Path) -> None:
    """`augment recipes kanji` prints a file that identifies the same set as the built-in recipe."""
    assert [line.split()[0] for line in invoke("augment", "recipes").splitlines()] == built_in_names()
    (tmp_path / "mine.toml").write_text(invoke("augment", "recipes", "kanji"))
    built_in = invoke("augment", "run", str(npz), "--sets", str(tmp_path), "--epochs", "1", "--print-path")
    words = ["--recipe", str(tmp_path / "mine.toml"), "--sets", str(tmp_path), "--epochs", "1", "--print-path"]
    assert invoke("augment", "run", str(npz), *words).splitlines()[-1] == built_in.splitlines()[-1]


@pytest.mark.parametrize("group", GROUPS)
def test_help_imports_nothing_slow(group: str) -> None:
    """`--help` imports neither NumPy nor what depends on it, so it starts fast."""
    slow = ("numpy", "h5py", "keras", "joblib", "rich")
    code = f"import sys, epochbank.{group}.cli; print([name for name in {slow} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("package", ["epochbank.augment", "epochbank.train"])
def test_everything_public_has_a_docstring(package: str) -> None:
    """Modules, functions and classes without a leading underscore have docstrings."""
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


# --- Closed pipes --------------------------------------------------------------------------------------------

PROGRAMS = {
    group: ([str(Path(sys.executable).with_name(group))], [sys.executable, "-m", f"epochbank.{group}"])
    for group in GROUPS
}
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
"""Without its buffer, Python's print drops what is left of an incomplete write, without an error."""
PRINTING = {
    "augment": ("--help", "--version", "run --help", "recipes", "recipes kanji", "list"),
    "train": ("--help", "--version", "fit --help"),
}


@pytest.mark.parametrize(
    "command",
    [[*program, *words.split()] for group in GROUPS for program in PROGRAMS[group] for words in PRINTING[group]],
    ids=lambda command: " ".join(Path(word).name for word in command),
)
def test_a_closed_pipe_ends_a_command_quietly(tmp_path: Path, command: list[str]) -> None:
    """If the reader of standard output has ended, the exit code is 141 and standard error is empty."""
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as pipe:
        assert outcome(command, tmp_path, pipe) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", ["--help", "run --help", "recipes kanji"])
def test_output_that_cannot_be_written_is_an_error(tmp_path: Path, words: str) -> None:
    """If standard output is a file on a full disk, the command ends with a message and exit code 1."""
    with open("/dev/full", "wb") as full:
        code, message = outcome([*PROGRAMS["augment"][0], *words.split()], tmp_path, full)
    assert code == 1
    assert message.startswith("Error: [Errno 28] No space left on device")
    assert message.count("\n") == 1


def outcome(command: list[str], folder: Path, output: BinaryIO) -> tuple[int, str]:
    """Return exit code and standard error of a command that writes to `output`."""
    done = subprocess.run(
        command, stdout=output, stderr=subprocess.PIPE, text=True, cwd=folder, timeout=60, env=BUFFERED, check=False
    )
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def wordy_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set whose `augment info --json` is larger than a pipe's buffer (64 KiB), because its log is long."""
    folder = tmp_path_factory.mktemp("wordy")
    np.savez(folder / "s.npz", images=glyphs(30), labels=np.arange(30) % 3)
    words = ["run", str(folder / "s.npz"), "--epochs", "1", "--sets", str(folder), "--jobs", "1", "--print-path"]
    directory = Path(invoke("augment", *words).splitlines()[-1])
    log = directory / "log.jsonl"
    log.write_text(log.read_text() * 200)
    return directory


@pytest.mark.parametrize("program", PROGRAMS["augment"], ids=["augment", "python -m"])
def test_a_pipe_closed_in_the_middle_ends_a_command_quietly(wordy_set: Path, program: list[str]) -> None:
    """The reader takes one byte of an output that does not fit into the pipe, as `head -c 1` does."""
    words = [*program, "info", str(wordy_set), "--json"]
    assert len(subprocess.run(words, capture_output=True, check=True).stdout) > 2 * 65536
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, env=BUFFERED) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(1) == b"{"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 141


# --- Old option names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "plan", "preview", "import"])
def test_help_shows_only_the_new_spelling(command: str) -> None:
    shown = invoke("augment", command, "--help")
    assert "--color " in shown
    assert not re.search("colour|grey", shown)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "digits", "--recipe", "--colour"], "'--colour'"),
        (["run", "--", "--colour"], "source '--colour' does not exist"),
        (["inspect", "digits", "--colour", "gray"], "No such option '--colour'"),
    ],
    ids=["value", "argument", "another command"],
)
def test_only_names_of_options_are_renamed(words: list[str], message: str) -> None:
    """Values of options, arguments after `--`, and options that the command never had stay as they are."""
    result = CliRunner().invoke(epochbank.augment.cli.main, words)
    assert result.exit_code in (1, 2)
    assert message in result.stderr
    assert "is now called" not in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--colour"], "Option '--color' requires an argument"), (["--colour", "green"], "Invalid value for '--color'")],
)
def test_mistakes_in_british_options_are_reported_with_the_american_name(words: list[str], message: str) -> None:
    """The message of a missing or wrong value names the option that help shows."""
    result = CliRunner().invoke(epochbank.augment.cli.main, ["run", "digits", *words])
    assert result.exit_code == 2
    assert message in result.stderr


def test_old_names_in_a_recipe_are_accepted(npz: Path, tmp_path: Path) -> None:
    """The key `safety` of a recipe works, and its new name is printed in one line, without Python code."""
    recipe = tmp_path / "old.toml"
    recipe.write_text("safety = false\n" + invoke("augment", "recipes", "kanji"))
    command = [*PROGRAMS["augment"][0], "preview", str(npz), "--recipe", str(recipe)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=True)
    message = f"{recipe}: `safety` is now called `label_check`; the old name works in this release only"
    assert message in done.stderr.splitlines()
    assert "FutureWarning" not in done.stderr
