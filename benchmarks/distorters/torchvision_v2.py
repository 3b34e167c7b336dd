"""torchvision's transforms v2: nearest-neighbour rotation, then Gaussian blur, one picture at a time, on tensors.

A picture at a time, as what is drawn for a batch holds for all of it. PyTorch with one thread. The blur's window must
be said: 5 pixels, twice the widest sigma either way. Nothing else is done: no shear, scale, sine or sharpening.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from distorters.ranges import DEGREES, SIGMA

PICTURES = "glyphs"
REQUIRES = {"torch": "torch", "torchvision": "torchvision"}
_WINDOW = 5


def distorter(pictures: np.ndarray) -> Callable[[], Iterator[tuple[Any]]]:
    import torch
    from torchvision.transforms import InterpolationMode, v2

    torch.set_num_threads(1)
    rotation = v2.RandomRotation(DEGREES, interpolation=InterpolationMode.NEAREST, fill=0)
    augment = v2.Compose([rotation, v2.GaussianBlur(_WINDOW, sigma=SIGMA)])
    tensors = torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()
    return lambda: ((augment(tensor),) for tensor in tensors)
