"""Finds `.gnt` files in a directory, nested to any depth, and in .zip archives; their writers and splits."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..etl.places import UNREADABLE_ZIP, Place, is_hidden, split_path, visible_members
from ..paths import printable
from ..peek import first_files
from ..split_words import split_in

_WRITER = re.compile(r"([A-Za-z]?\d{3,4})(-[A-Za-z]+)*\.gnt", re.IGNORECASE)
"""Names of the files as distributed: `001-f.gnt`, `1001-c.gnt`, and `C001-f.gnt` of the competitions."""

_MOST_ARCHIVES = 10
"""Maximum number of archives of a folder that are opened to recognize it."""


@dataclass
class Found:
    """Contents of a source."""

    files: list[Place] = field(default_factory=list)
    archives: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    """Number of other files, by suffix."""
    repeated: int = 0
    """Number of files that repeat another one: the same name and the same size."""
    bad: list[tuple[str, str]] = field(default_factory=list)
    """Archives and folders that cannot be read: (path, reason)."""

    def identity(self, root: Path) -> list[list[Any]]:
        """Return path relative to `root`, size and modification time of each file on disk, sorted by path."""
        paths = {place.path for place in self.files if place.member is None} | set(self.archives)
        found = []
        for path in sorted(paths):
            status = path.stat()
            found.append([os.path.relpath(path, root), status.st_size, status.st_mtime_ns])
        return found


def holds_gnt(path: Path) -> bool:
    """Return whether a path is, or holds, files of CASIA's databases or archives of them, by the first names in it."""
    if not path.is_dir():
        return _is_gnt(path.name) or (_is_zip(path.name) and any(map(_is_gnt, first_files(path))))
    names = first_files(path)
    archives = [name for name in names if _is_zip(name)][:_MOST_ARCHIVES]
    return any(map(_is_gnt, names)) or any(holds_gnt(path / name) for name in archives)


def _is_gnt(name: str) -> bool:
    return name.lower().endswith((".gnt", ".pot"))


def _is_zip(name: str) -> bool:
    return name.lower().endswith(".zip")


def find_files(root: Path) -> Found:
    """Find the `.gnt` files in `root`: a directory, an archive or one such file. They are sorted by path."""
    found = Found()
    for name, path in [("", root)] if root.is_file() else _walk(root, found):
        if path.suffix.lower() == ".zip":
            found.archives.append(path)
            _add_members(path, name, found)
        else:
            try:
                _add(found, Place(name or path.name, path, path.stat().st_size))
            except OSError as error:
                found.bad.append((name or path.name, f"cannot be read: {error.strerror}"))
    _remove_repeated(found)
    return found


def writer_of(place: Place) -> str | None:
    """Return the number of the writer of a file, such as `1001`, by its name; None for other names."""
    match = _WRITER.fullmatch(split_path(place.name)[-1])
    return match[1] if match else None


def split_of(place: Place) -> int | None:
    """Return the split that the path of a file names, or None: the name nearest to the file counts."""
    named = (split_in(name) for name in reversed(split_path(place.name)))
    return next((split for split in named if split is not None), None)


def _walk(root: Path, found: Found) -> Iterator[tuple[str, Path]]:
    """Yield path relative to `root` and path of each file that is not hidden, sorted by path."""

    def unreadable(error: OSError) -> None:
        found.bad.append((os.path.relpath(error.filename, root), f"cannot be listed: {error.strerror}"))

    for folder, below, files in os.walk(root, onerror=unreadable):
        below[:] = sorted(name for name in below if not is_hidden(name))
        for name in sorted(files):
            if not is_hidden(name):
                path = Path(folder, name)
                yield printable(os.fsencode(path.relative_to(root))), path


def _add_members(path: Path, name: str, found: Found) -> None:
    try:
        members = visible_members(path)
    except (*UNREADABLE_ZIP, OSError) as error:
        found.bad.append((name or path.name, f"cannot be read as .zip: {error}"))
        return
    for member in members:
        inside = printable(member.filename.encode("utf-8", "surrogateescape"))
        _add(found, Place(f"{name}/{inside}" if name else inside, path, member.file_size, member))


def _add(found: Found, place: Place) -> None:
    suffix = Path(place.name).suffix.lower()
    if suffix == ".gnt":
        found.files.append(place)
    else:
        found.others[suffix or "without a suffix"] += 1


def _remove_repeated(found: Found) -> None:
    """Leave out files that repeat another one, as after unpacking an archive; the unpacked one is used."""
    kept: dict[tuple[str, int], Place] = {}
    for place in sorted(found.files, key=lambda place: place.member is not None):
        kept.setdefault((split_path(place.name)[-1].lower(), place.size), place)
    found.repeated = len(found.files) - len(kept)
    found.files = sorted(kept.values(), key=lambda place: place.name)
