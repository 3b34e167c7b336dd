"""Reads .zip archives with little memory: Python's `zipfile` keeps hundreds of bytes per file.

The format is described in PKWARE's APPNOTE.TXT 6.3: a record at the end of the file locates the central directory,
which has one entry per file. A local header precedes the bytes of each file.
"""

import bz2
import io
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..errors import EpochbankError
from .decode import MAX_PIXELS, BadImage, check_ratio

_END, _END_64, _LOCATOR = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")
_ENTRY, _HEADER = struct.Struct("<4s6H3L5H2L"), struct.Struct("<4s22x2H")
_ZIP64_FIELD, _UTF8_NAME_FIELD = 1, 0x7075  # extra fields
_ENCRYPTED, _UTF8 = 0x2041, 0x800  # flags
_METHODS = {0: "stored", 8: "deflate", 12: "bzip2", 14: "LZMA"}
_MIN_DICTIONARY = 4096
"""Smallest dictionary of LZMA in bytes."""
MAX_FILE_SIZE = 16 * MAX_PIXELS
"""Largest image file in bytes: 16 bytes per pixel of the largest image."""


class Entry(NamedTuple):
    """An entry of the central directory."""

    name: str
    method: int
    encrypted: bool
    crc: int
    compressed_size: int
    size: int
    header: int
    """Offset of the local header in bytes."""

    @property
    def problem(self) -> str:
        """Why the file cannot be read; empty if it can."""
        if self.encrypted:
            return "encrypted"
        return "" if self.method in _METHODS else f"compressed by method {self.method}"


