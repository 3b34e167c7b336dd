"""Members of .zip archives: read in place if they are stored uncompressed, otherwise extracted."""

import shutil
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from isal import igzip_lib, isal_zlib

from ...errors import EpochbankError
from ...shared.progress import size
from ..archive import data_offset
from .places import Place

_CHUNK = 32 << 10
"""Compressed bytes read at once. Deflate can expand each byte to a thousand."""


class Unreadable(ValueError):
    """A file that cannot be read; the text says why."""


def needs_extraction(place: Place) -> bool:
    """Return whether a file is compressed in an archive."""
    return place.member is not None and place.member.compress_type != zipfile.ZIP_STORED


def check_space(places: Iterable[Place], workspace: Path) -> None:
    """Raise `EpochbankError` if the files that need extraction do not fit on the disk of `workspace`."""
    needed, free = sum(place.size for place in places if needs_extraction(place)), shutil.disk_usage(workspace).free
    if needed > free:
        raise EpochbankError(
            f"unpacking the archives during the import takes {size(needed)}, but {workspace.parent} has {size(free)} "
            "left. Free space, choose another directory, select fewer sets with --etl-sets, or unpack the archives "
            "yourself and use that directory as SOURCE."
        )


def locate(place: Place, extracted: Path) -> tuple[Path, int]:
    """Return a file and the offset in it at which the bytes of `place` begin. Extracts to `extracted` if needed.

    Members of archives are compared with their checksums. Raises `Unreadable` for damaged members, and `OSError` if
    `extracted` cannot be written.
    """
    if place.member is None:
        return place.path, 0
    if not needs_extraction(place):
        for _ in _checked(place.path, place.member):
            pass
        with open(place.path, "rb") as file:
            return place.path, _seek(file, place.member)
    with open(extracted, "wb") as target:
        for chunk in _checked(place.path, place.member):
            target.write(chunk)
    return extracted, 0


def read_start(place: Place, size: int) -> bytes:
    """Return the first `size` bytes of a file, or all if it is shorter. Checks no checksum.

    Raises `Unreadable` for damaged members, and `OSError`.
    """
    if place.member is None:
        with open(place.path, "rb") as file:
            return file.read(size)
    start = bytearray()
    for chunk in _decompressed(place.path, place.member):
        start += chunk
        if len(start) >= size:
            break
    return bytes(start[:size])


def _checked(path: Path, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the decompressed bytes of a member. Raises `Unreadable` if it is damaged, at the latest at the end."""
    checksum = length = 0
    for chunk in _decompressed(path, member):
        checksum, length = isal_zlib.crc32(chunk, checksum), length + len(chunk)
        if length > member.file_size:
            break
        yield chunk
    if (checksum, length) != (member.CRC, member.file_size):
        raise Unreadable("is damaged in its archive: its checksum is wrong. Download or create the archive again")


def _decompressed(path: Path, member: zipfile.ZipInfo) -> Iterator[bytes]:
    if member.flag_bits & 1:
        raise Unreadable("is protected by a password. Unpack it")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Unreadable("is compressed by a method other than deflate. Unpack it")
    compressed = member.compress_type == zipfile.ZIP_DEFLATED
    inflate = isal_zlib.decompressobj(-15)
    try:
        with open(path, "rb") as file:
            _seek(file, member)
            for start in range(0, member.compress_size, _CHUNK):
                chunk = file.read(min(_CHUNK, member.compress_size - start))
                yield inflate.decompress(chunk) if compressed else chunk
    except igzip_lib.IsalError as error:  # type: ignore[misc]  # its stub says an instance
        raise Unreadable(f"is damaged in its archive: {error}. Download or create the archive again") from error
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from error


def _seek(file: BinaryIO, member: zipfile.ZipInfo) -> int:
    """Move to the first byte of a member, and return its offset."""
    try:
        return file.seek(data_offset(file.fileno(), member.header_offset))
    except ValueError as error:
        raise Unreadable(f"is damaged in its archive: {error}. Download or create the archive again") from error
