"""The digest of decoded pictures: the same whatever the codec, the shard size and the chunk size.

XXH3-128 (xxhash.com) of every picture together with its position, row and label, summed modulo 2^128.
A sum does not mind how positions were parted into shards, and position is part of every term, so
that order counts. It guards against damage and mistakes, not against forgery.
"""

import math
from pathlib import Path

import numpy as np
import xxhash

_MODULUS = 1 << 128
_HEAD = np.dtype([("position", "<i8"), ("row", "<i8"), ("label", "<i8")])


def digest_of(start: int, pictures: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> int:
    """The sum for pictures (uint8 (n, H, W, C)) at positions start, start + 1, ..."""
    each = math.prod(pictures.shape[1:])
    terms = np.empty((len(pictures), _HEAD.itemsize + each), np.uint8)
    head = np.empty(len(pictures), _HEAD)
    head["position"], head["row"], head["label"] = np.arange(start, start + len(pictures)), rows, labels
    terms[:, : _HEAD.itemsize] = head.view(np.uint8).reshape(len(pictures), _HEAD.itemsize)
    terms[:, _HEAD.itemsize :] = pictures.reshape(len(pictures), each)
    total = sum(xxhash.xxh3_128_intdigest(term.data) for term in terms)
    return total % _MODULUS


def picture_digests(pictures: np.ndarray) -> np.ndarray:
    """XXH3-128 of each picture (uint8 (n, H, W, C), contiguous), uint64 (n, 2): equal for equal pixels alone."""
    digests = b"".join(xxhash.xxh3_128_digest(picture.data) for picture in pictures)
    return np.frombuffer(digests, ">u8").reshape(len(pictures), 2).astype(np.uint64)


def add(*digests: int) -> int:
    """The digest of the union of disjoint runs of positions."""
    return sum(digests) % _MODULUS


def to_hex(digest: int) -> str:
    """32 hexadecimal digits."""
    return f"{digest:032x}"


def file_checksum(path: Path) -> str:
    """XXH3-128 of a file's bytes, 32 hexadecimal digits; reads it block by block."""
    state = xxhash.xxh3_128()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()
