"""Writes records of the ETL Character Database by the specification, for the tests of its reader.

It shares nothing with the reader: fields are put down one after another by their sizes, and JIS codes come by way of
EUC-JP and Unicode instead of ISO-2022-JP. Bits that the specification does not describe are zero.
"""

import functools
import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageChops

from conftest import glyphs

OMNIGLOT = Path(__file__).parents[2] / "shared" / "data" / "omniglot-drawers-01-16.zip"
Picture = np.ndarray | Sequence[Sequence[int]]

T56 = "0123456789[#@:>? ABCDEFGHI&.](<  JKLMNOPQR-$*);'|/STUVWXYZ ,%=\"!"
"""Index is the code. Of its four blanks the first, 16, is the space; the others stand for signs that ASCII lacks."""

DUMMY_8B = b"\x40" * 512
"""Record 0 of an ETL8B file. The specification does not say what it holds. Here it passes for a sample, of 0x4040."""

DUMMY_9B = bytes(576)
"""Record 0 of an ETL9B file: zeros."""


# Fields


def integer(value: int, size: int) -> bytes:
    """An unsigned big-endian integer of so many bytes."""
    return int(value).to_bytes(size, "big")


def text(value: bytes, size: int) -> bytes:
    """Bytes, filled up with spaces on the right."""
    if len(value) > size:
        raise ValueError(f"{value!r} is longer than {size} bytes")
    return value.ljust(size)


def bits(value: int, width: int) -> str:
    """An unsigned integer as a string of so many binary digits."""
    digits = f"{int(value):0{width}b}"
    if value < 0 or len(digits) > width:
        raise ValueError(f"{value} does not fit {width} bits")
    return digits


def t56(characters: str, count: int) -> str:
    """So many T56 characters, six binary digits each, filled up with spaces on the right."""
    if len(characters) > count:
        raise ValueError(f"{characters!r} is longer than {count} characters")
    return "".join(bits(T56.index(character), 6) for character in characters.ljust(count))


