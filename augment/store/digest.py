"""The digest of decoded images. It does not depend on codec, shard size or chunk size.

It is the sum modulo 2^128 of the XXH3-128 (xxhash.com) of every image with its position, row and label. A sum does
not depend on how positions are divided into shards; each term includes the position, so the order of images counts.
The digest detects damage and mistakes, not forgery.
"""

import math
from pathlib import Path

import numpy as np
import xxhash

_MODULUS = 1 << 128
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
    each = math.prod(images.shape[1:])
    terms = np.empty((len(images), _HEAD.itemsize + each), np.uint8)
    head = np.empty(len(images), _HEAD)
    head["position"], head["row"], head["label"] = np.arange(start, start + len(images)), rows, labels
    terms[:, : _HEAD.itemsize] = head.view(np.uint8).reshape(len(images), _HEAD.itemsize)
    terms[:, _HEAD.itemsize :] = images.reshape(len(images), each)
    total = sum(xxhash.xxh3_128_intdigest(term.data) for term in terms)
    return total % _MODULUS


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
    """Return the XXH3-128 of a file's bytes as 32 hexadecimal digits. The file is read in blocks of 1 MiB."""
    state = xxhash.xxh3_128()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()
