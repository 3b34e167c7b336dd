"""Splits that folders name on one level of their paths, and the paths without that level. Pure functions."""

from collections import defaultdict
from collections.abc import Sequence

from ..split_words import split_in, without_split, words_in

Path = tuple[str, ...]
"""Names of the folders that lead to images, from the outermost."""

_UNLABELED_WORDS = frozenset({
    "pred", "predict", "prediction", "predictions", "submission", "unlabeled", "unlabelled", "unsup", "unsupervised",
})  # fmt: skip


def splits_at(levels: Sequence[Path], at: int) -> list[int | None]:
    """Return the split that each path names on a level; -1 for images without labels, None if it names none there.

    `at` counts from the outside, or from the inside if it is negative.
    """
    return [_split(path[at]) if -len(path) <= at < len(path) else None for path in levels]


def rest_of(levels: Sequence[Path], splits: Sequence[int | None], at: int) -> list[Path]:
    """Return the paths without a level, and without a folder below it that names the split again and is alone there.

    `seg_train/seg_train/cat` becomes `cat`.
    """
    rest = [without_level(path, at) for path in levels]
    if at < 0:
        return rest
    below = defaultdict[Path, set[str]](set)
    for path in levels:
        below[path[: at + 1]].update(path[at + 1 : at + 2] or ("",))
    return [
        without_level(short, at)
        if split is not None and len(below[path[: at + 1]]) == 1 and len(short) > at and _split(short[at]) == split
        else short
        for path, split, short in zip(levels, splits, rest, strict=True)
    ]


def rest_with_names(levels: Sequence[Path], splits: Sequence[int | None], at: int) -> list[Path]:
    """Return the paths without the words for splits on a level: `cat_train` becomes `cat`.

    Paths that name no split there are unchanged. The others are empty if one of them has no letter but those words.
    """
    named = [split is not None and split >= 0 for split in splits]
    names = [without_split(path[at]) if is_named else "" for path, is_named in zip(levels, named, strict=True)]
    if not all(any(map(str.isalpha, name)) for name, is_named in zip(names, named, strict=True) if is_named):
        return [() if is_named else path for path, is_named in zip(levels, named, strict=True)]
    return [
        _replaced(path, at, name) if is_named else path
        for path, name, is_named in zip(levels, names, named, strict=True)
    ]


def splits_of_classes(splits: Sequence[int | None], rest: Sequence[Path]) -> dict[Path, set[int]]:
    """Return the splits that each class is in."""
    found = defaultdict[Path, set[int]](set)
    for split, path in zip(splits, rest, strict=True):
        if split is not None and split >= 0 and path:
            found[path].add(split)
    return found


def without_level(path: Path, at: int) -> Path:
    """Return a path without a level, if it has it."""
    at = at if at >= 0 else len(path) + at
    return path[:at] + path[at + 1 :] if 0 <= at < len(path) else path


def _replaced(path: Path, at: int, name: str) -> Path:
    at %= len(path)
    return (*path[:at], name, *path[at + 1 :])


def _split(name: str) -> int | None:
    return -1 if _UNLABELED_WORDS & set(words_in(name)) else split_in(name)
