"""Characters of fonts as a source: the fonts that Matplotlib contains, so that everyone has the same ones."""

from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

STYLES = ("", "-Bold", "-Oblique", "-BoldOblique")
TRAIN = (
    *(f"DejaVuSans{style}" for style in STYLES),
    *(f"DejaVuSansMono{style}" for style in STYLES),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
)
TEST = ("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta")
BLOCKS = (range(0x30, 0x3A), range(0x41, 0x7B), range(0x391, 0x3CA), range(0x410, 0x450))
"""Unicode: digits, basic Latin, Greek, Cyrillic."""
_FONT_SIZE = 0.66
"""As a fraction of the side of an image."""


def write_font_images(directory: Path, side: int) -> int:
    """Draw every character that all fonts have, once per font, into one PNG file each, in `train` and `test`.

    The four STIX fonts are the test split. Returns the number of classes. Characters that look the same in one of the
    upright fonts, such as Latin, Greek and Cyrillic A, are one class.
    """
    fonts = Path(get_data_path()) / "fonts/ttf"
    charmaps = [FT2Font(str(fonts / f"{name}.ttf")).get_charmap() for name in (*TRAIN, *TEST)]
    characters = [
        code for block in BLOCKS for code in block if chr(code).isalnum() and all(code in have for have in charmaps)
    ]
    characters = _distinct(characters, [fonts / f"{name}.ttf" for name in (TRAIN[0], TEST[0])], side)
    for split, names in (("train", TRAIN), ("test", TEST)):
        for name in names:
            font = ImageFont.truetype(fonts / f"{name}.ttf", _FONT_SIZE * side)
            for code in characters:
                path = directory / split / f"U+{code:04X}" / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                _draw(chr(code), font, side).save(path)
    return len(characters)


def _distinct(characters: list[int], fonts: list[Path], side: int) -> list[int]:
    """Return `characters` without those that look like an earlier one in one of `fonts`."""
    for path in fonts:
        font = ImageFont.truetype(path, _FONT_SIZE * side)
        first: dict[bytes, int] = {}
        for code in characters:
            first.setdefault(np.asarray(_draw(chr(code), font, side)).tobytes(), code)
        characters = list(first.values())
    return characters


def _draw(character: str, font: ImageFont.FreeTypeFont, side: int) -> Image.Image:
    """Draw bright on black, centered horizontally; the baseline is the same for all characters."""
    image = Image.new("L", (side, side))
    ImageDraw.Draw(image).text((side / 2, 0.7 * side), character, fill=255, font=font, anchor="ms")
    return image
