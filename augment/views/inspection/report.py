"""What was found in a source as plain JSON values. Pure."""

from dataclasses import asdict
from typing import Any

import numpy as np

from ...split.report import part_facts
from ...store.description import PARTS
from ..fonts import code_point
from .facts import BAD, BLANK, COLOUR, CONSTANT, LIGHT
from .findings import Findings, distinct_pairs

_EXAMPLES = 5
"""Pictures, pairs, classes and sizes that are told of each kind."""
FEW = 3
"""A class with fewer pictures, or groups, cannot be in each of the three parts."""

_SHORT = 8
"""Letters of a class name whose code points are told."""


def report(findings: Findings) -> dict[str, Any]:
    """`pictures`, `looked_at`, `classes`, `groups`, `parts`, `sizes`, `colour`, `ground`, `wrong`, `import`, `notes`.

    Classes, groups and parts are counted over the whole source, everything else over the pictures looked at.
    """
    scan, facts = findings.scan, findings.facts
    usable, telling = ~findings.has(BAD), ~findings.has(BAD | CONSTANT | BLANK)
    colour, light = int(findings.has(COLOUR).sum()), int((telling & findings.has(LIGHT)).sum())
    return {
        "pictures": len(scan.labels),
        "looked_at": len(facts),
        "classes": _classes(findings),
        "groups": _groups(findings),
        "parts": _parts(findings),
        "sizes": _sizes(facts["height"][usable], facts["width"][usable]),
        "colour": {"grey": int(usable.sum()) - colour, "colour": colour},
        "ground": {"dark": int(telling.sum()) - light, "light": light},
        "wrong": _wrong(findings),
        "import": findings.decided,
        "notes": scan.notes,
    }


def class_table(findings: Findings) -> list[dict[str, Any]]:
    """Of each class, in order: `class`, `code_points`, `pictures`, `groups` and the parts (each where the source has
    any), `looked_at`, and how many of these are `bad`, `constant`, `blank`, `inverted`, `copies`.

    Code points are told of names of up to 8 letters.
    """
    scan, labels = findings.scan, findings.labels
    count = len(scan.class_names)
    columns: dict[str, np.ndarray] = {"pictures": np.bincount(scan.labels, minlength=count)}
    if scan.groups is not None:
        columns["groups"] = np.bincount(findings.group_pairs[:, 1], minlength=count)
    if scan.parts is not None:
        for number, part in enumerate(PARTS):
            columns[part] = np.bincount(scan.labels[scan.parts == number], minlength=count)
    columns["looked_at"] = np.bincount(labels, minlength=count)
    for kind, rows in findings.faults.items():
        if kind != "alike":
            columns[kind] = np.bincount(labels[rows[:, 0] if rows.ndim == 2 else rows], minlength=count)
    return [
        {"class": name, "code_points": code_points(name)} | {key: int(column[label]) for key, column in columns.items()}
        for label, name in enumerate(scan.class_names)
    ]


def code_points(name: str) -> str:
    """`U+304B U+3099`; empty for a name that is longer than a character may be."""
    return " ".join(map(code_point, name)) if len(name) <= _SHORT else ""


def spread_of(counts: np.ndarray) -> dict[str, float]:
    """`min`, `median` and `max` of numbers; 0 where there are none."""
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
        "pictures": spread_of(counts),
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
        "pictures": spread_of(np.bincount(scan.groups, minlength=count)),
        "classes": spread_of(np.bincount(pairs[:, 0], minlength=count)),
        "groups_of_a_class": spread_of(np.bincount(pairs[:, 1], minlength=len(scan.class_names))),
    }


def _parts(findings: Findings) -> dict[str, Any] | None:
    scan = findings.scan
    if scan.parts is None:
        return None
    found = {}
    for number, part in enumerate(PARTS):
        rows = np.flatnonzero(scan.parts == number)
        groups = None if scan.groups is None else scan.groups[rows]
        found[part] = asdict(part_facts(scan.labels[rows], groups, scan.class_names))
    return found | {"unsaid": int((scan.parts < 0).sum())}


def _sizes(heights: np.ndarray, widths: np.ndarray) -> dict[str, Any]:
    sizes, counts = np.unique((heights.astype(np.int64) << 32) | widths, return_counts=True)
    common = np.argsort(-counts, kind="stable")[:_EXAMPLES]
    return {
        "count": len(sizes),
        "height": spread_of(heights),
        "width": spread_of(widths),
        "common": [
            {"height": int(sizes[at] >> 32), "width": int(sizes[at] & 0xFFFFFFFF), "pictures": int(counts[at])}
            for at in common
        ],
    }


def _wrong(findings: Findings) -> dict[str, Any]:
    """Of each kind: how many, and a few of them."""
    scan, found = findings.scan, findings.faults
    told = {
        kind: {"pictures": len(rows), "examples": [_origin(findings, row) for row in rows[:_EXAMPLES].tolist()]}
        for kind, rows in found.items()
        if rows.ndim == 1 and kind != "bad"
    }
    bad = [(_origin(findings, row), reason) for row, reason in [*findings.bad.items()][:_EXAMPLES]] + scan.bad
    copies = _told_pairs(findings, findings.copies)
    copies["constant"] = int(findings.has(CONSTANT)[findings.copies[:, 0]].sum())
    return {
        "bad": {
            "pictures": len(findings.bad) + len(scan.bad),
            "examples": [{"origin": origin, "why": reason} for origin, reason in bad[:_EXAMPLES]],
        },
        **told,
        "copies": copies,
        "alike": _told_pairs(findings, findings.alike) | {"complete": findings.alike_complete},
        "torn_groups": _torn_groups(findings),
        "few_pictures": _few(findings, np.bincount(scan.labels, minlength=len(scan.class_names))),
        "few_groups": _few_groups(findings),
    }


def _told_pairs(findings: Findings, pairs: np.ndarray) -> dict[str, Any]:
    scan, indices = findings.scan, findings.indices[pairs]
    labels = scan.labels[indices]
    parts = None if scan.parts is None else scan.parts[indices]
    across = 0 if parts is None else int(((parts[:, 0] != parts[:, 1]) & (parts >= 0).all(axis=1)).sum())
    first = findings.worst_first(pairs)[:_EXAMPLES].tolist()
    return {
        "pictures": len(pairs),
        "other_class": int((labels[:, 0] != labels[:, 1]).sum()),
        "other_part": across,
        "examples": [{"origin": _origin(findings, one), "of": _origin(findings, two)} for one, two in first],
    }


def _torn_groups(findings: Findings) -> int:
    """Groups that the source's own parts tear apart."""
    scan = findings.scan
    if scan.groups is None or scan.parts is None:
        return 0
    said = scan.parts >= 0
    pairs = distinct_pairs(scan.groups[said], scan.parts[said])
    return int((np.unique(pairs[:, 0], return_counts=True)[1] > 1).sum())


def _few_groups(findings: Findings) -> dict[str, Any]:
    scan = findings.scan
    if scan.groups is None:
        return {"classes": 0, "examples": []}
    return _few(findings, np.bincount(findings.group_pairs[:, 1], minlength=len(scan.class_names)))


def _few(findings: Findings, counts: np.ndarray) -> dict[str, Any]:
    """Classes of which there are fewer than one for each part."""
    few = np.flatnonzero(counts < FEW).tolist()
    return {"classes": len(few), "examples": [findings.scan.class_names[label] for label in few[:_EXAMPLES]]}


def _origin(findings: Findings, row: int) -> str:
    return findings.scan.reader.origin(int(findings.indices[row]))
