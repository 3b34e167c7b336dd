"""Run tasks on all cores with joblib, and yield their results as they come."""

import os
import re
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
    """Return the number of cores that this process may use."""
    # macOS and Windows have no affinity.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_all_cores(
    work: Callable[[Task], Result], tasks: Iterable[Task], count: int, jobs: int
) -> Iterator[tuple[int, Result]]:
    """Yield (index of the task, `work(task)`) for each task, in the order in which the tasks end.

    Parameters
    ----------
    work
        Function of a module. Its results should be small: they are not limited in number.
    tasks
        Picklable arguments of `work`.
    count
        Number of tasks.
    jobs
        Maximum number of worker processes. With 1, the tasks run in this process.

    Raises
    ------
    EpochbankError
        If a worker process dies or cannot load its task. An exception of a task is raised unchanged; either stops the
        other tasks.
    """
    jobs = min(jobs, count)
    if jobs <= 1:
        for number, task in enumerate(tasks):
            yield number, work(task)
        return
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
    try:
        with _safe_path(), _interrupts_blocked():
            results = parallel(delayed(_numbered)(work, number, task) for number, task in enumerate(tasks))
        try:
            # `yield from` would close the generator before the warnings below are ignored.
            for result in results:  # noqa: UP028
                yield result
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # joblib warns of cancelled tasks.
                results.close()
    except BrokenExecutor as error:
        raise EpochbankError(_describe(error)) from error


def _describe(error: BrokenExecutor) -> str:
    """Say why a worker process died, from the exit codes or the remote traceback that loky reports."""
    again = "Run the same command again with"
    if error.__cause__ is not None:
        return (
            f"a worker process could not load a task or its result: {_exception_in(str(error.__cause__))}. "
            f"{again} --jobs 1, which needs no worker processes."
        )
    codes = [int(code) for code in re.findall(r"\w+\((-?\d+)\)", str(error).partition("exit codes")[2])]
    code = next((code for code in codes if code), None)
    if code == -signal.SIGKILL:
        return f"a worker process was killed (SIGKILL), usually because memory ran out. {again} fewer --jobs."
    if code is None:
        what = "ended unexpectedly"
    elif code < 0:
        what = f"was terminated by {_signal_name(-code)}"
    else:
        what = f"exited with code {code}"
    return f"a worker process {what}; its traceback, if it wrote one, is above. {again} --jobs 1 to find the fault."


def _exception_in(trace: str) -> str:
    """Return `Type: text` of the last exception in a formatted traceback."""
    frames_and_text = trace.strip().removesuffix('"""').rpartition("Traceback (most recent call last):")[2]
    lines = iter(frames_and_text.strip("\n").splitlines())
    return "\n".join([next((line for line in lines if not line.startswith(" ")), "unknown error"), *lines])


def _signal_name(number: int) -> str:
    try:
        return f"{signal.Signals(number).name} ({signal.strsignal(number)})"
    except ValueError:
        return f"signal {number}"


@contextmanager
def _safe_path() -> Iterator[None]:
    """Keep the working directory out of the path of Python processes that are started here.

    joblib starts workers by `python -m`, which puts it first: a user's queue.py would shadow the standard library's.
    """
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block SIGINT in this thread and in the processes that it starts; after Ctrl-C this process stops them itself."""
    resource_tracker.ensure_running()  # Start it here: if joblib did so later, that would unblock the signal.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _numbered(work: Callable[[Task], Result], number: int, task: Task) -> tuple[int, Result]:
    return number, work(task)
