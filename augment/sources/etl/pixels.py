"""Unpacks pixels of 1, 4 and 6 bits to bytes, scaled exactly so that the highest value becomes 255."""

import numpy as np

_STEP_BYTES = 256 << 10
"""Bytes of pixels processed at once, so that they and the intermediate values stay in the cache of a core."""

_SIX_BITS = np.array([(value * 255 + 31) // 63 for value in range(64)], np.uint8)
"""`round(value * 255 / 63)` for each value of six bits; no value lies halfway between two integers."""


def unpack(packed: np.ndarray, height: int, width: int, depth: int) -> np.ndarray:
    """Unpack images, uint8 (n, height, width), from uint8 (n, height * width * depth / 8).

    The most significant bit comes first. A `depth` of 1 bit is multiplied by 255, 4 bits by 17, and 6 bits by 255 / 63
    and rounded.
    """
    pixels = np.empty((len(packed), height * width), np.uint8)
    step = max(1, _STEP_BYTES // (height * width))
    for start in range(0, len(packed), step):
        _UNPACK[depth](packed[start : start + step], pixels[start : start + step])
    return pixels.reshape(len(packed), height, width)


def _unpack_1(packed: np.ndarray, pixels: np.ndarray) -> None:
    np.negative(np.unpackbits(packed, axis=1), out=pixels)  # 256 - 1 is 255.


def _unpack_4(packed: np.ndarray, pixels: np.ndarray) -> None:
    """Unpack both pixels of a byte v = 16 h + l at once, to the little-endian word h + 256 l."""
    pairs = pixels.view("<u2")
    # 4097 v modulo 2^16 is 4096 l + 16 h + l, which is 16 (h + 256 l) except for its last four bits.
    np.multiply(packed, np.uint16(4097), out=pairs, dtype=np.uint16)
    pairs >>= 4
    pairs *= 17


def _unpack_6(packed: np.ndarray, pixels: np.ndarray) -> None:
    """Unpack four pixels from three bytes at once."""
    triples = packed.reshape(len(packed), -1, 3).astype(np.uint32)
    words = triples[:, :, 0] << 16 | triples[:, :, 1] << 8 | triples[:, :, 2]
    fours = pixels.reshape(len(packed), -1, 4)
    for place in range(4):
        fours[:, :, place] = _SIX_BITS[words >> (18 - 6 * place) & 63]


_UNPACK = {1: _unpack_1, 4: _unpack_4, 6: _unpack_6}
