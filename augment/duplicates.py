"""Copies and near copies among pictures, from the digest and the likeness of each.

Memory does not grow with the source: pictures are looked through a share at a time, parted by their digests.
"""

from collections.abc import Callable, Iterator

import numpy as np

from augment.source_file import NO_PAIRS

_SHARE = 1 << 20
"""Pictures that are looked through at once, about."""
_BANDS = ((0, 22), (22, 21), (43, 21))
"""First bit and bits of the parts of a likeness: two that differ in two bits at most agree in one of them."""
_BITS = 2
_NEIGHBOURS = 4
"""How many of those that agree in a band each is held against."""
_MOST = 100_000
"""Most pairs that are held against each other by their pixels."""
_CORRELATION = 0.99
_ONES = np.array([number.bit_count() for number in range(256)], np.uint8)


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


def find_alike(digests: np.ndarray, likenesses: np.ndarray, picture_at: Callable[[int], np.ndarray]) -> np.ndarray:
    """Pairs of rows (the earlier second) whose pictures are nearly the same, but not quite: int64 (k, 2).

    Their likenesses differ in two bits at most, and their pixels correlate with 0.99 or more: a picture that was saved
    anew as JPEG, brightened, or a little noisy. Not every such pair is found: of many that are much alike
    each is held against the next few alone. `digests` and `likenesses` are uint64 (N, 2) and (N,); `picture_at` gives
    the pixels of a row.
    """
    found: list[np.ndarray] = []
    for first_bit, bits in _BANDS:
        for rows in _shares(likenesses, first_bit, bits):
            rows = rows[likenesses[rows] != 0]
            band = (likenesses[rows] >> np.uint64(first_bit)) & np.uint64((1 << bits) - 1)
            rows = rows[np.lexsort((likenesses[rows], band))]
            for step in range(1, _NEIGHBOURS + 1):
                one, other = rows[:-step], rows[step:]
                near = _differing_bits(likenesses[one], likenesses[other]) <= _BITS
                near &= digests[one, 0] != digests[other, 0]
                found.append(np.stack([np.maximum(one, other), np.minimum(one, other)], axis=1)[near])
    pairs = np.unique(_in_order(found), axis=0)[:_MOST]
    correlated = [_correlation(picture_at(one), picture_at(other)) >= _CORRELATION for one, other in pairs.tolist()]
    return pairs[np.array(correlated, bool)]


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


def _differing_bits(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How many bits of each two words (uint64 (n,)) differ."""
    return _ONES[(one ^ other).view(np.uint8).reshape(-1, 8)].sum(axis=1)


def _in_order(found: list[np.ndarray]) -> np.ndarray:
    pairs = np.concatenate([NO_PAIRS, *found])
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Of the pixels of two pictures: 1 for the same but for brightness and contrast; 0 where one is all alike."""
    a, b = (picture.reshape(-1).astype(np.float64) for picture in (one, other))
    a -= a.mean()
    b -= b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size else 0.0
