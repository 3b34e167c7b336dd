"""How tasks are sent to the worker processes of a cluster: what happens twice, or is lost, gives each result once."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from epochbank.augment.errors import EpochbankError
from epochbank.augment.shared import dask_run
from epochbank.augment.shared.dask_client import CallLost, WorkerInfo
from epochbank.augment.shared.dask_run import Run
from epochbank.augment.shared.dask_worker import HandshakeMissing, run_task

pytestmark = pytest.mark.timeout(60)


class ThreadCall:
    """A call that runs in a thread instead of in a worker process."""

    def __init__(self, future: Future, when_done: Callable[[Any], None]):
        self._future = future
        future.add_done_callback(lambda _: when_done(self))

    def result(self) -> Any:
        return self._future.result(timeout=0)

    def release(self) -> None:
        self._future.cancel()


class ThreadLink:
    """A cluster of worker processes with one thread each, in this process; `fault` may fail a task."""

    address, connected = "tcp://none", True

    def __init__(self, fault: Callable[[str, Any], None] = lambda address, task: None, workers: str = "ab"):
        self._threads = {f"tcp://{name}": ThreadPoolExecutor(1) for name in workers}
        self._fault = fault
        self.handshakes: list[str] = []

    def check(self) -> None:
        pass

    def workers(self) -> dict[str, WorkerInfo]:
        return {address: WorkerInfo(address, "host", 1, time.monotonic()) for address in self._threads}

    def call(self, when_done: Any, address: str, function: Any, *arguments: Any, priority: int = 0) -> ThreadCall:
        def run() -> Any:
            if function is run_task:
                self._fault(address, arguments[-1])
            else:
                self.handshakes.append(address)
            return function(*arguments)

        return ThreadCall(self._threads[address].submit(run), when_done)


def results(link: ThreadLink, work: Callable[[int], int], count: int = 10) -> list[tuple[int, int]]:
    run = Run(link, work, range(count), None, 30.0)  # type: ignore[arg-type]
    return sorted(run.results())


def test_two_results_of_one_task_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task near the end is late and is sent to another process, too; both end at once, and the run is not done."""
    monkeypatch.setattr(dask_run, "_FEWEST_SECONDS", 0.1)
    both = threading.Barrier(2, timeout=30)
    ended = threading.Event()

    def work(task: int) -> int:
        if task == 8:
            both.wait()
            ended.set()
        if task == 9:
            assert ended.wait(30)
            time.sleep(0.3)
        return task * task

    assert results(ThreadLink(workers="abc"), work) == [(task, task * task) for task in range(10)]


def test_a_lost_result_is_computed_again() -> None:
    """Four times; the fifth loss of the same task ends the run."""
    lost: list[Any] = []

    def lose(most: int) -> Callable[[str, Any], None]:
        def fault(address: str, task: Any) -> None:
            if task == 3 and lost.count(3) < most:
                lost.append(task)
                raise CallLost(killed=False)

        return fault

    assert results(ThreadLink(lose(4)), abs) == [(task, task) for task in range(10)]
    lost.clear()
    with pytest.raises(EpochbankError, match=r"the result of one task, 3, was lost 5 times, the last time from tcp://"):
        results(ThreadLink(lose(9)), abs)


def test_a_process_that_replaces_another_one_is_checked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the same address: its first task is refused there, and comes again after a second handshake."""
    monkeypatch.setattr(dask_run, "_SECONDS_BETWEEN_LOOKS", 0.05)
    refused: list[Any] = []

    def fault(address: str, task: Any) -> None:
        if address == "tcp://b" and not refused:
            refused.append(task)
            raise HandshakeMissing
        time.sleep(0.02)

    link = ThreadLink(fault)
    assert results(link, abs, 30) == [(task, task) for task in range(30)]
    assert len(refused) == 1
    assert sorted(link.handshakes) == ["tcp://a", "tcp://b", "tcp://b"]
