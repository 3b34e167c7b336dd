"""The results of a study: means, errors, and how many stored epochs suffice."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .plan import Training

POINTS = 100
"""Accuracies are 0 to 1; points are percent."""


@dataclass(frozen=True)
class Row:
    """All seeds of one number of stored epochs."""

    stored: int
    final: bool
    accuracy: dict[int, float]
    """Accuracy by seed, 0 to 1: on the test split, or on validation if there is no test split."""

    @property
    def mean(self) -> float:
        """Mean accuracy."""
        return float(np.mean(list(self.accuracy.values())))

    @property
    def error(self) -> float:
        """Standard error of the mean; NaN for one seed."""
        return standard_error(list(self.accuracy.values()))

    @property
    def interval(self) -> float:
        """Half of the 95 % confidence interval of the mean, by Student's t distribution; NaN for one seed."""
        return self.error * _t(len(self.accuracy))


@dataclass(frozen=True)
class Difference:
    """The mean difference of two rows, seed by seed, and its standard error."""

    mean: float
    error: float


def rows_of(accuracies: Mapping[Training, float]) -> list[Row]:
    """Return the rows of a study, without final augmentation first, by number of stored epochs."""
    rows: dict[tuple[bool, int], dict[int, float]] = {}
    for training, accuracy in accuracies.items():
        rows.setdefault((training.final, training.stored), {})[training.seed] = accuracy
    return [Row(stored, final, found) for (final, stored), found in sorted(rows.items())]


def difference(row: Row, other: Row) -> Difference:
    """Return how much more accurate `row` is than `other`, on the seeds that both have."""
    pairs = [row.accuracy[seed] - other.accuracy[seed] for seed in row.accuracy.keys() & other.accuracy.keys()]
    return Difference(float(np.mean(pairs)) if pairs else math.nan, standard_error(pairs))


def standard_error(values: list[float]) -> float:
    """Return the standard error of the mean of `values`; NaN for fewer than two."""
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan


def verdict(rows: list[Row], fresh: int, tolerance: float) -> str:
    """Return in one sentence how many stored epochs are as good as fresh distortion.

    Parameters
    ----------
    rows
        The rows of a study.
    fresh
        The number of stored epochs that stands for fresh distortion in each training epoch.
    tolerance
        Difference of accuracies, 0 to 1, that does not matter. One standard error does not matter either.
    """
    reference = next((row for row in rows if row.stored == fresh and not row.final), None)
    if reference is None:
        return "Fresh distortion was not trained, so there is nothing to compare with."
    parts = []
    for final in (False, True):
        others = [row for row in rows if row.final == final and row.stored]
        if others:
            parts.append(_smallest(others, reference, fresh, tolerance) + (" with final augmentation" if final else ""))
    sentence = f"{'; '.join(parts)}."
    return sentence[0].upper() + sentence[1:]


def _smallest(rows: list[Row], reference: Row, fresh: int, tolerance: float) -> str:
    for row in rows:
        lead = difference(row, reference)
        allowed = max(tolerance, 0 if math.isnan(lead.error) else lead.error)
        if -lead.mean <= allowed and row is not reference:
            by = f"{POINTS * tolerance:.1f} points" if -lead.mean <= tolerance else "one standard error"
            return f"{row.stored} stored epoch{'s are' if row.stored > 1 else ' is'} within {by} of fresh distortion"
    compared = "up to" if any(row.stored == fresh and row is not reference for row in rows) else "below"
    return (
        f"no number of stored epochs {compared} {fresh} is within {POINTS * tolerance:.1f} points of fresh distortion"
    )


def caveats(rows: list[Row], images: int, split: str, tolerance: float) -> list[str]:
    """Return, one sentence each, why differences of `tolerance` may be due to chance.

    `images` is the number of images in `split`, on which the accuracies were measured.
    """
    found = []
    if any(len(row.accuracy) < 2 for row in rows):
        found.append("One seed gives no standard error; --seeds 3 does.")
    if 1 / images > tolerance:
        found.append(
            f"One of the {images} {split} images is {POINTS / images:.1f} points, more than the tolerance of "
            f"{POINTS * tolerance:.1f}."
        )
    return found


def table(rows: list[Row], fresh: int) -> list[str]:
    """Return the rows as lines of text: accuracy in percent, with its 95 % confidence interval."""
    reference = next((row for row in rows if row.stored == fresh and not row.final), None)
    lines = [f"{'stored epochs':16}{'final':8}{'accuracy, %':>20}{'from fresh, points':>21}{'seeds':>7}"]
    for row in rows:
        name = {0: "originals only", fresh: f"{fresh} (fresh)"}.get(row.stored, str(row.stored))
        compared = ""
        if reference is not None and row is not reference:
            lead = difference(row, reference)
            compared = f"{POINTS * lead.mean:+.2f}{_plus_minus(lead.error)}"
        accuracy = f"{POINTS * row.mean:.2f}{_plus_minus(row.interval)}"
        lines.append(f"{name:16}{'yes' if row.final else 'no':8}{accuracy:>20}{compared:>21}{len(row.accuracy):>7}")
    return lines


def as_json(rows: list[Row], fresh: int) -> list[dict[str, Any]]:
    """Return the rows as JSON values; accuracies and errors are 0 to 1, None where one seed gives no error."""
    reference = next((row for row in rows if row.stored == fresh and not row.final), None)
    found = []
    for row in rows:
        lead = None if reference is None else difference(row, reference)
        found.append(
            {
                "stored_epochs": row.stored,
                "fresh": row.stored == fresh,
                "final": row.final,
                "accuracy": {str(seed): accuracy for seed, accuracy in sorted(row.accuracy.items())},
                "mean": row.mean,
                "standard_error": _number(row.error),
                "interval_95": _number(row.interval),
                "difference": None if lead is None else _number(lead.mean),
                "difference_error": None if lead is None else _number(lead.error),
            }
        )
    return found


def _plus_minus(value: float) -> str:
    return "" if math.isnan(value) else f" \N{PLUS-MINUS SIGN} {POINTS * value:.2f}"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _t(count: int) -> float:
    from scipy import stats

    return float(stats.t.ppf(0.975, count - 1)) if count > 1 else math.nan
