"""What belongs at a run of positions: the pure function behind every stored picture."""

from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from ..distortion.draw import Draw, draw_positions
from ..distortion.engine import PILLOW, Engine
from ..distortion.label_check import Distorted, distort_safely
from ..distortion.recipe import Recipe
from ..ingest.source_file import SourceFile
from ..shared.permutation import order_key, permute, unpermute
from ..shared.profile import Profile
from ..split.balance import Deal, PerClass
from ..store.description import Description
from ..store.shard import Run
from ..store.split_file import PartRows, read_by_class, read_part


def part_of(directory: Path, part: str) -> PartRows:
    """Rows, labels and groups that `part` (`epoch` too, which shows the training part) is made of."""
    return read_part(directory, "train" if part == "epoch" else part)


def order_at(directory: Path, description: Description, part: str, epoch: int, positions: np.ndarray) -> np.ndarray:
    """Which picture of its part (int64) stands at each position.

    Every stored epoch has an order of its own, and so has the undistorted training part, since it is
    streamed too; validation and test stand in order of row. Where epochs are balanced, the undistorted training part
    has the pictures of epoch 0.
    """
    if part not in ("epoch", "train"):
        return positions
    slots = permute(positions, description.images["train"], _key(description, part, epoch))
    deal = _deal(directory, description)
    return slots if deal is None else deal.pictures(epoch, slots)


def position_of(directory: Path, description: Description, part: str, epoch: int, picture: int) -> int | None:
    """The first position at which picture `picture` of its part stands; None where a balanced epoch lacks it."""
    if part not in ("epoch", "train"):
        return picture
    deal, slots = _deal(directory, description), np.array([picture])
    if deal is not None:
        slots = deal.slots_of(epoch, int(part_of(directory, part).label[picture]), picture)
    positions = unpermute(slots, description.images["train"], _key(description, part, epoch))
    return int(positions.min()) if len(positions) else None


@lru_cache(maxsize=4)
def _sizes(directory: Path, classes: int) -> np.ndarray:
    return np.bincount(part_of(directory, "train").label, minlength=classes)


def _deal(directory: Path, description: Description) -> Deal | None:
    """How the training pictures are dealt to balanced epochs; None where each epoch has all of them."""
    if description.per_class is None:
        return None
    return Deal(
        PerClass(*description.per_class),
        _sizes(directory, len(description.class_names)),
        read_by_class(directory),
        order_key(description.fingerprint, "deal"),
    )


def draw_at(description: Description, recipe: Recipe, epoch: int, positions: np.ndarray, attempt: int = 0) -> Draw:
    """What is done to `positions` (int64 (n,), ascending) of a stored epoch, at an attempt."""
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
    """What becomes of `originals` (uint8 (n, H, W, C)) at `positions` of a stored epoch."""
    return distort_safely(originals, positions, recipe, partial(draw_at, description, recipe, epoch), engine, profile)


def content_at(
    directory: Path,
    description: Description,
    recipe: Recipe,
    source: SourceFile,
    part: str,
    epoch: int,
    start: int,
    stop: int,
    engine: Engine = PILLOW,
    profile: Profile | None = None,
) -> Run:
    """Pictures, labels, rows and rejected attempts at positions `start` to `stop` - 1."""
    profile, positions = profile or Profile(), np.arange(start, stop)
    rows = part_of(directory, part)
    with profile.of("order", len(positions)):
        which = order_at(directory, description, part, epoch, positions)
        row, label = np.asarray(rows.row[which]), np.asarray(rows.label[which])
    with profile.of("read", len(positions)):
        pictures = source.read(row, engine.read)
    if part != "epoch":
        return Run(pictures, label, row)
    done = distorted_at(description, recipe, epoch, positions, pictures, engine, profile)
    return Run(done.pictures, label, row, done.rejected)


def _key(description: Description, part: str, epoch: int) -> np.ndarray:
    return order_key(description.fingerprint, "order", part, epoch)
