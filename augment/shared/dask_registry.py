"""The worker processes of a Dask cluster during one run: which exist, which were checked, and which may get tasks."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..console import notify
from ..errors import EpochbankError
from .dask_client import Call, CallLost, SchedulerLink, WorkerFacts
from .dask_worker import answer
from .pool import Handshake
from .progress import counted

_SECONDS_SILENT = 60.0
"""After this time without a heartbeat, a process gets no tasks until the next one, and others run those that it has.
Dask itself waits 5 minutes by default (worker-ttl), or forever."""
_SECONDS_TO_REPORT = 60.0
"""After this time without a worker, a message says so."""
_SECONDS_FOR_OTHERS = 5.0
"""How long to wait for other workers if all connected ones are refused."""
_SECONDS_BETWEEN_REPORTS = 10.0
_MOST_DEATHS = 3
"""Number of processes, one after the other, that may end during their handshake."""


@dataclass(eq=False)
class Attempt:
    """A task that was sent to a worker process."""

    number: int
    member: "Member"
    call: Call
    since: float = field(default_factory=time.monotonic)


@dataclass(eq=False)
class Member:
    """A worker process."""

    facts: WorkerFacts
    state: str = "asked"
    """`asked`, `admitted` or `refused`."""
    question: Call | None = None
    """The call of its handshake, until it is answered."""
    since: float = field(default_factory=time.monotonic)
    heartbeat: float = field(default_factory=time.monotonic)
    """When its last heartbeat was noticed, by the clock of this process."""
    attempts: deque[Attempt] = field(default_factory=deque)
    """The tasks that it has, in the order in which it runs them."""

    @property
    def silent(self) -> bool:
        """Whether its last heartbeat is too old for it to get tasks."""
        return time.monotonic() - self.heartbeat > _SECONDS_SILENT

    @property
    def usable(self) -> bool:
        """Whether it may get tasks."""
        return self.state == "admitted" and not self.silent

    def __str__(self) -> str:
        return f"{self.facts.address} on {self.facts.host}"


class Members:
    """Check every worker process once with the handshake, and keep track of those that may get tasks."""

    def __init__(
        self,
        link: SchedulerLink,
        token: str,
        handshake: Handshake | None,
        patience: float,
        when_done: Callable[[Call], None],
    ):
        """`when_done` is called in another thread with each handshake call that ends."""
        self._link, self._token, self._handshake, self._patience = link, token, handshake, patience
        self._when_done = when_done
        self._members: dict[str, Member] = {}
        self._refusal = ""
        self._deaths = 0
        self._none_since: float | None = time.monotonic()
        self._no_answer_since: float | None = None
        self._reported_none = False
        self._reported: tuple[int, int] | None = None
        self._report_at = 0.0

    def usable(self) -> list[Member]:
        """Return the processes that may get tasks."""
        return [member for member in self._members.values() if member.usable]

    def look(self) -> list[Member]:
        """Update the list of processes, and send new ones the handshake; return those that ended or are silent.

        Raises `EpochbankError` if no worker remains, or the scheduler does not answer, for too long.
        """
        self._link.check()
        found = self._link.workers()
        if found is None:
            self._no_answer_since = self._no_answer_since or time.monotonic()
            self._check_patience(self._no_answer_since, "has not answered")
            return []
        self._no_answer_since = None
        gone = [member for address, member in self._members.items() if address not in found]
        for member in gone:
            self.drop(member)
        self._count_death([member for member in gone if member.state == "asked"])
        for address, facts in found.items():
            if address in self._members:
                self._hear(self._members[address], facts)
            else:
                self._members[address] = self._asked(facts)
        self._check_answers()
        self._check_any()
        return [*gone, *(member for member in self._members.values() if member.silent and member.attempts)]

    def drop(self, member: Member) -> None:
        """Remove a process that ended. Another one at its address gets a new handshake."""
        self._members.pop(member.facts.address, None)
        if member.question is not None:
            member.question.release()

    def _count_death(self, members: list[Member]) -> None:
        """Count processes that ended during their handshake; several that end at the same time count as one."""
        self._deaths += bool(members)
        if self._deaths >= _MOST_DEATHS:
            raise EpochbankError(
                f"{_MOST_DEATHS} Dask worker processes ended one after the other while they were checked, the last one "
                f"was {members[-1]}. Check its log: possible causes are a custom operation that crashes, and too "
                "little memory."
            )

    def take_answer(self, call: Call) -> bool:
        """Admit or refuse the process whose handshake `call` is; return False if it is not a handshake."""
        member = next((one for one in self._members.values() if one.question is call), None)
        if member is None:
            return False
        try:
            fault = self._fault(call)
        except CallLost as lost:  # It is checked again if it still exists.
            self.drop(member)
            self._count_death([member] if lost.killed else [])
            return True
        call.release()
        member.question, self._deaths = None, 0
        member.state = "refused" if fault else "admitted"
        if fault:
            self._refusal = f"the Dask worker {member} cannot be used: {fault}"
            notify(self._refusal)
        return True

    def _fault(self, call: Call) -> str:
        """Return why a process is refused, given its answer or its exception; '' if it is admitted."""
        try:
            result = call.result()
        except CallLost:
            raise
        except EpochbankError as error:
            return str(error)
        except Exception as error:  # The environment of the worker may raise any exception.
            return f"it could not be checked ({type(error).__name__}: {error})"
        return "" if self._handshake is None else self._handshake.fault(result)

    def _asked(self, facts: WorkerFacts) -> Member:
        ask, question = (self._handshake.ask, self._handshake.question) if self._handshake else (None, None)
        asked = self._link.call(self._when_done, facts.address, answer, self._token, ask, question, priority=1)
        return Member(facts, question=asked)

    def _hear(self, member: Member, facts: WorkerFacts) -> None:
        if facts.last_seen != member.facts.last_seen:
            member.facts, member.heartbeat = facts, time.monotonic()

    def _check_answers(self) -> None:
        """Refuse the processes that do not answer."""
        for member in self._members.values():
            if member.state == "asked" and time.monotonic() - member.since > self._patience:
                member.state = "refused"
                if member.question is not None:
                    member.question.release()
                    member.question = None
                self._refusal = f"the Dask worker {member} cannot be used: no answer within {self._patience:.0f} s"
                notify(self._refusal)

    def _check_any(self) -> None:
        """Raise `EpochbankError` if there has been no usable worker for too long; report how many there are."""
        usable = self.usable()
        if usable:
            self._none_since, self._reported_none = None, False
            self._report(len(usable), sum(member.facts.threads for member in usable))
            return
        self._none_since = self._none_since or time.monotonic()
        asked = sum(member.state == "asked" and not member.silent for member in self._members.values())
        if self._refusal and not asked and time.monotonic() - self._none_since > _SECONDS_FOR_OTHERS:
            raise EpochbankError(f"{self._refusal}. No other worker is available.")
        self._check_patience(self._none_since, "has had no usable worker", asked)

    def _check_patience(self, since: float, what: str, asked: int = 0) -> None:
        seconds = time.monotonic() - since
        text = f"the Dask scheduler at {self._link.address} {what} for {seconds:.0f} s"
        text += f" ({counted(asked, 'worker')} being checked)" if asked else ""
        if seconds > self._patience:
            raise EpochbankError(
                f"{text}; the limit is --patience {self._patience:g}. Start workers, or check their logs."
            )
        if seconds > _SECONDS_TO_REPORT and not self._reported_none:
            self._reported_none = True
            notify(f"{text}; the run ends after {self._patience:.0f} s (--patience)")

    def _report(self, workers: int, threads: int) -> None:
        if (workers, threads) != self._reported and time.monotonic() >= self._report_at:
            self._reported, self._report_at = (workers, threads), time.monotonic() + _SECONDS_BETWEEN_REPORTS
            notify(f"{counted(workers, 'Dask worker')} with {counted(threads, 'thread')}")

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())
