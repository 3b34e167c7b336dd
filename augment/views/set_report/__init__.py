"""The report on a set: one HTML file with its recipe, samples, splits, near-duplicates, label check and provenance."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import EpochbankError
from ...shared.html.page import check_page, write_page
from ...shared.types import SPLITS
from ...store.description import Description, read_description
from ...store.manifest import read_manifest
from ...store.objects.mirror import remote_url
from ...store.order import rows_of_split
from ..class_gallery.chart import ClassChart, class_chart
from ..class_gallery.names import names_for_page
from ..info import info, rejections
from ..recipe_words import check_words, recipe_words
from . import facts as tables
from .groups import group_facts
from .near_duplicates import near_duplicates
from .parameters import recipe_to_draw
from .pictures import read_pictures
from .samples import read_samples
from .shards import Shards

DIRECTORY = Path("reports")
"""Directory of a report if the user names no file."""
_PAGE = 4_800_000
"""Bytes of the whole page at most, about."""
_SAMPLES = 4_200_000
"""Bytes of the samples at most."""
_NAMES = 600_000
"""Bytes of the class names at most."""
_REST = 250_000
"""Bytes of style, scripts, charts and tables, about."""


@dataclass(frozen=True)
class WrittenReport:
    """A report that was written."""

    path: Path
    """The HTML file."""
    bytes: int
    """Its size."""
    faults: list[str]
    """What of the set could not be read, and is not in the report."""


def report(directory: Path, out: Path | None, command: Callable[[dict[str, Any]], str]) -> WrittenReport:
    """Write the report on the set in `directory`.

    Memory: some bytes per image, and one chunk. Of a set in an object store, a few shards are fetched.

    Parameters
    ----------
    directory
        The set.
    out
        The HTML file; None for `reports/` and the name of the set. A page that epochbank wrote is replaced.
    command
        Returns the command that generates the set again, from the result of `info`.

    Raises
    ------
    EpochbankError
        If the set cannot be read at all, or no page can be written as `out`. What is wrong with shards and with the
        source file is in the report and in its `faults` instead.
    """
    description = read_description(directory)
    out = out or DIRECTORY / f"{description.name}.html"
    check_page(out)
    facts, faults = _facts(directory)
    shards = Shards(directory, read_manifest(directory))
    recipe = None
    try:
        recipe = recipe_to_draw(description)
    except EpochbankError as error:
        faults.append(str(error))
    pictures = read_pictures(shards, description, recipe)
    duplicates = near_duplicates(directory, description)
    names = names_for_page(description.class_names, _NAMES)
    used = _REST + _bytes([asdict(row) for row in pictures]) + _bytes([asdict(pair) for pair in duplicates.pairs])
    used += _bytes(names)
    samples = read_samples(shards, description, recipe, min(_SAMPLES, _PAGE - used), len(names))
    counts = {split: _counts(directory, description, split) for split in SPLITS}
    chart = class_chart(description.class_names, np.sum(list(counts.values()), axis=0))
    faults = list(dict.fromkeys([*faults, *shards.faults, *duplicates.faults]))  # One shard may be met twice.
    write_page(
        out,
        Path(__file__).parent,
        "report.html.j2",
        {
            "name": description.name,
            "facts": facts,
            "tables": tables,
            "identity": description.identity,
            "stages": recipe_words(facts["recipe_settings"]),
            "check": check_words(facts["recipe_settings"]),
            "pictures": pictures,
            "chart": chart,
            "classes": _classes(names, counts, chart),
            "images": [samples.by_class.get(label, []) for label in range(len(names))],
            "total_classes": len(description.class_names),
            "sampled": samples.scope,
            "groups": group_facts(directory),
            "duplicates": duplicates,
            "command": command(facts),
            "faults": faults,
            "store_note": shards.note,
        },
        scripts=["../class_gallery/classes.js"],
    )
    return WrittenReport(out, out.stat().st_size, faults)


def _facts(directory: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the result of `info` with the rejected draws, and what of them could not be read."""
    facts = info(directory)
    resampled = facts["resampled"]
    if resampled and resampled["images"] and not facts["lost_shards"] and remote_url(directory) is None:
        try:
            resampled |= rejections(directory)
        except EpochbankError as error:
            return facts, [str(error)]
    return facts, []


def _counts(directory: Path, description: Description, split: str) -> np.ndarray:
    """Return the images of each class in a split, int64 (classes,)."""
    return np.bincount(rows_of_split(directory, split).label, minlength=len(description.class_names))


def _classes(names: list[str], counts: dict[str, np.ndarray], chart: ClassChart) -> dict[str, Any]:
    """Return the classes for the script."""
    columns = [[word, counts[split][: len(names)].tolist()] for split, word in
               (("train", "training"), ("validation", "validation"), ("test", "test"))]  # fmt: skip
    return {
        "names": names,
        "sizes": np.sum(list(counts.values()), axis=0)[: len(names)].tolist(),
        "columns": columns,
        "kinds": ["original", "distorted"],
        "bars": [bar.to_json() for bar in chart.bars],
    }


def _bytes(document: Any) -> int:
    return len(json.dumps(document, ensure_ascii=False).encode(errors="backslashreplace"))
