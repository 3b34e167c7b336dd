"""The files of an inspection: tables, charts and the report. Only files that epochbank wrote are overwritten."""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ...console import notify
from ...errors import EpochbankError
from ...shared.atomic import make_directory, new_file, write_text
from ...store.digest import file_checksum
from ..png_file import check_replaceable
from .findings import Findings

REPORT, CLASSES, SUSPECTS = "report.json", "classes.csv", "suspects.csv"
HISTOGRAM, SHEET = "classes.png", "sheet.png"
_MADE_BY = "augment inspect"


def check_directory(out: Path, source: str) -> None:
    """Raise `EpochbankError` if `out` cannot hold the report on `source`.

    It cannot if `out` is a file, has the report on another source, or has a file of one of our names that epochbank
    did not write or that was changed since. A PNG is marked as ours, a table is recognized by its checksum in the
    report.
    """
    if out.exists() and not out.is_dir():
        raise EpochbankError(f"--out {out} is a file; expected a directory or a new name. Choose another --out.")
    other = _report(out / REPORT).get("source", source)
    if other != source:
        raise EpochbankError(
            f"{out} has the report on {other}; expected another directory for {source}. Choose another --out."
        )
    for name in (HISTOGRAM, SHEET):
        check_replaceable(out / name)
    checksums = _report(out / REPORT).get("checksums", {})
    for name in (CLASSES, SUSPECTS):
        table = out / name
        if table.exists() and not (table.is_file() and checksums.get(name) == file_checksum(table)):
            raise EpochbankError(
                f"{table} exists and is not as epochbank wrote it; expected a new file or an unchanged one. Move it "
                "away, or choose another --out."
            )


def check_outside(out: Path, source: str, option: str = "--out") -> None:
    """Raise `EpochbankError` if `out` is in the folder of the source, where it would become part of the source."""
    _, colon, path = source.partition(":")
    for folder in (Path(os.path.expanduser(name)) for name in ([source, path] if colon else [source])):  # noqa: PTH111
        if folder.is_dir() and out.resolve().is_relative_to(folder.resolve()):
            raise EpochbankError(
                f"{option} {out} is in the source {source}, and would become part of it; expected a path outside. "
                f"Choose another {option}."
            )


def write_tables(out: Path, findings: Findings, classes: list[dict[str, Any]]) -> None:
    """Write `classes.csv`, and `suspects.csv` with every image that has a problem."""
    make_directory(out)
    _write_csv(out / CLASSES, list(classes[0]), (list(row.values()) for row in classes))
    _write_csv(
        out / SUSPECTS, ["problem", "origin", "class", "group", "other", "other_class", "reason"], _suspects(findings)
    )


def write_report(out: Path, facts: dict[str, Any]) -> None:
    """Write `report.json`, the last file, with the checksums by which `check_directory` recognizes the tables."""
    checksums = {name: file_checksum(out / name) for name in (CLASSES, SUSPECTS)}
    text = json.dumps({"made_by": _MADE_BY, "checksums": checksums, **facts}, indent=2, ensure_ascii=False)
    write_text(out / REPORT, text + "\n")
    notify(f"{out / REPORT} written")


def _report(report: Path) -> dict[str, Any]:
    """Return an earlier report; empty if there is none. Raises `EpochbankError` if the file is not a report of ours."""
    if not report.exists():
        return {}
    try:
        read = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else None
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict) or read.get("made_by") != _MADE_BY:
        raise EpochbankError(
            f"{report} exists and was not written by epochbank; expected a new file. Choose another --out."
        )
    return read


def _write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    count = 0
    with new_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        for row in rows:
            writer.writerow(row)
            count += 1
    notify(f"{path} written: {count:,} rows")


def _suspects(findings: Findings) -> Iterator[list[str]]:
    scan = findings.scan
    for origin, reason in scan.bad:
        yield ["bad", origin, "", "", "", "", reason]
    for kind, rows in findings.problems.items():
        for row, *others in (rows if rows.ndim == 2 else rows[:, None]).tolist():
            other, other_class, _ = _described(findings, others[0]) if others else ("", "", "")
            reason = findings.bad[row] if kind == "bad" else ""
            yield [kind, *_described(findings, row), other, other_class, reason]


def _described(findings: Findings, row: int) -> tuple[str, str, str]:
    """Return origin, class and group of an image; the group is '' if there are none."""
    scan, index = findings.scan, int(findings.indices[row])
    group = scan.group_names[scan.groups[index]] if scan.groups is not None and scan.group_names is not None else ""
    return scan.reader.origin(index), scan.class_names[scan.labels[index]], group
