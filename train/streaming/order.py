"""The order of a pass: different for every (seed, pass), without any random access to the disk.

Whole chunks are read in a shuffled order, and the images of a window of several chunks are then shuffled among
themselves, unless only speed matters. Stored epochs are in random order already, so this only has to separate images
that were neighbors in an earlier pass. All functions are pure.
"""

import hashlib
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from numbers import Integral
from typing import Literal, get_args

import numpy as np

from ...augment.errors import EpochbankError
from ...augment.shared.philox import raw_words
from ...augment.shared.renamed import warn_renamed

Shuffle = Literal["images", "chunks", "shards"]
"""Unit of shuffling: `images` shuffles chunks, and the images of a window of chunks; `chunks` shuffles only chunks,
which is faster; `shards` goes through shuffled shards, several at a time, and shuffles chunks and images
within them, so that few shards are needed at a time."""

SHARDS_TOGETHER = 8
"""Number of shards among which `shuffle="shards"` shuffles, or more if they are small (`shards_together`)."""

WINDOW_IMAGES = 2048
"""Maximum number of images in a window of several chunks."""
_WINDOW_BYTES = 16 << 20


def check_shuffle(shuffle: Shuffle) -> Shuffle:
    """Return `shuffle`, with its old name replaced. Raises `EpochbankError` if it is unknown."""
    if shuffle == "pictures":
        warn_renamed('shuffle="pictures"', 'shuffle="images"')
        return "images"
    if shuffle not in get_args(Shuffle):
        raise EpochbankError(f"shuffle={shuffle!r}; expected one of {', '.join(get_args(Shuffle))}.", usage=True)
    return shuffle


def check_seed(seed: int | None) -> None:
    """Raise `EpochbankError` unless `seed` is an int of at least 0, or None, for the stored order."""
    if seed is not None and not (isinstance(seed, Integral) and seed >= 0):
        raise EpochbankError(f"seed={seed!r}; expected an int of at least 0.", usage=True)


@dataclass(frozen=True)
class Windows:
    """The windows of a pass: which chunks, and which images of the pass, each window consists of."""

    chunks: np.ndarray
    """int64 (chunks,): chunk numbers in the order in which they are read."""
    firsts: list[int]
    """Window w consists of chunks[firsts[w]] to chunks[firsts[w + 1] - 1]."""
    starts: list[int]
    """Window w consists of images starts[w] to starts[w + 1] - 1 of the pass."""

    @property
    def num_images(self) -> int:
        """Number of images in the pass."""
        return self.starts[-1]

    @cached_property
    def longest(self) -> int:
        """Number of images in the largest window."""
        return max(stop - start for start, stop in pairwise(self.starts))

    def chunks_of(self, window: int) -> np.ndarray:
        """Return the chunk numbers of a window, int64."""
        return self.chunks[self.firsts[window] : self.firsts[window + 1]]

    def covering(self, start: int, stop: int) -> range:
        """Return the windows that contain images `start` to `stop` - 1 of the pass."""
        if stop <= start:
            return range(0)
        return range(bisect_right(self.starts, start) - 1, bisect_left(self.starts, stop))


