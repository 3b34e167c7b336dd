"""The report of an inspection as JSON values. Pure functions."""

from typing import Any

import numpy as np

from ...shared.fonts import code_point
from ...shared.types import SPLITS
from ...split.few_classes import label_problem
from ...split.report import split_facts
from .facts import BAD, BLANK, COLOR, CONSTANT, LIGHT
from .findings import Findings, distinct_pairs

_EXAMPLES = 5
"""Number of images, pairs, classes or sizes that are listed of each kind."""
FEW = 3
"""A class with fewer images or groups cannot be in all three splits."""

_SHORT = 8
"""Longest class name whose code points are listed."""


def report(findings: Findings) -> dict[str, Any]:
    """Return the keys `images`, `inspected`, `classes`, `groups`, `splits`, `sizes`, `color`, `background`, `problems`,
    `preprocessing` and `notes`.

    Classes, groups and splits count the whole source, everything else the inspected images.
    """
    scan, facts = findings.scan, findings.facts
    usable, contrasted = ~findings.has(BAD), ~findings.has(BAD | CONSTANT | BLANK)
    color, light = int(findings.has(COLOR).sum()), int((contrasted & findings.has(LIGHT)).sum())
    return {
        "images": len(scan.labels),
        "inspected": len(facts),
        "classes": _classes(findings),
        "groups": _groups(findings),
        "splits": _splits(findings),
        "sizes": _sizes(facts["height"][usable], facts["width"][usable]),
        "color": {"gray": int(usable.sum()) - color, "color": color},
        "background": {"dark": int(contrasted.sum()) - light, "light": light},
        "problems": _problems(findings),
        "preprocessing": findings.decided,
        "notes": scan.all_notes(),
    }


def class_table(findings: Findings) -> list[dict[str, Any]]:
    """Return the counts of each class, in order.

    The keys are `class`, `code_points` (for names of up to 8 characters), `images`; `groups` and the splits, if the
    source has any; `inspected`; and the number of inspected images that are `bad`, `constant`, `blank`, `inverted` and
    `duplicates`.
    """
    scan, labels = findings.scan, findings.labels
    count = len(scan.class_names)
    columns: dict[str, np.ndarray] = {"images": np.bincount(scan.labels, minlength=count)}
    if scan.groups is not None:
        columns["groups"] = np.bincount(findings.group_pairs[:, 1], minlength=count)
    if scan.splits is not None:
        for number, split in enumerate(SPLITS):
            columns[split] = np.bincount(scan.labels[scan.splits == number], minlength=count)
    columns["inspected"] = np.bincount(labels, minlength=count)
    for kind, rows in findings.problems.items():
        if kind != "near_duplicates":
            columns[kind] = np.bincount(labels[rows[:, 0] if rows.ndim == 2 else rows], minlength=count)
    return [
        {"class": name, "code_points": code_points(name)} | {key: int(column[label]) for key, column in columns.items()}
        for label, name in enumerate(scan.class_names)
    ]


def code_points(name: str) -> str:
    """Return the code points of a short name, `U+304B U+3099`; '' for a longer one."""
    return " ".join(map(code_point, name)) if len(name) <= _SHORT else ""


def spread_of(counts: np.ndarray) -> dict[str, float]:
    """Return `min`, `median` and `max` of numbers; 0 if there are none."""
    if not len(counts):
        return {"min": 0, "median": 0, "max": 0}
    return {"min": int(counts.min()), "median": float(np.median(counts)), "max": int(counts.max())}


def _classes(findings: Findings) -> dict[str, Any]:
    names = findings.scan.class_names
    counts = np.bincount(findings.scan.labels, minlength=len(names))
    order = np.argsort(counts, kind="stable")
    fewest, most = order[:_EXAMPLES].tolist(), order[::-1][:_EXAMPLES].tolist()
    return {
        "count": len(names),
        "images": spread_of(counts),
        "fewest": {names[label]: int(counts[label]) for label in fewest},
        "most": {names[label]: int(counts[label]) for label in most},
        "table": class_table(findings),
    }


def _groups(findings: Findings) -> dict[str, Any] | None:
    scan = findings.scan
    if scan.groups is None or scan.group_names is None:
        return None
    pairs, count = findings.group_pairs, len(scan.group_names)
    return {
        "count": count,
        "images": spread_of(np.bincount(scan.groups, minlength=count)),
        "classes": spread_of(np.bincount(pairs[:, 0], minlength=count)),
        "groups_per_class": spread_of(np.bincount(pairs[:, 1], minlength=len(scan.class_names))),
    }


