"""The digest of decoded images. It does not depend on codec, shard size or chunk size.

It is the sum modulo 2^128 of the XXH3-128 (xxhash.com) of every image with its position, row and label. A sum does
not depend on how positions are divided into shards; each term includes the position, so the order of images counts.
The digest detects damage and mistakes, not forgery.
"""

import math
from pathlib import Path

import numpy as np
import xxhash

from ..shared.atomic import naming

_MODULUS = 1 << 128
_BLOCK = 256 << 10
"""Bytes of images, or of a file, that are hashed at a time."""
_HEAD = np.dtype([("position", "<i8"), ("row", "<i8"), ("label", "<i8")])


def digest_of(start: int, images: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> int:
    """Return the digest of images at consecutive positions.

    Parameters
    ----------
    start
        Position of the first image.
    images
        uint8 (n, H, W, C).
    labels, rows
        Integers (n,): class indices, and rows in the source file.
    """
    count, each = len(images), math.prod(images.shape[1:])
    size = _HEAD.itemsize + each
    head = np.empty(count, _HEAD)
    head["position"], head["row"], head["label"] = np.arange(start, start + count), rows, labels
    heads, pixels = head.view(np.uint8).reshape(count, _HEAD.itemsize), images.reshape(count, each)
    # The terms of a block are laid out in one buffer that stays in a core's cache.
    step = max(1, _BLOCK // size)
    terms = np.empty((min(step, count), size), np.uint8)
    digests: list[bytes] = []
    for at in range(0, count, step):
        block = terms[: min(step, count - at)]
        block[:, : _HEAD.itemsize], block[:, _HEAD.itemsize :] = heads[at : at + step], pixels[at : at + step]
        digests.extend(map(xxhash.xxh3_128_digest, block))
    return _sum(b"".join(digests))


def _sum(digests: bytes) -> int:
    """Return the sum modulo 2^128 of digests of 16 bytes each, in which the first byte is the highest."""
    digits = np.frombuffer(digests, ">u4").reshape(-1, 4).sum(axis=0, dtype=np.uint64).tolist()
    return sum(digit << shift for digit, shift in zip(digits, (96, 64, 32, 0), strict=True)) % _MODULUS


def image_digests(images: np.ndarray) -> np.ndarray:
    """Return the XXH3-128 of each image (uint8 (n, H, W, C), contiguous) as uint64 (n, 2)."""
    digests = b"".join(map(xxhash.xxh3_128_digest, images))
    return np.frombuffer(digests, ">u8").reshape(len(images), 2).astype(np.uint64)


def add(*digests: int) -> int:
    """Return the digest of the union of disjoint ranges of positions from their digests."""
    return sum(digests) % _MODULUS


def to_hex(digest: int) -> str:
    """Format a digest as 32 hexadecimal digits."""
    return f"{digest:032x}"


def file_checksum(path: Path) -> str:
    """Return the XXH3-128 of a file's bytes as 32 hexadecimal digits. The file is read in blocks of 256 KiB."""
    state, block = xxhash.xxh3_128(), memoryview(bytearray(_BLOCK))
    with naming(path), open(path, "rb", buffering=0) as file:
        while count := file.readinto(block):
            state.update(block[:count])
    return state.hexdigest()
