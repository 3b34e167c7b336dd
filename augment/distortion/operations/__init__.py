"""The distortions: one frozen class each, drawn from ranges and applied with Pillow.

`draw` and `apply` are apart: `parameters()` turns uniform numbers into parameters, for many pictures
at once and without touching one; `apply()` distorts one picture and is deterministic. The parameters
are named as Pillow needs them, so that a picture can be made again with Pillow alone.
"""

from .base import Operation, Parameters
from .color import Colour
from .custom import OwnOperation
from .elastic import Elastic
from .erase import Erase
from .filters import Blur, Sharpen, Smooth
from .framing import Crop, Flip
from .geometry import Rotate, Scale, Shear, Sine
from .pipeline import AlbumentationsOperation
from .pixels import Contrast, Noise
from .projective import Affine, Perspective
from .stroke import Stroke

BUILT_IN: dict[str, type[Operation]] = {
    operation.name: operation
    for operation in (
        Rotate,
        Shear,
        Scale,
        Sine,
        Blur,
        Sharpen,
        Smooth,
        Elastic,
        Stroke,
        Contrast,
        Noise,
        Erase,
        Colour,
        Affine,
        Perspective,
        Flip,
        Crop,
        AlbumentationsOperation,
    )
}
"""Every built-in operation by the name that a recipe gives it."""

__all__ = [
    "BUILT_IN",
    "Affine",
    "AlbumentationsOperation",
    "Blur",
    "Colour",
    "Contrast",
    "Crop",
    "Elastic",
    "Erase",
    "Flip",
    "Noise",
    "Operation",
    "OwnOperation",
    "Parameters",
    "Perspective",
    "Rotate",
    "Scale",
    "Sharpen",
    "Shear",
    "Sine",
    "Smooth",
    "Stroke",
]
