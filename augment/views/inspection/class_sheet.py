"""Contact sheet by class: original images of a source, each row with the class name next to it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ...shared.fonts import pillow_text
from ...shared.progress import counted
from ..contact_sheet import ACCENT, CAPTION, FAINT, INK, MARGIN, PAPER, TITLE
from ..sample import some_classes, some_of_class
from .findings import Findings, images_at

_CLASSES, _IMAGES = 40, 8
_SIDE, _GAP, _LABEL, _HEAD = 72, 6, 150, 28
_NAME_SIZES, _LINE = (34, 26, 20, 15), 15
"""Font sizes of class names, in points: the largest at which all names fit. If none fits, names are wrapped."""
_FRAME = (214, 214, 208)
_TWO_COLUMNS = 10
"""Number of rows from which on the sheet has two columns."""


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
    """Draw rows below a title, RGB. `font` is a font file that is searched first for the characters of class names."""
    columns = 2 if len(rows) >= _TWO_COLUMNS else 1
    lines = -(-len(rows) // columns)
    step_x, step_y = _LABEL + _IMAGES * (_SIDE + _GAP) + 2 * MARGIN, _SIDE + _GAP
    title, title_font = pillow_text(title, TITLE)
    width = max(columns * step_x, 2 * MARGIN + round(title_font.getlength(title)))
    sheet = Image.new("RGB", (width, 2 * MARGIN + _HEAD + lines * step_y), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN - 4), title, INK, title_font)
    points = _name_size([row.name for row in rows if not row.is_problem], font)
    for index, row in enumerate(rows):
        left, top = MARGIN + index // lines * step_x, MARGIN + _HEAD + index % lines * step_y
        _write(pen, left, top, row, font, None if row.is_problem else points)
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


def _name_size(names: Sequence[str], font: Path | None) -> int | None:
    """Return the largest size, in points, at which every name fits into one line; None if there is none."""
    for points in _NAME_SIZES:
        texts = (pillow_text(name, points, font) for name in names)
        if all(drawn.getlength(text) <= _LABEL - 12 for text, drawn in texts):
            return points
    return None


def _write(pen: ImageDraw.ImageDraw, left: int, top: int, row: Row, font: Path | None, points: int | None) -> None:
    """Write the name in `points`, or in up to three lines if that is None, and the caption below it."""
    ink = ACCENT if row.is_problem else INK
    if points is not None:
        name, large = pillow_text(row.name, points, font)
        pen.text((left, top), name, ink, large)
    else:
        for number, line in enumerate(_wrapped(row.name, font)):
            text, small = pillow_text(line, CAPTION, font)
            pen.text((left, top + number * _LINE), text, ink, small)
    caption, small = pillow_text(row.caption, CAPTION)
    pen.text((left, top + _SIDE - 18), caption, FAINT, small)


def _wrapped(name: str, font: Path | None) -> Iterable[str]:
    """Return the last three lines of `name`, broken after each `/` and where a line is too long."""
    lines = [""]
    for character in name:
        text, small = pillow_text(lines[-1] + character, CAPTION, font)
        if small.getlength(text) > _LABEL - 12:
            lines.append("")
        lines[-1] += character
        if character == "/":
            lines.append("")
    return [line for line in lines if line][-3:]


def _resized(image: np.ndarray) -> Image.Image:
    """Return the image with a longer side of 72 pixels; small images are enlarged by an integer factor."""
    pil_image = Image.fromarray(image).convert("RGB")
    factor = _SIDE // max(pil_image.size)
    if factor >= 2:
        return pil_image.resize((pil_image.width * factor, pil_image.height * factor), Image.Resampling.NEAREST)
    size = [max(1, round(side * _SIDE / max(pil_image.size))) for side in pil_image.size]
    return pil_image.resize((size[0], size[1]), Image.Resampling.BICUBIC)
