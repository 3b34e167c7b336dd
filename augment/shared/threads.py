"""Run tasks that mostly read, decompress and hash: in threads, or in processes if the work is long enough for them."""

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

from .worker_room import check_memory
from .workers import on_all_cores

Task = TypeVar("Task")
Result = TypeVar("Result")

_MOST_THREADS = 4
"""Maximum number of threads: more do not read faster, because they share a lock for the Python code between reads."""
_BYTES_PER_PROCESS = 2 << 30
"""Bytes from which a process is faster than a thread: it takes about a second to start, as long as reading these."""


def read_on_all_cores(
    work: Callable[[Task], Result], tasks: Iterable[Task], count: int, jobs: int, size: int
) -> Generator[tuple[int, Result]]:
    """Yield (index of the task, `work(task)`) for each task, in the order in which the tasks end.

    Parameters
    ----------
    work
        Function of a module that mostly reads, decompresses and hashes, which happens outside Python's lock.
    tasks
        Picklable arguments of `work`.
    count
        Number of tasks.
    jobs
        Maximum number of threads or processes. With 1, the tasks run in this thread.
    size
        Bytes that all tasks read and decode, by which threads or processes are chosen.

    Raises
    ------
    EpochbankError
        If a worker process dies, or memory does not suffice for processes or threads. An exception of a task is raised
        unchanged and stops the other tasks.
    """
    jobs = min(jobs, count)
    if jobs > _MOST_THREADS and size >= jobs * _BYTES_PER_PROCESS:
        yield from on_all_cores(work, tasks, count, jobs)
    elif jobs > 1:
        yield from _in_threads(work, tasks, min(jobs, _MOST_THREADS))
    else:
        for number, task in enumerate(tasks):
            yield number, work(task)


def _in_threads(work: Callable[[Task], Result], tasks: Iterable[Task], jobs: int) -> Iterator[tuple[int, Result]]:
    check_memory(jobs, f"{jobs} threads")
    numbered = enumerate(tasks)
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="epochbank read")
    pending: dict[Future[Result], int] = {}
    try:
        while True:
            for number, task in islice(numbered, 2 * jobs - len(pending)):
                pending[pool.submit(work, task)] = number
            if not pending:
                return
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                yield pending.pop(future), future.result()
    finally:
        pool.shutdown(cancel_futures=True)  # Waits for the tasks that run: each of them is short.
