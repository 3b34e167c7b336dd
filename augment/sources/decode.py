"""Reading and decoding of images: any format and mode that Pillow opens becomes gray of 8 or more bits, or RGB."""

import io
import os
import warnings
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 89_478_485
"""Largest number of pixels of an image: Pillow's limit against decompression bombs."""

UNSUPPORTED_FORMATS = frozenset({"BUFR", "GRIB", "HDF5", "MPEG"})
"""Formats that Pillow identifies but cannot decode."""

_SMALL_FILE = 1 << 16
"""Files of up to this many bytes are read at once."""


class BadImage(ValueError):
    """An image that cannot be used; the text says why."""


def decode(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to L or RGB, and apply its EXIF orientation. Returns the same object if possible.

    A transparent image is composited on black if its ink is light, and on white if its ink is dark. Gray of more than
    8 bits keeps its values, in the modes I;16 (uint16), I (int32) or F (float32): the value range of the source, which
    `value_range.in_bytes` applies, says which of them are black and white.
    """
    image.load()
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode in ("F", "I"):
        return image
    if image.mode.startswith("I;16"):
        return image if image.mode == "I;16" else Image.fromarray(np.asarray(image).astype("<u2"))
    if image.has_transparency_data or "transparency" in image.info:
        return _on_background(image.convert("RGBA"))
    return in_mode(image, "L" if image.mode in ("1", "L") else "RGB")


def read_image(file: bytes | Path | IO[bytes] | Image.Image) -> Image.Image | BadImage:
    """Read an image from a path, an open file or Pillow, and `decode` it; or return what is wrong with it.

    Only the first frame of an animation and the first page of a document are read.
    """
    try:
        if isinstance(file, Image.Image):
            return _decode_checked(file)
        with warnings.catch_warnings(), _opened(file) as opened:
            warnings.simplefilter("ignore")  # Pillow warns of defects that it can work around.
            with Image.open(opened, formats=_formats()) as image:
                return _decode_checked(image)
    except Image.DecompressionBombError:
        return BadImage(f"is too large; expected at most {MAX_PIXELS:,} pixels")
    except UnidentifiedImageError:
        return BadImage("cannot be read: it has no format that Pillow opens, or its beginning is damaged")
    except BadImage as bad:
        return bad
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise many types of exceptions for damaged data.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return BadImage(f"cannot be read: {reason or type(error).__name__}")


def _opened(file: bytes | Path | IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    """Open a file. Small files are read into memory, which is faster than reading them piece by piece."""
    if not isinstance(file, bytes | Path):
        return nullcontext(file)
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)  # Does not wait for the writer of a pipe.
    try:
        opened = io.FileIO(descriptor)
    except OSError:  # It is a directory.
        os.close(descriptor)
        raise
    data = opened.read(_SMALL_FILE)
    if len(data) < os.fstat(opened.fileno()).st_size:
        return io.BufferedReader(opened)
    opened.close()
    return io.BytesIO(data)


@lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    """Return the formats in the order in which Pillow tries them: common ones first, the same in every process."""
    Image.init()
    common = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
    return (*common, *sorted(set(Image.OPEN) - set(common) - UNSUPPORTED_FORMATS))


def _decode_checked(image: Image.Image) -> Image.Image:
    if image.width * image.height > MAX_PIXELS:
        raise BadImage(f"is {image.width} x {image.height}; expected at most {MAX_PIXELS:,} pixels")
    return decode(image)


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    """Convert an image to a Pillow mode. Returns the same object if it has that mode already."""
    return image if image.mode == mode else image.convert(mode)


def _on_background(image: Image.Image) -> Image.Image:
    alpha = np.asarray(image.getchannel("A"))
    luminance = np.asarray(image.convert("RGB").convert("L"))
    opaque = alpha > 127
    light_ink = bool(opaque.any()) and float(luminance[opaque].mean()) > 127 and not opaque.all()
    background = Image.new("RGBA", image.size, (0, 0, 0, 255) if light_ink else (255, 255, 255, 255))
    return Image.alpha_composite(background, image).convert("RGB")
