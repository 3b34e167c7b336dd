"""Pixels of 1, 4 and 6 bits into bytes: 0 stays 0, the highest value becomes 255, and what lies between is exact."""

import numpy as np

_STEP_BYTES = 256 << 10
"""Pixels that are worked on at once: they and what comes between stay in a core's own cache."""

_SIX_BITS = np.array([(value * 255 + 31) // 63 for value in range(64)], np.uint8)
"""`round(value * 255 / 63)` of each value of six bits; no value lies halfway."""


def unpack(packed: np.ndarray, height: int, width: int, depth: int) -> np.ndarray:
    """Pictures, uint8 (n, height, width), from their bytes, uint8 (n, height * width * depth / 8).

    The most significant bit comes first. `depth` is 1 (times 255), 4 (times 17) or 6 bits (rounded; none is halfway).
    """
    pixels = np.empty((len(packed), height * width), np.uint8)
    step = max(1, _STEP_BYTES // (height * width))
    for start in range(0, len(packed), step):
        _UNPACK[depth](packed[start : start + step], pixels[start : start + step])
    return pixels.reshape(len(packed), height, width)


def _unpack_1(packed: np.ndarray, pixels: np.ndarray) -> None:
    np.negative(np.unpackbits(packed, axis=1), out=pixels)  # 256 - 1 is 255.


def _unpack_4(packed: np.ndarray, pixels: np.ndarray) -> None:
    """Both pixels of a byte v = 16 h + l at once, as the two bytes of a word, low byte first: h + 256 l."""
    pairs = pixels.view("<u2")
    # Of 4097 v a word keeps 4096 l + 16 h + l, which is 16 (h + 256 l) but for its last four bits.
    np.multiply(packed, np.uint16(4097), out=pairs, dtype=np.uint16)
    pairs >>= 4
    pairs *= 17


def _unpack_6(packed: np.ndarray, pixels: np.ndarray) -> None:
    """Four pixels of three bytes at once."""
    triples = packed.reshape(len(packed), -1, 3).astype(np.uint32)
    words = triples[:, :, 0] << 16 | triples[:, :, 1] << 8 | triples[:, :, 2]
    fours = pixels.reshape(len(packed), -1, 4)
    for place in range(4):
        fours[:, :, place] = _SIX_BITS[words >> (18 - 6 * place) & 63]


_UNPACK = {1: _unpack_1, 4: _unpack_4, 6: _unpack_6}
