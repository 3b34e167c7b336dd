"""Members of .zip archives as plain runs of bytes: in place where they are stored as they are, else laid bare."""

import shutil
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from isal import igzip_lib, isal_zlib

from ...errors import EpochbankError
from ...shared.progress import size
from ..archive import data_at
from .places import Place

_CHUNK = 32 << 10
"""Packed bytes that are read at once: deflate may turn each into a thousand."""


class Unreadable(ValueError):
    """A file that cannot be read; the text says why."""


def must_be_laid_bare(place: Place) -> bool:
    """Whether a file's bytes lie nowhere as they are."""
    return place.member is not None and place.member.compress_type != zipfile.ZIP_STORED


def check_space(places: Iterable[Place], workspace: Path) -> None:
    """`EpochbankError` where what must be laid bare of `places` does not fit on the disk of `workspace`."""
    needed, free = sum(place.size for place in places if must_be_laid_bare(place)), shutil.disk_usage(workspace).free
    if needed > free:
        raise EpochbankError(
            f"the archives need {size(needed)} to be unpacked while they are imported, and {workspace.parent} has "
            f"{size(free)} left. Free space, choose another place, name fewer sets with --etl-sets, or give a "
            "directory that they are unpacked in."
        )


def bytes_of(place: Place, bare: Path) -> tuple[Path, int]:
    """A file, and the byte of it at which the bytes of `place` begin; laid bare in the file `bare` where they must be.

    What lies in an archive is held against its checksum. Raises `Unreadable`, and `OSError` where `bare` cannot be
    written.
    """
    if place.member is None:
        return place.path, 0
    if not must_be_laid_bare(place):
        for _ in _checked(place.path, place.member):
            pass
        with open(place.path, "rb") as file:
            return place.path, _seek(file, place.member)
    with open(bare, "wb") as target:
        for chunk in _checked(place.path, place.member):
            target.write(chunk)
    return bare, 0


def _checked(path: Path, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """The bytes of a member, unpacked; `Unreadable` where it is damaged, at the end at the latest."""
    checksum = length = 0
    for chunk in _unpacked(path, member):
        checksum, length = isal_zlib.crc32(chunk, checksum), length + len(chunk)
        if length > member.file_size:
            break
        yield chunk
    if (checksum, length) != (member.CRC, member.file_size):
        raise Unreadable("is damaged in its archive: its checksum does not fit. Fetch or write the archive again")


def _unpacked(path: Path, member: zipfile.ZipInfo) -> Iterator[bytes]:
    if member.flag_bits & 1:
        raise Unreadable("is locked with a password. Unpack it")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Unreadable("is packed by a method other than deflate. Unpack it")
    packed = member.compress_type == zipfile.ZIP_DEFLATED
    inflate = isal_zlib.decompressobj(-15)
    try:
        with open(path, "rb") as file:
            _seek(file, member)
            for start in range(0, member.compress_size, _CHUNK):
                chunk = file.read(min(_CHUNK, member.compress_size - start))
                yield inflate.decompress(chunk) if packed else chunk
    except igzip_lib.IsalError as error:  # type: ignore[misc]  # its stub says an instance
        raise Unreadable(f"is damaged in its archive: {error}. Fetch or write the archive again") from error
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from error


def _seek(file: BinaryIO, member: zipfile.ZipInfo) -> int:
    """Go to where the bytes of a member begin, and return that place."""
    try:
        return file.seek(data_at(file.fileno(), member.header_offset))
    except ValueError as error:
        raise Unreadable(f"is damaged in its archive: {error}. Fetch or write the archive again") from error
