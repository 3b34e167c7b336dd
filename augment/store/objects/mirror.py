"""The mirror of a set in an object store: a local directory with its small files, its manifest, and some shards.

`remote.json` says which set it is; copies of the segments of the manifest are in `segments/`. Everything that reads
sets reads a mirror, too. A shard that is not there is fetched when it is needed (`cache`).

A run that writes a set in an object store writes to a mirror. Its manifest then also has lines that no segment has yet.
"""

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from ...console import notify
from ...errors import EpochbankError
from ...shared.atomic import make_directory, new_file, write_text
from ..description import Description, is_digest, read_description
from ..digest import file_checksum
from ..manifest import NAME, entry_of_line, last_lines
from ..manifest_check import CHECK, Records, records_of
from .bucket import Bucket
from .layout import DESCRIPTION, segment_object
from .locking import exclusive
from .segments import after, beginning, decode, encode
from .urls import name_of, parent_of

MARKER = "remote.json"
_SPLIT = "split.h5"
_COPIED = ("log.jsonl", "tags.json")
"""Small files that may change, and need not exist."""
COPIES = "segments"
_COPY = re.compile(r"[0-9]{10,}[.]jsonl")
_FIRST_GUESS, _LARGEST_GUESS = 4, 64
"""Segments that are requested at a time: at first, and at most."""


def remote_url(directory: Path) -> str | None:
    """Return the URL of the set whose mirror `directory` is; None if it is not a mirror.

    Raises `EpochbankError` if `remote.json` is damaged.
    """
    path = directory / MARKER
    try:
        return Bucket(json.loads(path.read_text(encoding="utf-8"))["url"]).url
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise EpochbankError(f"{path} cannot be read: {error.strerror or error}. Check the disk.") from error
    except (ValueError, KeyError, TypeError, RecursionError, EpochbankError) as error:
        raise EpochbankError(
            f"{path} is damaged ({error}); expected the URL of a set. Remove {directory}, and name the set by its URL."
        ) from error


def shown(directory: Path) -> str:
    """Return the name of a set in messages: its URL if `directory` is a mirror, otherwise its path."""
    return remote_url(directory) or str(directory)


def stored_remotely(directory: Path) -> set[tuple[str, str]]:
    """Return file and checksum of the shards that are in the object store whose mirror `directory` is.

    For a set that is no mirror, nothing. No request is made.
    """
    if not (directory / COPIES).is_dir():
        return set()
    lines = [line for data in _copies(directory) for line in data.splitlines()[1:]]
    return {(entry.file, entry.checksum) for entry in map(entry_of_line, lines)}


