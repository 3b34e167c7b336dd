"""Contact sheets of an open set: images of a stored epoch or split, and a class with its distortions."""

import reprlib
import unicodedata
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ...augment.errors import EpochbankError
from ...augment.shared.closest import closest
from ...augment.shared.contact_sheet import Cell, contact_sheet
from ...augment.shared.progress import counted
from ...augment.shared.shortened import shortened
from ...augment.shared.spacing import evenly_spaced
from ...augment.store.order import position_of, rows_of_split
from ...augment.store.split_file import group_name
from ..reading.images_at import images_at, named_images
from ..reading.stored_set import StoredSet

COLUMNS = 8
"""Images in a row of a sheet."""
EPOCHS = 8
"""Maximum number of stored epochs on the sheet of a class."""
_MOST = 1000
"""Maximum number of images on a sheet."""
_NAMED = 5
"""Number of classes that a message names."""
_LONGEST = 40
"""Most characters of a name on a sheet; those of other people may be long."""


def images_sheet(stored_set: StoredSet, epoch: int | None, n: int, split: str | None) -> Image.Image:
    """Draw the first `n` images of a stored epoch, None for the first one, or of an undistorted `split`, RGB.

    Raises `EpochbankError` if the epoch is not stored, the split does not exist, or a shard is damaged.
    """
    _check_count(n, _MOST)
    if split is None:
        number = stored_set.epochs[0] if epoch is None else epoch
        _check_epoch(stored_set, number)
        images, names = named_images(stored_set, "epoch", number, n)
        where, count = f"epoch {number}", stored_set.num_images["train"]
    else:
        if epoch is not None:
            raise EpochbankError(
                f"epoch={epoch!r} cannot be combined with split={split!r}, which has no epochs. Omit one of them.",
                usage=True,
            )
        stored_set.check_split(split)
        images, names = named_images(stored_set, split, 0, n)
        where, count = f"{split} split, undistorted", stored_set.num_images[split]
    cells = [Cell(image, [_short(name)]) for image, name in zip(images, names, strict=True)]
    title = f"{stored_set.description.name}, {where}: {len(cells):,} of {counted(count, 'image')}"
    return contact_sheet(title, [cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)])


def class_sheet(stored_set: StoredSet, name: str, n: int) -> Image.Image:
    """Draw up to `n` training images of a class, each with its distortions in up to eight stored epochs, RGB.

    Raises `EpochbankError` if there is no such class, it has no training images, or a shard is damaged.
    """
    _check_count(n, _MOST // (EPOCHS + 1))
    label = _label_of(stored_set, name)
    rows = rows_of_split(stored_set.path, "train")
    found = np.flatnonzero(rows.label == label)
    if not len(found):
        raise EpochbankError(f"class {name!r} of {stored_set.name} has no training images; choose another class.")
    originals = found[evenly_spaced(len(found), n)].tolist()
    epochs = [stored_set.epochs[at] for at in evenly_spaced(len(stored_set.epochs), EPOCHS).tolist()]
    columns = [_column(stored_set, "train", 0, originals, "original")]
    columns += [_column(stored_set, "epoch", epoch, originals, f"epoch {epoch}") for epoch in epochs]
    if rows.group is not None:
        groups = [_short(group_name(stored_set.path, int(rows.group[image]))) for image in originals]
        columns[0] = [
            Cell(cell.image, [*cell.caption, group], marked=True)
            for cell, group in zip(columns[0], groups, strict=True)
        ]
    title = (
        f"{stored_set.description.name}, class {name}: {len(originals):,} of {counted(len(found), 'training image')}"
    )
    return contact_sheet(title, list(zip(*columns, strict=True)))


def _column(stored_set: StoredSet, split: str, epoch: int, originals: Sequence[int], caption: str) -> list[Cell]:
    """Return the images of a split or epoch that are made from training images; black where an epoch lacks one."""
    places = [position_of(stored_set.path, stored_set.description, split, epoch, image) for image in originals]
    there = [at for at, position in enumerate(places) if position is not None]
    positions = np.array([places[at] for at in there], np.int64)
    images = dict(zip(there, images_at(stored_set.table(split, epoch), positions)[0], strict=True))
    black = np.zeros(stored_set.shape, np.uint8)
    return [
        Cell(images.get(at, black), [caption] if at in images else [caption, "not sampled"], marked=split == "train")
        for at in range(len(originals))
    ]


def _short(name: str) -> str:
    return shortened(name, lambda text: len(text) <= _LONGEST)


def _check_count(n: int, most: int) -> None:
    if type(n) is not int or not 1 <= n <= most:
        raise EpochbankError(f"n={n!r}; expected a number of images from 1 to {most:,}.", usage=True)


def _check_epoch(stored_set: StoredSet, epoch: int) -> None:
    epochs = stored_set.epochs
    if type(epoch) is int and epoch in epochs:
        return
    if len(epochs) == 1:
        stored = f"{epochs[0]}, the only one"
    elif epochs[-1] - epochs[0] == len(epochs) - 1:
        stored = f"one of {epochs[0]} to {epochs[-1]}"
    else:
        stored = f"one of {', '.join(map(str, epochs))}"
    raise EpochbankError(
        f"epoch {epoch!r} is not stored in {stored_set.name}; expected {stored}. Generate the set with more epochs.",
        usage=True,
    )


def _label_of(stored_set: StoredSet, name: str) -> int:
    """Return the label of the class `name`; `EpochbankError` with the closest name if there is none."""
    names = stored_set.class_names
    if isinstance(name, str) and name in names:
        return names.index(name)
    text = unicodedata.normalize("NFKC", str(name))
    similar = closest(text, names)
    shown = ", ".join(map(reprlib.repr, names[:_NAMED])) + (" and so on" if len(names) > _NAMED else "")
    raise EpochbankError(
        f"class {reprlib.repr(name)} is not one of the {counted(len(names), 'class')} of {stored_set.name}; expected a "
        f"name such as {shown}.{f' Did you mean {similar!r}?' if similar else ''}",
        usage=True,
    )
