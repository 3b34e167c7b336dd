"""The report of an inspection as text. Pure functions."""

from typing import Any

import numpy as np

from ...shared.fonts import code_point
from ...shared.progress import counted
from ...shared.types import SPLITS
from ...split.report import SplitFacts, split_table
from ..bins import bins_of
from .facts import LEAST_CONTRAST
from .report import FEW

FORMATS = {
    "digits": "built-in", "npz": "NumPy arrays", "npy": "NumPy arrays", "hdf5": "HDF5 arrays", "mat": "MATLAB arrays",
    "folder": "folder of images", "zip": ".zip of images", "csv": "CSV table", "json": "JSON list",
    "parquet": "Parquet", "webdataset": "WebDataset", "tfrecord": "TFRecord", "etl": "ETL Character Database",
    "idx": "IDX", "gnt": "CASIA-HWDB", "python": "Python items", "source file": "source file",
}  # fmt: skip
"""How the text names the kind of a source."""

_LISTED = 20
"""Largest number of classes with a bar each."""
_BAR = 40
"""Characters of the longest bar."""
_NAME = 24
"""Characters of a class name before its bar."""
_HEAD = 13
"""Characters of a line before its value."""

_ONE = {"images": "image", "classes": "class", "groups": "group", "rows": "row", "columns": "column"}

_KINDS = {
    "bad": ("unusable", "`augment run` refuses these, or omits them with --on-bad skip"),
    "constant": ("constant", "all pixels are equal"),
    "blank": ("nearly blank", f"the contrast is below {LEAST_CONTRAST} of 255"),
    "inverted": ("inverted", "these have a {rare} background, most have a {common} one"),
    "duplicates": ("duplicates", "identical to another image"),
    "near_duplicates": ("near-duplicates", "nearly identical"),
}
"""Name and explanation of each kind of problem."""


def report_lines(facts: dict[str, Any]) -> list[str]:
    """Return the result of `inspect` as text."""
    inspected = "all inspected"
    if facts["inspected"] < facts["images"]:
        inspected = f"{facts['inspected']:,} inspected, the same share of every class"
    return [
        f"source       {facts['source']} ({FORMATS[facts['kind']]})",
        f"images       {facts['images']:,}, {inspected}",
        *_class_lines(facts["classes"]),
        *_fact_lines(facts),
        "",
        *_problem_lines(facts["problems"], facts["background"], facts["splits"] is not None),
        "",
        f"Next: {facts['next'] or 'fix the problems above, then inspect the source again'}",
    ]


