"""Finds the folders that name splits: `train/cat`, `seg_train/seg_train/cat`, `cat/train`."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import EpochbankError
from ..split_words import SPLIT_WORDS, split_in, words_in

Path = tuple[str, ...]
"""Names of the folders that lead to images, from the outermost."""

_UNLABELED_WORDS = frozenset({"pred", "predict", "prediction", "predictions", "unlabeled", "unlabelled", "submission"})
_SHOWN = 5


@dataclass(frozen=True)
class FolderSplits:
    """Splits of F folders."""

    splits: list[int]
    """Index into `SPLITS` for each folder; -1 if it names none, as folders of images without labels do."""
    levels: list[Path]
    """Path of each folder without the folder that names the split; empty if no folder of a class remains."""


def find_folder_splits(
    levels: Sequence[Path], sizes: Sequence[int], *, obey: bool = True
) -> tuple[FolderSplits | None, list[str]]:
    """Return the splits that folders name, or None and notes if folders look like splits but are classes.

    Parameters
    ----------
    levels
        The path of each folder with images, below the folders that all of them share.
    sizes
        Number of images in each folder.
    obey
        Whether the splits are used. If not, only the paths without them matter.

    Raises
    ------
    EpochbankError
        If folders of splits are next to others, so that it is unclear what these are. Only if the splits are used.
    """
    deepest = max(map(len, levels))
    for at in (*range(deepest), *range(-1, -deepest, -1)):
        splits = _splits_at(levels, at)
        if _is_complete(splits):
            rest = _rest(levels, splits, at)
            if _has_common_class(splits, rest):
                return _folder_splits(splits, rest), []
    return _outermost(levels, sizes, obey)


def splits_of_all(levels: Sequence[Path]) -> list[int] | None:
    """Return the split of each folder from the first level on which all folders name one, for known classes."""
    for at in range(min(map(len, levels))):
        splits = _splits_at(levels, at)
        if _is_complete(splits):
            return _folder_splits(splits, []).splits
    return None


def _outermost(levels: Sequence[Path], sizes: Sequence[int], obey: bool) -> tuple[FolderSplits | None, list[str]]:
    """Decide on outermost folders that name splits, but have no class in common or are next to others."""
    splits = _splits_at(levels, 0)
    tops = {names[0]: split for names, split in zip(levels, splits, strict=True)}
    named = {top: split for top, split in tops.items() if split is not None and split >= 0}
    if len(set(named.values())) < 2:
        return None, []
    rest = _rest(levels, splits, 0)
    listed = ", ".join(f"{top}/" for top in sorted(named))
    others = sorted(top for top, split in tops.items() if split is None)
    more = f" and {len(others) - _SHOWN:,} more" if len(others) > _SHOWN else ""
    next_to = ", ".join(f"{top}/" for top in others[:_SHOWN]) + more
    if others and _has_common_class(splits, rest):
        if not obey:
            return _folder_splits(splits, rest), []
        raise EpochbankError(
            f"{listed} name splits and have classes in common, but {next_to} beside them names no split. Move it away "
            "or rename it, or ignore all of these names with --split fractions."
        )
    exact = all(top.lower() in SPLIT_WORDS for top in named)
    as_classes = f"{listed} are used as classes, not as splits, because"
    if others:
        return None, [f"{as_classes} they are next to {next_to}"] if exact else []
    direct = sum(size for below, size in zip(rest, sizes, strict=True) if not below)
    if direct == sum(sizes):
        return None, [f"{as_classes} images lie directly in them"] if exact else []
    if direct and len({_rest_of_name(top) for top in named}) == 1:
        return _folder_splits(splits, rest), []
    return None, [f"{as_classes} they have no class in common"] if exact else []


def _folder_splits(splits: list[int | None], rest: list[Path]) -> FolderSplits:
    return FolderSplits([-1 if split is None else split for split in splits], rest)


def _splits_at(levels: Sequence[Path], at: int) -> list[int | None]:
    """Return the split that each path names on a level; None if it names none there.

    `at` counts from the outside, or from the inside if it is negative.
    """
    return [_split(path[at]) if -len(path) <= at < len(path) else None for path in levels]


def _is_complete(splits: list[int | None]) -> bool:
    """Return whether every folder names a split, or that its images have no labels, and several splits are named."""
    return None not in splits and len(set(splits) - {-1}) > 1


def _has_common_class(splits: list[int | None], rest: list[Path]) -> bool:
    """Return whether a class is in several splits."""
    splits_of_class = defaultdict[Path, set[int]](set)
    for split, path in zip(splits, rest, strict=True):
        if split is not None and path:
            splits_of_class[path].add(split)
    return any(len(found) > 1 for found in splits_of_class.values())


def _split(name: str) -> int | None:
    split = split_in(name)
    return -1 if split is None and _UNLABELED_WORDS & set(words_in(name)) else split


def _rest(levels: Sequence[Path], splits: list[int | None], at: int) -> list[Path]:
    """Return the paths without a level, and without a folder below it that names the split again and is alone there.

    `seg_train/seg_train/cat` becomes `cat`.
    """
    rest = [_without(path, at) for path in levels]
    if at < 0:
        return rest
    below = defaultdict[Path, set[str]](set)
    for path in levels:
        below[path[: at + 1]].update(path[at + 1 : at + 2] or ("",))
    return [
        _without(short, at)
        if split is not None and len(below[path[: at + 1]]) == 1 and len(short) > at and _split(short[at]) == split
        else short
        for path, split, short in zip(levels, splits, rest, strict=True)
    ]


def _without(path: Path, at: int) -> Path:
    at = at if at >= 0 else len(path) + at
    return path[:at] + path[at + 1 :] if 0 <= at < len(path) else path


def _rest_of_name(name: str) -> tuple[str, ...]:
    """Return the words of a name that name no split: `seg` for `seg_train`."""
    return tuple(word for word in words_in(name) if word not in SPLIT_WORDS)
