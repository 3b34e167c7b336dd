"""The first names in a folder or an archive, by which the kind of a source is recognized."""

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from ..errors import EpochbankError
from .archive import find_archive
from .folders.tree import is_folder
from .paths import is_hidden

_MAX_NAMES = 2000
"""Entries that are looked at: a folder of IDX or .gnt files has few."""

_MAX_LEVELS = 4


def first_files(path: Path) -> list[str]:
    """Return paths below a folder, or in a .zip archive, of the first files that are not hidden, with '/'.

    At most 2,000 entries on four levels of folders are listed, level by level. What cannot be read is left out.
    """
    if path.is_dir():
        return list(_in_folder(path))
    with suppress(OSError, EpochbankError):
        entries = islice(find_archive(path).entries(), _MAX_NAMES)
        return [
            entry.name
            for _, entry in entries
            if not entry.name.endswith("/") and not any(is_hidden(name.encode()) for name in entry.name.split("/"))
        ]
    return []


def _in_folder(root: Path) -> Iterator[str]:
    left, level = _MAX_NAMES, [""]
    for _ in range(_MAX_LEVELS):
        below: list[str] = []
        for folder in level:
            with suppress(OSError), os.scandir(root / folder) as entries:
                for entry in entries:
                    left -= 1
                    if left < 0:
                        return
                    if is_hidden(os.fsencode(entry.name)):
                        continue
                    if is_folder(entry):
                        below.append(f"{folder}{entry.name}/")
                    else:
                        yield folder + entry.name
        level = sorted(below)
