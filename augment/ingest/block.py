"""One task of an import: read, preprocess and write a block of images, in parallel with other workers."""

import hashlib
import mmap
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..sources import Decoded, Reader
from ..sources.decode import BadImage
from ..sources.value_range import in_bytes
from ..store.digest import image_digests
from .dhash import dhash
from .preprocess import Preprocessing, to_color_mode_many
from .resize import resizer
from .source_output import Offsets

_BATCH_BYTES = 4 << 20
"""Largest batch of images of one shape that are preprocessed together."""


@dataclass(frozen=True)
class Block:
    """Images of a source and their place in the source file."""

    path: Path
    offsets: Offsets
    start: int
    """Row of the first image."""
    indices: np.ndarray
    """int64 (n,): indices of the images in the source."""
    reader: Reader
    preprocessing: Preprocessing
    engine: str
    """Engine that resizes: `compiled` or `pillow`."""


@dataclass(frozen=True)
class BlockResult:
    """Result of a task: SHA-256 of its pixels, and index and reason of each unusable image."""

    num_images: int
    digest: bytes
    bad: list[tuple[int, str]]


def write_block(block: Block) -> BlockResult:
    """Read, preprocess and write the images of a block. The pixels of an unusable image are 0."""
    pixels = np.zeros((len(block.indices), *block.preprocessing.shape), np.uint8)
    resize, bad, done = resizer(block.engine, block.preprocessing), [], 0
    decoded = in_bytes(block.reader.read(block.indices), block.preprocessing.value_ranges)
    for batch in batches_of_one_shape(decoded):
        if isinstance(batch, BadImage):
            bad.append((int(block.indices[done]), str(batch)))
            done += 1
        else:
            images = np.ascontiguousarray(to_color_mode_many(batch, block.preprocessing))
            pixels[done : done + len(images)] = resize(images, block.preprocessing)
            done += len(images)
    if done != len(block.indices):
        raise ValueError(f"the reader gave {done} images; expected {len(block.indices)}")
    offsets, start = block.offsets, block.start
    descriptor = os.open(block.path, os.O_RDWR)
    try:
        write = _write_mapped if offsets.preallocated else _write
        write(descriptor, pixels, offsets.image + start * pixels[0].nbytes)
        for offset, column in ((offsets.digest, image_digests(pixels)), (offsets.dhash, dhash(pixels))):
            _write(descriptor, column, offset + start * column[0].nbytes)
    finally:
        os.close(descriptor)
    return BlockResult(len(pixels), hashlib.sha256(pixels.data).digest(), bad)


def batches_of_one_shape(decoded: Iterable[Decoded]) -> Iterator[np.ndarray | BadImage]:
    """Yield consecutive images of one shape as one array, uint8 (n, h, w) or (n, h, w, 3), and each `BadImage`.

    `decoded` are images of 8 bits, as `in_bytes` gives them.
    """
    pending: list[np.ndarray] = []
    for item in decoded:
        one = np.asarray(item)[None] if isinstance(item, Image.Image) else None
        if pending and (one is None or pending[0].shape != one.shape or len(pending) * one.nbytes >= _BATCH_BYTES):
            yield np.concatenate(pending)
            pending.clear()
        if one is not None:
            pending.append(one)
        elif not isinstance(item, Image.Image):
            yield item
    if pending:
        yield np.concatenate(pending)


def usable_images(decoded: Iterable[Decoded]) -> Iterator[Image.Image]:
    """Yield the images of 8 bits one by one, mode L or RGB, without the unusable ones."""
    for item in decoded:
        if isinstance(item, np.ndarray):
            yield from map(Image.fromarray, item)
        elif isinstance(item, Image.Image):
            yield item


def _write_mapped(descriptor: int, column: np.ndarray, offset: int) -> None:
    """Write through a memory map, where workers do not wait for each other as they do for `pwrite` to one file.

    Only for preallocated space: if the disk is full, the system kills a process that writes to a map.
    """
    first = offset - offset % mmap.ALLOCATIONGRANULARITY
    with mmap.mmap(descriptor, offset - first + column.nbytes, offset=first) as mapped:
        np.frombuffer(mapped, np.uint8)[offset - first :] = column.reshape(-1)


def _write(descriptor: int, column: np.ndarray, offset: int) -> None:
    data, written = column.reshape(-1).view(np.uint8).data, 0
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], offset + written)
