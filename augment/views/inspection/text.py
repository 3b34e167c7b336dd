"""What was found in a source as lines for people. Pure."""

from typing import Any

import numpy as np

from ...split.report import PartFacts, part_lines
from ...store.description import PARTS
from ..fonts import code_point
from .facts import LEAST_CONTRAST
from .report import FEW

_LISTED = 20
"""Classes that have a bar of their own."""
_BINS = 10
_BAR = 40
"""Letters of the longest bar."""
_NAME = 24
"""Letters of a class name before its bar."""

_ONE = {"pictures": "picture", "classes": "class", "groups": "group", "rows": "row", "columns": "column"}

_KINDS = {
    "bad": "cannot be used: `augment run` refuses them, or leaves them out with --on-bad skip",
    "constant": "have one colour throughout",
    "blank": f"have nearly no contrast: less than {LEAST_CONTRAST} of 255",
    "inverted": "have a {fewer} ground where most have a {more} one",
}


def report_lines(facts: dict[str, Any]) -> list[str]:
    """The report (with `name`, `kind`, `source`, `next`) for people."""
    looked = "all looked at"
    if facts["looked_at"] < facts["pictures"]:
        looked = f"{facts['looked_at']:,} looked at, evenly spaced"
    lines = [
        f"source       {facts['source']} ({facts['kind']})",
        f"pictures     {facts['pictures']:,}, {looked}",
        *_class_lines(facts["classes"]),
        *_group_lines(facts["groups"]),
        *_part_lines(facts["parts"], facts["classes"]["count"]),
        *_size_lines(facts["sizes"], "all of them" if facts["looked_at"] == facts["pictures"] else "all looked at"),
        f"colour       {_shares(facts['colour'], {'grey': 'grey', 'colour': 'in colour'})}",
        f"ground       {_shares(facts['ground'], {'dark': 'dark', 'light': 'light'})}",
        f"imported     {facts['import']}",
        *(f"note         {note}" for note in facts["notes"]),
        "",
        *_wrong_lines(facts["wrong"], facts["ground"], facts["parts"] is not None),
        "",
        f"Next: {facts['next'] or 'mend the pictures; none can be used as it is'}",
    ]
    return lines


def _class_lines(classes: dict[str, Any]) -> list[str]:
    table = classes["table"]
    counts = np.array([row["pictures"] for row in table])
    lines = [f"classes      {classes['count']:,}: {_range(classes['pictures'], 'pictures')} each"]
    if classes["pictures"]["min"] < classes["pictures"]["max"] and len(table) > _LISTED:
        lines += [f"  {key:10} {_counts(classes[key])}" for key in ("most", "fewest")]
    if len(table) <= _LISTED:
        return lines + [f"  {_named(row['class']):{_NAME}} {_bar(row['pictures'], counts)}" for row in table]
    bins = bins_of(counts)
    held = np.array([count for _, _, count in bins])
    ranges = [f"{low:,}" if low == high else f"{low:,} to {high:,}" for low, high, _ in bins]
    return lines + [
        f"  {f'{told} pictures':{_NAME}} {_bar(count, held)} {'class' if count == 1 else 'classes'}"
        for told, count in zip(ranges, held.tolist(), strict=True)
    ]


