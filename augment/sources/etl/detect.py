"""Detects quickly, by names alone, whether a path holds files of the ETL Character Database."""

import os
import zipfile
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path

from ..folders.tree import is_folder
from ..idx.names import is_idx_name
from .catalog import file_of, has_etl_prefix, is_foreign, is_image, is_info, is_packed
from .places import UNREADABLE_ZIP, is_hidden, split_path

_MAX_ENTRIES = 2000
"""Number of entries that are checked in a directory and below it."""


class _Evidence(Enum):
    """What a file says about its source."""

    OFFICIAL = auto()
    """A file of the database, by name."""
    SIMILAR = auto()
    """A name that begins like those of the database."""
    IMAGE = auto()
    NONE = auto()


def holds_etl(path: Path) -> bool:
    """Return whether `path` has files of the database, by name. Fast even for folders of millions of images.

    Names that only begin like those of the database, such as `ETL9INFO` and `ETL9G_01.Z`, count if there are no images:
    the scan then says why they are not read. Checks the first 2,000 entries, level by level. Ignores what cannot be
    read.
    """
    if not path.is_dir():
        return _evidence(path, False) in (_Evidence.OFFICIAL, _Evidence.SIMILAR)
    left, level, found = _MAX_ENTRIES, [(path, False)], set[_Evidence]()
    while level:
        below: list[tuple[Path, bool]] = []
        for directory, is_inside in level:
            with suppress(OSError), os.scandir(directory) as entries:
                for entry in entries:
                    left -= 1
                    if left < 0:
                        return False
                    if is_hidden(entry.name):
                        continue
                    if is_folder(entry):
                        below.append((Path(entry.path), is_inside or has_etl_prefix(entry.name)))
                        continue
                    found.add(_evidence(Path(entry.path), is_inside))
                    if _Evidence.OFFICIAL in found:
                        return True
        level = below
    return _Evidence.SIMILAR in found and _Evidence.IMAGE not in found


def _evidence(path: Path, is_inside: bool) -> _Evidence:
    """Return the evidence of a file or an archive. `is_inside` says whether a folder above it begins with ETL."""
    if path.suffix.lower() != ".zip":
        return _evidence_of_name(path.name, is_inside)
    try:
        if _num_members(path) > _MAX_ENTRIES:
            return _Evidence.NONE
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
    except (*UNREADABLE_ZIP, OSError):
        return _Evidence.OFFICIAL if has_etl_prefix(path.name) else _Evidence.NONE
    members = [split_path(name) for name in names]
    found = {
        _evidence_of_name(parts[-1], any(map(has_etl_prefix, [path.name, *parts[:-1]])))
        for parts in members
        if not is_hidden(parts[-1])
    }
    kinds = (_Evidence.OFFICIAL, _Evidence.IMAGE, _Evidence.SIMILAR)
    return next((kind for kind in kinds if kind in found), _Evidence.NONE)


def _evidence_of_name(name: str, is_inside: bool) -> _Evidence:
    if file_of(name) is not None:
        return _Evidence.OFFICIAL
    if is_image(name) or is_idx_name(name):
        return _Evidence.IMAGE
    may_hold_images = not is_foreign(name) or is_packed(name) or name.lower().endswith(".zip")
    if is_info(name) or (may_hold_images and (is_inside or has_etl_prefix(name))):
        return _Evidence.SIMILAR
    return _Evidence.NONE


def _num_members(path: Path) -> int:
    """Return the number of members that the end of an archive states, or 0: reading a large directory takes long."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 65_557))
        _, found, end = file.read().rpartition(b"PK\5\6")
    return int.from_bytes(end[6:8], "little") if found else 0
