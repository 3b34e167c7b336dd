"""Determines the classes of folders with images, and the splits if names of folders name them."""

import unicodedata
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import EpochbankError
from ...shared.progress import counted
from ...shared.types import SPLITS
from ..paths import printable
from .split_levels import Path
from .splits import FolderSplits, find_folder_splits, splits_of_all

_SHOWN = 5
"""Names listed in a note; further ones are counted."""

_FOLDERS_OF_IMAGES = {"images", "image", "imgs", "img", "jpegimages", "jpegs", "jpg", "pngs", "png"}
"""Names of folders that are no part of the class: `cat/images/1.png`."""


@dataclass(frozen=True)
class Classes:
    """Classes and splits of F folders."""

    of_folder: np.ndarray
    """int32 (F,): index into `names`; -1 for a folder whose images have no class, or have it in a list."""
    names: list[str]
    """Sorted and distinct."""
    splits: np.ndarray | None
    """int8 (F,): index into `SPLITS`; None if the folders name no splits, or if these are ignored."""
    notes: list[str]


def find_classes(
    folders: Sequence[bytes], sizes: Sequence[int], *, use_source_splits: bool, listed: Collection[bytes] = ()
) -> Classes:
    """Determine the classes of `folders` (paths below the root), which hold `sizes` images each.

    A class is named by the path of its folder, without the folders that all paths share at the beginning or at the
    end, in Unicode's composed form (NFC). Folders that name splits (`train`, `seg_test`, `Images_Training`), on one
    level of all paths, are no part of the name. Images in the folders `listed` have their classes in a list. Raises
    `EpochbankError` if a split holds images outside the class folders, or if it is unclear what names splits.
    """
    # macOS writes `が` as two code points; people see the same name.
    levels = _without_last(_below_common(list(map(_names, folders))))
    found, notes = find_folder_splits(levels, sizes, use=use_source_splits)
    if found is not None:
        levels = found.levels
        notes = [
            _split_note(found.splits, sizes, use_source_splits),
            *notes,
            *_unlabeled(folders, sizes, found, listed),
        ]
    else:
        notes = [*notes, *_repeated_names(levels)]
    labeled = [place for place, names in enumerate(levels) if names]
    shortened = dict(zip(labeled, _without_last(_below_common([levels[place] for place in labeled])), strict=True))
    class_of = ["/".join(shortened.get(place, ())) for place in range(len(levels))]
    names = sorted({class_of[place] for place in labeled})
    number = {name: index for index, name in enumerate(names)}
    return Classes(
        of_folder=np.array([number[name] if name else -1 for name in class_of], np.int32),
        names=names,
        splits=np.array(found.splits, np.int8) if found and use_source_splits else None,
        notes=[*notes, *_merged_names(folders, class_of)],
    )


def find_splits(folders: Sequence[bytes], sizes: Sequence[int], *, use: bool) -> tuple[np.ndarray | None, list[str]]:
    """Return the splits that folders name, int8 (F,), or None, and notes, if classes are known by another way."""
    splits = splits_of_all(_below_common(list(map(_names, folders))))
    if splits is None:
        return None, []
    return np.array(splits, np.int8) if use else None, [_split_note(splits, sizes, use)]


def composed(name: str) -> str:
    """Return a name in Unicode's composed form (NFC)."""
    return unicodedata.normalize("NFC", name)


def first_few(names: Sequence[str]) -> str:
    """Return the first names, and the number of further ones."""
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else "")


def _names(folder: bytes) -> Path:
    return tuple(composed(printable(name)) for name in folder.split(b"/"))


def _below_common(levels: list[Path]) -> list[Path]:
    """Remove the leading folders that all paths share."""
    most = min(map(len, levels), default=1) - 1
    shared = next((n for n in range(most) if len({names[n] for names in levels}) > 1), most)
    return [names[shared:] for names in levels]


def _without_last(levels: list[Path]) -> list[Path]:
    """Remove the last folder of all paths if it is called `images` or the like, and all of them share it."""
    while (
        min(map(len, levels), default=1) > 1
        and levels[0][-1].lower() in _FOLDERS_OF_IMAGES
        and len({names[-1] for names in levels}) == 1
    ):
        levels = [names[:-1] for names in levels]
    return levels


def _unlabeled(
    folders: Sequence[bytes], sizes: Sequence[int], found: FolderSplits, listed: Collection[bytes]
) -> list[str]:
    """Return notes on folders of splits without a class. Raises `EpochbankError` if they cannot be left out."""
    without = [place for place, names in enumerate(found.levels) if not names and folders[place] not in listed]
    if not without:
        return []
    labeled = {split for split, names in zip(found.splits, found.levels, strict=True) if names}
    needed = [place for place in without if found.splits[place] in labeled | {0, 1}]
    counts = first_few([f"{sizes[place]:,} in {printable(folders[place])}/" for place in needed or without])
    if needed:
        raise EpochbankError(
            f"some images lie directly in a folder that names a split ({counts}), but its classes are folders in it; "
            "expected each image in the folder of its class. Move these images away: without a class they cannot be "
            "used."
        )
    return [f"skipped images without a class: {counts}"]


def _split_note(splits: Sequence[int], sizes: Sequence[int], used: bool) -> str:
    known = np.array(splits) >= 0
    counts = np.bincount(np.array(splits)[known], np.array(sizes)[known], len(SPLITS)).astype(int)
    listed = ", ".join(f"{split} {count:,}" for split, count in zip(SPLITS, counts, strict=True) if count)
    if used:
        return f"using the splits that the folders name: {listed} images"
    return f"ignoring the splits that the folders name ({listed} images), because of --split fractions"


def _repeated_names(levels: list[Path]) -> list[str]:
    """Return a note if classes have the same name in several folders, which may be splits or datasets."""
    above = defaultdict[str, set[Path]](set)
    for names in levels:
        above[names[-1]].add(names[:-1])
    repeated = sorted(name for name, folders in above.items() if len(folders) > 1)
    if not repeated:
        return []
    what = f"{counted(len(repeated), 'class name')} {'occurs' if len(repeated) == 1 else 'occur'}"
    apart = "is" if len(repeated) == 1 else "are"
    return [f"{what} in several folders and {apart} kept separate: {first_few(repeated)}"]


def _merged_names(folders: Sequence[bytes], class_of: list[str]) -> list[str]:
    """Return a note if folders that are written in different Unicode forms are one class."""
    spellings = defaultdict[tuple[str, str], set[bytes]](set)
    for folder, name in zip(folders, class_of, strict=True):
        parts = set(name.split("/"))
        for spelled in folder.split(b"/"):
            if (part := composed(printable(spelled))) in parts:
                spellings[name, part].add(spelled)
    merged = sorted({name for (name, _), spelled in spellings.items() if len(spelled) > 1})
    if not merged:
        return []
    return [f"folders whose names differ only in their Unicode form are one class: {first_few(merged)}"]
