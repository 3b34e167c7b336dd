"""Where the files of the ETL Character Database lie: in a directory, nested as it may be, and in .zip archives."""

import os
import re
import struct
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..tree import is_folder
from .catalog import PRINTED, TABLE, claims_to_be_etl, file_of, is_foreign, is_info

_UNREADABLE_ZIP = (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, struct.error)
"""What opening a damaged .zip may raise, beside `OSError`."""

_LOOKED_AT = 2000
_LEVELS = 4
"""Entries of a directory, and levels of it, that `holds_etl` looks at."""


@dataclass(frozen=True)
class Place:
    """Where a file lies: on the disk, or in an archive."""

    shown: str
    """Its path within the source, for people; '/' also where it leads into an archive."""
    path: Path
    """The file on the disk: itself, or the archive."""
    size: int
    """Bytes, unpacked."""
    member: zipfile.ZipInfo | None = None
    """What it is in the archive."""


@dataclass
class Found:
    """What lies in a source."""

    files: dict[tuple[str, int], list[Place]] = field(default_factory=dict)
    """Places of each file of the database, by set and number."""
    tables: list[Place] = field(default_factory=list)
    """Places of `euc_co59.dat`: in the source, or else beside it."""
    archives: list[Path] = field(default_factory=list)
    infos: int = 0
    strange: list[str] = field(default_factory=list)
    """Files that are none of the database's, though their names begin with ETL, or those of folders or archives around
    them; and archives within archives."""
    bad: list[tuple[str, str]] = field(default_factory=list)
    """What cannot be looked at: where, and why."""

    def identity(self, root: Path) -> list[list[Any]]:
        """Path within `root`, bytes and time of change of each file that matters, in order of the path."""
        places = [*self.tables, *(place for places in self.files.values() for place in places)]
        paths = {place.path for place in places if place.member is None} | set(self.archives)
        identities = []
        for path in sorted(paths):
            status = path.stat()
            identities.append([os.path.relpath(path, root), status.st_size, status.st_mtime_ns])
        return identities

    def add(self, place: Place) -> None:
        """Put a file where it belongs by its name; what has nothing to do with the database is left out."""
        *around, name = _split(place.shown)
        known = file_of(name)
        if known is not None:
            self.files.setdefault(known, []).append(place)
        elif name.lower() == TABLE:
            self.tables.append(place)
        elif is_info(name):
            self.infos += 1
        elif (
            claims_to_be_etl(name)
            or name.lower().endswith(".zip")
            or (any(map(claims_to_be_etl, around)) and not is_foreign(name))
        ):
            self.strange.append(place.shown)


def find(root: Path) -> Found:
    """Everything of the database in `root`: a directory, an archive, or one of the database's files."""
    found = Found()
    for shown, path in [("", root)] if root.is_file() else _walk(root, "", (), found):
        if path.suffix.lower() == ".zip":
            found.archives.append(path)
            _look_into(path, shown, found)
            continue
        try:
            found.add(Place(shown or path.name, path, path.stat().st_size))
        except OSError as error:
            if file_of(path.name) is not None:
                found.bad.append((shown, f"cannot be read: {error.strerror}"))
    if not found.tables and any(name == PRINTED for name, _ in found.files):
        found.tables.extend(_beside(root))
    return found


def _beside(root: Path) -> list[Place]:
    """The table where it lies beside the source; none where that place must not be looked at."""
    with suppress(OSError):
        beside = [path for path in root.parent.iterdir() if path.name.lower() == TABLE]
        return [Place(f"../{path.name}", path, path.stat().st_size) for path in beside]
    return []


def _walk(directory: Path, prefix: str, above: tuple[tuple[int, int], ...], found: Found) -> Iterator[tuple[str, Path]]:
    """Files below, hidden ones left out, by name; `above` identifies the folders on the way, to which no link leads."""
    try:
        status = directory.stat()
        with os.scandir(directory) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        found.bad.append((prefix or str(directory), f"cannot be listed: {error.strerror}"))
        return
    here = (status.st_dev, status.st_ino)
    for entry in listed if here not in above else ():
        if _is_hidden(entry.name):
            continue
        if is_folder(entry):
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", (*above, here), found)
        else:
            yield prefix + entry.name, Path(entry.path)


def _look_into(path: Path, shown: str, found: Found) -> None:
    """Add what lies in an archive; `shown` is its path within the source, empty where it is the source."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.filename.endswith("/")]
    except (*_UNREADABLE_ZIP, OSError) as error:
        found.bad.append((shown or path.name, f"cannot be read as .zip: {error}"))
        return
    for member in sorted(members, key=lambda member: member.filename):
        if not any(map(_is_hidden, _split(member.filename))):
            inside = member.filename if not shown else f"{shown}/{member.filename}"
            found.add(Place(inside, path, member.file_size, member))


def _split(path: str) -> list[str]:
    """Folders and name; archives made under Windows may have backslashes."""
    return re.split(r"[/\\]", path)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def holds_etl(path: Path) -> bool:
    """Whether `path` is the database by the names in it; cheap for a folder of millions of pictures.

    Of a directory the first entries of its top levels are looked at. What cannot be looked at tells nothing.
    """
    if not path.is_dir():
        return _is_etl(path)
    left, level = _LOOKED_AT, [path]
    for _ in range(_LEVELS):
        below: list[Path] = []
        for directory in level:
            with suppress(OSError), os.scandir(directory) as entries:
                for entry in entries:
                    left -= 1
                    if left < 0:
                        return False
                    if is_folder(entry):
                        below.append(Path(entry.path))
                    elif not _is_hidden(entry.name) and _is_etl(Path(entry.path)):
                        return True
        level = below
    return False


def _is_etl(path: Path) -> bool:
    """Whether a file is one of the database's, or an archive that holds one, or a damaged one that should."""
    if path.suffix.lower() != ".zip":
        return file_of(path.name) is not None
    try:
        if _members(path) > _LOOKED_AT:
            return False
        with zipfile.ZipFile(path) as archive:
            names = [_split(name)[-1] for name in archive.namelist()]
    except (*_UNREADABLE_ZIP, OSError):
        return re.match("ETL[1-9]", path.name, re.IGNORECASE) is not None
    return any(not _is_hidden(name) and file_of(name) is not None for name in names)


def _members(path: Path) -> int:
    """How many members an archive says it has, at its end, 0 where that is gone: its whole directory may be long."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 65_557))
        _, found, end = file.read().rpartition(b"PK\5\6")
    return int.from_bytes(end[6:8], "little") if found else 0
