"""Small images inside HTML, as WebP data URIs."""

import base64
import io

import numpy as np
from PIL import Image

PREFIX = "data:image/webp;base64,"
"""The beginning of every such URI, which data for a script need not repeat."""


def webp_data_uri(image: np.ndarray, *, side: int | None = None, quality: int = 70) -> str:
    """Return an image as a data URI, for the attribute `src` of an `<img>`.

    Parameters
    ----------
    image
        uint8 (H, W, C); C is 1 for gray, 3 for RGB.
    side
        Pixels of the longer side at most; a larger image is shrunk, a smaller one is never enlarged. None keeps the
        size.
    quality
        Quality of WebP, 0 to 100. 100 is lossless.

    Raises
    ------
    ValueError
        If `image` has another dtype or shape, or no pixels.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3) or not image.size:
        raise ValueError(f"image is {image.dtype} {image.shape}; expected uint8 (H, W, C) with C of 1 or 3.")
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    if side is not None and max(picture.size) > side:
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=quality, lossless=quality == 100, method=4)
    return PREFIX + base64.b64encode(stream.getvalue()).decode("ascii")
