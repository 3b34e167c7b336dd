"""The digests of a source file: of its content, which is its identity, and of its columns, which finds damage."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import xxhash

from ..shared.types import Shape


def content_digest(
    shape: Shape,
    class_names: list[str],
    group_names: list[str] | None,
    columns: tuple[np.ndarray, np.ndarray | None, np.ndarray | None],
    block_digests: Iterable[bytes],
) -> str:
    """Return the SHA-256 of pixels, labels, groups, splits and names, hexadecimal.

    Parameters
    ----------
    shape
        (H, W, C) of an image.
    class_names, group_names
        Names of the classes, and of the groups if there are any.
    columns
        Labels and groups, int32 (N,), and splits, int8 (N,); None if there are no groups or splits.
    block_digests
        SHA-256 of the pixels of each block of `source_file.block_rows` rows.
    """
    head = {"shape": list(shape), "classes": class_names, "groups": group_names}
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for column, dtype in zip(columns, ("<i4", "<i4", "i1"), strict=True):
        if column is not None:
            digest.update(np.ascontiguousarray(column, dtype).data)
    for block in block_digests:
        digest.update(block)
    return digest.hexdigest()


def damage_digest(facts: dict[str, Any], columns: Iterable[np.ndarray]) -> str:
    """Return the XXH3-128 of JSON values and of integer columns, each with its length, as 32 hexadecimal digits."""
    state = xxhash.xxh3_128(json.dumps(facts, sort_keys=True).encode())
    for column in columns:
        state.update(f"{column.shape}".encode())
        state.update(column.astype(column.dtype.newbyteorder("<"), copy=False).reshape(-1).view(np.uint8).data)
    return state.hexdigest()


def text_digest(blocks: Iterable[list[str]]) -> str:
    """Return the XXH3-128 of texts, which come in blocks of any size, as 32 hexadecimal digits."""
    state = xxhash.xxh3_128()
    for block in blocks:
        state.update(b"".join(text.encode("utf-8", "surrogatepass") + b"\0" for text in block))
    return state.hexdigest()
