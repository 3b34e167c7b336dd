"""Import: a source into a source file, once, on all cores, with memory that does not grow with it."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from ..distortion.engine import importing_engine
from ..errors import EpochbankError
from ..shared.atomic import TEMPORARY, make_directory, new_file, remove, sync
from ..shared.progress import Progress, hushed, size
from ..shared.workers import on_all_cores
from ..sources import Reader, Scan, Source, SourceOptions
from ..sources.decode import Look, Treatment, look_at
from . import source_file
from .block import Block, BlockResult, one_by_one, write_block
from .near_duplicates import find_alike, find_copies

SAMPLE = 256
"""Pictures looked at to decide on colour and inversion."""

DEFAULT_SIZE = (64, 64)

_LISTED = 20
"""Bad pictures that are listed for people; a source file records them all."""


@dataclass(frozen=True)
class ImportOptions:
    """What the user may say about an import; everything here may change a pixel."""

    size: tuple[int, int] | None = None
    """(H, W); None for the source's own size where all its pictures share one, else 64 x 64."""
    invert: Literal["auto", "yes", "no"] = "auto"
    colour: Literal["auto", "grey", "rgb"] = "auto"
    limit: int | None = None
    """Only so many pictures, evenly spaced over the source."""
    on_bad: Literal["refuse", "skip"] = "refuse"
    source: SourceOptions = field(default_factory=SourceOptions)

    def settings(self) -> dict:
        """The options as JSON values."""
        return asdict(self)


def import_source(source: Source, path: Path, options: ImportOptions, jobs: int, *, quiet: bool = False) -> list[str]:
    """Import `source` into the new file `path`, which appears when it is complete; `quiet` shows no progress.

    Returns what people should know of it, one sentence each. Raises `EpochbankError` for a source
    that cannot be used, listing every bad picture with its origin unless they are to be skipped, and
    where the machine is in the way.
    """
    make_directory(path.parent)
    for left in path.parent.iterdir():
        if re.fullmatch(rf"{re.escape(TEMPORARY)}\w+-{re.escape(path.name)}", left.name):
            remove(left)  # of an import that was killed
    try:
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, suffix=f"-{path.name}", dir=path.parent) as workspace:
            with hushed(quiet):
                scan = source.scan(Path(workspace), jobs)
            return import_scanned(scan, source.name, path, options, jobs, quiet=quiet)
    except OSError as error:
        raise EpochbankError(
            f"the import into {path} failed: {error}. Nothing half-written is left; mend it, then give the same "
            "command again."
        ) from error


def import_scanned(
    scan: Scan,
    name: str,
    path: Path,
    options: ImportOptions,
    jobs: int,
    *,
    quiet: bool = False,
    engine: str | None = None,
) -> list[str]:
    """`import_source` for a source that is scanned already; `engine` fits the pictures, None for what suits them."""
    indices = selection(len(scan.labels), options.limit)
    treatment, decided = decide(scan, indices, options)
    notes = [*scan.notes, decided]
    engine = engine or importing_engine(len(indices))
    with new_file(path) as temporary:
        write = partial(_write_pictures, temporary, scan, treatment=treatment, engine=engine, jobs=jobs, quiet=quiet)
        results = write(indices)
        bad = [entry for result in results for entry in result.bad]
        skipped = [*scan.bad, *((scan.reader.origin(index), reason) for index, reason in bad)]
        listed = _listed(skipped)
        if skipped:
            notes.append(_left_out(skipped, scan, len(indices), options, listed))
        if bad:
            temporary.unlink()
            indices = np.setdiff1d(indices, [index for index, _ in bad])
            results = write(indices)
            if any(result.bad for result in results):
                raise EpochbankError("the source changed while it was imported. Give the same command again.")
        columns = (source_file.mapped(temporary, column) for column in ("digest", "likeness", "image"))
        digests, likenesses, pictures = map(np.asarray, columns)
        with ThreadPoolExecutor(3, "import") as meanwhile:
            synced = meanwhile.submit(sync, temporary)
            copies = meanwhile.submit(find_copies, digests)
            alike = meanwhile.submit(find_alike, digests, likenesses, pictures.__getitem__)
            _finish(temporary, scan, indices, name, decided, notes, results, skipped)
            source_file.add_pairs(temporary, copies.result(), *alike.result())
            synced.result()
    return [*notes, *([f"left out:{listed}"] if skipped else [])]


def _finish(
    path: Path,
    scan: Scan,
    indices: np.ndarray,
    name: str,
    decided: str,
    notes: list[str],
    results: list[BlockResult],
    skipped: list[tuple[str, str]],
) -> None:
    """Write everything beside the pictures; classes that a limit or a skip left empty are noted."""
    labels, class_names = _compact(scan.labels[indices], scan.class_names)
    if len(class_names) < len(scan.class_names):
        gone = len(scan.class_names) - len(class_names)
        notes.append(f"{gone:,} of {len(scan.class_names):,} classes have no picture, and are left out")
    groups, group_names = None, None
    if scan.groups is not None and scan.group_names is not None:
        groups, group_names = _compact(scan.groups[indices], scan.group_names)
    source_file.finish(
        path,
        name=name,
        labels=labels,
        class_names=class_names,
        groups=groups,
        group_names=group_names,
        block_digests=(result.digest for result in results),
        origins=_origins(scan.reader, indices),
        skipped=skipped,
        notes=notes,
        parts=None if scan.parts is None else scan.parts[indices],
        decided=decided,
    )


