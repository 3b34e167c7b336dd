"""A contact sheet by class: pictures as they are in the source, the class written large beside them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ...shared.progress import counted
from ..contact_sheet import ACCENT, CAPTION, FAINT, INK, MARGIN, PAPER, TITLE
from ..fonts import written
from ..sample import some_classes, some_of_class
from .findings import Findings, pictures_at

_CLASSES, _PICTURES = 40, 8
_SIDE, _GAP, _LABEL, _HEAD = 72, 6, 150, 28
_LARGE, _LINE = 34, 15
_FRAME = (214, 214, 208)
_NAMES = {
    "constant": "one colour", "blank": "nearly blank", "inverted": "inverted", "copies": "copies",
    "alike": "nearly alike",
}  # fmt: skip
"""What looks wrong, in words."""
_BESIDE = 10
"""Rows from which on they stand in two columns."""


@dataclass(frozen=True)
class Row:
    """Pictures with a name beside them."""

    name: str
    told: str
    """Written small below the name."""
    pictures: Sequence[np.ndarray]
    """Each uint8 (h, w) or (h, w, 3), of any size."""
    wrong: bool = False
    """Shows what looks wrong, and is no class."""


def class_rows(findings: Findings) -> list[Row]:
    """8 pictures of each of up to 40 classes, spread over its groups; and 8 of each kind that looks wrong."""
    scan, labels = findings.scan, findings.labels
    usable = np.ones(len(labels), bool)
    usable[list(findings.bad)] = False
    places = np.flatnonzero(usable)
    groups = None if scan.groups is None else scan.groups[findings.indices[places]]
    counts = np.bincount(scan.labels, minlength=len(scan.class_names))
    rows = []
    for label in some_classes(labels[places], _CLASSES).tolist():
        chosen = places[some_of_class(labels[places], groups, label, _PICTURES)]
        told = counted(int(counts[label]), "picture")
        rows.append(Row(scan.class_names[label], told, _pictures(findings, chosen)))
    for kind, name in _NAMES.items():
        found = findings.faults[kind]
        if len(found):
            told = counted(len(found), "pair" if kind == "alike" else "picture")
            shown = findings.worst_first(found)[:, ::-1].reshape(-1) if found.ndim == 2 else found
            rows.append(Row(name, told, _pictures(findings, shown[:_PICTURES]), wrong=True))
    return rows


def _pictures(findings: Findings, rows: np.ndarray) -> list[np.ndarray]:
    read = pictures_at(findings.scan.reader, findings.indices[rows])
    return [picture for picture in read if picture is not None]


def class_sheet(title: str, rows: Sequence[Row], font: Path | None = None) -> Image.Image:
    """Rows below a title, RGB; those of what looks wrong last. `font` is a file to look for letters in first."""
    columns = 2 if len(rows) >= _BESIDE else 1
    lines = -(-len(rows) // columns)
    step_x, step_y = _LABEL + _PICTURES * (_SIDE + _GAP) + 2 * MARGIN, _SIDE + _GAP
    title, letters = written(title, TITLE)
    width = max(columns * step_x, 2 * MARGIN + round(letters.getlength(title)))
    sheet = Image.new("RGB", (width, 2 * MARGIN + _HEAD + lines * step_y), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN - 4), title, INK, letters)
    for place, row in enumerate(rows):
        left, top = MARGIN + place // lines * step_x, MARGIN + _HEAD + place % lines * step_y
        _write(pen, left, top, row, font)
        for number, picture in enumerate(row.pictures):
            x = left + _LABEL + number * (_SIDE + _GAP)
            shown = _fitted(picture)
            at = x + (_SIDE - shown.width) // 2, top + (_SIDE - shown.height) // 2
            sheet.paste(shown, at)
            pen.rectangle((at[0] - 1, at[1] - 1, at[0] + shown.width, at[1] + shown.height), outline=_FRAME)
    return sheet


def _write(pen: ImageDraw.ImageDraw, left: int, top: int, row: Row, font: Path | None) -> None:
    """The name, large where it is short, in up to three lines where it is a path; and what is told below it."""
    ink = ACCENT if row.wrong else INK
    large, letters = written(row.name, _LARGE, font)
    if len(row.name) <= 4 and letters.getlength(large) <= _LABEL - 12:
        pen.text((left, top), large, ink, letters)
    else:
        for number, line in enumerate(_wrapped(row.name, font)):
            text, small = written(line, CAPTION, font)
            pen.text((left, top + number * _LINE), text, ink, small)
    told, small = written(row.told, CAPTION)
    pen.text((left, top + _SIDE - 18), told, FAINT, small)


def _wrapped(name: str, font: Path | None) -> Iterable[str]:
    """`name` in up to three lines, the last ones, broken after `/` and wherever else it must be."""
    lines = [""]
    for letter in name:
        text, small = written(lines[-1] + letter, CAPTION, font)
        if small.getlength(text) > _LABEL - 12:
            lines.append("")
        lines[-1] += letter
        if letter == "/":
            lines.append("")
    return [line for line in lines if line][-3:]


def _fitted(picture: np.ndarray) -> Image.Image:
    """The picture, its longer side 72 pixels; small ones are enlarged by a whole factor, their pixels kept square."""
    image = Image.fromarray(picture).convert("RGB")
    factor = _SIDE // max(image.size)
    if factor >= 2:
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    size = [max(1, round(side * _SIDE / max(image.size))) for side in image.size]
    return image.resize((size[0], size[1]), Image.Resampling.BICUBIC)
