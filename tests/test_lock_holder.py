"""Locks say who holds them, can be waited for, and detect holders that died; nothing is written through links."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from conftest import glyphs
from epochbank.augment.cli import main as augment
from epochbank.augment.errors import EpochbankError
from epochbank.augment.shared import lock
from epochbank.augment.shared.lock import holder_of, writing
from epochbank.train.training.run_directory import new_run

HOLD = """
import sys
from pathlib import Path
from epochbank.augment.shared.lock import writing
with writing(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


class Holder:
    """Another process that holds a lock until it is released or killed."""

    def __init__(self, path: Path):
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "held\n"

    def __enter__(self) -> "Holder":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()


def call(*words: object) -> Result:
    return CliRunner().invoke(augment, [str(word) for word in words])


def test_the_message_says_who_holds_the_lock(tmp_path: Path) -> None:
    """Process, machine, command and time; nobody holds it before and afterwards, also after SIGKILL."""
    path = tmp_path / ".lock"
    assert holder_of(path) is None
    with Holder(path) as holder:
        with pytest.raises(EpochbankError) as caught, writing(path, can_wait=True):
            pass
        text = str(caught.value)
        for part in (str(tmp_path), f"process {holder.process.pid} on {socket.gethostname()}", "since 20", "--wait"):
            assert part in text
        assert text.count(". ") == 1
        assert holder_of(path) is not None
        holder.process.kill()
        holder.process.wait()
        assert holder_of(path) is None
        assert json.loads(path.read_text())["process"] == holder.process.pid
        with writing(path):
            assert json.loads(path.read_text())["process"] == os.getpid()
    assert path.read_text() == ""


def test_waiting_says_for_whom(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The wait ends as soon as the holder does, and is reported once."""
    path = tmp_path / ".lock"
    with Holder(path) as holder:
        threading.Timer(0.5, holder.process.kill).start()
        with writing(path, wait=True):
            pass
    errors = capsys.readouterr().err
    assert errors.count("waiting for another run") == 1
    assert f"process {holder.process.pid}" in errors


def record(path: Path, host: str, seconds: float) -> None:
    """Write the record of a process on another machine that was alive some seconds ago."""
    path.write_text(json.dumps({"process": 17, "host": host, "command": "augment run\x1b[2J", "since": "2026"}))
    os.utime(path, (time.time() - seconds,) * 2)


def test_a_holder_on_another_machine_is_dead_when_it_is_silent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where locks do not reach other machines, the time of the file tells; control characters are not printed."""
    path = tmp_path / ".lock"
    record(path, "elsewhere", 10)
    for _ in range(2):
        with pytest.raises(EpochbankError, match=r"process 17 on elsewhere, since 2026: augment run\?\[2J"):
            writing(path).__enter__()
    assert holder_of(path) is not None
    record(path, "elsewhere", lock._DEAD_AFTER + 10)
    with writing(path):
        assert "process 17 on elsewhere" in (said := capsys.readouterr().err)
        assert "no longer alive" in said
    record(path, socket.gethostname(), 10)
    with writing(path):
        assert not capsys.readouterr().err


def test_a_holder_shows_that_it_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_HEARTBEAT", 0.02)
    path = tmp_path / ".lock"
    with writing(path):
        os.utime(path, (0, 0))
        end = time.monotonic() + 10
        while path.stat().st_mtime == 0 and time.monotonic() < end:
            time.sleep(0.01)
    assert time.time() - path.stat().st_mtime < 60


@pytest.mark.parametrize("text", ["process 4711 on elsewhere", "[" * 100_000, "\0\xff", '{"host": 3}', "7"])
def test_records_of_others_are_only_text(tmp_path: Path, text: str) -> None:
    """An earlier version, or a stranger, wrote it."""
    path = tmp_path / ".lock"
    path.write_text(text)
    os.utime(path, (0, 0))
    with writing(path):
        pass


def test_a_lock_file_that_is_removed_is_not_held_twice(tmp_path: Path) -> None:
    """Threads that lock a directory and remove its lock file exclude each other."""
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(10):
            with writing(tmp_path, wait=True):
                inside += 1
                most = max(most, inside)
                time.sleep(0.001)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert not list(tmp_path.iterdir())


def test_a_fifo_is_no_lock(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".lock")
    with pytest.raises(EpochbankError, match="not a regular file"):
        writing(tmp_path / ".lock").__enter__()


RUN = ("run", "digits", "--limit", 200, "--size", 16, "--jobs", 1)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    assert call(*RUN, "--epochs", 1, "--sets", tmp_path / "sets").exit_code == 0
    (found,) = (path.parent for path in (tmp_path / "sets").glob("*/set.json"))
    return found


def test_a_second_run_is_refused_or_waits(made: Path) -> None:
    """On one set, it says who writes it; with --wait it continues when that run has ended."""
    words = (*RUN, "--epochs", 2, "--sets", made.parent)
    with Holder(made / ".lock") as holder:
        result = call(*words)
        assert result.exit_code == 1
        assert f"{made} is being written by another run (process {holder.process.pid} on" in result.stderr
        threading.Timer(0.5, holder.process.kill).start()
        result = call(*words, "--wait")
        assert result.exit_code == 0
        assert "waiting for another run" in result.stderr
    assert (made / "epoch-0001").is_dir()


def test_an_import_says_that_it_waits_for_another(tmp_path: Path) -> None:
    """Runs on other sets import into one directory, one after the other."""
    (tmp_path / "sources").mkdir()
    with Holder(tmp_path / "sources" / ".lock") as holder:
        threading.Timer(0.5, holder.process.kill).start()
        result = call(*RUN, "--epochs", 1, "--sets", tmp_path)
    assert result.exit_code == 0, result.output
    assert f"waiting for another run, which is writing {tmp_path / 'sources'}" in result.stderr


@pytest.mark.parametrize("name", [".lock", "manifest.jsonl", "log.jsonl", "epoch-0001"])
def test_nothing_is_written_through_a_link(made: Path, tmp_path: Path, name: str) -> None:
    """A stranger's set may point to the user's files."""
    theirs = tmp_path / "theirs"
    if name == "epoch-0001":
        theirs.mkdir()
    else:
        theirs.write_bytes((made / name).read_bytes())
        (made / name).unlink()
    (made / name).symlink_to(theirs)
    before = theirs.stat()
    result = call(*RUN, "--epochs", 2, "--sets", made.parent)
    assert result.exit_code == 1, result.output
    assert f"{made / name} is a symbolic link" in result.stderr
    after = theirs.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_runs_that_start_at_once_get_directories_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name has the time in seconds, so that many runs want the same one."""
    monkeypatch.setattr(time, "strftime", lambda *_: "20260101-000000")
    found: list[Path] = []
    barrier = threading.Barrier(16)

    def begin() -> None:
        barrier.wait()
        found.append(new_run(None, "digits", tmp_path / "runs"))

    threads = [threading.Thread(target=begin) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({*found}) == 16
    assert all(path.is_dir() for path in found)


def test_two_imports_into_one_file(tmp_path: Path) -> None:
    """With --wait the second one ends with the message that the file exists; the first one's work is untouched."""
    np.savez(tmp_path / "a.npz", images=glyphs(20), labels=np.arange(20) % 2)
    command = [sys.executable, "-m", "epochbank.augment", "import", "a.npz", "a.h5", "--jobs", "1", "--wait"]
    both = [
        subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for _ in range(2)
    ]
    errors = [one.communicate(timeout=60)[1] for one in both]
    assert sorted(one.returncode for one in both) == [0, 1], errors
    assert any("exist" in error or "appeared while" in error for error in errors), errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "a.npz"]
