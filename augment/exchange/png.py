"""Images as PNG: lossless, and as every library reads them."""

import io

import numpy as np
from PIL import Image

_LEVEL = 1
"""Level of zlib: the fastest."""


def encode_png(image: np.ndarray) -> bytes:
    """Return an image, uint8 (H, W, 1) or (H, W, 3), as the bytes of a PNG file, gray or RGB."""
    encoded = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(encoded, "PNG", compress_level=_LEVEL)
    return encoded.getvalue()
