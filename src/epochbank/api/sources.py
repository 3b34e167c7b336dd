"""Import and inspect sources."""

from pathlib import Path
from typing import Any, Unpack

from ..augment.errors import EpochbankError
from ..augment.ingest import importer
from ..augment.ingest.source_file import SourceFile, is_source_file
from ..augment.ingest.source_file import open_source_file as read_source_file
from ..augment.ingest.workspace import sweep_workspaces_of
from ..augment.shared.workers import core_count, kept_workers
from ..augment.views import inspection
from .arguments import import_options, source_options
from .directories import optional_path
from .keywords import ImportKeywords, SourceKeywords
from .values import check_numbers


def import_source(
    source: str | Path, file: str | Path, *, jobs: int | None = None, wait: bool = False,
    **keywords: Unpack[ImportKeywords],
) -> SourceFile:  # fmt: skip
    """Import a source once, into a new source file, which `generate` takes as its source.

    Parameters
    ----------
    source
        As on the command line: "digits", a path, or "kind:path".
    file
        The new file; its name ends in `.h5` or `.hdf5`.
    jobs
        Worker processes; None for one per core.
    wait
        Wait for another import into the same file, whose result is then refused like any existing file.
    **keywords
        See `ImportKeywords`.

    Raises
    ------
    EpochbankError
        If there is no such source, some of its images cannot be used, `file` exists, or the disk is too small.
    """
    check_numbers(jobs=jobs)
    path = Path(file)
    if path.exists():
        sweep_workspaces_of(path)  # An import that was killed just after it had written the file.
        raise EpochbankError(f"{path} exists; expected a new file. Remove it or choose another name.")
    if path.suffix.lower() not in (".h5", ".hdf5"):
        raise EpochbankError(
            f"{path} does not end in .h5 or .hdf5, as the name of a source file must. Choose another name.", usage=True
        )
    options = import_options(keywords)
    from ..augment.sources.find import open_source

    importer.import_source(open_source(str(source), options.source), path, options, jobs or core_count(), wait=wait)
    return read_source_file(path)


def open_source_file(file: str | Path) -> SourceFile:
    """Open a source file that `import_source` or `augment import` wrote, to look at it.

    Raises `EpochbankError` if there is no such file, it is not a source file, or it is damaged.
    """
    path = Path(file)
    if path.is_file() and not is_source_file(path):
        raise EpochbankError(
            f"{path} is not a source file; expected an HDF5 file that `import_source` wrote. Import it first: "
            f"epochbank.import_source({str(path)!r}, {str(path.with_name(path.stem + '-source.h5'))!r})"
        )
    return read_source_file(path)


@kept_workers()
def inspect(
    source: str | Path,
    out: str | Path | None = None,
    *,
    html: str | Path | None = None,
    limit: int | None = None,
    font: str | Path | None = None,
    jobs: int | None = None,
    **keywords: Unpack[SourceKeywords],
) -> dict[str, Any]:
    """Return what is in a source and what looks wrong, as JSON values; write tables and images of it to `out`.

    Parameters
    ----------
    source
        As on the command line: "digits", a path, or "kind:path".
    out
        Directory for tables and images; None for `inspect/` and the name of the source.
    limit
        Number of images to inspect, the same share of every class; None for all.
    font
        Font file for class names in the images; None for the first one that has their characters.
    jobs
        Worker processes; None for one per core.
    html
        HTML file to write, too, which needs no other file and no network.
    **keywords
        See `SourceKeywords`.

    Returns
    -------
    dict
        The contents of `report.json`.
    """
    check_numbers(jobs=jobs, limit=limit)
    return inspection.inspect(
        str(source),
        optional_path(out),
        source_options(keywords),
        limit,
        optional_path(font),
        jobs or core_count(),
        optional_path(html),
    )
