"""Inspection of a source before it is used: what it contains, and which images have problems."""

import shlex
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ...console import notify
from ...errors import EpochbankError
from ...generation.advice import suggested_recipe
from ...ingest.source_file import is_source_file
from ...shared.atomic import TEMPORARY
from ...shared.command_words import option_words
from ...shared.fonts import check_font
from ...shared.html.page import check_page
from ...shared.progress import size
from ...sources import Source, SourceOptions
from ...split.few_classes import label_problem
from ..png_file import save
from .class_sheet import class_rows, class_sheet
from .files import HISTOGRAM, SHEET, check_directory, check_outside, write_report, write_tables
from .findings import Findings, inspect_images
from .histogram import histogram
from .page import write_inspection_page
from .report import report
from .source_file_source import SourceFileSource

DIRECTORY = Path("inspect")
"""Parent of the directory that a report is written to if the user names none."""


def inspect(
    spec: str,
    out: Path | None,
    options: SourceOptions,
    limit: int | None,
    font: Path | None,
    jobs: int,
    html: Path | None = None,
) -> dict[str, Any]:
    """Inspect a source, write tables, charts and a report to `out`, and return the report as JSON values.

    Parameters
    ----------
    spec
        The source, as on the command line.
    out
        Directory of the report; None for `inspect/` and the source's name.
    options
        Options of the source.
    limit
        Number of images to inspect, the same share of every class; None for all. All images are counted.
    font
        Font file that is searched first for the characters of class names.
    jobs
        Number of worker processes.
    html
        HTML file to write, too, with the images that look wrong and samples by class; None for none.

    Returns
    -------
    The keys of `report`, and `source`, `name`, `kind`, `out` and `next`, the suggested next command.

    Raises
    ------
    EpochbankError
        If the source cannot be read, or `out` has files that epochbank did not write. Unusable images are reported.
    """
    if font is not None:
        check_font(font)
    if html is not None:
        check_page(html)
        check_outside(html, spec, "--html")
    source = _source(spec, options)
    out = out or DIRECTORY / source.name
    check_outside(out, spec)
    check_directory(out, spec)
    parent = next(path for path in (out.absolute(), *out.absolute().parents) if path.is_dir())
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, suffix=f"-inspect-{source.name}", dir=parent) as workspace:
        findings = inspect_images(source.scan(Path(workspace), jobs), limit, Path(workspace), jobs, options)
        facts = {
            "source": spec,
            "name": source.name,
            "kind": _kind(source),
            "out": str(out),
            **report(findings),
            "next": _next_command(spec, options, findings),
        }
        write_tables(out, findings, facts["classes"]["table"])
        counts = np.bincount(findings.scan.labels, minlength=len(findings.scan.class_names))
        save(histogram(source.name, findings.scan.class_names, counts, font), out / HISTOGRAM)
        save(class_sheet(f"{source.name}, original images", class_rows(findings), font), out / SHEET)
        write_report(out, facts)
        if html is not None:
            write_inspection_page(html, findings, facts)
            notify(f"{html} written: {size(html.stat().st_size)}")
    return facts


def _source(spec: str, options: SourceOptions) -> Source | SourceFileSource:
    if not is_source_file(Path(spec)):
        from ...sources.find import open_source

        return open_source(spec, options)
    given = option_words(asdict(options), asdict(SourceOptions()))[::2]
    if given:
        raise EpochbankError(
            f"{spec} is a source file, but options that select and read the images of a source, such as "
            f"{' and '.join(given)}, apply only when it is imported. Omit them, or name the original source.",
            usage=True,
        )
    return SourceFileSource(Path(spec))


def _kind(source: Source | SourceFileSource) -> str:
    """Return the kind of a source, such as `folder`, `npz` or `source file`."""
    from ...sources.find import kind_of

    return "source file" if isinstance(source, SourceFileSource) else kind_of(source)


def _next_command(spec: str, options: SourceOptions, findings: Findings) -> str | None:
    """Return the suggested next command: the same source and options, and what suits its images.

    None if it would be refused, because images or labels must be fixed first.
    """
    if len(findings.bad) == len(findings.indices) or label_problem(findings.scan.labels, findings.scan.class_names):
        return None
    suggested = {
        **asdict(options),
        **findings.suggested,
        "recipe": suggested_recipe(findings.preprocessing.shape),
        "on_bad": "skip" if findings.bad else None,
    }
    return shlex.join(["augment", "preview", spec, *option_words(suggested, asdict(SourceOptions()))])
