"""Labels of the images of a tree: from the folders that hold them, or from a list of classes next to them."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..names import ranks
from ..paths import PathList, printable
from .annotations import parse_annotations
from .classes import Classes, find_classes, first_few
from .listing import Listing


@dataclass(frozen=True)
class Labels:
    """Labels and splits of N images."""

    labels: np.ndarray
    """int32 (N,): index into `class_names`."""
    class_names: list[str]
    """Sorted and distinct."""
    splits: np.ndarray | None
    """int8 (N,): index into `SPLITS`; None if there are none, or if they are ignored."""
    notes: list[str]
    keep: np.ndarray | None = None
    """bool (N,): whether the image has a class; None if all have one. The label of the others is invalid."""
    bad: list[tuple[str, str]] = field(default_factory=list)
    """Images without a class that should have one: (path, reason)."""


def label_images(
    listing: Listing, paths: PathList, read_list: Callable[[bytes, int], bytes], *, use_splits: bool
) -> Labels:
    """Return the labels of all images of a tree.

    Parameters
    ----------
    listing
        The folders with images, and the lists of classes.
    paths
        The path of each image.
    read_list
        Returns the content of a list, given its path and the offset of its entry in an archive.
    use_splits
        Whether to use the splits that names of folders name.

    Raises
    ------
    EpochbankError
        If the classes or splits are unclear, or if a list is not valid.
    """
    lists = _lists_of(listing)
    classes = find_classes(listing.folders, listing.sizes, use_source_splits=use_splits, listed=lists)
    splits = None if classes.splits is None else np.repeat(classes.splits, listing.sizes)
    labels = np.repeat(classes.of_folder, listing.sizes)
    if (classes.of_folder >= 0).all():
        return Labels(labels, classes.names, splits, classes.notes)
    names, notes, bad = _label_by_lists(listing, paths, classes, lists, labels, read_list)
    keep = labels >= 0
    return Labels(labels, names, splits, [*classes.notes, *notes], None if keep.all() else keep, bad)


def _lists_of(listing: Listing) -> dict[bytes, bytes]:
    """Return the list of classes of each folder with images: the only one in it, or in the folder above it."""
    lists_in = defaultdict[bytes, list[bytes]](list)
    for path in sorted(listing.lists):
        lists_in[path.rpartition(b"/")[0]].append(path)
    found = {}
    for folder in listing.folders if lists_in else ():
        places = lists_in.get(folder) or lists_in.get(folder.rpartition(b"/")[0], [])
        if len(places) == 1:
            found[folder] = places[0]
    return found


def _label_by_lists(
    listing: Listing,
    paths: PathList,
    classes: Classes,
    lists: dict[bytes, bytes],
    labels: np.ndarray,
    read_list: Callable[[bytes, int], bytes],
) -> tuple[list[str], list[str], list[tuple[str, str]]]:
    """Set the labels of the images that lists name. Return the names of all classes, notes, and unlisted images."""
    number = {name: index for index, name in enumerate(classes.names)}
    starts = np.cumsum([0, *listing.sizes]).tolist()
    bad: list[tuple[str, str]] = []
    used = []
    for place, folder in enumerate(listing.folders):
        if classes.of_folder[place] >= 0 or folder not in lists:
            continue
        path = lists[folder]
        class_of = parse_annotations(printable(path), read_list(path, listing.lists[path]))
        used.append(printable(path))
        for index in range(starts[place], starts[place + 1]):
            label = class_of.get(paths.encoded(index).rpartition(b"/")[2])
            if label is None:
                bad.append((printable(paths.encoded(index)), f"is not in {printable(path)}"))
            else:
                labels[index] = number.setdefault(label, len(number))
    added = sorted(set(number) - set(classes.names))
    notes = [f"classes of some images are from {first_few(used)}"] if used else []
    if added:
        notes.append(f"classes that only lists name: {first_few(added)}")
    names = sorted(number)
    labels[labels >= 0] = ranks(names, number)[labels[labels >= 0]]
    return names, notes, bad
