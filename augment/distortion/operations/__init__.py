"""The distortions: one frozen dataclass each, with ranges to draw from, applied with Pillow.

Drawing and applying are separate. `parameters()` turns uniform numbers into the parameters of many images and reads no
image; `apply()` distorts one image and is deterministic. Parameters are named as in Pillow's calls, so that an image
can be reproduced with Pillow alone.
"""

from .base import Operation, Parameters
from .color import Color
from .custom import CustomOperation
from .elastic import Elastic
from .erase import Erase
from .filters import Blur, Sharpen, Smooth
from .framing import Crop, Flip, Shift
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
        Color,
        Affine,
        Perspective,
        Flip,
        Shift,
        Crop,
        AlbumentationsOperation,
    )
}
"""Every built-in operation, by its name in a recipe. To add one, add its class here and its kernel to `compiled`."""

__all__ = [
    "BUILT_IN",
    "Affine",
    "AlbumentationsOperation",
    "Blur",
    "Color",
    "Contrast",
    "Crop",
    "CustomOperation",
    "Elastic",
    "Erase",
    "Flip",
    "Noise",
    "Operation",
    "Parameters",
    "Perspective",
    "Rotate",
    "Scale",
    "Sharpen",
    "Shear",
    "Shift",
    "Sine",
    "Smooth",
    "Stroke",
]
