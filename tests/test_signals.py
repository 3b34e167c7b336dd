"""SIGINT, SIGTERM and SIGHUP end every command with a message and nothing unfinished; streams may be closed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from epochbank.augment.cli import main as augment
from epochbank.augment.console import Commands
from epochbank.augment.errors import EpochbankError
from epochbank.augment.shared import signals
from epochbank.augment.shared.signals import Interrupted, raising

SIGNALED = """
import importlib, os, signal, sys, time

signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell has its background jobs ignore it.
program, where, whom, number, *words = sys.argv[1:]
module, name = where.rsplit(".", 1)
owner = importlib.import_module("epochbank." + module)
original = getattr(owner, name)

def signaled(*args, **keywords):
    (os.killpg if whom == "group" else os.kill)(os.getpid() if whom == "parent" else os.getpgid(0), int(number))
    time.sleep(0.05)
    return original(*args, **keywords)

setattr(owner, name, signaled)
importlib.import_module(f"epochbank.{program}.cli").main(words)
"""
"""A command that sends a signal to itself or to its process group when it calls a function."""


def signaled(folder: Path, program: str, where: str, whom: str, number: int, *words: object) -> str:
    """Run a command that gets a signal; return what it printed. Its exit code is 128 + `number`, as in a shell."""
    done = subprocess.run(
        [sys.executable, "-c", SIGNALED, program, where, whom, str(int(number)), *map(str, words)],
        cwd=folder, capture_output=True, text=True, timeout=120, start_new_session=True, check=False,
    )  # fmt: skip
    assert done.returncode == 128 + number, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    assert not list(folder.rglob(".tmp-*"))
    name = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
    assert f"Interrupted{name}. " in done.stderr
    return done.stderr


RUN = ("run", "digits", "--limit", 300, "--size", 16, "--epochs", 3, "--shard-size", 40)


@pytest.mark.parametrize(
    ("number", "whom"),
    [
        (signal.SIGINT, "group"),
        pytest.param(signal.SIGTERM, "parent", marks=pytest.mark.long),
        pytest.param(signal.SIGTERM, "group", marks=pytest.mark.long),
        pytest.param(signal.SIGHUP, "group", marks=pytest.mark.long),
    ],
)
def test_a_run_keeps_what_is_published(tmp_path: Path, number: int, whom: str) -> None:
    """As shards are published, by two workers; the same command completes the set."""
    words = (*RUN, "--jobs", 2)
    output = signaled(tmp_path, "augment", "augment.generation.publisher.sync_directory", whom, number, *words)
    assert "shards of this run are kept. Run the same command to continue." in output
    result = CliRunner().invoke(augment, [*map(str, RUN), "--jobs", "1", "--sets", str(tmp_path / "sets")])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(("number", "whom"), [(signal.SIGTERM, "group"), (signal.SIGINT, "parent")])
def test_an_import_leaves_nothing(tmp_path: Path, number: int, whom: str) -> None:
    """As the images are written, and as the labels are."""
    for where in ("augment.ingest.importer._write_images", "augment.ingest.importer._finish"):
        words = ("import", "digits", "d.h5", "--limit", 300)
        output = signaled(tmp_path, "augment", where, whom, number, *words, "--jobs", 2)
        assert "No incomplete file is left" in output
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (("inspect", "digits", "--limit", 50), "augment.sources.find.open_source"),
        (("verify",), "augment.store.verify.verify"),
        (("preview", "digits"), "augment.views.png_file.save"),
    ],
)
def test_other_commands_leave_nothing(tmp_path: Path, words: tuple[object, ...], where: str) -> None:
    if words == ("verify",):
        made = CliRunner().invoke(augment, [*map(str, RUN), "--jobs", "1", "--sets", str(tmp_path / "sets")])
        assert made.exit_code == 0, made.output
    signaled(tmp_path, "augment", where, "group", signal.SIGTERM, *words)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a small set."""
    folder = tmp_path_factory.mktemp("digits")
    made = CliRunner().invoke(augment, [*map(str, RUN), "--jobs", "1", "--sets", str(folder / "sets")])
    assert made.exit_code == 0, made.output
    return folder


FIT = ("fit", "--epochs", 1, "--batch-size", 64)


def test_a_training_that_has_not_begun_leaves_no_run(digits: Path) -> None:
    """Before Keras is imported, which takes seconds."""
    output = signaled(digits, "train", "train.training.backend.start_backend", "parent", signal.SIGTERM, *FIT)
    assert "Resume with" not in output
    assert not (digits / "runs").exists()


