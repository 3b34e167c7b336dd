"""Which images an export has: the splits, the stored epochs, and their order. Pure functions."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import EpochbankError
from ..shared.closest import did_you_mean
from ..shared.types import SPLITS
from ..store.description import Description
from ..store.manifest import Entry, covers, published_epochs

UNDISTORTED = -1
"""Number that stands for the epoch of an undistorted image in every format."""

Epochs = str | int | Iterable[int] | None
"""Numbers of stored epochs: `0,2-4`, `none`, one number, or several; None for all that are published."""

_EXPECTED = "numbers and ranges such as 0,2-4, or none"
_SHOWN = 20


@dataclass(frozen=True)
class Piece:
    """The images at positions `first` to `last` - 1 of a shard."""

    entry: Entry
    first: int
    last: int

    @property
    def num_images(self) -> int:
        """Number of images."""
        return self.last - self.first


@dataclass(frozen=True)
class Selection:
    """The images of an export."""

    epochs: tuple[int, ...]
    """Stored epochs, ascending."""
    originals: bool
    """Whether the undistorted training split comes before them."""
    pieces: dict[str, list[Piece]]
    """Whole shards of each split in the order of the export; splits without images are left out."""

    @property
    def num_images(self) -> dict[str, int]:
        """Number of images of each split."""
        return {split: sum(piece.num_images for piece in pieces) for split, pieces in self.pieces.items()}


def select(
    where: object,
    description: Description,
    entries: list[Entry],
    epochs: Epochs = None,
    originals: bool = False,
    splits: Iterable[str] | None = None,
) -> Selection:
    """Return the images of an export: training images of `epochs`, and the validation and test splits.

    Parameters
    ----------
    where
        The set, for error messages.
    description, entries
        What the set is, and its published shards.
    epochs
        Stored epochs; None for all that are published.
    originals
        Add the undistorted training split, before the stored epochs.
    splits
        Only these splits; None for all that have images.

    Raises
    ------
    EpochbankError
        If a split or an epoch does not exist or is unfinished, or nothing is selected.
    """
    chosen = _splits(where, description, splits)
    if "train" not in chosen and (epochs is not None or originals):
        raise EpochbankError(
            f"epochs and originals select training images, but the selected splits are {', '.join(chosen)}. "
            "Add --split train, or omit --epochs and --originals.",
            usage=True,
        )
    numbers = chosen_epochs(where, description, entries, epochs) if "train" in chosen else ()
    if "train" in chosen and not numbers and not originals:
        raise EpochbankError(
            f"{where}: no training images are selected; expected at least one epoch. Add --originals, or omit "
            "--epochs none.",
            usage=True,
        )
    tables: dict[str, list[tuple[str, int]]] = {split: [(split, 0)] for split in chosen}
    if "train" in chosen:
        tables["train"] = [*([("train", 0)] if originals else []), *(("epoch", number) for number in numbers)]
    shards: dict[tuple[str, int], list[Entry]] = {}
    for entry in entries:
        shards.setdefault((entry.split, entry.epoch), []).append(entry)
    pieces: dict[str, list[Piece]] = {}
    for split, named in tables.items():
        for table in named:
            found = sorted(shards.get(table, []), key=lambda entry: entry.start)
            if not covers(found, description.num_images[split]):
                raise EpochbankError(
                    f"{where}: the {table[0]} split is unfinished. Run the same `augment run` again to complete it."
                )
            pieces.setdefault(split, []).extend(Piece(entry, entry.start, entry.stop) for entry in found)
    return Selection(numbers, originals, pieces)


def parse_epochs(epochs: Epochs) -> list[range]:
    """Return the ranges of numbers that `epochs` names. Raises `EpochbankError` if it names none."""
    if isinstance(epochs, str):
        if epochs.strip() == "none":
            return []
        words = [re.fullmatch(r"\s*(\d{1,18})\s*(?:-\s*(\d{1,18})\s*)?", word) for word in epochs.split(",")]
        ranges = [range(int(word[1]), int(word[2] or word[1]) + 1) if word is not None else range(0) for word in words]
        if not all(ranges):
            raise EpochbankError(f"epochs {epochs!r} are invalid; expected {_EXPECTED}.", usage=True)
        return ranges
    numbers = [epochs] if isinstance(epochs, int) else list(epochs or ())
    if any(isinstance(number, bool) or not isinstance(number, int) or number < 0 for number in numbers):
        raise EpochbankError(f"epochs={epochs!r} is invalid; expected {_EXPECTED}.", usage=True)
    return [range(number, number + 1) for number in numbers]


def divided(pieces: list[Piece], size: int) -> list[list[Piece]]:
    """Divide `pieces` into lists of `size` images, in order; the last one may be smaller."""
    lists: list[list[Piece]] = []
    room = 0
    for piece in pieces:
        at = piece.first
        while at < piece.last:
            if not room:
                lists.append([])
                room = size
            stop = min(piece.last, at + room)
            lists[-1].append(Piece(piece.entry, at, stop))
            room -= stop - at
            at = stop
    return lists


def _splits(where: object, description: Description, splits: Iterable[str] | None) -> list[str]:
    """Return the chosen splits in the usual order."""
    if splits is None:
        return [split for split in SPLITS if description.num_images[split]]
    wanted = [splits] if isinstance(splits, str) else list(splits)
    for split in wanted:
        if split not in SPLITS:
            raise EpochbankError(
                f"split {split!r} is unknown; expected one of {', '.join(SPLITS)}.{did_you_mean(str(split), SPLITS)}",
                usage=True,
            )
        if not description.num_images[split]:
            raise EpochbankError(f"{where} has no {split} split. Choose another split.", usage=True)
    if not wanted:
        raise EpochbankError("no split is selected; expected at least one. Omit --split for all.", usage=True)
    return [split for split in SPLITS if split in wanted]


def chosen_epochs(where: object, description: Description, entries: list[Entry], epochs: Epochs) -> tuple[int, ...]:
    """Return the numbers of the published epochs that `epochs` names, ascending; `where` names the set in messages.

    Raises `EpochbankError` if one of them is not published, or none is.
    """
    published = [one.epoch for one in published_epochs(entries, description.num_images["train"])]
    if epochs is None:
        if not published:
            raise EpochbankError(
                f"{where} has no published epoch: its `augment run` is still in the first one, or was stopped there. "
                "Run the same `augment run` again to continue it."
            )
        return tuple(published)
    ranges = parse_epochs(epochs)
    # This ends with the first number that is missing, so a long range takes no time.
    missing = next((number for one in ranges for number in one if number not in published), None)
    if missing is not None:
        listed = ", ".join(map(str, published[:_SHOWN])) + (" ..." if len(published) > _SHOWN else "") or "none"
        raise EpochbankError(f"{where} has no epoch {missing}; expected one or more of {listed}.", usage=True)
    return tuple(number for number in published if any(number in one for one in ranges))
