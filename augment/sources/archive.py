"""A .zip archive, read around Python's `zipfile`, which holds hundreds of bytes in memory for each of its files.

PKWARE's APPNOTE.TXT 6.3 says what lies where: at the end where the directory begins, in the directory an entry for
each file, before each file's bytes a header of its own.
"""

import bz2
import io
import lzma
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..errors import EpochbankError
from .decode import LARGEST, BadPicture

_END, _END_64, _LOCATOR = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")
_ENTRY, _HEADER = struct.Struct("<4s6H3L5H2L"), struct.Struct("<4s22x2H")
_IN_64_BITS, _NAME_IN_UTF8 = 1, 0x7075  # extra fields
_ENCRYPTED, _UTF8 = 0x2041, 0x800  # flags
_METHODS = {0: "stored", 8: "deflate", 12: "bzip2", 14: "LZMA"}
_LARGEST_FILE = 16 * LARGEST
"""Bytes of a file that is taken for a picture: the largest, with 16 bytes a pixel."""


class Entry(NamedTuple):
    """What the directory says of a file."""

    name: str
    method: int
    encrypted: bool
    crc: int
    packed: int
    """Bytes in the archive."""
    size: int
    header: int
    """Byte at which its header begins."""

    @property
    def fault(self) -> str:
        """Why it cannot be read; empty where it can."""
        if self.encrypted:
            return "encrypted"
        return "" if self.method in _METHODS else f"compressed by method {self.method}"


@dataclass(frozen=True)
class Archive:
    """Where in a .zip file what lies; small to pickle."""

    path: Path
    directory: int
    """Byte at which the directory begins."""
    end: int
    """Byte at which the directory ends."""
    shift: int
    """Bytes that were put in front of the archive afterwards, which places in it do not count."""

    def entries(self) -> Iterator[tuple[int, Entry]]:
        """The directory's entries, each with the byte at which it begins. `EpochbankError` where it is damaged."""
        with open(self.path, "rb", buffering=1 << 20) as file:
            file.seek(self.directory)
            place = self.directory
            while place < self.end:
                head = file.read(_ENTRY.size)
                yield place, self._entry(head, file.read(_length_of_rest(head)))
                place = file.tell()

    def entry(self, descriptor: int, place: int) -> Entry:
        """The entry that begins at the byte `place` of the open archive."""
        head = os.pread(descriptor, _ENTRY.size, place)
        return self._entry(head, os.pread(descriptor, _length_of_rest(head), place + len(head)))

    def contents(self, descriptor: int, entry: Entry) -> bytes:
        """A file of the open archive. Raises `BadPicture` where it is damaged."""
        try:
            at = data_at(descriptor, entry.header + self.shift)
        except ValueError as error:
            raise BadPicture("cannot be read: the archive is damaged there") from error
        if max(entry.packed, entry.size) > _LARGEST_FILE:
            raise BadPicture(f"has {entry.size:,} bytes; expected at most {_LARGEST_FILE:,}")
        data = _unpacked(os.pread(descriptor, entry.packed, at), entry)
        if len(data) != entry.size or zlib.crc32(data) != entry.crc:
            raise BadPicture("cannot be read: it is damaged in the archive")
        return data

    def _entry(self, head: bytes, rest: bytes) -> Entry:
        if len(rest) < _length_of_rest(head) or not head.startswith(b"PK\1\2"):
            raise _refusal(self.path, "its directory is damaged, or it changed meanwhile")
        _, _, _, flags, method, _, _, crc, packed, size, in_name, in_extra, *_, header = _ENTRY.unpack(head)
        extra = dict(_fields(rest[in_name : in_name + in_extra]))
        large = io.BytesIO(extra.get(_IN_64_BITS, b""))
        size, packed, header = (
            int.from_bytes(large.read(8), "little") if field == 0xFFFFFFFF else field
            for field in (size, packed, header)
        )
        name = _name(rest[:in_name], flags, extra.get(_NAME_IN_UTF8, b""))
        return Entry(name, method, bool(flags & _ENCRYPTED), crc, packed, size, header)


