"""Run tasks on all cores with joblib, and yield their results as they come."""

import ctypes
import os
import re
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any, TypeVar

from ..errors import EpochbankError
from .signals import ENDING

Task = TypeVar("Task")
Result = TypeVar("Result")


def core_count() -> int:
    """Return the number of cores that this process may use."""
    # macOS and Windows have no affinity.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_PR_SET_PDEATHSIG = 1
"""Option of prctl(2): the signal that a process receives when the thread that started it ends."""
_SECONDS_BETWEEN_LOOKS = 1.0
"""How often a worker checks whether its parent is alive, where the kernel sends no signal."""
_SECONDS_FOR_OWN_SIGNAL = 0.5
"""A signal to the whole process group reaches a worker first, and this process within this time."""


_blocks = 0
"""Number of blocks of `kept_workers` that are open in this process, in all threads."""
_blocks_lock = threading.Lock()


@contextmanager
def kept_workers() -> Iterator[None]:
    """Within the block, calls of `on_all_cores` share their worker processes, which end with the outermost block."""
    global _blocks
    with _blocks_lock:
        _blocks += 1
    try:
        yield
    finally:
        with _blocks_lock:
            _blocks -= 1
            if not _blocks:
                _end_workers()


def on_all_cores(
    work: Callable[[Task], Result], tasks: Iterable[Task], count: int, jobs: int
) -> Generator[tuple[int, Result]]:
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
        If a worker process dies or cannot load its task, or if memory or file descriptors do not suffice for worker
        processes. An exception of a task is raised unchanged; each of these stops the other tasks.

    The worker processes end with the call, or with the block of `kept_workers` around it, and when this process dies.
    """
    jobs = min(jobs, count)
    if jobs <= 1:
        for number, task in enumerate(tasks):
            yield number, work(task)
        return
    with kept_workers():
        yield from _in_workers(work, tasks, jobs)


def _in_workers(work: Callable[[Task], Result], tasks: Iterable[Task], jobs: int) -> Iterator[tuple[int, Result]]:
    from joblib import delayed

    from .watched_parallel import WatchedParallel
    from .worker_room import check_room

    if not _has_workers():
        check_room(jobs)
    parallel = WatchedParallel(
        n_jobs=jobs,
        return_as="generator_unordered",
        batch_size=1,
        pre_dispatch="2*n_jobs",
        initializer=_end_with_parent,
        initargs=(os.getpid(), threading.current_thread() is threading.main_thread()),
    )
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
        _end_workers()
        if -_exit_code(error) in ENDING:
            time.sleep(_SECONDS_FOR_OWN_SIGNAL)
        raise EpochbankError(_describe(error)) from error
    except BaseException as error:
        _end_workers()  # Now, because the caller removes what they were writing.
        if isinstance(error, UnboundLocalError) and isinstance(error.__context__, OSError):
            raise error.__context__ from None  # loky hides why it cannot start a process.
        raise


def _executor() -> Any:
    """Return loky's pool; None if there is none."""
    reusable = sys.modules.get("joblib.externals.loky.reusable_executor")
    return reusable._executor if reusable is not None else None


def _has_workers() -> bool:
    executor = _executor()
    return executor is not None and not executor._flags.shutdown and bool(executor._processes)


def _end_workers() -> None:
    """Kill the idle workers. Asking them to end would wait forever if one of them was killed while it held a lock."""
    executor = _executor()
    if executor is not None:
        from .watched_parallel import release

        release(executor)
        executor.shutdown(wait=True, kill_workers=True)


def _end_with_parent(parent: int, in_main_thread: bool) -> None:
    """Make this worker end when the process `parent` dies, also by SIGKILL.

    The kernel watches the thread that started the worker, so this needs one that lives as long as the process.
    """
    if sys.platform == "linux" and in_main_thread:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # It died before the call.
            os._exit(1)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True, name="watch parent").start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(1)


def _exit_code(error: BrokenExecutor) -> int:
    """Return the exit code of the worker that died, negative for a signal; 0 if loky reports none."""
    codes = [int(code) for code in re.findall(r"\w+\((-?\d+)\)", str(error).partition("exit codes")[2])]
    return next((code for code in codes if code), 0)


def _describe(error: BrokenExecutor) -> str:
    """Say why a worker process died, from the exit codes or the remote traceback that loky reports."""
    again = "Run the same command again with"
    if error.__cause__ is not None:
        return (
            f"a worker process could not load a task or its result: {_exception_in(str(error.__cause__))}. "
            f"{again} --jobs 1, which needs no worker processes."
        )
    code = _exit_code(error)
    if code == -signal.SIGKILL:
        return f"a worker process was killed (SIGKILL), usually because memory ran out. {again} fewer --jobs."
    if not code:
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
    """Block SIGINT and SIGHUP in this thread and in the processes that it starts; this process stops them itself."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    resource_tracker.ensure_running()  # Start it here: if joblib did so later, that would unblock SIGINT.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _numbered(work: Callable[[Task], Result], number: int, task: Task) -> tuple[int, Result]:
    return number, work(task)