def bins_of(counts: np.ndarray) -> list[tuple[int, int, int]]:
    """(least, most, how many) for ranges of whole numbers that cover `counts` (int (n,), n > 0).

    Up to 10 ranges of one width; or, where the largest is 16 times the least or more, up to the powers of two.
    """
    least, most = int(counts.min()), int(counts.max())
    if most >= 16 * max(1, least):
        edges = [0] * (least == 0) + [1 << power for power in range(max(1, least).bit_length() - 1, most.bit_length())]
    else:
        edges = list(range(least, most + 1, -(-(most - least + 1) // _BINS)))
    ends = [edge - 1 for edge in edges[1:]] + [most]
    held = np.histogram(counts, [*edges, most + 1])[0].tolist()
    return [(max(low, least), high, count) for low, high, count in zip(edges, ends, held, strict=True)]


def _bar(count: int, counts: np.ndarray) -> str:
    length = _BAR * count // max(1, int(counts.max()))
    return f"{'#' * (max(1, length) if count else 0)}{' ' if count else ''}{count:,}"


def _group_lines(groups: dict[str, Any] | None) -> list[str]:
    if groups is None:
        return ["groups       none"]
    pictures, classes = _range(groups["pictures"], "pictures"), _range(groups["classes"], "classes")
    of_class = _range(groups["groups_of_a_class"], "groups")
    return [f"groups       {groups['count']:,}: {pictures} and {classes} each; {of_class} to a class"]


def _part_lines(parts: dict[str, Any] | None, classes: int) -> list[str]:
    if parts is None:
        return ["parts        none that the source names"]
    lines = part_lines({part: PartFacts(**parts[part]) for part in PARTS}, classes)
    unsaid = [f"  {'unsaid':10} {parts['unsaid']:,} pictures"] if parts["unsaid"] else []
    return ["parts        as the source names them", *lines, *unsaid]


def _size_lines(sizes: dict[str, Any], all_of_them: str) -> list[str]:
    common = sizes["common"]
    if sizes["count"] == 0:
        return []
    if sizes["count"] == 1:
        return [f"size         {common[0]['height']} x {common[0]['width']}, {all_of_them}"]
    told = ", ".join(f"{one['height']} x {one['width']} ({one['pictures']:,})" for one in common)
    return [
        f"sizes        {sizes['count']:,}: {_range(sizes['height'], 'rows')}, {_range(sizes['width'], 'columns')}",
        f"  the most   {told}",
    ]


def _wrong_lines(wrong: dict[str, Any], ground: dict[str, int], has_parts: bool) -> list[str]:
    lines, none = [], []
    fewer, more = sorted(ground, key=lambda one: ground[one])
    for kind, why in _KINDS.items():
        if wrong[kind]["pictures"]:
            lines.append(f"  {kind:10} {wrong[kind]['pictures']:,} pictures {why.format(fewer=fewer, more=more)}")
            lines += _examples(wrong[kind], [_example(one) for one in wrong[kind]["examples"]])
        else:
            none.append(kind)
    lines += _pair_lines(wrong["copies"], "copies", "pictures are copies of others, pixel for pixel")
    lines += _pair_lines(wrong["alike"], "alike", "pairs of pictures are nearly the same")
    none += [name for name, key in (("copies", "copies"), ("nearly alike", "alike")) if not wrong[key]["pictures"]]
    if wrong["torn_groups"]:
        lines.append(f"  torn       {wrong['torn_groups']:,} groups are in several parts: see --split fractions")
    told = 0
    for key, what in (("few_pictures", "pictures"), ("few_groups", "groups")):
        few, some = wrong[key]["classes"], [_named(name) for name in wrong[key]["examples"]]
        if few > told and not has_parts:
            told = few
            lines.append(
                f"  few        {few:,} classes have fewer than {FEW} {what}, so that not every part can have one: "
                f"{', '.join(some)}{', ...' if few > len(some) else ''}"
            )
    checked = [f"  none       is {', '.join(none)}"] if none else []
    return ["What looks wrong:", *lines, *checked] if lines else [f"Nothing looks wrong: none is {', '.join(none)}."]


def _pair_lines(found: dict[str, Any], kind: str, what: str) -> list[str]:
    if not found["pictures"]:
        return []
    more = [
        f"{found[key]:,} {told}"
        for key, told in (("other_class", "under another class"), ("other_part", "in another part"),
                          ("constant", "of one colour throughout"))
        if found.get(key)
    ]  # fmt: skip
    least = "" if found.get("complete", True) else "at least "
    line = f"  {kind:10} {least}{found['pictures']:,} {what}" + (f": {', '.join(more)}" if more else "")
    return [line, *_examples(found, [f"{one['origin']} and {one['of']}" for one in found["examples"]])]


def _example(one: Any) -> str:
    return f"{one['origin']} {one['why']}" if isinstance(one, dict) else str(one)


def _examples(found: dict[str, Any], told: list[str]) -> list[str]:
    more = found["pictures"] - len(told)
    return [f"               {one}" for one in told] + ([f"               and {more:,} more"] if more else [])


def _range(spread: dict[str, float], what: str) -> str:
    """`16 pictures`, or `3 to 20 pictures (median 16)`."""
    if spread["min"] == spread["max"]:
        return f"{spread['min']:,} {what if spread['min'] != 1 else _ONE[what]}"
    return f"{spread['min']:,} to {spread['max']:,} {what} (median {spread['median']:,.10g})"


def _shares(counts: dict[str, int], words: dict[str, str]) -> str:
    total = sum(counts.values())
    held = [(words[key], count) for key, count in counts.items() if count]
    if len(held) <= 1:
        return f"all {held[0][0]}" if held else "nothing to tell it by"
    return ", ".join(f"{word} {count:,} ({100 * count / total:.1f} %)" for word, count in held)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{_named(name)} ({count:,})" for name, count in counts.items())


def _named(name: str) -> str:
    """A name on one line; of a long one its end: of a path, it tells the most."""
    name = "".join(letter if letter.isprintable() else code_point(letter) for letter in name) or "''"
    return name if len(name) <= _NAME else f"...{name[3 - _NAME :]}"
