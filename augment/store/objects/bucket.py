"""A place in an object store, and the operations on the objects below it.

obstore does the requests and retries them. What it raises becomes an `EpochbankError` here. It cannot be used in a
process that was forked from one that has used it: its threads are not forked, and a call would wait forever.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import EpochbankError
from ...shared.atomic import make_directory
from .urls import SCHEMES, url_of

if TYPE_CHECKING:
    from obstore.store import ObjectStore

TIMEOUT = "EPOCHBANK_OBJECTS_TIMEOUT"
"""Environment variable: seconds for which a request that fails or gets no answer is retried."""
_TIMEOUT = 60.0
_BLOCK = 1 << 20
_PART_BYTES = 8 << 20
_PARTS_AT_ONCE = 4
_SECONDS_BETWEEN_TRIES = 0.2

_used_in: set[int] = set()
"""Processes that have used obstore: this one, and those from which it was forked."""


class Object(NamedTuple):
    """An object in a list."""

    name: str
    """Name relative to the URL of the bucket."""
    bytes: int
    modified: datetime


class Bucket:
    """The objects below a URL. Thread-safe, and picklable; a copy connects again."""

    def __init__(self, url: str):
        """Raises `EpochbankError` if `url` is no URL of an object store."""
        found = url_of(url)
        if found is None or not found.partition("://")[2].strip("/"):
            raise EpochbankError(
                f"{url!r} is not a URL in an object store; expected {SCHEMES} and a bucket or directory.",
                usage=True,
            )
        self.url = found
        self._connected: tuple[int, ObjectStore] | None = None

    def __reduce__(self) -> tuple[type["Bucket"], tuple[str]]:
        """Connect again in the process that unpickles the object."""
        return Bucket, (self.url,)

    def get(self, name: str) -> bytes | None:
        """Return the contents of an object; None if it does not exist."""
        with self._describing("reading", name):
            try:
                return self._obstore().get(self._store(), name).bytes().to_bytes()
            except FileNotFoundError:
                return None

    def put(self, name: str, data: bytes) -> None:
        """Write an object, or replace it."""
        with self._describing("writing", name):
            self._obstore().put(self._store(writes=True), name, data)

    def create(self, name: str, data: bytes) -> bool:
        """Write an object if it does not exist; return whether it has the contents `data` now.

        It may have them because an earlier attempt, whose answer was lost, has succeeded: `data` must be unique to the
        caller for the result to mean that no other writer has created the object.
        """
        until = time.monotonic() + seconds_of_patience()
        while True:
            with self._describing("writing", name):
                try:
                    self._obstore().put(self._store(writes=True), name, data, mode="create")
                    return True
                except self._error("AlreadyExistsError"):
                    pass
                except self._error("GenericError"):
                    if self.get(name) != data:
                        raise
                    return True
            found = self.get(name)
            if found is not None:
                return found == data
            # S3 answers a conditional write with 409 if another one is under way at the same time.
            if time.monotonic() > until:
                raise EpochbankError(
                    f"writing {self.url}/{name} failed: the store reports that it exists, but it cannot be read. Run "
                    "the same command again."
                )
            time.sleep(_SECONDS_BETWEEN_TRIES)

    def upload(self, name: str, path: Path) -> None:
        """Write the file `path` as an object, or replace it. Raises `OSError` if the file cannot be read."""
        with self._describing("writing", name):
            store = self._store(writes=True)
            self._obstore().put(store, name, path, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)

    def blocks(self, name: str) -> Iterator[bytes]:
        """Yield the contents of an object in blocks of about 1 MiB. Raises `FileNotFoundError` if it does not exist."""
        with self._describing("reading", name):
            yield from map(bytes, self._obstore().get(self._store(), name).stream(min_chunk_size=_BLOCK))

    def head(self, name: str) -> Object | None:
        """Return the size and the time of an object; None if it does not exist."""
        with self._describing("looking up", name):
            try:
                found = self._obstore().head(self._store(), name)
            except FileNotFoundError:
                return None
            return Object(name, found["size"], found["last_modified"])

    def delete(self, name: str) -> None:
        """Delete an object; one that does not exist is no error."""
        with self._describing("deleting", name):
            try:
                self._obstore().delete(self._store(), name)
            except FileNotFoundError:
                return

    def listed(self, folder: str) -> Iterator[Object]:
        """Yield the objects below `folder`."""
        with self._describing("listing", folder):
            try:
                store = self._store()
            except FileNotFoundError:
                return
            for page in self._obstore().list(store, folder):
                yield from (Object(one["path"], one["size"], one["last_modified"]) for one in page)

    def folders(self) -> list[str]:
        """Return the names of the folders directly below the URL, sorted."""
        with self._describing("listing", ""):
            try:
                found = self._obstore().list_with_delimiter(self._store())
            except FileNotFoundError as error:
                raise EpochbankError(f"{self.url} does not exist; expected a directory of sets.") from error
            return sorted(name.rstrip("/").rpartition("/")[2] for name in found["common_prefixes"])

    def _store(self, *, writes: bool = False) -> "ObjectStore":
        """Return the store. Raises `FileNotFoundError` for a directory that does not exist, unless it `writes`."""
        if self._connected is None or self._connected[0] != os.getpid():
            if forked():
                raise EpochbankError(
                    f"{self.url} cannot be used in a process that was forked from one that has used an object store. "
                    "Start processes by `spawn` or `forkserver` instead of `fork`."
                )
            self._connected = os.getpid(), self._connect(writes)
            _used_in.add(os.getpid())
        return self._connected[1]

    def _connect(self, writes: bool) -> "ObjectStore":
        from obstore.store import LocalStore, from_url

        scheme, _, rest = self.url.partition("://")
        if scheme == "file":
            if writes:
                make_directory(Path(rest))
            elif not Path(rest).is_dir():
                raise FileNotFoundError(rest)
            return LocalStore(rest)
        patience = seconds_of_patience()
        return from_url(
            self.url,
            client_options={
                "allow_http": _endpoint(scheme).startswith("http://"),
                "connect_timeout": timedelta(seconds=min(10.0, patience)),
                "read_timeout": timedelta(seconds=patience),
                "timeout": timedelta(hours=6),
            },
            retry_config={
                "max_retries": 10,
                "retry_timeout": timedelta(seconds=patience),
                "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=5), "base": 2},
            },
        )

    def _obstore(self) -> Any:
        try:
            import obstore
        except ImportError as error:
            raise EpochbankError(
                f"{self.url} is in an object store, for which obstore is not installed. "
                "Run: pip install 'epochbank[objects]'"
            ) from error
        return obstore

    def _error(self, name: str) -> type[Exception]:
        import obstore.exceptions

        return getattr(obstore.exceptions, name)

    @contextmanager
    def _describing(self, doing: str, name: str) -> Iterator[None]:
        """Turn what obstore raises into an `EpochbankError` with the URL, the operation and the fix."""
        self._obstore()
        import obstore.exceptions as faults

        place = f"{self.url}/{name}".rstrip("/")
        try:
            yield
        except (faults.AlreadyExistsError, faults.GenericError) as error:
            if isinstance(error, faults.AlreadyExistsError):
                raise
            raise EpochbankError(
                f"{doing} {place} failed: {_sentence(error)}. Check the URL, the endpoint and the network, then run "
                "the same command again."
            ) from error
        except (faults.PermissionDeniedError, faults.UnauthenticatedError) as error:
            raise EpochbankError(
                f"{doing} {place} was refused: {_sentence(error)}. Check the credentials and what they permit; they "
                "come from the environment variables of the store, such as AWS_ACCESS_KEY_ID."
            ) from error
        except faults.BaseError as error:
            raise EpochbankError(f"{doing} {place} failed: {_sentence(error)}. Check the URL.") from error


def seconds_of_patience() -> float:
    """Return the seconds for which a request is retried. Raises `EpochbankError` if the variable is no number."""
    text = os.environ.get(TIMEOUT, str(_TIMEOUT))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise EpochbankError(f"{TIMEOUT}={text}; expected a number of seconds above 0, such as 60.", usage=True)
    return seconds


def _endpoint(scheme: str) -> str:
    names = {"s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"), "az": ("AZURE_STORAGE_ENDPOINT",)}
    return next((os.environ[name] for name in names.get(scheme, ()) if os.environ.get(name)), "")


def _sentence(error: Exception) -> str:
    """Return the first line of an error of obstore; the rest is debugging output."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300].rstrip(" .:")


def forked() -> bool:
    """Return whether this process was forked from one that has used an object store."""
    return bool(_used_in - {os.getpid()})
