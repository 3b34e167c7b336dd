"""Inspection of the images of a source on all cores: facts about each image, and duplicates among them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ...errors import EpochbankError
from ...ingest.block import batches_of_one_shape
from ...ingest.importer import ImportOptions, decide
from ...ingest.near_duplicates import find_duplicates, near_pairs
from ...ingest.preprocess import Preprocessing
from ...ingest.resize import resize_engine_for
from ...shared.progress import Progress
from ...shared.spacing import limited
from ...shared.types import NO_PAIRS
from ...shared.workers import on_all_cores
from ...sources import Reader, Scan, SourceOptions
from ...sources.decode import BadImage
from ...sources.value_range import ValueRanges, in_bytes
from .facts import BAD, BLANK, COLOR, CONSTANT, FACTS, LIGHT, ImageLoader, compare_block, facts_of_block

_BLOCK, _PAIRS = 1024, 1024
"""Number of images, and of pairs, in one task."""
_COMPARED = 64
"""Longest side, in pixels, at which images are compared."""


@dataclass(frozen=True)
class Findings:
    """Findings on a source of which n of N images are inspected; a row is the number of an inspected image."""

    scan: Scan
    indices: np.ndarray
    """int64 (n,), ascending: which images of the source are inspected."""
    facts: np.ndarray
    """`FACTS` (n,), on disk."""
    bad: dict[int, str]
    """Row of each unusable image, and the reason."""
    duplicates: np.ndarray
    """int64 (k, 2): row, and the first row with identical pixels."""
    near_duplicates: np.ndarray
    """int64 (k, 2): pairs of rows, the earlier second."""
    near_duplicates_complete: bool
    """False if there were too many candidates to compare all of them."""
    value_ranges: ValueRanges
    """Which pixel values an import would make 0 and 255."""
    decided: str
    """What an import would decide on color, size and inversion, in one sentence."""
    preprocessing: Preprocessing
    """What an import would do to each image."""
    suggested: dict[str, str]
    """Options of an import that suit the images better, by name."""

    def has(self, flags: int) -> np.ndarray:
        """Return for each image whether it has one of `flags`, bool (n,)."""
        return (self.facts["flags"] & flags) != 0

    @property
    def labels(self) -> np.ndarray:
        """int32 (n,): labels of the inspected images."""
        return self.scan.labels[self.indices]

    @cached_property
    def group_pairs(self) -> np.ndarray:
        """int64 (k, 2): distinct pairs of group and label in the source; empty if there are no groups."""
        groups, labels = self.scan.groups, self.scan.labels
        return np.empty((0, 2), np.int64) if groups is None else distinct_pairs(groups, labels)

    @cached_property
    def problems(self) -> dict[str, np.ndarray]:
        """The images with each kind of problem: rows, int64 (k,), or pairs of rows, int64 (k, 2)."""
        flags = {"bad": BAD, "constant": CONSTANT, "blank": BLANK}
        return {kind: np.flatnonzero(self.has(flag)) for kind, flag in flags.items()} | {
            "inverted": self._inverted(),
            "duplicates": self.duplicates,
            "near_duplicates": self.near_duplicates,
        }

    def worst_first(self, pairs: np.ndarray) -> np.ndarray:
        """Return `pairs` of rows, those of different classes first, but those of constant images last."""
        same = self.labels[pairs[:, 0]] == self.labels[pairs[:, 1]]
        return pairs[np.argsort(same + 2 * self.has(CONSTANT)[pairs[:, 0]], kind="stable")]

    def _inverted(self) -> np.ndarray:
        """Return the rows of gray images whose background is unlike that of most; empty if most images have color."""
        gray = ~self.has(BAD | CONSTANT | BLANK | COLOR)
        light = gray & self.has(LIGHT)
        if 2 * int(self.has(COLOR).sum()) > len(self.facts):
            return np.empty(0, np.int64)
        return np.flatnonzero(gray & ~light if 2 * int(light.sum()) > int(gray.sum()) else light)


def distinct_pairs(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the distinct pairs of two columns of non-negative numbers (int (N,)), sorted, int64 (k, 2)."""
    width = int(other.max(initial=0)) + 1
    return np.stack(np.divmod(np.unique(one.astype(np.int64) * width + other), width), axis=1)


