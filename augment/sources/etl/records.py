"""The seven record types of the ETL Character Database: positions of the fields and of the pixels.

All records have a fixed length and are big-endian, with the most significant bit first. K and C consist of 6-bit
characters, so their fields need not begin at a byte, and positions are counted in bits. Source of the formats: the
`form_*` pages of the official specification.
"""

from typing import Literal, NamedTuple

import numpy as np

_T56 = np.frombuffer(b"0123456789[#@:>? ABCDEFGHI&.](<  JKLMNOPQR-$*);'|/STUVWXYZ ,%=\"!", np.uint8)
"""The T56 code as ASCII, by number. The first of its four blanks is the space; ASCII lacks the other three signs."""

Text = Literal["number", "ascii", "t56"]


class Field(NamedTuple):
    """Position of a value in a record."""

    first: int
    """First bit, from 0."""
    bits: int
    kind: Text = "number"


class RecordType(NamedTuple):
    """Layout of a record."""

    size: int
    """Size of a record in bytes."""
    image_at: int
    """Offset of the image in bytes."""
    height: int
    width: int
    depth: int
    """Bits per pixel: 1, 4 or 6. 0 is the background, the highest value is ink."""
    fields: dict[str, Field]

    @property
    def image_bytes(self) -> int:
        """Size of an image in bytes; rows and pixels have no padding."""
        return self.height * self.width * self.depth // 8


def _layout(*fields: tuple[str, int] | tuple[str, int, Text]) -> dict[str, Field]:
    """Lay out consecutive fields, given by name and number of bits; fields without a name are undefined."""
    layout, first = {}, 0
    for name, bits, *kind in fields:
        if name:
            layout[name] = Field(first, bits, *kind)
        first += bits
    return layout


_M = _layout(
    ("number", 16), ("name", 16, "ascii"), ("sheet", 16), ("code", 8), ("ebcdic", 8), ("quality", 8),
    ("group_quality", 8), ("sex", 8), ("age", 8), ("serial", 32), ("industry", 16), ("occupation", 16),
    ("collected", 16), ("scanned", 16), ("y", 8), ("x", 8), ("minimum", 8), ("maximum", 8),
)  # fmt: skip
_K = _layout(
    ("serial", 36), ("style", 6, "t56"), ("", 30), ("kind", 36, "t56"), ("font", 36, "t56"), ("", 24), ("code", 12),
)  # fmt: skip
_C = _layout(
    ("serial", 36), ("sheet", 36), ("code", 8), ("", 28), ("ebcdic", 8), ("", 28), ("name", 24, "t56"), ("", 12),
    ("quality", 36), ("group_quality", 36), ("y", 36), ("x", 36), ("sex", 36), ("age", 36), ("industry", 36),
    ("occupation", 36), ("collected", 36), ("scanned", 36), ("width", 36), ("height", 36), ("levels", 36),
    ("magnification", 36), ("old_serial", 36),
)  # fmt: skip
_G = _layout(
    ("sheet", 16), ("code", 16), ("reading", 64, "ascii"), ("serial", 32), ("quality", 8), ("group_quality", 8),
    ("sex", 8), ("age", 8), ("industry", 16), ("occupation", 16), ("collected", 16), ("scanned", 16), ("x", 8),
    ("y", 8),
)  # fmt: skip
_B = _layout(("sheet", 16), ("code", 16), ("reading", 32, "ascii"))

RECORDS = {
    "M": RecordType(2052, 32, 63, 64, 4, _M),
    "K": RecordType(2745, 45, 60, 60, 6, _K),
    "C": RecordType(2952, 216, 76, 72, 4, _C),
    "8B": RecordType(512, 8, 63, 64, 1, _B),
    "8G": RecordType(8199, 60, 127, 128, 4, _G),
    "9B": RecordType(576, 8, 63, 64, 1, _B),
    "9G": RecordType(8199, 64, 127, 128, 4, _G),
}
"""The record types by name. 8G and 9G differ only in the offset of the image."""


def values(records: np.ndarray, field: Field) -> np.ndarray:
    """Return a field of each of `records`, uint8 (n, bytes): uint64 (n,) for a number, or bytes (n,) for text."""
    start, stop = field.first // 8, -(-(field.first + field.bits) // 8)
    if field.kind == "ascii":
        return np.ascontiguousarray(records[:, start:stop]).view(f"S{stop - start}")[:, 0]
    number = np.zeros(len(records), np.uint64)
    for byte in range(start, stop):
        number = number << np.uint64(8) | records[:, byte]
    number = number >> np.uint64(8 * stop - field.first - field.bits) & np.uint64((1 << field.bits) - 1)
    if field.kind == "number":
        return number
    shifts = np.arange(field.bits - 6, -1, -6, dtype=np.uint64)
    return _T56[number[:, None] >> shifts & np.uint64(63)].view(f"S{len(shifts)}")[:, 0]
