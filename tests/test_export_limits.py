"""Commands with worker processes when memory, descriptors or the disk are short: a message and an end, never a hang."""

import errno
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.exceptions import Exit
from joblib.externals.loky import process_executor
from joblib.externals.loky.backend import queues

import epochbank
from epochbank.augment.console import _problems_as_messages
from epochbank.augment.errors import EpochbankError
from epochbank.augment.shared import watched_parallel
from epochbank.augment.shared.workers import _executor, on_all_cores
from epochbank.augment.store import manifest
from epochbank.augment.store.manifest import ManifestWriter, read_manifest, unlisted

SECONDS = 60.0
LIMITED = """
import os, resource, sys
from pathlib import Path
import joblib
from epochbank.api import exchange, verification
from epochbank.augment.cli import main
kind, more, *words = sys.argv[1:]
if kind == "memory":
    kind, used = resource.RLIMIT_AS, int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
else:
    kind, used = resource.RLIMIT_NOFILE, max(map(int, os.listdir("/proc/self/fd"))) + 1
resource.setrlimit(kind, (used + int(more), resource.getrlimit(kind)[1]))
main(args=words)
"""


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("limits")
    epochbank.generate("digits", epochs=1, limit=60, recipe="handwriting", sets=directory, jobs=1)
    return next(directory.glob("*/set.json")).parent


