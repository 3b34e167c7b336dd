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

import re
import zlib
from pathlib import Path
from typing import NamedTuple

import xxhash

from ..errors import EpochbankError

CHECK = "manifest.check"
GROUP = 64
"""Lines of the manifest that are written together at most, and then their records."""
_BYTES = 70
_CRC = 60
"""Offset of the CRC-32 in a record."""
_FORM = re.compile(rb"([0-9]{10}) ([0-9]{15}) ([0-9a-f]{32}) ([0-9a-f]{8}) \n")


class _Record(NamedTuple):
    line: int
    length: int
    digest: str


class Records:
    """The records of a manifest, made line by line."""

    def __init__(self) -> None:
        self._digest = xxhash.xxh3_128()
        self.lines = self._length = 0

    def add(self, line: bytes) -> bytes:
        """Return the record of the next line of the manifest, which ends with a line feed."""
        self._digest.update(line)
        self.lines, self._length = self.lines + 1, self._length + len(line)
        text = f"{self.lines:010d} {self._length:015d} {self._digest.hexdigest()} ".encode()
        return text + f"{zlib.crc32(text):08x} \n".encode()


def records_of(data: bytes, records: Records) -> bytes:
    """Return the records of all lines of a manifest, and continue `records` after them."""
    return b"".join(records.add(line) for line in data.splitlines(keepends=True))


def vouched(path: Path, data: bytes, lines: list[bytes], check: bytes) -> int:
    """Return how many lines of the manifest at `path` have a record, after comparing them.

    Parameters
    ----------
    path
        Path of the manifest, for messages.
    data
        Its contents.
    lines
        Its complete lines.
    check
        Contents of `manifest.check`.

    Raises
    ------
    EpochbankError
        If a line was changed, lost, doubled or moved, or a record other than the last is damaged.
    """
    records = _parse(path, check)
    if not records:
        return 0
    last = records[-1]
    if len(data) >= last.length and xxhash.xxh3_128_hexdigest(data[: last.length]) == last.digest:
        return last.line
    digest = xxhash.xxh3_128()
    for number, (line, record) in enumerate(zip(lines, records, strict=False), 1):
        digest.update(line)
        if digest.hexdigest() != record.digest:
            raise EpochbankError(
                f"{path}, line {number} is damaged (it was changed, doubled or moved, or the line before it was lost); "
                f"expected one JSON object a line, as {CHECK} records it. {_fix()}"
            )
    raise EpochbankError(
        f"{path} has {len(lines):,} lines; expected at least {last.line:,}, which {CHECK} records. {_fix()}"
    )


def _fix() -> str:
    return (
        f"Restore the file from a copy, or remove {CHECK}, then run `augment verify` and the same `augment run` again, "
        "which generates what is not listed."
    )


def _parse(path: Path, check: bytes) -> list[_Record]:
    found: list[_Record] = []
    for at in range(0, len(check) - _BYTES + 1, _BYTES):
        number, fields = at // _BYTES + 1, _FORM.fullmatch(check, at, at + _BYTES)
        if fields is None or int(fields[4], 16) != zlib.crc32(check[at : at + _CRC]) or int(fields[1]) != number:
            left = len(check) - at
            if left < 2 * _BYTES or (left < (GROUP + 1) * _BYTES and b"\0" in check[at : at + _BYTES]):
                break
            raise EpochbankError(
                f"{path.with_name(CHECK)}, line {number} is damaged; expected the checksum of a line of {path.name}. "
                "Restore it from a copy, or remove it and run `augment verify`: the next `augment run` writes it again."
            )
        found.append(_Record(number, int(fields[2]), fields[3].decode()))
    return found
