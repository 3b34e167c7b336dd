"""Paths of images in lists: made from a template, and found if they are written for another machine.

A path may have backslashes, lack the suffix, begin with folders of another machine, or leave out a folder.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from string import Formatter
from typing import Any

from ...errors import EpochbankError
from ...shared.closest import did_you_mean
from ...shared.progress import counted
from ..names import find_key, first_names
from ..paths import is_hidden, skip_reason

_MAX_FOLDERS = 1000
"""Folders in which a list's images are searched."""

_MAX_SEARCHES = 100
"""Maximum number of searches without a result; no search is made after these."""

_MAX_INDEXED = 1_000_000
"""Names of folders that are kept in memory to complete names without a suffix."""

_LIST_FOLDERS = {"annotations", "annotation", "labels", "lists", "meta", "metadata", "splits"}
"""Folders of lists, in lower case: the images are next to such a folder, not in it."""

_MAX_WIDTH = 255
"""Maximum width of a column in a template: longer names of files do not exist."""

_DRIVE = re.compile(r"[A-Za-z]:[/\\]")


class Template:
    """`images/{label}/{id:05d}.jpg`: a path made from the columns of a row."""

    def __init__(self, text: str, header: Sequence[str]):
        """Raise `EpochbankError` for a template that is invalid, or names a column that is not in `header`."""
        try:
            self._pieces = [(literal, name, spec or "") for literal, name, spec, _ in Formatter().parse(text)]
        except ValueError as error:
            raise _invalid_template(text, f"is invalid ({error}); expected columns in braces", header) from error
        self.columns: list[int] = []
        """Positions of the columns that the template names."""
        for _, name, spec in self._pieces:
            if name is not None:
                place = find_key(header, name)
                if place is None:
                    hint = did_you_mean(name, header)
                    raise _invalid_template(text, f"names the column {name!r}, which does not exist", header, hint)
                self.columns.append(place)
            if any(int(digits) > _MAX_WIDTH for digits in re.findall(r"\d+", spec)):
                raise _invalid_template(text, f"pads {name!r} by {spec!r}; expected at most {_MAX_WIDTH}", header)
        if not self.columns:
            raise _invalid_template(text, "names no column in braces", header)

    def path(self, row: Sequence[Any]) -> str:
        """Return the path of a row's image. Raises `ValueError` if a value does not fit the format of its column."""
        places, path = iter(self.columns), ""
        for literal, name, spec in self._pieces:
            path += literal
            if name is not None:
                value = row[next(places)]
                try:
                    path += format(int(value), spec) if spec else str(value)
                except ValueError as error:
                    raise ValueError(f"has {value!r} in the column {name!r}: {error}") from error
        return path


def _invalid_template(text: str, problem: str, header: Sequence[str], hint: str = "") -> EpochbankError:
    return EpochbankError(
        f"--path-template {text!r} {problem}; the columns are {first_names(header)}.{hint}", usage=True
    )


