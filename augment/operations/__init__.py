"""The distortions: one frozen class each, drawn from ranges and applied with Pillow.

`draw` and `apply` are apart: `parameters()` turns uniform numbers into parameters, for many pictures
at once and without touching one; `apply()` distorts one picture and is deterministic. The parameters
are named as Pillow needs them, so that a picture can be made again with Pillow alone.
"""

from augment.operations.base import Operation, Parameters
from augment.operations.colour import Colour
from augment.operations.elastic import Elastic
from augment.operations.erase import Erase
from augment.operations.filters import Blur, Sharpen, Smooth
from augment.operations.framing import Crop, Flip
from augment.operations.geometry import Rotate, Scale, Shear, Sine
from augment.operations.own import OwnOperation
from augment.operations.pipeline import AlbumentationsOperation
from augment.operations.pixels import Contrast, Noise
from augment.operations.projective import Affine, Perspective
from augment.operations.stroke import Stroke

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