def inspect_images(scan: Scan, limit: int | None, workspace: Path, jobs: int, options: SourceOptions) -> Findings:
    """Inspect all images of a scanned source, or `limit` of them, the same share of every class.

    The facts are in a file in `workspace`, 41 bytes per image, which must exist as long as the findings are used.
    Unusable images are reported, not raised. Raises `EpochbankError` if there are no images, or if the source changes
    during the inspection.
    """
    indices = limited(scan.labels, limit)
    if not len(indices):
        raise EpochbankError("the source has no images; expected at least one. Choose another source.")
    preprocessing, decided, suggested = decide(scan, indices, ImportOptions(source=options), refuse=False)
    loader = ImageLoader(scan.reader, _limit_size(preprocessing), preprocessing, resize_engine_for(len(indices)))
    facts: np.ndarray = np.memmap(workspace / "facts", FACTS, "w+", shape=len(indices))
    bad: dict[int, str] = {}
    starts = range(0, len(indices), _BLOCK)
    blocks = ((loader, indices[start : start + _BLOCK]) for start in starts)
    with Progress("inspect", len(indices)) as progress:
        for number, (found, reasons) in on_all_cores(facts_of_block, blocks, len(starts), jobs):
            facts[starts[number] : starts[number] + len(found)] = found
            bad.update((starts[number] + index, reason) for index, reason in reasons)
            progress.advance(len(found))
    facts = np.asarray(facts)
    duplicates = find_duplicates(facts["digest"])
    duplicates = duplicates[(facts["flags"][duplicates[:, 0]] & BAD) == 0]
    near_duplicates, complete = _near_duplicates(facts, indices, loader, jobs)
    bad, ranges = dict(sorted(bad.items())), preprocessing.value_ranges
    return Findings(
        scan,
        indices,
        facts,
        bad,
        duplicates,
        near_duplicates,
        complete,
        ranges,
        decided,
        preprocessing,
        suggested,
    )


def _limit_size(preprocessing: Preprocessing) -> Preprocessing:
    """Return `preprocessing` with a size that is sufficient to compare images."""
    factor = min(1.0, _COMPARED / max(preprocessing.height, preprocessing.width))
    height, width = (max(1, round(side * factor)) for side in (preprocessing.height, preprocessing.width))
    return replace(preprocessing, height=height, width=width)


def _near_duplicates(facts: np.ndarray, indices: np.ndarray, loader: ImageLoader, jobs: int) -> tuple[np.ndarray, bool]:
    """Return pairs of rows with similar hashes whose pixels correlate; and whether all candidates were compared."""
    pairs, complete = near_pairs(facts["digest"], facts["dhash"])
    starts = range(0, len(pairs), _PAIRS)
    blocks = ((loader, indices[pairs[start : start + _PAIRS]]) for start in starts)
    found: list[np.ndarray] = [NO_PAIRS] * len(starts)
    with Progress("compare", len(pairs), "pairs", quiet=not len(pairs)) as progress:
        for number, near_duplicates in on_all_cores(compare_block, blocks, len(starts), jobs):
            found[number] = near_duplicates
            progress.advance(min(_PAIRS, len(pairs) - starts[number]))
    return np.searchsorted(indices, np.concatenate([NO_PAIRS, *found])), complete


def images_at(reader: Reader, indices: np.ndarray, ranges: ValueRanges) -> Iterator[np.ndarray | None]:
    """Yield the image at each of `indices` (int64 (n,), any order), uint8 (h, w) or (h, w, 3); None if unusable."""
    for index in indices.tolist():
        for batch in batches_of_one_shape(in_bytes(reader.read(np.array([index])), ranges)):
            yield None if isinstance(batch, BadImage) else batch[0]
