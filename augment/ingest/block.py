"""One task of the import: a run of pictures, read, fitted, written side by side with those of other workers."""

import hashlib
import mmap
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..distortion.engine import fitting
from ..sources import Decoded, Reader
from ..sources.decode import BadPicture, Treatment, coloured_run
from ..store.digest import picture_digests
from .dhash import likeness
from .source_file import Places

_RUN_BYTES = 4 << 20
"""Pictures of one size that are fitted together."""


@dataclass(frozen=True)
class Block:
    """Which pictures, and where in the file they go."""

    path: Path
    places: Places
    start: int
    """The row of the first."""
    indices: np.ndarray
    reader: Reader
    treatment: Treatment
    engine: str


@dataclass(frozen=True)
class BlockResult:
    """What a task leaves: the digest of its pixels, and the pictures that could not be used."""

    images: int
    digest: bytes
    bad: list[tuple[int, str]]


def write_block(block: Block) -> BlockResult:
    """Read, fit and write the pictures of one block; a picture that is bad leaves its place black."""
    pixels = np.zeros((len(block.indices), *block.treatment.shape), np.uint8)
    fit, bad, at = fitting(block.engine, block.treatment), [], 0
    for run in runs(block.reader.read(block.indices), block.treatment):
        if isinstance(run, BadPicture):
            bad.append((int(block.indices[at]), str(run)))
            at += 1
        else:
            pixels[at : at + len(run)] = fit(run, block.treatment)
            at += len(run)
    if at != len(block.indices):
        raise ValueError(f"the reader gave {at} pictures; expected {len(block.indices)}")
    places, start = block.places, block.start
    descriptor = os.open(block.path, os.O_RDWR)
    try:
        write = _copy if places.reserved else _write
        write(descriptor, pixels, places.image + start * pixels[0].nbytes)
        for place, column in ((places.digest, picture_digests(pixels)), (places.likeness, likeness(pixels))):
            _write(descriptor, column, place + start * column[0].nbytes)
    finally:
        os.close(descriptor)
    return BlockResult(len(pixels), hashlib.sha256(pixels.data).digest(), bad)


def runs(decoded: Iterable[Decoded], treatment: Treatment) -> Iterator[np.ndarray | BadPicture]:
    """Pictures in the treatment's colours, those of one shape that follow each other together: uint8 (n, h, w, C)."""
    for run in runs_of_one_shape(decoded):
        yield run if isinstance(run, BadPicture) else np.ascontiguousarray(coloured_run(run, treatment))


def runs_of_one_shape(decoded: Iterable[Decoded]) -> Iterator[np.ndarray | BadPicture]:
    """Pictures as they are, those of one shape that follow each other together: uint8 (n, h, w) or (n, h, w, 3)."""
    waiting: list[np.ndarray] = []
    for item in decoded:
        one = np.asarray(item)[None] if isinstance(item, Image.Image) else None
        if waiting and (one is None or waiting[0].shape != one.shape or len(waiting) * one.nbytes >= _RUN_BYTES):
            yield np.concatenate(waiting)
            waiting.clear()
        if one is not None:
            waiting.append(one)
        elif not isinstance(item, Image.Image):
            yield item
    if waiting:
        yield np.concatenate(waiting)


def one_by_one(decoded: Iterable[Decoded]) -> Iterator[Image.Image]:
    """The pictures, mode L or RGB, without those that cannot be used."""
    for item in decoded:
        if isinstance(item, np.ndarray):
            yield from map(Image.fromarray, item)
        elif isinstance(item, Image.Image):
            yield item


def _copy(descriptor: int, column: np.ndarray, offset: int) -> None:
    """Write by way of a map: workers need not wait for each other, as they do where each writes to the same file.

    Only where room is set aside: on a full disk the system would end the process.
    """
    first = offset - offset % mmap.ALLOCATIONGRANULARITY
    with mmap.mmap(descriptor, offset - first + column.nbytes, offset=first) as mapped:
        np.frombuffer(mapped, np.uint8)[offset - first :] = column.reshape(-1)


def _write(descriptor: int, column: np.ndarray, offset: int) -> None:
    data, written = column.reshape(-1).view(np.uint8).data, 0
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], offset + written)
