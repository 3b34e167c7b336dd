"""Writes records of the ETL Character Database according to the specification, for the tests of its reader.

It shares no code with the reader: fields are written one after another by size, and JIS codes are derived from EUC-JP
and Unicode instead of ISO-2022-JP. Bits that the specification does not describe are zero.
"""

import functools
import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops

from conftest import glyphs

OMNIGLOT = Path(__file__).parents[2] / "shared" / "data" / "omniglot-drawers-01-16.zip"
Pixels = np.ndarray | Sequence[Sequence[int]]

T56 = "0123456789[#@:>? ABCDEFGHI&.](<  JKLMNOPQR-$*);'|/STUVWXYZ ,%=\"!"
"""The index is the code. The first of the four blanks, 16, is the space; the others stand for signs not in ASCII."""

DUMMY_8B = b"\x40" * 512
"""Record 0 of an ETL8B file. The specification does not define it. Here it looks like a sample with code 0x4040."""

DUMMY_9B = bytes(576)
"""Record 0 of an ETL9B file: zeros."""


# Fields


def integer(value: int, size: int) -> bytes:
    """Encode an unsigned big-endian integer of `size` bytes."""
    return int(value).to_bytes(size, "big")


def text(value: bytes, size: int) -> bytes:
    """Pad bytes with spaces on the right."""
    if len(value) > size:
        raise ValueError(f"{value!r} is longer than {size} bytes")
    return value.ljust(size)


def bits(value: int, width: int) -> str:
    """Return an unsigned integer as a string of `width` binary digits."""
    digits = f"{int(value):0{width}b}"
    if value < 0 or len(digits) > width:
        raise ValueError(f"{value} does not fit {width} bits")
    return digits


def t56(characters: str, count: int) -> str:
    """Encode text as `count` T56 characters of six binary digits each, padded with spaces on the right."""
    if len(characters) > count:
        raise ValueError(f"{characters!r} is longer than {count} characters")
    return "".join(bits(T56.index(character), 6) for character in characters.ljust(count))


