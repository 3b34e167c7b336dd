"""A pool of decoding threads, with more threads that take over while some wait for a disk.

At most `computing` threads compute at any time. A thread that is about to wait calls `waiting`, and another thread
continues in its place. So a slow disk is read from many threads at once, and a fast one from no more threads than
compute.
"""

import atexit
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_MAX_THREADS = 16
_EXIT_TIMEOUT = 5.0
"""Seconds that the interpreter waits for a thread at exit: it may wait for a disk that is gone."""

Task = Callable[[], None]


class DecodeThreads:
    """Run tasks in threads, in order of submission. Tasks must not raise.

    The threads end when the object is closed or garbage-collected.
    """

    def __init__(self, computing: int):
        """`computing` is the maximum number of threads that compute at the same time."""
        self._pool = _Pool(computing)
        # Threads refer to the pool only, so that this object can be garbage-collected, which stops them.
        self._stop = weakref.finalize(self, self._pool.stop)
        self._stop.atexit = False  # At exit, `_stop_all` stops the pool.

    def submit(self, task: Task) -> None:
        """Run `task` after the tasks that were submitted before."""
        self._pool.submit(task)

    def submit_first(self, task: Task) -> None:
        """Run `task` before all tasks that have not started."""
        self._pool.submit(task, first=True)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let another thread compute while the calling task is inside the `with` block."""
        self._pool.pause()
        try:
            yield
        finally:
            self._pool.resume()

    @property
    def computed(self) -> float:
        """Seconds spent in tasks so far, without waiting, summed over threads."""
        return self._pool.computed

    def close(self) -> None:
        """Drop the tasks that have not started, and wait for the others."""
        self._stop()
        self._pool.join()


_pools: "weakref.WeakSet[_Pool]" = weakref.WeakSet()


class _Pool:
    def __init__(self, computing: int):
        _pools.add(self)
        self.threads: list[threading.Thread] = []
        self._max_computing = computing
        self._tasks: deque[Task] = deque()
        # Reentrant: garbage collection may stop a pool at any point.
        self._lock = threading.RLock()
        self._work = threading.Condition(self._lock)
        self._vacancy = threading.Condition(self._lock)
        self._computing = self._idle = self._resuming = 0
        self._stopped = False
        self._started = threading.local()
        self.computed = 0.0

    def submit(self, task: Task, *, first: bool = False) -> None:
        with self._lock:
            (self._tasks.appendleft if first else self._tasks.append)(task)
            self._wake()

    def _wake(self) -> None:
        """Start the next task if one more thread may compute. The caller holds the lock."""
        if self._stopped or not self._tasks or self._computing + self._resuming >= self._max_computing:
            return
        if self._idle:
            self._idle -= 1  # Now, not when the thread wakes: the next task must wake another thread.
            self._work.notify()
        elif len(self.threads) < _MAX_THREADS:
            thread = threading.Thread(target=self._run, name="epochbank-decode", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # The system does not allow more threads.
                if not self.threads:
                    raise
            else:
                self.threads.append(thread)

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._tasks or self._computing + self._resuming >= self._max_computing:
                    if self._stopped:
                        return
                    self._idle += 1
                    self._work.wait()
                task = self._tasks.popleft()
                self._begin_computing()
            task()
            del task  # It refers to images, which must not be kept while this thread waits.
            with self._lock:
                self._end_computing()
                if self._resuming:
                    self._vacancy.notify()

    def _begin_computing(self) -> None:
        self._computing += 1
        self._started.time = time.perf_counter()

    def _end_computing(self) -> None:
        self._computing -= 1
        self.computed += time.perf_counter() - self._started.time

    def pause(self) -> None:
        with self._lock:
            self._end_computing()
            if self._resuming:
                self._vacancy.notify()
            self._wake()

    def resume(self) -> None:
        with self._lock:
            self._resuming += 1
            while self._computing >= self._max_computing:
                self._vacancy.wait()
            self._resuming -= 1
            self._begin_computing()

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            dropped, self._tasks = self._tasks, deque()
            self._work.notify_all()
        del dropped  # Outside the lock: this may free whatever the tasks refer to.

    def join(self, timeout: float | None = None) -> None:
        for thread in list(self.threads):
            if thread is not threading.current_thread():
                thread.join(timeout)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)  # A forked process has none of these threads.


@atexit.register
def _stop_all() -> None:
    """Stop all threads: one that is inside a library when the interpreter exits would keep that library's locks."""
    pools = list(_pools)
    for pool in pools:
        pool.stop()
    for pool in pools:
        pool.join(_EXIT_TIMEOUT)
