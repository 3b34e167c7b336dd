"""`manifest.check`: a checksum of every line of the manifest and of all lines before it.

Each record has 70 bytes: the number of the line, the bytes of the manifest up to the end of the line, the XXH3-128 of
these bytes, and the CRC-32 of these three fields with the blank after each (both hexadecimal); a blank and a line feed
end the record. The manifest itself keeps format 1, which earlier versions read and extend.

A record is written after its line is on disk. So a manifest with more lines than records was interrupted, or written by
an earlier version: these lines are accepted, and the next writer adds their records. A manifest with fewer lines than
records has lost lines. A last record that is truncated or damaged is ignored. The records of a group of lines are
written together, so a power failure may leave zeros in place of some of them; these records, and those after them, are
ignored too.
"""

import io
import re
import zlib
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import xxhash

from ..errors import EpochbankError

CHECK = "manifest.check"
GROUP = 64
"""Maximum number of lines of the manifest that are written together, before their records."""
RECORD_BYTES = 70
"""Bytes of a record."""
_END = b"\n"
_CRC = 60
"""Offset of the CRC-32 in a record."""
_FORM = re.compile(rb"([0-9]{10}) ([0-9]{15}) ([0-9a-f]{32}) ([0-9a-f]{8}) \n")


class _Record(NamedTuple):
    line: int
    length: int
    digest: str


class Records:
    """The records of a manifest, made line by line."""

    def __init__(self, lines: int = 0, data: bytes = b"") -> None:
        """Begin after `lines` lines, which are `data`."""
        self._digest = xxhash.xxh3_128(data)
        self.lines, self._length = lines, len(data)

    def add(self, line: bytes) -> bytes:
        """Return the record of the next line of the manifest, which ends with a line feed."""
        self._digest.update(line)
        self.lines, self._length = self.lines + 1, self._length + len(line)
        text = f"{self.lines:010d} {self._length:015d} {self._digest.hexdigest()} ".encode()
        return text + f"{zlib.crc32(text):08x} \n".encode()


def records_of(data: bytes, records: Records) -> bytes:
    """Return the records of all lines of a manifest, and continue `records` after them."""
    return b"".join(map(records.add, io.BytesIO(data)))


def vouched(path: Path, data: bytes, check: bytes) -> int:
    """Return how many lines of the manifest at `path` have a record, after comparing them.

    Parameters
    ----------
    path
        Path of the manifest, for messages.
    data
        Its complete lines.
    check
        Contents of `manifest.check`.

    Raises
    ------
    EpochbankError
        If a line was changed, lost, doubled or moved, or a record other than the last is damaged.
    """
    count = _count_sound(path, check)
    if not count:
        return 0
    last = _record(path, check, count)
    if len(data) >= last.length and xxhash.xxh3_128_hexdigest(data[: last.length]) == last.digest:
        return last.line
    digest = xxhash.xxh3_128()
    for number, line in enumerate(islice(io.BytesIO(data), count), 1):
        digest.update(line)
        if digest.hexdigest() != _record(path, check, number).digest:
            raise EpochbankError(
                f"{path}, line {number} is damaged (it was changed, doubled or moved, or the line before it was lost); "
                f"expected one JSON object a line, as {CHECK} records it. {_fix()}"
            )
    raise EpochbankError(
        f"{path} has {data.count(_END):,} lines; expected at least {last.line:,}, which {CHECK} records. {_fix()}"
    )


def _fix() -> str:
    return (
        f"Restore the file from a copy, or remove {CHECK}, then run `augment verify` and the same `augment run` again, "
        "which generates what is not listed."
    )


def _count_sound(path: Path, check: bytes) -> int:
    """Return the number of records before the first incomplete one. Raises `EpochbankError` if others are damaged."""
    for number, at in enumerate(range(0, len(check) - RECORD_BYTES + 1, RECORD_BYTES), 1):
        fields = check[at : at + _CRC]
        crc, end = b"%08x \n" % zlib.crc32(fields), at + RECORD_BYTES
        if check[at + _CRC : end] != crc or not check.startswith(b"%010d " % number, at):
            left = len(check) - at
            if left < 2 * RECORD_BYTES or (left < (GROUP + 1) * RECORD_BYTES and b"\0" in check[at:end]):
                return number - 1
            raise _damaged(path, number)
    return len(check) // RECORD_BYTES


def _record(path: Path, check: bytes, number: int) -> _Record:
    """Return record `number`, counted from 1, whose checksum is right."""
    fields = _FORM.fullmatch(check, (number - 1) * RECORD_BYTES, number * RECORD_BYTES)
    if fields is None:
        raise _damaged(path, number)
    return _Record(number, int(fields[2]), fields[3].decode())


def _damaged(path: Path, number: int) -> EpochbankError:
    return EpochbankError(
        f"{path.with_name(CHECK)}, line {number} is damaged; expected the checksum of a line of {path.name}. "
        "Restore it from a copy, or remove it and run `augment verify`: the next `augment run` writes it again."
    )
