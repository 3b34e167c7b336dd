"""One list of tasks on a Dask cluster: a window of futures for each worker process.

A process gets at most two tasks per thread. If it ends or stops sending heartbeats, its tasks go to other processes.
A task may run twice, by the contract of `DaskPool.run`. Because each process has a window, it is known which tasks it
ran when it ended, so a task that crashes its process is distinguished from those that were only queued there.
"""

import queue
import secrets
import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..errors import EpochbankError
from .dask_client import Call, CallLost, SchedulerLink
from .dask_registry import Attempt, Worker, WorkerRegistry
from .dask_worker import HandshakeMissing, run_task
from .lease import LeaseEnded
from .pool import Handshake

_TASKS_PER_THREAD = 2
_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_TO_WAIT = 0.2
_MOST_DEATHS = 3
"""Number of processes that may end while they run the same task. After the first, the task runs alone in a process."""
_MOST_LOSSES = 5
_STRAGGLER, _FEWEST_SECONDS = 4.0, 5.0
"""At the end, a task that takes this many times the median, and at least this many seconds, is sent a second time."""


class Run:
    """The tasks of one call of `DaskPool.run`."""

    def __init__(
        self,
        link: SchedulerLink,
        work: Callable[[Any], Any],
        tasks: Iterable[Any],
        handshake: Handshake | None,
        patience: float,
    ):
        self._link, self._work = link, work
        self._lease = None if handshake is None else handshake.lease
        self._token = secrets.token_hex(8)
        self._ended: queue.SimpleQueue[Call] = queue.SimpleQueue()
        """Calls that ended, with or without a result."""
        self._workers = WorkerRegistry(link, self._token, handshake, patience, self._ended.put)
        self._unsent = enumerate(tasks)
        self._to_resend: deque[int] = deque()
        """Numbers of the tasks to send again."""
        self._unfinished: dict[int, Any] = {}
        """Tasks that were sent and have no result yet, by number."""
        self._attempts: dict[Call, Attempt] = {}
        """Attempts that have not ended, by call."""
        self._deaths: Counter[int] = Counter()
        """Number of processes that ended while they ran a task, by its number."""
        self._losses: Counter[int] = Counter()
        """Number of lost results of a task, by its number."""
        self._duplicated: set[int] = set()
        """Stragglers that were sent twice."""
        self._seconds: deque[float] = deque(maxlen=100)
        """Seconds that the last tasks took, with the time in the queue of their process."""

    def results(self) -> Iterator[tuple[int, Any]]:
        """Yield (index, result) of each task, in the order in which they end. The other calls are then released."""
        next_look, complete = 0.0, False
        try:
            while not complete or self._unfinished:
                if time.monotonic() >= next_look:
                    for worker in self._workers.update():
                        self._return_tasks(worker, ended=not worker.silent)
                    next_look = time.monotonic() + _SECONDS_BETWEEN_LOOKS
                complete = self._send()
                if complete:
                    self._duplicate_stragglers()
                for call in self._ended_calls():
                    if not self._workers.end_handshake(call):
                        yield from self._result(call)
        finally:
            for attempt in self._attempts.values():
                attempt.call.release()
            for worker in self._workers:
                if worker.handshake is not None:
                    worker.handshake.release()

    def _send(self) -> bool:
        """Send tasks to the processes that have room; return whether there is nothing left to send."""
        waiting = self._workers.usable()
        while waiting and self._link.connected:
            worker = min(waiting, key=lambda one: len(one.attempts) / one.info.threads)
            if len(worker.attempts) >= _TASKS_PER_THREAD * worker.info.threads or self._may_crash(worker):
                waiting.remove(worker)
                continue
            number = self._next(alone=not worker.attempts)
            if number is None:
                waiting.remove(worker)
                if not self._to_resend:  # Otherwise a task that may have crashed its process waits for an idle one.
                    return True
                continue
            self._send_to(worker, number)
        return False

    def _next(self, *, alone: bool) -> int | None:
        """Return the number of the next task; None if there is none.

        A task that may have crashed a process is returned only if `alone`: it needs an idle process.
        """
        for number in self._to_resend:
            if alone or not self._deaths[number]:
                self._to_resend.remove(number)
                return number
        for number, task in self._unsent:
            self._unfinished[number] = task
            return number
        return None

    def _may_crash(self, worker: Worker) -> bool:
        """Return whether the process runs a task during which another one ended, so that it gets no other task."""
        return any(self._deaths[attempt.number] for attempt in worker.attempts)

    def _send_to(self, worker: Worker, number: int) -> None:
        task = self._unfinished[number]
        call = self._link.call(
            self._ended.put, worker.info.address, run_task, self._token, self._lease, self._work, task
        )
        self._attempts[call] = attempt = Attempt(number, worker, call)
        worker.attempts.append(attempt)

    def _ended_calls(self) -> list[Call]:
        """Wait briefly for calls to end, and return all that have ended."""
        found = []
        try:
            found.append(self._ended.get(timeout=_SECONDS_TO_WAIT))
            while True:
                found.append(self._ended.get_nowait())
        except queue.Empty:
            return found

    def _result(self, call: Call) -> Iterator[tuple[int, Any]]:
        """Yield the result of a task, or send it again if it was lost; raise the exception of the task."""
        attempt = self._attempts.pop(call, None)
        if attempt is None:  # It was sent to another process in the meantime.
            return
        worker, number = attempt.worker, attempt.number
        was_running = attempt in list(worker.attempts)[: worker.info.threads]
        worker.attempts.remove(attempt)
        try:
            result = call.result()
        except HandshakeMissing:
            self._workers.drop(worker)
            worker.attempts.appendleft(attempt)
            self._return_tasks(worker, ended=True)
        except CallLost as lost:
            if lost.killed and was_running:
                self._count_death(attempt)
            elif not lost.killed and self._link.connected:
                self._count_loss(attempt)
            self._resend(number)
        except LeaseEnded as error:
            raise EpochbankError(
                f"{error} Another program, or a run that did not see the lock, removed it. Run the same command again."
            ) from error
        else:
            self._seconds.append(time.monotonic() - attempt.since)
            self._unfinished.pop(number)
            self._release_others(number)
            yield number, result
        finally:
            call.release()

    def _count_loss(self, attempt: Attempt) -> None:
        self._losses[attempt.number] += 1
        if self._losses[attempt.number] >= _MOST_LOSSES:
            raise EpochbankError(
                f"the result of one task, {self._unfinished[attempt.number]}, was lost {_MOST_LOSSES} times, the last "
                f"time from {attempt.worker}. Check that the Dask scheduler can connect to its workers."
            )

    def _count_death(self, attempt: Attempt) -> None:
        self._deaths[attempt.number] += 1
        if self._deaths[attempt.number] >= _MOST_DEATHS:
            raise EpochbankError(
                f"{_MOST_DEATHS} Dask worker processes ended one after the other while they ran the same task, "
                f"{self._unfinished[attempt.number]}; the last one was {attempt.worker}. Check its log: possible "
                "causes are a custom operation that crashes, and too little memory."
            )

    def _release_others(self, number: int) -> None:
        """Cancel the other attempts of a task that has its result."""
        for call, other in list(self._attempts.items()):
            if other.number == number:
                del self._attempts[call]
                other.worker.attempts.remove(other)
                call.release()

    def _return_tasks(self, worker: Worker, *, ended: bool) -> None:
        """Send the tasks of a process that ended, or sends no heartbeats, to other processes.

        Raises `EpochbankError` if too many processes ended while they ran the same task.
        """
        attempts = list(worker.attempts)
        worker.attempts.clear()
        for attempt in attempts:
            self._attempts.pop(attempt.call, None)
            attempt.call.release()
        for place, attempt in reversed(list(enumerate(attempts))):
            if ended and place < worker.info.threads:
                self._count_death(attempt)
            self._resend(attempt.number)

    def _resend(self, number: int) -> None:
        """Send a task again, unless another process has it, too."""
        if not any(other.number == number for other in self._attempts.values()):
            self._to_resend.appendleft(number)

    def _duplicate_stragglers(self) -> None:
        """Send each task that takes much longer than the others to a second process, once."""
        if not self._seconds or not self._attempts:
            return
        late = time.monotonic() - max(_FEWEST_SECONDS, _STRAGGLER * statistics.median(self._seconds))
        stragglers = [one for one in self._attempts.values() if one.since < late and one.number not in self._duplicated]
        for attempt in stragglers:
            others = [one for one in self._workers.usable() if one is not attempt.worker]
            free = [one for one in others if len(one.attempts) < one.info.threads]
            if free and not self._deaths[attempt.number]:
                self._duplicated.add(attempt.number)
                self._send_to(free[0], attempt.number)
