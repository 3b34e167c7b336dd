"""The forecast: what a request will take, from a trial of a sample of its pictures on this machine."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..distortion.engine import choose_engine, fitting, importing_engine
from ..distortion.recipe import Recipe
from ..ingest.importer import DEFAULT_SIZE, ImportOptions, decide, import_scanned, selection
from ..ingest.source_file import SourceFile, open_source_file
from ..shared.progress import duration, size
from ..sources import Source
from ..split.balance import PerClass
from ..split.holdout import HeldOut, Pictures, split_key, split_rows
from ..split.report import PartFacts, balance_lines, part_facts, part_lines, parts_of_set
from ..store.description import PARTS, read_description
from ..store.manifest import read_manifest
from .calibration import Reckoning, reckon, refuse_full_disk
from .generate import Execution, tasks_left
from .request import FoundSource, Request, pictures_of

_SAMPLE = 2048
_SAMPLE_BYTES = 64 << 20


@dataclass(frozen=True)
class Forecast:
    """What a request lacks, and what it will take."""

    images: dict[str, int]
    """Pictures that the set has of each part."""
    parts: dict[str, PartFacts]
    """What the source has for each part; copies are found when it is imported."""
    per_class: PerClass | None
    classes: int
    shape: tuple[int, int, int]
    pictures: int
    """Pictures to write."""
    source_bytes: int
    """Of the source file, 0 where it is there already."""
    import_core_seconds: float
    """Of one core; 0 where the source file is there already."""
    cores: int
    """Cores asked for."""
    engine: str
    reckoned: Reckoning | None
    """None where there is nothing to write."""
    decided: str
    """What an import decides of colour and inversion."""
    notes: list[str]
    """What people should know of the source, one sentence each."""

    def seconds_on(self, cores: int) -> float:
        """Import and generation on so many cores."""
        return self.import_core_seconds / cores + (self.reckoned.seconds_on(cores) if self.reckoned else 0.0)

    def lines(self) -> list[str]:
        """For people."""
        height, width, channels = self.shape
        pictures = sum(part.images for part in self.parts.values())
        lines = [
            f"pictures  {pictures:,} of {height} x {width} {'grey' if channels == 1 else 'RGB'}, "
            f"{self.classes:,} classes",
            *part_lines(self.parts, self.classes),
            *balance_lines("balance   ", self.per_class, self.images["train"], self.parts["train"]),
            f"import    {self.decided}",
            *(f"          {note}" for note in self.notes),
        ]
        if self.reckoned is None:
            return [*lines, "to do     nothing: the set holds all of it"]
        imported = self.import_core_seconds / self.cores
        total = self.seconds_on(self.cores)
        several = sorted({1, 2, 4, 8, 16, 32, self.cores})
        return [
            *lines,
            f"to write  {self.pictures:,} pictures in {len(self.reckoned.shards):,} shards, {self.engine} engine",
            f"bytes     {size(self.reckoned.bytes)} for the set"
            + (f", {size(self.source_bytes)} for the source file" if self.source_bytes else ""),
            f"time      {total / 3600:.2f} hours ({duration(total)}) on {self.cores} core(s) of this machine: "
            f"import {duration(imported)}, generation {duration(total - imported)}",
            "cores     " + ", ".join(f"{cores}: {duration(self.seconds_on(cores))}" for cores in several),
        ]


def forecast(
    found: FoundSource,
    spec: str,
    recipe: Recipe,
    options: ImportOptions,
    execution: Execution,
    held_out: HeldOut,
    per_class: PerClass | None = None,
    *,
    stored: Path | None,
) -> Forecast:
    """Scan the source, try a sample, and reckon; nothing is left on disk.

    `stored` is the directory of the set, where it exists.
    """
    with _looked_at(found, options) as look:
        shape, published = look.sample.shape, []
        if stored is None:
            facts, images = _parted(look, held_out, per_class)
        else:
            description, published = read_description(stored), read_manifest(stored)
            facts, images = parts_of_set(stored, description), description.images
        engine = choose_engine(execution.engine, recipe, shape)
        tasks = tasks_left(published, images, shape, execution)
        request = Request(look.sample, spec, recipe)
        reckoned = reckon(request, engine, tasks, execution.jobs) if tasks else None
        return Forecast(
            images=images,
            parts=facts,
            per_class=per_class,
            classes=len(look.pictures.class_names),
            shape=shape,
            pictures=sum(task.images for task in tasks),
            source_bytes=0 if found.file is not None else int(np.prod(shape)) * len(look.pictures.labels),
            import_core_seconds=look.import_seconds * len(look.pictures.labels),
            cores=execution.jobs,
            engine=engine.name,
            reckoned=reckoned,
            decided=look.sample.decided,
            notes=look.notes,
        )


def _parted(
    look: "_Look", held_out: HeldOut, per_class: PerClass | None
) -> tuple[dict[str, PartFacts], dict[str, int]]:
    """What the source has for each part, and the pictures that the set will have of it."""
    pictures = look.pictures
    rows = split_rows(pictures, held_out, key=look.key)
    groups = {part: None if pictures.groups is None else pictures.groups[rows[part]] for part in PARTS}
    facts = {part: part_facts(pictures.labels[rows[part]], groups[part], pictures.class_names) for part in PARTS}
    images = {part: len(rows[part]) for part in PARTS}
    if per_class is not None:
        images["train"] = per_class.images(np.bincount(pictures.labels[rows["train"]]))
    return facts, images


def refuse_what_the_disk_cannot_hold(forecast: Forecast, sets: Path) -> None:
    """`EpochbankError` where source file and set do not fit on the disk of `sets`."""
    what = "the set and its source file" if forecast.source_bytes else "the set"
    refuse_full_disk(sets, forecast.source_bytes + (forecast.reckoned.bytes if forecast.reckoned else 0), what)


@dataclass(frozen=True)
class _Look:
    """What is known of a source before anything is written."""

    pictures: Pictures
    sample: SourceFile
    """A source file of some pictures at least."""
    import_seconds: float
    """To import one picture on one core; 0 where that is done."""
    key: int
    """Of the split."""
    notes: list[str]
    """What people should know of it."""


@contextmanager
def _looked_at(found: FoundSource, options: ImportOptions) -> Iterator[_Look]:
    file = found.file
    if file is not None:
        notes = [note for note in file.notes if note != file.decided]
        yield _Look(pictures_of(file, options.source.split == "source"), file, 0.0, split_key(file.digest), notes)
        return
    assert found.source is not None
    with tempfile.TemporaryDirectory(prefix="epochbank-") as workspace:
        yield _look_at_source(found.source, options, Path(workspace))


def _look_at_source(source: Source, options: ImportOptions, workspace: Path) -> _Look:
    scan = source.scan(workspace)
    indices = selection(len(scan.labels), options.limit)
    height, width = options.size or scan.size or DEFAULT_SIZE
    most = max(32, min(_SAMPLE, _SAMPLE_BYTES // (3 * height * width)))
    few = replace(options, limit=min(most, len(indices)), on_bad="skip")
    engine = importing_engine(len(indices))
    fitting(engine, decide(scan, indices, options)[0])  # Its start is not counted.
    begun = time.perf_counter()
    import_scanned(scan, source.name, workspace / "sample.h5", few, jobs=1, quiet=True, engine=engine)
    sample = open_source_file(workspace / "sample.h5")
    each = (time.perf_counter() - begun) / sample.images
    present, labels = np.unique(scan.labels[indices], return_inverse=True)
    pictures = Pictures(
        labels,
        [scan.class_names[number] for number in present],
        None if scan.groups is None else scan.groups[indices],
        None if scan.parts is None else scan.parts[indices],
    )
    return _Look(pictures, sample, each, 0, [*scan.notes, *_not_known_yet(sample, options)])


def _not_known_yet(sample: SourceFile, options: ImportOptions) -> list[str]:
    """What a sample cannot tell, or tells for a part alone."""
    copies = "copies are found when it is imported, and groups drawn then: the parts may come out a little otherwise"
    if not sample.skipped:
        return [copies]
    refused = "; `augment run` refuses that without --on-bad skip" if options.on_bad == "refuse" else ""
    return [copies, f"{sample.skipped:,} of what was looked at cannot be used{refused}"]
