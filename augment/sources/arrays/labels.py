"""Labels of arrays: integers, strings, bool, whole-numbered floats and one-hot rows become classes."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ...errors import EpochbankError
from ..class_names import name_labels
from ..names import check_text


def one_hot_index(where: str, name: str, shape: tuple[int, ...], rows: Iterable[np.ndarray]) -> np.ndarray:
    """Return the class of each one-hot row, int32 (N,). `rows` are blocks of an array of `shape` (N, K), in order.

    Raises `EpochbankError` if a row has anything but a single 1 and zeros.
    """
    index, start = np.empty(shape[0], np.int32), 0
    for block in rows:
        if block.dtype.kind in "biuf":
            is_one = block == 1
            valid = (is_one.sum(axis=1) == 1) & ((block == 0).sum(axis=1) == shape[1] - 1)
        else:
            valid = np.zeros(len(block), bool)
        if not valid.all():
            row = start + int(np.argmin(valid))
            raise EpochbankError(
                f"{where}: {name} has shape {shape}, and its row {row} is not one-hot; expected one label for each "
                f"image, ({shape[0]},), or rows with a single 1. Save the column of the classes, such as {name}[:, 0]."
            )
        index[start : start + len(block)] = np.argmax(is_one, axis=1)
        start += len(block)
    return index


def classify(
    where: str, labels: np.ndarray, class_names: np.ndarray | None, file: str | Path | None
) -> tuple[np.ndarray, list[str], list[str]]:
    """Return the index of each label among the names of the classes, int32 (N,); these names; and notes.

    Parameters
    ----------
    where
        The file, for error messages.
    labels
        (N,): integers, strings, bool or whole-numbered floats.
    class_names
        Names (K,) from the same file, which `labels` index; None if it has none.
    file
        A file with the names of integer labels, which overrides `class_names`; None for none.

    Raises
    ------
    EpochbankError
        If labels have another type, or a label has no name.
    """
    notes: list[str] = []
    if labels.dtype.kind == "f":
        if not (np.isfinite(labels).all() and (labels == np.round(labels)).all()):
            raise EpochbankError(
                f"{where}: labels are {labels.dtype} and not whole numbers; expected integers or strings, one label "
                "for each image."
            )
        largest, exact = np.abs(labels).max(), 2 ** (np.finfo(labels.dtype).nmant + 1)
        if largest > exact:
            raise EpochbankError(
                f"{where}: labels are {labels.dtype} and as large as {largest:g}, where different whole numbers are "
                f"equal; expected at most {exact}. Save them as integers or strings."
            )
        notes.append(f"labels are whole numbers stored as {labels.dtype}")
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "iubUST":
        raise EpochbankError(f"{where}: labels are {labels.dtype}; expected integers or strings.")
    if file is not None:
        if labels.dtype.kind not in "iub":
            raise EpochbankError(
                f"{where}: labels are text, but --class-names names integer labels. Omit it.", usage=True
            )
        numbers, index = np.unique(labels, return_inverse=True)
        return index.astype(np.int32), name_labels(file, [int(label) for label in numbers]), notes
    if class_names is not None:
        return *_indexed(where, labels, class_names), notes
    index, names = distinct(where, "labels", labels)
    if labels.dtype.kind in "iu":
        least = int(names[0])
        if least < 0:
            notes.append(f"labels begin at {least}, and {least} is used as a class")
        elif least > 0:
            notes.append(f"labels begin at {least}")
    return index, names, notes


def _indexed(where: str, labels: np.ndarray, class_names: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return labels that index `class_names`, int32 (N,), and these names."""
    if class_names.ndim != 1:
        raise EpochbankError(f"{where}: class_names has shape {class_names.shape}; expected (K,), one name per class.")
    names = [as_text(where, "class_names", name) for name in class_names.tolist()]
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= len(names):
        received = f"{labels.dtype}" if labels.dtype.kind not in "iu" else f"{labels.min()} to {labels.max()}"
        raise EpochbankError(
            f"{where}: labels are {received}; expected integers from 0 to {len(names) - 1}, "
            f"because class_names has {len(names)} names."
        )
    repeated = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if repeated:
        raise EpochbankError(
            f"{where}: class_names has {', '.join(map(repr, repeated[:5]))} more than once; "
            "expected a different name for each class."
        )
    return labels.astype(np.int32), names


def distinct(where: str, column: str, values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return the index of each value among the sorted distinct ones, int32 (N,), and these as text."""
    found, index = np.unique(values, return_inverse=True)
    return index.astype(np.int32), [as_text(where, column, value) for value in found.tolist()]


def as_text(where: str, column: str, value: object) -> str:
    """Return a label, group or name as text. Raises `EpochbankError` for text that cannot be stored."""
    try:
        text = value.decode() if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError as error:
        raise EpochbankError(f"{where}: {column} holds {value!r}; expected text in UTF-8. Write it as text.") from error
    try:
        check_text(text)
    except ValueError as error:
        raise EpochbankError(f"{where}: {column} {error}. Replace this text.") from error
    return text
