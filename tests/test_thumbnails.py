"""Images as WebP data URIs."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from epochbank.augment.shared.html.thumbnails import webp_data_uri

PREFIX = "data:image/webp;base64,"


def decoded(uri: str) -> np.ndarray:
    assert uri.startswith(PREFIX)
    with Image.open(io.BytesIO(base64.b64decode(uri.removeprefix(PREFIX), validate=True))) as image:
        assert image.format == "WEBP"
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_lossless_thumbnail_has_the_same_pixels(channels: int) -> None:
    image = np.random.default_rng(1).integers(0, 256, (9, 14, channels), np.uint8)
    np.testing.assert_array_equal(decoded(webp_data_uri(image, quality=100)), np.broadcast_to(image, (9, 14, 3)))


@pytest.mark.parametrize(("side", "shape"), [(None, (40, 80)), (20, (10, 20)), (200, (40, 80)), (1, (1, 1))])
def test_the_longer_side_is_at_most_side_and_nothing_is_enlarged(side: int | None, shape: tuple[int, int]) -> None:
    assert decoded(webp_data_uri(np.full((40, 80, 1), 200, np.uint8), side=side)).shape[:2] == shape


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 2), (8, 0, 1), (1, 8, 8, 3)])
def test_other_arrays_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        webp_data_uri(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="expected uint8"):
        webp_data_uri(np.zeros((8, 8, 1), np.float32))
