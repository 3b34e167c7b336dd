"""Contact sheets: pictures in a grid, with captions a person can read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from ..console import say
from ..distortion.operations.base import to_image
from ..errors import EpochbankError
from ..shared.atomic import make_directory, new_file
from .fonts import Font, written

PAPER, INK, FAINT, ACCENT = (250, 250, 248), (30, 30, 30), (110, 110, 110), (196, 78, 30)
"""Colours of everything that is drawn for people, RGB."""
TITLE, CAPTION = 16, 12
"""Sizes of letters, in points."""
_LINE, _GAP, MARGIN = 15, 10, 18
_SMALLEST_SIDE, _LARGEST_SIDE = 112, 256


@dataclass(frozen=True)
class Cell:
    """A picture with what is written under it."""

    picture: np.ndarray
    """uint8 (H, W, C)."""
    caption: Sequence[str] = ()
    """One string a line."""
    marked: bool = False
    """Framed: an original among distortions."""


def contact_sheet(title: str, rows: Sequence[Sequence[Cell]]) -> Image.Image:
    """Rows of cells below a title, RGB. Small pictures are enlarged by whole factors, pixels kept square."""
    height, width = rows[0][0].picture.shape[:2]
    factor = max(1, round(_SMALLEST_SIDE / max(height, width)))
    scale = factor if max(height, width) <= _LARGEST_SIDE else _LARGEST_SIDE / max(height, width)
    cell_width, cell_height = round(width * scale), round(height * scale)
    lines = max(len(cell.caption) for row in rows for cell in row)
    step_x, step_y = cell_width + _GAP, cell_height + lines * _LINE + _GAP + 4
    columns = max(len(row) for row in rows)
    title, title_font = written(title, TITLE)
    sheet_width = max(2 * MARGIN + columns * step_x - _GAP, 2 * MARGIN + round(title_font.getlength(title)))
    sheet = Image.new("RGB", (sheet_width, 2 * MARGIN + 28 + len(rows) * step_y), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN - 4), title, INK, title_font)
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            left, top = MARGIN + x * step_x, MARGIN + 28 + y * step_y
            image = to_image(np.ascontiguousarray(cell.picture)).convert("RGB")
            sheet.paste(image.resize((cell_width, cell_height), Image.Resampling.NEAREST), (left, top))
            if cell.marked:
                pen.rectangle(
                    (left - 3, top - 3, left + cell_width + 2, top + cell_height + 2), outline=ACCENT, width=2
                )
            for number, line in enumerate(cell.caption):
                place = (left, top + cell_height + 4 + number * _LINE)
                text, font = written(line, CAPTION)
                pen.text(place, shortened(text, font, cell_width), ACCENT if cell.marked else FAINT, font)
    return sheet


def shortened(text: str, font: Font, pixels: int) -> str:
    """`text` without so much of its beginning that it is at most so wide."""
    if font.getlength(text) <= pixels:
        return text
    while text and font.getlength("..." + text) > pixels:
        text = text[1:]
    return "..." + text


def save(sheet: Image.Image, out: Path) -> None:
    """Write a PNG; one that epochbank wrote is replaced, anybody else's file is not."""
    if out.suffix.lower() != ".png":
        raise EpochbankError(f"--out {out}; expected a name that ends in .png.", words=True)
    check_replaceable(out)
    mark = PngInfo()
    mark.add_text("Software", "epochbank")
    make_directory(out.parent)
    with new_file(out) as temporary:
        sheet.save(temporary, format="PNG", pnginfo=mark)
    say(f"{out} written: {sheet.width} x {sheet.height} pixels")


def check_replaceable(out: Path) -> None:
    """`EpochbankError` where there is something else at `out` than a PNG that `save` wrote."""
    if out.exists() and not _is_ours(out):
        raise EpochbankError(f"{out} exists and is not epochbank's; expected a new name. Give another --out.")


def _is_ours(picture: Path) -> bool:
    if not picture.is_file():
        return False
    try:
        with Image.open(picture) as old:
            return old.info.get("Software") == "epochbank"
    except OSError:
        return False  # Whatever it is, it is somebody's.
