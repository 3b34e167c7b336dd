"""Evenly spaced samples, of all items or of each class."""

import numpy as np

_GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it, modulo 1, are spread evenly, however many there are."""


def evenly_spaced(count: int, limit: int | None) -> np.ndarray:
    """Return indices (int64, ascending) of all `count` items, or of `limit` of them, evenly spaced."""
    if limit is None or limit >= count:
        return np.arange(count)
    return np.arange(limit) * count // limit


def limited(labels: np.ndarray, limit: int | None) -> np.ndarray:
    """Return indices (int64, ascending) of all items, or of `limit` of them, the same share of every class.

    `labels` is int (n,), at least 0. Each class keeps at least one item if `limit` allows, and its items are evenly
    spaced, from another place in each class: sources are often sorted, and classes would keep the same few writers. A
    limit below the number of classes keeps one item each of that number of classes, evenly spaced. The result
    is a function of `labels` and `limit` alone.
    """
    if limit is None or limit >= len(labels):
        return np.arange(len(labels))
    sizes = np.bincount(labels)
    chosen = np.zeros(len(sizes), np.int64)
    present = np.flatnonzero(sizes)
    if limit <= len(present):
        chosen[present[evenly_spaced(len(present), limit)]] = 1
    else:
        chosen[present] = _apportioned(sizes[present], limit)
    order = np.argsort(labels, kind="stable")
    kept, start = [], 0
    for number, (size, count) in enumerate(zip(sizes.tolist(), chosen.tolist(), strict=True)):
        shift = int(number * _GOLDEN % 1 * size)
        kept.append(order[start + (evenly_spaced(size, count) + shift) % max(1, size)])
        start += size
    return np.sort(np.concatenate(kept))


def _apportioned(sizes: np.ndarray, total: int) -> np.ndarray:
    """Divide `total` in proportion to `sizes` (int64 (k,), each at least 1), at least 1 and at most the size for each.

    Largest remainders; ties go to the first. `total` is at least k and at most the sum of `sizes`.
    """
    exact = sizes * total
    counts = np.maximum(exact // sizes.sum(), 1)
    order = np.argsort(-(exact % sizes.sum()), kind="stable")
    while (missing := total - int(counts.sum())) > 0:
        free = order[counts[order] < sizes[order]]
        counts[free[:missing]] += 1
    while (spare := int(counts.sum()) - total) > 0:
        largest = np.argsort(-counts, kind="stable")
        counts[largest[counts[largest] > 1][:spare]] -= 1
    return counts