def to_bytes(digits: str) -> bytes:
    """Binary digits, most significant first, as bytes."""
    if len(digits) % 8:
        raise ValueError(f"{len(digits)} bits are not whole bytes")
    return int(digits, 2).to_bytes(len(digits) // 8, "big")


def packed(picture: Picture, height: int, width: int, depth: int) -> bytes:
    """Pixels of so many bits, row by row, with nothing between rows."""
    pixels = np.asarray(picture)
    if pixels.shape != (height, width):
        raise ValueError(f"a picture of {pixels.shape}, expected {(height, width)}")
    if pixels.min() < 0 or pixels.max() >= 2**depth:
        raise ValueError(f"pixels from {pixels.min()} to {pixels.max()}, expected 0 to {2**depth - 1}")
    digits = [bits(value, depth) for value in range(2**depth)]
    return to_bytes("".join([digits[value] for row in pixels.tolist() for value in row]))


def framed(head: bytes, picture: bytes, tail: int, *, at: int, length: int) -> bytes:
    """The whole record, if the picture starts and the record ends where the specification says."""
    record = head + picture + bytes(tail)
    if (len(head), len(record)) != (at, length):
        raise ValueError(f"picture at {len(head)} of {len(record)}, expected at {at} of {length}")
    return record


# Records


def record_m(
    picture: Picture,
    *,
    jis: int,
    sheet: int = 1,
    number: int = 1,
    name: bytes = b" A",
    ebcdic: int = 0xC1,
    quality: int = 0,
    group_quality: int = 0,
    sex: int = 1,
    age: int = 35,
    serial: int = 100001,
    industry: int = 3,
    occupation: int = 4,
    collected: int = 7309,
    scanned: int = 7310,
    y: int = 21,
    x: int = 22,
    minimum: int | None = None,
    maximum: int | None = None,
    undefined: bytes = bytes(4),
) -> bytes:
    """ETL1, 6, 7: 2,052 bytes; picture (63, 64) of 0 to 15, whose own least and greatest level go in unless given."""
    head = (
        integer(number, 2)
        + text(name, 2)
        + integer(sheet, 2)
        + integer(jis, 1)
        + integer(ebcdic, 1)
        + integer(quality, 1)
        + integer(group_quality, 1)
        + integer(sex, 1)
        + integer(age, 1)
        + integer(serial, 4)
        + integer(industry, 2)
        + integer(occupation, 2)
        + integer(collected, 2)
        + integer(scanned, 2)
        + integer(y, 1)
        + integer(x, 1)
        + integer(np.min(picture) if minimum is None else minimum, 1)
        + integer(np.max(picture) if maximum is None else maximum, 1)
        + text(undefined, 4)
    )
    return framed(head, packed(picture, 63, 64, 4), 4, at=32, length=2052)


def record_k(
    picture: Picture,
    *,
    co59: tuple[int, int],
    serial: int,
    style: str = "A",
    kind: str = "KANJI",
    font: str = "MINCHO",
) -> bytes:
    """ETL2: 2,745 bytes; picture (60, 60) of 0 to 63."""
    first, second = co59
    head = (
        bits(serial, 36)
        # One character says the style. The rest of its 36 bits is filled as `kind` and `font` are: with T56 spaces.
        + t56(style, 6)
        + t56(kind, 6)
        + t56(font, 6)
        + bits(0, 24)
        + bits(first, 6)
        + bits(second, 6)
        + bits(0, 180)
    )
    return framed(to_bytes(head), packed(picture, 60, 60, 6), 0, at=45, length=2745)


def record_c(
    picture: Picture,
    *,
    jis: int,
    sheet: int,
    serial: int,
    kind: str = "H",
    name: str = "A",
    ebcdic: int = 0x81,
    quality: int = 0,
    group_quality: int = 0,
    y: int = 21,
    x: int = 22,
    sex: int = 1,
    age: int = 35,
    industry: int = 3,
    occupation: int = 4,
    collected: int = 7309,
    scanned: int = 7310,
    width: int = 72,
    height: int = 76,
    levels: int = 16,
    magnification: int = 1,
    old_serial: int = 0,
) -> bytes:
    """ETL3, 4, 5: 2,952 bytes; picture (76, 72) of 0 to 15."""
    fifteen = (
        quality,
        group_quality,
        y,
        x,
        sex,
        age,
        industry,
        occupation,
        collected,
        scanned,
        width,
        height,
        levels,
        magnification,
        old_serial,
    )
    head = (
        bits(serial, 36)
        + bits(sheet, 36)
        + bits(jis, 8)
        + bits(0, 28)
        + bits(ebcdic, 8)
        + bits(0, 28)
        + t56(f"{kind}{name:>3}", 4)
        + t56("", 2)
        + "".join(bits(value, 36) for value in fifteen)
        + bits(0, 1008)
    )
    return framed(to_bytes(head), packed(picture, 76, 72, 4), 0, at=216, length=2952)


def record_8g(
    picture: Picture,
    *,
    code: int,
    sheet: int,
    reading: bytes = b"A.HI",
    serial: int = 1,
    quality: int = 0,
    group_quality: int = 0,
    sex: int = 0,
    age: int = 0,
    industry: int = 0,
    occupation: int = 0,
    collected: int = 0,
    scanned: int = 0,
    x: int = 0,
    y: int = 0,
) -> bytes:
    """ETL8G: 8,199 bytes; picture (127, 128) of 0 to 15."""
    head = (
        integer(sheet, 2)
        + integer(code, 2)
        + text(reading, 8)
        + integer(serial, 4)
        + integer(quality, 1)
        + integer(group_quality, 1)
        + integer(sex, 1)
        + integer(age, 1)
        + integer(industry, 2)
        + integer(occupation, 2)
        + integer(collected, 2)
        + integer(scanned, 2)
        + integer(x, 1)
        + integer(y, 1)
        + bytes(30)
    )
    return framed(head, packed(picture, 127, 128, 4), 11, at=60, length=8199)


def record_9g(picture: Picture, *, code: int, sheet: int, reading: bytes = b"A.HI", **fields: int) -> bytes:
    """ETL9G: as `record_8g`, whose other fields it takes too, but four bytes go from behind the picture before it."""
    record = record_8g(picture, code=code, sheet=sheet, reading=reading, **fields)
    return framed(record[:60] + bytes(4), record[60:-11], 7, at=64, length=8199)


def record_8b(picture: Picture, *, code: int, sheet: int, reading: bytes = b"A.HI") -> bytes:
    """ETL8B: 512 bytes; picture (63, 64) of 0 and 1."""
    head = integer(sheet, 2) + integer(code, 2) + text(reading, 4)
    return framed(head, packed(picture, 63, 64, 1), 0, at=8, length=512)


def record_9b(picture: Picture, *, code: int, sheet: int, reading: bytes = b"A.HI") -> bytes:
    """ETL9B: 576 bytes; picture (63, 64) of 0 and 1."""
    head = integer(sheet, 2) + integer(code, 2) + text(reading, 4)
    return framed(head, packed(picture, 63, 64, 1), 64, at=8, length=576)


# Codes


def jis0208(character: str) -> int:
    """The two bytes of JIS X 0208: 0x3021 for 亜. ValueError if it has none."""
    # EUC-JP is JIS X 0208 with both high bits set; half-width katakana come after a byte 0x8E.
    code = character.encode("euc_jp")
    if len(code) != 2 or code[0] == 0x8E:
        raise ValueError(f"{character!r} is not in JIS X 0208")
    return int.from_bytes(code, "big") & 0x7F7F


def jis0201(character: str) -> int:
    """The byte of JIS X 0201: ASCII, but ¥ and ‾ for backslash and tilde; half-width katakana. ValueError if none."""
    if "｡" <= character <= "ﾟ" and len(character) == 1:
        return ord(character) - ord("｡") + 0xA1
    if character in ("¥", "‾"):
        return {"¥": 0x5C, "‾": 0x7E}[character]
    if len(character) == 1 and " " <= character <= "}" and character != "\\":
        return ord(character)
    raise ValueError(f"{character!r} is not in JIS X 0201")


def co59_table(mapping: Mapping[str, tuple[int, int]] | Iterable[tuple[str, tuple[int, int]]]) -> bytes:
    """The text of `euc_co59.dat`. Pairs instead of a dict can name a character twice, as the true table does."""
    pairs = mapping.items() if isinstance(mapping, Mapping) else mapping
    entries = [f"{character}:{first},{second}" for character, (first, second) in pairs]
    # White space of both kinds: eight entries a line.
    lines = [" ".join(entries[start : start + 8]) + "\n" for start in range(0, len(entries), 8)]
    return "".join(lines).encode("euc_jp")


# Pictures


@functools.cache
def omniglot() -> tuple[zipfile.ZipFile, list[str]] | None:
    """The archive, in memory, and its pictures in order of their names; None where it does not lie."""
    if not OMNIGLOT.exists():
        return None
    archive = zipfile.ZipFile(io.BytesIO(OMNIGLOT.read_bytes()))
    return archive, sorted(name for name in archive.namelist() if name.endswith(".png"))


def drawing(number: int) -> Image.Image:
    """The picture of that number (they recur), 105 x 105, ink bright; a drawing of our own where Omniglot is not."""
    found = omniglot()
    if found is None:
        return Image.fromarray(glyphs(1, (105, 105, 1), seed=number)[0, :, :, 0])
    archive, names = found
    with archive.open(names[number % len(names)]) as file, Image.open(file) as image:
        return ImageChops.invert(image.convert("L"))


def glyph(number: int, height: int, width: int, levels: int) -> np.ndarray:
    """A handwritten character, uint8 (height, width) of 0 to levels - 1, ink high; the same for the same number.

    Levels are 2, or a multiple of 4. With more than 2, every value occurs, and no pixel is like any of the eight
    around it. With 2, a dotted texture tells rows apart, and a byte from its mirror image.
    """
    if levels != 2 and levels % 4:
        raise ValueError(f"{levels} levels, expected 2 or a multiple of 4")
    ink = np.asarray(drawing(number).resize((width, height), Image.Resampling.BILINEAR)).astype(int)
    rows, columns = np.indices((height, width))
    if levels == 2:
        # Thin strokes survive a low threshold.
        return ((ink >= 96) ^ ((columns + 3 * rows) % 8 == 0)).astype(np.uint8)
    # Two bits for the place, the others for the ink. The first two rows are a ramp through all values, which has
    # these same two bits.
    ramp = (columns + 58 * rows) % levels
    steps = levels // 4 - 1
    picture = (ink * steps + 127) // 255 * 4 + ramp % 4
    picture[:2] = ramp[:2]
    return picture.astype(np.uint8)


# The first records of the official files, as far as the specification tells them, with what a reader must find


def golden_9g() -> tuple[bytes, dict[str, Any]]:
    """The first of ETL9G_01: 8212 and 8310 are when it was collected and scanned."""
    picture = glyph(1, 127, 128, 16)
    record = record_9g(picture, code=0x3021, sheet=1, reading=b"A.TSUGU ", serial=1, collected=8212, scanned=8310)
    return record, {
        "label": "亜",
        "code": 0x3021,
        "sheet": 1,
        "set": 0,
        "reading": b"A.TSUGU ",
        "serial": 1,
        "collected": 8212,
        "scanned": 8310,
        "picture": picture,
    }


def golden_9b() -> tuple[bytes, dict[str, Any]]:
    """The first of ETL9B_1 after the dummy, which is not in these bytes."""
    picture = glyph(2, 63, 64, 2)
    record = record_9b(picture, code=0x2422, sheet=1, reading=b"A.HI")
    return record, {"label": "あ", "code": 0x2422, "sheet": 1, "set": 0, "reading": b"A.HI", "picture": picture}


def golden_4c() -> tuple[bytes, dict[str, Any]]:
    """The first of ETL4C: hiragana under a code of katakana."""
    picture = glyph(3, 76, 72, 16)
    record = record_c(picture, jis=0xB1, ebcdic=0x81, kind="H", name="A", sheet=5001, serial=500100)
    return record, {
        "label": "あ",
        "jis": 0xB1,
        "ebcdic": 0x81,
        "characters": "H  A",
        "sheet": 5001,
        "serial": 500100,
        "width": 72,
        "height": 76,
        "levels": 16,
        "picture": picture,
    }


def golden_2() -> tuple[bytes, dict[str, Any]]:
    """The first of ETL2_1; its serial and CO-59 code are ours, and `table` is a `euc_co59.dat` that has the code."""
    picture = glyph(4, 60, 60, 64)
    record = record_k(picture, co59=(12, 33), serial=1, style="A", kind="KANJI", font="MINCHO")
    return record, {
        "label": "上",
        "co59": (12, 33),
        "table": co59_table([("下", (33, 12)), ("上", (12, 33)), ("▲", (0, 0)), ("▲", (63, 63))]),
        "serial": 1,
        "style": "A",
        "kind": "KANJI",
        "font": "MINCHO",
        "picture": picture,
    }
