"""Contact sheets: images in a grid, with captions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from .fonts import Font, pillow_text

PAPER, INK, FAINT, ACCENT = (250, 250, 248), (30, 30, 30), (110, 110, 110), (196, 78, 30)
"""Colors of all sheets and charts, RGB."""
TITLE, CAPTION = 16, 12
"""Font sizes in points."""
_LINE, _GAP, MARGIN = 15, 10, 18
_SMALLEST_SIDE, _LARGEST_SIDE = 112, 256


@dataclass(frozen=True)
class Cell:
    """An image with its caption."""

    image: np.ndarray
    """uint8 (H, W, C)."""
    caption: Sequence[str] = ()
    """Strings, each of which begins a line."""
    marked: bool = False
    """Draw a frame around the image, for an original among distortions."""


def contact_sheet(title: str, rows: Sequence[Sequence[Cell]]) -> Image.Image:
    """Draw rows of cells below a title, RGB. Small images are enlarged by an integer factor."""
    height, width = rows[0][0].image.shape[:2]
    factor = max(1, round(_SMALLEST_SIDE / max(height, width)))
    scale = factor if max(height, width) <= _LARGEST_SIDE else _LARGEST_SIDE / max(height, width)
    cell_width, cell_height = round(width * scale), round(height * scale)
    captions = [[_lines(cell.caption, cell_width) for cell in row] for row in rows]
    heights = [cell_height + max(map(len, some)) * _LINE + _GAP + 4 for some in captions]
    step_x = cell_width + _GAP
    columns = max(len(row) for row in rows)
    title, title_font = pillow_text(title, TITLE)
    sheet_width = max(2 * MARGIN + columns * step_x - _GAP, 2 * MARGIN + round(title_font.getlength(title)))
    sheet = Image.new("RGB", (sheet_width, 2 * MARGIN + 28 + sum(heights)), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN - 4), title, INK, title_font)
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            left, top = MARGIN + x * step_x, MARGIN + 28 + sum(heights[:y])
            image = _image(cell.image)
            sheet.paste(image.resize((cell_width, cell_height), Image.Resampling.NEAREST), (left, top))
            if cell.marked:
                pen.rectangle(
                    (left - 3, top - 3, left + cell_width + 2, top + cell_height + 2), outline=ACCENT, width=2
                )
            for number, line in enumerate(captions[y][x]):
                position = (left, top + cell_height + 4 + number * _LINE)
                text, font = pillow_text(line, CAPTION)
                pen.text(position, _shortened(text, font, cell_width), ACCENT if cell.marked else FAINT, font)
    return sheet


def _lines(caption: Sequence[str], pixels: int) -> list[str]:
    """Return the lines of a caption: a string wider than `pixels` is broken after commas, or else at spaces."""

    def fits(text: str) -> bool:
        shown, font = pillow_text(text, CAPTION)
        return font.getlength(shown) <= pixels

    lines: list[str] = []
    for text in caption:
        parts = text.replace(", ", ",\n").split("\n")
        words = [word for part in parts for word in ([part] if fits(part) else part.split(" "))]
        line = words[0]
        for word in words[1:]:
            if fits(f"{line} {word}"):
                line += f" {word}"
            else:
                lines.append(line)
                line = word
        lines.append(line)
    return lines


def _shortened(text: str, font: Font, pixels: int) -> str:
    """Return `text`, without its beginning if it is wider than `pixels`."""
    if len(text) <= pixels and font.getlength(text) <= pixels:
        return text
    text = text[-pixels:]  # A name in a crafted set may be long, and measuring takes time.
    while text and font.getlength("..." + text) > pixels:
        text = text[1:]
    return "..." + text


def _image(image: np.ndarray) -> Image.Image:
    """Return an image, uint8 (H, W, 1) or (H, W, 3), as RGB."""
    return Image.fromarray(np.ascontiguousarray(image[:, :, 0] if image.shape[2] == 1 else image)).convert("RGB")
