"""Flat folders: images without class folders, whose classes are in a list in the folder or beside it."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from ...errors import EpochbankError
from ..base import Scan, Source
from ..paths import skip_reason
from .annotations import is_annotations

_MAX_ENTRIES = 2000
_MAX_LINES = 20
"""Lines of a list, and entries of a folder, that are looked at."""

_SUFFIXES = (".csv", ".tsv", ".jsonl")
_SEPARATORS = re.compile(r'[,;\t|"{}\[\]]+|: ')
_MAX_FIELDS = 50
"""Fields of a line; a line of pixels has more."""


class ListedFolder:
    """The source of a list, used for a folder. `note` says so."""

    def __init__(self, source: Source, note: str):
        self.source, self.note, self.name = source, note, source.name

    def identity(self) -> Any:
        """Return the identity of the list."""
        return self.source.identity()

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Return the scan of the list, with a note that it was used."""
        scan = self.source.scan(workspace, jobs)
        return replace(scan, notes=[self.note, *scan.notes])


def list_of(folder: Path, template: str | None) -> Path | None:
    """Return the list that names the images that lie directly in `folder`; None for other folders, or without a list.

    The list is in the folder or beside it. `template` is that of `--path-template`. Raises `EpochbankError` if several
    lists fit.
    """
    images = _some_images(folder)
    if not images:
        return None
    lists = list(_lists_near(folder))
    if template is not None:
        found = [path for path in lists if _fields(template) <= set(_header(path))]
    else:
        suffixes = {Path(name).suffix for name in images}
        found = [path for path in lists if _names_images(path, folder, {""})]
        found = found or [path for path in lists if _names_images(path, folder, suffixes)]
    if len(found) > 1:
        listed = ", ".join(str(path) for path in found)
        raise EpochbankError(
            f"the images of {folder} are in several lists: {listed}; expected one. Use the right list as SOURCE.",
            usage=True,
        )
    return found[0] if found else None


def _some_images(folder: Path) -> list[str]:
    """Return the first names of images that lie directly in a folder."""
    names: list[str] = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in islice(entries, _MAX_ENTRIES):
            if not skip_reason(os.fsencode(entry.name)) and entry.is_file():
                names.append(entry.name)
    return names


def _lists_near(folder: Path) -> Iterator[Path]:
    """Yield the lists in a folder, and those among the first entries of the folder above it."""
    for place, most in ((folder, None), (folder.resolve().parent, _MAX_ENTRIES)):
        with suppress(OSError), os.scandir(place) as entries:
            names = sorted(entry.name for entry in islice(entries, most) if _is_list(entry.name))
            yield from (place / name for name in names if (place / name).is_file())


def _is_list(name: str) -> bool:
    return not name.startswith(".") and (name.lower().endswith(_SUFFIXES) or is_annotations(os.fsencode(name)))


def _fields(template: str) -> set[str]:
    """Return the columns of a template: `{id:03}` has the column `id`."""
    return {field.partition(":")[0] for field in re.findall(r"\{([^{}]+)\}", template)}


def _header(path: Path) -> list[str]:
    return [field.strip() for line in _first_lines(path)[:1] for field in _SEPARATORS.split(line)]


def _first_lines(path: Path) -> list[str]:
    """Return the first lines of a list that are not blank; none if it cannot be read."""
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            return [line for line in islice(file, _MAX_LINES + 1) if line.strip()]
    except OSError:
        return []


def _names_images(path: Path, folder: Path, suffixes: set[str]) -> bool:
    """Return whether most lines of a list name an image of the folder, by its name without one of `suffixes`."""
    lines = _first_lines(path)
    count = sum(_names_image(line, folder, suffixes) for line in lines)
    return count > 0 and count >= len(lines) - 1 - len(lines) // 4  # without the header, and some missing images


def _names_image(line: str, folder: Path, suffixes: set[str]) -> bool:
    fields = _SEPARATORS.split(line)
    if len(fields) > _MAX_FIELDS:
        return False
    names = [re.split(r"[/\\]", field.strip())[-1] for field in fields]
    with suppress(OSError, ValueError):  # Names that are too long, or contain NUL.
        return any(name and (folder / f"{name}{suffix}").is_file() for name in names for suffix in suffixes)
    return False
