"""Copies and near copies among pictures, from the digest and the likeness of each.

Memory does not grow with the source: pictures are looked through a share at a time, parted by their digests.
"""

from collections.abc import Callable, Iterator

import numpy as np

from ..shared.permutation import mix64
from .source_file import NO_PAIRS

_SHARE = 1 << 20
"""Pictures that are looked through at once, about."""
_BANDS = ((0, 22), (22, 21), (43, 21))
"""First bit and bits of the parts of a likeness' first word: two that differ in two bits of it agree in one of them."""
_BITS = 2
"""In which each word of a likeness may differ."""
_NEIGHBOURS = 4
"""How many of those that agree in a band each is held against."""
_PAIR = np.dtype([("rows", "<i8"), ("rank", "<u8")])
"""The later row times their number, and the earlier row; the bits that they differ in, then a lot."""
_MOST = 50_000
"""Most pairs that are held against each other by their pixels."""
_CORRELATION = 0.99
_ROWS_APART, _COARSE = 4, 0.95
"""A first look takes every fourth row, and lets pass what correlates so well there."""
_BATCH = 256
"""Pairs that are held against each other at once."""


def find_copies(digests: np.ndarray) -> np.ndarray:
    """Pairs (row, first row with the very same pixels), int64 (k, 2), for each row that has an earlier one.

    `digests` is uint64 (N, 2), of the pixels of each row.
    """
    found = []
    for rows in _shares(digests[:, 0]):
        high, low = digests[rows, 0], digests[rows, 1]
        order = np.lexsort((rows, low, high))
        same = (np.diff(high[order]) == 0) & (np.diff(low[order]) == 0)
        begins = np.flatnonzero(np.concatenate([[True], ~same]))
        first = np.repeat(rows[order[begins]], np.diff(np.append(begins, len(rows))))
        pairs = np.stack([rows[order], first], axis=1)
        found.append(pairs[pairs[:, 0] != pairs[:, 1]])
    return _in_order(found)


def find_alike(
    digests: np.ndarray, likenesses: np.ndarray, picture_at: Callable[[int], np.ndarray]
) -> tuple[np.ndarray, bool]:
    """Pairs of rows (the earlier second) whose pictures are nearly the same, but not quite, int64 (k, 2); and whether
    all were looked at that came into question.

    Each word of their likenesses differs in two bits at most, and their pixels correlate with 0.99 or more: a picture
    that was saved anew as JPEG, brightened, or a little noisy. Not every such pair is found: of many that are much
    alike each is held against the next few alone. `digests` and `likenesses` are uint64 (N, 2); `picture_at` gives
    the pixels of a row.
    """
    pairs, complete = near_pairs(digests, likenesses)
    return correlating(pairs, picture_at), complete


def near_pairs(digests: np.ndarray, likenesses: np.ndarray) -> tuple[np.ndarray, bool]:
    """Pairs of rows as those of `find_alike`, by their likenesses alone: int64 (k, 2), in order; and whether all.

    Of more than 50,000 those are taken that differ least, and among these by lot, from all over the source.
    """
    found, complete = np.empty(0, _PAIR), True
    for first_bit, bits in _BANDS:
        for rows in _shares(likenesses[:, 0], first_bit, bits):
            words = np.asarray(likenesses[rows, 0])
            # Turned round, so that the band leads: what agrees in it lies together, the most alike side by side.
            turned = words << np.uint64(64 - first_bit - bits) | words >> np.uint64(first_bit + bits)
            order = np.argsort(turned, kind="stable")
            order = order[words[order] != 0]
            rows, words = rows[order], words[order]
            for step in range(1, _NEIGHBOURS + 1):
                near = np.flatnonzero(np.bitwise_count(words[step:] ^ words[:-step]) <= _BITS)
                more = _pairs(rows[near], rows[near + step], digests, likenesses)
                found, complete = _least(np.concatenate([found, more]), complete)
    return np.stack(np.divmod(np.sort(found["rows"]), max(1, len(likenesses))), axis=1), complete


def _pairs(one: np.ndarray, other: np.ndarray, digests: np.ndarray, likenesses: np.ndarray) -> np.ndarray:
    """Those of n pairs of rows that are near in the second word as well, and no copies, as `_PAIR`."""
    across, down = np.bitwise_count(likenesses[one] ^ likenesses[other]).T
    near = (down <= _BITS) & (digests[one, 0] != digests[other, 0])
    one, other = one[near], other[near]
    pairs = np.empty(len(one), _PAIR)
    pairs["rows"] = np.maximum(one, other) * len(likenesses) + np.minimum(one, other)
    lot = mix64(pairs["rows"].astype(np.uint64)) >> np.uint64(8)
    pairs["rank"] = (across + down)[near].astype(np.uint64) << np.uint64(56) | lot
    return pairs


def _least(pairs: np.ndarray, complete: bool) -> tuple[np.ndarray, bool]:
    """Each of `pairs` (`_PAIR`) once, and of too many those of least rank; and whether that is still all."""
    pairs = pairs[np.unique(pairs["rows"], return_index=True)[1]]
    if len(pairs) <= _MOST:
        return pairs, complete
    return pairs[np.argpartition(pairs["rank"], _MOST)[:_MOST]], False


def correlating(pairs: np.ndarray, picture_at: Callable[[int], np.ndarray]) -> np.ndarray:
    """Those of `pairs` of rows (int64 (k, 2)) whose pixels correlate with 0.99 or more."""
    # Most are told apart by a few rows of pixels.
    for rows_apart, least in ((_ROWS_APART, _COARSE), (1, _CORRELATION)):
        correlated = [
            _correlation(*(np.stack([picture_at(row)[::rows_apart] for row in rows]) for rows in some.T.tolist()))
            for some in np.array_split(pairs, range(_BATCH, len(pairs), _BATCH))
            if len(some)
        ]
        pairs = pairs[np.concatenate([np.zeros(0), *correlated]) >= least]
    return pairs


def _shares(keys: np.ndarray, first_bit: int = 44, bits: int = 20) -> Iterator[np.ndarray]:
    """Rows (int64, ascending) in shares, so that rows whose keys agree in `bits` bits from `first_bit` on share one."""
    shares = -(-len(keys) // _SHARE)
    for share in range(shares):
        rows = [
            start
            + np.flatnonzero(
                ((keys[start : start + _SHARE] >> np.uint64(first_bit)) & np.uint64((1 << bits) - 1))
                % np.uint64(shares)
                == share
            )
            for start in range(0, len(keys), _SHARE)
        ]
        found = np.concatenate(rows)
        if len(found):
            yield found


def _in_order(found: list[np.ndarray]) -> np.ndarray:
    pairs = np.concatenate([NO_PAIRS, *found])
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of the pixels of each of n pictures and another (uint8 (n, ...)), float64 (n,): 1 for the same but for brightness
    and contrast; 0 where one is all alike."""
    a, b = one.reshape(len(one), -1).astype(np.float32), other.reshape(len(other), -1).astype(np.float32)
    a -= a.mean(axis=1, keepdims=True)
    b -= b.mean(axis=1, keepdims=True)
    size = np.einsum("ij,ij->i", a, a).astype(np.float64) * np.einsum("ij,ij->i", b, b)
    return np.einsum("ij,ij->i", a, b) / np.sqrt(np.where(size > 0, size, np.inf))
