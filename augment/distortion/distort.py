"""Distort a block of images by their draw, with either engine."""

import numpy as np

from ..shared.profile import Profile
from .draw import Draw
from .engine import PILLOW, Engine
from .recipe import Recipe, Stage


def distort(
    images: np.ndarray,
    recipe: Recipe,
    drawn: Draw,
    engine: Engine = PILLOW,
    *,
    lost: np.ndarray | None = None,
    profile: Profile | None = None,
    memory: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """Return `images` (uint8 (n, H, W, C)) distorted by `drawn`, as a new array of the same shape.

    If given, `lost` (float64 (n, stages)) receives the share of its ink that each image loses in each stage, and
    `profile` the seconds of each operation. If `memory` is given, two contiguous arrays like `images`, the first of
    them receives the result, and the second is overwritten.
    """
    profile = profile or Profile()
    source = np.ascontiguousarray(images)
    in_place = [_is_in_place(stage, level) for level, stage in enumerate(recipe.stages)]
    moves = in_place.count(False)
    targets = memory or [np.empty_like(source) for _ in range(min(moves, 2))]
    for level, (stage, stage_draw) in enumerate(zip(recipe.stages, drawn.stages, strict=True)):
        if in_place[level]:
            target = source
        else:
            moves -= 1
            target = targets[moves % 2]
            if sum(map(len, stage_draw.members)) < len(source):
                skipped = np.flatnonzero(stage_draw.choice < 0)
                target[skipped] = source[skipped]
        if lost is not None:
            lost[:, level] = 0
        for choice, members, parameters in zip(stage.choices, stage_draw.members, stage_draw.parameters, strict=True):
            if not len(members):
                continue
            if lost is not None and choice.operation.takes_ink:
                with profile.of("label check: lost ink", len(members)):
                    lost[members, level] = _share_lost(engine.ink(choice.operation, source, members, parameters))
            with profile.of(f"{stage.name or f'stage {level}'}: {choice.op}", len(members)):
                engine.apply(choice.operation, source, target, members, parameters)
        source = target
    return source


def _is_in_place(stage: Stage, level: int) -> bool:
    """Return whether a stage can write over its input, which for the first stage belongs to the caller."""
    return level > 0 and all(choice.operation.in_place for choice in stage.choices)


def _share_lost(ink: np.ndarray | None) -> np.ndarray | float:
    if ink is None:
        return 0.0
    kept, total = ink.T
    return np.where(total > 0, 1 - kept / np.maximum(total, 1), 0.0)
