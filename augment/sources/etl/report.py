"""What people should know of a scan: copies that are not whole, and what was left out. One sentence each."""

from collections.abc import Sequence

from .catalog import SETS
from .file_scan import Harvest, Task
from .places import Found

_SHOWN = 10
"""Most names, or faults, that are listed."""


def listed(names: Sequence[str], separator: str = ", ") -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return separator.join(names[:_SHOWN]) + more


def faults(bad: list[tuple[str, str]]) -> str:
    """The first things that cannot be used, a line each; empty where there are none."""
    return "\n  " + listed([f"{where} {why}" for where, why in bad], "\n  ") if bad else ""


def partial_copies(tasks: list[Task], harvests: list[Harvest]) -> list[str]:
    """Files that hold more or fewer pictures than officially, and sets of which files are missing."""
    notes, numbers = [], {task.etl_set.name: set[int]() for task in tasks}
    for task, found in zip(tasks, harvests, strict=True):
        numbers[task.etl_set.name].add(task.number)
        if len(found.code) != task.official and not found.unreadable:
            name = task.etl_set.file_name(task.number)
            notes.append(f"{name} holds {len(found.code):,} of {task.official:,} records")
    for name, there in numbers.items():
        files = len(SETS[name].counts)
        missing = [SETS[name].file_name(number) for number in range(1, files + 1) if number not in there]
        if missing:
            notes.append(f"ETL{name} has {len(there)} of its {files} files; missing: {listed(missing)}")
    return notes


_PACKED = (".zip", ".7z", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".rar", ".lzh")


def left_out(tasks: list[Task], harvests: list[Harvest], found: Found) -> list[str]:
    """Dummies, model pictures, texts, and files whose names are not understood."""
    notes = []
    with_dummies = [task.etl_set for task, one in zip(tasks, harvests, strict=True) if one.first]
    if with_dummies:
        names = " and ".join(dict.fromkeys(f"ETL{etl_set.name}" for etl_set in with_dummies))
        dummies = sum(etl_set.dummies for etl_set in with_dummies)
        notes.append(f"{_count(dummies, 'dummy', 'dummies')} left out, the first record of each file of {names}")
    for task, one in zip(tasks, harvests, strict=True):
        if one.models:
            name = task.etl_set.file_name(task.number)
            notes.append(f"{_count(one.models, 'model picture', 'model pictures')} at the end of {name} left out")
    if found.infos:
        notes.append(f"{_count(found.infos, 'INFO text', 'INFO texts')} left out")
    if found.strange:
        count = _count(len(found.strange), "file whose name is", "files whose names are")
        packed = any(name.lower().endswith(_PACKED) for name in found.strange)
        unpack = "; unpack archives that are none of .zip, or lie in one" if packed else ""
        notes.append(f"{count} not understood left out: {listed(found.strange)}{unpack}")
    return notes


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
