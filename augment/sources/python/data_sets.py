"""Iteration over data sets of other libraries: iterables, and map-style data sets as PyTorch has them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

_MOST_NESTED = 8
"""Subsets of subsets that are followed."""


def length_of(data: Any) -> int | None:
    """Return `len(data)`; None if it has no length, or does not know it.

    Raises `ValueError` for a dataset of TensorFlow without an end.
    """
    cardinality = getattr(data, "cardinality", None)
    if callable(cardinality) and int(cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
        raise ValueError("has no end; expected a finite dataset. Remove `.repeat()`, or add `.take(count)`")
    try:
        return len(data)
    except TypeError:
        return None


def items_of(data: Any) -> Iterator[Any]:
    """Return an iterator over `data`, which need not end. Raises `TypeError` if there are no items.

    A map-style data set has `__len__` and `__getitem__`, but no `__iter__`: its items are those of `range(len(data))`.
    Python's own iteration would end at the first `IndexError`, which such a data set need not raise.
    """
    kind = type(data)
    if not hasattr(kind, "__iter__") and hasattr(kind, "__len__") and hasattr(kind, "__getitem__"):
        return (data[index] for index in range(len(data)))
    return iter(data)


def listed_classes(data: Any) -> list[str] | None:
    """Return the class names in `.classes`, as torchvision has them, of a data set or of what it is a subset of."""
    for _ in range(_MOST_NESTED):
        classes = getattr(data, "classes", None)
        if isinstance(classes, Sequence | np.ndarray) and not isinstance(classes, str):
            names = list(classes)
            if names and all(isinstance(name, str) for name in names):
                return [str(name) for name in names]
        data = getattr(data, "dataset", None)
        if data is None:
            return None
    return None
