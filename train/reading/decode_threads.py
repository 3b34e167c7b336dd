"""A few threads that compute, and others that take over while one of them waits for a disk.

At most `computing` of them compute at any moment. One that is about to wait says so (`waiting`), and
another goes on in its place: a slow disk is read from many threads at once, a fast one from no more
threads than compute.
"""

import atexit
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_MOST_THREADS = 16
_PATIENCE = 5.0
"""Seconds for which Python's end waits for a thread: a disk may be gone."""

Task = Callable[[], None]


class Workers:
    """Runs tasks, first come, first served. Tasks must not raise. Ends when it is closed or dropped."""

    def __init__(self, computing: int):
        self._pool = _Pool(computing)
        # Threads know the pool alone, so that a dropped `Workers` is collected and ends them.
        self._end = weakref.finalize(self, self._pool.end)
        self._end.atexit = False  # `_end_all` does it.

    def submit(self, task: Task) -> None:
        """Run `task` after those that were submitted before."""
        self._pool.submit(task)

    def submit_first(self, task: Task) -> None:
        """Run `task` before all others that have not begun."""
        self._pool.submit(task, first=True)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While a task is in this context, another may compute in its place."""
        self._pool.leave()
        try:
            yield
        finally:
            self._pool.come_back()

    @property
    def computed(self) -> float:
        """Seconds spent in tasks so far, waiting left out, added up over threads."""
        return self._pool.computed

    def close(self) -> None:
        """Drop the tasks that have not begun, and wait for those that have."""
        self._end()
        self._pool.join()


_pools: "weakref.WeakSet[_Pool]" = weakref.WeakSet()


class _Pool:
    def __init__(self, computing: int):
        _pools.add(self)
        self.threads: list[threading.Thread] = []
        self._most_computing = computing
        self._tasks: deque[Task] = deque()
        # Reentrant: collecting garbage may end a pool in the middle of anything.
        self._lock = threading.RLock()
        self._work = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._computing = self._idle = self._coming_back = 0
        self._ended = False
        self._since = threading.local()
        self.computed = 0.0

    def submit(self, task: Task, *, first: bool = False) -> None:
        with self._lock:
            (self._tasks.appendleft if first else self._tasks.append)(task)
            self._wake()

    def _wake(self) -> None:
        """Have the next task begun, where one more may compute. The caller holds the lock."""
        if self._ended or not self._tasks or self._computing + self._coming_back >= self._most_computing:
            return
        if self._idle:
            self._idle -= 1  # Now, not when it wakes: the next task wakes another.
            self._work.notify()
        elif len(self.threads) < _MOST_THREADS:
            thread = threading.Thread(target=self._run, name="epochbank-decode", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # The system grants no more threads.
                if not self.threads:
                    raise
            else:
                self.threads.append(thread)

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._tasks or self._computing + self._coming_back >= self._most_computing:
                    if self._ended:
                        return
                    self._idle += 1
                    self._work.wait()
                task = self._tasks.popleft()
                self._begin_computing()
            task()
            del task  # It holds pictures that the next wait should not keep.
            with self._lock:
                self._end_computing()
                if self._coming_back:
                    self._room.notify()

    def _begin_computing(self) -> None:
        self._computing += 1
        self._since.time = time.perf_counter()

    def _end_computing(self) -> None:
        self._computing -= 1
        self.computed += time.perf_counter() - self._since.time

    def leave(self) -> None:
        with self._lock:
            self._end_computing()
            if self._coming_back:
                self._room.notify()
            self._wake()

    def come_back(self) -> None:
        with self._lock:
            self._coming_back += 1
            while self._computing >= self._most_computing:
                self._room.wait()
            self._coming_back -= 1
            self._begin_computing()

    def end(self) -> None:
        with self._lock:
            self._ended = True
            dropped, self._tasks = self._tasks, deque()
            self._work.notify_all()
        del dropped  # Outside the lock: with it may go whatever tasks hold.

    def join(self, timeout: float | None = None) -> None:
        for thread in list(self.threads):
            if thread is not threading.current_thread():
                thread.join(timeout)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)  # Their threads did not come along.


@atexit.register
def _end_all() -> None:
    """A thread that Python's end finds inside a library would take that library's locks with it."""
    pools = list(_pools)
    for pool in pools:
        pool.end()
    for pool in pools:
        pool.join(_PATIENCE)
