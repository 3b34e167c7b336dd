"""Publish shards in an object store: upload several at once, then list them in the next segment of the manifest.

The order of the lines stays. A shard is listed after its upload has succeeded, so an upload that was cut off leaves an
object that nothing lists, which `augment gc` deletes.
"""

import secrets
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from pathlib import Path

from ...errors import EpochbankError
from ..digest import file_checksum
from ..manifest import NAME, Entry, entry_of_line, first_epoch
from .bucket import Bucket
from .layout import shard_object
from .mirror import Mirror

_UPLOADS = 4
"""Number of simultaneous uploads."""
PENDING = 16
"""Maximum number of shards that are not listed yet. A run that makes them faster waits."""
_LINES = 4096
"""Maximum number of lines in a segment."""
_SECONDS_BETWEEN_SEGMENTS = 1.0
"""Seconds within which uploaded shards are collected into one segment."""
_TRUSTED = timedelta(hours=12)
"""Age up to which an object with the name and size of a shard is not uploaded again. `gc` deletes much older ones."""


_Pending = tuple[bytes, Future[None] | None, Path]
"""A line of the manifest, the upload of its shard, and the file."""


class Publisher:
    """Uploads of one run. The caller holds the lock of the mirror."""

    def __init__(self, mirror: Mirror, uploaded: Callable[[Path], object] = lambda path: None):
        """`uploaded` is called with the file of each shard once it is listed."""
        self._mirror, self._uploaded = mirror, uploaded
        self._writer = secrets.token_hex(16)
        self._uploads = ThreadPoolExecutor(_UPLOADS, "upload")
        self._changed = threading.Condition()
        self._queue: deque[_Pending] = deque()
        self._fault: BaseException | None = None
        self._ends = False
        self._thread = threading.Thread(target=self._run, name="segments")
        self._thread.start()

    def add(self, line: bytes, path: Path) -> None:
        """Publish the shard in the file `path`, which `line` of the manifest lists.

        A line that retires an epoch needs no file. Waits while too many shards are pending. Raises what has made an
        earlier shard fail.
        """
        entry = entry_of_line(line)
        with self._changed:
            if self._fault is not None:
                raise self._fault
            upload = self._uploads.submit(_upload, self._mirror.bucket, entry, path) if entry.num_images else None
            self._queue.append((line, upload, path))
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._fault is not None or len(self._queue) < PENDING)
            if self._fault is not None:
                raise self._fault

    def finish(self) -> None:
        """Wait until everything is published. Raises what has made a shard fail."""
        self._end()
        if self._fault is not None:
            raise self._fault

    def abandon(self) -> None:
        """Start no more uploads, and list the shards whose upload has succeeded or is in progress."""
        self._uploads.shutdown(wait=False, cancel_futures=True)
        self._end()

    def _end(self) -> None:
        with self._changed:
            self._ends = True
            self._changed.notify_all()
        self._thread.join()
        self._uploads.shutdown(cancel_futures=True)

    def _run(self) -> None:
        try:
            while lines := self._next_lines():
                self._mirror.publish(self._writer, [line for line, _, _ in lines])
                for _, _, path in lines:
                    self._uploaded(path)
                with self._changed:
                    for _ in lines:
                        self._queue.popleft()
                    self._changed.notify_all()
        except BaseException as error:  # The caller raises it.
            with self._changed:
                self._fault = error
                self._uploads.shutdown(wait=False, cancel_futures=True)
                self._changed.notify_all()

    def _next_lines(self) -> list[_Pending]:
        """Return the lines of the next segment; none at the end. Raises what has made an upload fail."""
        with self._changed:
            self._changed.wait_for(lambda: self._ends or bool(self._queue))
            if not self._queue:
                return []
        first = self._queue[0][1]  # Only this thread removes pending shards.
        if first is not None and not _succeeds(first):
            return []
        with self._changed:
            full = PENDING - 1
            self._changed.wait_for(lambda: self._ends or len(self._queue) >= full, _SECONDS_BETWEEN_SEGMENTS)
            return list(takewhile(lambda one: one[1] is None or _is_done(one[1]), islice(self._queue, _LINES)))


def _succeeds(upload: Future[None]) -> bool:
    """Wait for an upload; return False if it was canceled. Raises what has made it fail."""
    try:
        upload.result()
    except CancelledError:
        return False
    return True


def _is_done(upload: Future[None]) -> bool:
    return upload.done() and not upload.cancelled() and upload.exception() is None


