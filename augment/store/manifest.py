"""`manifest.jsonl`: one line for every published shard.

A shard in the manifest is complete, verified and immutable; a shard that is not in it is ignored. A shard whose file
was lost is generated again with the same images; if the new file has other bytes, a later line with the same `file`
replaces the first one. The cost of appending lines does not grow with the set. If a power failure leaves the last lines
truncated or with zeros, readers ignore these lines and the next writer removes them.

`manifest.check` has a checksum of every line and of all lines before it (`store.manifest_check`), by which lost,
doubled, changed and reordered lines are found. Sets of earlier versions have no such file until they are written to.
"""

import io
import json
import math
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from itertools import islice, pairwise
from operator import attrgetter
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple

from ..errors import EpochbankError
from ..shared.atomic import naming, new_file, no_follow, sync_directory
from ..shared.renamed import rename_keys
from ..shared.types import SPLITS
from .codec import CODECS
from .description import is_digest
from .digest import add, to_hex
from .manifest_check import CHECK, GROUP, RECORD_BYTES, Records, records_of, vouched

NAME = "manifest.jsonl"

_STORED_NAMES = {"split": "part", "num_images": "images", "resampled": "redrawn"}
"""Fields of `Entry` that format 1 stores under another key."""
_SHARDS = re.compile("(epoch-[0-9]{4,}|" + "|".join(SPLITS) + ")")
_SHARD = re.compile("[0-9]{10,}[.]h5")
_FIELDS = {stored: field for field, stored in _STORED_NAMES.items()}
RETIRED = "retired"
"""Value of `split` in an entry that retires the stored epoch `epoch`: from then on the set does not contain it."""


@dataclass(frozen=True, slots=True)
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

    Of several lines on one file, the last counts; a line that is there twice changes nothing. Raises `EpochbankError`
    if a line is damaged, or is not where `manifest.check` records it, if shards overlap, or if two lines on one file
    have different positions. The last lines may be incomplete, unless they were published.
    """
    return read_listed(directory)[0]


def read_listed(directory: Path, length: int | None = None) -> tuple[list[Entry], int]:
    """Return what `read_manifest` does, and the bytes of the manifest in which it is.

    With `length`, such a number of bytes, what was listed then; raises `EpochbankError` if there are fewer now.
    """
    found = _lines(directory)
    if length is not None:
        if len(found.data) < length:
            raise EpochbankError(
                f"{found.path} has {len(found.data):,} bytes; expected {length:,}, as when the set was opened. Open "
                "the set again."
            )
        found = found._replace(data=found.data[:length])
    entries = _entries(found)
    whole = len(entries) == found.data.count(b"\n")
    length = len(found.data) if whole else sum(map(len, islice(io.BytesIO(found.data), len(entries))))
    del found  # 20 MB of a set of 100,000 shards.
    return last_lines(directory, entries), length


def last_lines(directory: Path, entries: list[Entry]) -> list[Entry]:
    """Return the entries that count: of several on one file the last, and none of a retired epoch."""
    last: dict[str, Entry] = {}
    for entry in without_retired(entries):
        before = last.get(entry.file, entry)
        if before.num_images != entry.num_images:  # The epoch would have a gap, and no longer be published.
            raise EpochbankError(
                f"{directory / NAME} lists {entry.file} with {before.num_images:,} images and again with "
                f"{entry.num_images:,}; expected the same number. Restore the file from a copy, or generate the set "
                "again in another --sets directory."
            )
        last[entry.file] = entry
    _check_overlap(directory, last.values())
    return list(last.values())


def shard_folder(split: str, epoch: int) -> str:
    """Return the name of the directory, in that of the set, with the shards of a split or of a stored epoch."""
    return f"{split}-{epoch:04d}" if split in ("epoch", RETIRED) else split


def epoch_of_file(file: str) -> float:
    """Return the number of the stored epoch to which the shard `file` belongs; infinity for another split."""
    folder = file.partition("/")[0]
    return int(folder.removeprefix("epoch-")) if folder.startswith("epoch-") else math.inf


def shard_file(split: str, epoch: int, start: int) -> str:
    """Return the path of a shard relative to the set's directory."""
    return f"{shard_folder(split, epoch)}/{start:010d}.h5"


