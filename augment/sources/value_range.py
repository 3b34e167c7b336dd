"""The value range of images: which pixel values become 0 and 255.

Images of 8 bits have the range 0 to 255 and images of 16 bits the range 0 to 65,535, unless they hold smaller numbers.
Other integers and floats have no range of their own: a sample of the source decides on one.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..errors import EpochbankError
from .base import Decoded
from .decode import BadImage


class ValueRange(NamedTuple):
    """The pixel values that become 0 and 255."""

    low: float
    high: float

    def __str__(self) -> str:
        low, high = (repr(value).removesuffix(".0") for value in self)
        return f"{low}:{high}" if self.low else high

    def holds(self, least: np.ndarray, most: np.ndarray) -> np.ndarray:
        """Return whether images with these least and largest values lie in the range; False for NaN."""
        return (least >= self.low) & (most <= self.high)


BYTES, WORDS = ValueRange(0, 255), ValueRange(0, 65535)
UNIT, SIGNED_UNIT = ValueRange(0, 1), ValueRange(-1, 1)


@dataclass(frozen=True)
class ValueRanges:
    """The value range of each kind of image in a source."""

    uint8: ValueRange = BYTES
    uint16: ValueRange = WORDS
    integers: ValueRange = WORDS
    """Other integers."""
    floats: ValueRange = UNIT

    def __str__(self) -> str:
        """Return the ranges that are not the default, such as `uint16=4095`; `read_value_ranges` reads them."""
        given = ((field.name, getattr(self, field.name), field.default) for field in fields(self))
        return " ".join(f"{name}={value}" for name, value, default in given if value != default)


def read_value_ranges(text: str) -> ValueRanges:
    """Return the value ranges that `str` wrote."""
    pairs = (word.partition("=") for word in text.split())
    return ValueRanges(**{name: _range_of(value) for name, _, value in pairs})


def parse_value_range(text: str) -> ValueRange | None:
    """Return the range that --value-range names: `MAX` or `MIN:MAX`; None for `auto`. Raises `EpochbankError`."""
    if text == "auto":
        return None
    try:
        found = _range_of(str(text))  # Python code may give a number.
    except ValueError:
        found = ValueRange(0, 0)
    if not (math.isfinite(found.low) and math.isfinite(found.high) and found.low < found.high):
        raise EpochbankError(
            f"--value-range {text!r} is invalid; expected MAX or MIN:MAX, two numbers with MIN < MAX, such as 255, "
            "4095 or -1:1, or auto.",
            usage=True,
        )
    return found


def _range_of(text: str) -> ValueRange:
    low, colon, high = text.rpartition(":")
    return ValueRange(float(low) if colon else 0, float(high))


def number(value: float) -> str:
    """Return a pixel value as text: whole numbers without a decimal point, others with up to 6 digits."""
    return str(int(value)) if math.isfinite(value) and value == int(value) else f"{value:g}"


def kind_of(dtype: np.dtype) -> str:
    """Return the field of `ValueRanges` for pixels of this integer or float type."""
    return dtype.name if dtype.name in ("uint8", "uint16") else "floats" if dtype.kind == "f" else "integers"


def as_pixels(images: np.ndarray) -> np.ndarray:
    """Return an array of bool, integers or floats with the type that determines its value range.

    Bool becomes uint8, 0 and 255. Small integers other than uint8 become int32, since the type of an array, unlike
    that of an image file, does not say how many bits its values have.
    """
    if images.dtype.kind == "b":
        return images.astype(np.uint8) * np.uint8(255)
    small = images.dtype.kind in "iu" and images.dtype != np.uint8 and images.dtype.itemsize <= 2
    return images.astype(np.int32) if small else images


def in_bytes(decoded: Iterable[Decoded], ranges: ValueRanges) -> Iterator[Decoded]:
    """Yield decoded images as uint8: Pillow images in mode L or RGB, arrays of uint8, and bad images.

    An image with a value outside its range, or with NaN, becomes a `BadImage`.
    """
    unchanged = ranges.uint8 == BYTES
    for item in decoded:
        if isinstance(item, BadImage) or (unchanged and _has_8_bits(item)):
            yield item
        elif isinstance(item, Image.Image):
            (one,) = _scaled_to_bytes(np.asarray(item)[None], ranges)
            yield one if isinstance(one, BadImage) else Image.fromarray(one[0])
        else:
            yield from _scaled_to_bytes(item, ranges)


def _has_8_bits(item: Image.Image | np.ndarray) -> bool:
    return item.mode in ("L", "RGB") if isinstance(item, Image.Image) else item.dtype == np.uint8


def extremes(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest value of each of `images` (n, ...), NaN for images with NaN.

    Those of floats are float64: comparing float16 with a range of the source would overflow.
    """
    axes = tuple(range(1, images.ndim))
    with np.errstate(invalid="ignore", over="ignore"):  # NaN, and long doubles beyond float64: such images are bad.
        found = images.min(axes), images.max(axes)
        return (found[0].astype(np.float64), found[1].astype(np.float64)) if images.dtype.kind == "f" else found


def _scaled_to_bytes(images: np.ndarray, ranges: ValueRanges) -> Iterator[np.ndarray | BadImage]:
    """Yield `images` (n, ...) as uint8: all together if they lie in their range, else one by one."""
    value_range = getattr(ranges, kind_of(images.dtype))
    least, most = extremes(images)
    fits = value_range.holds(least, most)
    if fits.all():
        yield _scaled(images, value_range)
        return
    for image, good, low, high in zip(images, fits, least, most, strict=True):
        yield _scaled(image[None], value_range) if good else _bad(float(low), float(high), value_range)


def _scaled(images: np.ndarray, value_range: ValueRange) -> np.ndarray:
    low, high = value_range
    if value_range == BYTES:
        return np.round(images).astype(np.uint8)
    if value_range == WORDS and images.dtype.kind in "iu":
        return (images >> 8).astype(np.uint8)
    if value_range == UNIT and images.dtype.kind == "f":
        return np.round(images * 255).astype(np.uint8)
    # Floats of a smaller type may lie beyond the limits by their last digit.
    return np.clip(np.round((images.astype(np.float64) - low) * (255 / (high - low))), 0, 255).astype(np.uint8)


def _bad(least: float, most: float, value_range: ValueRange) -> BadImage:
    expected = f"[{number(value_range.low)}, {number(value_range.high)}]"
    if not (math.isfinite(least) and math.isfinite(most)):
        return BadImage(f"has NaN or infinite values; expected values in {expected}")
    return BadImage(
        f"has values from {number(least)} to {number(most)}; expected values in {expected}, the range of the source"
    )