class PathFinder:
    """Finds the images of a list whose paths are relative to `folder`, or absolute. Earlier calls affect the result."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.found = False
        """Whether any image was found."""
        self._as_written = 0
        self._changes = Counter[str]()
        self._example: dict[str, str] = {}
        self._places: list[tuple[int, str, str]] = []
        """Places where images were found: number of leading folders left out, folder instead, and a description."""
        self._searches = _MAX_SEARCHES
        self._folders: list[str] | None = None
        self._names: dict[str, dict[str, str]] = {}

    def find(self, path: str) -> str:
        """Return the path where the image is, or `path` itself if it is not found."""
        if self._is_file(path):
            self._as_written += 1
            self.found = True
            return path
        slashed = path.replace("\\", "/")
        for place in self._places_of(slashed):
            moved = _move(slashed, *place[:2])
            completed = moved if self._is_file(moved) else self._complete(moved)
            if completed is not None:
                self._record(path, slashed, moved, completed, place)
                return completed
        return path

    def notes(self, name: str) -> list[str]:
        """Return a message for each way in which paths of the list `name` differ from those of the images."""
        return [
            f"{counted(count, 'path')} of {name} {what}, such as {self._example[what]!r}"
            for what, count in self._changes.items()
        ]

    def _places_of(self, path: str) -> Iterator[tuple[int, str, str]]:
        yield 0, "", ""
        yield from list(self._places)
        # If some images are where the list says, others are missing, not somewhere else.
        if self._as_written or not self._searches:
            return
        self._searches -= 1
        depth = len(PurePosixPath(path).parts)
        if path.startswith("/") or _DRIVE.match(path):
            yield from ((count, "", "begin with folders that do not exist here") for count in range(1, depth))
        else:
            for parent in self.folder.parents if "/" in path else ():
                yield 0, str(parent), f"are relative to {parent}, not to the folder of the list"
            yield from self._below(path)

    def _below(self, path: str) -> Iterator[tuple[int, str, str]]:
        """Yield the only folder below that of the list that has the image."""
        if self._folders is None:
            self._folders = list(islice(_folders_near(self.folder), _MAX_FOLDERS))
        having = []
        for folder in self._folders:
            moved = _move(path, 0, folder)
            if self._is_file(moved) or self._complete(moved) is not None:
                having.append(folder)
        if len(having) == 1:
            yield 0, having[0], f"leave out the folder {having[0]}/"

    def _record(self, path: str, slashed: str, moved: str, completed: str, place: tuple[int, str, str]) -> None:
        self.found, self._searches = True, _MAX_SEARCHES
        if place[2] and place not in self._places:
            self._places.append(place)
        if slashed != path:
            self._note("have backslashes, which were read as slashes", path)
        if completed != moved:
            self._note("lack the suffix of their image, the only one of that name", path)
        if place[2]:
            self._note(place[2], path)

    def _note(self, what: str, path: str) -> None:
        self._changes[what] += 1
        self._example.setdefault(what, path)

    def _is_file(self, path: str) -> bool:
        return os.path.isfile(os.path.join(self.folder, path))  # noqa: PTH113, PTH118  strings are faster

    def _complete(self, path: str) -> str | None:
        """Return `path` with the suffix of the only image of that name; None if there is none, or several."""
        folder, slash, name = path.rpartition("/")
        if not name or not skip_reason(os.fsencode(name)):
            return None
        if folder not in self._names:
            if sum(map(len, self._names.values())) > _MAX_INDEXED:
                self._names.clear()
            self._names[folder] = _images_by_stem(os.path.join(self.folder, folder + slash))  # noqa: PTH118
        completed = self._names[folder].get(name)
        return folder + slash + completed if completed else None


def _move(path: str, left_out: int, folder: str) -> str:
    """Return `path` without its first folders, in another folder."""
    parts = PurePosixPath(path).parts[left_out:] if left_out else ()
    rest = "/".join(parts) if left_out else path
    return f"{folder}/{rest}" if folder else rest


def _images_by_stem(folder: str) -> dict[str, str]:
    """Return the name of the only image of each stem in a folder; an empty name if there are several."""
    names = defaultdict[str, list[str]](list)
    try:
        for name in os.listdir(folder):  # noqa: PTH208  names only
            if not skip_reason(os.fsencode(name)):
                names[name.rpartition(".")[0]].append(name)
    except (OSError, ValueError):
        return {}
    return {stem: found[0] if len(found) == 1 else "" for stem, found in names.items()}


def _folders_near(folder: Path) -> Iterator[str]:
    """Yield the folders below that of a list, relative to it; and those beside it, if its name is one for lists."""
    yield from _folders_below(folder, "")
    if folder.name.lower() in _LIST_FOLDERS:
        yield from (name for name in _folders_below(folder.parent, "..") if name != f"../{folder.name}")


def _folders_below(root: Path, prefix: str) -> Iterator[str]:
    """Yield the folders below `root`, each after its own parent, with `prefix` in front."""
    level = [prefix]
    while level:
        below = []
        for one in level:
            try:
                with os.scandir(root / one.removeprefix(prefix).lstrip("/")) as entries:
                    names = sorted(
                        entry.name
                        for entry in entries
                        if entry.is_dir(follow_symlinks=False) and not is_hidden(os.fsencode(entry.name))
                    )
            except OSError:
                continue
            below += [f"{one}/{name}" if one else name for name in names]
        yield from below
        level = below
