"""Fonts that have the letters of a text: Pillow's own, or one that is found on the system."""

import os
import re
from functools import lru_cache
from itertools import islice
from pathlib import Path

from PIL import ImageFont

from ..errors import EpochbankError

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_DIRECTORIES = (
    "/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts",
    "/Library/Fonts", "/System/Library/Fonts", "~/Library/Fonts",
)  # fmt: skip
_SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")
_FIRST = re.compile(
    "cjk|gothic|mincho|takao|ipa(ex)?[gm]|hiragino|heiti|songti|wqy|unifont|fallback|arial ?unicode", re.I
)
_SECOND = re.compile("noto|dejavu|freesans|freeserif", re.I)
_NEVER = re.compile("lastresort|adobe-?blank|emoji", re.I)
"""They have a picture for every letter, the same for all of them; or pictures of one size."""
_STYLED = re.compile("bold|italic|oblique|black|thin|light|condensed|narrow", re.I)
_MOST_FILES, _MOST_FONTS = 20_000, 256
"""Files that are looked through by name, and fonts that are searched for letters."""
_PROBE = 16
"""Size, in points, at which letters are looked for."""


def written(text: str, points: int, first: Path | None = None) -> tuple[str, Font]:
    """`text` as it can be drawn, and a font of that size for it.

    The font is the first that has all its letters: that in the file `first`, Pillow's own, those of the system. Where
    there is none, it is the first of those that have the most, and the other letters become code points: `U+4E9C`.
    Raises `EpochbankError` where `first` is no font.
    """
    font = _best("" if first is None else check_font(first), text)
    return "".join(letter if _has(font, letter) else code_point(letter) for letter in text), _load(font, points)


def code_point(letter: str) -> str:
    """`U+4E9C`."""
    return f"U+{ord(letter):04X}"


def check_font(file: Path) -> str:
    """The path of a font file; `EpochbankError` where it is none."""
    try:
        _load(str(file), _PROBE)
    except OSError as error:
        raise EpochbankError(
            f"--font {file} cannot be used: {error}; expected a TrueType or OpenType file, such as .ttf, .otf or .ttc."
        ) from error
    return str(file)


@lru_cache(maxsize=1)
def system_fonts() -> tuple[str, ...]:
    """Paths of the system's fonts: those that have many letters by their names first, then the largest files."""
    # Unlike Path's, it leaves `~` where there is no home.
    directories = (Path(os.path.expanduser(directory)) for directory in _DIRECTORIES)  # noqa: PTH111
    files = (file for directory in directories for file in directory.rglob("*"))
    found = [
        file
        for file in islice(files, _MOST_FILES)
        if file.suffix.lower() in _SUFFIXES and not _NEVER.search(file.name) and file.is_file()
    ]
    return tuple(str(file) for file in sorted(found, key=_rank)[:_MOST_FONTS])


def _rank(file: Path) -> tuple[int, bool, int, Path]:
    rank = 0 if _FIRST.search(file.name) else 1 if _SECOND.search(file.name) else 2
    return rank, _STYLED.search(file.name) is not None, -file.stat().st_size, file


@lru_cache(maxsize=1 << 14)
def _best(first: str, text: str) -> str:
    """The font that `written` takes; an empty path is Pillow's own."""
    fonts = [first, "", *system_fonts()] if first else ["", *system_fonts()]
    for font in fonts:
        if all(_has(font, letter) for letter in text):
            return font
    return max(fonts, key=lambda font: sum(_has(font, letter) for letter in text))


@lru_cache(maxsize=512)
def _load(path: str, points: int) -> Font:
    """The font of a file; Pillow's own where there is no path."""
    return ImageFont.truetype(path, points) if path else ImageFont.load_default(points)


@lru_cache(maxsize=1 << 17)
def _has(path: str, letter: str) -> bool:
    """Whether the font draws something for `letter`, and not what it draws for a letter that there is not."""
    if letter == " ":
        return True
    if not letter.isprintable():
        return False
    try:
        drawn, none = (bytes(_load(path, _PROBE).getmask(one)) for one in (letter, "\uffff"))
    except OSError:
        return False  # A file of the system's that is damaged, or has letters of another size alone.
    return drawn != none and any(drawn)
