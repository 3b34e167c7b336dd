"""The connection to a Dask scheduler. No call waits forever, and connection errors are `EpochbankError`s."""

import asyncio
import concurrent.futures
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..console import notify
from ..errors import EpochbankError
from .dask_tls import tls_security

_SECONDS_TO_CONNECT = 30.0
"""How long to wait for the scheduler, and for its file, which a batch job may be about to write."""
_SECONDS_TO_ANSWER = 10.0
_SECONDS_TO_RECONNECT = 10.0
"""After this time without a connection, the scheduler counts as lost. Dask's own limit is 30 s, after which
`Client.submit` waits forever."""
_SECONDS_TO_CLOSE = 5.0
_SECONDS_BETWEEN_LOOKS = 0.2
_LOGGERS = ("distributed", "tornado", "asyncio")


@dataclass(frozen=True)
class WorkerInfo:
    """What the scheduler knows of a worker process."""

    address: str
    host: str
    threads: int
    last_seen: float
    """Time of its last heartbeat, by the clock of the scheduler."""


class CallLost(Exception):
    """A call has no result: the connection was lost, or its worker process ended (`killed`)."""

    def __init__(self, *, killed: bool):
        super().__init__()
        self.killed = killed


class Call:
    """A call that was sent to a worker process. Its result is fetched without waiting for it."""

    def __init__(self, future: Any, loop: Any, when_done: "Callable[[Call], None]"):
        """`when_done` is called in another thread when the call has a result or has failed."""
        self._future = future

        async def fetch() -> Any:
            return await future

        self._outcome = asyncio.run_coroutine_threadsafe(fetch(), loop)
        self._outcome.add_done_callback(lambda _: when_done(self))

    def result(self) -> Any:
        """Return the result of a call that is done; raise its exception, or `CallLost`."""
        from distributed import KilledWorker

        try:
            return self._outcome.result(timeout=0)
        except KilledWorker:  # Dask marks all calls that a process had when it ended, not only those that it ran.
            raise CallLost(killed=True) from None
        except concurrent.futures.CancelledError:
            raise CallLost(killed=False) from None
        except OSError:
            if self._future.status == "error":
                raise
            raise CallLost(killed=False) from None  # Fetching the result failed.

    def release(self) -> None:
        """Cancel the call, or release its result."""
        self._future.release()
        self._outcome.cancel()


class SchedulerLink:
    """A connected client of a Dask scheduler."""

    def __init__(self, client: Any, address: str):
        self._client, self.address = client, address
        self._connecting_since: float | None = None

    def workers(self) -> dict[str, WorkerInfo] | None:
        """Return the worker processes by address; None if the scheduler does not answer."""
        try:
            identity = self._client.sync(
                self._client.scheduler.identity, n_workers=-1, callback_timeout=_SECONDS_TO_ANSWER
            )
        except OSError:  # TimeoutError, and Dask's CommClosedError, are.
            return None
        return {
            address: WorkerInfo(address, found["host"], found["nthreads"], found["last_seen"])
            for address, found in identity["workers"].items()
        }

    def check(self) -> None:
        """Raise `EpochbankError` if the connection is lost."""
        status = self._client.status
        if status == "running":
            self._connecting_since = None
            return
        self._connecting_since = self._connecting_since or time.monotonic()
        if status != "connecting" or time.monotonic() - self._connecting_since > _SECONDS_TO_RECONNECT:
            raise self._lost()

    @property
    def connected(self) -> bool:
        """Whether this client is connected. The scheduler drops all tasks of a client whose connection is lost."""
        return self._client.status == "running"

    def call(
        self,
        when_done: Callable[[Call], None],
        address: str,
        function: Callable[..., Any],
        *arguments: Any,
        priority: int = 0,
    ) -> Call:
        """Send a call to the worker process at `address`, and nowhere else."""
        from distributed.client import ClosedClientError

        try:
            future = self._client.submit(
                function, *arguments, workers=[address], allow_other_workers=False, pure=False, retries=0,
                priority=priority,
            )  # fmt: skip
        except ClosedClientError as error:
            raise self._lost() from error
        return Call(future, self._client.loop.asyncio_loop, when_done)

    def _lost(self) -> EpochbankError:
        return EpochbankError(
            f"the connection to the Dask scheduler at {self.address} was lost: it ended, or the network failed. Start "
            "it again if necessary."
        )


@contextmanager
def linked(scheduler: str) -> Iterator[SchedulerLink]:
    """Connect to a scheduler, given by its address or by the path of its file.

    Raises `EpochbankError` if the file does not appear, the scheduler does not answer within half a minute, or the
    certificates for `tls://` are missing or wrong.
    """
    from distributed import Client

    address = scheduler if "://" in scheduler else _address_in(Path(scheduler))
    security = tls_security(address)
    with _quiet_dask():
        try:
            client: Any = Client(
                address, timeout=_SECONDS_TO_CONNECT, set_as_default=False, name="epochbank", security=security
            )
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            reason = " ".join(str(error.__cause__ or error).split()) or type(error).__name__
            raise EpochbankError(
                f"the Dask scheduler at {address} cannot be reached: {reason}. Check that it runs, and that its "
                "address is the one it printed."
            ) from error
        loop = client.loop.asyncio_loop
        loop.call_soon_threadsafe(loop.set_exception_handler, _handle_in_loop)
        try:
            yield SchedulerLink(client, address)
        finally:
            _close(client)


def _address_in(file: Path) -> str:
    """Return the address in the file of a scheduler, which may not be written yet."""
    end, reported = time.monotonic() + _SECONDS_TO_CONNECT, False
    while True:
        try:
            address = json.loads(file.read_text(encoding="utf-8"))["address"]
            if isinstance(address, str):
                return address
            fault = f"its address is {address!r}"
        except OSError as error:
            fault = error.strerror or str(error)
        except (ValueError, KeyError, TypeError) as error:
            fault = f"it is not the JSON that Dask writes ({type(error).__name__}: {error})"
        if time.monotonic() > end:
            raise EpochbankError(
                f"the file of the Dask scheduler, {file}, cannot be read: {fault}; expected what `dask scheduler "
                "--scheduler-file` writes. Check the path, and that the scheduler runs."
            )
        if not reported:
            notify(f"waiting up to {_SECONDS_TO_CONNECT:.0f} s for the file of the Dask scheduler, {file}")
            reported = True
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _handle_in_loop(loop: Any, context: dict[str, Any]) -> None:
    """Hide the exceptions with which Dask ends its own tasks, and which asyncio prints when these are deleted."""
    from distributed.client import AllExit

    if not isinstance(context.get("exception"), AllExit | OSError | asyncio.CancelledError):
        loop.default_exception_handler(context)


def _close(client: Any) -> None:
    try:
        client.close(timeout=_SECONDS_TO_CLOSE)
    except (OSError, RuntimeError) as error:  # The work is done or has failed already.
        notify(f"the connection to the Dask scheduler was not closed properly: {error}")


@contextmanager
def _quiet_dask() -> Iterator[None]:
    """Keep Dask from logging what our own messages report: lost connections, with tracebacks, and other versions."""
    names = [name for name in list(logging.root.manager.loggerDict) if name.partition(".")[0] in _LOGGERS]
    loggers = [logging.getLogger(name) for name in {*names, *_LOGGERS}]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
