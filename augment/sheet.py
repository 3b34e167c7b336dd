"""Contact sheets: pictures in a grid, with captions a person can read."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from augment.console import say
from augment.errors import EpochbankError
from augment.operations.base import to_image
from augment.store.atomic import make_directory, new_file

_PAPER, _INK, _FAINT, _ACCENT = (250, 250, 248), (30, 30, 30), (110, 110, 110), (196, 78, 30)
_FONT_SIZE, _LINE, _GAP, _MARGIN = 12, 15, 10, 18
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
    sheet_width = max(2 * _MARGIN + columns * step_x - _GAP, 2 * _MARGIN + round(_font(16).getlength(title)))
    sheet = Image.new("RGB", (sheet_width, 2 * _MARGIN + 28 + len(rows) * step_y), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, _MARGIN - 4), title, _INK, _font(16))
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            left, top = _MARGIN + x * step_x, _MARGIN + 28 + y * step_y
            image = to_image(np.ascontiguousarray(cell.picture)).convert("RGB")
            sheet.paste(image.resize((cell_width, cell_height), Image.Resampling.NEAREST), (left, top))
            if cell.marked:
                pen.rectangle(
                    (left - 3, top - 3, left + cell_width + 2, top + cell_height + 2), outline=_ACCENT, width=2
                )
            for number, line in enumerate(cell.caption):
                place = (left, top + cell_height + 4 + number * _LINE)
                pen.text(place, _shortened(readable(line), cell_width), _ACCENT if cell.marked else _FAINT, _font())
    return sheet


def readable(text: str) -> str:
    """`text` with characters that the font lacks as code points: `U+4E9C`."""
    return "".join(letter if _has_glyph(letter) else f"U+{ord(letter):04X}" for letter in text)


@lru_cache(maxsize=8)
def _font(points: int = _FONT_SIZE) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(points)


@lru_cache(maxsize=4096)
def _has_glyph(letter: str) -> bool:
    return letter == " " or bytes(_font().getmask(letter)) != bytes(_font().getmask("\uffff"))


def _shortened(text: str, pixels: int) -> str:
    if _font().getlength(text) <= pixels:
        return text
    while text and _font().getlength("..." + text) > pixels:
        text = text[1:]
    return "..." + text


def save(sheet: Image.Image, out: Path) -> None:
    """Write a PNG; one that epochbank wrote is replaced, anybody else's file is not."""
    if out.suffix.lower() != ".png":
        raise EpochbankError(f"--out {out}; expected a name that ends in .png.", words=True)
    if out.exists() and not _is_ours(out):
        raise EpochbankError(f"{out} exists and is not epochbank's; expected a new name. Give another --out.")
    mark = PngInfo()
    mark.add_text("Software", "epochbank")
    make_directory(out.parent)
    with new_file(out) as temporary:
        sheet.save(temporary, format="PNG", pnginfo=mark)
    say(f"{out} written: {sheet.width} x {sheet.height} pixels")


def _is_ours(picture: Path) -> bool:
    """True for a PNG that `save` wrote."""
    if not picture.is_file():
        return False
    try:
        with Image.open(picture) as old:
            return old.info.get("Software") == "epochbank"
    except OSError:
        return False  # Whatever it is, it is somebody's.
