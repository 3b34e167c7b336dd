"""Finds the folders that name splits: `train/cat`, `seg_train/seg_train/cat`, `cat/train`, `cat_train`."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import EpochbankError
from ..split_words import SPLIT_WORDS, words_in
from .beside import find_beside
from .split_levels import Path, rest_of, rest_with_names, splits_at, splits_of_classes

_SHOWN = 5
"""Folders listed in a note; further ones are counted."""


@dataclass(frozen=True)
class FolderSplits:
    """Splits of F folders."""

    splits: list[int]
    """Index into `SPLITS` for each folder; -1 if it names none, as folders of images without labels do."""
    levels: list[Path]
    """Path of each folder without the name of the split; empty if no folder of a class remains."""


def find_folder_splits(
    levels: Sequence[Path], sizes: Sequence[int], *, use: bool = True
) -> tuple[FolderSplits | None, list[str]]:
    """Return the splits that folders name, or None if they name none, and notes.

    Notes say that folders name both a class and a split, or that they look like splits but are classes.

    Parameters
    ----------
    levels
        The path of each folder with images, below the folders that all of them share.
    sizes
        Number of images in each folder.
    use
        Whether the splits are used. If not, only the paths without them matter.

    Raises
    ------
    EpochbankError
        If folders of splits are next to others, so that it is unclear what these are. Only if the splits are used.
    """
    deepest = max(map(len, levels))
    named = [(at, splits_at(levels, at)) for at in (*range(deepest), *range(-1, -deepest, -1))]
    for at, splits in named:
        rest = rest_of(levels, splits, at)
        if (_is_complete(splits) and _has_common_class(splits, rest)) or _has_unlabeled(splits, rest):
            return _folder_splits(splits, rest), []
    for at, splits in named:
        rest = rest_with_names(levels, splits, at) if _is_complete(splits) else []
        if _has_common_class(splits, rest) and len(splits_of_classes(splits, rest)) > 1:
            return _folder_splits(splits, rest), [_both_note(levels, splits, at, rest)]
    beside = find_beside(levels)
    if beside is None:
        return _outermost(levels, sizes)
    if use:
        raise EpochbankError(beside.message)
    return _folder_splits(beside.splits, beside.classes), []


def splits_of_all(levels: Sequence[Path]) -> list[int] | None:
    """Return the split of each folder from the first level on which all folders name one, for known classes."""
    for at in range(min(map(len, levels))):
        splits = splits_at(levels, at)
        if _is_complete(splits):
            return [-1 if split is None else split for split in splits]
    return None


def _outermost(levels: Sequence[Path], sizes: Sequence[int]) -> tuple[FolderSplits | None, list[str]]:
    """Decide on outermost folders that name splits, but have no class in common."""
    splits = splits_at(levels, 0)
    tops = {names[0]: split for names, split in zip(levels, splits, strict=True)}
    named = {top: split for top, split in tops.items() if split is not None and split >= 0}
    others = sorted(top for top, split in tops.items() if split is None)
    if others:
        several = len(set(named.values())) > 1
        used = [top for top, split in named.items() if several or (split > 0 and top.lower() in SPLIT_WORDS)]
        subject = "they are" if len(used) > 1 else "it is"
        return None, _as_classes(used, f"{subject} next to {_listed(others)}")
    if len(set(named.values())) < 2:
        return None, []
    rest = rest_of(levels, splits, 0)
    direct = sum(size for below, size in zip(rest, sizes, strict=True) if not below)
    if direct == sum(sizes):
        return None, _as_classes(list(named), "images lie directly in them")
    if direct and len({_rest_of_name(top) for top in named}) == 1:
        return _folder_splits(splits, rest), []
    return None, _as_classes(list(named), "they have no class in common")


def _as_classes(folders: Sequence[str], reason: str) -> list[str]:
    """Return a note that folders that name splits are used as classes; none without such folders."""
    are = "are used as classes, not as splits" if len(folders) > 1 else "is used as a class, not as a split"
    return [f"{_listed(sorted(folders))} {are}, because {reason}"] if folders else []


def _both_note(levels: Sequence[Path], splits: Sequence[int | None], at: int, rest: Sequence[Path]) -> str:
    place = next(place for place, split in enumerate(splits) if split is not None and split >= 0)
    return f"folders name both a class and a split: {levels[place][at]}/ is of the class {'/'.join(rest[place])}"


def _folder_splits(splits: Sequence[int | None], rest: Sequence[Path]) -> FolderSplits:
    return FolderSplits(
        [-1 if split is None else split for split in splits],
        [() if split == -1 else path for split, path in zip(splits, rest, strict=True)],
    )


def _is_complete(splits: Sequence[int | None]) -> bool:
    """Return whether every folder names a split, or that its images have no labels, and several splits are named."""
    return None not in splits and len(set(splits) - {-1}) > 1


def _has_unlabeled(splits: Sequence[int | None], rest: Sequence[Path]) -> bool:
    """Return whether one split, with folders of classes, is next to nothing but images without labels."""
    in_classes = all(path for split, path in zip(splits, rest, strict=True) if split != -1)
    return None not in splits and -1 in splits and len(set(splits)) == 2 and in_classes


def _has_common_class(splits: Sequence[int | None], rest: Sequence[Path]) -> bool:
    """Return whether a class is in several splits; `rest` may be empty."""
    return bool(rest) and any(len(found) > 1 for found in splits_of_classes(splits, rest).values())


def _listed(folders: Sequence[str]) -> str:
    more = f" and {len(folders) - _SHOWN:,} more" if len(folders) > _SHOWN else ""
    return ", ".join(f"{folder}/" for folder in folders[:_SHOWN]) + more


def _rest_of_name(name: str) -> tuple[str, ...]:
    """Return the words of a name that name no split: `seg` for `seg_train`."""
    return tuple(word for word in words_in(name) if word not in SPLIT_WORDS)
