"""The worker processes of a Dask cluster as a pool: `dask.distributed` futures behind the contract of `on_all_cores`.

joblib's Dask backend would wait forever for a task that ends its workers.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TypeVar

from .dask_client import SchedulerLink, linked
from .dask_run import Run
from .pool import Handshake

Task = TypeVar("Task")
Result = TypeVar("Result")


class DaskPool:
    """All worker processes of a Dask scheduler, including those that join later."""

    place = "on the Dask cluster"

    def __init__(self, link: SchedulerLink, patience: float, local_jobs: int):
        self._link, self._patience = link, patience
        self.local_jobs = local_jobs

    @property
    def size(self) -> int:
        """Number of threads of all workers now, at least 1."""
        return max(1, sum(worker.threads for worker in (self._link.workers() or {}).values()))

    def run(
        self,
        work: Callable[[Task], Result],
        tasks: Iterable[Task],
        count: int,
        handshake: Handshake | None = None,
        *,
        bytes_read: int | None = None,
    ) -> Generator[tuple[int, Result]]:
        """Yield (index of the task, `work(task)`) for each task, in the order in which the tasks end.

        Parameters
        ----------
        work
            Function of a module. It may run twice for a task, also at the same time, and after the end of the run.
        tasks
            Picklable arguments of `work`; messages contain their `str`.
        count
            Number of tasks.
        handshake
            Check of each worker process before it gets a task; None for none.
        bytes_read
            Not used: tasks that mostly read run in the same way as others.

        Raises
        ------
        EpochbankError
            If the connection to the scheduler is lost, every worker is refused, there is no worker for longer than the
            patience, or a task ends its worker processes. An exception of a task is raised unchanged.
        """
        if not count:
            return
        with handshake or nullcontext():
            yield from Run(self._link, work, tasks, handshake, self._patience).results()


@contextmanager
def connected(scheduler: str, patience: float, local_jobs: int) -> Iterator[DaskPool]:
    """Connect to a Dask scheduler, given by its address or by the path of its file.

    Raises `EpochbankError` if it cannot be reached.
    """
    with linked(scheduler) as link:
        yield DaskPool(link, patience, local_jobs)