def _upload(bucket: Bucket, entry: Entry, path: Path) -> None:
    """Upload the file of a shard, unless the store has it."""
    name = shard_object(entry)
    found = bucket.head(name)
    if found is not None and found.bytes == entry.bytes and datetime.now(UTC) - found.modified < _TRUSTED:
        return
    try:
        bucket.upload(name, path)
    except OSError as error:
        raise EpochbankError(f"{path} cannot be read: {error.strerror or error}. Check the disk.") from error
    found = bucket.head(name)
    if found is None or found.bytes != entry.bytes:
        received = "no object" if found is None else f"{found.bytes:,} bytes"
        raise EpochbankError(
            f"{bucket.url}/{name} was uploaded, but the store has {received}; expected {entry.bytes:,} bytes. Run the "
            "same command again."
        )


class LocalRun:
    """Publish what a run adds to the local manifest of a mirror, and remove the files that are in the store."""

    def __init__(self, mirror: Mirror):
        """Begin with the shards that an earlier run has made and not published. The caller has locked the mirror."""
        self._mirror = mirror
        self._publisher = Publisher(mirror, uploaded=lambda path: path.unlink(missing_ok=True))
        self._seen = 0
        self._missing: list[bytes] = []
        """Lines that no segment has: of shards whose files are missing, and of what must be listed after these."""
        try:
            own = set(mirror.unpublished())
            lines, self._seen = self._new_lines()
            self._add_all(self._left([line for line in lines if line in own]))
        except BaseException:
            self._publisher.abandon()
            raise

    def published(self, *_: object) -> None:
        """Publish the new lines of the local manifest. Waits while too many shards are pending.

        Raises `EpochbankError` if a shard could not be uploaded or listed.
        """
        lines, self._seen = self._new_lines()
        again, self._missing = self._missing, []  # A file that is made again with the same bytes gets no new line.
        self._add_all(_last_of_each_file([*again, *lines]))

    def finish(self) -> None:
        """Wait until everything is published, and write the small files that have changed.

        Raises `EpochbankError` if a shard could not be uploaded or listed, or the run has not made a lost one again.
        """
        self.published()
        self._publisher.finish()
        if self._missing:
            raise EpochbankError(
                f"{len(self._missing):,} lines of the manifest of {self._mirror.directory} were not published, because "
                f"files such as {entry_of_line(self._missing[0]).file} are missing. Run the same command again."
            )
        self._mirror.upload_small_files()

    def abandon(self) -> None:
        """Start no more uploads, and list the shards that are uploaded."""
        self._publisher.abandon()

    def _left(self, lines: list[bytes]) -> list[bytes]:
        """Return which lines of an earlier run are still to be published.

        Files of retired epochs are removed, and damaged ones, so that this run makes them again.
        """
        first, kept = first_epoch(self._mirror.directory), []
        for line in _last_of_each_file(lines):
            entry = entry_of_line(line)
            path = self._mirror.directory / entry.file
            retired = entry.split == "epoch" and entry.epoch < first
            if entry.num_images and path.exists() and (retired or file_checksum(path) != entry.checksum):
                path.unlink()
            if not retired:
                kept.append(line)
        return kept

    def _add_all(self, lines: list[bytes]) -> None:
        for line in lines:
            entry = entry_of_line(line)
            path = self._mirror.directory / entry.file
            # An epoch is retired after the shards that replace it are listed, also if one of them is made again.
            if not path.exists() if entry.num_images else self._missing:
                self._missing.append(line)
            else:
                self._publisher.add(line, path)

    def _new_lines(self) -> tuple[list[bytes], int]:
        """Return the lines of the local manifest that were not seen before, and how many bytes are seen then."""
        with suppress(FileNotFoundError), open(self._mirror.directory / NAME, "rb") as file:
            file.seek(self._seen)
            data = file.read()
            data = data[: data.rfind(b"\n") + 1]
            return data.splitlines(keepends=True), self._seen + len(data)
        return [], 0


def _last_of_each_file(lines: list[bytes]) -> list[bytes]:
    """Return the lines without those that a later one of the same file replaces: the file has other bytes since.

    Lines that retire epochs come last: an epoch is retired after the shards that replace it are listed.
    """
    last = {entry_of_line(line).file: line for line in lines}
    return sorted(last.values(), key=lambda line: entry_of_line(line).num_images == 0)
