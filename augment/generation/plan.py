"""The plan: which shards a request still lacks. Pure, from sizes and the manifest alone."""

import math
from collections.abc import Iterable, Iterator

from ..distortion.operations.base import Shape
from ..store.description import PARTS
from ..store.manifest import Entry
from ..store.shard import ShardTask

_CHUNK_BYTES = 512 << 10
_CHUNK_IMAGES = 256
_SHARD_BYTES = 64 << 20
_SHARDS_PER_EPOCH = 16
_FEWEST_IMAGES = 1024


def chunk_images(shape: Shape) -> int:
    """Pictures in a chunk unless the user says otherwise: a power of two up to 256, up to 512 KiB decoded.

    128 pictures of 64 x 64: a divisor of the usual batch, and small enough to shuffle well and to stay in a
    core's cache while it is decoded.
    """
    fitting = max(1, _CHUNK_BYTES // math.prod(shape))
    return min(_CHUNK_IMAGES, 1 << (fitting.bit_length() - 1))


def shard_images(images: int, shape: Shape, chunk: int) -> int:
    """Pictures in a shard unless the user says otherwise: whole chunks, up to 64 MiB decoded.

    Small sets get small shards, some sixteen an epoch, so that all cores have work.
    """
    largest = max(1, _SHARD_BYTES // math.prod(shape))
    wanted = min(largest, max(_FEWEST_IMAGES, math.ceil(images / _SHARDS_PER_EPOCH)))
    return math.ceil(wanted / chunk) * chunk


def left_to_do(
    published: Iterable[Entry], images: dict[str, int], epochs: int, *, shard: int, chunk: int, codec: str
) -> list[ShardTask]:
    """The shards to write until the undistorted parts and stored epochs 0 to `epochs` - 1 are whole.

    `images` are the pictures of each part. A gap between published shards is parted at multiples of
    `shard`, so that a run with another shard size fills in what one with the first size left.
    """
    held: dict[tuple[str, int], list[Entry]] = {}
    for entry in published:
        held.setdefault((entry.part, entry.epoch), []).append(entry)
    wanted = [(part, 0, images[part]) for part in reversed(PARTS)]
    wanted += [("epoch", epoch, images["train"]) for epoch in range(epochs)]
    return [
        ShardTask(part, epoch, start, stop - start, chunk, codec)
        for part, epoch, count in wanted
        for low, high in _gaps(held.get((part, epoch), []), count)
        for start, stop in _parted(low, high, shard)
    ]


def _gaps(entries: list[Entry], count: int) -> Iterator[tuple[int, int]]:
    """Runs of positions in [0, count) that no entry covers."""
    at = 0
    for entry in sorted(entries, key=lambda entry: entry.start):
        if entry.start > at:
            yield at, entry.start
        at = max(at, entry.stop)
    if at < count:
        yield at, count


def _parted(low: int, high: int, shard: int) -> Iterator[tuple[int, int]]:
    """[low, high) cut at every multiple of `shard`."""
    while low < high:
        stop = min(high, (low // shard + 1) * shard)
        yield low, stop
        low = stop