class Mirror:
    """The mirror of the set at a URL, in a directory that need not exist."""

    def __init__(self, directory: Path, bucket: Bucket):
        self.directory, self.bucket = directory, bucket
        self._fingerprint = self._before = ""
        self._number = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.directory)!r}, {self.bucket.url!r})"

    def pull(self, *, keep: bool = True) -> Description:
        """Bring the mirror up to date: small files, and the segments that it has no copy of yet.

        With `keep`, lines of the local manifest that no segment has are kept after the others: those of a run. Raises
        `EpochbankError` if there is no set at the URL, it is damaged, or the store cannot be read.
        """
        document = self.bucket.get(DESCRIPTION)
        if document is None:
            raise no_set(self.bucket.url)
        make_directory(self.directory)
        with exclusive(self.directory / ".pull"):
            _replace(self.directory / DESCRIPTION, document)
            self.mark()
            description = read_description(self.directory)
            self._pull_split(description)
            for name in _COPIED:
                _replace(self.directory / name, self.bucket.get(name))
            self._pull_segments(description.fingerprint, keep)
        return description

    def mark(self) -> None:
        """Make the directory a mirror of the set at the URL, which need not exist yet."""
        make_directory(self.directory)
        write_text(self.directory / MARKER, json.dumps({"url": self.bucket.url}) + "\n")

    def begin(self, description: Description) -> None:
        """Make a mirror of a set that was begun in `directory`, and write its small files to the store.

        Raises `EpochbankError` if there is another set at the URL.
        """
        self.mark()
        self.bucket.put(_SPLIT, (self.directory / _SPLIT).read_bytes())
        # Last: as soon as it exists, there is a set. If two runs begin the same set, one of them ends here.
        if not self.bucket.create(DESCRIPTION, (self.directory / DESCRIPTION).read_bytes()):
            raise EpochbankError(
                f"{self.bucket.url} is being written by another run, which has begun it at the same time. Wait until "
                "it has finished, then run the same command again."
            )
        self._fingerprint, self._number = description.fingerprint, 0
        self._before = beginning(description.fingerprint)
        (self.directory / COPIES).mkdir(exist_ok=True)

    def publish(self, writer: str, lines: list[bytes]) -> None:
        """Publish lines of the manifest, whose shards are in the store, as the next segment.

        `writer` is a random name of this run. Raises `EpochbankError` if another writer has published since `pull`.
        """
        number = self._number + 1
        data = encode(number, self._fingerprint, writer, self._before, lines)
        if not self.bucket.create(segment_object(number), data):
            raise EpochbankError(
                f"{self.bucket.url} is being written by another run: it has published segment {number} of the manifest "
                "in the meantime. Wait until it has finished, or stop it, then run the same command again."
            )
        self._add(data)

    def unpublished(self) -> list[bytes]:
        """Return the lines of the local manifest that no segment has."""
        published = set(self.lines())
        return [line for line in _lines(self.directory / NAME) if line not in published]

    def lines(self) -> list[bytes]:
        """Return the lines of the manifest that the segments have, in order."""
        return [line for data in _copies(self.directory) for line in data.splitlines(keepends=True)[1:]]

    def upload_small_files(self) -> None:
        """Write the small files that may have changed."""
        for name in _COPIED:
            with suppress(FileNotFoundError):
                self.bucket.put(name, (self.directory / name).read_bytes())

    def _pull_split(self, description: Description) -> None:
        path = self.directory / _SPLIT
        if path.exists() and file_checksum(path) == description.split_checksum:
            return
        data = self.bucket.get(_SPLIT)
        if data is None:
            raise EpochbankError(
                f"{self.bucket.url}/{_SPLIT} does not exist, which the set needs. Restore it, or write the set again "
                "to another URL."
            )
        _replace(path, data)
        if file_checksum(path) != description.split_checksum:
            path.unlink()
            raise EpochbankError(
                f"{self.bucket.url}/{_SPLIT} was changed: its checksum is wrong. Restore it, or write the set again to "
                "another URL."
            )

    def _pull_segments(self, fingerprint: str, keep: bool) -> None:
        folder = self.directory / COPIES
        folder.mkdir(exist_ok=True)
        self._fingerprint = fingerprint
        if not self._read_copies():
            shutil.rmtree(folder)  # The set was written again since, or a copy is damaged: fetch all segments.
            folder.mkdir()
            (self.directory / CHECK).unlink(missing_ok=True)
            self._read_copies()
        for data in self._following():
            decode(data, self._number + 1, fingerprint, self._before, self._url(self._number + 1))
            self._add(data)
        # The last pull may have ended between the copies and the manifest.
        lines, there = set(self.lines()), set(_lines(self.directory / NAME))
        if not (self.directory / NAME).exists() or (not lines <= there if keep else lines != there):
            self._write_manifest(keep)

    def _read_copies(self) -> bool:
        """Read the copies of segments; return whether the last one is that of the store."""
        self._number, self._before = 0, beginning(self._fingerprint)
        data = b""
        try:
            for data in _copies(self.directory):
                decode(data, self._number + 1, self._fingerprint, self._before, str(self.directory))
                self._number, self._before = self._number + 1, after(self._before, data)
        except EpochbankError:
            return False
        return not self._number or self.bucket.get(segment_object(self._number)) == data

    def _following(self) -> Iterator[bytes]:
        """Yield the segments after those that are known, several of which are requested at a time."""
        number, count = self._number + 1, _FIRST_GUESS
        with ThreadPoolExecutor(16, "segments") as threads:
            while True:
                for data in threads.map(self.bucket.get, map(segment_object, range(number, number + count))):
                    if data is None:
                        return
                    yield data
                number, count = number + count, min(2 * count, _LARGEST_GUESS)

    def _add(self, data: bytes) -> None:
        """Add a copy of the next segment."""
        copy = self.directory / COPIES / Path(segment_object(self._number + 1)).name
        # The name differs from that of other temporary files, which a run may remove at the same time.
        partial = copy.with_name(f"{secrets.token_hex(6)}.partial")
        partial.write_bytes(data)
        partial.replace(copy)
        self._number, self._before = self._number + 1, after(self._before, data)

    def _write_manifest(self, keep: bool) -> None:
        """Write the manifest from the segments; with `keep`, keep the lines that none has after them."""
        data = b"".join([*self.lines(), *(self._own_lines() if keep else [])])
        # A reader accepts lines without checksums, but not the checksums of other lines.
        (self.directory / CHECK).unlink(missing_ok=True)
        for path, contents in ((self.directory / NAME, data), (self.directory / CHECK, records_of(data, Records()))):
            with new_file(path) as temporary:
                temporary.write_bytes(contents)
        last = self.bucket.head(segment_object(self._number)) if self._number else None
        if last is not None:  # The time of the manifest says when the set was last written.
            os.utime(self.directory / NAME, (last.modified.timestamp(), last.modified.timestamp()))

    def _own_lines(self) -> list[bytes]:
        """Return the lines that no segment has, unless another run has published these images in other shards."""
        own = self.unpublished()
        try:
            last_lines(self.directory, [entry_of_line(line) for line in [*self.lines(), *own]])
        except EpochbankError:
            notify(f"{len(own):,} shards that {self.directory} has not published yet are in the store in other sizes")
            return []
        return own

    def _url(self, number: int) -> str:
        return f"{self.bucket.url}/{segment_object(number)}"


def no_set(url: str) -> EpochbankError:
    """Return the error that there is no set at `url`."""
    return EpochbankError(
        f"there is no set at {url}: {url}/{DESCRIPTION} does not exist. `augment list --sets {parent_of(url)}` lists "
        "the sets there."
    )


def mirror_name(url: str, fingerprint: str) -> str:
    """Return the name of the directory, in a cache, of the mirror of the set at `url` with this fingerprint."""
    import hashlib

    digits = fingerprint[:8] if is_digest(fingerprint[:32]) else "unknown"
    return f"{name_of(url)}-{hashlib.sha256(url.encode()).hexdigest()[:10]}-{digits}"


def _copies(directory: Path) -> list[bytes]:
    """Return the copies of the segments, in order. Raises `FileNotFoundError` if there are none."""
    return [path.read_bytes() for path in sorted((directory / COPIES).iterdir()) if _COPY.fullmatch(path.name)]


def _lines(path: Path) -> Iterable[bytes]:
    """Return the complete lines of a file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    return data[: data.rfind(b"\n") + 1].splitlines(keepends=True)


def _replace(path: Path, data: bytes | None) -> None:
    """Give a file these contents if it has others; remove it for None."""
    if data is None:
        path.unlink(missing_ok=True)
        return
    with suppress(FileNotFoundError):
        if path.read_bytes() == data:
            return
    with new_file(path) as temporary:
        temporary.write_bytes(data)
