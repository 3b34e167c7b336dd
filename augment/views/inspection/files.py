"""What an inspection leaves in a directory: tables, pictures, the report. Nobody else's file is overwritten."""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ...console import say
from ...errors import EpochbankError
from ...shared.atomic import make_directory, new_file, write_text
from ...store.digest import file_checksum
from ..contact_sheet import check_replaceable
from .findings import Findings

REPORT, CLASSES, SUSPECTS = "report.json", "classes.csv", "suspects.csv"
HISTOGRAM, SHEET = "classes.png", "sheet.png"
_MADE_BY = "augment inspect"


def check_directory(out: Path, source: str) -> None:
    """`EpochbankError` where `out` is a file, or has the report of another `source`, or a file stands in the way there
    that is not ours or was changed since.

    A PNG says itself that it is ours; a table is, as long as it has the checksum that the report beside it tells.
    """
    if out.exists() and not out.is_dir():
        raise EpochbankError(f"--out {out} is a file; expected a directory, or a new name. Give another --out.")
    other = _report(out / REPORT).get("source", source)
    if other != source:
        raise EpochbankError(
            f"{out} has what was found in {other}; expected another place for {source}. Give another --out."
        )
    for name in (HISTOGRAM, SHEET):
        check_replaceable(out / name)
    checksums = _report(out / REPORT).get("checksums", {})
    for name in (CLASSES, SUSPECTS):
        table = out / name
        if table.exists() and not (table.is_file() and checksums.get(name) == file_checksum(table)):
            raise EpochbankError(
                f"{table} exists, and is not as epochbank wrote it; expected a new name. Move it away, or give another "
                "--out."
            )


def check_outside(out: Path, source: str) -> None:
    """`EpochbankError` where `out` lies in the folder that the source is: it would be part of the source afterwards."""
    _, colon, path = source.partition(":")
    for folder in (Path(os.path.expanduser(name)) for name in ([source, path] if colon else [source])):  # noqa: PTH111
        if folder.is_dir() and out.resolve().is_relative_to(folder.resolve()):
            raise EpochbankError(
                f"--out {out} lies in the source {source}; expected a place outside, since what is written there "
                "would be taken for a part of the source. Give another --out."
            )


def write_tables(out: Path, findings: Findings, classes: list[dict[str, Any]]) -> None:
    """`classes.csv`, and `suspects.csv`: every picture that looks wrong."""
    make_directory(out)
    _write_csv(out / CLASSES, list(classes[0]), (list(row.values()) for row in classes))
    _write_csv(out / SUSPECTS, ["what", "origin", "class", "group", "of", "of_class", "why"], _suspects(findings))


def write_report(out: Path, facts: dict[str, Any]) -> None:
    """`report.json`, last: with the checksums of the tables, by which they are known to be ours."""
    checksums = {name: file_checksum(out / name) for name in (CLASSES, SUSPECTS)}
    text = json.dumps({"made_by": _MADE_BY, "checksums": checksums, **facts}, indent=2, ensure_ascii=False)
    write_text(out / REPORT, text + "\n")
    say(f"{out / REPORT} written")


def _report(report: Path) -> dict[str, Any]:
    """A report of ours, which there may be none of: empty then."""
    if not report.exists():
        return {}
    try:
        read = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else None
    except ValueError:
        read = None  # Whatever it is, it is somebody's.
    if not isinstance(read, dict) or read.get("made_by") != _MADE_BY:
        raise EpochbankError(f"{report} exists and is not epochbank's; expected a new name. Give another --out.")
    return read


def _write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    count = 0
    with new_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        for row in rows:
            writer.writerow(row)
            count += 1
    say(f"{path} written: {count:,} rows")


def _suspects(findings: Findings) -> Iterator[list[str]]:
    scan = findings.scan
    for where, why in scan.bad:
        yield ["bad", where, "", "", "", "", why]
    for kind, rows in findings.faults.items():
        for row, *of in (rows if rows.ndim == 2 else rows[:, None]).tolist():
            origin, class_name, group = _place(findings, row)
            other, other_class, _ = _place(findings, of[0]) if of else ("", "", "")
            why = findings.bad[row] if kind == "bad" else ""
            yield [kind, origin, class_name, group, other, other_class, why]


def _place(findings: Findings, row: int) -> tuple[str, str, str]:
    """Origin, class and group of a picture; an empty group where there are none."""
    scan, index = findings.scan, int(findings.indices[row])
    group = scan.group_names[scan.groups[index]] if scan.groups is not None and scan.group_names is not None else ""
    return scan.reader.origin(index), scan.class_names[scan.labels[index]], group