def find_archive(path: Path) -> Archive:
    """The archive at `path`; `EpochbankError` where it is none, or cut short, or one of several volumes."""
    with open(path, "rb") as file:
        bytes_ = file.seek(0, os.SEEK_END)
        tail_at = file.seek(max(0, bytes_ - _END.size - 0xFFFF))
        tail = file.read()
        found = tail.rfind(b"PK\5\6")
        if found < 0 or len(tail) - found < _END.size:
            raise _refusal(path, "it is no .zip, or cut short")
        _, disk, _, _, _, size, start, _ = _END.unpack_from(tail, found)
        end = tail_at + found
        if found >= _LOCATOR.size and tail[found - _LOCATOR.size :].startswith(b"PK\6\7"):
            end -= _LOCATOR.size + _END_64.size
            file.seek(max(0, end))
            record = file.read(_END_64.size)
            if not record.startswith(b"PK\6\6"):
                raise _refusal(path, "its end is damaged")
            *_, disk, _, _, _, size, start = _END_64.unpack(record)
    if disk:
        raise EpochbankError(
            f"{path} is the last of {disk + 1} volumes of a .zip; expected a whole one. Join them, as `zip -s 0` does."
        )
    archive = Archive(path, end - size, end, end - size - start)
    if archive.shift < 0:
        raise _refusal(path, "bytes are missing in the middle")
    return archive


def data_at(descriptor: int, header: int) -> int:
    """The byte of an open archive at which a file's bytes begin, whose header begins at the byte `header`.

    `ValueError` where no header does.
    """
    head = os.pread(descriptor, _HEADER.size, header) if 0 <= header < 1 << 63 else b""
    if len(head) < _HEADER.size or not head.startswith(b"PK\3\4"):
        raise ValueError("it does not begin where it should")
    _, name, extra = _HEADER.unpack(head)
    return header + len(head) + name + extra


def _length_of_rest(head: bytes) -> int:
    """Bytes of name, extra fields and comment, which follow the fixed part of an entry."""
    return sum(struct.unpack_from("<3H", head, 28)) if len(head) == _ENTRY.size else 0


def _fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        yield kind, extra[at + 4 : at + 4 + length]
        at += 4 + length


def _name(raw: bytes, flags: int, in_utf8: bytes) -> str:
    """The name, with '/' between folders: UTF-8 where it is that, as macOS and Linux write it without saying so."""
    if len(in_utf8) > 5 and int.from_bytes(in_utf8[1:5], "little") == zlib.crc32(raw):
        raw, flags = in_utf8[5:], _UTF8
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        name = raw.decode("utf-8", "surrogateescape") if flags & _UTF8 else raw.decode("cp437")
    return name if "/" in name else name.replace("\\", "/")


def _unpacked(packed: bytes, entry: Entry) -> bytes:
    """At most one byte more than the entry speaks of."""
    try:
        match entry.method:
            case 0:
                return packed
            case 8:
                return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, entry.size + 1)
            case 12:
                return bz2.BZ2Decompressor().decompress(packed, entry.size + 1)
            case _:  # LZMA: after 4 bytes, one with three numbers, and the size of its window
                numbers, window = struct.unpack_from("<BL", packed, 4)
                lzma1 = {"lc": numbers % 9, "lp": numbers // 9 % 5, "pb": numbers // 45, "dict_size": window}
                filters = [{"id": lzma.FILTER_LZMA1, **lzma1}]
                return lzma.LZMADecompressor(lzma.FORMAT_RAW, None, filters).decompress(packed[9:], entry.size + 1)
    except (zlib.error, lzma.LZMAError, struct.error, ValueError, OSError, EOFError) as error:
        raise BadPicture(f"cannot be read: it is damaged in the archive ({error})") from error


def _refusal(path: Path, reason: str) -> EpochbankError:
    return EpochbankError(f"{path} cannot be read as .zip: {reason}. Fetch or write it again.")
