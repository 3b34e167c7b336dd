"""Which image is at which position of a split or a stored epoch: a pure function of what the set is."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from ..errors import EpochbankError
from ..shared.permutation import order_key, permute, unpermute
from .balance import ClassSampler, PerClass
from .description import Description
from .split_file import SplitRows, read_by_class, read_split


def rows_of_split(directory: Path, split: str) -> SplitRows:
    """Return rows, labels and groups of the images of `split`; `epoch` shows those of the training split."""
    return read_split(directory, "train" if split == "epoch" else split)


def order_at(directory: Path, description: Description, split: str, epoch: int, positions: np.ndarray) -> np.ndarray:
    """Return the index within its split (int64) of the image at each of `positions`.

    Every stored epoch has its own order, and so has the undistorted training split, which is streamed too. Validation
    and test are in order of row. If epochs are balanced, the undistorted training split has the images of epoch 0.
    """
    if split not in ("epoch", "train"):
        return positions
    slots = permute(positions, description.num_images["train"], _key(description, split, epoch))
    sampler = _sampler(directory, description)
    return slots if sampler is None else sampler.images(epoch, slots)


def position_of(directory: Path, description: Description, split: str, epoch: int, image: int) -> int | None:
    """Return the first position of image `image` of a split; None if a balanced epoch does not show it."""
    if split not in ("epoch", "train"):
        return image
    sampler, slots = _sampler(directory, description), np.array([image])
    if sampler is not None:
        slots = sampler.slots_of(epoch, int(rows_of_split(directory, split).label[image]), image)
    positions = unpermute(slots, description.num_images["train"], _key(description, split, epoch))
    return int(positions.min()) if len(positions) else None


@lru_cache(maxsize=4)
def _class_sizes(directory: Path, split_checksum: str, classes: int) -> np.ndarray:
    return np.bincount(rows_of_split(directory, "train").label, minlength=classes)


def _sampler(directory: Path, description: Description) -> ClassSampler | None:
    """Return the sampler of balanced epochs; None if every epoch shows all training images."""
    if description.per_class is None:
        return None
    per_class = PerClass(*description.per_class)
    sizes = _class_sizes(directory, description.split_checksum, len(description.class_names))
    if per_class.num_images(sizes) != description.num_images["train"]:
        raise EpochbankError(
            f"set.json of {directory} lists {description.num_images['train']:,} images per epoch; expected "
            f"{per_class.num_images(sizes):,}, from its split and its bounds per class. Restore it from a copy, or "
            "generate the set again."
        )
    return ClassSampler(
        per_class,
        sizes,
        read_by_class(directory),
        order_key(description.fingerprint, "deal"),  # The key has contained this word since format 1.
    )


def _key(description: Description, split: str, epoch: int) -> np.ndarray:
    return order_key(description.fingerprint, "order", split, epoch)
