"""One list of tasks on a Dask cluster: a window of futures for each worker process.

A process gets at most two tasks per thread. If it ends, or falls silent, its tasks go to others. A duplicate of a task
is harmless, by the contract of the tasks. Each process has a window, so that it is known which tasks it ran when it
ended: the task that ends its processes is found, and not one that was queued beside it.
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
from .dask_members import Flight, Member, Members
from .dask_worker import NotAsked, perform
from .lease import LeaseEnded
from .pool import Handshake

_TASKS_PER_THREAD = 2
_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_TO_WAIT = 0.2
_MOST_DEATHS = 3
"""So many processes may end while they run a task; while it is suspected, it runs alone in a process."""
_MOST_LOSSES = 5
_STRAGGLER, _FEWEST_SECONDS = 4.0, 5.0
"""At the end, a task that takes this many times the median, and at least these seconds, is sent to a second process."""


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
        """Calls that ended, in any way."""
        self._members = Members(link, self._token, handshake, patience, self._ended.put)
        self._new = enumerate(tasks)
        self._again: deque[int] = deque()
        """Numbers of the tasks to send again."""
        self._open: dict[int, Any] = {}
        """The tasks that were sent and have no result yet, by number."""
        self._flights: dict[Call, Flight] = {}
        """What was sent, by its call."""
        self._deaths: Counter[int] = Counter()
        """Number of processes that ended while they ran a task."""
        self._losses: Counter[int] = Counter()
        """Number of results of a task that were lost."""
        self._copied: set[int] = set()
        """Stragglers that were sent twice."""
        self._seconds: deque[float] = deque(maxlen=100)
        """Seconds that the last tasks took, with the time in the queue of their process."""

    def results(self) -> Iterator[tuple[int, Any]]:
        """Yield (index, result) of each task, in the order in which they end. The other calls are then released."""
        next_look, complete = 0.0, False
        try:
            while not complete or self._open:
                if time.monotonic() >= next_look:
                    for member in self._members.look():
                        self._return_tasks(member, ended=not member.silent)
                    next_look = time.monotonic() + _SECONDS_BETWEEN_LOOKS
                complete = self._send()
                if complete:
                    self._copy_stragglers()
                for call in self._some_ended():
                    if not self._members.hear_answer(call):
                        yield from self._result(call)
        finally:
            for flight in self._flights.values():
                flight.call.release()
            for member in self._members:
                if member.question is not None:
                    member.question.release()

    def _send(self) -> bool:
        """Send tasks to the processes that have room; return whether there is nothing left to send."""
        waiting = self._members.usable()
        while waiting and self._link.connected:
            member = min(waiting, key=lambda one: len(one.flights) / one.facts.threads)
            if len(member.flights) >= _TASKS_PER_THREAD * member.facts.threads or self._has_suspect(member):
                waiting.remove(member)
                continue
            number = self._next(alone=not member.flights)
            if number is None:
                waiting.remove(member)
                if not self._again:  # Else suspects wait for a process without tasks.
                    return True
                continue
            self._send_to(member, number)
        return False

    def _next(self, *, alone: bool) -> int | None:
        """Return the number of the next task; None if there is none. A suspect is only for a process without tasks."""
        for number in self._again:
            if alone or not self._deaths[number]:
                self._again.remove(number)
                return number
        for number, task in self._new:
            self._open[number] = task
            return number
        return None

    def _has_suspect(self, member: Member) -> bool:
        return any(self._deaths[flight.number] for flight in member.flights)

    def _send_to(self, member: Member, number: int) -> None:
        task = self._open[number]
        call = self._link.call(
            self._ended.put, member.facts.address, perform, self._token, self._lease, self._work, task
        )
        self._flights[call] = flight = Flight(number, member, call)
        member.flights.append(flight)

    def _some_ended(self) -> list[Call]:
        """Wait a moment for calls that end, and return all that did."""
        found = []
        try:
            found.append(self._ended.get(timeout=_SECONDS_TO_WAIT))
            while True:
                found.append(self._ended.get_nowait())
        except queue.Empty:
            return found

    def _result(self, call: Call) -> Iterator[tuple[int, Any]]:
        """Yield the result of a task, or send it again if it was lost; raise the exception of the task."""
        flight = self._flights.pop(call, None)
        if flight is None:  # It was sent to another process in the meantime.
            return
        member, number = flight.member, flight.number
        was_running = flight in list(member.flights)[: member.facts.threads]
        member.flights.remove(flight)
        try:
            result = call.result()
        except NotAsked:
            self._members.drop(member)
            member.flights.appendleft(flight)
            self._return_tasks(member, ended=True)
        except CallLost as lost:
            if lost.killed and was_running:
                self._count_death(flight)
            elif not lost.killed and self._link.connected:
                self._count_loss(flight)
            self._again_unless_sent(number)
        except LeaseEnded as error:
            raise EpochbankError(
                f"{error} Something removed it, such as another program, or another run that saw no lock."
            ) from error
        else:
            self._seconds.append(time.monotonic() - flight.since)
            self._open.pop(number)
            self._release_others(number)
            yield number, result
        finally:
            call.release()

    def _count_loss(self, flight: Flight) -> None:
        self._losses[flight.number] += 1
        if self._losses[flight.number] >= _MOST_LOSSES:
            raise EpochbankError(
                f"the result of one task, {self._open[flight.number]}, was lost {_MOST_LOSSES} times, the last time "
                f"from {flight.member}. Check that the Dask scheduler can connect to its workers."
            )

    def _count_death(self, flight: Flight) -> None:
        self._deaths[flight.number] += 1
        if self._deaths[flight.number] >= _MOST_DEATHS:
            raise EpochbankError(
                f"{_MOST_DEATHS} Dask worker processes ended one after the other while they ran the same task, "
                f"{self._open[flight.number]}; the last one was {flight.member}. Its log may say why: a custom "
                "operation or too little memory may end a process."
            )

    def _release_others(self, number: int) -> None:
        """Drop the other copies of a task that is done."""
        for call, other in list(self._flights.items()):
            if other.number == number:
                del self._flights[call]
                other.member.flights.remove(other)
                call.release()

    def _return_tasks(self, member: Member, *, ended: bool) -> None:
        """Take the tasks back from a process that ended or is silent.

        Raises `EpochbankError` if a task has ended too many processes.
        """
        flights = list(member.flights)
        member.flights.clear()
        for flight in flights:
            self._flights.pop(flight.call, None)
            flight.call.release()
        for place, flight in reversed(list(enumerate(flights))):
            if ended and place < member.facts.threads:
                self._count_death(flight)
            self._again_unless_sent(flight.number)

    def _again_unless_sent(self, number: int) -> None:
        """Send a task again, unless another process has it, too."""
        if not any(other.number == number for other in self._flights.values()):
            self._again.appendleft(number)

    def _copy_stragglers(self) -> None:
        """Send each task that takes much longer than the others to a second process, once."""
        if not self._seconds or not self._flights:
            return
        late = time.monotonic() - max(_FEWEST_SECONDS, _STRAGGLER * statistics.median(self._seconds))
        for flight in [one for one in self._flights.values() if one.since < late and one.number not in self._copied]:
            others = [one for one in self._members.usable() if one is not flight.member]
            free = [one for one in others if len(one.flights) < one.facts.threads]
            if free and not self._deaths[flight.number]:
                self._copied.add(flight.number)
                self._send_to(free[0], flight.number)
