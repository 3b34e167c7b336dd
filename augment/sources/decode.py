"""Reading and decoding of images: any format and mode that Pillow opens becomes gray of 8 or more bits, or RGB."""

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np
from PIL import ExifTags, Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from ..errors import EpochbankError

MAX_PIXELS = 89_478_485
"""Largest number of pixels of an image: Pillow's limit against decompression bombs."""

UNSUPPORTED_FORMATS = frozenset({"BUFR", "EPS", "FPX", "GRIB", "HDF5", "MIC", "MPEG", "WMF"})
"""Formats that are not opened: Pillow cannot decode them, starts a program (EPS: Ghostscript, an interpreter of
PostScript; WMF: Windows), or they hold files of other formats (FPX, MIC)."""

_POSTSCRIPT = (b"%!PS", b"\xc5\xd0\xd3\xc6")
"""How files of PostScript begin, without and with a preview."""

MAX_RATIO_VARIABLE = "EPOCHBANK_MAX_RATIO"
"""Environment variable that raises `_MAX_RATIO`."""
_TILE_WIDTH, _TILE_LENGTH = 322, 323
"""Tags of TIFF."""
_BYTES_PER_PIXEL = {"1": 1, "L": 1, "P": 1, "LA": 2, "I;16": 2, "RGB": 3}
"""By Pillow's mode; 4 for others."""

_LARGE = 64 << 20
"""Bytes of a decoded image, of which one is never refused for the share that its file has of them."""
_MAX_RATIO = 200
"""Decoded bytes per byte of the file, beyond which a large image is refused: it is probably made to fill the memory."""
_STRIP = 1 << 20
"""Pixels that are composited at a time."""

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
        return _on_background(in_mode(image, "RGBA"))
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
            warnings.simplefilter("error", Image.DecompressionBombWarning)  # Also of an image within an .ico file.
            if opened.read(4) in _POSTSCRIPT:
                return BadImage("is PostScript, a program, which epochbank does not run; convert it to PNG")
            file_size = opened.seek(0, os.SEEK_END)
            opened.seek(0)
            with Image.open(opened, formats=_formats()) as image:
                _check_ratio(image, file_size)
                return _decode_checked(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return BadImage(f"is too large; expected at most {MAX_PIXELS:,} pixels")
    except UnidentifiedImageError:
        return BadImage("cannot be read: it has no format that Pillow opens, or its beginning is damaged")
    except BadImage as bad:
        return bad
    except (MemoryError, EpochbankError):
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


def _check_ratio(image: Image.Image, file_size: int) -> None:
    """Raise `BadImage` if an opened image would become far larger than its file of `file_size` bytes."""
    tile_width, tile_height = (
        (image.tag_v2.get(_TILE_WIDTH, 1), image.tag_v2.get(_TILE_LENGTH, 1))
        if isinstance(image, TiffImagePlugin.TiffImageFile)
        else (1, 1)
    )
    num_pixels = max(image.width * image.height, tile_width * tile_height)
    if tile_width * tile_height > MAX_PIXELS:
        raise BadImage(f"has tiles of {tile_width} x {tile_height}; expected at most {MAX_PIXELS:,} pixels")
    check_ratio(num_pixels * _BYTES_PER_PIXEL.get(image.mode, 4), file_size)


def check_ratio(size: int, stored: int) -> None:
    """Raise `BadImage` if `stored` bytes would become `size` bytes, and that is too much for the memory to trust.

    64 MiB are always decoded; beyond them, the environment variable EPOCHBANK_MAX_RATIO sets the largest ratio.
    """
    most = max_ratio()
    if size > _LARGE and size > most * stored:
        raise BadImage(
            f"expands from {stored:,} to {size:,} bytes; expected at most {most:,} times as many (set the environment "
            f"variable {MAX_RATIO_VARIABLE} to a larger number if you trust the source)"
        )


def max_ratio() -> int:
    """Return the largest ratio of decoded to stored bytes. Raises `EpochbankError` if the variable is no number."""
    given = os.environ.get(MAX_RATIO_VARIABLE, "")
    if not given:
        return _MAX_RATIO
    if not given.isascii() or not given.isdecimal() or not 0 < len(given) < 10:
        raise EpochbankError(
            f"the environment variable {MAX_RATIO_VARIABLE} is {given!r}; expected a number such as {_MAX_RATIO}.",
            usage=True,
        )
    return int(given)


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    """Convert an image to a Pillow mode. Returns the same object if it has that mode already."""
    return image if image.mode == mode else image.convert(mode)


def _on_background(image: Image.Image) -> Image.Image:
    """Composite an image of mode RGBA, strip by strip: a large one would take several times its memory."""
    total = count = 0
    for strip in _strips(image):
        opaque = np.asarray(strip.getchannel("A")) > 127
        total += int(np.asarray(strip.convert("RGB").convert("L"))[opaque].sum(dtype=np.int64))
        count += int(opaque.sum())
    light_ink = 0 < count < image.width * image.height and total / count > 127
    result = Image.new("RGB", image.size)
    top = 0
    for strip in _strips(image):
        background = Image.new("RGBA", strip.size, (0, 0, 0, 255) if light_ink else (255, 255, 255, 255))
        result.paste(Image.alpha_composite(background, strip).convert("RGB"), (0, top))
        top += strip.height
    return result


def _strips(image: Image.Image) -> Iterator[Image.Image]:
    """Yield the rows of an image in order, about a million pixels at a time."""
    step = max(1, _STRIP // image.width)
    if step >= image.height:
        yield image
        return
    for top in range(0, image.height, step):
        yield image.crop((0, top, image.width, min(top + step, image.height)))
