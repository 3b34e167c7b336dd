"""What is stored at a range of positions: the pure function behind every stored image."""

from functools import partial
from pathlib import Path

import numpy as np

from ..distortion.draw import Draw, draw_positions
from ..distortion.engine import PILLOW, Engine
from ..distortion.label_check import Distorted, distort_checked
from ..distortion.recipe import Recipe
from ..ingest.source_file import SourceFile
from ..shared.profile import Profile
from ..store.description import Description
from ..store.order import order_at, rows_of_split
from ..store.shard import Run


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
