"""The label check: a distorted image that has lost its label is resampled, deterministically.

A draw is rejected if more than a given share of the image's ink leaves the frame or is erased, or if the image becomes
blank: less than an eighth of its former contrast (largest minus smallest value of a channel). Draws are numbered by
`attempt`; the first that passes is taken. If none passes, the image stays undistorted.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..shared.profile import Profile
from ..store.shard import REJECTED
from .distort import distort
from .draw import Applied, Draw
from .engine import PILLOW, Engine
from .recipe import Recipe

_BLANK_FACTOR = 8
"""An image is blank if its contrast is below its former contrast divided by this."""


class Distorted(NamedTuple):
    """A run of n images after distortion."""

    images: np.ndarray
    """uint8 (n, H, W, C)."""
    attempt: np.ndarray
    """int64 (n,): the number of the draw that was taken; `label_check.attempts` if all were rejected."""
    rejected: np.ndarray
    """`REJECTED` (m,): every rejected attempt, in no particular order."""


def distort_checked(
    images: np.ndarray,
    positions: np.ndarray,
    recipe: Recipe,
    draw: Callable[[np.ndarray, int], Draw],
    engine: Engine = PILLOW,
    profile: Profile | None = None,
) -> Distorted:
    """Distort `images` (uint8 (n, H, W, C)) at `positions` (int64 (n,), ascending) until each passes the label check.

    `draw(positions, attempt)` must be a pure function. If the recipe has no label check, the first draw is taken.
    """
    profile = profile or Profile()
    result, members, rejected = images, np.arange(len(images)), []
    attempt = np.zeros(len(images), np.int64)
    for number in range(recipe.label_check.attempts if recipe.label_check else 1):
        before = images if number == 0 else images[members]
        with profile.of("draw", len(members)):
            drawn = draw(positions[members], number)
        lost = np.zeros((len(members), len(recipe.stages)))
        measured = recipe.label_check is not None and recipe.label_check.lost < 1
        after = distort(before, recipe, drawn, engine, lost=lost if measured else None, profile=profile)
        if number == 0:
            result = after
        else:
            result[members] = after
        attempt[members] = number
        if recipe.label_check is None:
            return Distorted(result, attempt, np.empty(0, REJECTED))
        with profile.of("label check: blank images", len(members)):
            lost_ink = 1 - (1 - lost).prod(1) > recipe.label_check.lost
            bad = np.flatnonzero(lost_ink | is_blank(before, after))
        if not len(bad):
            break
        rejected.append(_rejections(positions[members], number, recipe, drawn, lost, lost_ink)[bad])
        members = members[bad]
    else:
        result[members] = images[members]
        attempt[members] = number + 1
    return Distorted(result, attempt, np.concatenate(rejected) if rejected else np.empty(0, REJECTED))


def applied_at(
    recipe: Recipe, draw: Callable[[np.ndarray, int], Draw], position: int, attempt: int
) -> list[Applied] | None:
    """Return the operations of draw `attempt` for the image at `position`; None if all draws were rejected."""
    if recipe.label_check is not None and attempt == recipe.label_check.attempts:
        return None
    (applied,) = draw(np.array([position]), attempt).applied(recipe)
    return applied


def is_blank(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return which of `after` (uint8 (n, H, W, C)) have lost the contrast that they had in `before`; bool (n,)."""
    contrast = _contrast(after)
    blank = contrast < -(-255 // _BLANK_FACTOR)
    suspects = np.flatnonzero(blank)
    blank[suspects] = contrast[suspects] * _BLANK_FACTOR < _contrast(before[suspects])
    return blank


def _contrast(images: np.ndarray) -> np.ndarray:
    count, height, width, channels = images.shape
    if channels == 1:  # One flat axis is several times as fast.
        flat = images.reshape(count, height * width)
        return flat.max(1).astype(np.int64) - flat.min(1)
    rows = images.reshape(count, height, width * channels)
    largest, smallest = (extreme(extreme(rows, 1).reshape(count, width, channels), 1) for extreme in (np.max, np.min))
    return (largest.astype(np.int64) - smallest).max(1)


def _rejections(
    positions: np.ndarray, attempt: int, recipe: Recipe, drawn: Draw, lost: np.ndarray, lost_ink: np.ndarray
) -> np.ndarray:
    """Return `REJECTED` (n,), as if every image was rejected: for lost ink where `lost_ink` is true, else as blank."""
    table = np.empty(len(positions), REJECTED)
    table["position"], table["attempt"] = positions, attempt
    table["lost"] = np.where(lost_ink, 1 - (1 - lost).prod(1), 0)
    applied = np.stack([stage.choice for stage in drawn.stages], 1)
    last = applied.shape[1] - 1 - (applied[:, ::-1] >= 0).argmax(1)
    level = np.where(lost_ink, lost.argmax(1), last)
    for number, stage in enumerate(level.tolist()):
        table["operation"][number] = recipe.stages[stage].choices[applied[number, stage]].op.encode()[:64]
    return table
