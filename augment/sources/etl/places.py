"""Finds the files of the ETL Character Database: in a directory, nested to any depth, and in .zip archives."""

import os
import re
import stat
import struct
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..folders.tree import is_folder
from ..paths import printable
from .catalog import PRINTED, TABLE, file_of, has_etl_prefix, is_foreign, is_info

UNREADABLE_ZIP = (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, struct.error)
"""Exceptions raised for a damaged .zip, in addition to `OSError`."""


@dataclass(frozen=True)
class Place:
    """Where a file is: on disk, or in an archive."""

    name: str
    """Path relative to the source, for messages; '/' also leads into an archive."""
    path: Path
    """The file on disk: the file itself, or the archive."""
    size: int
    """Uncompressed size in bytes."""
    member: zipfile.ZipInfo | None = None
    """The member of the archive."""


@dataclass
class Found:
    """Contents of a source."""

    files: dict[tuple[str, int], list[Place]] = field(default_factory=dict)
    """Places of each file of the database, by set and number according to its name."""
    tables: list[Place] = field(default_factory=list)
    """Places of `euc_co59.dat`: in the source, or else in its parent directory."""
    archives: list[Path] = field(default_factory=list)
    infos: list[str] = field(default_factory=list)
    """INFO texts."""
    unrecognized: list[str] = field(default_factory=list)
    """Other files whose name, folder or archive begins with ETL and a digit, and archives in archives."""
    bad: list[tuple[str, str]] = field(default_factory=list)
    """Folders and files that cannot be read: (path, reason)."""

    def identity(self, root: Path) -> list[list[Any]]:
        """Return path relative to `root`, size and modification time of each relevant file, sorted by path."""
        places = [*self.tables, *(place for places in self.files.values() for place in places)]
        paths = {place.path for place in places if place.member is None} | set(self.archives)
        identities = []
        for path in sorted(paths):
            status = path.stat()
            identities.append([os.path.relpath(path, root), status.st_size, status.st_mtime_ns])
        return identities

    def add(self, place: Place) -> None:
        """Classify a file by its name. Files that are not related to the database are ignored."""
        *parents, name = split_path(place.name)
        known = file_of(name)
        if known is not None:
            self.files.setdefault(known, []).append(place)
        elif name.lower() == TABLE:
            self.tables.append(place)
        elif is_info(name):
            self.infos.append(place.name)
        elif (
            has_etl_prefix(name)
            or name.lower().endswith(".zip")
            or (any(map(has_etl_prefix, parents)) and not is_foreign(name))
        ):
            self.unrecognized.append(place.name)


def find_files(root: Path) -> Found:
    """Find everything of the database in `root`: a directory, an archive, or a file of the database."""
    found = Found()
    for name, path in [("", root)] if root.is_file() else _walk(root, "", (), found):
        if path.suffix.lower() == ".zip":
            found.archives.append(path)
            _add_members(path, name, found)
            continue
        try:
            status = path.stat()
        except OSError as error:
            if file_of(path.name) is not None:
                found.bad.append((name, f"cannot be read: {error.strerror}"))
            continue
        if stat.S_ISREG(status.st_mode):
            found.add(Place(name or path.name, path, status.st_size))
    if not found.tables and any(name == PRINTED for name, _ in found.files):
        found.tables.extend(_tables_in_parent(root))
    return found


def _tables_in_parent(root: Path) -> list[Place]:
    """Return the tables in the directory that holds the source; none if it cannot be listed."""
    with suppress(OSError):
        paths = [path for path in root.parent.iterdir() if path.name.lower() == TABLE]
        return [Place(f"../{path.name}", path, path.stat().st_size) for path in paths]
    return []


def _walk(directory: Path, prefix: str, above: tuple[tuple[int, int], ...], found: Found) -> Iterator[tuple[str, Path]]:
    """Yield all files that are not hidden, sorted by name. `above` are the directories that links must not lead to."""
    try:
        status = directory.stat()
        with os.scandir(directory) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        found.bad.append((prefix or str(directory), f"cannot be listed: {error.strerror}"))
        return
    here = (status.st_dev, status.st_ino)
    for entry in listed if here not in above else ():
        if is_hidden(entry.name):
            continue
        if is_folder(entry):
            below = f"{prefix}{printable(os.fsencode(entry.name))}/"
            yield from _walk(Path(entry.path), below, (*above, here), found)
        else:
            yield prefix + printable(os.fsencode(entry.name)), Path(entry.path)


def _add_members(path: Path, name: str, found: Found) -> None:
    """Add the members of an archive. `name` is its path relative to the source; empty if it is the source."""
    try:
        members = visible_members(path)
    except (*UNREADABLE_ZIP, OSError) as error:
        found.bad.append((name or path.name, f"cannot be read as .zip: {error}"))
        return
    for member in members:
        inside = member.filename if not name else f"{name}/{member.filename}"
        found.add(Place(inside, path, member.file_size, member))


def visible_members(path: Path) -> list[zipfile.ZipInfo]:
    """Return the files of an archive that are not hidden, sorted by name.

    Raises `OSError` or one of `UNREADABLE_ZIP` if it cannot be read.
    """
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.filename.endswith("/")]
    shown = [member for member in members if not any(map(is_hidden, split_path(member.filename)))]
    return sorted(shown, key=lambda member: member.filename)


def split_path(path: str) -> list[str]:
    """Return folders and name; archives made on Windows may contain backslashes."""
    return re.split(r"[/\\]", path)


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is hidden, or belongs to the system that made an archive."""
    return name.startswith(".") or name == "__MACOSX"
