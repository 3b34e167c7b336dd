"""Distort a block of images by their draw, with either engine."""

import numpy as np

from ..shared.profile import Profile
from .draw import Draw
from .engine import PILLOW, Engine
from .recipe import Recipe


def distort(
    images: np.ndarray,
    recipe: Recipe,
    drawn: Draw,
    engine: Engine = PILLOW,
    *,
    lost: np.ndarray | None = None,
    profile: Profile | None = None,
) -> np.ndarray:
    """Return `images` (uint8 (n, H, W, C)) distorted by `drawn`, as a new array of the same shape.

    If given, `lost` (float64 (n, stages)) receives the share of its ink that each image loses in each stage, and
    `profile` the seconds of each operation.
    """
    profile = profile or Profile()
    source, spare = np.ascontiguousarray(images), None
    for level, (stage, stage_draw) in enumerate(zip(recipe.stages, drawn.stages, strict=True)):
        target = np.empty_like(source) if spare is None else spare
        skipped = np.flatnonzero(stage_draw.choice < 0)
        if lost is not None:
            lost[:, level] = 0
        if len(skipped):
            target[skipped] = source[skipped]
        for picked, choice in enumerate(stage.choices):
            members, parameters = np.flatnonzero(stage_draw.choice == picked), stage_draw.parameters[picked]
            if not len(members):
                continue
            with profile.of(f"{stage.name or f'stage {level}'}: {choice.op}", len(members)):
                engine.apply(choice.operation, source, target, members, parameters)
            if lost is not None and choice.operation.takes_ink:
                with profile.of("label check: lost ink", len(members)):
                    lost[members, level] = _share_lost(engine.ink(choice.operation, source, members, parameters))
        source, spare = target, (source if level else None)
    return source


def _share_lost(ink: np.ndarray | None) -> np.ndarray | float:
    if ink is None:
        return 0.0
    kept, total = ink.T
    return np.where(total > 0, 1 - kept / np.maximum(total, 1), 0.0)
