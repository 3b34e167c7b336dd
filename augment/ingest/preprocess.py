"""Preprocessing on import: color mode, inversion and size; and the sample statistics that decide on them.

Downscaling is antialiased: bicubic with the support scaled as in Pillow's `resize`, so that lines of one pixel survive.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageColor

from ..errors import EpochbankError
from ..shared.closest import did_you_mean
from ..sources.decode import in_mode
from ..sources.value_range import ValueRanges, read_value_ranges

Fit = Literal["pad", "crop", "stretch"]
"""How an image of another shape fills the frame.

`pad` keeps all of the image and its aspect ratio, and fills the rest of the frame with the background; `crop` keeps the
aspect ratio and keeps the center of the image; `stretch` keeps all of the image and changes its aspect ratio.
"""

Box = tuple[int, int, int, int]
"""Left, top, width and height, in pixels."""

_LARGEST_EXAMINED = 512
"""Longest side, in pixels, of an image that `examine` takes as it is; larger ones are reduced first."""

_PLAIN_TOLERANCE, _PLAIN_SHARE, _SAME_SHAPE = 16, 0.9, 1.0625
"""Gray values by which the pixels of a plain border differ; ratio of aspect ratios below which shapes are the same."""

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
    fit: Fit = "pad"
    pad_color: tuple[int, ...] | None = None
    """Value of each channel, 0 to 255, that `pad` adds after inversion; None for the median of the image's border."""
    values: str = ""
    """The value ranges of images of more than 8 bits, and of 8 bits if not 0 to 255, as `ValueRanges` writes them."""

    def __post_init__(self) -> None:
        if self.pad_color is not None:  # A list, if the fields were stored as JSON.
            object.__setattr__(self, "pad_color", tuple(self.pad_color))

    @property
    def value_ranges(self) -> ValueRanges:
        """Which pixel values become 0 and 255."""
        return read_value_ranges(self.values)

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
    photographs: tuple[float, ...] = ()
    """Width / height of each image that fills its frame: fewer than nine tenths of its border pixels are near their
    median, as those of a character on paper are."""
    largest: tuple[int, int] = (0, 0)
    """Largest height and width."""


def examine(images: Iterable[Image.Image]) -> SampleStatistics:
    """Return statistics of images (mode L or RGB). Images with a side above 512 pixels are reduced first."""
    num_images = color = light = 0
    photographs = []
    largest = (0, 0)
    for image in images:
        num_images += 1
        largest = max(largest[0], image.height), max(largest[1], image.width)
        aspect = image.width / image.height
        if max(image.size) > _LARGEST_EXAMINED:
            image = image.reduce(-(-max(image.size) // _LARGEST_EXAMINED))
        pixels = np.asarray(image).astype(np.int16)
        color += pixels.ndim == 3 and int(np.ptp(pixels, axis=2).max()) > _COLOR_TOLERANCE
        outermost = border(np.asarray(in_mode(image, "L"))[None])[0].astype(np.int16)
        median = int(np.median(outermost))
        light += median > 127
        if np.count_nonzero(np.abs(outermost - median) <= _PLAIN_TOLERANCE) < _PLAIN_SHARE * len(outermost):
            photographs.append(aspect)
    return SampleStatistics(num_images, color, light, tuple(photographs), largest)


def other_shapes(sampled: SampleStatistics, preprocessing: Preprocessing) -> int:
    """Return how many of the sampled photographs have another aspect ratio than the frame, by more than 6 %."""
    ratios = [aspect * preprocessing.height / preprocessing.width for aspect in sampled.photographs]
    return sum(max(ratio, 1 / ratio) > _SAME_SHAPE for ratio in ratios)


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
    if images.shape[1:] == preprocessing.shape:
        return images
    (x, y, across, down), (left, top, width, height) = boxes_of(images.shape[1], images.shape[2], preprocessing)
    frames = np.empty((len(images), *preprocessing.shape), np.uint8)
    frames[:] = padding(images, preprocessing)[:, None, None]
    inner = frames[:, top : top + height, left : left + width]
    for image, target in zip(images[:, y : y + down, x : x + across], inner, strict=True):
        pil_image = Image.fromarray(image[:, :, 0] if preprocessing.channels == 1 else image)
        target[:] = np.asarray(pil_image.resize((width, height), Image.Resampling.BICUBIC)).reshape(target.shape)
    return frames


def color_values(color: str | None, channels: int) -> tuple[int, ...] | None:
    """Return the value of each channel of a color as Pillow's `ImageColor` names it, its luminance for gray images.

    None stays None. Raises `EpochbankError` for an unknown color.
    """
    if color is None:
        return None
    try:
        values = ImageColor.getcolor(color, "L" if channels == 1 else "RGB")
    except ValueError as error:
        raise EpochbankError(
            f"--pad-color {color!r} is unknown; expected a name such as white, or #rrggbb."
            f"{did_you_mean(color, ImageColor.colormap)}",
            usage=True,
        ) from error
    return (values,) if isinstance(values, int) else tuple(values)


def padding(images: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Return the background that is added to each of `images` (uint8 (n, h, w, C)), uint8 (n, C)."""
    if preprocessing.pad_color is None:
        return backgrounds(images)
    return np.tile(np.array(preprocessing.pad_color, np.uint8), (len(images), 1))


def backgrounds(images: np.ndarray) -> np.ndarray:
    """Return the background of each of `images` (uint8 (n, h, w, C)), the median border pixel per channel: (n, C)."""
    pixels = np.sort(border(images), axis=1)
    return pixels[:, pixels.shape[1] // 2]


def boxes_of(height: int, width: int, preprocessing: Preprocessing) -> tuple[Box, Box]:
    """Return which part of an image of `height` x `width` pixels is resized, and the part of the frame it fills."""
    whole, frame = (0, 0, width, height), (0, 0, preprocessing.width, preprocessing.height)
    if preprocessing.fit == "stretch":
        return whole, frame
    if preprocessing.fit == "crop":
        factor = min(width / preprocessing.width, height / preprocessing.height)
        return _centered(preprocessing.width * factor, preprocessing.height * factor, width, height), frame
    factor = min(preprocessing.width / width, preprocessing.height / height)
    return whole, _centered(width * factor, height * factor, preprocessing.width, preprocessing.height)


def _centered(inner_width: float, inner_height: float, width: int, height: int) -> Box:
    """Return the box of about `inner_width` x `inner_height` pixels in the middle of `width` x `height` pixels."""
    inner = max(1, round(inner_width)), max(1, round(inner_height))
    return (width - inner[0]) // 2, (height - inner[1]) // 2, *inner


def border(images: np.ndarray) -> np.ndarray:
    """Return the outermost pixels of each image: (n, h, w, ...) to (n, 2 w + 2 h, ...)."""
    return np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1)
