"""The forecast: what a request will take, measured on a sample of its pictures on this machine."""

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from augment.distort import distort
from augment.draw import draw
from augment.generate import Execution, usual_codec
from augment.importing import ImportOptions, import_scanned, selection
from augment.plan import chunk_images, left_to_do, shard_images
from augment.progress import duration, size
from augment.recipe import Recipe
from augment.request import FoundSource
from augment.source_file import SourceFile, open_source_file
from augment.sources import Source
from augment.split import HeldOut, split_key, split_rows
from augment.store.codec import encode
from augment.store.description import PARTS
from augment.store.manifest import Entry

SAMPLE = 512


@dataclass(frozen=True)
class Forecast:
    """What a request lacks, and what it will take on `jobs` cores."""

    images: dict[str, int]
    """Pictures in each part."""
    classes: int
    shape: tuple[int, int, int]
    shards: int
    """Shards to write."""
    pictures: int
    """Pictures to write."""
    source_bytes: int
    """Of the source file, 0 where it is there already."""
    set_bytes: int
    """To be added to the set."""
    import_seconds: float
    generate_seconds: float
    jobs: int
    decided: str
    """What an import decides of colour and inversion."""

    def lines(self) -> list[str]:
        """For people."""
        height, width, channels = self.shape
        images = self.images
        lines = [
            f"pictures  {sum(images.values()):,} of {height} x {width} {'grey' if channels == 1 else 'RGB'}, "
            f"{self.classes:,} classes: {images['train']:,} training, {images['validation']:,} validation, "
            f"{images['test']:,} test",
            f"import    {self.decided}",
        ]
        if not self.shards:
            return [*lines, "to do     nothing: the set holds all of it"]
        total = self.import_seconds + self.generate_seconds
        return [
            *lines,
            f"to write  {self.pictures:,} pictures in {self.shards:,} shards",
            f"bytes     {size(self.set_bytes)} for the set"
            + (f", {size(self.source_bytes)} for the source file" if self.source_bytes else ""),
            f"time      {total / 3600:.2f} hours ({duration(total)}) on {self.jobs} cores of this machine: "
            f"import {duration(self.import_seconds)}, distortion {duration(self.generate_seconds)}",
        ]


def forecast(
    found: FoundSource,
    recipe: Recipe,
    options: ImportOptions,
    execution: Execution,
    held_out: HeldOut,
    *,
    published: list[Entry],
) -> Forecast:
    """Scan the source, time a sample, and reckon; nothing is left on disk.

    `published` are the set's shards where it exists.
    """
    look = _look_at_file(found.file) if found.file is not None else _look_at_source(found.source, options)
    rows = split_rows(look.labels, look.groups, held_out, key=look.key, class_names=look.class_names)
    images = {part: len(rows[part]) for part in PARTS}
    shape = look.pictures.shape[1:]
    chunk = execution.chunk or chunk_images(shape)
    shard = execution.shard or shard_images(images["train"], shape, chunk)
    codec = execution.codec or usual_codec(published)
    tasks = left_to_do(published, images, execution.epochs, shard=shard, chunk=chunk, codec=codec)
    clean = sum(task.images for task in tasks if task.part != "epoch")
    distorted = sum(task.images for task in tasks) - clean
    plain_seconds, plain_bytes = _measure(look.pictures, None, codec, chunk)
    seconds, stored = _measure(look.pictures, recipe, codec, chunk)
    total = sum(images.values())
    return Forecast(
        images=images,
        classes=len(look.class_names),
        shape=shape,
        shards=len(tasks),
        pictures=clean + distorted,
        source_bytes=0 if found.file is not None else look.pictures[0].nbytes * total,
        set_bytes=round(clean * plain_bytes + distorted * stored),
        import_seconds=look.import_seconds * total / execution.jobs,
        generate_seconds=(clean * plain_seconds + distorted * seconds) / execution.jobs,
        jobs=execution.jobs,
        decided=look.decided,
    )


@dataclass(frozen=True)
class _Look:
    """What is known of a source before anything is written."""

    labels: np.ndarray
    groups: np.ndarray | None
    class_names: list[str]
    pictures: np.ndarray
    """A sample, uint8 (n, H, W, C)."""
    import_seconds: float
    """To import one picture on one core; 0 where that is done."""
    decided: str
    key: int
    """Of the split."""


def _look_at_file(file: SourceFile) -> _Look:
    groups = file.column("group") if file.group_names else None
    pictures = file.read(selection(file.images, SAMPLE))
    return _Look(file.column("label"), groups, file.class_names, pictures, 0.0, file.decided, split_key(file.digest))


def _look_at_source(source: Source | None, options: ImportOptions) -> _Look:
    assert source is not None
    with tempfile.TemporaryDirectory(prefix="epochbank-") as workspace:
        scan = source.scan(Path(workspace))
        indices = selection(len(scan.labels), options.limit)
        path = Path(workspace) / "sample.h5"
        few = replace(options, limit=min(SAMPLE, len(indices)), on_bad="skip")
        begun = time.perf_counter()
        import_scanned(scan, source.name, path, few, jobs=1, quiet=True)
        sample = open_source_file(path)
        each = (time.perf_counter() - begun) / sample.images
        pictures = sample.read(np.arange(sample.images))
    present, labels = np.unique(scan.labels[indices], return_inverse=True)
    groups = None if scan.groups is None else scan.groups[indices]
    return _Look(labels, groups, [scan.class_names[number] for number in present], pictures, each, sample.decided, 0)


def _measure(pictures: np.ndarray, recipe: Recipe | None, codec: str, chunk: int) -> tuple[float, float]:
    """Seconds and stored bytes of one picture, distorted by `recipe` or as it is."""
    stored, begun = 0, time.perf_counter()
    for start in range(0, len(pictures), chunk):
        run = pictures[start : start + chunk]
        if recipe is not None:
            run = distort(run, recipe, draw(recipe, run.shape[1:], "forecast", 0, start, start + len(run)))
        stored += len(encode(codec, run))
    return (time.perf_counter() - begun) / len(pictures), stored / len(pictures) + 20
