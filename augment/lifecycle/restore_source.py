"""Import the source of a set again if its file in `sets/sources/` is missing or damaged.

The name of such a file follows from the source (names, sizes and times of its files) and the options of the import. So
the import is repeated only if SOURCE, as the set records it, still leads to this name, and the new file replaces the
old one only if it has the digest that is part of the set's identity.
"""

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from ..console import notify
from ..errors import EpochbankError
from ..ingest.importer import ImportOptions, import_source
from ..ingest.resolve import SOURCES, source_file_name
from ..ingest.source_file import is_source_file, open_source_file
from ..ingest.workspace import sweep_workspaces
from ..shared.atomic import make_directory, move, naming
from ..shared.lock import writing
from ..sources import Source, SourceOptions
from ..store.description import Description

_PYTHON = "python:"


def restore_source(directory: Path, description: Description, jobs: int, why: str) -> bool:
    """Import the source of the set in `directory` again, and replace its source file; return False if impossible.

    `why` says what is wrong with the file, for people. It is impossible if the file is not in `sets/sources/`, or the
    recorded SOURCE has changed, was imported with other options than those of images, or is Python code, which is not
    executed because a set names it. Raises `EpochbankError` if the import fails.
    """
    path = description.source_path(directory.absolute())
    if description.source["path"] != f"../{SOURCES}/{path.name}":
        return False
    found = _resolved(description, path.name, why)
    if found is None:
        return False
    source, options = found
    again = path.with_name(f"again-{path.name}")
    make_directory(path.parent)
    with writing(path.parent, wait=True):
        sweep_workspaces(path.parent)
        notify(f"importing it again from SOURCE {description.source['spec']!r}")
        try:
            import_source(source, again, options, jobs, replace=True)
            if open_source_file(again).digest != description.identity["source"]:
                return False
            move(again, path)
        finally:
            again.unlink(missing_ok=True)
    return True


def _resolved(description: Description, name: str, why: str) -> tuple[Source, ImportOptions] | None:
    """Return the recorded SOURCE and the import options that lead to the file name `name`; None if none do.

    The set may be somebody else's, and its SOURCE any folder: SOURCE is read once, and only if its name fits.
    """
    from ..sources.find import open_source

    spec = description.source["spec"]
    if spec.startswith(_PYTHON) or is_source_file(Path(spec)):
        return None
    try:
        source = open_source(spec)
        if not re.fullmatch(re.escape(source.name) + "-[0-9a-f]{12}[.]h5", name):
            return None
        notify(f"{why}; reading SOURCE {spec!r}, which set.json names, to find out whether it is unchanged")
        with naming(spec):
            identity = source.identity()
        for options in _import_options(description):
            if source_file_name(source.name, identity, options) == name:
                return open_source(spec, options.source), options
    except (EpochbankError, OSError):  # The source no longer exists, or the options do not apply to it.
        return None
    return None


def _import_options(description: Description) -> Iterator[ImportOptions]:
    """Yield the import options that agree with the stored preprocessing."""
    stored = description.source.get("preprocessing") or {}
    height, width, channels = description.shape
    choices: dict[str, tuple[Any, ...]] = {
        "size": (None, (height, width)),
        "color": ("auto", "gray" if channels == 1 else "rgb"),
        "invert": ("auto", "yes" if stored.get("invert") else "no"),
        "on_bad": ("refuse", "skip"),
        "source": (SourceOptions(), SourceOptions(split="fractions")),
    }
    for values in product(*choices.values()):
        yield ImportOptions(**dict(zip(choices, values, strict=True)), fit=stored.get("fit", "pad"))
