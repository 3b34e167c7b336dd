"""The members of a .tar file, found with little memory: Python's `tarfile` keeps every member, and reads headers of
any size.

`tarfile.TarInfo.frombuf` reads a header. The extended headers of POSIX (pax) and GNU, which precede it, give names of
more than 100 bytes and sizes of more than 8 GiB.
"""

import tarfile
from collections.abc import Iterator
from typing import BinaryIO, Literal, NamedTuple

_BLOCK = tarfile.BLOCKSIZE
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_EXTENDED = (*_PAX, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_MAX_EXTENDED = 1 << 20
"""Largest extended header in bytes."""
_MAX_NAME = 4096
"""Longest name of a member in bytes: the longest path of Linux."""
_PIECE = 1 << 20


class Member(NamedTuple):
    """A member of an archive."""

    name: bytes
    offset: int
    """Where its data begins, in bytes."""
    size: int
    kind: Literal["file", "folder", "other"]
    """`other` is a link or a device."""


def members(file: BinaryIO, end: int) -> Iterator[Member]:
    """Yield the members of an archive that ends at byte `end`. `file` may be moved between two members.

    Raises `ValueError` for an archive that is damaged or truncated, or has sparse files.
    """
    at, long_name, pax = 0, b"", dict[bytes, bytes]()
    while True:
        block = _read(file, at, _BLOCK, end)
        if not block.strip(b"\0"):
            _check_rest(file, at + _BLOCK, end)
            return
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise ValueError(f"the header at byte {at} is damaged") from error
        header_at, at = at, at + _BLOCK
        if header.type in _EXTENDED:
            if not 0 <= header.size <= _MAX_EXTENDED:
                raise ValueError(
                    f"the header at byte {header_at} has {header.size:,} bytes; expected at most {_MAX_EXTENDED:,}"
                )
            data = _read(file, at, header.size, end)
            at += _padded(header.size)
            if header.type in _PAX:
                pax = _pax(data, header_at)
            elif header.type == tarfile.GNUTYPE_LONGNAME:
                long_name = data.partition(b"\0")[0]
            continue
        if header.type == tarfile.GNUTYPE_SPARSE or any(key.startswith(b"GNU.sparse") for key in pax):
            raise ValueError(f"the file at byte {header_at} is sparse; expected an archive made without --sparse")
        size = _size(pax, header_at) if b"size" in pax else header.size
        name = pax.get(b"path") or long_name or header.name.encode("utf-8", "surrogateescape")
        if len(name) > _MAX_NAME:
            raise ValueError(
                f"the name of the member at byte {header_at} has {len(name):,} bytes; expected at most {_MAX_NAME:,}"
            )
        # Links, folders and devices have no data, even if the header has a size.
        has_data = header.isreg() or header.type not in tarfile.SUPPORTED_TYPES
        if has_data and not 0 <= size <= end - at:
            raise ValueError(f"it is truncated in the file at byte {header_at}")
        yield Member(name, at, size, "file" if header.isreg() else "folder" if header.isdir() else "other")
        at += _padded(size) if has_data else 0
        long_name, pax = b"", {}


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _read(file: BinaryIO, at: int, size: int, end: int) -> bytes:
    file.seek(at)
    data = file.read(size) if at + size <= end else b""
    if len(data) < size:
        raise ValueError(f"it is truncated at byte {min(at, end)}: the blocks of zeros at its end are missing")
    return data


def _check_rest(file: BinaryIO, at: int, end: int) -> None:
    """Raise `ValueError` if anything but zeros follows the end of the archive, such as a second archive."""
    file.seek(at)
    while at < end and (piece := file.read(min(_PIECE, end - at))):
        if piece.strip(b"\0"):
            raise ValueError(
                "data follows its end; expected one archive (`tar --concatenate` joins two into one; `cat` does not)"
            )
        at += len(piece)


def _pax(data: bytes, at: int) -> dict[bytes, bytes]:
    """Return the records of an extended header of POSIX: `LENGTH KEY=VALUE` and a line break, with their length."""
    found, start = dict[bytes, bytes](), 0
    while start < len(data) and data[start]:
        digits = data[start : start + 8].partition(b" ")[0]
        length = int(digits) if digits.isdigit() else 0
        key, separator, value = data[start + len(digits) + 1 : start + length].partition(b"=")
        if not separator or start + length > len(data) or not value.endswith(b"\n"):
            raise ValueError(f"the header at byte {at} is damaged")
        found[key] = value[:-1]
        start += length
    return found


def _size(pax: dict[bytes, bytes], at: int) -> int:
    text = pax[b"size"]
    if not text.isdigit() or len(text) > 19:
        raise ValueError(f"the header at byte {at} is damaged")
    return int(text)
