"""Names the group of each image: the form in ETL8 and ETL9, the typeface in ETL2, otherwise the sheet."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...shared.progress import counted
from .catalog import EtlSet, Forms
from .file_scan import FileScan, Task
from .forms import FormNumbers, forms_by_character, forms_of_file
from .report import list_names


@dataclass(frozen=True)
class Groups:
    """The groups of the n images of a file."""

    names: list[str | None]
    """Names of the groups; None if the group is unknown."""
    index: np.ndarray
    """int64 (n,): index into `names`."""


def find_groups(tasks: Sequence[Task], scans: Sequence[FileScan]) -> tuple[list[Groups], list[str]]:
    """Return the groups of each file, and notes on the forms that were found."""
    groups: dict[int, Groups] = {}
    notes = []
    for etl_set in {task.etl_set.name: task.etl_set for task in tasks}.values():
        members = [number for number, task in enumerate(tasks) if task.etl_set is etl_set]
        some_tasks, some_scans = [tasks[number] for number in members], [scans[number] for number in members]
        if etl_set.forms is None:
            found = [_sheets(etl_set, scan) for scan in some_scans]
        else:
            numbers = _form_numbers(etl_set.forms, some_tasks, some_scans)
            found = [_forms(task, etl_set.forms, each) for task, each in zip(some_tasks, numbers, strict=True)]
            notes += _form_notes(etl_set.forms, some_tasks, found, numbers)
        groups.update(zip(members, found, strict=True))
    return [groups[number] for number in range(len(tasks))], notes


def _sheets(etl_set: EtlSet, scan: FileScan) -> Groups:
    names = [f"ETL{etl_set.name} {'' if isinstance(sheet, str) else 'sheet '}{sheet}" for sheet in scan.sheets]
    return Groups(list(names), scan.sheet_index.astype(np.int64))


def _form_numbers(forms: Forms, tasks: list[Task], scans: list[FileScan]) -> list[FormNumbers]:
    """Return the forms of all files of one set."""
    complete = [len(scan.code_index) == task.official_count for task, scan in zip(tasks, scans, strict=True)]
    codes, sheets = [scan.code_of for scan in scans], [scan.sheet_of for scan in scans]
    if forms.by_character:
        return forms_by_character(codes, sheets, forms, is_complete=all(complete))
    return [
        forms_of_file(code, sheet, forms, is_complete=whole)
        for code, sheet, whole in zip(codes, sheets, complete, strict=True)
    ]


def _forms(task: Task, forms: Forms, found: FormNumbers) -> Groups:
    """Name the forms of a file."""
    distinct, index = np.unique(found.number, return_inverse=True)
    where = f"ETL{task.etl_set.name}" if forms.by_character else task.etl_set.file_name(task.number)
    return Groups([_form_name(where, forms, number, found.by_position) for number in distinct.tolist()], index)


def _form_name(where: str, forms: Forms, number: int, by_position: bool) -> str | None:
    if number < 0:
        return None
    if by_position:
        return f"{where} form {number + 1}"
    return f"{where} sheets {number * forms.sheets + 1} to {(number + 1) * forms.sheets}"


def _form_notes(forms: Forms, tasks: list[Task], groups: list[Groups], numbers: list[FormNumbers]) -> list[str]:
    etl_set = tasks[0].etl_set
    found = len({name for each in groups for name in each.names if name})
    per_file = [-(-task.official_count // forms.characters) for task in tasks]
    expected = forms.count if forms.by_character else sum(per_file)
    if not expected:
        return []
    notes = [
        f"ETL{etl_set.name}: {counted(found, 'form')} found, {expected:,} expected in {counted(len(tasks), 'file')}"
    ]
    unclear = [
        task.etl_set.file_name(task.number) for task, each in zip(tasks, numbers, strict=True) if not each.by_position
    ]
    if unclear:
        notes.append(
            f"{list_names(unclear)}: the sheet numbers do not fit forms of {forms.characters:,} images, so the groups "
            f"are ranges of {forms.sheets} sheet numbers, and several forms may be one group"
        )
    return notes
