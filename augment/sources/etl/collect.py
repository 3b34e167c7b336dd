"""Combines the scans of all files into labels, groups and the location of every image."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..base import Scan
from ..names import ranks
from .catalog import TABLE
from .characters import CharacterFilter, Decoder
from .file_scan import FileScan, Task
from .groups import Groups
from .reader import EtlReader, File

_NO_CHARACTER, _NOT_WANTED, _UNLABELED = -1, -2, -3


class ScanCollector:
    """Collects the wanted images, in the order in which files are added."""

    def __init__(self, wanted: CharacterFilter, bad: list[tuple[str, str]]):
        self.wanted = wanted
        self.bad = list(bad)
        """Unusable items: (origin, reason). Begins with those that are known already."""
        self.found: set[str] = set()
        """Characters that occur, wanted or not."""
        self.num_unwanted = 0
        """Number of images of characters that are not wanted."""
        self.num_unlabeled: Counter[tuple[str, str]] = Counter()
        """Number of images that have no character although they are undamaged, by set and description."""
        self._classes: dict[str, int] = {}
        self._group_numbers: dict[str, int] = {}
        self._files: list[File] = []
        self._labels, self._groups = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
        self._file, self._record = [np.zeros(0, np.uint16)], [np.zeros(0, np.uint32)]

    def add(self, task: Task, scan: FileScan, groups: Groups, decoder: Decoder) -> None:
        """Add the images of a file."""
        labels = np.array([self._label(decoder, code) for code in scan.codes], np.int32)[scan.code_index]
        has_group = np.array([name is not None for name in groups.names], bool)[groups.index]
        self.num_unwanted += int((labels == _NOT_WANTED).sum())
        self._count_unlabeled(task, scan, decoder.unlabeled)
        for row in np.flatnonzero((labels == _NO_CHARACTER) | ~has_group & (labels >= 0)).tolist():
            reason = (
                f"has {_describe_code(task, scan.codes[scan.code_index[row]])}"
                if labels[row] == _NO_CHARACTER
                else "has the sheet number 0, which gives no group; expected a number from 1"
            )
            self.bad.append((f"{task.place.name}, record {scan.first + row}", reason))
        for record, reason in scan.bad:
            self.bad.append((task.place.name + ("" if record is None else f", record {record}"), reason))
        rows = np.flatnonzero(has_group & (labels >= 0))
        used, group_index = np.unique(groups.index[rows], return_inverse=True)
        names = [str(groups.names[number]) for number in used.tolist()]
        numbers = [self._group_numbers.setdefault(name, len(self._group_numbers)) for name in names]
        self._labels.append(labels[rows])
        self._groups.append(np.array(numbers, np.int32)[group_index])
        self._file.append(np.full(len(rows), len(self._files), np.uint16))
        self._record.append((rows + scan.first).astype(np.uint32))
        self._files.append(File(scan.path, scan.offset, task.etl_set.record, task.place.name))

    def _label(self, decoder: Decoder, code: int) -> int:
        if code in decoder.unlabeled:
            return _UNLABELED
        character = decoder.character_of(code)
        if character is None:
            return _NO_CHARACTER
        self.found.add(character)
        return (
            self._classes.setdefault(character, len(self._classes)) if self.wanted.accepts(character) else _NOT_WANTED
        )

    def _count_unlabeled(self, task: Task, scan: FileScan, unlabeled: Mapping[int, str]) -> None:
        counts = np.bincount(scan.code_index, minlength=len(scan.codes)).tolist()
        for code, count in zip(scan.codes, counts, strict=True):
            if code in unlabeled:
                self.num_unlabeled[f"ETL{task.etl_set.name}", unlabeled[code]] += count

    def scan(self, workspace: Path, notes: list[str]) -> Scan:
        """Return the scan of all files, with `notes`. Writes the location of each image to `workspace`."""
        names = sorted(self._classes)
        file, record = np.concatenate(self._file), np.concatenate(self._record)
        return Scan(
            reader=EtlReader.write(workspace, self._files, file, record),
            labels=ranks(names, self._classes)[np.concatenate(self._labels)],
            class_names=names,
            groups=np.concatenate(self._groups),
            group_names=list(self._group_numbers),
            channels=1,
            light=False,
            bad=self.bad,
            notes=notes,
        )


def _describe_code(task: Task, code: int) -> str:
    """Describe a code that has no character."""
    if task.etl_set.code == "co59":
        return f"the CO-59 code {code // 64},{code % 64}, which has no character in {TABLE}"
    standard, digits = ("JIS X 0201", 2) if task.etl_set.code == "jis0201" else ("JIS X 0208", 4)
    return f"the code 0x{code:0{digits}X}, which has no character in {standard}"
