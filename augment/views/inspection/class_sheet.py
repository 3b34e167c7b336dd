"""Contact sheet by class: original images of a source, each row with the class name next to it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ...shared.contact_sheet import ACCENT, CAPTION, FAINT, INK, MARGIN, PAPER, TITLE
from ...shared.fonts import pillow_text
from ...shared.progress import counted
from ...shared.shortened import shortened
from ..sample import some_classes, some_of_class
from .findings import Findings, images_at

_CLASSES, _IMAGES = 40, 8
_SIDE, _GAP, _LABEL, _HEAD = 72, 6, 150, 28
_NAME_SIZES, _NAME_HEIGHT = (34, 26, 20, 15, CAPTION), 54
"""Font sizes of names, in points: the largest at which all of them fit into the height, in pixels. If none is small
enough, names are cut."""
_PIECES = re.compile(r"[^/_. -]*[/_. -]|[^/_. -]+")
"""The pieces of a name; a line ends after one."""
_FRAME = (214, 214, 208)
_WIDEST, _FEWEST_ROWS = 1620, 5
"""Width of the sheet, in pixels, and number of rows in a column, between which the number of columns is chosen."""


@dataclass(frozen=True)
class Row:
    """Images of one class, or with one kind of problem."""

    name: str
    caption: str
    """Small text below the name."""
    images: Sequence[np.ndarray]
    """Each uint8 (h, w) or (h, w, 3), of any size."""
    is_problem: bool = False
    in_pairs: bool = False
    """Every two images form a pair, which has a frame."""


def class_rows(findings: Findings) -> list[Row]:
    """Return 8 images of each of up to 40 classes, spread over its groups; then 8 with each kind of problem."""
    scan, labels = findings.scan, findings.labels
    usable = np.ones(len(labels), bool)
    usable[list(findings.bad)] = False
    usable_rows = np.flatnonzero(usable)
    usable_labels = labels[usable_rows]
    groups = None if scan.groups is None else scan.groups[findings.indices[usable_rows]]
    counts = np.bincount(scan.labels, minlength=len(scan.class_names))
    rows = []
    for label in some_classes(usable_labels, _CLASSES).tolist():
        chosen = usable_rows[some_of_class(usable_labels, groups, label, _IMAGES)]
        rows.append(Row(scan.class_names[label], counted(int(counts[label]), "image"), _images(findings, chosen)))
    for kind, found in findings.problems.items():
        if len(found) and kind != "bad":
            caption = counted(len(found), "pair" if kind == "near_duplicates" else "image")
            shown = findings.worst_first(found)[:, ::-1].reshape(-1) if found.ndim == 2 else found
            images = _images(findings, shown[:_IMAGES])
            pairs = found.ndim == 2
            rows.append(Row(kind.replace("_d", "-d"), caption, images, is_problem=True, in_pairs=pairs))
    return rows


def _images(findings: Findings, rows: np.ndarray) -> list[np.ndarray]:
    images = images_at(findings.scan.reader, findings.indices[rows], findings.value_ranges)
    return [image for image in images if image is not None]


def class_sheet(title: str, rows: Sequence[Row], font: Path | None = None) -> Image.Image:
    """Draw rows below a title, RGB: classes, and below them problems, each in as many columns as suit their images.

    `font` is a font file that is searched first for the characters of names.
    """
    title, title_font = pillow_text(title, TITLE)
    width, bottom = 2 * MARGIN + round(title_font.getlength(title)), MARGIN + _HEAD
    places: list[tuple[int, int, Row]] = []
    for is_problem in (False, True):
        block = [row for row in rows if row.is_problem == is_problem]
        if not block:
            continue
        step_x, step_y = _LABEL + max(len(row.images) for row in block) * (_SIDE + _GAP) + 2 * MARGIN, _SIDE + _GAP
        columns = max(1, min(_WIDEST // step_x, len(block) // _FEWEST_ROWS))
        lines = -(-len(block) // columns)
        top = bottom + (MARGIN if places else 0)
        for index, row in enumerate(block):
            places.append((MARGIN + index // lines * step_x, top + index % lines * step_y, row))
        width, bottom = max(width, columns * step_x), top + lines * step_y
    sheet = Image.new("RGB", (width, bottom + MARGIN), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN - 4), title, INK, title_font)
    points = _name_size([row.name for row in rows], font)
    for left, top, row in places:
        _write(pen, left, top, row, font, points)
        for number, image in enumerate(row.images):
            x = left + _LABEL + number * (_SIDE + _GAP)
            shown = _resized(image)
            corner = x + (_SIDE - shown.width) // 2, top + (_SIDE - shown.height) // 2
            sheet.paste(shown, corner)
            frame = corner[0] - 1, corner[1] - 1, corner[0] + shown.width, corner[1] + shown.height
            pen.rectangle(frame, outline=_FRAME)
        for start in range(0, len(row.images) - 1 if row.in_pairs else 0, 2):
            x = left + _LABEL + start * (_SIDE + _GAP)
            pen.rectangle((x - 2, top - 2, x + 2 * _SIDE + _GAP + 1, top + _SIDE + 1), outline=ACCENT, width=2)
    return sheet


def _name_size(names: Sequence[str], font: Path | None) -> int:
    """Return the largest size, in points, at which every name fits, else the smallest one."""
    for points in _NAME_SIZES:
        fits = _fits(points, font)
        wrapped = (_wrapped(name, fits) for name in names)
        if all(len(lines) <= _most_lines(points) and all(map(fits, lines)) for lines in wrapped):
            return points
    return _NAME_SIZES[-1]


def _write(pen: ImageDraw.ImageDraw, left: int, top: int, row: Row, font: Path | None, points: int) -> None:
    """Write the name, in as many lines as fit, and the caption below it."""
    fits = _fits(points, font)
    lines = [shortened(line, fits, "...") for line in _wrapped(row.name, fits)]
    most = _most_lines(points)
    if len(lines) > most:
        middle = f"...{lines[1 - most]}"
        lines = [lines[0], middle if fits(middle) else "...", *lines[2 - most :]]
    for number, line in enumerate(lines):
        text, chosen = pillow_text(line, points, font)
        pen.text((left, top + number * _line(points)), text, ACCENT if row.is_problem else INK, chosen)
    caption, small = pillow_text(row.caption, CAPTION)
    pen.text((left, top + _SIDE - 18), caption, FAINT, small)


def _line(points: int) -> int:
    return points * 5 // 4


def _most_lines(points: int) -> int:
    return _NAME_HEIGHT // _line(points)


def _fits(points: int, font: Path | None) -> Callable[[str], bool]:
    """Return whether a line in `points` is narrow enough, as a function of the line."""

    def fits(line: str) -> bool:
        text, chosen = pillow_text(line, points, font)
        return chosen.getlength(text) <= _LABEL - 12

    return fits


def _wrapped(name: str, fits: Callable[[str], bool]) -> list[str]:
    """Return the lines of `name`, broken after `/`, `_`, `-`, `.` or a space; one without them may not fit."""
    lines: list[str] = []
    for piece in _PIECES.findall(name) if not fits(name) else [name]:
        if lines and fits(lines[-1] + piece):
            lines[-1] += piece
        else:
            lines.append(piece)
    return lines


def _resized(image: np.ndarray) -> Image.Image:
    """Return the image with a longer side of 72 pixels; small images are enlarged by an integer factor."""
    pil_image = Image.fromarray(image).convert("RGB")
    factor = _SIDE // max(pil_image.size)
    if factor >= 2:
        return pil_image.resize((pil_image.width * factor, pil_image.height * factor), Image.Resampling.NEAREST)
    size = [max(1, round(side * _SIDE / max(pil_image.size))) for side in pil_image.size]
    return pil_image.resize((size[0], size[1]), Image.Resampling.BICUBIC)
