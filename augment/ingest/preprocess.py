"""Preprocessing on import: color mode, inversion and size; and the sample statistics that decide on them.

The aspect ratio is kept. Downscaling is antialiased: bicubic with the support scaled as in Pillow's `resize`, so that
lines of one pixel survive. The rest of the frame is filled with the background.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..sources.decode import in_mode

_LARGEST_EXAMINED = 512
"""Longest side, in pixels, of an image that `examine` takes as it is; larger ones are reduced first."""

_COLOR_TOLERANCE = 8
"""Channels that differ by no more are gray: JPEG shifts the colors of a gray image by a few steps."""


@dataclass(frozen=True)
class Preprocessing:
    """What is done to every image of a source."""

    height: int
    width: int
    channels: int
    """1 (gray) or 3 (RGB)."""
    invert: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of a preprocessed image."""
        return self.height, self.width, self.channels


@dataclass(frozen=True)
class SampleStatistics:
    """Statistics of a sample of images."""

    num_images: int
    color: int
    """Number of images with color."""
    light: int
    """Number of images with a light background: the median of the border pixels is above 127."""


def examine(images: Iterable[Image.Image]) -> SampleStatistics:
    """Return statistics of decoded images (mode L or RGB). Images with a side above 512 pixels are reduced first."""
    num_images = color = light = 0
    for image in images:
        num_images += 1
        if max(image.size) > _LARGEST_EXAMINED:
            image = image.reduce(-(-max(image.size) // _LARGEST_EXAMINED))
        pixels = np.asarray(image).astype(np.int16)
        color += pixels.ndim == 3 and int(np.ptp(pixels, axis=2).max()) > _COLOR_TOLERANCE
        light += int(np.median(border(np.asarray(in_mode(image, "L"))[None]))) > 127
    return SampleStatistics(num_images, color, light)


def fit(image: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    """Return a decoded image (mode L or RGB) preprocessed, uint8 (H, W, C)."""
    return resize_each(to_color_mode(image, preprocessing), preprocessing)[0]


def to_color_mode(image: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    """Convert a decoded image (mode L or RGB) to the channels of `preprocessing`, inverted if it says so.

    Returns uint8 (1, h, w, C).
    """
    pixels = np.asarray(in_mode(image, "L" if preprocessing.channels == 1 else "RGB"))
    return (~pixels if preprocessing.invert else pixels).reshape(1, image.height, image.width, preprocessing.channels)


def to_color_mode_many(pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Apply `to_color_mode` to n images of one size: uint8 (n, h, w) or (n, h, w, 3) to (n, h, w, C)."""
    if pixels.ndim == 4 and preprocessing.channels == 1:
        return np.concatenate([to_color_mode(Image.fromarray(image), preprocessing) for image in pixels])
    if pixels.ndim == 3:
        pixels = pixels[..., None]
        pixels = pixels if preprocessing.channels == 1 else np.repeat(pixels, preprocessing.channels, axis=3)
    return ~pixels if preprocessing.invert else pixels


def resize_each(images: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Resize `images` (uint8 (n, h, w, C)) with Pillow into the frame of `preprocessing`, uint8 (n, H, W, C)."""
    left, top, width, height = placement(images.shape[1], images.shape[2], preprocessing)
    if images.shape[1:] == preprocessing.shape:
        return images
    frames = np.empty((len(images), *preprocessing.shape), np.uint8)
    frames[:] = backgrounds(images)[:, None, None]
    inner = frames[:, top : top + height, left : left + width]
    for image, target in zip(images, inner, strict=True):
        pil_image = Image.fromarray(image[:, :, 0] if preprocessing.channels == 1 else image)
        target[:] = np.asarray(pil_image.resize((width, height), Image.Resampling.BICUBIC)).reshape(target.shape)
    return frames


def backgrounds(images: np.ndarray) -> np.ndarray:
    """Return the background of each of `images` (uint8 (n, h, w, C)), the median border pixel per channel: (n, C)."""
    pixels = np.sort(border(images), axis=1)
    return pixels[:, pixels.shape[1] // 2]


def placement(height: int, width: int, preprocessing: Preprocessing) -> tuple[int, int, int, int]:
    """Return left, top, width and height, in the frame, of an image that was `height` x `width` pixels."""
    factor = min(preprocessing.width / width, preprocessing.height / height)
    inner = max(1, round(width * factor)), max(1, round(height * factor))
    return (preprocessing.width - inner[0]) // 2, (preprocessing.height - inner[1]) // 2, *inner


def border(images: np.ndarray) -> np.ndarray:
    """Return the outermost pixels of each image: (n, h, w, ...) to (n, 2 w + 2 h, ...)."""
    return np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1)
