"""Looking at a source on all cores: what is found of its pictures, one by one and beside each other."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ...distortion.engine import importing_engine
from ...errors import EpochbankError
from ...ingest.block import runs_of_one_shape
from ...ingest.importer import ImportOptions, decide, selection
from ...ingest.near_duplicates import find_copies, near_pairs
from ...ingest.source_file import NO_PAIRS
from ...shared.progress import Progress
from ...shared.workers import on_all_cores
from ...sources import Reader, Scan
from ...sources.decode import BadPicture, Treatment
from .facts import (
    BAD,
    BLANK,
    COLOUR,
    CONSTANT,
    FACTS,
    LIGHT,
    Seen,
    compare,
    look_at_block,
)  # fmt: skip

_BLOCK, _PAIRS = 1024, 1024
"""Pictures, and pairs of them, of one task."""
_COMPARED = 64
"""Longest side, in pixels, of what pictures are compared by."""


@dataclass(frozen=True)
class Findings:
    """What was found in a source. n of its N pictures were looked at; a row is one's number among those."""

    scan: Scan
    indices: np.ndarray
    """int64 (n,), ascending: which pictures were looked at."""
    facts: np.ndarray
    """`FACTS` (n,), on the disk."""
    bad: dict[int, str]
    """Row of each that cannot be used, and why."""
    copies: np.ndarray
    """int64 (k, 2): rows, and the first row with the very same pixels."""
    alike: np.ndarray
    """int64 (k, 2): rows whose pictures are nearly the same, the earlier second."""
    alike_complete: bool
    """Whether all pairs were looked at that may be; else there may be more."""
    decided: str
    """What an import would decide, and why, for people."""

    def has(self, flags: int) -> np.ndarray:
        """bool (n,): which of the pictures looked at have one of these flags."""
        return (self.facts["flags"] & flags) != 0

    @property
    def labels(self) -> np.ndarray:
        """int32 (n,): the labels of the pictures looked at."""
        return self.scan.labels[self.indices]

    @cached_property
    def group_pairs(self) -> np.ndarray:
        """int64 (k, 2): which group has pictures of which class, each pair once; none where there are no groups."""
        groups, labels = self.scan.groups, self.scan.labels
        return np.empty((0, 2), np.int64) if groups is None else distinct_pairs(groups, labels)

    @cached_property
    def faults(self) -> dict[str, np.ndarray]:
        """What looks wrong: the rows of each kind, int64 (k,), or pairs of rows, int64 (k, 2)."""
        rows = {"bad": self.has(BAD), "constant": self.has(CONSTANT), "blank": self.has(BLANK)}
        return {kind: np.flatnonzero(is_one) for kind, is_one in rows.items()} | {
            "inverted": self._inverted(),
            "copies": self.copies,
            "alike": self.alike,
        }

    def worst_first(self, pairs: np.ndarray) -> np.ndarray:
        """`pairs` of rows, those under different classes first, but of pictures of one colour last."""
        same = self.labels[pairs[:, 0]] == self.labels[pairs[:, 1]]
        return pairs[np.argsort(same + 2 * self.has(CONSTANT)[pairs[:, 0]], kind="stable")]

    def _inverted(self) -> np.ndarray:
        """Rows of grey pictures whose ground is not that of most; none where most pictures have colour."""
        grey = ~self.has(BAD | CONSTANT | BLANK | COLOUR)
        light = grey & self.has(LIGHT)
        if 2 * int(self.has(COLOUR).sum()) > len(self.facts):
            return np.empty(0, np.int64)
        return np.flatnonzero(grey & ~light if 2 * int(light.sum()) > int(grey.sum()) else light)


def distinct_pairs(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The distinct pairs of two columns of numbers from 0 on (int (N,)), in order, int64 (k, 2)."""
    width = int(other.max(initial=0)) + 1
    return np.stack(np.divmod(np.unique(one.astype(np.int64) * width + other), width), axis=1)


def look_over(scan: Scan, limit: int | None, workspace: Path, jobs: int) -> Findings:
    """Look at every picture of a scanned source, or at `limit` of them, evenly spaced.

    A file in `workspace`, 41 bytes a picture, holds what is found; it must outlive the findings. A bad picture is never
    fatal. Raises `EpochbankError` where there is no picture, or the source changed meanwhile.
    """
    indices = selection(len(scan.labels), limit)
    if not len(indices):
        raise EpochbankError("the source has no pictures. Nothing was looked at.")
    treatment, decided = decide(scan, indices, ImportOptions())
    seen = Seen(scan.reader, _smaller(treatment), treatment, importing_engine(len(indices)))
    facts: np.ndarray = np.memmap(workspace / "facts", FACTS, "w+", shape=len(indices))
    bad: dict[int, str] = {}
    starts = range(0, len(indices), _BLOCK)
    blocks = ((seen, indices[start : start + _BLOCK]) for start in starts)
    with Progress("look", len(indices)) as progress:
        for number, (found, reasons) in on_all_cores(look_at_block, blocks, len(starts), jobs):
            facts[starts[number] : starts[number] + len(found)] = found
            bad.update((starts[number] + place, reason) for place, reason in reasons)
            progress.advance(len(found))
    facts = np.asarray(facts)
    copies = find_copies(facts["digest"])
    copies = copies[(facts["flags"][copies[:, 0]] & BAD) == 0]
    alike, complete = _alike(facts, indices, seen, jobs)
    return Findings(scan, indices, facts, dict(sorted(bad.items())), copies, alike, complete, decided)


def _smaller(treatment: Treatment) -> Treatment:
    """The treatment, with a size that suffices to compare pictures by."""
    factor = min(1.0, _COMPARED / max(treatment.height, treatment.width))
    height, width = (max(1, round(side * factor)) for side in (treatment.height, treatment.width))
    return replace(treatment, height=height, width=width)


def _alike(facts: np.ndarray, indices: np.ndarray, seen: Seen, jobs: int) -> tuple[np.ndarray, bool]:
    """Pairs of rows that are nearly alike: those of near likeness, held against each other by their pixels; and whether
    all of these were."""
    pairs, complete = near_pairs(facts["digest"], facts["likeness"])
    starts = range(0, len(pairs), _PAIRS)
    blocks = ((seen, indices[pairs[start : start + _PAIRS]]) for start in starts)
    found: list[np.ndarray] = [NO_PAIRS] * len(starts)
    with Progress("compare", len(pairs), "pairs", quiet=not len(pairs)) as progress:
        for number, alike in on_all_cores(compare, blocks, len(starts), jobs):
            found[number] = alike
            progress.advance(min(_PAIRS, len(pairs) - starts[number]))
    return np.searchsorted(indices, np.concatenate([NO_PAIRS, *found])), complete


def pictures_at(reader: Reader, indices: np.ndarray) -> Iterator[np.ndarray | None]:
    """The picture at each of `indices` (int64 (n,), any order), uint8 (h, w) or (h, w, 3); None for a bad one."""
    for index in indices.tolist():
        for run in runs_of_one_shape(reader.read(np.array([index]))):
            yield None if isinstance(run, BadPicture) else run[0]
