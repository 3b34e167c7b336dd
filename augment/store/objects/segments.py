"""Segments: the manifest of a set in an object store, as numbered objects that are written once.

A segment is a header line, followed by lines of the manifest. It is written only if no object has its number, so of two
writers, the second one finds the number taken and stops. Readers fetch 1, 2, 3, and so on until one does not exist, and
do not depend on a listing. Each header has a checksum of all segments before it, which detects a segment that was
changed, or replaced after another one followed.
"""

import json
from dataclasses import asdict, dataclass

import xxhash

from ...errors import EpochbankError

_FORMAT = 1
_FIX = "Restore the object from a version that the store keeps, or write the set again to another URL."


@dataclass(frozen=True)
class Header:
    """The first line of a segment."""

    format: int
    segment: int
    """Number of the segment, from 1."""
    fingerprint: str
    """Fingerprint of the set."""
    writer: str
    """Random name of the run that wrote it."""
    before: str
    """XXH3-128 of the segments before it (`after`), hexadecimal."""
    lines: int
    checksum: str
    """XXH3-128 of the lines after the header, hexadecimal."""


def beginning(fingerprint: str) -> str:
    """Return `before` of the first segment of a set."""
    return xxhash.xxh3_128_hexdigest(fingerprint.encode())


def after(before: str, data: bytes) -> str:
    """Return `before` of the segment that follows the segment `data`, whose own is `before`."""
    return xxhash.xxh3_128_hexdigest(before.encode() + data)


def encode(number: int, fingerprint: str, writer: str, before: str, lines: list[bytes]) -> bytes:
    """Return segment `number` with `lines` of the manifest, each of which ends with a line feed."""
    body = b"".join(lines)
    checksum = xxhash.xxh3_128_hexdigest(body)
    header = Header(_FORMAT, number, fingerprint, writer, before, len(lines), checksum)
    return json.dumps(asdict(header), separators=(",", ":")).encode() + b"\n" + body


def decode(data: bytes, number: int, fingerprint: str, before: str, where: str) -> list[bytes]:
    """Return the lines of the manifest in segment `number`, after comparing it with its checksums.

    `where` is its URL, for messages. Raises `EpochbankError` if the segment is damaged, of another set, or does not
    follow the segments before it.
    """
    head, _, body = data.partition(b"\n")
    try:
        header = Header(**json.loads(head))
    except (ValueError, TypeError, RecursionError) as error:
        raise EpochbankError(f"{where} is damaged ({error}); expected a segment of a manifest. {_FIX}") from error
    if header.format != _FORMAT:
        raise EpochbankError(
            f"{where} has format {header.format!r}; this epochbank reads format {_FORMAT}. Upgrade epochbank."
        )
    lines = body.splitlines(keepends=True)
    if header.fingerprint != fingerprint:
        raise EpochbankError(f"{where} belongs to another set (fingerprint {str(header.fingerprint)[:8]}). {_FIX}")
    if header.checksum != xxhash.xxh3_128_hexdigest(body) or header.lines != len(lines) or header.segment != number:
        raise EpochbankError(f"{where} is damaged: its checksum is wrong. {_FIX}")
    if header.before != before:
        raise EpochbankError(
            f"{where} does not follow the segments before it: one of them was changed, lost or replaced. {_FIX}"
        )
    return lines
