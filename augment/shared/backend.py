"""Which pool a command uses: the options `--backend`, `--scheduler` and `--patience`."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import EpochbankError
from .pool import LocalPool, Pool
from .workers import kept_workers

BackendName = Literal["local", "dask"]
"""What `--backend` accepts."""
PATIENCE = 600.0
"""Default number of seconds without a worker after which a run on a cluster ends."""
_SCHEMES = ("tcp://", "tls://")


@dataclass(frozen=True)
class Backend:
    """Which worker processes to use."""

    scheduler: str | None = None
    """Address of a Dask scheduler, or the path of its file; None for processes of this machine."""
    patience: float = PATIENCE
    """Seconds without a worker after which a run on a cluster ends."""


@contextmanager
def open_pool(backend: Backend, jobs: int) -> Iterator[Pool]:
    """Yield the worker processes of `backend`: `jobs` of this machine, or those of a cluster.

    Raises `EpochbankError` if the scheduler cannot be reached.
    """
    if backend.scheduler is None:
        with kept_workers():
            yield LocalPool(jobs)
        return
    from .dask_pool import connected

    with connected(backend.scheduler, backend.patience, jobs) as pool:
        yield pool


def backend_from(name: BackendName | None, scheduler: str | Path | None, patience: float) -> Backend:
    """Return the backend of the options `--backend`, `--scheduler` and `--patience`.

    Raises `EpochbankError` if they contradict each other, or Dask is not installed.
    """
    if not patience > 0:
        raise EpochbankError(f"--patience {patience:g} is invalid; expected seconds above 0.", usage=True)
    if scheduler is None:
        if name == "dask":
            raise EpochbankError(
                "--backend dask needs a scheduler; expected its address or its file, such as --scheduler "
                "tcp://10.0.0.1:8786 or --scheduler scheduler.json.",
                usage=True,
            )
        return Backend(patience=patience)
    if name == "local":
        raise EpochbankError(
            f"--scheduler {scheduler} applies only to --backend dask. Omit one of the two options.", usage=True
        )
    address = str(scheduler)
    if not address.startswith(_SCHEMES) and ("://" in address or Path(address).suffix != ".json"):
        raise EpochbankError(
            f"--scheduler {address} is invalid; expected tcp://HOST:PORT, tls://HOST:PORT, or the .json file that "
            "`dask scheduler --scheduler-file` writes.",
            usage=True,
        )
    if importlib.util.find_spec("distributed") is None:
        raise EpochbankError(
            "--backend dask needs the package distributed, which is not installed; pip install 'epochbank[cluster]'.",
            usage=True,
        )
    return Backend(address, patience)
