"""The compiled engine: kernels that compute many images at once, with the same bits as Pillow.

A kernel is called as `kernel(source, target, members, parameters)`. For each m of `members` (int64 (k,)) it computes
`target[m]` from `source[m]` (uint8 (n, H, W, C), contiguous; two different arrays unless the operation is `in_place`)
with the parameters of those k images. It returns the indices into `members` of the images that it skipped: rare cases
that Pillow computes in another way, and that are left to Pillow. Numba compiles the kernels once per machine and caches
them; they release the GIL.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..engine import Engine
from ..operations import Operation, Parameters
from . import elastic, erase, filters, framing, ink, pixels, projective, resize, stroke, warp

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
    "color": pixels.color,
    "affine": projective.affine,
    "perspective": projective.perspective,
    "flip": framing.flip,
    "shift": framing.shift,
    "crop": resize.crop,
}
"""The kernel of each built-in operation, by name."""

INK: dict[str, Callable[[np.ndarray, np.ndarray, Parameters], np.ndarray]] = {
    "elastic": elastic.elastic_ink,
    "erase": erase.erase_ink,
}
"""`ink(source, members, parameters)` for operations whose lost ink does not follow from `forward_maps`."""


def _apply(
    operation: Operation, source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters
) -> None:
    kernel = KERNELS.get(operation.name)
    if kernel is None:
        target[members] = operation.apply_many(source[members], parameters)
        return
    skipped = kernel(source, target, members, parameters)
    if len(skipped):
        rest = {name: column[skipped] for name, column in parameters.items()}
        target[members[skipped]] = operation.apply_many(source[members[skipped]], rest)


def _ink(operation: Operation, source: np.ndarray, members: np.ndarray, parameters: Parameters) -> np.ndarray | None:
    if not operation.takes_ink:
        return None
    if operation.name in INK:
        return INK[operation.name](source, members, parameters)
    return ink.ink_inside(source, members, operation.forward_maps(parameters, source.shape[1:]))


COMPILED = Engine("compiled", _apply, _ink)
"""The compiled engine."""


def compiled_before() -> bool:
    """Return whether the kernels are in the cache; otherwise the first use compiles for up to a minute."""
    cache = getattr(filters.blur_small, "_cache", None)  # Missing if NUMBA_DISABLE_JIT is set.
    return cache is None or any(Path(cache.cache_path).glob("*.nbi"))
