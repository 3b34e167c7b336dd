"""Exact and near-duplicates among images, from the digest and the perceptual hash of each.

Memory does not grow with the source: images are partitioned by their digests, and one partition is searched at a time.
"""

from collections.abc import Callable, Iterator

import numpy as np

from ..shared.permutation import mix64
from ..shared.types import NO_PAIRS

_PARTITION = 1 << 20
"""Approximate number of images that are searched at once."""
_BANDS = ((0, 22), (22, 21), (43, 21))
"""First bit and number of bits of each band of a hash's first word: words that differ in two bits share a band."""
_BITS = 2
"""Number of bits in which each word of two hashes may differ."""
_NEIGHBORS = 4
"""Number of images of the same band that each image is compared with."""
_PAIR = np.dtype([("rows", "<i8"), ("rank", "<u8")])
"""`rows`: later row times the number of rows, plus the earlier row; `rank`: differing bits, then random bits."""
_MOST = 50_000
"""Largest number of pairs whose pixels are compared."""
_CORRELATION = 0.99
_ROW_STEP, _COARSE_CORRELATION = 4, 0.95
"""A first pass reads every fourth row of pixels and keeps pairs that correlate at least this much there."""
_BATCH = 256
"""Pairs whose pixels are compared at once."""


def find_duplicates(digests: np.ndarray) -> np.ndarray:
    """Return pairs (row, first row with identical pixels), int64 (k, 2), for each row that repeats an earlier one.

    `digests` is uint64 (N, 2), the digests of the pixels of each row.
    """
    found = []
    for rows in _partitions(digests[:, 0]):
        high, low = digests[rows, 0], digests[rows, 1]
        order = np.lexsort((rows, low, high))
        same = (np.diff(high[order]) == 0) & (np.diff(low[order]) == 0)
        begins = np.flatnonzero(np.concatenate([[True], ~same]))
        first = np.repeat(rows[order[begins]], np.diff(np.append(begins, len(rows))))
        pairs = np.stack([rows[order], first], axis=1)
        found.append(pairs[pairs[:, 0] != pairs[:, 1]])
    pairs = np.concatenate([NO_PAIRS, *found])
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def find_near_duplicates(
    digests: np.ndarray, dhashes: np.ndarray, image_at: Callable[[int], np.ndarray]
) -> tuple[np.ndarray, bool]:
    """Find pairs of images that are nearly, but not exactly, the same.

    Each word of their hashes differs in at most two bits, and their pixels correlate with 0.99 or more: one image is
    the other re-encoded as JPEG, brightened or slightly noisy. Not every such pair is found: an image is compared only
    with its next few neighbors in each band.

    Parameters
    ----------
    digests, dhashes : uint64 (N, 2), for each row.
    image_at : returns the pixels of a row.

    Returns
    -------
    Pairs of rows, the earlier second, int64 (k, 2); and whether all candidates were compared.
    """
    pairs, complete = near_pairs(digests, dhashes)
    return correlating(pairs, image_at), complete


def near_pairs(digests: np.ndarray, dhashes: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return candidates for `find_near_duplicates`, by hashes alone, int64 (k, 2), in order; and whether these are all.

    Of more than 50,000 candidates those that differ least are kept, chosen at random among equals.
    """
    found, complete = np.empty(0, _PAIR), True
    for first_bit, bits in _BANDS:
        for rows in _partitions(dhashes[:, 0], first_bit, bits):
            words = np.asarray(dhashes[rows, 0])
            # Rotated so that the band leads: sorted, equal bands are adjacent, and so are the most similar words.
            rotated = words << np.uint64(64 - first_bit - bits) | words >> np.uint64(first_bit + bits)
            order = np.argsort(rotated, kind="stable")
            order = order[words[order] != 0]
            rows, words = rows[order], words[order]
            for step in range(1, _NEIGHBORS + 1):
                near = np.flatnonzero(np.bitwise_count(words[step:] ^ words[:-step]) <= _BITS)
                more = _pairs(rows[near], rows[near + step], digests, dhashes)
                found, complete = _most_similar(np.concatenate([found, more]), complete)
    return np.stack(np.divmod(np.sort(found["rows"]), max(1, len(dhashes))), axis=1), complete


def _pairs(one: np.ndarray, other: np.ndarray, digests: np.ndarray, dhashes: np.ndarray) -> np.ndarray:
    """Return those of n pairs of rows whose second words are similar too and whose pixels differ, as `_PAIR`."""
    first_word, second_word = np.bitwise_count(dhashes[one] ^ dhashes[other]).T
    near = (second_word <= _BITS) & (digests[one, 0] != digests[other, 0])
    one, other = one[near], other[near]
    pairs = np.empty(len(one), _PAIR)
    pairs["rows"] = np.maximum(one, other) * len(dhashes) + np.minimum(one, other)
    random = mix64(pairs["rows"].astype(np.uint64)) >> np.uint64(8)
    pairs["rank"] = (first_word + second_word)[near].astype(np.uint64) << np.uint64(56) | random
    return pairs


def _most_similar(pairs: np.ndarray, complete: bool) -> tuple[np.ndarray, bool]:
    """Return each of `pairs` (`_PAIR`) once, at most `_MOST` of them by rank; and whether none is missing."""
    pairs = pairs[np.unique(pairs["rows"], return_index=True)[1]]
    if len(pairs) <= _MOST:
        return pairs, complete
    return pairs[np.argpartition(pairs["rank"], _MOST)[:_MOST]], False


def correlating(pairs: np.ndarray, image_at: Callable[[int], np.ndarray]) -> np.ndarray:
    """Return those of `pairs` of rows (int64 (k, 2)) whose pixels correlate with 0.99 or more."""
    # A few rows of pixels rule out most pairs.
    for step, least in ((_ROW_STEP, _COARSE_CORRELATION), (1, _CORRELATION)):
        correlated = [
            _correlation(*(np.stack([image_at(row)[::step] for row in rows]) for rows in some.T.tolist()))
            for some in np.array_split(pairs, range(_BATCH, len(pairs), _BATCH))
            if len(some)
        ]
        pairs = pairs[np.concatenate([np.zeros(0), *correlated]) >= least]
    return pairs


def _partitions(keys: np.ndarray, first_bit: int = 44, bits: int = 20) -> Iterator[np.ndarray]:
    """Yield partitions of the rows (int64, ascending): rows with the same `bits` bits from `first_bit` are in one."""
    count = -(-len(keys) // _PARTITION)
    for partition in range(count):
        rows = [
            start
            + np.flatnonzero(
                ((keys[start : start + _PARTITION] >> np.uint64(first_bit)) & np.uint64((1 << bits) - 1))
                % np.uint64(count)
                == partition
            )
            for start in range(0, len(keys), _PARTITION)
        ]
        found = np.concatenate(rows)
        if len(found):
            yield found


def _correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the correlation of the pixels of n pairs of images (uint8 (n, ...)), float64 (n,).

    It is 1 for images that differ in brightness and contrast only, and 0 if one of them is constant.
    """
    a, b = one.reshape(len(one), -1).astype(np.float32), other.reshape(len(other), -1).astype(np.float32)
    a -= a.mean(axis=1, keepdims=True)
    b -= b.mean(axis=1, keepdims=True)
    size = np.einsum("ij,ij->i", a, a).astype(np.float64) * np.einsum("ij,ij->i", b, b)
    return np.einsum("ij,ij->i", a, b) / np.sqrt(np.where(size > 0, size, np.inf))
