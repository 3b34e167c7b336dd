"""The distortions: one frozen class each, drawn from ranges and applied with Pillow.

`draw` and `apply` are apart: `parameters()` turns uniform numbers into parameters, for many pictures
at once and without touching one; `apply()` distorts one picture and is deterministic. The parameters
are named as Pillow needs them, so that a picture can be made again with Pillow alone.
"""

from augment.operations.base import Operation, Parameters
from augment.operations.filters import Blur, Sharpen, Smooth
from augment.operations.geometry import Rotate, Scale, Shear, Sine
from augment.operations.own import OwnOperation

BUILT_IN: dict[str, type[Operation]] = {
    operation.name: operation for operation in (Rotate, Shear, Scale, Sine, Blur, Sharpen, Smooth)
}
"""Every built-in operation by the name that a recipe gives it."""

__all__ = [
    "BUILT_IN",
    "Blur",
    "Operation",
    "OwnOperation",
    "Parameters",
    "Rotate",
    "Scale",
    "Sharpen",
    "Shear",
    "Sine",
    "Smooth",
]
