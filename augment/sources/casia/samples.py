"""The samples of a `.gnt` file: a header of ten bytes, and a gray image of any size.

The format is described in Liu, Yin, Wang and Wang, CASIA Online and Offline Chinese Handwriting Databases (ICDAR 2011),
and on the databases' page: size of the sample in bytes (uint32), tag code (2 bytes, GB2312 or GBK), width and height
(uint16), and the pixels row by row, with a background of 255. Numbers are little-endian.
"""

import os
import struct
from array import array
from dataclasses import dataclass, field

import numpy as np

from ..decode import MAX_PIXELS

HEADER = struct.Struct("<I2sHH")
SAMPLE = np.dtype([("offset", "<u8"), ("number", "<u4"), ("tag", "<u2"), ("width", "<u2"), ("height", "<u2")])
"""A usable sample of a file: the fields of `Samples`."""

_WINDOW = 4 << 20
"""Bytes of a file that are read at once."""

_MAX_BAD = 1000
"""Maximum number of damaged samples that are listed per file; the rest of a file with more is not read."""


@dataclass
class Samples:
    """The n samples of a file that can be used."""

    offsets: array = field(default_factory=lambda: array("Q"))
    """Offset of the pixels in bytes, from the beginning of the file."""
    numbers: array = field(default_factory=lambda: array("I"))
    """Number of the sample in the file, from 0."""
    tags: array = field(default_factory=lambda: array("H"))
    """Tag code: its first byte times 256, plus the second."""
    widths: array = field(default_factory=lambda: array("H"))
    heights: array = field(default_factory=lambda: array("H"))
    bad: list[tuple[int | None, str]] = field(default_factory=list)
    """Unusable samples: (number, reason). The number is None for the whole file."""


def character_of(tag: int) -> str | None:
    """Return the character of a tag code, or None. ASCII characters are padded with a zero byte."""
    first, second = divmod(tag, 256)
    try:
        character = (bytes([first]) if second == 0 else bytes([first, second])).decode("gbk")
    except UnicodeDecodeError:
        return None
    return character if len(character) == 1 and character.isprintable() and not character.isspace() else None


def read_samples(descriptor: int, start: int, size: int) -> Samples:
    """Read the headers of a file of `size` bytes that begins at `start` of an open file.

    The rest of a file is not read after an inconsistent header, because the next one cannot be found.
    """
    samples, unpack = Samples(), HEADER.unpack_from
    window, window_at, at, number = b"", 0, 0, 0
    while at < size:
        if at + HEADER.size > window_at + len(window):
            window, window_at = os.pread(descriptor, min(_WINDOW, size - at), start + at), at
            if len(window) < HEADER.size:
                samples.bad.append((number, f"is truncated: {size - at} of {HEADER.size} bytes of its header"))
                break
        length, tag, width, height = unpack(window, at - window_at)
        num_pixels = width * height
        if length != HEADER.size + num_pixels:
            reason = f"has the size {length:,}; expected {HEADER.size + num_pixels:,}, for {width} x {height} pixels"
            samples.bad.append((number, f"{reason}. The rest of the file is not read"))
            break
        if at + length > size:
            samples.bad.append((number, f"is truncated: {size - at:,} of {length:,} bytes"))
            break
        if not 0 < num_pixels <= MAX_PIXELS:
            samples.bad.append((number, f"is {width} x {height}; expected 1 to {MAX_PIXELS:,} pixels"))
            if len(samples.bad) > _MAX_BAD:
                samples.bad.append((None, "has more damaged samples; the rest of the file is not read"))
                break
        else:
            samples.offsets.append(at + HEADER.size)
            samples.numbers.append(number)
            samples.tags.append(tag[0] << 8 | tag[1])
            samples.widths.append(width)
            samples.heights.append(height)
        at += length
        number += 1
    return samples


def as_table(samples: Samples) -> np.ndarray:
    """Return the samples as an array of `SAMPLE`, (n,)."""
    table = np.empty(len(samples.offsets), SAMPLE)
    fields = (samples.offsets, samples.numbers, samples.tags, samples.widths, samples.heights)
    for name, column in zip(SAMPLE.names or (), fields, strict=True):
        table[name] = column
    return table