def _splits(findings: Findings) -> dict[str, Any] | None:
    scan = findings.scan
    if scan.splits is None:
        return None
    found = {}
    for number, split in enumerate(SPLITS):
        rows = np.flatnonzero(scan.splits == number)
        groups = None if scan.groups is None else scan.groups[rows]
        found[split] = split_facts(scan.labels[rows], groups, scan.class_names).to_json()
    return found | {"unassigned": int((scan.splits < 0).sum())}


def _sizes(heights: np.ndarray, widths: np.ndarray) -> dict[str, Any]:
    sizes, counts = np.unique((heights.astype(np.int64) << 32) | widths, return_counts=True)
    common = np.argsort(-counts, kind="stable")[:_EXAMPLES]
    return {
        "count": len(sizes),
        "height": spread_of(heights),
        "width": spread_of(widths),
        "common": [
            {"height": int(sizes[at] >> 32), "width": int(sizes[at] & 0xFFFFFFFF), "images": int(counts[at])}
            for at in common
        ],
    }


def _problems(findings: Findings) -> dict[str, Any]:
    """Return number and examples of each kind of problem; `labels` is a sentence or None."""
    scan = findings.scan
    found = {
        kind: {"images": len(rows), "examples": [_origin(findings, row) for row in rows[:_EXAMPLES].tolist()]}
        for kind, rows in findings.problems.items()
        if rows.ndim == 1 and kind != "bad"
    }
    bad = [(_origin(findings, row), reason) for row, reason in [*findings.bad.items()][:_EXAMPLES]] + scan.bad
    duplicates = _pairs(findings, findings.duplicates)
    duplicates["constant"] = int(findings.has(CONSTANT)[findings.duplicates[:, 0]].sum())
    return {
        "labels": label_problem(scan.labels, scan.class_names),
        "bad": {
            "images": len(findings.bad) + len(scan.bad),
            "examples": [{"origin": origin, "reason": reason} for origin, reason in bad[:_EXAMPLES]],
        },
        **found,
        "duplicates": duplicates,
        "near_duplicates": _pairs(findings, findings.near_duplicates) | {"complete": findings.near_duplicates_complete},
        "groups_across_splits": _groups_across_splits(findings),
        "few_images": _few(findings, np.bincount(scan.labels, minlength=len(scan.class_names))),
        "few_groups": _few_groups(findings),
    }


def _pairs(findings: Findings, pairs: np.ndarray) -> dict[str, Any]:
    """Return number and examples of `pairs` of rows; how many are of two classes, and of two splits."""
    scan, indices = findings.scan, findings.indices[pairs]
    labels = scan.labels[indices]
    splits = None if scan.splits is None else scan.splits[indices]
    across = 0 if splits is None else int(((splits[:, 0] != splits[:, 1]) & (splits >= 0).all(axis=1)).sum())
    first = findings.worst_first(pairs)[:_EXAMPLES].tolist()
    return {
        "images": len(pairs),
        "across_classes": int((labels[:, 0] != labels[:, 1]).sum()),
        "across_splits": across,
        "examples": [{"origin": _origin(findings, one), "other": _origin(findings, other)} for one, other in first],
    }


def _groups_across_splits(findings: Findings) -> int:
    """Return the number of groups that the splits of the source divide."""
    scan = findings.scan
    if scan.groups is None or scan.splits is None:
        return 0
    assigned = scan.splits >= 0
    pairs = distinct_pairs(scan.groups[assigned], scan.splits[assigned])
    return int((np.unique(pairs[:, 0], return_counts=True)[1] > 1).sum())


def _few_groups(findings: Findings) -> dict[str, Any]:
    scan = findings.scan
    if scan.groups is None:
        return {"classes": 0, "examples": []}
    return _few(findings, np.bincount(findings.group_pairs[:, 1], minlength=len(scan.class_names)))


def _few(findings: Findings, counts: np.ndarray) -> dict[str, Any]:
    """Return the classes whose count is too small for all three splits."""
    few = np.flatnonzero(counts < FEW).tolist()
    return {"classes": len(few), "examples": [findings.scan.class_names[label] for label in few[:_EXAMPLES]]}


def _origin(findings: Findings, row: int) -> str:
    return findings.scan.reader.origin(int(findings.indices[row]))
