"""Finds folders that name splits next to folders that do not, although their classes are the same. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass

from .split_levels import Path, rest_of, rest_with_names, splits_at, splits_of_classes, without_level

_SHOWN = 5
"""Folders listed in a message; further ones are counted."""


@dataclass(frozen=True)
class Beside:
    """Folders that name splits on one level, and others beside them."""

    splits: list[int | None]
    """Index into `SPLITS` for each of F folders; -1 for images without labels, None if a folder names no split."""
    classes: list[Path]
    """Path of the class of each folder, if the splits are ignored."""
    message: str
    """Why it is unclear what the others are, and what to do."""


def find_beside(levels: Sequence[Path]) -> Beside | None:
    """Return the outermost level on which folders name splits, and are next to others, but have classes in common.

    The class may be a folder below (`train/cat`, `test/cat`, `extra/cat`), a folder above (`cat/train`, `cat/test`,
    for at least two classes), or part of the name (`cat_train`, `cat_test`, `dog`). It may be in two splits; or in one
    split and, under the same name, in a folder beside it (`learn/cat`, `test/cat`), or beside that of the split
    (`train/cat`, `cat`). Returns None if there is no such level.
    """
    for at in range(max(map(len, levels))):
        splits = splits_at(levels, at)
        if None in splits and any(split is not None and split >= 0 for split in splits):
            found = _same_above_or_below(levels, splits, at) or _same_names(levels, splits, at)
            if found is not None:
                return found
    return None


def _same_above_or_below(levels: Sequence[Path], splits: list[int | None], at: int) -> Beside | None:
    rest = rest_of(levels, splits, at)
    below = {
        path
        for path, split, names in zip(rest, splits, levels, strict=True)
        if split is not None and split >= 0 and len(names) > at + 1 and path
    }
    common = [path for path, found in splits_of_classes(splits, rest).items() if len(found) > 1]
    siblings = {
        names[: at + 1]
        for names, split in zip(levels, splits, strict=True)
        if split is None and len(names) > at + 1 and without_level(names, at) in below
    }
    others = [names for names, split in zip(levels, splits, strict=True) if split is None]
    if not (len(common) > 1 or below & set(common)):
        others = [names for names in others if names[: at + 1] in siblings or names in below]
        if not others:
            return None
    classes = [
        names if split is None and names[: at + 1] not in siblings else path
        for names, split, path in zip(levels, splits, rest, strict=True)
    ]
    return Beside(splits, classes, _message(levels, splits, at, others))


def _same_names(levels: Sequence[Path], splits: list[int | None], at: int) -> Beside | None:
    classes = rest_with_names(levels, splits, at)
    if all(len(found) < 2 for found in splits_of_classes(splits, classes).values()):
        return None
    others = [names for names, split in zip(levels, splits, strict=True) if split is None]
    return Beside(splits, classes, _message(levels, splits, at, others))


def _message(levels: Sequence[Path], splits: Sequence[int | None], at: int, others: Sequence[Path]) -> str:
    named = [names[: at + 1] for names, split in zip(levels, splits, strict=True) if split is not None and split >= 0]
    leading = {names[:depth] for names in named for depth in range(at + 2)}
    apart = [
        next((names[:depth] for depth in range(1, len(names)) if names[:depth] not in leading), names)
        for names in others
    ]
    are = "name splits and have" if len(set(named)) > 1 else "names a split and has"
    beside = f"beside {'them' if len(set(named)) > 1 else 'it'} {'name' if len(set(apart)) > 1 else 'names'} no split"
    away = "Move them away or rename them" if len(set(apart)) > 1 else "Move it away or rename it"
    return (
        f"{_listed(named)} {are} classes in common, but {_listed(apart)} {beside}. {away} (train, "
        "validation, test), or ignore all of these names with --split fractions."
    )


def _listed(folders: Sequence[Path]) -> str:
    names = sorted({"/".join(folder) + "/" for folder in folders})
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
