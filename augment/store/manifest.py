"""`manifest.jsonl`: one line for every published shard.

A shard in the manifest is complete, verified and immutable; a shard that is not in it is ignored. A shard whose file
was lost is generated again with the same images; if the new file has other bytes, a later line with the same `file`
replaces the first one. The cost of appending a line does not grow with the set. If a power failure truncates the last
line, readers ignore that line and the next writer removes it.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import EpochbankError
from ..shared.atomic import sync_directory
from ..shared.renamed import rename_keys
from .digest import add, to_hex

NAME = "manifest.jsonl"

_STORED_NAMES = {"split": "part", "num_images": "images", "resampled": "redrawn"}
"""Fields of `Entry` that format 1 stores under another key."""
_FIELDS = {stored: field for field, stored in _STORED_NAMES.items()}


@dataclass(frozen=True)
class Entry:
    """One published shard: positions start to start + num_images - 1 of a split or stored epoch."""

    split: str
    """`train`, `validation` or `test` (undistorted), or `epoch`."""
    epoch: int
    """Number of the stored epoch; 0 for an undistorted split."""
    start: int
    num_images: int
    chunk: int
    """Images in one HDF5 chunk."""
    codec: str
    file: str
    """Path relative to the set's directory."""
    bytes: int
    checksum: str
    """XXH3-128 of the file, hexadecimal."""
    digest: str
    """Digest of the decoded images, labels and rows (`store.digest`), hexadecimal."""
    resampled: int = 0
    """Images with at least one rejected attempt."""
    undistorted: int = 0
    """Images that are stored undistorted because all attempts were rejected."""

    @property
    def stop(self) -> int:
        """Position after the last image."""
        return self.start + self.num_images


def read_manifest(directory: Path) -> list[Entry]:
    """Return the published shards in order of publication; an empty list if there is no manifest yet.

    Of several lines on one file, the last counts. Raises `EpochbankError` if a line other than the last is damaged.
    """
    entries, _ = _read(directory / NAME)
    return list({entry.file: entry for entry in entries}.values())


def _read(path: Path) -> tuple[list[Entry], int]:
    """Return the entries of a manifest and the number of bytes that they occupy."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    lines = data[: data.rfind(b"\n") + 1].splitlines(keepends=True)
    entries, length = [], 0
    for number, line in enumerate(lines, 1):
        try:
            entries.append(Entry(**rename_keys(json.loads(line), _FIELDS)))
        except (ValueError, TypeError, AttributeError) as error:
            if number == len(lines):
                break  # The last line was not written completely: its shard does not exist.
            raise EpochbankError(
                f"{path}, line {number} is damaged ({error}); expected one JSON object a line. Restore the file "
                "from a copy, or generate the set again in another --sets directory."
            ) from error
        length += len(line)
    return entries, length


class ManifestWriter:
    """Append entries durably, one at a time. The caller holds the lock of the set."""

    def __init__(self, directory: Path):
        path = directory / NAME
        _, length = _read(path)
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115  closed by close()
        self._file.truncate(length)
        sync_directory(directory)

    def append(self, entry: Entry) -> None:
        """Write one line and wait until it is on disk. Raises `OSError` if it cannot be written completely."""
        line = (json.dumps(rename_keys(asdict(entry), _STORED_NAMES), separators=(",", ":")) + "\n").encode()
        before, written = os.fstat(self._file.fileno()).st_size, 0
        try:
            while written < len(line):  # On a full disk, write() may write only a part of the line.
                written += self._file.write(line[written:])
        except BaseException:
            if written < len(line):  # Keep a complete line: a reader may have seen it.
                self._file.truncate(before)
            raise
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(frozen=True)
class Epoch:
    """A published epoch. Its shards cover every training image once."""

    epoch: int
    num_images: int
    bytes: int
    digest: str
    """Digest of all its images, labels and rows in order, hexadecimal."""


def published_epochs(entries: Iterable[Entry], num_images: int) -> list[Epoch]:
    """Return the stored epochs whose shards contain all `num_images` training images, sorted by number."""
    epochs: dict[int, list[Entry]] = {}
    for entry in entries:
        if entry.split == "epoch":
            epochs.setdefault(entry.epoch, []).append(entry)
    return [
        Epoch(
            epoch=number,
            num_images=num_images,
            bytes=sum(entry.bytes for entry in shards),
            digest=to_hex(add(*(int(entry.digest, 16) for entry in shards))),
        )
        for number, shards in sorted(epochs.items())
        if sum(entry.num_images for entry in shards) == num_images
    ]