class _Lines(NamedTuple):
    """What the two files of a manifest contain."""

    path: Path
    data: bytes
    """Complete lines of the manifest."""
    total: int
    """Number of these lines."""
    certain: int
    """Number of the first lines that have a record, and are as it says."""
    check: bytes
    """Contents of `manifest.check`."""


def _lines(directory: Path) -> _Lines:
    """Read the manifest. Raises `EpochbankError` if lines are not as `manifest.check` records them."""
    path = directory / NAME
    # The writer extends the manifest first, so that the check that is read before it cannot have more lines.
    check, data = _contents(directory / CHECK), _contents(path)
    data = data[: data.rfind(b"\n") + 1]
    return _Lines(path, data, data.count(b"\n"), vouched(path, data, check), check)


def _entries(found: _Lines, containing: bytes = b"") -> list[Entry]:
    """Return the entries of the lines that contain `containing`, without incomplete last lines.

    Raises `EpochbankError` if one of these lines is damaged, or the set lost its manifest.
    """
    entries: list[Entry] = []
    for number, line in enumerate(io.BytesIO(found.data), 1):
        if containing not in line:
            continue
        try:
            entries.append(entry_of_line(line))
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            if _interrupted(line, number, found.total, found.certain):
                break  # This line and those after it were not written completely: their shards do not exist.
            raise EpochbankError(
                f"{found.path}, line {number} is damaged ({error}); expected one JSON object a line. Restore the file "
                f"from a copy, or remove the line and {CHECK} and run the same `augment run` again, which generates "
                "the shard again."
            ) from error
    if not entries and not found.check and not containing:
        _check_unlisted(found.path.parent)
    return entries


def _interrupted(line: bytes, number: int, total: int, certain: int) -> bool:
    """Return whether damage to line `number` of `total` is that of an interrupted write; `certain` have a record.

    A power failure may leave zeros in place of any block of the last group, whose lines have no records yet.
    """
    return number > certain and (number == total or (certain > 0 and total - certain <= GROUP and b"\0" in line))


