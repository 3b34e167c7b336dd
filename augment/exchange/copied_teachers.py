"""Copy the teachers of a set with it: the labels of the images that are copied."""

from dataclasses import dataclass
from pathlib import Path

from ..shared.atomic import sync_directory
from ..store.description import Description
from ..store.manifest import Entry, write_manifest
from ..store.presence import fault_of
from ..store.teacher_shard import REWRITE
from ..store.teachers import Teacher, read_teacher, read_teacher_manifest, teacher_names, teacher_path, write_teacher
from .copied_files import DamagedCopy, copy_file


@dataclass(frozen=True)
class TeacherCopy:
    """What is copied of a teacher."""

    name: str
    teacher: Teacher
    entries: list[Entry]


def teachers_to_copy(directory: Path, description: Description, entries: list[Entry]) -> list[TeacherCopy]:
    """Return what is copied of each teacher of the set in `directory`: the labels of the set's shards `entries`.

    Raises `EpochbankError` if a teacher is damaged.
    """
    files = {entry.file for entry in entries}
    return [
        TeacherCopy(
            name,
            read_teacher(directory, name, description),
            [entry for entry in read_teacher_manifest(directory, name) if entry.file in files],
        )
        for name in teacher_names(directory)
    ]


def copy_teachers(directory: Path, workspace: Path, teachers: list[TeacherCopy]) -> None:
    """Copy `teachers` of the set in `directory` to `workspace`, which has none. Every file is compared and synced.

    Raises `DamagedCopy` if a shard is damaged.
    """
    for one in teachers:
        source, target = teacher_path(directory, one.name), teacher_path(workspace, one.name)
        target.mkdir(parents=True)
        for entry in one.entries:
            (target / entry.file).parent.mkdir(exist_ok=True)
            fault = fault_of(source / entry.file, entry)
            if not fault and not copy_file(source / entry.file, target / entry.file, entry.checksum):
                fault = "the file was changed: its checksum is wrong"
            if fault:
                raise DamagedCopy(f"{source / entry.file}, labels of a teacher: {fault}. {REWRITE}")
        write_manifest(target, one.entries)
        write_teacher(target, one.teacher)
        for folder in {target, target.parent, *((target / entry.file).parent for entry in one.entries)}:
            sync_directory(folder)