def windows(
    chunk_sizes: np.ndarray,
    chunk_bytes: int,
    key: int | None,
    chunks_per_shard: np.ndarray | None = None,
    *,
    shuffle: Shuffle = "images",
    world_size: int = 1,
) -> Windows:
    """Shuffle the chunks of a pass, and divide them into windows.

    If several ranks divide the pass, each needs its share of the shards, and at most two more; with `shuffle="shards"`,
    it needs all groups of shards (`shards_together`) that its images are in.

    Parameters
    ----------
    chunk_sizes
        int64 (chunks,): number of images in each chunk.
    chunk_bytes
        Decoded bytes of the largest chunk.
    key
        Key of the order of chunks; None for the order of position.
    chunks_per_shard
        int64 (shards,): number of chunks of each shard; None for one shard.
    shuffle
        Unit of shuffling.
    world_size
        Number of ranks. Of a pass of n images, rank r shows those from r n // world_size.
    """
    if chunks_per_shard is None:
        chunks_per_shard = np.array([len(chunk_sizes)])
    cuts = [0, len(chunk_sizes)]
    if key is None:
        order = np.arange(len(chunk_sizes))
    elif shuffle == "shards":
        shard_starts = np.cumsum(chunks_per_shard) - chunks_per_shard
        together = shards_together(int(np.add.reduceat(chunk_sizes, shard_starts).max(initial=1)))
        order = _through_shards(chunks_per_shard, key, together)
    elif world_size == 1:
        order = shuffled(len(chunk_sizes), key)
    else:
        order, cuts = _by_rank(chunk_sizes, chunks_per_shard, key, world_size)
    per_window = min(WINDOW_IMAGES // max(1, int(chunk_sizes.max(initial=1))), _WINDOW_BYTES // max(1, chunk_bytes))
    firsts = [first for start, stop in pairwise(cuts) for first in range(start, stop, max(1, per_window))]
    bounds = np.append(0, np.cumsum(chunk_sizes[order]))
    return Windows(order, [*firsts, len(order)], bounds[[*firsts, len(order)]].tolist())


def shards_together(shard_images: int) -> int:
    """Return among how many shards of up to `shard_images` images `shuffle="shards"` shuffles: two windows or more."""
    return max(SHARDS_TOGETHER, -(-2 * WINDOW_IMAGES // max(1, shard_images)))


def _through_shards(chunks_per_shard: np.ndarray, key: int, together: int) -> np.ndarray:
    """Return the chunks in an order that needs few shards at a time, int64 (chunks,)."""
    firsts = np.cumsum(chunks_per_shard) - chunks_per_shard
    shards, parts = shuffled(len(chunks_per_shard), key), []
    for number, at in enumerate(range(0, len(shards), together)):
        group = shards[at : at + together]
        chunks = np.concatenate([np.arange(firsts[one], firsts[one] + chunks_per_shard[one]) for one in group])
        parts.append(chunks[shuffled(len(chunks), key_of(key, "shards", number))])
    return np.concatenate(parts or [np.empty(0, np.int64)])


def _by_rank(
    chunk_sizes: np.ndarray, chunks_per_shard: np.ndarray, key: int, world_size: int
) -> tuple[np.ndarray, list[int]]:
    """Return the chunks in an order in which each rank needs few shards, int64 (chunks,), and where windows must begin.

    Shards are shuffled, and divided among the ranks; each rank's chunks are shuffled among themselves. Where the border
    between two ranks is within a chunk, this chunk is a window of its own, so that no rank reads others of the next.
    """
    place = np.empty(len(chunks_per_shard), np.int64)
    place[shuffled(len(place), key_of(key, "shards"))] = np.arange(len(place))
    shard_of = np.repeat(np.arange(len(chunks_per_shard)), chunks_per_shard)
    order = shuffled(len(chunk_sizes), key)
    order = order[np.argsort(place[shard_of[order]], kind="stable")]
    ends = np.cumsum(chunk_sizes[order])
    borders = np.arange(world_size + 1) * int(ends[-1]) // world_size
    # The first chunk that ends after a border, and the first that begins at the border or after it.
    cuts = [np.searchsorted(ends, borders, "right"), np.searchsorted(ends, borders, "left") + (borders > 0)]
    found = np.unique(np.minimum(np.concatenate(cuts), len(order))).tolist()
    for number, (start, stop) in enumerate(pairwise(found)):
        order[start:stop] = order[start:stop][shuffled(stop - start, key_of(key, "rank", number))]
    return order, found


def within(window: int, num_images: int, key: int) -> np.ndarray:
    """Return a permutation, int64 (num_images,): the slot in the window of each image, in order of its chunks."""
    return shuffled(num_images, key_of(key, window))


def key_of(*parts: int | str) -> int:
    """Derive a key of 128 bits from `parts`."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")


def shuffled(count: int, key: int) -> np.ndarray:
    """Return a permutation of 0, ..., `count` - 1, int64."""
    # The low bits of each random word are replaced by its index. All words are then different, and sorting them, which
    # is much faster than argsort, gives the permutation.
    bits = max(1, (count - 1).bit_length())
    words = raw_words(count, key)
    words >>= bits
    words <<= bits
    words |= np.arange(count, dtype=np.uint64)
    words.sort()
    return (words & np.uint64((1 << bits) - 1)).astype(np.int64)
