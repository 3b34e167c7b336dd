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
    """Worker processes. `run` has the contract of `on_all_cores`."""

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
        self,
        work: Callable[[Task], Result],
        tasks: Iterable[Task],
        count: int,
        handshake: Handshake | None = None,
        *,
        bytes_read: int | None = None,
    ) -> Generator[tuple[int, Result]]:
        """Yield (index of the task, `work(task)`) for each of `count` tasks, in the order in which the tasks end.

        `bytes_read` is the number of bytes that the tasks read and decompress, if that is most of their work.
        """


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
        self,
        work: Callable[[Task], Result],
        tasks: Iterable[Task],
        count: int,
        handshake: Handshake | None = None,
        *,
        bytes_read: int | None = None,
    ) -> Generator[tuple[int, Result]]:
        """Run the tasks in processes, or in threads if they mostly read, and that is short.

        There is no handshake, because the processes are like this one.
        """
        if bytes_read is None:
            return on_all_cores(work, tasks, count, self.size)
        return read_on_all_cores(work, tasks, count, self.size, bytes_read)