@pytest.mark.parametrize(
    ("where", "number"),
    [
        pytest.param("train.training.fit._config", signal.SIGINT, marks=pytest.mark.long),
        pytest.param("train.training.fit.train", signal.SIGTERM, marks=pytest.mark.long),
        pytest.param("train.training.report.write_report", signal.SIGHUP, marks=pytest.mark.long),
        pytest.param("train.training.finish.FitResult", signal.SIGTERM, marks=pytest.mark.long),
        pytest.param("train.training.finish.FitResult", signal.SIGKILL, marks=pytest.mark.long),
        pytest.param("train.training.run_report.page.write_page", signal.SIGKILL, marks=pytest.mark.long),
    ],
)
def test_a_training_is_resumed(digits: Path, tmp_path: Path, where: str, number: int) -> None:
    """Before and after the training, and between the summary and the end; a run that has not begun is not resumed."""
    run = tmp_path / "run"
    words = (*FIT, "--run", run)
    if number == signal.SIGKILL:
        command = [sys.executable, "-c", SIGNALED, "train", where, "parent", "9", *map(str, words)]
        assert subprocess.run(command, cwd=digits, capture_output=True, timeout=120, check=False).returncode == -9
    else:
        output = signaled(digits, "train", where, "parent", number, *words)
        assert (f"Resume with: train fit --resume {run}" in output) == (run / "config.json").exists()
    if (run / "config.json").exists():
        command = [sys.executable, "-m", "epochbank.train", "fit", "--resume", str(run)]
        done = subprocess.run(command, cwd=digits, capture_output=True, text=True, timeout=120, check=False)
        finished = where.endswith("FitResult")
        assert done.returncode == int(finished), done.stderr
        assert ("is finished" in done.stderr) == finished
        names = {"summary.json", "learning-curves.png", "mistakes.png", "confusions.png", "mistakes.csv"}
        assert names <= {path.name for path in run.iterdir()}
    assert not list(tmp_path.rglob(".tmp-*"))
    assert number == signal.SIGKILL or not list(run.glob(".lock"))


@pytest.mark.long
def test_a_run_whose_pictures_are_missing_is_completed(digits: Path, tmp_path: Path) -> None:
    """An earlier version wrote them after the summary, and removed the checkpoint before: nothing is trained again."""
    run, train = tmp_path / "run", [sys.executable, "-m", "epochbank.train"]
    done = subprocess.run([*train, *map(str, FIT), "--run", run], cwd=digits, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    for name in ("learning-curves.png", "mistakes.csv"):
        (run / name).unlink()
    done = subprocess.run([*train, "fit", "--resume", run], cwd=digits, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert b"only its report is written again" in done.stderr
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


# Within a process


def test_the_first_signal_raises_and_the_cleanup_is_not_interrupted() -> None:
    """Later signals are ignored, as a shell and the kernel may send one each; the handlers are restored."""
    before = [signal.getsignal(number) for number in signals.ENDING]
    with raising():
        with pytest.raises(Interrupted) as caught:
            os.kill(os.getpid(), signal.SIGHUP)
        assert (caught.value.number, caught.value.exit_code) == (1, 129)
        for number in signals.ENDING:
            os.kill(os.getpid(), number)
    assert [signal.getsignal(number) for number in signals.ENDING] == before


def test_a_second_ctrl_c_stops_the_cleanup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "_IGNORED_SECONDS", 0.0)
    with raising():
        for _ in range(2):
            with pytest.raises(Interrupted):
                os.kill(os.getpid(), signal.SIGINT)


def test_ignored_signals_stay_ignored() -> None:
    """Under nohup, SIGHUP ends nothing."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with raising():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_are_set_before_a_command_begins() -> None:
    """The arguments of the command are parsed with them in place."""
    seen = []
    group = Commands("test")

    @group.command()
    def show() -> None:
        seen.extend(signal.getsignal(number) for number in signals.ENDING)
        raise EpochbankError("end")

    default = [signal.getsignal(number) for number in signals.ENDING]
    assert CliRunner().invoke(group, ["show"]).exit_code == 1
    assert len(seen) == len(default)
    assert not set(seen) & set(default)


# Standard streams


SHORT_RUN = "run digits --limit 300 --size 16 --epochs 4 --jobs 2"


@pytest.mark.parametrize(
    ("words", "streams"),
    [
        ("info", ">&-"), ("info", ">&- 2>&-"), ("info missing", "2>&-"), ("info missing", "<&- >&- 2>&-"),
        (SHORT_RUN, "2>/dev/full"), (SHORT_RUN, "<&- >&- 2>&-"), (SHORT_RUN, ">&-"),
    ],
)  # fmt: skip
def test_streams_that_cannot_be_written(digits: Path, words: str, streams: str) -> None:
    """A closed stream or a full disk for messages changes no exit code, and prints no traceback."""
    command = f"{sys.executable} -m epochbank.augment {words} {streams}"
    done = subprocess.run(command, shell=True, cwd=digits, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == (1 if "missing" in words else 0), done
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_results_that_cannot_be_written_are_an_error(digits: Path) -> None:
    command = f"{sys.executable} -m epochbank.augment info > /dev/full"
    done = subprocess.run(command, shell=True, cwd=digits, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "Error: [Errno 28]" in done.stderr
    assert "Traceback" not in done.stderr


class Deleted:
    """An object during whose `__del__` a signal comes, as in those of TensorFlow."""

    def __init__(self, number: int):
        self.number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self.number)
        sum(range(10))


@pytest.mark.parametrize("number", signals.ENDING)
def test_a_signal_within_a_finalizer_is_not_lost(capsys: pytest.CaptureFixture[str], number: int) -> None:
    """Python ignores exceptions in `__del__`: the signal comes again after it, and nothing is printed."""
    hook = sys.unraisablehook

    def work() -> None:
        Deleted(number)
        time.sleep(5)

    begun = time.monotonic()
    with raising(), pytest.raises(Interrupted) as caught:
        work()
    assert caught.value.number == number
    assert time.monotonic() - begun < 4
    assert sys.unraisablehook is hook
    assert not capsys.readouterr().err


def test_a_signal_in_the_last_finalizer_changes_nothing() -> None:
    """The work is done: no signal comes after the block, when its handlers are not in place any more."""
    with raising():
        Deleted(signal.SIGTERM)
    time.sleep(0.05)