def fact_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Return groups, splits, sizes, colors, what an import would do, and notes, as names and values."""
    return [(line[:_HEAD].strip(), line[_HEAD:]) for line in _fact_lines(facts)]


def _fact_lines(facts: dict[str, Any]) -> list[str]:
    return [
        *_group_lines(facts["groups"]),
        *_split_lines(facts["splits"], facts["classes"]["count"]),
        *_size_lines(facts["sizes"], "all images" if facts["inspected"] == facts["images"] else "all inspected images"),
        f"color        {_shares(facts['color'], {'gray': 'gray', 'color': 'colored'})}",
        f"background   {_shares(facts['background'], {'dark': 'dark', 'light': 'light'})}",
        f"import       {facts['preprocessing']}",
        *(f"note         {note}" for note in facts["notes"]),
    ]


def problem_kinds(background: dict[str, int]) -> dict[str, tuple[str, str]]:
    """Return name and explanation of each kind of problem; `background` counts the images with each background."""
    rare, common = sorted(background, key=lambda one: background[one])
    return {kind: (name, why.format(rare=rare, common=common)) for kind, (name, why) in _KINDS.items()}


def _class_lines(classes: dict[str, Any]) -> list[str]:
    table = classes["table"]
    counts = np.array([row["images"] for row in table])
    lines = [f"classes      {classes['count']:,}: {_range(classes['images'], 'images')} each"]
    if classes["images"]["min"] < classes["images"]["max"] and len(table) > _LISTED:
        lines += [f"  {key:10} {_counts(classes[key])}" for key in ("most", "fewest")]
    if len(table) <= _LISTED:
        return lines + [f"  {_named(row['class']):{_NAME}} {_bar(row['images'], counts)}" for row in table]
    bins = bins_of(counts)
    heights = np.array([count for _, _, count in bins])
    ranges = [f"{low:,}" if low == high else f"{low:,} to {high:,}" for low, high, _ in bins]
    return lines + [
        f"  {f'{sizes} images':{_NAME}} {_bar(count, heights)} {'class' if count == 1 else 'classes'}"
        for sizes, count in zip(ranges, heights.tolist(), strict=True)
    ]


def _bar(count: int, counts: np.ndarray) -> str:
    length = _BAR * count // max(1, int(counts.max()))
    return f"{'#' * (max(1, length) if count else 0)}{' ' if count else ''}{count:,}"


def _group_lines(groups: dict[str, Any] | None) -> list[str]:
    if groups is None:
        return ["groups       none"]
    images, classes = _range(groups["images"], "images"), _range(groups["classes"], "classes")
    per_class = _range(groups["groups_per_class"], "groups")
    return [f"groups       {groups['count']:,}: {images} and {classes} each; {per_class} per class"]


def _split_lines(splits: dict[str, Any] | None, classes: int) -> list[str]:
    if splits is None:
        return ["splits       none defined by the source"]
    lines = split_table({split: SplitFacts.from_json(splits[split]) for split in SPLITS}, classes)
    unassigned = [f"  {'unassigned':10} {counted(splits['unassigned'], 'image')}"] if splits["unassigned"] else []
    return ["splits       defined by the source", *lines, *unassigned]


def _size_lines(sizes: dict[str, Any], all_images: str) -> list[str]:
    common = sizes["common"]
    if sizes["count"] == 0:
        return []
    if sizes["count"] == 1:
        return [f"size         {common[0]['height']} x {common[0]['width']}, {all_images}"]
    listed = ", ".join(f"{one['height']} x {one['width']} ({one['images']:,})" for one in common)
    return [
        f"sizes        {sizes['count']:,}: {_range(sizes['height'], 'rows')}, {_range(sizes['width'], 'columns')}",
        f"  most often {listed}",
    ]


def _problem_lines(problems: dict[str, Any], background: dict[str, int], has_splits: bool) -> list[str]:
    lines, absent = [], []
    if problems["labels"]:
        lines.append(f"  {'labels':15} {problems['labels']}; `augment run` refuses such labels")
    for kind, (name, why) in problem_kinds(background).items():
        found = problems[kind]
        if not found["images"]:
            absent.append(name)
            continue
        least = "" if found.get("complete", True) else "at least "
        count = counted(found["images"], "pair" if kind == "near_duplicates" else "image")
        details = ", ".join([why, *_pair_details(found)])
        lines.append(f"  {name:15} {least}{count}: {details}")
        more = found["images"] - len(found["examples"])
        lines += [f"                    {_example(one)}" for one in found["examples"]]
        lines += [f"                    and {more:,} more"] if more else []
    if problems["groups_across_splits"]:
        count = counted(problems["groups_across_splits"], "group")
        lines.append(f"  {'divided groups':15} {count} in several splits; --split fractions keeps groups together")
    shown = 0
    for key, what in (("few_images", "images"), ("few_groups", "groups")):
        few, names = problems[key]["classes"], [_named(name) for name in problems[key]["examples"]]
        if few > shown and not has_splits:
            shown = few
            lines.append(
                f"  {f'few {what}':15} {few:,} {'class has' if few == 1 else 'classes have'} fewer than {FEW} {what}, "
                f"too few for all splits: {', '.join(names)}{', ...' if few > len(names) else ''}"
            )
    if not lines:
        return [f"No problems found: no images are {', '.join(absent)}."]
    return ["Problems:", *lines, *([f"  {'not found':15} {', '.join(absent)}"] if absent else [])]


def _pair_details(found: dict[str, Any]) -> list[str]:
    kinds = (("across_classes", "of another class"), ("across_splits", "in another split"), ("constant", "constant"))
    return [f"{found[key]:,} {text}" for key, text in kinds if found.get(key)]


def _example(one: Any) -> str:
    if isinstance(one, str):
        return one
    return f"{one['origin']} and {one['other']}" if "other" in one else f"{one['origin']} {one['reason']}"


def _range(spread: dict[str, float], what: str) -> str:
    """Return `16 images`, or `3 to 20 images (median 16)`."""
    if spread["min"] == spread["max"]:
        return f"{spread['min']:,} {what if spread['min'] != 1 else _ONE[what]}"
    return f"{spread['min']:,} to {spread['max']:,} {what} (median {spread['median']:,.10g})"


def _shares(counts: dict[str, int], words: dict[str, str]) -> str:
    total = sum(counts.values())
    present = [(words[key], count) for key, count in counts.items() if count]
    if len(present) <= 1:
        return f"all {present[0][0]}" if present else "unknown, because no image has contrast"
    return ", ".join(f"{word} {count:,} ({100 * count / total:.1f} %)" for word, count in present)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{_named(name)} ({count:,})" for name, count in counts.items())


def _named(name: str) -> str:
    """Return a name on one line; of a long one the end, which is the most informative part of a path."""
    name = "".join(character if character.isprintable() else code_point(character) for character in name) or "''"
    return name if len(name) <= _NAME else f"...{name[3 - _NAME :]}"
