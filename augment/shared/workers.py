"""Work on all cores with joblib: tasks in, small results out, as they come."""

import os
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import TypeVar

from ..errors import EpochbankError

Task = TypeVar("Task")
Result = TypeVar("Result")


def core_count() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_all_cores(
    work: Callable[[Task], Result], tasks: Iterable[Task], count: int, jobs: int
) -> Iterator[tuple[int, Result]]:
    """Yield (number of the task, `work(task)`) for each of the `count` tasks, in the order that they end.

    `work` is a module's function and its results are small: nothing holds back a fast worker. One
    job runs in this process. The first exception of a task is raised here, and the others stop;
    `EpochbankError` where a worker process was killed.
    """
    jobs = min(jobs, count)
    if jobs <= 1:
        for number, task in enumerate(tasks):
            yield number, work(task)
        return
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
    with _interrupts_kept_back():
        results = parallel(delayed(_numbered)(work, number, task) for number, task in enumerate(tasks))
    try:
        # `yield from` would end them before the warnings below are caught.
        for result in results:  # noqa: UP028
            yield result
    except BrokenExecutor as error:
        raise EpochbankError(
            "a worker process was killed, as the system does when memory runs out. Give the same command again, with "
            "fewer --jobs."
        ) from error
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that tasks were broken off: whoever broke them off knows
            results.close()


@contextmanager
def _interrupts_kept_back() -> Iterator[None]:
    """Ctrl-C waits meanwhile, and never reaches the processes that are started: this one ends them without a word."""
    resource_tracker.ensure_running()  # joblib starts it otherwise, and its start lets signals through again.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _numbered(work: Callable[[Task], Result], number: int, task: Task) -> tuple[int, Result]:
    return number, work(task)
