"""A comparison as lines of text."""

from collections.abc import Sequence

from ....augment.shared.progress import duration
from .comparison import Comparison
from .predictions import Changes

_CLASSES = 5
"""Number of classes that got better, and that got worse, that are listed."""
_WIDTH = 28
"""Longest value in a table."""


def lines(comparison: Comparison) -> list[str]:
    """Return what `train compare` prints."""
    found = [*_results(comparison), *_seeds(comparison)]
    for title, differences in (("settings that differ", comparison.settings), ("sets", comparison.sets)):
        if differences:
            rows = [[one.name, *map(_short, one.values)] for one in differences]
            found += ["", *table([[title, *map(_short, comparison.names)], *rows])]
    if not comparison.settings and not comparison.sets:
        found += ["", "All settings are the same."]
    found += _pairs(comparison)
    for changes in comparison.changes:
        found += ["", *_changes(comparison, changes)]
    return found


def _results(comparison: Comparison) -> list[str]:
    rows = [["run", f"{comparison.split} accuracy", "95 % interval", "loss", "images", "epochs", "time"]]
    for name, record, result in zip(comparison.names, comparison.records, comparison.results, strict=True):
        summary = record.summary or {}
        rows.append(
            [name, percent(result.accuracy), f"{100 * result.low:.2f} to {percent(result.high)}", f"{result.loss:.4f}",
             f"{result.images:,}", str(summary.get("epochs", "-")),
             "-" if record.seconds is None else duration(record.seconds)]
        )  # fmt: skip
    return table(rows)


def _seeds(comparison: Comparison) -> list[str]:
    if not comparison.groups:
        return []
    rows = [["runs that differ in the seed only", "number", "mean accuracy", "standard error"]]
    for group in comparison.groups:
        names = ", ".join(comparison.names[number] for number in group.runs)
        rows.append([names, str(len(group.runs)), percent(group.mean), f"{100 * group.error:.2f} points"])
    return ["", *table(rows)]


def _pairs(comparison: Comparison) -> list[str]:
    if not comparison.pairs:
        return []
    several = len(comparison.pairs) > 1
    head = ["McNemar's exact test", "difference", "only first correct", "only second correct", "p"]
    rows = [[*head, "p (Holm)"] if several else head]
    for pair in comparison.pairs:
        both = f"{comparison.names[pair.first]}, {comparison.names[pair.second]}"
        row = [both, points(pair.difference), str(pair.only_first), str(pair.only_second), p_text(pair.p_value)]
        rows.append([*row, p_text(pair.adjusted)] if several else row)
    return ["", *table(rows)]


def _changes(comparison: Comparison, changes: Changes) -> list[str]:
    first, second = comparison.names[changes.first], comparison.names[changes.second]
    names = comparison.records[changes.first].class_names
    found = []
    for word, sign in (("better", 1), ("worse", -1)):
        some = [one for one in changes.classes if sign * (one.after - one.before) > 0]
        found.append(f"{len(some)} classes {word} in {second} than in {first}" if len(some) != 1 else
                     f"1 class {word} in {second} than in {first}")  # fmt: skip
        found += [
            f"  {one.after - one.before:+}  {names[one.label]}: {one.before} to {one.after} of {one.images} correct"
            for one in some[:_CLASSES]
        ]
        if len(some) > _CLASSES:
            found.append(f"  and {len(some) - _CLASSES} more")
    return found


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines, with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def percent(share: float) -> str:
    """Return a share, 0 to 1, in percent."""
    return f"{100 * share:.2f} %"


def points(difference: float) -> str:
    """Return the difference of two accuracies in percentage points."""
    return f"{100 * difference:+.2f} points"


def p_text(p_value: float) -> str:
    """Return a p-value with two significant digits."""
    return "< 0.0001" if p_value < 1e-4 else f"{p_value:.2g}"


def _short(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH // 2 - 1]}…{text[-_WIDTH // 2 :]}"
