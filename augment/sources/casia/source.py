"""CASIA-HWDB as a source: offline characters of known writers, in `.gnt` files as distributed."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import EpochbankError
from ...shared.progress import Progress, counted, size
from ...shared.workers import on_all_cores
from ..base import Scan, SourceOptions
from ..etl.archives import Unreadable, locate, needs_extraction
from ..etl.characters import GROUPS, parse_characters
from ..etl.places import Place
from ..folders.classes import first_few
from .collect import Collector, FileScan
from .places import Found, find_files, holds_gnt, split_of, writer_of
from .samples import SAMPLE, as_table, read_samples

__all__ = ["GntSource", "holds_gnt"]

_UNUSABLE = {
    ".pot": "online handwriting, which holds the path of the pen and no images; download the offline .gnt files",
    ".alz": "archives that Python cannot read; unpack them",
}
_LISTED = 20


@dataclass(frozen=True)
class _Task:
    """A file to scan."""

    place: Place
    extracted: Path
    """Where to extract the file to, if needed."""


class GntSource:
    """A directory with `.gnt` files or .zip archives of them, or a single file or archive."""

    def __init__(self, path: Path, name: str, options: SourceOptions):
        self.path, self.name, self.options = path, name, options
        self.wanted = parse_characters(options.characters)

    def identity(self) -> Any:
        """Return the path, and the relative path, size and modification time of each file and archive."""
        return ["gnt", str(self.path.resolve()), find_files(self.path).identity(self.path)]

    def scan(self, workspace: Path, jobs: int = 1) -> Scan:
        """Read the headers of all samples with `jobs` processes; compressed members are extracted to `workspace`.

        The class is the character, the group the writer. Raises `EpochbankError` if no image can be used, or if the
        disk has too little space.
        """
        found = find_files(self.path)
        if not found.files:
            raise EpochbankError(f"{self.path} holds no .gnt files{_instead(found)}.")
        _check_space(found.files, workspace)
        tasks = [_Task(place, workspace / f"gnt-{number}") for number, place in enumerate(found.files)]
        collector = Collector(self.wanted, workspace, list(found.bad))
        with collector, Progress("scan", len(tasks), "files") as progress:
            for task, file_scan in _in_order(tasks, jobs):
                collector.add(task.place, file_scan)
                progress.advance(1)
        labels, class_names = collector.labels()
        if not len(labels):
            raise EpochbankError(self._no_images(collector.bad))
        groups, group_names, notes = _groups(found.files, collector.counts)
        splits, split_notes = _splits(found.files, collector.counts, self.options.split == "source")
        return Scan(
            reader=collector.reader,
            labels=labels,
            class_names=class_names,
            groups=groups,
            group_names=group_names,
            channels=1,
            splits=splits,
            light=True,
            bad=collector.bad,
            notes=[*split_notes, *notes, *self._notes(found, collector)],
        )

    def _notes(self, found: Found, collector: "Collector") -> Iterator[str]:
        if found.repeated:
            yield f"skipped {counted(found.repeated, '.gnt file')} with the name and size of another one"
        for suffix, what in _UNUSABLE.items():
            if found.others[suffix]:
                yield f"skipped {counted(found.others[suffix], f'{suffix} file')}: {what}"
        if collector.num_unwanted:
            yield f"skipped {collector.num_unwanted:,} images of characters that --characters does not select"
        absent = sorted(self.wanted.characters - collector.characters)
        if absent:
            yield f"characters of --characters that do not occur: {first_few(absent)}"

    def _no_images(self, bad: list[tuple[str, str]]) -> str:
        listed = "".join(f"\n  {where} {reason}" for where, reason in bad[:_LISTED])
        if self.options.characters is None:
            return f"{self.path} holds no image that can be used.{listed}"
        return (
            f"{self.path} has no image of --characters {self.options.characters}; expected {', '.join(GROUPS)}, all, "
            f"or characters that occur.{listed}"
        )


def _scan_file(task: _Task) -> FileScan:
    """Read the headers of a file. Problems of the file are listed in the result."""
    try:
        path, start = locate(task.place, task.extracted)
        with open(path, "rb") as file:
            samples = read_samples(file.fileno(), start, task.place.size)
    except Unreadable as error:
        task.extracted.unlink(missing_ok=True)
        return FileScan(task.place.path, np.zeros(0, SAMPLE), [(None, str(error))])
    if not task.place.size:
        samples.bad.append((None, "is empty; expected samples"))
    table = as_table(samples)
    table["offset"] += np.uint64(start)
    return FileScan(path, table, samples.bad)


def _in_order(tasks: list[_Task], jobs: int) -> Iterator[tuple[_Task, FileScan]]:
    """Scan the files on all cores, and yield the results in the order of the tasks."""
    waiting: dict[int, FileScan] = {}
    following = 0
    for number, scan in on_all_cores(_scan_file, tasks, len(tasks), jobs):
        waiting[number] = scan
        while following in waiting:
            yield tasks[following], waiting.pop(following)
            following += 1


def _groups(files: list[Place], counts: list[int]) -> tuple[np.ndarray | None, list[str] | None, list[str]]:
    """Return the group of each image, int32 (N,), the names of the groups, and notes."""
    writers = [writer_of(place) for place in files]
    unknown = [place.name for place, writer in zip(files, writers, strict=True) if writer is None]
    if len(unknown) == len(files):
        note = f"no groups, because the file names are not writer numbers: {first_few(unknown)}"
        return None, None, [note]
    names = [writer or place.name for place, writer in zip(files, writers, strict=True)]
    notes = [f"files whose names are not writer numbers form one group each: {first_few(unknown)}"]
    distinct, index = np.unique(names, return_inverse=True)
    return np.repeat(index.astype(np.int32), counts), [str(name) for name in distinct], notes if unknown else []


def _splits(files: list[Place], counts: list[int], use: bool) -> tuple[np.ndarray | None, list[str]]:
    """Return the split of each image, int8 (N,), if folders, archives or files name different ones; and notes."""
    splits = [split_of(place) for place in files]
    if len({split for split in splits if split is not None}) < 2:
        return None, []
    if not use:
        return None, ["ignoring the splits in the names of folders and files, because of --split fractions"]
    unnamed = [place.name for place, split in zip(files, splits, strict=True) if split is None]
    notes = ["using the splits in the names of folders and files"]
    if unnamed:
        notes.append(f"files without a split: {first_few(unnamed)}")
    of_file = np.array([-1 if split is None else split for split in splits], np.int8)
    return np.repeat(of_file, counts), notes


def _check_space(files: list[Place], workspace: Path) -> None:
    """Raise `EpochbankError` if the files that need extraction do not fit on the disk of `workspace`."""
    needed, free = sum(place.size for place in files if needs_extraction(place)), shutil.disk_usage(workspace).free
    if needed > free:
        raise EpochbankError(
            f"unpacking the archives during the import takes {size(needed)}, but {workspace.parent} has {size(free)} "
            "left. Free space, choose another directory, or unpack the archives and use that directory as SOURCE."
        )


def _instead(found: Found) -> str:
    """Describe what a source without `.gnt` files holds instead."""
    for suffix, what in _UNUSABLE.items():
        if found.others[suffix]:
            return f", only {counted(found.others[suffix], f'{suffix} file')}: {what}"
    return "".join(f"\n  {where} {reason}" for where, reason in found.bad) or "; expected files such as 1001-c.gnt"
