"""Determines the classes of folders with images, and the splits if folders are named `train`, `test` and so on."""

import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import EpochbankError
from ..shared.types import SPLITS
from .base import SPLIT_NAMES
from .paths import printable

_SHOWN = 5
"""Names listed in a note; further ones are counted."""


@dataclass(frozen=True)
class Classes:
    """Classes and splits of F folders."""

    of_folder: np.ndarray
    """int32 (F,): index into `names`."""
    names: list[str]
    """Sorted and distinct."""
    splits: np.ndarray | None
    """int8 (F,): index into `SPLITS`; None if the folders name no splits, or if these are ignored."""
    notes: list[str]


def find_classes(folders: Sequence[bytes], sizes: Sequence[int], *, use_source_splits: bool) -> Classes:
    """Determine the classes of `folders` (paths below the root), which hold `sizes` images each.

    A class is named by the path of its folder, without the folders that all paths share, in Unicode's composed form
    (NFC). If the folders of the first level that differs are named `train`, `test` and so on, they are splits, and the
    folders below them are the classes. Raises `EpochbankError` if a split holds images outside the class folders.
    """
    # macOS writes `が` as two code points; people see the same name.
    levels = _below_common([tuple(composed(printable(name)) for name in folder.split(b"/")) for folder in folders])
    split_of, notes = _find_splits(levels, sizes)
    if split_of is not None:
        levels = _below_common([names[1:] for names in levels])
        notes = [_split_note(split_of, sizes, use_source_splits)]
    class_of = ["/".join(names) for names in levels]
    names = sorted(set(class_of))
    number = {name: index for index, name in enumerate(names)}
    spellings = defaultdict[str, set[bytes]](set)
    for name, folder, depth in zip(class_of, folders, map(len, levels), strict=True):
        spellings[name].add(b"/".join(folder.split(b"/")[-depth:]))
    return Classes(
        of_folder=np.array([number[name] for name in class_of], np.int32),
        names=names,
        splits=split_of if use_source_splits else None,
        notes=[*notes, *_similar_names(names, spellings)],
    )


def composed(name: str) -> str:
    """Return a name in Unicode's composed form (NFC)."""
    return unicodedata.normalize("NFC", name)


def first_few(names: Sequence[str]) -> str:
    """Return the first names, and the number of further ones."""
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else "")


def _below_common(levels: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Remove the leading folders that all paths share."""
    most = min(map(len, levels)) - 1
    shared = next((n for n in range(most) if len({names[n] for names in levels}) > 1), most)
    return [names[shared:] for names in levels]


def _find_splits(levels: list[tuple[str, ...]], sizes: Sequence[int]) -> tuple[np.ndarray | None, list[str]]:
    """Return the split of each folder, int8 (F,); or None, and notes if folders look like splits but are not."""
    top_folders = sorted({names[0] for names in levels})
    number = {top: SPLIT_NAMES[top.lower()] for top in top_folders if top.lower() in SPLIT_NAMES}
    if len(set(number.values())) < 2:
        return None, []
    listed = ", ".join(f"{top}/" for top in number)
    as_classes = f"{listed} are used as classes, not as splits, because"
    if len(number) < len(top_folders):
        others = first_few([f"{top}/" for top in top_folders if top not in number])
        return None, [f"{as_classes} they are next to {others}"]
    stray = {names[0]: size for names, size in zip(levels, sizes, strict=True) if len(names) == 1}
    if sum(stray.values()) == sum(sizes):
        return None, [f"{as_classes} images lie directly in them"]
    if stray:
        counts = ", ".join(f"{size:,} in {top}/" for top, size in stray.items())
        raise EpochbankError(
            f"{listed} have a folder per class, but some images lie directly in them ({counts}); expected each image "
            "in the folder of its class. Move these images away: without a class they cannot be used."
        )
    splits_of_class = defaultdict[tuple[str, ...], set[int]](set)
    for names in levels:
        splits_of_class[names[1:]].add(number[names[0]])
    if max(map(len, splits_of_class.values())) == 1:
        return None, [f"{as_classes} they have no class in common"]
    return np.array([number[names[0]] for names in levels], np.int8), []


def _split_note(split_of: np.ndarray, sizes: Sequence[int], used: bool) -> str:
    counts = np.bincount(split_of, sizes, len(SPLITS)).astype(int)
    listed = ", ".join(f"{split} {count:,}" for split, count in zip(SPLITS, counts, strict=True) if count)
    if used:
        return f"using the splits that the folders name: {listed} images"
    return f"ignoring the splits that the folders name ({listed} images), because of --split fractions"


def _similar_names(names: list[str], spellings: dict[str, set[bytes]]) -> list[str]:
    notes = []
    merged = [name for name in names if len(spellings[name]) > 1]
    if merged:
        notes.append(f"folders whose names differ only in their Unicode form are one class: {first_few(merged)}")
    by_lower_case = defaultdict[str, list[str]](list)
    for name in names:
        by_lower_case[name.lower()].append(name)
    separate = [" and ".join(same) for same in by_lower_case.values() if len(same) > 1]
    if separate:
        notes.append(f"classes whose names differ only in case are kept separate: {first_few(separate)}")
    return notes
