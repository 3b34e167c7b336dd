"""The compiled engine: kernels that do to many pictures what Pillow does to one, bit for bit.

A kernel is called as `kernel(source, target, members, parameters)`: it writes `target[m]` from
`source[m]` (uint8 (n, H, W, C), contiguous, not the same array) for each m of `members` (int64 (k,)), with
the parameters of those k pictures. It returns the places in `members` of the pictures that it left
alone, for Pillow to do: rare cases that Pillow computes in another way. Compiled with Numba, once, and
cached; the GIL is released meanwhile.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..engine import Engine
from ..operations import Operation, Parameters
from . import elastic, erase, filters, framing, ink, pixels, projective, read, resize, stroke, warp

Kernel = Callable[[np.ndarray, np.ndarray, np.ndarray, Parameters], np.ndarray]

KERNELS: dict[str, Kernel] = {
    "rotate": warp.rotate,
    "shear": warp.shear,
    "scale": resize.scale,
    "sine": warp.sine,
    "blur": filters.blur,
    "sharpen": filters.sharpen,
    "smooth": filters.smooth,
    "elastic": elastic.elastic,
    "stroke": stroke.stroke,
    "contrast": pixels.contrast,
    "noise": pixels.noise,
    "erase": erase.erase,
    "colour": pixels.colour,
    "affine": projective.affine,
    "perspective": projective.perspective,
    "flip": framing.flip,
    "crop": resize.crop,
}
"""The kernel of each built-in operation, by the operation's name."""

INK: dict[str, Callable[[np.ndarray, np.ndarray, Parameters], np.ndarray]] = {
    "elastic": elastic.elastic_ink,
    "erase": erase.erase_ink,
}
"""`measure(source, members, parameters)` for operations that take ink away otherwise than by a map."""


def _apply(
    operation: Operation, source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters
) -> None:
    kernel = KERNELS.get(operation.name)
    if kernel is None:
        target[members] = operation.apply_many(source[members], parameters)
        return
    left = kernel(source, target, members, parameters)
    if len(left):
        rest = {name: column[left] for name, column in parameters.items()}
        target[members[left]] = operation.apply_many(source[members[left]], rest)


def _ink(operation: Operation, source: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray | None:
    if not operation.takes_ink:
        return None
    if operation.name in INK:
        return INK[operation.name](source, members, parameters)
    return ink.ink_inside(source, members, operation.outward(parameters, source.shape[1:]))


COMPILED = Engine("compiled", _apply, _ink, read.read_pictures, resize.fit)
"""The compiled engine."""


def compiled_before() -> bool:
    """Whether a cache of compiled kernels is there: else the first use takes most of a minute."""
    cache = getattr(filters.blur_near, "_cache", None)  # not there where Numba compiles nothing
    return cache is None or any(Path(cache.cache_path).glob("*.nbi"))
