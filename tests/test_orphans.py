"""Worker processes end with the work and with the process that started them, however either ends."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from epochbank.augment.errors import EpochbankError
from epochbank.augment.shared.workers import kept_workers, on_all_cores
from epochbank.augment.store.manifest import read_manifest

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to find processes")

GENERATE = [sys.executable, "-m", "epochbank.augment", "run", "digits", "--limit", "600", "--jobs", "2"]
SECONDS = 60.0


def parent_of(stat: Path) -> int:
    """Return the parent in a /proc/PID/stat; 0 for a zombie, which uses nothing any more."""
    try:
        state, parent = stat.read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if state == "Z" else int(parent)


def workers_of(process: int) -> list[int]:
    """Return the worker processes that `process` has started; not its resource tracker."""
    children = [stat.parent for stat in Path("/proc").glob("[0-9]*/stat") if parent_of(stat) == process]
    return [int(child.name) for child in children if b"popen_loky_posix" in command_of(child)]


def command_of(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def alive(process: int) -> bool:
    return parent_of(Path(f"/proc/{process}/stat")) != 0


def wait_for(condition: Callable[[], object], seconds: float) -> bool:
    """Return whether the condition becomes true within `seconds`."""
    end = time.monotonic() + seconds
    while not (met := bool(condition())) and time.monotonic() < end:
        time.sleep(0.01)
    return met


def sleep(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def test_workers_end_with_the_work() -> None:
    """Nothing is left after the last task, after an exception of the caller, and after the block that shares them."""
    with kept_workers():
        first = {process for _, process in on_all_cores(sleep, [0.2] * 4, 4, 2)}
        second = {process for _, process in on_all_cores(sleep, [0.2] * 4, 4, 2)}
        assert first == second == set(workers_of(os.getpid()))
    assert not any(map(alive, first))
    for _, process in on_all_cores(sleep, [0.0, 30.0], 2, 2):
        assert alive(process)
        break
    assert wait_for(lambda: not workers_of(os.getpid()), 5)


def test_a_worker_that_is_killed_when_the_work_is_done_delays_nothing() -> None:
    """An idle worker holds the lock of the queue: those that are killed then must not be waited for."""
    begun = time.monotonic()
    for victim in range(2):
        with kept_workers():
            list(on_all_cores(sleep, [0.0] * 4, 4, 2))
            os.kill(workers_of(os.getpid())[victim], signal.SIGKILL)
        assert not workers_of(os.getpid())
    assert time.monotonic() - begun < 20


def test_workers_that_a_thread_started_outlive_it() -> None:
    """The kernel kills the children of a thread that ends; other threads may still use them."""
    with kept_workers():
        found: list[int] = []
        thread = threading.Thread(target=lambda: found.extend(one for _, one in on_all_cores(sleep, [0.1] * 4, 4, 2)))
        thread.start()
        thread.join()
        time.sleep(0.1)
        assert all(map(alive, found))
    assert not any(map(alive, found))


def begin(sets: Path, epochs: int) -> subprocess.Popen[str]:
    command = [*GENERATE, "--epochs", str(epochs), "--shard-size", "60", "--sets", str(sets)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def shards(sets: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in sets.glob("*/manifest.jsonl"))


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    """After SIGKILL of a run no worker lives for five seconds, and the same command completes the set."""
    with begin(tmp_path, 200) as process:
        assert wait_for(lambda: shards(tmp_path), SECONDS)
        workers = workers_of(process.pid)
        assert len(workers) == 2
        process.kill()
        assert wait_for(lambda: not any(map(alive, workers)), 5)
    done = subprocess.run([*GENERATE, "--epochs", "1", "--sets", str(tmp_path)], capture_output=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob(".tmp-*"))


def kill_a_worker(sets: Path, epochs: int, moment: random.Random, at: int) -> None:
    """Kill a worker of a run once it has published `at` shards; the run ends, with an error or complete."""
    with begin(sets, epochs) as process:
        assert wait_for(lambda: shards(sets) >= at or process.poll() is not None, SECONDS)
        time.sleep(moment.uniform(0, 0.05))
        workers = workers_of(process.pid)
        for worker in workers[:1]:
            os.kill(worker, signal.SIGKILL)
        _, errors = process.communicate(timeout=SECONDS)
        assert process.returncode in (0, 1)
        if process.returncode:
            assert "a worker process was killed (SIGKILL)" in errors
            assert "shards of this run are kept" in errors
    assert not list(sets.rglob(".tmp-*"))


@pytest.mark.long
@pytest.mark.parametrize("left", [0, 3])
def test_a_run_ends_when_a_worker_is_killed(tmp_path: Path, left: int) -> None:
    """Near the end and at the very end: an error with the shards that are kept, or success; never a hang."""
    total = 8 + 1 + 1 + 2 * 8
    kill_a_worker(tmp_path, 2, random.Random(left), total - left)


@pytest.mark.long
def test_a_run_ends_when_a_worker_is_killed_at_any_moment(tmp_path: Path) -> None:
    """Forty kills at random moments; the set is complete in the end."""
    moments = random.Random(0)
    for trial in range(40):
        epochs = 2 + trial // 4
        kill_a_worker(tmp_path, epochs, moments, shards(tmp_path) + moments.randrange(1, 10))
    done = subprocess.run([*GENERATE, "--epochs", "12", "--sets", str(tmp_path)], capture_output=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    (directory,) = (path.parent for path in tmp_path.glob("*/set.json"))
    assert sum(entry.num_images for entry in read_manifest(directory) if entry.split == "epoch") == 12 * 480


def test_a_failing_task_still_ends_the_workers() -> None:
    with pytest.raises(EpochbankError, match="a worker process"):
        list(on_all_cores(os._exit, [3, 3], 2, 2))
    assert wait_for(lambda: not workers_of(os.getpid()), 5)
