"""Label safety: a distorted picture that has lost its label is drawn again, deterministically.

It has where more than a given share of its ink went over the edge or was erased, or where it came out blank:
with less than an eighth of the contrast (greatest less least value of a channel) that it had. Draws go on, numbered by
`attempt`, until one is safe; where none is, the picture stays undistorted.
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

_BLANK = 8
"""A blank picture has less than one part in so many of the contrast that it had."""


class Distorted(NamedTuple):
    """A run of n pictures after distortion."""

    pictures: np.ndarray
    """uint8 (n, H, W, C)."""
    attempt: np.ndarray
    """int64 (n,): the number of the draw that was taken; `safety.attempts` where none was safe."""
    rejected: np.ndarray
    """`REJECTED` (m,): every attempt that was not taken, in no particular order."""


def distort_safely(
    pictures: np.ndarray,
    positions: np.ndarray,
    recipe: Recipe,
    draw: Callable[[np.ndarray, int], Draw],
    engine: Engine = PILLOW,
    profile: Profile | None = None,
) -> Distorted:
    """Distort `pictures` (uint8 (n, H, W, C)) at `positions` (int64 (n,), ascending) until each is safe.

    `draw(positions, attempt)` draws; a pure function of both. Without safety in the recipe the first draw is
    taken.
    """
    profile = profile or Profile()
    result, members, rejected = pictures, np.arange(len(pictures)), []
    attempt = np.zeros(len(pictures), np.int64)
    for number in range(recipe.safety.attempts if recipe.safety else 1):
        before = pictures if number == 0 else pictures[members]
        with profile.of("draw", len(members)):
            drawn = draw(positions[members], number)
        lost = np.zeros((len(members), len(recipe.stages)))
        measured = recipe.safety is not None and recipe.safety.lost < 1
        after = distort(before, recipe, drawn, engine, lost=lost if measured else None, profile=profile)
        if number == 0:
            result = after
        else:
            result[members] = after
        attempt[members] = number
        if recipe.safety is None:
            return Distorted(result, attempt, np.empty(0, REJECTED))
        with profile.of("safety: blank pictures", len(members)):
            share = 1 - (1 - lost).prod(1)
            bad = np.flatnonzero((share > recipe.safety.lost) | is_blank(before, after))
        if not len(bad):
            break
        rejected.append(_rejections(positions[members], number, recipe, drawn, lost, share > recipe.safety.lost)[bad])
        members = members[bad]
    else:
        result[members] = pictures[members]
        attempt[members] = number + 1
    return Distorted(result, attempt, np.concatenate(rejected) if rejected else np.empty(0, REJECTED))


def applied_at(
    recipe: Recipe, draw: Callable[[np.ndarray, int], Draw], position: int, attempt: int
) -> list[Applied] | None:
    """The operations applied to the picture at `position` by the draw that was taken; None where none was safe."""
    if recipe.safety is not None and attempt == recipe.safety.attempts:
        return None
    (applied,) = draw(np.array([position]), attempt).applied(recipe)
    return applied


def is_blank(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """bool (n,): which of `after` (uint8 (n, H, W, C)) have lost the contrast that they had in `before`."""
    contrast = _contrast(after)
    blank = contrast < -(-255 // _BLANK)
    suspects = np.flatnonzero(blank)
    blank[suspects] = contrast[suspects] * _BLANK < _contrast(before[suspects])
    return blank


def _contrast(pictures: np.ndarray) -> np.ndarray:
    count, height, width, channels = pictures.shape
    if channels == 1:  # one long run of bytes: several times as fast
        flat = pictures.reshape(count, height * width)
        return flat.max(1).astype(np.int64) - flat.min(1)
    rows = pictures.reshape(count, height, width * channels)
    most, least = (extreme(extreme(rows, 1).reshape(count, width, channels), 1) for extreme in (np.max, np.min))
    return (most.astype(np.int64) - least).max(1)


def _rejections(
    positions: np.ndarray, attempt: int, recipe: Recipe, drawn: Draw, lost: np.ndarray, over_the_edge: np.ndarray
) -> np.ndarray:
    """`REJECTED` (n,): every picture as if its attempt was rejected, for ink where `over_the_edge`, else as blank."""
    table = np.empty(len(positions), REJECTED)
    table["position"], table["attempt"] = positions, attempt
    table["lost"] = np.where(over_the_edge, 1 - (1 - lost).prod(1), 0)
    applied = np.stack([stage.choice for stage in drawn.stages], 1)
    last = applied.shape[1] - 1 - (applied[:, ::-1] >= 0).argmax(1)
    level = np.where(over_the_edge, lost.argmax(1), last)
    for number, stage in enumerate(level.tolist()):
        table["operation"][number] = recipe.stages[stage].choices[applied[number, stage]].op.encode()[:64]
    return table
