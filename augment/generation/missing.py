"""Which shards a set still lacks: a pure function of sizes and the manifest."""

import math
from collections.abc import Iterable, Iterator

from ..errors import EpochbankError
from ..shared.progress import size
from ..shared.types import SPLITS, Shape
from ..store.description import LARGEST_CHUNK
from ..store.manifest import Entry, gaps
from ..store.shard import ShardTask
from .options import GenerationOptions

_CHUNK_BYTES = 512 << 10
_CHUNK_IMAGES = 256
_SHARD_BYTES = 64 << 20
_SHARDS_PER_EPOCH = 16
_FEWEST_IMAGES = 1024


def chunk_images(shape: Shape) -> int:
    """Return the default number of images in a chunk: a power of two up to 256, up to 512 KiB decoded.

    128 images of 64 x 64: this divides the usual batch size, shuffles well, and stays in a core's cache while it is
    decoded.
    """
    fitting = max(1, _CHUNK_BYTES // math.prod(shape))
    return min(_CHUNK_IMAGES, 1 << (fitting.bit_length() - 1))


def shard_images(num_images: int, shape: Shape, chunk: int) -> int:
    """Return the default number of images in a shard: whole chunks, up to 64 MiB decoded.

    Small sets get small shards, about sixteen per epoch, so that all cores have work.
    """
    largest = max(1, _SHARD_BYTES // math.prod(shape))
    wanted = min(largest, max(_FEWEST_IMAGES, math.ceil(num_images / _SHARDS_PER_EPOCH)))
    return math.ceil(wanted / chunk) * chunk


def missing_shards(
    published: list[Entry],
    num_images: dict[str, int],
    shape: Shape,
    options: GenerationOptions,
    lost: Iterable[Entry] = (),
    first: int = 0,
) -> list[ShardTask]:
    """Return the shards to write for a set with `num_images` in each split, given those that are `published`.

    `lost` are the published ones whose files are gone; they come first, exactly as they were. The stored epochs have
    the numbers from `first` on, which is not 0 if the oldest are retired. Raises
    `EpochbankError` for chunks that are too large.
    """
    chunk = options.chunk_size or chunk_images(shape)
    if chunk * math.prod(shape) > LARGEST_CHUNK:
        raise EpochbankError(
            f"--chunk-size {chunk} makes chunks of {size(chunk * math.prod(shape))} decoded; "
            f"expected at most {size(LARGEST_CHUNK)}.",
            usage=True,
        )
    again = [ShardTask(one.split, one.epoch, one.start, one.num_images, one.chunk, one.codec) for one in lost]
    return again + uncovered(
        published,
        num_images,
        options.epochs,
        first=first,
        shard=options.shard_size or shard_images(num_images["train"], shape, chunk),
        chunk=chunk,
        # New shards of a set get its codec unless the user names another.
        codec=options.codec or (published[-1].codec if published else "zstd"),
    )


def uncovered(
    published: Iterable[Entry],
    num_images: dict[str, int],
    epochs: int,
    *,
    shard: int,
    chunk: int,
    codec: str,
    first: int = 0,
) -> list[ShardTask]:
    """Return the shards that complete the undistorted splits and the stored epochs `first` to `first` + `epochs` - 1.

    A gap between published shards is divided at multiples of `shard`, so that a run with another shard size fills the
    gaps that one with the first size left.
    """
    held: dict[tuple[str, int], list[Entry]] = {}
    for entry in published:
        held.setdefault((entry.split, entry.epoch), []).append(entry)
    wanted = [(split, 0, num_images[split]) for split in reversed(SPLITS)]
    wanted += [("epoch", epoch, num_images["train"]) for epoch in range(first, first + epochs)]
    return [
        ShardTask(split, epoch, start, stop - start, chunk, codec)
        for split, epoch, count in wanted
        for low, high in gaps(held.get((split, epoch), []), count)
        for start, stop in _divided(low, high, shard)
    ]


def _divided(low: int, high: int, shard: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of [low, high), divided at every multiple of `shard`."""
    while low < high:
        stop = min(high, (low // shard + 1) * shard)
        yield low, stop
        low = stop