def selection(count: int, limit: int | None) -> np.ndarray:
    """Indices (int64, ascending) of all `count` pictures, or of `limit` of them, evenly spaced."""
    if limit is None or limit >= count:
        return np.arange(count)
    return np.arange(limit) * count // limit


def decide(scan: Scan, indices: np.ndarray, options: ImportOptions) -> tuple[Treatment, str]:
    """The treatment of every picture, from the options and a look at a sample; and a sentence that says why."""
    sample = indices[selection(len(indices), SAMPLE)]
    look = look_at(one_by_one(scan.reader.read(sample)))
    channels = {"grey": 1, "rgb": 3, "auto": scan.channels or (3 if look.colour else 1)}[options.colour]
    invert = options.invert == "yes" or (options.invert == "auto" and channels == 1 and 2 * look.light > look.images)
    height, width = options.size or scan.size or DEFAULT_SIZE
    treatment = Treatment(height, width, channels, invert)
    return treatment, _decision(treatment, look, options)


def _decision(treatment: Treatment, look: Look, options: ImportOptions) -> str:
    ground = f"the ground is light in {look.light} of {look.images} pictures looked at"
    if options.invert != "auto":
        ground = f"--invert {options.invert}"
    elif treatment.channels == 3:
        ground = "colour is never inverted unasked"
    kind = "grey" if treatment.channels == 1 else "RGB"
    done = "inverted" if treatment.invert else "not inverted"
    return f"pictures are {kind}, {treatment.height} x {treatment.width}, {done} ({ground})"


def _write_pictures(
    path: Path, scan: Scan, indices: np.ndarray, *, treatment: Treatment, engine: str, jobs: int, quiet: bool
) -> list[BlockResult]:
    """Create `path` and write the pictures into it, block by block on all cores; results in order of block."""
    needed, free = len(indices) * int(np.prod(treatment.shape)), shutil.disk_usage(path.parent).free
    if needed > free:
        raise EpochbankError(
            f"the source file needs {size(needed)}, and {path.parent} has {size(free)} left. "
            "Free space, choose another place, or import fewer pictures with --limit."
        )
    places, rows = source_file.create(path, len(indices), treatment.shape), source_file.block_rows(treatment.shape)
    starts = range(0, len(indices), rows)
    blocks = (
        Block(path.absolute(), places, start, indices[start : start + rows], scan.reader, treatment, engine)
        for start in starts
    )
    results: list[BlockResult | None] = [None] * len(starts)
    with Progress("import", len(indices), quiet=quiet) as progress:
        for number, result in on_all_cores(write_block, blocks, len(starts), jobs):
            results[number] = result
            progress.advance(result.images)
    return [result for result in results if result is not None]


def _listed(skipped: list[tuple[str, str]]) -> str:
    """A line for each of the first, and how many more there are."""
    listed = "".join(f"\n  {origin} {reason}" for origin, reason in skipped[:_LISTED])
    return listed + (f"\n  and {len(skipped) - _LISTED:,} more" if len(skipped) > _LISTED else "")


def _left_out(skipped: list[tuple[str, str]], scan: Scan, total: int, options: ImportOptions, listed: str) -> str:
    """A sentence on what is left out; `EpochbankError` where that is not wanted, or nothing is left."""
    # What the scan could not use may be a whole file of them.
    of = f"{total + len(scan.bad):,} {'pictures or files' if scan.bad else 'pictures'}"
    what = f"{len(skipped):,} of {of}"
    if len(skipped) - len(scan.bad) == total:
        raise EpochbankError(f"no picture of the source can be used:{listed}\nNothing was imported.")
    if options.on_bad == "refuse":
        raise EpochbankError(
            f"{what} cannot be used:{listed}\n"
            "Mend or remove them, or leave them out with --on-bad skip. Nothing was imported."
        )
    return f"{what} left out, as the source file records"


def _compact(numbers: np.ndarray, names: list[str]) -> tuple[np.ndarray, list[str]]:
    """Numbers and names without the names that a limit or a skip left without a picture."""
    present = np.unique(numbers)
    if len(present) == len(names):
        return numbers, names
    return np.searchsorted(present, numbers).astype(np.int32), [names[number] for number in present]


def _origins(reader: Reader, indices: np.ndarray) -> Iterator[list[str]]:
    for start in range(0, len(indices), 4096):
        yield [reader.origin(int(index)) for index in indices[start : start + 4096]]
