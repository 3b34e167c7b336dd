"""From what each file holds to the labels, groups and places of all pictures, file by file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..base import Scan
from ..names import ranks
from .catalog import TABLE
from .characters import Picked
from .file_scan import Harvest, Task
from .reader import EtlReader, File

_UNKNOWN, _UNWANTED = -1, -2


class Gathering:
    """Collects pictures that are `picked`, in the order in which files are added."""

    def __init__(self, picked: Picked, bad: list[tuple[str, str]]):
        self.picked = picked
        self.bad = list(bad)
        """What cannot be used: where, and why; at first what is known already."""
        self.met: set[str] = set()
        """Characters that occur, picked or not."""
        self.unwanted = 0
        """Pictures of characters that are not picked."""
        self._classes: dict[str, int] = {}
        self._groups: dict[str, int] = {}
        self._files: list[File] = []
        self._labels, self._members = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
        self._file, self._record = [np.zeros(0, np.uint16)], [np.zeros(0, np.uint32)]

    def add(self, task: Task, found: Harvest, character_of: Callable[[int], str | None]) -> None:
        """The pictures of a file; `character_of` a code is None where it has none."""
        labels = np.array([self._label(character_of(code)) for code in found.codes], np.int32)[found.code]
        known = np.array([hand is not None for hand in found.hands], bool)[found.hand]
        self.unwanted += int((labels == _UNWANTED).sum())
        for row in np.flatnonzero((labels == _UNKNOWN) | ~known & (labels >= 0)).tolist():
            fault = (
                f"has {_code(task, found.codes[found.code[row]])}"
                if labels[row] == _UNKNOWN
                else "has the sheet number 0; expected one from 1, which tells its group"
            )
            self.bad.append((f"{task.place.shown}, record {found.first + row}", fault))
        for record, fault in found.bad:
            self.bad.append((task.place.shown + ("" if record is None else f", record {record}"), fault))
        rows = np.flatnonzero(known & (labels >= 0))
        used, hand = np.unique(found.hand[rows], return_inverse=True)
        names = [str(found.hands[number]) for number in used.tolist()]
        groups = [self._groups.setdefault(name, len(self._groups)) for name in names]
        self._labels.append(labels[rows])
        self._members.append(np.array(groups, np.int32)[hand])
        self._file.append(np.full(len(rows), len(self._files), np.uint16))
        self._record.append((rows + found.first).astype(np.uint32))
        self._files.append(File(found.path, found.offset, task.etl_set.record, task.place.shown))

    def _label(self, character: str | None) -> int:
        if character is None:
            return _UNKNOWN
        self.met.add(character)
        return self._classes.setdefault(character, len(self._classes)) if self.picked.takes(character) else _UNWANTED

    def scan(self, workspace: Path, notes: list[str]) -> Scan:
        """All that was added, with `notes`; the places of pictures are written into `workspace`."""
        names = sorted(self._classes)
        file, record = np.concatenate(self._file), np.concatenate(self._record)
        return Scan(
            reader=EtlReader.write(workspace, self._files, file, record),
            labels=ranks(names, self._classes)[np.concatenate(self._labels)],
            class_names=names,
            groups=np.concatenate(self._members),
            group_names=list(self._groups),
            channels=1,
            bad=self.bad,
            notes=notes,
        )


def _code(task: Task, code: int) -> str:
    """An unknown code, in words."""
    if task.etl_set.code == "co59":
        return f"the CO-59 code {code // 64},{code % 64}, for which {TABLE} has no character"
    standard, digits = ("JIS X 0201", 2) if task.etl_set.code == "jis0201" else ("JIS X 0208", 4)
    return f"the code 0x{code:0{digits}X}, for which {standard} has no character"
