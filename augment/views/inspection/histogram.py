"""How many pictures each class has, drawn: a bar for each, or a curve where there are too many."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from ..contact_sheet import ACCENT, CAPTION, FAINT, INK, MARGIN, PAPER, TITLE, shortened
from ..fonts import written

_MOST_BARS = 300
"""Classes that have a bar of their own."""
_SKEWED = 20
"""Bars and curve go by powers of ten where the largest class has so many times the pictures of the least."""
_COLUMN_ROWS, _ROW, _LABEL, _BAR, _NUMBER = 50, 17, 132, 180, 60
_WIDTH, _HEIGHT, _AXIS = 900, 420, 70
"""Of the plane of the curve; and what is left of it for numbers."""
_FILL, _GRID = (238, 212, 196), (208, 200, 192)


def histogram(name: str, class_names: Sequence[str], counts: np.ndarray, font: Path | None = None) -> Image.Image:
    """The classes by how many pictures they have (int (K,)), those with the most first, RGB.

    Up to 300 classes have a bar and a name each; of more there is a curve. `font` is a file to look for letters in
    first.
    """
    order = np.argsort(-counts, kind="stable")
    counts = counts[order]
    middle = f"{np.median(counts):,.10g}"
    each = f"{counts[-1]:,} to {counts[0]:,} each (median {middle})" if counts[0] > counts[-1] else f"{middle} each"
    title = f"{name}: {counts.sum():,} pictures of {len(counts):,} classes, {each}"
    scale = _Scale(max(1, int(counts[0])), logarithmic=bool(counts[0] >= _SKEWED * max(1, counts[-1])))
    if len(counts) <= _MOST_BARS:
        title += "; bars by powers of ten" if scale.logarithmic else ""
        return _bars(title, [class_names[number] for number in order], counts, scale, font)
    return _curve(title, counts, scale)


class _Scale(NamedTuple):
    """From pictures to a share of the longest bar; by powers of ten where classes differ much."""

    most: int
    logarithmic: bool

    def share(self, count: int) -> float:
        return math.log1p(count) / math.log1p(self.most) if self.logarithmic else count / self.most

    def marks(self) -> list[int]:
        if self.logarithmic:
            return [0, *(10**power for power in range(len(str(self.most))))]
        return _marks(self.most)


def _bars(title: str, names: Sequence[str], counts: np.ndarray, scale: _Scale, font: Path | None) -> Image.Image:
    columns = -(-len(counts) // _COLUMN_ROWS)
    rows = -(-len(counts) // columns)
    step = _LABEL + _BAR + _NUMBER + 16
    image, pen = _sheet(title, columns * step, rows * _ROW)
    for place, (name, count) in enumerate(zip(names, counts.tolist(), strict=True)):
        left, top = MARGIN + place // rows * step, MARGIN + 28 + place % rows * _ROW
        text, letters = written(name, CAPTION, font)
        text = shortened(text, letters, _LABEL - 8)
        pen.text((left + _LABEL - 8 - letters.getlength(text), top), text, INK, letters)
        length = round(_BAR * scale.share(count))
        if count:
            pen.rectangle((left + _LABEL, top + 2, left + _LABEL + max(1, length), top + _ROW - 4), fill=ACCENT)
        pen.text((left + _LABEL + length + 6, top), *_plain(f"{count:,}"))
    return image


def _curve(title: str, counts: np.ndarray, scale: _Scale) -> Image.Image:
    """Pictures of a class over its rank."""
    image, pen = _sheet(title, _WIDTH + _AXIS + 30, _HEIGHT + 76)
    left, top = MARGIN + _AXIS, MARGIN + 28 + 28
    bottom = top + _HEIGHT

    def height(count: int) -> int:
        return bottom - round(_HEIGHT * scale.share(count))

    ranks = np.arange(_WIDTH) * len(counts) // _WIDTH  # Each column of pixels shows the first class that falls on it.
    heights = [height(count) for count in counts[ranks].tolist()]
    for x, y in enumerate(heights):
        pen.line((left + x, y, left + x, bottom), fill=_FILL)
    for mark in scale.marks():
        pen.line((left, height(mark), left + _WIDTH, height(mark)), fill=_GRID)
        text, letters = written(f"{mark:,}", CAPTION)
        pen.text((left - 8 - letters.getlength(text), height(mark) - 8), text, FAINT, letters)
    pen.line([(left + x, y) for x, y in enumerate(heights)], fill=ACCENT, width=2)
    pen.line((left, bottom, left + _WIDTH, bottom), fill=FAINT)
    for mark in _marks(len(counts)):
        x = left + round(_WIDTH * mark / len(counts))
        pen.line((x, bottom, x, bottom + 4), fill=FAINT)
        text, letters = written(f"{mark:,}", CAPTION)
        pen.text((x - letters.getlength(text) / 2, bottom + 7), text, FAINT, letters)
    pen.text((left, bottom + 26), *_plain("classes, those with the most pictures first"))
    pen.text((MARGIN, top - 26), *_plain("pictures of a class" + (", by powers of ten" if scale.logarithmic else "")))
    return image


def _marks(highest: int) -> list[int]:
    """Round numbers from 0 to `highest`, at most eight, that an axis is marked with."""
    step = next(
        unit * 10**power for power in range(20) for unit in (1, 2, 5) if highest // (unit * 10**power) < 8
    )  # fmt: skip
    return list(range(0, highest + 1, step))


def _sheet(title: str, width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    text, letters = written(title, TITLE)
    width = max(width, round(letters.getlength(text)))
    image = Image.new("RGB", (width + 2 * MARGIN, height + 2 * MARGIN + 28), PAPER)
    pen = ImageDraw.Draw(image)
    pen.text((MARGIN, MARGIN - 4), text, INK, letters)
    return image, pen


def _plain(text: str) -> tuple:
    """What `ImageDraw.text` takes after the place, for a caption."""
    shown, letters = written(text, CAPTION)
    return shown, FAINT, letters
