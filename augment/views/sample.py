"""Choice of a few images that represent the classes and groups of a source. Pure functions."""

import numpy as np

from ..shared.spacing import evenly_spaced


def some_classes(labels: np.ndarray, count: int) -> np.ndarray:
    """Return up to `count` of the classes that occur in `labels` (int (N,)), ascending and evenly spaced."""
    present = np.unique(labels)
    return present[evenly_spaced(len(present), count)]


def some_of_class(labels: np.ndarray, groups: np.ndarray | None, label: int, count: int) -> np.ndarray:
    """Return up to `count` indices of images of class `label`, spread over its `groups` (int (N,)) if there are any."""
    indices = np.flatnonzero(labels == label)
    if groups is not None:
        indices = indices[np.argsort(groups[indices], kind="stable")]
    return indices[evenly_spaced(len(indices), count)]


def spread(labels: np.ndarray, count: int) -> np.ndarray:
    """Return up to `count` indices into `labels` (int (N,)), of as many classes as possible, in order of class.

    The indices of a class are evenly spaced, with another offset in each class: the first images of all classes are
    often by one writer.
    """
    classes, chosen = some_classes(labels, count), [np.empty(0, np.int64)]
    for number, label in enumerate(classes.tolist()):
        indices = np.flatnonzero(labels == label)
        share = count * (number + 1) // len(classes) - count * number // len(classes)
        spaced = (np.arange(share) * len(classes) + number) * len(indices) // (share * len(classes))
        chosen.append(indices[np.unique(spaced)])
    return np.concatenate(chosen)
