"""Bringing a picture into a set: read, decode any Pillow mode, invert, fit to the set's size.

The aspect ratio is kept, shrinking is antialiased (bicubic, with the support widened as Pillow's
`resize` does, so that one-pixel lines survive), and what is left over is filled with the background.
"""

import io
import os
import warnings
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

LARGEST = 89_478_485
"""Most pixels of a picture that is accepted: Pillow's own limit against decompression bombs."""

NAMED_ALONE = frozenset({"BUFR", "GRIB", "HDF5", "MPEG"})
"""Formats that Pillow recognises, and cannot read."""

_SMALL = 1 << 16
"""Bytes of a file that is read whole at once."""

_LOOKED_AT = 512
"""Largest side, in pixels, of what `look_at` judges."""

_COLOUR_TOLERANCE = 8
"""Channels that differ by no more are grey: JPEG rounds a grey picture's colours by a few steps."""


class BadPicture(ValueError):
    """A picture that cannot be used; the text says why."""


@dataclass(frozen=True)
class Treatment:
    """What is done to every picture of a source alike."""

    height: int
    width: int
    channels: int
    """1 (grey) or 3 (RGB)."""
    invert: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every picture after it."""
        return self.height, self.width, self.channels


@dataclass(frozen=True)
class Look:
    """What a sample of a source's pictures looks like."""

    images: int
    colour: int
    """How many have colour."""
    light: int
    """How many are dark ink on light ground: the median of their border is in the upper half."""


def decode(image: Image.Image) -> Image.Image:
    """A picture of any mode as L or RGB, turned upright as its EXIF data say; the same object where nothing is to do.

    Transparency is laid on the ground that the ink stands out from: black under light ink, white
    under dark. 16-bit grey keeps its high byte; float grey must lie in [0, 1]. Raises `BadPicture`.
    """
    image.load()
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_to_bytes(np.asarray(image)))
    if image.has_transparency_data or "transparency" in image.info:
        return _on_ground(image.convert("RGBA"))
    return _in_mode(image, "L" if image.mode in ("1", "L") else "RGB")


def read_picture(file: bytes | Path | IO[bytes] | Image.Image) -> Image.Image | BadPicture:
    """A picture at a path (as text or bytes), in an open file, or one that Pillow opened, decoded to L or RGB; or what
    is wrong with it. Of an animation, or of several pages, it is the first picture.
    """
    try:
        if isinstance(file, Image.Image):
            return _decode_checked(file)
        with warnings.catch_warnings(), _opened(file) as opened:
            warnings.simplefilter("ignore")  # Pillow's, of what it could make sense of nevertheless.
            with Image.open(opened, formats=_formats()) as image:
                return _decode_checked(image)
    except Image.DecompressionBombError:
        return BadPicture(f"is absurdly large; expected at most {LARGEST:,} pixels")
    except UnidentifiedImageError:
        return BadPicture("cannot be read: it is in no format that Pillow opens, or its beginning is damaged")
    except BadPicture as bad:
        return bad
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever damaged data leads them to.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return BadPicture(f"cannot be read: {reason or type(error).__name__}")


def _opened(file: bytes | Path | IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    """The file; in memory where it is small, which is faster than to read it piece by piece."""
    if not isinstance(file, bytes | Path):
        return nullcontext(file)
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)  # A pipe is not waited for.
    try:
        opened = io.FileIO(descriptor)
    except OSError:  # It is a directory.
        os.close(descriptor)
        raise
    data = opened.read(_SMALL)
    if len(data) < os.fstat(opened.fileno()).st_size:
        return io.BufferedReader(opened)
    opened.close()
    return io.BytesIO(data)


@lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    """In the order in which they are tried, the same in every process, and quick to find what is common."""
    Image.init()
    common = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
    return (*common, *sorted(set(Image.OPEN) - set(common) - NAMED_ALONE))


def _decode_checked(image: Image.Image) -> Image.Image:
    if image.width * image.height > LARGEST:
        raise BadPicture(f"is {image.width} x {image.height}; expected at most {LARGEST:,} pixels")
    return decode(image)


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)


