"""From the folders that hold pictures to classes, and to parts where folders are called so. Pure."""

import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import EpochbankError
from ..store.description import PARTS
from .base import PART_NAMES
from .paths import shown

_SHOWN = 5
"""Names told in a note; more are counted."""


@dataclass(frozen=True)
class Classes:
    """What each of F folders stands for."""

    of_folder: np.ndarray
    """int32 (F,): index into `names`."""
    names: list[str]
    """In order, each once."""
    parts: np.ndarray | None
    """int8 (F,): index into `PARTS`; None where the folders say nothing of parts, or are not asked."""
    notes: list[str]


def arrange(folders: Sequence[bytes], sizes: Sequence[int], *, obey_parts: bool) -> Classes:
    """The classes of `folders`, paths below the root, with so many pictures in each.

    A class is named by the path of its folder below what all share, in Unicode's composed form (NFC). Folders called
    `train`, `test` and so on at the first level that differs are parts, and the classes are the folders below them.
    Raises `EpochbankError` where some of these hold pictures outside any class.
    """
    # A Mac writes `が` as two characters: the same name, for people, as the one that is written elsewhere.
    levels = _below_common([tuple(composed(shown(name)) for name in folder.split(b"/")) for folder in folders])
    part_of, notes = _find_parts(levels, sizes)
    if part_of is not None:
        levels = _below_common([names[1:] for names in levels])
        notes = [_told(part_of, sizes, obey_parts)]
    class_of = ["/".join(names) for names in levels]
    names = sorted(set(class_of))
    number = {name: place for place, name in enumerate(names)}
    written = defaultdict[str, set[bytes]](set)
    for name, folder, depth in zip(class_of, folders, map(len, levels), strict=True):
        written[name].add(b"/".join(folder.split(b"/")[-depth:]))
    return Classes(
        of_folder=np.array([number[name] for name in class_of], np.int32),
        names=names,
        parts=part_of if obey_parts else None,
        notes=[*notes, *_clashes(names, written)],
    )


def composed(name: str) -> str:
    """In Unicode's composed form."""
    return unicodedata.normalize("NFC", name)


def some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else "")


def _below_common(levels: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The folders without the leading ones that all of them lie in."""
    most = min(map(len, levels)) - 1
    shared = next((n for n in range(most) if len({names[n] for names in levels}) > 1), most)
    return [names[shared:] for names in levels]


def _find_parts(levels: list[tuple[str, ...]], sizes: Sequence[int]) -> tuple[np.ndarray | None, list[str]]:
    """int8 (F,), the part of each folder; or None, and why they are no parts where they are called so."""
    tops = sorted({names[0] for names in levels})
    number = {top: PART_NAMES[top.lower()] for top in tops if top.lower() in PART_NAMES}
    if len(set(number.values())) < 2:
        return None, []
    called = ", ".join(f"{top}/" for top in number)
    if len(number) < len(tops):
        beside = some([f"{top}/" for top in tops if top not in number])
        return None, [f"{called} are taken as classes, not as parts, since they lie beside {beside}"]
    stray = {names[0]: size for names, size in zip(levels, sizes, strict=True) if len(names) == 1}
    if sum(stray.values()) == sum(sizes):
        return None, [f"{called} are taken as classes, not as parts, since pictures lie directly in them"]
    if stray:
        listed = ", ".join(f"{size:,} in {top}/" for top, size in stray.items())
        raise EpochbankError(
            f"{called} have a folder per class, but for pictures that lie directly in them ({listed}); expected each "
            "picture in the folder of its class. Move these away: without a class they can neither train nor test."
        )
    parts_of = defaultdict[tuple[str, ...], set[int]](set)
    for names in levels:
        parts_of[names[1:]].add(number[names[0]])
    if max(map(len, parts_of.values())) == 1:
        return None, [f"{called} are taken as folders of classes, not as parts, since they have no class in common"]
    return np.array([number[names[0]] for names in levels], np.int8), []


def _told(part_of: np.ndarray, sizes: Sequence[int], obeyed: bool) -> str:
    counts = np.bincount(part_of, sizes, len(PARTS)).astype(int)
    listed = ", ".join(f"{part} {count:,}" for part, count in zip(PARTS, counts, strict=True) if count)
    if not obeyed:
        return f"the folders of parts ({listed} pictures) are put together, to be split by fractions"
    return f"the folders of parts are obeyed: {listed} pictures"


def _clashes(names: list[str], written: dict[str, set[bytes]]) -> list[str]:
    notes = []
    merged = [name for name in names if len(written[name]) > 1]
    if merged:
        notes.append(f"folders whose names differ in their Unicode form alone are one class: {some(merged)}")
    alike = defaultdict[str, list[str]](list)
    for name in names:
        alike[name.lower()].append(name)
    apart = [" and ".join(same) for same in alike.values() if len(same) > 1]
    if apart:
        notes.append(f"classes that differ in capitals alone are kept apart: {some(apart)}")
    return notes
