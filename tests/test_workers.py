"""Worker processes: how many, what is reported when one dies, and the lock between them."""

import gc
import multiprocessing
import os
import pickle
import signal
import stat
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from epochbank.augment.errors import EpochbankError
from epochbank.augment.shared.lock import SharedLock
from epochbank.augment.shared.workers import core_count, on_all_cores


def raise_import_error() -> None:
    raise ImportError("No module named 'missing'")


class Unloadable:
    """Pickles well, and raises `ImportError` when it is unpickled."""

    def __reduce__(self) -> tuple:
        return raise_import_error, ()


class UnpicklableError(Exception):
    def __init__(self, text: str, number: int):
        super().__init__(text)


def task(what: Any) -> Any:
    """Do what the task says; the worker processes import this module to run it."""
    if isinstance(what, signal.Signals):
        os.kill(os.getpid(), what)
        time.sleep(60)
    if what == "exit":
        os._exit(3)
    if what == "raise":
        raise LookupError("no ink\n  in the image")
    if what == "raise unpicklable":
        raise UnpicklableError("lost", 1)
    if what == "return unloadable":
        return Unloadable()
    return what


def run(*tasks: Any) -> dict[int, Any]:
    return dict(on_all_cores(task, tasks, len(tasks), 2))


def test_results_have_the_number_of_their_task() -> None:
    """Results come in any order, each with the index of its task, also in this process."""
    assert run(*range(20)) == dict(enumerate(range(20)))
    assert list(on_all_cores(task, iter([5, 6]), 2, 1)) == [(0, 5), (1, 6)]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Unloadable(), ("could not load a task", "ImportError: No module named 'missing'", "--jobs 1")),
        ("return unloadable", ("could not load a task or its result", "ImportError: No module named 'missing'")),
        ("raise unpicklable", ("could not load a task or its result", "TypeError", "'number'")),
        ("exit", ("exited with code 3", "--jobs 1")),
        (signal.SIGKILL, ("was killed (SIGKILL)", "memory ran out", "fewer --jobs")),
        (signal.SIGSEGV, ("was terminated by SIGSEGV (Segmentation fault", "--jobs 1")),
        (signal.SIGTERM, ("was terminated by SIGTERM", "--jobs 1")),
    ],
    ids=["unloadable task", "unloadable result", "unloadable exception", "exit", "SIGKILL", "SIGSEGV", "SIGTERM"],
)
def test_the_cause_of_a_dead_worker_is_reported(fault: Any, expected: tuple[str, ...]) -> None:
    """The message has the exit code, the signal or the exception, and blames memory only after SIGKILL."""
    with pytest.raises(EpochbankError) as caught:
        run(1, 2, fault, 4)
    text = str(caught.value)
    assert text.startswith("a worker process ")
    assert all(part in text for part in expected), text
    assert ("memory" in text) == (fault is signal.SIGKILL)
    assert text.count(". ") == 1
    assert caught.value.exit_code == 1
    assert run(1, 2, 3) == {0: 1, 1: 2, 2: 3}  # Later work has new workers.


def test_an_exception_of_a_task_is_raised_unchanged() -> None:
    """An exception in a worker reaches the caller with its type and text, as without workers."""
    for jobs in (1, 2):
        with pytest.raises(LookupError, match=r"^no ink\n  in the image$"):
            list(on_all_cores(task, [1, 2, "raise", 4], 4, jobs))


@pytest.mark.parametrize("affinity", [True, False])
def test_cores_are_counted_without_affinity(monkeypatch: pytest.MonkeyPatch, affinity: bool) -> None:
    """Systems without `os.sched_getaffinity`, such as macOS, use the number of all cores."""
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    if affinity:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    else:
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert core_count() == (3 if affinity else 7)


def count_up(lock: SharedLock, path: Path) -> None:
    """Increment the number in a file 20 times, in a way that loses increments without a lock."""
    for _ in range(20):
        with lock.held():
            number = int(path.read_text())
            time.sleep(0.001)
            path.write_text(str(number + 1))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["thread", *multiprocessing.get_all_start_methods()])
def test_a_shared_lock_excludes_threads_and_processes(tmp_path: Path, method: str) -> None:
    """The lock works between threads, and between processes with every start method."""
    lock, path = SharedLock(), tmp_path / "number"
    path.write_text("0")
    start: Any = threading.Thread if method == "thread" else multiprocessing.get_context(method).Process
    workers = [start(target=count_up, args=(lock, path)) for _ in range(3)]
    for worker in workers:
        worker.start()
    count_up(lock, path)
    for worker in workers:
        worker.join(60)
    assert path.read_text() == "80"


def lock_files() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("epochbank-*.lock"))


@pytest.fixture
def _own_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.usefixtures("_own_temporary_directory")
def test_the_file_of_a_shared_lock_is_private_and_removed() -> None:
    """The file has a random name and is accessible to its user only, and it is removed with the lock."""
    first, second = SharedLock(), SharedLock()
    files = lock_files()
    assert len(files) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    del first
    gc.collect()
    assert len(lock_files()) == 1
    del second
    gc.collect()
    assert not lock_files()


@pytest.mark.usefixtures("_own_temporary_directory")
def test_a_copy_of_a_shared_lock_outlives_the_original() -> None:
    """A pickled copy does not remove the file of the original, and works when the original is gone."""
    original = SharedLock()
    copy = pickle.loads(pickle.dumps(original))
    del copy
    gc.collect()
    assert len(lock_files()) == 1
    copy = pickle.loads(pickle.dumps(original))
    del original
    gc.collect()
    with copy.held():
        assert len(lock_files()) == 1
