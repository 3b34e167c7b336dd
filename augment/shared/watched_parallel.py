"""joblib's `Parallel`, which also ends if a thread of its pool died, for example because memory ran out.

The pool (loky) has two threads: the manager gets the results, and the feeder sends the tasks. joblib notices if a
process ends, but waits forever if one of these does. This module uses private parts of joblib and loky.
"""

import os
import signal
import threading
import time
from typing import Any

from joblib import Parallel

from ..errors import EpochbankError

_SECONDS_BETWEEN_LOOKS = 0.1
_LOOKS = 50
"""A thread is dead if this many looks find it so: one that is being started is not alive yet."""


class WatchedParallel(Parallel):
    """Like `Parallel`, but raises `EpochbankError` if the tasks cannot end any more."""

    def __init__(self, **keywords: Any):
        super().__init__(**keywords)
        self._last_look = 0.0
        self._looks_dead = 0

    def _wait_retrieval(self) -> bool:
        """Return whether to wait for more results; joblib calls this about every 10 ms while it waits."""
        if time.monotonic() >= self._last_look + _SECONDS_BETWEEN_LOOKS:
            self._last_look = time.monotonic()
            self._looks_dead = self._looks_dead + 1 if _is_dead(self._executor()) else 0
        if self._looks_dead >= _LOOKS:
            raise EpochbankError(
                "memory ran out while worker processes were being used: a thread that exchanges tasks and results with "
                "them ended. Run the same command again with fewer --jobs, or with --jobs 1, which needs none."
            )
        return super()._wait_retrieval()

    def _abort(self) -> None:
        """Stop the tasks; joblib calls this after an error, and waits for the manager then."""
        executor = self._executor()
        if executor is not None:
            release(executor)
        super()._abort()

    def _executor(self) -> Any:
        """Return loky's pool; None if joblib has no pool, or has it no more."""
        return getattr(self._backend, "_workers", None)


def _is_dead(executor: Any) -> bool:
    """Return whether a thread of a pool has begun, or should have begun, and is not alive."""
    if executor is None:
        return False
    threads = [executor._executor_manager_thread, executor._call_queue and executor._call_queue._thread]
    return any(thread is not None and not thread.is_alive() for thread in threads)


def release(executor: Any) -> None:
    """Prepare a pool for its shutdown, which waits for the manager, although one of its threads may be dead.

    The manager ends if it waits for a feeder that never began. If it is not alive itself, this kills the processes.
    """
    manager, queue = executor._executor_manager_thread, executor._call_queue
    feeder: threading.Thread | None = queue and queue._thread
    if feeder is not None and not feeder.is_alive():
        feeder._started.set()  # type: ignore[attr-defined]
    if manager is None or not manager.is_alive():
        while executor._processes:
            _, process = executor._processes.popitem()
            if process.is_alive():
                os.kill(process.pid, signal.SIGKILL)
                process.join()
        if manager is not None and manager.ident is None:  # It cannot be joined.
            executor._executor_manager_thread = None
