"""Targets in another form: a function of (images, labels) that is applied to each batch."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...augment.errors import EpochbankError

Transform = Callable[[np.ndarray, np.ndarray], tuple[Any, ...]]
"""A function of images uint8 (B, H, W, C) and labels int32 (B,) that returns (x, y) or (x, y, sample_weight).

With MixUp, CutMix, label smoothing or a teacher it receives float32 (B, classes) instead of labels, and with
`split_views` a tuple of arrays instead of images.

Each of the three is an array whose first axis has length B, or a dictionary, list or tuple of such arrays. Training
stays reproducible, also when it is resumed, if the function is pure: the same batch always gives the same result. It
runs in the thread that requests the batch, and may change the arrays in place.
"""


def check_transform(transform: Transform | None) -> Transform | None:
    """Return `transform`. Raises `EpochbankError` if it is neither None nor a function."""
    if transform is not None and not callable(transform):
        raise EpochbankError(
            f"transform={transform!r} is of type {type(transform).__name__}; expected a function of (images, labels), "
            "or None.",
            usage=True,
        )
    return transform


def transformed(transform: Transform | None, batch: tuple[Any, Any]) -> Any:
    """Return what `transform` makes of a batch; the batch itself if it is None.

    Raises `EpochbankError` if the function raises an exception, or returns neither (x, y) nor (x, y, sample_weight), or
    arrays of different lengths.
    """
    if transform is None:
        return batch
    images, labels = batch
    name = getattr(transform, "__qualname__", type(transform).__name__)
    try:
        result = transform(images, labels)
    except Exception as error:  # The user's own function may raise anything.
        raise EpochbankError(
            f"transform={name} raised {type(error).__name__} on a batch of images {_described(images)} and "
            f"labels {_described(labels)}: {error}. Fix the function."
        ) from error
    if isinstance(result, tuple) and len(result) in (2, 3):
        _check_lengths(name, result)
        return result
    described = f"{len(result)} values" if isinstance(result, tuple) else type(result).__name__
    raise EpochbankError(
        f"transform={name} returned {described}; expected a tuple (x, y) or (x, y, sample_weight). Fix the function."
    )


def _described(arrays: Any) -> str:
    """Return dtype and shape of an array, or of each array of a tuple."""
    if isinstance(arrays, tuple):
        return " and ".join(map(_described, arrays))
    return f"{arrays.dtype} {arrays.shape}"


def _check_lengths(name: str, result: tuple[Any, ...]) -> None:
    """Raise `EpochbankError` if the arrays of (x, y) or (x, y, sample_weight) do not all have the same length."""
    parts = zip(("x", "y", "sample_weight"), result, strict=False)
    lengths = [one for part, arrays in parts for one in _lengths(part, arrays)]
    for where, length in lengths:
        first_where, first = lengths[0]
        if length != first:
            raise EpochbankError(
                f"transform={name} returned {first} images in {first_where}, but {where} is for {length}; expected the "
                "same number in x, y and sample_weight. Fix the function."
            )


def _lengths(where: str, arrays: Any) -> Iterator[tuple[str, int]]:
    """Yield the name and the length of each array in a dictionary, list or tuple, as far as it has a length."""
    if isinstance(arrays, dict):
        for key, one in arrays.items():
            yield from _lengths(f"{where}[{key!r}]", one)
    elif isinstance(arrays, list | tuple):
        for number, one in enumerate(arrays):
            yield from _lengths(f"{where}[{number}]", one)
    else:
        shape: Any = getattr(arrays, "shape", ())
        if len(shape) and shape[0] is not None:
            yield where, int(shape[0])