def export(stored: Path, dest: Path, kind: str, more: int, *words: str) -> subprocess.CompletedProcess[str]:
    """Export in a process that may use `more` bytes or descriptors than it has when the command begins."""
    command = [sys.executable, "-c", LIMITED, kind, str(more), "export", str(stored), str(dest), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    "more",
    [
        # With so little, a library of C crashed once instead (SIGSEGV).
        pytest.param(400 << 10, marks=pytest.mark.long),
        *(2 << 20, 6 << 20, 12 << 20),
    ],
)
def test_an_export_with_too_little_memory_for_workers_ends(stored: Path, tmp_path: Path, more: int) -> None:
    """The threads of the pool do not begin, or die, with so little memory, so the workers are not started."""
    done = export(stored, tmp_path / "out", "memory", more, "--format", "webdataset", "--jobs", "2")
    assert done.returncode == 1, done.stderr
    assert "memory ran out" in done.stderr or "Cannot allocate memory" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_threads_are_not_started_with_too_little_memory(stored: Path) -> None:
    """Otherwise the HDF5 library crashes in them, or takes sound shards for damaged ones."""
    command = [sys.executable, "-c", LIMITED, "memory", str(18 << 20), "verify", str(stored), "--jobs", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 1, done.stderr
    assert "memory ran out before 2 threads were started" in done.stderr
    assert "damaged" not in done.stderr


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.parametrize("more", [14, 17, 20])
def test_an_export_with_too_few_descriptors_names_the_limit(stored: Path, tmp_path: Path, more: int) -> None:
    """The message has the limit and the fix, not a file or a variable of joblib; with --jobs 1 they suffice."""
    done = export(stored, tmp_path / "out", "files", more, "--format", "webdataset", "--jobs", "2")
    assert done.returncode == 1, done.stderr
    assert "too many open files: 2 worker processes need about 22 more" in done.stderr
    assert "(`ulimit -n`), or use --jobs 1" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
    if more == 20:
        done = export(stored, tmp_path / "out", "files", more, "--format", "webdataset", "--jobs", "1")
        assert done.returncode == 0, done.stderr


def same(number: int) -> int:
    time.sleep(0.05)
    return number


def manager_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(self: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(process_executor._ExecutorManagerThread, "add_call_item_to_queue", fill)


def feeder_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues.Queue, "_feed", staticmethod(lambda *_: None))


def feeder_never_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when memory runs out before Python has noted that the thread runs; whoever starts it waits forever."""
    begin = threading.Thread._bootstrap  # type: ignore[attr-defined]
    monkeypatch.setattr(
        threading.Thread, "_bootstrap", lambda self: None if self.name == "QueueFeederThread" else begin(self)
    )


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("fault", [manager_dies, feeder_dies, feeder_never_begins])
def test_a_dead_thread_of_the_pool_ends_the_work(
    monkeypatch: pytest.MonkeyPatch, fault: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """An error instead of an endless wait, no worker is left, and later work has a new pool."""
    monkeypatch.setattr(watched_parallel, "_LOOKS", 10)
    with monkeypatch.context() as patched:
        fault(patched)
        found: list[Any] = []

        def work() -> None:
            try:
                found.append(list(on_all_cores(same, range(8), 8, 2)))
            except EpochbankError as error:
                found.append((str(error), dict(_executor()._processes)))

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(SECONDS)
    assert found, "it hangs"
    text, left = found[0]
    assert "memory ran out while worker processes were being used" in text
    assert "--jobs 1" in text
    assert not left
    assert dict(on_all_cores(same, range(8), 8, 2)) == {number: number for number in range(8)}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_cannot_be_started_is_reported_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """joblib must not join a thread that was never started: its error would replace the one that says why."""

    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(process_executor._ExecutorManagerThread, "start", start)
        with pytest.raises(RuntimeError, match=r"^can't start new thread$"):
            list(on_all_cores(same, range(8), 8, 2))
    assert dict(on_all_cores(same, range(4), 4, 2)) == {number: number for number in range(4)}


def test_a_slow_task_is_not_taken_for_a_dead_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only threads are watched: a task may take any amount of time."""
    monkeypatch.setattr(watched_parallel, "_LOOKS", 3)
    assert dict(on_all_cores(time.sleep, [1.5, 0.0], 2, 2)) == {0: None, 1: None}


def test_list_says_that_its_directory_is_not_there(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not an empty list: neither if the directory never existed nor if it vanishes with its disk."""
    facts, faults = epochbank.list_sets(tmp_path / "missing")
    assert not facts
    assert f"{tmp_path / 'missing'} does not exist" in faults[0]
    (tmp_path / "file").touch()
    assert "is not a directory" in epochbank.list_sets(tmp_path / "file")[1][0]
    assert epochbank.list_sets(tmp_path) == ([], [])
    monkeypatch.chdir(tmp_path)
    assert epochbank.list_sets() == ([], [])  # Nothing was generated yet.
    disk = tmp_path / "disk"
    disk.mkdir()
    monkeypatch.setattr("epochbank.api.contents.all_sets", lambda sets: [disk.rmdir()][1:])
    assert epochbank.list_sets(disk)[1] == [
        f"{disk} does not exist; expected the directory of the sets. Choose another one with --sets."
    ]


def test_a_set_that_is_being_removed_has_no_time(stored: Path, tmp_path: Path) -> None:
    """A set may vanish between its discovery and the look at its files."""
    from epochbank.augment.store.catalog import written_ns

    assert written_ns(tmp_path) == 0
    assert written_ns(stored) > 0


@pytest.mark.parametrize("listed", [0, 3])
def test_after_a_full_manifest_no_further_shard_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: int
) -> None:
    """Each would be a file without a line, and a set without lines is damaged if it has two of these."""
    append, groups = ManifestWriter.append, []

    def full(self: ManifestWriter, *entries: Any) -> None:
        time.sleep(0.1)  # The next shards are made.
        if len(groups) >= listed:
            raise OSError(errno.ENOSPC, "No space left on device", "manifest.jsonl")
        groups.append(entries)
        append(self, *entries)

    options: Any = {"epochs": 1, "limit": 60, "recipe": "handwriting", "sets": tmp_path, "jobs": 1, "shard_size": 8}
    with monkeypatch.context() as patched:
        patched.setattr(ManifestWriter, "append", full)
        patched.setattr(manifest, "GROUP", 1)
        with pytest.raises(EpochbankError, match=f"no space left on the disk .* {listed} of .* shards .* are kept"):
            epochbank.generate("digits", **options)
    stored = next(tmp_path.glob("*/set.json")).parent
    assert len(read_manifest(stored)) == listed
    assert len(unlisted(stored, read_manifest(stored))) == 1
    assert len(epochbank.generate("digits", **options).epochs) == 1
    assert not unlisted(stored, read_manifest(stored))


def test_a_library_that_finds_no_memory_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """As under a low `ulimit -v`; other import errors are mistakes in the code or the installation."""
    with pytest.raises(Exit), _problems_as_messages():
        raise ImportError("numba.so: failed to map segment from shared object")
    assert "Error: memory ran out (numba.so" in capsys.readouterr().err
    with pytest.raises(ImportError), _problems_as_messages():
        raise ImportError("No module named 'missing'")
