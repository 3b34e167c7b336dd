"""`manifest.jsonl`: one line for every published shard. What is in it is complete, verified and immutable;
what is not in it does not exist.

A line costs the same however large the set is. Only a whole last line counts: one that a power cut
tore off is ignored by readers and cut away by the next writer.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import EpochbankError
from ..shared.atomic import sync_directory
from .digest import add, to_hex

NAME = "manifest.jsonl"


@dataclass(frozen=True)
class Entry:
    """One published shard: positions start, ..., start + images - 1 of a part or stored epoch."""

    part: str
    """`train`, `validation` or `test` (undistorted), or `epoch`."""
    epoch: int
    """The stored epoch's number; 0 for an undistorted part."""
    start: int
    images: int
    chunk: int
    """Pictures in one HDF5 chunk."""
    codec: str
    file: str
    """Path within the set's directory."""
    bytes: int
    checksum: str
    """XXH3-128 of the file, hexadecimal."""
    digest: str
    """Of the decoded pictures, labels and rows (`store.digest`), hexadecimal."""
    redrawn: int = 0
    """Pictures whose first draw label safety rejected."""
    undistorted: int = 0
    """Those of them for which no draw was safe."""

    @property
    def stop(self) -> int:
        """The position after the last."""
        return self.start + self.images


def read_manifest(directory: Path) -> list[Entry]:
    """The published shards, in order of publication; none where there is no manifest yet."""
    return _read(directory / NAME)[0]


def _read(path: Path) -> tuple[list[Entry], int]:
    """The entries of a manifest, and the bytes that they take from its beginning."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    lines = data[: data.rfind(b"\n") + 1].splitlines(keepends=True)
    entries, length = [], 0
    for number, line in enumerate(lines, 1):
        try:
            entries.append(Entry(**json.loads(line)))
        except (ValueError, TypeError) as error:
            if number == len(lines):
                break  # The last line never became durable: its shard does not exist.
            raise EpochbankError(
                f"{path}, line {number} is damaged ({error}); expected one JSON object a line. Restore the file "
                "from a copy, or delete that line: the next `augment run` generates its shard again."
            ) from error
        length += len(line)
    return entries, length


class ManifestWriter:
    """Appends entries, durably, one at a time. The caller holds the set's lock."""

    def __init__(self, directory: Path):
        path = directory / NAME
        _, length = _read(path)
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115  closed by close()
        self._file.truncate(length)
        sync_directory(directory)

    def append(self, entry: Entry) -> None:
        """Write one line and wait until it is on disk."""
        line = (json.dumps(asdict(entry), separators=(",", ":")) + "\n").encode()
        before, written = os.fstat(self._file.fileno()).st_size, 0
        try:
            while written < len(line):  # A full disk takes a part of it without a word.
                written += self._file.write(line[written:])
        except BaseException:
            if written < len(line):  # A whole line may have been read already: it stays.
                self._file.truncate(before)
            raise
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(frozen=True)
class Epoch:
    """A published epoch: its shards cover every training picture once."""

    epoch: int
    images: int
    bytes: int
    digest: str
    """Of all its pictures, labels and rows in order, hexadecimal."""


def published_epochs(entries: Iterable[Entry], images: int) -> list[Epoch]:
    """The stored epochs whose shards hold all of the `images` training pictures, by number."""
    epochs: dict[int, list[Entry]] = {}
    for entry in entries:
        if entry.part == "epoch":
            epochs.setdefault(entry.epoch, []).append(entry)
    return [
        Epoch(
            epoch=number,
            images=images,
            bytes=sum(entry.bytes for entry in shards),
            digest=to_hex(add(*(int(entry.digest, 16) for entry in shards))),
        )
        for number, shards in sorted(epochs.items())
        if sum(entry.images for entry in shards) == images
    ]
