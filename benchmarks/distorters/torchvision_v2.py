"""torchvision's transforms v2: nearest-neighbor rotation, then Gaussian blur, one image at a time, on tensors.

One image at a time, because the parameters drawn for a batch apply to the whole batch. PyTorch uses one thread. The
blur has no default window; it is 5 pixels here, twice the largest sigma to each side. There is no shear, scale, sine or
sharpening.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from distorters.ranges import DEGREES, SIGMA

KIND = "glyphs"
REQUIRES = {"torch": "torch", "torchvision": "torchvision"}
_WINDOW = 5


def distorter(images: np.ndarray) -> Callable[[], Iterator[tuple[Any]]]:
    import torch
    from torchvision.transforms import InterpolationMode, v2

    torch.set_num_threads(1)
    rotation = v2.RandomRotation(DEGREES, interpolation=InterpolationMode.NEAREST, fill=0)
    augment = v2.Compose([rotation, v2.GaussianBlur(_WINDOW, sigma=SIGMA)])
    tensors = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    return lambda: ((augment(tensor),) for tensor in tensors)