def to_uint8(picture: np.ndarray) -> np.ndarray:
    """`uint8` as it is, float in [0, 1] scaled to 0 to 255 and rounded. Raises `BadPicture`."""
    if picture.dtype == np.uint8:
        return picture
    low, high = float(picture.min()), float(picture.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise BadPicture("has NaN or infinite values; float pictures must lie in [0, 1]")
    if low < 0 or high > 1:
        raise BadPicture(
            f"has values from {low:g} to {high:g}; float pictures must lie in [0, 1]: divide them, or store uint8"
        )
    return np.round(picture * 255).astype(np.uint8)


def look_at(pictures: Iterable[Image.Image]) -> Look:
    """Judge decoded pictures (L or RGB), one by one; large ones by a smaller copy."""
    images = colour = light = 0
    for image in pictures:
        images += 1
        if max(image.size) > _LOOKED_AT:
            image = image.reduce(-(-max(image.size) // _LOOKED_AT))
        pixels = np.asarray(image).astype(np.int16)
        colour += pixels.ndim == 3 and int(np.ptp(pixels, axis=2).max()) > _COLOUR_TOLERANCE
        light += int(np.median(_border(np.asarray(_in_mode(image, "L"))))) > 127
    return Look(images, colour, light)


def fit(image: Image.Image, treatment: Treatment) -> np.ndarray:
    """A decoded picture (L or RGB) as `uint8` (H, W, C) of the treatment's shape."""
    return fit_each(coloured(image, treatment), treatment)[0]


def coloured(image: Image.Image, treatment: Treatment) -> np.ndarray:
    """A decoded picture (L or RGB) as `uint8` (1, h, w, C), in the treatment's channels, inverted where it says so."""
    pixels = np.asarray(_in_mode(image, "L" if treatment.channels == 1 else "RGB"))
    return (~pixels if treatment.invert else pixels).reshape(1, image.height, image.width, treatment.channels)


def coloured_run(pixels: np.ndarray, treatment: Treatment) -> np.ndarray:
    """`coloured` of n pictures of one size, uint8 (n, h, w) or (n, h, w, 3)."""
    if pixels.ndim == 4 and treatment.channels == 1:
        return np.concatenate([coloured(Image.fromarray(picture), treatment) for picture in pixels])
    if pixels.ndim == 3:
        pixels = pixels[..., None]
        pixels = pixels if treatment.channels == 1 else np.repeat(pixels, treatment.channels, axis=3)
    return ~pixels if treatment.invert else pixels


def fit_each(pictures: np.ndarray, treatment: Treatment) -> np.ndarray:
    """Each of `pictures` (uint8 (n, h, w, C), C the treatment's) brought to the treatment's size, (n, H, W, C)."""
    left, top, width, height = placed(pictures.shape[1], pictures.shape[2], treatment)
    if pictures.shape[1:] == treatment.shape:
        return pictures
    fitted = np.empty((len(pictures), *treatment.shape), np.uint8)
    fitted[:] = grounds(pictures)[:, None, None]
    inner = fitted[:, top : top + height, left : left + width]
    for picture, place in zip(pictures, inner, strict=True):
        image = Image.fromarray(picture[:, :, 0] if treatment.channels == 1 else picture)
        place[:] = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC)).reshape(place.shape)
    return fitted


def grounds(pictures: np.ndarray) -> np.ndarray:
    """The background of each of `pictures` (uint8 (n, h, w, C)): the median of its outermost pixels, per channel."""
    border = np.concatenate([pictures[:, 0], pictures[:, -1], pictures[:, :, 0], pictures[:, :, -1]], axis=1)
    return np.sort(border, axis=1)[:, border.shape[1] // 2]


def placed(height: int, width: int, treatment: Treatment) -> tuple[int, int, int, int]:
    """Left, top, width and height, in a picture of the treatment's size, of one that was `height` x `width`."""
    factor = min(treatment.width / width, treatment.height / height)
    inner = max(1, round(width * factor)), max(1, round(height * factor))
    return (treatment.width - inner[0]) // 2, (treatment.height - inner[1]) // 2, *inner


def _border(pixels: np.ndarray) -> np.ndarray:
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])


def _to_bytes(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype.kind == "f":
        return to_uint8(pixels)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise BadPicture(f"has values from {pixels.min()} to {pixels.max()}; 16-bit pictures must lie in [0, 65535]")
    return (pixels >> 8).astype(np.uint8)


def _on_ground(image: Image.Image) -> Image.Image:
    alpha = np.asarray(image.getchannel("A"))
    luminance = np.asarray(image.convert("RGB").convert("L"))
    opaque = alpha > 127
    light_ink = bool(opaque.any()) and float(luminance[opaque].mean()) > 127 and not opaque.all()
    ground = Image.new("RGBA", image.size, (0, 0, 0, 255) if light_ink else (255, 255, 255, 255))
    return Image.alpha_composite(ground, image).convert("RGB")
