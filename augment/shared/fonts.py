"""Fonts that have the characters of a text: the default font, one of a Python package, or one of the system."""

import os
import re
from functools import lru_cache
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from PIL import ImageFont

from ..console import notify
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
"""Fonts with the same glyph for all characters, or with bitmaps of one size."""
_STYLED = re.compile("bold|italic|oblique|black|thin|light|condensed|narrow", re.I)
_MOST_FILES, _MOST_FONTS = 20_000, 256
"""Maximum number of files whose names are read, and of fonts that are searched for characters."""
_PACKAGE = "matplotlib_fontja"
"""Module of the extra `fonts`: IPAexGothic, which has kana and the kanji of JIS X 0208 and 0213."""
_PROBE = 16
"""Size, in points, at which fonts are searched for characters."""


def drawable(text: str, first: Path | None = None) -> tuple[str, str]:
    """Return `text` as it can be drawn, and the path of a font file for it.

    The font is the first that has all characters of `text`: the file `first`, Matplotlib's DejaVu Sans, the font of the
    extra `fonts`, or a font of the system. If there is none, the font with most of them is used, and the other
    characters become code points like `U+4E9C U+54C0`, which is reported once. Raises `EpochbankError` if `first` is no
    font.
    """
    return _drawable(text, "" if first is None else check_font(first), pillow=False)


def pillow_text(text: str, points: int, first: Path | None = None) -> tuple[str, Font]:
    """Like `drawable`, but prefer Pillow's built-in font, and return a Pillow font of size `points`."""
    shown, path = _drawable(text, "" if first is None else check_font(first), pillow=True)
    return shown, _load(path, points)


def code_point(character: str) -> str:
    """Return the code point of a character as text: `U+4E9C`."""
    return f"U+{ord(character):04X}"


def check_font(file: Path) -> str:
    """Return the path of a font file. Raises `EpochbankError` if it is not a font."""
    try:
        _load(str(file), _PROBE)
    except OSError as error:
        raise EpochbankError(
            f"--font {file} cannot be used: {error}; expected a TrueType or OpenType file, such as .ttf, .otf or .ttc."
        ) from error
    return str(file)


@lru_cache(maxsize=1)
def system_fonts() -> tuple[str, ...]:
    """Return the paths of the system's fonts: those with many characters by their names first, then large files."""
    # Path.expanduser fails if there is no home directory.
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
def _drawable(text: str, first: str, *, pillow: bool) -> tuple[str, str]:
    """Return `text` as it can be drawn, and the path of a font for it; '' stands for Pillow's built-in font."""
    bundled = [*([first] if first else []), *([""] if pillow else []), *_matplotlib_font(), *_package_fonts()]
    fonts = [*bundled, *system_fonts()] or [""]
    font = next((font for font in fonts if all(_has(font, character) for character in text)), None)
    if font is None:
        _report_missing()
        font = max(fonts, key=lambda font: sum(_has(font, character) for character in text))
    shown = ""
    before = ""
    for character in text:
        one = character if _has(font, character) else code_point(character)
        # A code point next to a letter or another one would be read as one word.
        shown += f" {one}" if max(len(before), len(one)) > 1 and before[-1:].isalnum() and one[0].isalnum() else one
        before = one
    return shown, font


@lru_cache(maxsize=1)
def _report_missing() -> None:
    """Print, once per process, what to install."""
    notify(
        "no font has all characters of the class names, so code points are drawn: install one with "
        "`pip install 'epochbank[fonts]'` for Japanese, or `apt install fonts-noto-cjk` for Japanese, Chinese and "
        "Korean, which all commands then find; `augment inspect --font FILE` uses a font that is not installed"
    )


def _package_fonts() -> list[str]:
    """Return the paths of the fonts of the extra `fonts`. Its module, which changes Matplotlib, is not imported."""
    spec = find_spec(_PACKAGE)
    return sorted(map(str, (Path(spec.origin or "").parent / "fonts").glob("*.ttf"))) if spec else []


def _matplotlib_font() -> list[str]:
    """Return the path of DejaVu Sans in the installation of Matplotlib, which is not imported for that."""
    spec = find_spec("matplotlib")
    font = Path(spec.origin or "").parent / "mpl-data/fonts/ttf/DejaVuSans.ttf" if spec else Path()
    return [str(font)] if font.is_file() else []


@lru_cache(maxsize=512)
def _load(path: str, points: int) -> Font:
    return ImageFont.truetype(path, points) if path else ImageFont.load_default(points)


@lru_cache(maxsize=512)
def _probe(path: str) -> Font:
    """Return the font in a layout that draws a combining character by itself."""
    font = _load(path, _PROBE)
    return font.font_variant(layout_engine=ImageFont.Layout.BASIC) if isinstance(font, ImageFont.FreeTypeFont) else font


@lru_cache(maxsize=1 << 17)
def _has(path: str, character: str) -> bool:
    """Return whether the font has a glyph for `character` that is not the one for missing characters."""
    if character == " ":
        return True
    if not character.isprintable():
        return False
    try:
        font = _probe(path)
        drawn, missing = (bytes(font.getmask(one)) for one in (character, "\uffff"))
    except OSError:
        return False  # The file is damaged, or a bitmap font of other sizes.
    return drawn != missing and any(drawn)
