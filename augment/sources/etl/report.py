"""Notes on a scan for the user, one sentence each: incomplete copies, and what was skipped."""

from collections.abc import Mapping, Sequence

from ...shared.progress import counted
from .catalog import SETS, why_unrecognized
from .file_scan import FileScan, Task
from .places import Found, Place, split_path

_SHOWN = 10
"""Largest number of names, or of problems, in a list."""


def list_names(names: Sequence[str], separator: str = ", ") -> str:
    """Return the first names, and the number of further ones."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return separator.join(names[:_SHOWN]) + more


def list_bad(bad: list[tuple[str, str]]) -> str:
    """Return the first unusable items, one per line; empty if there are none."""
    return "\n  " + list_names([f"{where} {why}" for where, why in bad], "\n  ") if bad else ""


def place_notes(files: Mapping[tuple[str, int], list[Place]], places: Mapping[tuple[str, int], Place]) -> list[str]:
    """Describe files with the name of another set, and files that are read unpacked although an archive has them.

    `files` are all places of each file, by set and number; `places` the chosen ones.
    """
    renamed: dict[str, list[str]] = {}
    for (name, _), place in places.items():
        if f"ETL{name}" not in split_path(place.name)[-1].upper():
            renamed.setdefault(name, []).append(place.name)
    notes = [f"ETL{name} by its content: {list_names(names)}" for name, names in renamed.items()]
    both = [SETS[name].file_name(number) for name, number in places if len(files[name, number]) > 1]
    return [*notes, *([f"read unpacked, although an archive has them too: {list_names(both)}"] if both else [])]


def incomplete_copies(tasks: list[Task], scans: list[FileScan]) -> list[str]:
    """Describe files with another number of images than the official one, and sets with missing files."""
    notes, numbers = [], {task.etl_set.name: set[int]() for task in tasks}
    for task, scan in zip(tasks, scans, strict=True):
        numbers[task.etl_set.name].add(task.number)
        name, models = task.etl_set.file_name(task.number), task.etl_set.models.get(task.number, 0)
        if len(scan.code_index) != task.official_count and not scan.unreadable:
            notes.append(f"{name} holds {len(scan.code_index):,} of {task.official_count:,} records")
        if scan.num_models != models and not scan.unreadable:
            notes.append(f"{name} holds {scan.num_models:,} of {models:,} model images")
    for name, present in numbers.items():
        num_files = len(SETS[name].counts)
        missing = [SETS[name].file_name(number) for number in range(1, num_files + 1) if number not in present]
        if missing:
            notes.append(f"ETL{name} has {len(present)} of its {num_files} files; missing: {list_names(missing)}")
    return notes


def skipped(tasks: list[Task], scans: list[FileScan], found: Found) -> list[str]:
    """Describe skipped dummy records, model images, INFO texts and unrecognized files."""
    notes = []
    with_dummies = [task.etl_set for task, scan in zip(tasks, scans, strict=True) if scan.first]
    if with_dummies:
        names = " and ".join(dict.fromkeys(f"ETL{etl_set.name}" for etl_set in with_dummies))
        dummies = sum(etl_set.dummies for etl_set in with_dummies)
        notes.append(f"skipped {counted(dummies, 'dummy record')}, the first of each file of {names}")
    for task, scan in zip(tasks, scans, strict=True):
        if scan.num_models:
            name = task.etl_set.file_name(task.number)
            where = f"at the end of {name}" if task.official_count else f"in {name}"
            notes.append(f"skipped {counted(scan.num_models, 'model image')} {where}")
    if found.infos:
        notes.append(f"skipped {counted(len(found.infos), 'INFO text')}")
    if found.unrecognized:
        files = counted(len(found.unrecognized), "unrecognized file")
        notes.append(f"skipped {files}: {list_names(list(map(_explain, found.unrecognized)), '; ')}")
    return notes


def list_left_out(found: Found) -> str:
    """Return a line for each of the first files of a source that has no file of the database; empty if there are none.

    It lists unusable items, INFO texts and unrecognized files.
    """
    infos = [f"{name} is a description without images" for name in found.infos]
    bad = [f"{where} {why}" for where, why in found.bad]
    lines = [*bad, *map(_explain, found.unrecognized), *infos]
    return "\n  " + list_names(lines, "\n  ") if lines else ""


def _explain(name: str) -> str:
    return f"{name} {why_unrecognized(split_path(name)[-1])}"