def _contents(path: Path) -> bytes:
    """Return the bytes of a file; none if it does not exist."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise EpochbankError(
            f"{path} cannot be read: {error.strerror or error}. Check the disk and the permissions."
        ) from error


def entry_of_line(line: bytes) -> Entry:
    """Return the entry of a line of a manifest. Raises `ValueError` or `TypeError` if it is none."""
    values = json.loads(line.decode())
    for name in (_STORED_NAMES["split"], "codec"):
        if type(values.get(name)) is str:
            values[name] = intern(values[name])  # One string for all lines: a set may have 100,000.
    # Usually the keys are in the order of the fields, which is faster than by name.
    entry = Entry(*values.values()) if (*values,) == _KEYS else Entry(**rename_keys(values, _FIELDS))
    if not all(_checks(entry)):
        wrong = next(name for name, right in zip(_CHECKED, _checks(entry), strict=True) if not right)
        raise ValueError(f"the value of {_STORED_NAMES.get(wrong, wrong)!r} is impossible")
    return entry


_CHECKED = tuple(field.name for field in fields(Entry))
_KEYS = tuple(_STORED_NAMES.get(name, name) for name in _CHECKED)


def _checks(entry: Entry) -> tuple[bool, ...]:
    """Return whether each field can have its value, in the order of the fields."""
    split, epoch, num_images = entry.split, entry.epoch, entry.num_images
    numbered = split in ("epoch", RETIRED)
    counts = _count(num_images)
    return (
        numbered or split in SPLITS,
        _count(epoch) and (numbered or epoch == 0),
        _count(entry.start),
        counts and (num_images > 0) == (split != RETIRED),
        _count(entry.chunk) and entry.chunk > 0,
        isinstance(entry.codec, str) and entry.codec in CODECS,
        # The name follows from the rest, so a manifest cannot name a file elsewhere or the shard of another epoch.
        _count(epoch) and _count(entry.start) and entry.file == shard_file(split, epoch, entry.start),
        _count(entry.bytes),
        is_digest(entry.checksum),
        is_digest(entry.digest),
        counts and _count(entry.resampled) and entry.resampled <= num_images,
        counts and _count(entry.undistorted) and entry.undistorted <= num_images,
    )


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def _check_overlap(directory: Path, entries: Iterable[Entry]) -> None:
    for before, after in pairwise(sorted(entries, key=attrgetter("split", "epoch", "start"))):
        if (before.split, before.epoch) == (after.split, after.epoch) and after.start < before.stop:
            raise EpochbankError(
                f"{directory / NAME} lists positions {after.start} to {min(before.stop, after.stop) - 1} of "
                f"{shard_folder(after.split, after.epoch)} twice, in {before.file} and {after.file}; expected once. "
                "Restore the file from a copy, or generate the set again in another --sets directory."
            )


def _check_unlisted(directory: Path) -> None:
    """Raise `EpochbankError` if a set without a manifest has shards: a killed run leaves one at most."""
    found = unlisted(directory, ())
    if len(found) > 1:
        raise EpochbankError(
            f"{directory / NAME} is empty or missing, but there are {len(found):,} shards such as "
            f"{directory / found[0]}. Restore {NAME} and {CHECK} from a copy, or remove the shards and run the same "
            "`augment run` again."
        )


def unlisted(directory: Path, entries: Iterable[Entry]) -> list[str]:
    """Return the shards in the set's `directory` that `entries` do not list, sorted, as paths relative to it."""
    listed = {entry.file for entry in entries}
    found = []
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(directory) as folders:
        names = [folder.name for folder in folders if folder.is_dir() and _SHARDS.fullmatch(folder.name)]
        for name in names:
            with suppress(FileNotFoundError), os.scandir(directory / name) as files:
                found += [f"{name}/{file.name}" for file in files if _SHARD.fullmatch(file.name)]
    return sorted(set(found) - listed)


class ManifestWriter:
    """Append entries durably. The caller holds the lock of the set."""

    def __init__(self, directory: Path):
        """Remove incomplete last lines, and write `manifest.check` for lines that have no checksum yet.

        Raises `EpochbankError` if the manifest is damaged.
        """
        path, check = directory / NAME, directory / CHECK
        found = _lines(directory)
        if 0 < found.certain == found.total:  # The lines were read when they got their records.
            data, records = found.data, found.check[: found.certain * RECORD_BYTES]
            self._records = Records(found.certain, data)
        else:
            data = b"".join(islice(io.BytesIO(found.data), len(_entries(found))))
            self._records = Records()
            records = records_of(data, self._records)
        if found.check != records:
            with new_file(check) as temporary:
                temporary.write_bytes(records)
        self._file = open(path, "ab", buffering=0, opener=no_follow)  # noqa: SIM115  closed by close()
        self._file.truncate(len(data))
        self._check = open(check, "ab", buffering=0, opener=no_follow)  # noqa: SIM115  closed by close()
        self._owed = b""
        """Records of lines that are in the manifest, but did not fit on the disk themselves."""
        self.appended = 0
        """Lines that this writer has appended durably."""
        sync_directory(directory)

    @property
    def largest_group(self) -> int:
        """Number of shards whose files may be renamed before their lines are appended.

        In an empty manifest one: without any line, readers take several shards for a set that lost its manifest.
        """
        return GROUP if self._records.lines else 1

    def append(self, *entries: Entry) -> None:
        """Write up to `GROUP` lines and their checksums, and wait until they are on disk.

        Raises `OSError` if one cannot be written completely. The lines before it stay, and count in `appended`: a
        reader may have seen them.
        """
        lines, before = b"".join(map(line_of_entry, entries)), _size(self._file)
        try:
            _write(self._file, lines)
        finally:
            kept = lines[: _size(self._file) - before]
            if kept:
                self._finish(kept)

    def _finish(self, lines: bytes) -> None:
        """Sync `lines`, which were appended to the manifest, and append and sync their records."""
        self._owed += records_of(lines, self._records)
        _sync(self._file)
        self.appended += lines.count(b"\n")
        # After the lines: a power failure in between leaves lines without a checksum, which the next writer adds.
        before = _size(self._check)
        try:
            _write(self._check, self._owed)
        finally:
            self._owed = self._owed[_size(self._check) - before :]
        _sync(self._check)

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        self._check.close()


