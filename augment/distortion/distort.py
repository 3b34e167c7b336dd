"""Distorting a block: pictures and their draw in, the distorted pictures out, by either engine."""

import numpy as np

from ..shared.profile import Profile
from .draw import Draw
from .engine import PILLOW, Engine
from .recipe import Recipe


def distort(
    pictures: np.ndarray,
    recipe: Recipe,
    drawn: Draw,
    engine: Engine = PILLOW,
    *,
    lost: np.ndarray | None = None,
    profile: Profile | None = None,
) -> np.ndarray:
    """Distort `pictures` (uint8 (n, H, W, C)), the n pictures of `drawn`; a new array of the same shape.

    Into `lost` (float64 (n, stages)), if given, goes the share of its ink that each stage took from each
    picture; into `profile` the seconds of each operation.
    """
    profile = profile or Profile()
    source, spare = np.ascontiguousarray(pictures), None
    for level, (stage, stage_draw) in enumerate(zip(recipe.stages, drawn.stages, strict=True)):
        target = np.empty_like(source) if spare is None else spare
        as_it_is = np.flatnonzero(stage_draw.choice < 0)
        if lost is not None:
            lost[:, level] = 0
        if len(as_it_is):
            target[as_it_is] = source[as_it_is]
        for picked, choice in enumerate(stage.choices):
            members, parameters = np.flatnonzero(stage_draw.choice == picked), stage_draw.parameters[picked]
            if not len(members):
                continue
            with profile.of(f"{stage.name or f'stage {level}'}: {choice.op}", len(members)):
                engine.apply(choice.operation, source, target, members, parameters)
            if lost is not None and choice.operation.takes_ink:
                with profile.of("safety: ink over the edge", len(members)):
                    lost[members, level] = _share_lost(engine.ink(choice.operation, source, members, parameters))
        source, spare = target, (source if level else None)
    return source


def _share_lost(ink: np.ndarray | None) -> np.ndarray | float:
    if ink is None:
        return 0.0
    kept, total = ink.T
    return np.where(total > 0, 1 - kept / np.maximum(total, 1), 0.0)
