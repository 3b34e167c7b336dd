"""Which pictures of a source are shown to people: a few that stand for its classes and groups. Pure."""

import numpy as np

from ..ingest.importer import selection


def some_classes(labels: np.ndarray, count: int) -> np.ndarray:
    """Up to `count` of the classes that occur in `labels` (int (N,)), ascending, evenly spaced over them."""
    present = np.unique(labels)
    return present[selection(len(present), count)]


def some_of_class(labels: np.ndarray, groups: np.ndarray | None, label: int, count: int) -> np.ndarray:
    """Up to `count` places in `labels` at which `label` stands, spread over its `groups` (int (N,)) where there are."""
    places = np.flatnonzero(labels == label)
    if groups is not None:
        places = places[np.argsort(groups[places], kind="stable")]
    return places[selection(len(places), count)]


def spread(labels: np.ndarray, count: int) -> np.ndarray:
    """Up to `count` places in `labels` (int (N,)), of as many classes as there can be, in order of class.

    Within a class they are evenly spaced as well, from another place on in each: the first of every class are often all
    of one writer.
    """
    classes, chosen = some_classes(labels, count), [np.empty(0, np.int64)]
    for number, label in enumerate(classes.tolist()):
        places = np.flatnonzero(labels == label)
        share = count * (number + 1) // len(classes) - count * number // len(classes)
        at = (np.arange(share) * len(classes) + number) * len(places) // (share * len(classes))
        chosen.append(places[np.unique(at)])
    return np.concatenate(chosen)