def write_manifest(directory: Path, entries: Iterable[Entry], first: int = 0) -> None:
    """Write the manifest of a new set with `entries`, whose stored epochs before `first` are retired, durably."""
    data = b"".join(line_of_entry(entry) for entry in [*entries, *([retirement(first - 1)] if first else [])])
    for path, content in ((directory / CHECK, records_of(data, Records())), (directory / NAME, data)):
        with new_file(path) as temporary:
            temporary.write_bytes(content)


def line_of_entry(entry: Entry) -> bytes:
    """Return the line of a manifest that lists `entry`."""
    return (json.dumps(rename_keys(asdict(entry), _STORED_NAMES), separators=(",", ":")) + "\n").encode()


def _write(file: io.FileIO, data: bytes) -> None:
    """Append the lines of `data` to `file`. Raises `OSError` if they do not fit; complete lines that do fit stay."""
    with naming(str(file.name)):
        before, written = _size(file), 0
        try:
            while written < len(data):  # On a full disk, write() may write only a part.
                written += file.write(data[written:])
        except BaseException:
            if written < len(data):
                file.truncate(before + data.rfind(b"\n", 0, written) + 1)
            raise


def _size(file: io.FileIO) -> int:
    return os.fstat(file.fileno()).st_size


def _sync(file: io.FileIO) -> None:
    with naming(str(file.name)):
        os.fsync(file.fileno())


def retirement(epoch: int) -> Entry:
    """Return the entry that retires stored epoch `epoch`: once appended, it hides all shards of the epoch."""
    none = to_hex(0)
    return Entry(RETIRED, epoch, 0, 0, 1, "none", shard_file(RETIRED, epoch, 0), 0, none, none)


def without_retired(entries: Iterable[Entry]) -> list[Entry]:
    """Return `entries` without those of retired epochs, wherever these entries are, and without the retirements."""
    entries = list(entries)
    retired = {entry.epoch for entry in entries if entry.split == RETIRED}
    return [
        entry for entry in entries if entry.split != RETIRED and not (entry.split == "epoch" and entry.epoch in retired)
    ]


def first_epoch(directory: Path) -> int:
    """Return the least number that a stored epoch of the set may have. The epochs before it are retired.

    Raises `EpochbankError` like `read_manifest`.
    """
    entries = _entries(_lines(directory), RETIRED.encode())
    return max((entry.epoch + 1 for entry in entries if entry.split == RETIRED), default=0)


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
        if covers(shards, num_images)
    ]


def covers(entries: Iterable[Entry], num_images: int) -> bool:
    """Return whether the entries of a split or epoch cover the positions 0 to `num_images` - 1, and no others."""
    entries = list(entries)
    return not gaps(entries, num_images) and max((entry.stop for entry in entries), default=0) == num_images


def gaps(entries: Iterable[Entry], num_images: int) -> list[tuple[int, int]]:
    """Return the ranges (start, stop) of positions in [0, `num_images`) that no entry of a split or epoch covers."""
    found, at = [], 0
    for entry in sorted(entries, key=lambda entry: entry.start):
        if entry.start > at:
            found.append((at, entry.start))
        at = max(at, entry.stop)
    return [*found, (at, num_images)] if at < num_images else found
