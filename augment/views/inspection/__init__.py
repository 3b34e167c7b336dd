"""Inspection: what is in a source, and what looks wrong, before anything is made of it."""

import shlex
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import EpochbankError
from ...ingest.source_file import is_source_file
from ...shared.atomic import TEMPORARY
from ...sources import Source, SourceOptions, open_source
from ..contact_sheet import save
from ..fonts import check_font
from .class_sheet import class_rows, class_sheet
from .files import (
    HISTOGRAM,
    SHEET,
    check_directory,
    check_outside,
    write_report,
    write_tables,
)
from .findings import look_over
from .histogram import histogram
from .report import report
from .source_file_source import SourceFileSource

DIRECTORY = Path("inspect")
"""What is found is written below it, where the user names no directory."""


def inspect(
    spec: str, out: Path | None, options: SourceOptions, limit: int | None, font: Path | None, jobs: int
) -> dict[str, Any]:
    """Look at the source that `spec` names, write what is found into `out`, and return it as JSON values.

    Beside the keys of `report` these are `source`, `name`, `kind`, `out` and `next`. Raises `EpochbankError` for a
    source that cannot be used and for an `out` that is somebody's; a bad picture is counted, and never fatal.
    """
    if font is not None:
        check_font(font)
    source = _source(spec, options)
    out = out or DIRECTORY / source.name
    check_outside(out, spec)
    check_directory(out, spec)
    beside = next(path for path in (out.absolute(), *out.absolute().parents) if path.is_dir())
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, suffix=f"-inspect-{source.name}", dir=beside) as workspace:
        findings = look_over(source.scan(Path(workspace), jobs), limit, Path(workspace), jobs)
        facts = {
            "source": spec,
            "name": source.name,
            "kind": _kind(source),
            "out": str(out),
            **report(findings),
            "next": _next(spec, options, bad=len(findings.bad)) if len(findings.bad) < len(findings.indices) else None,
        }
        write_tables(out, findings, facts["classes"]["table"])
        counts = np.bincount(findings.scan.labels, minlength=len(findings.scan.class_names))
        save(histogram(source.name, findings.scan.class_names, counts, font), out / HISTOGRAM)
        save(class_sheet(f"{source.name}, as it is", class_rows(findings), font), out / SHEET)
        write_report(out, facts)
    return facts


def _source(spec: str, options: SourceOptions) -> Source | SourceFileSource:
    if not is_source_file(Path(spec)):
        return open_source(spec, options)
    if options != SourceOptions():
        raise EpochbankError(
            f"{spec} is a source file; --group-pattern, --split, --etl-sets and --characters act when a source is "
            "imported. Leave them out, or name the original source.",
            words=True,
        )
    return SourceFileSource(Path(spec))


def _kind(source: Source | SourceFileSource) -> str:
    """`folder`, `npz`, `source file`."""
    return (
        "source file" if isinstance(source, SourceFileSource) else type(source).__name__.removesuffix("Source").lower()
    )


def _next(spec: str, options: SourceOptions, *, bad: int) -> str:
    """The command to go on with, for the same source with the same options."""
    given = {
        "--group-pattern": options.group_pattern,
        "--etl-sets": options.etl_sets,
        "--characters": options.characters,
        "--split": None if options.split == "source" else options.split,
        "--on-bad": "skip" if bad else None,
    }
    words = [word for option, value in given.items() if value is not None for word in (option, value)]
    return shlex.join(["augment", "preview", spec, *words])
