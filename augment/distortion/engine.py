"""What an engine is, and the reference engine: Pillow, one image at a time.

Pillow defines the pixels of every operation. Another engine computes the same pixels faster; which engine ran is in no
fingerprint.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .operations import Operation, Parameters


@dataclass(frozen=True)
class Engine:
    """Applies operations to a block of images: uint8 (n, H, W, C), contiguous."""

    name: str
    apply: Callable[[Operation, np.ndarray, np.ndarray, np.ndarray, Parameters], None]
    """`apply(operation, source, target, members, parameters)` computes `target[m]` from `source[m]` for each m of
    `members` (int64 (k,), ascending), with the parameters of those k images. It leaves `source` unchanged. Both are the
    same array only for an operation that is `in_place`."""
    ink: Callable[[Operation, np.ndarray, np.ndarray, Parameters], np.ndarray | None]
    """`ink(operation, source, members, parameters)` returns int64 (k, 2): the sum of pixel values that the operation
    keeps in each image's frame, and the sum before. None for an operation that removes nothing."""


def _apply_with_pillow(
    operation: Operation, source: np.ndarray, target: np.ndarray, members: np.ndarray, parameters: Parameters
) -> None:
    target[members] = operation.apply_many(source[members], parameters)


def _ink_with_numpy(
    operation: Operation, source: np.ndarray, members: np.ndarray, parameters: Parameters
) -> np.ndarray | None:
    return operation.ink(source[members], parameters) if operation.takes_ink else None


PILLOW = Engine("pillow", _apply_with_pillow, _ink_with_numpy)
"""The reference: Pillow, and NumPy where integer arithmetic gives the same pixels."""