def to_bytes(digits: str) -> bytes:
    """Convert binary digits, most significant first, to bytes."""
    if len(digits) % 8:
        raise ValueError(f"{len(digits)} bits are not whole bytes")
    return int(digits, 2).to_bytes(len(digits) // 8, "big")


def packed(image: Pixels, height: int, width: int, depth: int) -> bytes:
    """Pack pixels of `depth` bits row by row, without padding."""
    pixels = np.asarray(image)
    if pixels.shape != (height, width):
        raise ValueError(f"an image of {pixels.shape}, expected {(height, width)}")
    if pixels.min() < 0 or pixels.max() >= 2**depth:
        raise ValueError(f"pixels from {pixels.min()} to {pixels.max()}, expected 0 to {2**depth - 1}")
    digits = [bits(value, depth) for value in range(2**depth)]
    return to_bytes("".join([digits[value] for row in pixels.tolist() for value in row]))


def framed(head: bytes, image: bytes, tail: int, *, at: int, length: int) -> bytes:
    """Return the whole record. Raises `ValueError` if image or end are not where the specification puts them."""
    record = head + image + bytes(tail)
    if (len(head), len(record)) != (at, length):
        raise ValueError(f"image at {len(head)} of {len(record)}, expected at {at} of {length}")
    return record


# Records


def record_m(
    image: Pixels,
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
    """ETL1, 6, 7: 2,052 bytes; image (63, 64) of 0 to 15. `minimum` and `maximum` default to those of the image."""
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
        + integer(np.min(image) if minimum is None else minimum, 1)
        + integer(np.max(image) if maximum is None else maximum, 1)
        + text(undefined, 4)
    )
    return framed(head, packed(image, 63, 64, 4), 4, at=32, length=2052)


def record_k(
    image: Pixels,
    *,
    co59: tuple[int, int],
    serial: int,
    style: str = "A",
    kind: str = "KANJI",
    font: str = "MINCHO",
) -> bytes:
    """ETL2: 2,745 bytes; image (60, 60) of 0 to 63."""
    first, second = co59
    head = (
        bits(serial, 36)
        # One character is the style. T56 spaces fill the rest of its 36 bits, as in `kind` and `font`.
        + t56(style, 6)
        + t56(kind, 6)
        + t56(font, 6)
        + bits(0, 24)
        + bits(first, 6)
        + bits(second, 6)
        + bits(0, 180)
    )
    return framed(to_bytes(head), packed(image, 60, 60, 6), 0, at=45, length=2745)


def record_c(
    image: Pixels,
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
    """ETL3, 4, 5: 2,952 bytes; image (76, 72) of 0 to 15."""
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
    return framed(to_bytes(head), packed(image, 76, 72, 4), 0, at=216, length=2952)


def record_8g(
    image: Pixels,
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
    """ETL8G: 8,199 bytes; image (127, 128) of 0 to 15."""
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
    return framed(head, packed(image, 127, 128, 4), 11, at=60, length=8199)


def record_9g(image: Pixels, *, code: int, sheet: int, reading: bytes = b"A.HI", **fields: int) -> bytes:
    """ETL9G: like `record_8g`, with the same fields, but with four more bytes before the image."""
    record = record_8g(image, code=code, sheet=sheet, reading=reading, **fields)
    return framed(record[:60] + bytes(4), record[60:-11], 7, at=64, length=8199)


def record_8b(image: Pixels, *, code: int, sheet: int, reading: bytes = b"A.HI") -> bytes:
    """ETL8B: 512 bytes; image (63, 64) of 0 and 1."""
    head = integer(sheet, 2) + integer(code, 2) + text(reading, 4)
    return framed(head, packed(image, 63, 64, 1), 0, at=8, length=512)


def record_9b(image: Pixels, *, code: int, sheet: int, reading: bytes = b"A.HI") -> bytes:
    """ETL9B: 576 bytes; image (63, 64) of 0 and 1."""
    head = integer(sheet, 2) + integer(code, 2) + text(reading, 4)
    return framed(head, packed(image, 63, 64, 1), 64, at=8, length=576)


# Codes


def jis0208(character: str) -> int:
    """Return the two-byte code in JIS X 0208: 0x3021 for 亜. Raises `ValueError` if it has none."""
    # EUC-JP is JIS X 0208 with both high bits set; a byte 0x8E precedes half-width katakana.
    code = character.encode("euc_jp")
    if len(code) != 2 or code[0] == 0x8E:
        raise ValueError(f"{character!r} is not in JIS X 0208")
    return int.from_bytes(code, "big") & 0x7F7F


def jis0201(character: str) -> int:
    """Return the code in JIS X 0201: ASCII, except ¥ and ‾ for backslash and tilde, or half-width katakana."""
    if "｡" <= character <= "ﾟ" and len(character) == 1:
        return ord(character) - ord("｡") + 0xA1
    if character in ("¥", "‾"):
        return {"¥": 0x5C, "‾": 0x7E}[character]
    if len(character) == 1 and " " <= character <= "}" and character != "\\":
        return ord(character)
    raise ValueError(f"{character!r} is not in JIS X 0201")


def co59_table(mapping: Mapping[str, tuple[int, int]] | Iterable[tuple[str, tuple[int, int]]]) -> bytes:
    """Return the text of `euc_co59.dat`. Pairs can repeat a character, as the official table does; a dict cannot."""
    pairs = mapping.items() if isinstance(mapping, Mapping) else mapping
    entries = [f"{character}:{first},{second}" for character, (first, second) in pairs]
    # Spaces and line breaks: eight entries per line.
    lines = [" ".join(entries[start : start + 8]) + "\n" for start in range(0, len(entries), 8)]
    return "".join(lines).encode("euc_jp")


# Images


@functools.cache
def omniglot() -> tuple[zipfile.ZipFile, list[str]] | None:
    """Return the archive, in memory, and the sorted names of its images; None if it does not exist."""
    if not OMNIGLOT.exists():
        return None
    archive = zipfile.ZipFile(io.BytesIO(OMNIGLOT.read_bytes()))
    return archive, sorted(name for name in archive.namelist() if name.endswith(".png"))


def drawing(number: int) -> Image.Image:
    """Return drawing `number` (they repeat), 105 x 105, bright ink; a generated one if Omniglot does not exist."""
    found = omniglot()
    if found is None:
        return Image.fromarray(glyphs(1, (105, 105, 1), seed=number)[0, :, :, 0])
    archive, names = found
    with archive.open(names[number % len(names)]) as file, Image.open(file) as image:
        return ImageChops.invert(image.convert("L"))


def glyph(number: int, height: int, width: int, levels: int) -> np.ndarray:
    """Return a handwritten character, uint8 (height, width) of 0 to levels - 1, ink high; a function of `number`.

    `levels` is 2 or a multiple of 4. With more than 2, every value occurs, and each pixel differs from its eight
    neighbors. With 2, a dotted texture distinguishes rows, and each byte from its mirror image.
    """
    if levels != 2 and levels % 4:
        raise ValueError(f"{levels} levels, expected 2 or a multiple of 4")
    ink = np.asarray(drawing(number).resize((width, height), Image.Resampling.BILINEAR)).astype(int)
    rows, columns = np.indices((height, width))
    if levels == 2:
        # Thin strokes survive a low threshold.
        return ((ink >= 96) ^ ((columns + 3 * rows) % 8 == 0)).astype(np.uint8)
    # Two bits depend on the position, the others on the ink. The first two rows are a ramp through all values, with
    # the same two bits.
    ramp = (columns + 58 * rows) % levels
    steps = levels // 4 - 1
    image = (ink * steps + 127) // 255 * 4 + ramp % 4
    image[:2] = ramp[:2]
    return image.astype(np.uint8)


# The first records of the official files, as far as the specification describes them: record, label and image


def golden_9g() -> tuple[bytes, str, np.ndarray]:
    """First record of ETL9G_01. It was collected in 8212 and scanned in 8310."""
    image = glyph(1, 127, 128, 16)
    record = record_9g(image, code=0x3021, sheet=1, reading=b"A.TSUGU ", serial=1, collected=8212, scanned=8310)
    return record, "亜", image


def golden_9b() -> tuple[bytes, str, np.ndarray]:
    """First record of ETL9B_1 after the dummy, which these bytes do not contain."""
    image = glyph(2, 63, 64, 2)
    return record_9b(image, code=0x2422, sheet=1, reading=b"A.HI"), "あ", image


def golden_4c() -> tuple[bytes, str, np.ndarray]:
    """First record of ETL4C: hiragana with a code of katakana."""
    image = glyph(3, 76, 72, 16)
    return record_c(image, jis=0xB1, ebcdic=0x81, kind="H", name="A", sheet=5001, serial=500100), "あ", image


def golden_2() -> tuple[bytes, str, np.ndarray]:
    """First record of ETL2_1, with our own serial and CO-59 code, which `GOLDEN_TABLE` maps to the label."""
    image = glyph(4, 60, 60, 64)
    return record_k(image, co59=(12, 33), serial=1, style="A", kind="KANJI", font="MINCHO"), "上", image


GOLDEN_TABLE = co59_table([("下", (33, 12)), ("上", (12, 33)), ("▲", (0, 0)), ("▲", (63, 63))])
