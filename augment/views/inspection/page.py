"""The result of an inspection as one HTML page."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ...shared.html.page import write_page
from ...shared.types import SPLITS
from ..class_gallery.chart import ClassChart, class_chart
from ..class_gallery.names import names_for_page
from .distributions import size_chart, value_chart
from .facts import BAD
from .findings import Findings
from .page_images import class_samples, shown_at
from .text import FORMATS, fact_rows, problem_kinds

_IMAGES, _PAIRS = 24, 18
"""Images with a problem of each kind, and pairs of near-duplicates, that are shown."""
_REASONS = 40
"""Unusable images that are listed."""
_PAGE, _SAMPLES, _NAMES, _REST = 4_800_000, 4_200_000, 600_000, 250_000
"""Bytes of the page, of the samples and of the class names at most; and of the rest, about."""


def write_inspection_page(out: Path, findings: Findings, facts: dict[str, Any]) -> None:
    """Write the page of an inspection, whose report is `facts`, as the HTML file `out`.

    It shows counts, samples by class, distributions, images with problems, and near-duplicates side by side.
    """
    problems, pairs = _problems(findings, facts), _pairs(findings)
    class_names = findings.scan.class_names
    names = names_for_page(class_names, _NAMES)
    used = _REST + _bytes(names) + _bytes(pairs) + _bytes([problem["images"] for problem in problems])
    samples, values = class_samples(findings, min(_SAMPLES, _PAGE - used), len(names))
    counts = np.bincount(findings.scan.labels, minlength=len(class_names))
    chart = class_chart(class_names, counts)
    usable = ~findings.has(BAD)
    write_page(
        out,
        Path(__file__).parent,
        "page.html.j2",
        {
            "facts": facts,
            "kind": FORMATS[facts["kind"]],
            "numbers": _numbers(facts),
            "rows": fact_rows(facts),
            "problems": problems,
            "pairs": pairs,
            "same": facts["problems"]["duplicates"],
            "near": facts["problems"]["near_duplicates"],
            "chart": chart,
            "classes": _classes(findings, names, counts, chart),
            "images": [samples.by_class.get(label, []) for label in range(len(names))],
            "total_classes": len(class_names),
            "sampled": samples.scope,
            "sizes": size_chart(findings.facts["height"][usable], findings.facts["width"][usable]),
            "values": value_chart(values),
            "num_values": values.num_images,
        },
        scripts=["../class_gallery/classes.js"],
    )


def _numbers(facts: dict[str, Any]) -> list[tuple[str, str]]:
    groups = facts["groups"]
    images = f"{facts['images']:,}"
    return [
        ("images", images),
        ("inspected", f"{facts['inspected']:,}"),
        ("classes", f"{facts['classes']['count']:,}"),
        *([("groups", f"{groups['count']:,}")] if groups else []),
        ("sizes", f"{facts['sizes']['count']:,}"),
    ]


def _problems(findings: Findings, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return each kind of problem that occurs: `name`, `why`, `count`, `images` and, for unusable ones, `reasons`."""
    found = []
    for kind, (name, why) in problem_kinds(facts["background"]).items():
        rows = findings.problems[kind]
        count = facts["problems"][kind]["images"]
        if not count or kind == "near_duplicates":
            continue
        some = rows[:_IMAGES] if rows.ndim == 1 else findings.worst_first(rows)[:_IMAGES, 0]
        shown = shown_at(findings, some) if kind != "bad" else {}
        found.append(
            {
                "name": name,
                "why": why,
                "count": count,
                "images": [asdict(shown[row]) for row in some.tolist() if row in shown],
                "reasons": _reasons(findings) if kind == "bad" else [],
            }
        )
    return found


def _reasons(findings: Findings) -> list[tuple[str, str]]:
    scan = findings.scan
    bad = [(scan.reader.origin(int(findings.indices[row])), why) for row, why in [*findings.bad.items()][:_REASONS]]
    return [*bad, *scan.bad][:_REASONS]


def _pairs(findings: Findings) -> list[dict[str, Any]]:
    """Return duplicates of another class and near-duplicates side by side, those of different classes first."""
    same = findings.worst_first(findings.duplicates)
    same = same[findings.labels[same[:, 0]] != findings.labels[same[:, 1]]][:_PAIRS]
    near = findings.worst_first(findings.near_duplicates)[: _PAIRS - len(same)]
    shown, splits = shown_at(findings, np.concatenate([same, near])), findings.scan.splits
    pairs = []
    for number, (one, other) in enumerate([*same.tolist(), *near.tolist()]):
        if one not in shown or other not in shown:
            continue
        labels, indices = findings.labels[[one, other]], findings.indices[[one, other]]
        across = splits is not None and splits[indices[0]] != splits[indices[1]] and (splits[indices] >= 0).all()
        words = ["identical" if number < len(same) else "nearly identical"]
        words += ["different classes"] * bool(labels[0] != labels[1]) + ["different splits"] * bool(across)
        pairs.append({"sides": (asdict(shown[other]), asdict(shown[one])), "what": ", ".join(words)})
    return pairs


def _classes(findings: Findings, names: list[str], counts: np.ndarray, chart: ClassChart) -> dict[str, Any]:
    """Return the classes for the script."""
    scan = findings.scan
    columns = [["images", counts[: len(names)].tolist()]]
    if scan.splits is not None:
        for number, split in enumerate(SPLITS):
            of_split = np.bincount(scan.labels[scan.splits == number], minlength=len(scan.class_names))
            columns.append([split, of_split[: len(names)].tolist()])
    return {
        "names": names,
        "sizes": counts[: len(names)].tolist(),
        "columns": columns,
        "kinds": ["image"],
        "bars": [bar.to_json() for bar in chart.bars],
    }


def _bytes(document: Any) -> int:
    return len(json.dumps(document, ensure_ascii=False).encode(errors="backslashreplace"))
