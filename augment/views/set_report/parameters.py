"""What was drawn for stored images: computed from the set alone, without pixels, and without executing code."""

from pathlib import Path

import numpy as np

from ...distortion.draw import Applied
from ...distortion.named_code import recipe_with_named_code
from ...distortion.recipe import Recipe
from ...errors import EpochbankError
from ...generation.epoch_content import draw_at
from ...store.description import Description
from ...store.manifest import Entry
from ...store.shard_read import read_rejected
from ..explain import stage_facts, stage_text


def recipe_to_draw(description: Description) -> Recipe:
    """Return the recipe of a set with code that is only named. Raises `EpochbankError` if it has changed since."""
    try:
        return recipe_with_named_code(description.recipe, description.identity["recipe"])
    except (ValueError, KeyError, TypeError) as error:
        raise EpochbankError(
            f"the parameters of the distortions are unknown, because the recipe cannot be restored: {error}. "
            "Look at the report with the version of epochbank that generated the set."
        ) from error


def distortions_at(
    directory: Path, description: Description, recipe: Recipe, entry: Entry, positions: np.ndarray
) -> list[str]:
    """Return what was done to the images at `positions` (int64 (n,), ascending) of a shard of a stored epoch.

    One line per operation. Which draw the label check accepted follows from those that the shard lists as rejected.
    Raises `EpochbankError` if the shard cannot be read.
    """
    attempts = _attempts(directory, entry, positions) if recipe.label_check else np.zeros(len(positions), np.int64)
    last = recipe.label_check.attempts if recipe.label_check else 1
    texts = ["undistorted: all draws were rejected"] * len(positions)
    for attempt in np.unique(attempts[attempts < last]).tolist():
        some = np.flatnonzero(attempts == attempt)
        applied = draw_at(description, recipe, entry.epoch, positions[some], attempt).applied(recipe)
        for number, operations in zip(some.tolist(), applied, strict=True):
            texts[number] = _text(operations) + (
                f"\ndraw {attempt + 1}; the label check rejected the earlier ones" if attempt else ""
            )
    return texts


def _attempts(directory: Path, entry: Entry, positions: np.ndarray) -> np.ndarray:
    """Return the number of rejected draws at each of `positions` of a shard, int64 (n,)."""
    rejected = np.sort(read_rejected(directory, entry)[0]["position"]) if entry.resampled else np.empty(0, np.int64)
    return np.searchsorted(rejected, positions, side="right") - np.searchsorted(rejected, positions, side="left")


def _text(operations: list[Applied]) -> str:
    return "\n".join(stage_text(stage_facts(one)) for one in operations) or "no operation applied"
