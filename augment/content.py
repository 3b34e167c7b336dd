"""What belongs at a run of positions: the pure function behind every stored picture."""

from pathlib import Path

import numpy as np

from augment.distort import distort
from augment.draw import Draw, draw
from augment.order import order_key, permute, unpermute
from augment.recipe import Recipe
from augment.source_file import SourceFile
from augment.store.description import Description
from augment.store.shard import Run
from augment.store.split_file import PartRows, read_part


def part_of(directory: Path, part: str) -> PartRows:
    """Rows, labels and groups that `part` (`epoch` too, which shows the training part) is made of."""
    return read_part(directory, "train" if part == "epoch" else part)


def order_at(description: Description, part: str, epoch: int, positions: np.ndarray) -> np.ndarray:
    """Which picture of its part (int64) stands at each position.

    Every stored epoch has an order of its own, and so has the undistorted training part, since it is
    streamed too; validation and test stand in order of row.
    """
    if part not in ("epoch", "train"):
        return positions
    return permute(positions, description.images["train"], _key(description, part, epoch))


def position_of(description: Description, part: str, epoch: int, picture: int) -> int:
    """The position at which picture `picture` of its part stands: the inverse of `order_at`."""
    if part not in ("epoch", "train"):
        return picture
    return int(unpermute(np.array([picture]), description.images["train"], _key(description, part, epoch))[0])


def draw_at(description: Description, recipe: Recipe, epoch: int, start: int, stop: int) -> Draw:
    """What is done to positions `start` to `stop` - 1 of a stored epoch."""
    return draw(recipe, description.shape, description.fingerprint, epoch, start, stop)


def content_at(
    directory: Path,
    description: Description,
    recipe: Recipe,
    source: SourceFile,
    part: str,
    epoch: int,
    start: int,
    stop: int,
) -> Run:
    """Pictures, labels and rows at positions `start` to `stop` - 1."""
    rows = part_of(directory, part)
    which = order_at(description, part, epoch, np.arange(start, stop))
    row = np.asarray(rows.row[which])
    pictures = source.read(row)
    if part == "epoch":
        pictures = distort(pictures, recipe, draw_at(description, recipe, epoch, start, stop))
    return pictures, np.asarray(rows.label[which]), row


def _key(description: Description, part: str, epoch: int) -> np.ndarray:
    return order_key(description.fingerprint, "order", part, epoch)
