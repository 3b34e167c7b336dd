"""The worker processes of a Dask cluster during one run: which exist, which were checked, and which may get tasks."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..console import notify
from ..errors import EpochbankError
from .dask_client import Call, CallLost, SchedulerLink, WorkerInfo
from .dask_worker import run_handshake
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
    worker: "Worker"
    call: Call
    since: float = field(default_factory=time.monotonic)


@dataclass(eq=False)
class Worker:
    """A worker process."""

    info: WorkerInfo
    state: str = "checking"
    """`checking`, `admitted` or `refused`."""
    handshake: Call | None = None
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
        return f"{self.info.address} on {self.info.host}"


class WorkerRegistry:
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
        self._workers: dict[str, Worker] = {}
        self._refusal = ""
        self._deaths = 0
        self._none_since: float | None = time.monotonic()
        self._no_answer_since: float | None = None
        self._reported_none = False
        self._reported: tuple[int, int] | None = None
        self._report_at = 0.0

    def usable(self) -> list[Worker]:
        """Return the processes that may get tasks."""
        return [worker for worker in self._workers.values() if worker.usable]

    def update(self) -> list[Worker]:
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
        gone = [worker for address, worker in self._workers.items() if address not in found]
        for worker in gone:
            self.drop(worker)
        self._count_death([worker for worker in gone if worker.state == "checking"])
        for address, info in found.items():
            if address in self._workers:
                self._note_heartbeat(self._workers[address], info)
            else:
                self._workers[address] = self._start_handshake(info)
        self._check_answers()
        self._check_any()
        return [*gone, *(worker for worker in self._workers.values() if worker.silent and worker.attempts)]

    def drop(self, worker: Worker) -> None:
        """Remove a process that ended. Another one at its address gets a new handshake."""
        self._workers.pop(worker.info.address, None)
        if worker.handshake is not None:
            worker.handshake.release()

    def _count_death(self, workers: list[Worker]) -> None:
        """Count processes that ended during their handshake; several that end at the same time count as one."""
        self._deaths += bool(workers)
        if self._deaths >= _MOST_DEATHS:
            raise EpochbankError(
                f"{_MOST_DEATHS} Dask worker processes ended one after the other while they were checked, the last one "
                f"was {workers[-1]}. Check its log: possible causes are a custom operation that crashes, and too "
                "little memory."
            )

    def end_handshake(self, call: Call) -> bool:
        """Admit or refuse the process whose handshake `call` is; return False if it is the call of a task."""
        worker = next((one for one in self._workers.values() if one.handshake is call), None)
        if worker is None:
            return False
        try:
            fault = self._fault(call)
        except CallLost as lost:  # It is checked again if it still exists.
            self.drop(worker)
            self._count_death([worker] if lost.killed else [])
            return True
        call.release()
        worker.handshake, self._deaths = None, 0
        worker.state = "refused" if fault else "admitted"
        if fault:
            self._refusal = f"the Dask worker {worker} cannot be used: {fault}"
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

    def _start_handshake(self, info: WorkerInfo) -> Worker:
        ask, question = (self._handshake.ask, self._handshake.question) if self._handshake else (None, None)
        call = self._link.call(self._when_done, info.address, run_handshake, self._token, ask, question, priority=1)
        return Worker(info, handshake=call)

    def _note_heartbeat(self, worker: Worker, info: WorkerInfo) -> None:
        if info.last_seen != worker.info.last_seen:
            worker.info, worker.heartbeat = info, time.monotonic()

    def _check_answers(self) -> None:
        """Refuse the processes that do not answer."""
        for worker in self._workers.values():
            if worker.state == "checking" and time.monotonic() - worker.since > self._patience:
                worker.state = "refused"
                if worker.handshake is not None:
                    worker.handshake.release()
                    worker.handshake = None
                self._refusal = f"the Dask worker {worker} cannot be used: no answer within {self._patience:.0f} s"
                notify(self._refusal)

    def _check_any(self) -> None:
        """Raise `EpochbankError` if there has been no usable worker for too long; report how many there are."""
        usable = self.usable()
        if usable:
            self._none_since, self._reported_none = None, False
            self._report(len(usable), sum(worker.info.threads for worker in usable))
            return
        self._none_since = self._none_since or time.monotonic()
        checking = sum(worker.state == "checking" and not worker.silent for worker in self._workers.values())
        if self._refusal and not checking and time.monotonic() - self._none_since > _SECONDS_FOR_OTHERS:
            raise EpochbankError(f"{self._refusal}. No other worker is available.")
        self._check_patience(self._none_since, "has had no usable worker", checking)

    def _check_patience(self, since: float, what: str, checking: int = 0) -> None:
        seconds = time.monotonic() - since
        text = f"the Dask scheduler at {self._link.address} {what} for {seconds:.0f} s"
        text += f" ({counted(checking, 'worker')} being checked)" if checking else ""
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

    def __iter__(self) -> Iterator[Worker]:
        return iter(self._workers.values())
