"""What is stored at a range of positions: the pure function behind every stored image."""

from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from ..distortion.draw import Draw, draw_positions
from ..distortion.engine import PILLOW, Engine
from ..distortion.label_check import Distorted, distort_checked
from ..distortion.recipe import Recipe
from ..errors import EpochbankError
from ..ingest.source_file import SourceFile
from ..shared.permutation import order_key, permute, unpermute
from ..shared.profile import Profile
from ..split.balance import ClassSampler, PerClass
from ..store.description import Description
from ..store.shard import Run
from ..store.split_file import SplitRows, read_by_class, read_split


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


def draw_at(description: Description, recipe: Recipe, epoch: int, positions: np.ndarray, attempt: int = 0) -> Draw:
    """Draw the distortions of `positions` (int64 (n,), ascending) of a stored epoch, at an attempt."""
    return draw_positions(recipe, description.shape, description.fingerprint, epoch, positions, attempt)


def distorted_at(
    description: Description,
    recipe: Recipe,
    epoch: int,
    positions: np.ndarray,
    originals: np.ndarray,
    engine: Engine = PILLOW,
    profile: Profile | None = None,
) -> Distorted:
    """Distort `originals` (uint8 (n, H, W, C)) as `positions` of a stored epoch require."""
    return distort_checked(originals, positions, recipe, partial(draw_at, description, recipe, epoch), engine, profile)


def content_at(
    directory: Path,
    description: Description,
    recipe: Recipe,
    source: SourceFile,
    split: str,
    epoch: int,
    start: int,
    stop: int,
    engine: Engine = PILLOW,
    profile: Profile | None = None,
) -> Run:
    """Return images, labels, rows and rejected attempts at positions `start` to `stop` - 1."""
    profile, positions = profile or Profile(), np.arange(start, stop)
    rows = rows_of_split(directory, split)
    with profile.of("order", len(positions)):
        which = order_at(directory, description, split, epoch, positions)
        row, label = np.asarray(rows.row[which]), np.asarray(rows.label[which])
    with profile.of("read", len(positions)):
        images = source.read(row, compiled=engine.name == "compiled")
    if split != "epoch":
        return Run(images, label, row)
    done = distorted_at(description, recipe, epoch, positions, images, engine, profile)
    return Run(done.images, label, row, done.rejected)


def _key(description: Description, split: str, epoch: int) -> np.ndarray:
    return order_key(description.fingerprint, "order", split, epoch)
