"""Where tasks run: in worker processes of this machine, or of a Dask cluster."""

from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from .threads import read_on_all_cores
from .workers import on_all_cores

Task = TypeVar("Task")
Result = TypeVar("Result")


class Handshake(AbstractContextManager, Protocol):
    """Check of each worker process of a cluster before it gets a task. A context manager, open during the run."""

    question: Any
    """Picklable argument of `ask`."""
    lease: Path | None
    """File that exists as long as the results of the tasks are needed (`shared.lease`); None if they leave no files."""

    @property
    def ask(self) -> Callable[[Any], Any]:
        """A function of a module, which a worker process calls with `question`."""

    def fault(self, answer: Any) -> str:
        """Return why a worker process with this answer cannot be used, as part of a sentence; '' if it can."""


class Pool(Protocol):
    """Worker processes. `run` and `read` have the contract of `on_all_cores`."""

    @property
    def size(self) -> int:
        """Number of tasks that run at a time, at least 1."""

    @property
    def local_jobs(self) -> int:
        """Number of worker processes for work that stays on this machine, such as an import."""

    @property
    def place(self) -> str:
        """Where the tasks run, for messages: `on this machine`."""

    def run(
        self, work: Callable[[Task], Result], tasks: Iterable[Task], count: int, handshake: Handshake | None = None
    ) -> Generator[tuple[int, Result]]:
        """Yield (index of the task, `work(task)`) for each task, in the order in which the tasks end."""

    def read(
        self,
        work: Callable[[Task], Result],
        tasks: Iterable[Task],
        count: int,
        size: int,
        handshake: Handshake | None = None,
    ) -> Generator[tuple[int, Result]]:
        """Run tasks that mostly read and decompress `size` bytes."""


@dataclass(frozen=True)
class LocalPool:
    """Up to `size` worker processes on this machine."""

    size: int
    place: str = "on this machine"

    @property
    def local_jobs(self) -> int:
        """The same processes."""
        return self.size

    def run(
        self, work: Callable[[Task], Result], tasks: Iterable[Task], count: int, handshake: Handshake | None = None
    ) -> Generator[tuple[int, Result]]:
        """Run the tasks by `on_all_cores`; there is no handshake, because the processes are like this one."""
        return on_all_cores(work, tasks, count, self.size)

    def read(
        self,
        work: Callable[[Task], Result],
        tasks: Iterable[Task],
        count: int,
        size: int,
        handshake: Handshake | None = None,
    ) -> Generator[tuple[int, Result]]:
        """Run the tasks by `read_on_all_cores`, in threads if the work is short."""
        return read_on_all_cores(work, tasks, count, self.size, size)
