"""The order of the axes of an array of images: recognized by its shape, or given by the user."""

import math
from dataclasses import dataclass

import numpy as np

from ...errors import EpochbankError
from ..decode import MAX_PIXELS

_CHANNELS = (1, 3)


@dataclass(frozen=True)
class Layout:
    """How images are stored in an array."""

    name: str
    """`nhwc` (also without channels), `nchw`, `hwcn` (also without channels) or `flat`."""
    axis: int
    """The axis that counts the images."""
    height: int
    width: int
    channels: int
    """1 or 3."""

    def arrange(self, block: np.ndarray) -> np.ndarray:
        """Return a block of images, stored in this layout, as (n, H, W) or (n, H, W, 3)."""
        if self.name == "flat":
            return block.reshape(len(block), self.height, self.width)
        block = np.moveaxis(block, self.axis, 0)
        if self.name == "nchw":
            block = np.moveaxis(block, 1, 3)
        return block[..., 0] if block.ndim == 4 and self.channels == 1 else block


def find_layout(where: str, name: str, shape: tuple[int, ...], count: int, option: str) -> Layout:
    """Return the layout of an array of images.

    Parameters
    ----------
    where, name
        The file and the array, for error messages.
    shape
        The shape of the array.
    count
        The number of labels, which tells the axis of the images from the others.
    option
        --layout: `auto`, `nhwc`, `nchw`, `hwcn` or `flat`.

    Raises
    ------
    EpochbankError
        If no layout fits the shape, or several do, or if an image has more than `MAX_PIXELS` pixels.
    """
    if 0 in shape and 0 not in shape[1:]:
        raise EpochbankError(f"{where}: {name} is empty; expected at least one image.")
    if option == "auto":
        possible = _possible(shape)
        fitting = [one for one in possible if shape[one.axis] == count] or possible[:1]
        fitting = fitting[:1] if fitting and fitting[0].name == "flat" else fitting
        if len(fitting) > 1 and len(shape) == 4:
            options = " or ".join(f"--layout {one.name}" for one in fitting)
            raise EpochbankError(
                f"{where}: the layout of {name}, of shape {shape}, is ambiguous; expected a shape that only one "
                f"layout fits. Choose the layout: {options}."
            )
    else:
        fitting = [one for one in _possible(shape) if one.name == option]
    if not fitting:
        raise EpochbankError(f"{where}: {name} has shape {shape}; expected {_expected(shape, option)}.")
    found = fitting[0]
    if found.height * found.width > MAX_PIXELS:
        raise EpochbankError(
            f"{where}: {name} has images of {found.height} x {found.width}; expected at most {MAX_PIXELS:,} pixels. "
            "Save smaller images, or parts of them."
        )
    return found


def _possible(shape: tuple[int, ...]) -> list[Layout]:
    """Return the layouts that a shape may have, the usual one first."""
    found = []
    if 0 in shape:
        return []
    pixels = math.prod(shape[1:])
    side = math.isqrt(pixels)
    # (N, 784, 1) and (N, 1, 784) are rows of pixels, too.
    if side**2 == pixels and (len(shape) == 2 or (len(shape) < 5 and 1 < pixels == max(shape[1:]))):
        found.append(Layout("flat", 0, side, side, 1))
    if len(shape) == 3:
        found += [Layout("nhwc", 0, *shape[1:], 1), Layout("hwcn", 2, *shape[:2], 1)]
    if len(shape) == 4:
        if shape[3] in _CHANNELS:
            found.append(Layout("nhwc", 0, *shape[1:]))
        if shape[1] in _CHANNELS:
            found.append(Layout("nchw", 0, *shape[2:], shape[1]))
        if shape[2] in _CHANNELS:
            found.append(Layout("hwcn", 3, *shape[:3]))
    return found


def _expected(shape: tuple[int, ...], option: str) -> str:
    usual = "(N, H, W) or (N, H, W, C) with C = 1 or 3"
    if len(shape) == 2:
        side = math.isqrt(shape[1] // 3)
        h, w = (side, side) if 3 * side**2 == shape[1] > 0 else ("H", "W")
        gray = "" if h == side else f"images.reshape(-1, {h}, {w}) for gray images, "
        return (
            f"{usual}, or a row of H * W gray pixels with H = W. Save it in such a shape: {gray}"
            f"images.reshape(-1, {h}, {w}, 3) for RGB pixels one after another, images.reshape(-1, 3, {h}, {w}) for "
            "one channel after another, as in CIFAR"
        )
    if len(shape) == 4 and 4 in shape and not set(_CHANNELS) & set(shape[1:]):
        return f"{usual}. Save it without the alpha channel, such as images[..., :3]"
    return f"{usual}" if option == "auto" else f"the axes of --layout {option}, with 1 or 3 channels. Omit the option"