@dataclass(frozen=True)
class Archive:
    """Location of the directory in a .zip file; small to pickle."""

    path: Path
    directory_start: int
    """Offset of the central directory in bytes."""
    directory_end: int
    prefix_size: int
    """Bytes that precede the archive (of a self-extracting program, for example); stored offsets do not count them."""
    encoding: str = "cp437"
    """Encoding of names that are not in UTF-8. The format specifies the code page of DOS."""
    is_encoding_of_all: bool = False
    """Whether names without the flag of UTF-8 have that encoding even if they are valid UTF-8."""

    def entries(self) -> Iterator[tuple[int, Entry]]:
        """Yield each entry with its offset in the file. Raises `EpochbankError` if the directory is damaged."""
        for offset, fixed, variable in self._records():
            yield offset, self._entry(fixed, variable)

    def unflagged_names(self) -> Iterator[bytes]:
        """Yield each name that the archive does not say to be UTF-8, and that is not ASCII, as it is stored."""
        for _, fixed, variable in self._records():
            flags, name_size, extra_size = struct.unpack_from("<8xH18x2H", fixed)
            name = variable[:name_size]
            if not (name.isascii() or flags & _UTF8):
                extra = dict(_extra_fields(variable[name_size : name_size + extra_size]))
                if _UTF8_NAME_FIELD not in extra:
                    yield name

    def read_file(self, offset: int) -> bytes:
        """Return the contents of the file whose entry is at `offset`. Raises `BadImage` if it is damaged."""
        with open(self.path, "rb") as file:
            return self.read(file.fileno(), self.entry(file.fileno(), offset))

    def _records(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield offset, fixed part and variable part of each entry. Raises `EpochbankError` for a damaged one."""
        with open(self.path, "rb", buffering=1 << 20) as file:
            file.seek(self.directory_start)
            offset = self.directory_start
            while offset < self.directory_end:
                fixed = file.read(_ENTRY.size)
                variable = file.read(_variable_size(fixed))
                self._check(fixed, variable)
                yield offset, fixed, variable
                offset = file.tell()

    def entry(self, descriptor: int, offset: int) -> Entry:
        """Return the entry at `offset` of the open archive."""
        fixed = os.pread(descriptor, _ENTRY.size, offset)
        variable = os.pread(descriptor, _variable_size(fixed), offset + len(fixed))
        self._check(fixed, variable)
        return self._entry(fixed, variable)

    def read(self, descriptor: int, entry: Entry) -> bytes:
        """Return the contents of a file in the open archive. Raises `BadImage` if it is damaged."""
        try:
            start = data_offset(descriptor, entry.header + self.prefix_size)
        except ValueError as error:
            raise BadImage("cannot be read: the archive is damaged there") from error
        if max(entry.compressed_size, entry.size) > MAX_FILE_SIZE:
            raise BadImage(f"has {entry.size:,} bytes; expected at most {MAX_FILE_SIZE:,}")
        if entry.method:
            check_ratio(entry.size, entry.compressed_size)
        data = _decompress(os.pread(descriptor, entry.compressed_size, start), entry)
        if len(data) != entry.size or zlib.crc32(data) != entry.crc:
            raise BadImage("cannot be read: it is damaged in the archive")
        return data

    def _check(self, fixed: bytes, variable: bytes) -> None:
        if len(variable) < _variable_size(fixed) or not fixed.startswith(b"PK\1\2"):
            raise _unreadable(self.path, "its directory is damaged, or the file changed while it was read")

    def _entry(self, fixed: bytes, variable: bytes) -> Entry:
        _, _, _, flags, method, _, _, crc, compressed_size, size, name_size, extra_size, *_, header = _ENTRY.unpack(
            fixed
        )
        extra = dict(_extra_fields(variable[name_size : name_size + extra_size]))
        zip64 = io.BytesIO(extra.get(_ZIP64_FIELD, b""))
        size, compressed_size, header = (
            int.from_bytes(zip64.read(8), "little") if field == 0xFFFFFFFF else field
            for field in (size, compressed_size, header)
        )
        name = self._name(variable[:name_size], flags, extra.get(_UTF8_NAME_FIELD, b""))
        return Entry(name, method, bool(flags & _ENCRYPTED), crc, compressed_size, size, header)

    def _name(self, raw: bytes, flags: int, utf8_field: bytes) -> str:
        """Decode a name, with '/' between folders. macOS and Linux write UTF-8 without setting its flag."""
        if len(utf8_field) > 5 and int.from_bytes(utf8_field[1:5], "little") == zlib.crc32(raw):
            raw, flags = utf8_field[5:], _UTF8
        if flags & _UTF8 or raw.isascii():
            name = raw.decode("utf-8", "surrogateescape")
        else:
            first, second = (self.encoding, "utf-8") if self.is_encoding_of_all else ("utf-8", self.encoding)
            try:
                name = raw.decode(first)
            except UnicodeDecodeError:
                name = raw.decode(second, "surrogateescape")
        return name if "/" in name else name.replace("\\", "/")


def check_member(member: zipfile.ZipInfo) -> None:
    """Raise `ValueError` for a compression that Python's `zipfile` does not decompress within a limit of memory."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        method = _METHODS.get(member.compress_type, f"method {member.compress_type}")
        raise ValueError(f"{member.filename} is compressed by {method}; expected deflate, or none")


def find_archive(path: Path) -> Archive:
    """Locate the directory of a .zip file. Raises `EpochbankError` for other, truncated and multi-volume files."""
    with open(path, "rb") as file:
        file_size = file.seek(0, os.SEEK_END)
        tail_offset = file.seek(max(0, file_size - _END.size - 0xFFFF))
        tail = file.read()
        found = tail.rfind(b"PK\5\6")
        if found < 0 or len(tail) - found < _END.size:
            raise _unreadable(path, "it is not a .zip file, or it is truncated")
        _, disk, _, _, _, size, start, _ = _END.unpack_from(tail, found)
        end = tail_offset + found
        if found >= _LOCATOR.size and tail[found - _LOCATOR.size :].startswith(b"PK\6\7"):
            end -= _LOCATOR.size + _END_64.size
            file.seek(max(0, end))
            record = file.read(_END_64.size)
            if not record.startswith(b"PK\6\6"):
                raise _unreadable(path, "its end is damaged")
            *_, disk, _, _, _, size, start = _END_64.unpack(record)
    if disk:
        raise EpochbankError(
            f"{path} is the last of {disk + 1} volumes of a .zip; expected a single file. Join the volumes with "
            "`zip -s 0`."
        )
    archive = Archive(path, end - size, end, end - size - start)
    if archive.prefix_size < 0:
        raise _unreadable(path, "bytes are missing in the middle")
    return archive


def data_offset(descriptor: int, header: int) -> int:
    """Return the offset of a file's bytes in an open archive, given the offset of its local header.

    Raises `ValueError` if there is no local header.
    """
    head = os.pread(descriptor, _HEADER.size, header) if 0 <= header < 1 << 63 else b""
    if len(head) < _HEADER.size or not head.startswith(b"PK\3\4"):
        raise ValueError("it does not begin where it should")
    _, name, extra = _HEADER.unpack(head)
    return header + len(head) + name + extra


def _variable_size(fixed: bytes) -> int:
    """Size in bytes of name, extra fields and comment, which follow the fixed part of an entry."""
    return sum(struct.unpack_from("<3H", fixed, 28)) if len(fixed) == _ENTRY.size else 0


def _extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        yield kind, extra[at + 4 : at + 4 + length]
        at += 4 + length


def _decompress(compressed: bytes, entry: Entry) -> bytes:
    """Return at most one byte more than the size that the entry gives."""
    try:
        match entry.method:
            case 0:
                return compressed
            case 8:
                return zlib.decompressobj(-zlib.MAX_WBITS).decompress(compressed, entry.size + 1)
            case 12:
                return bz2.BZ2Decompressor().decompress(compressed, entry.size + 1)
            case _:  # LZMA: 4 bytes, a byte that encodes lc, lp and pb, and the size of the dictionary
                lc_lp_pb, dict_size = struct.unpack_from("<BL", compressed, 4)
                # No match reaches back beyond the beginning, so a dictionary of the file's size is enough.
                needed = min(dict_size, max(entry.size, _MIN_DICTIONARY))
                lzma1 = {"lc": lc_lp_pb % 9, "lp": lc_lp_pb // 9 % 5, "pb": lc_lp_pb // 45, "dict_size": needed}
                filters = [{"id": lzma.FILTER_LZMA1, **lzma1}]
                return lzma.LZMADecompressor(lzma.FORMAT_RAW, None, filters).decompress(compressed[9:], entry.size + 1)
    except (zlib.error, lzma.LZMAError, struct.error, ValueError, OSError, EOFError) as error:
        raise BadImage(f"cannot be read: it is damaged in the archive ({error})") from error


def _unreadable(path: Path, reason: str) -> EpochbankError:
    return EpochbankError(f"{path} cannot be read as .zip: {reason}. Download or create it again.")
