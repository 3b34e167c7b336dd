"""The images of the report as WebP, small enough for a page."""

import math

import numpy as np

from ....augment.shared.html.thumbnails import PREFIX, webp_data_uri

MOST_BYTES = 3_500_000
"""Bytes of all images in the page."""
_SMALLEST = 12
"""Longest side in pixels below which images are not reduced further."""


def encode(images: np.ndarray, most: int = MOST_BYTES) -> list[str]:
    """Return images (uint8 (m, H, W, C)) as Base64 of WebP, without the prefix of a data URI.

    They are reduced as far as needed for all of them to have at most `most` characters.
    """
    side = max(images.shape[1:3])
    while True:
        found = [webp_data_uri(image, side=side)[len(PREFIX) :] for image in images]
        total = sum(map(len, found))
        if total <= most or side <= _SMALLEST:
            return found
        side = max(_SMALLEST, int(0.95 * side * math.sqrt(most / total)))
