"""Final augmentation: a final recipe, applied to each decoded chunk.

The distortion of an image is a pure function of the seed, the pass over the split or stored epoch that shows it, and
its place in the order of that pass: not of the batch size, the number of threads, or the number of ranks.

This module imports the distortions of stage 1, so it is imported only where there is final augmentation.
"""

from typing import Any, NamedTuple

import numpy as np

from ...augment.distortion.choose_engine import choose_engine
from ...augment.distortion.distort import distort
from ...augment.distortion.draw import Draw, StageDraw, draw
from ...augment.distortion.recipe import check_shape, recipe_from_settings
from ...augment.shared.types import Shape
from .batches import PassKey
from .final import FinalRecipe


class FinalAugmentation:
    """Applies a final recipe. Thread-safe and picklable."""

    def __init__(self, final: FinalRecipe, shape: Shape, seed: int):
        """Apply `final` to images of `shape` (H, W, C), with parameters drawn from `seed`.

        Raises `EpochbankError` if an operation cannot be applied to images of that shape.
        """
        self.final, self.shape, self.seed = final, shape, seed
        self._prepare()

    def _prepare(self) -> None:
        settings = {key: value for key, value in self.final.items() if key != "name"}
        self._recipe = recipe_from_settings(self.final["name"], settings)
        check_shape(self._recipe, self.shape)
        self._engine = choose_engine("auto", self._recipe, self.shape)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if not key.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def draw(self, key: PassKey, start: int, places: np.ndarray) -> "FinalDraw":
        """Draw the distortions of n images of a pass, from image `start` on.

        `places` is a permutation, int64 (n,): the order in which the images are decoded.
        """
        split, stored, pass_number, view = key
        stream = f"final/{self.seed}/{view}/{split}/{stored}"
        drawn = draw(self._recipe, self.shape, stream, pass_number, start, start + len(places))
        return tuple(_in_order(stage, places) for stage in drawn.stages)

    def distort(
        self, images: np.ndarray, drawn: "FinalDraw", start: int, memory: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        """Distort `images` (uint8 (m, H, W, C)), which are decoded as number `start` and following.

        `memory` are two arrays like `images`, which are overwritten; the first of them is returned.
        """
        part = Draw(tuple(stage.part(start, start + len(images)) for stage in drawn))
        return distort(images, self._recipe, part, self._engine, memory=memory)


class FinalStage(NamedTuple):
    """What one stage does to a run of n images of a pass, in the order in which they are decoded."""

    choice: np.ndarray
    """int64 (n,): index of the operation that is applied, -1 if the stage is skipped."""
    members: list[np.ndarray]
    """For each operation, the images that it is applied to, ascending."""
    parameters: list[dict[str, np.ndarray]]
    """For each operation, the parameters of these images."""

    def part(self, start: int, stop: int) -> StageDraw:
        """Return the draw of images `start` to `stop` - 1."""
        chosen, parameters = [], []
        for members, columns in zip(self.members, self.parameters, strict=True):
            first, last = start, stop
            if len(members) < len(self.choice):
                first, last = np.searchsorted(members, (start, stop)).tolist()
            chosen.append(members[first:last] - start)
            parameters.append({name: column[first:last] for name, column in columns.items()})
        return StageDraw(self.choice[start:stop], tuple(chosen), tuple(parameters))


FinalDraw = tuple[FinalStage, ...]
"""The distortions of a run of images, stage by stage."""


def _in_order(stage: StageDraw, places: np.ndarray) -> FinalStage:
    """Return a stage whose images are in the order of `places`."""
    choice, row = stage.choice[places], np.zeros(len(places), np.int64)
    members, parameters = [], []
    for number, (drawn, columns) in enumerate(zip(stage.members, stage.parameters, strict=True)):
        row[drawn] = np.arange(len(drawn))
        members.append(np.flatnonzero(choice == number))
        rows = row[places[members[-1]]]
        parameters.append({name: column[rows] for name, column in columns.items()})
    return FinalStage(choice, members, parameters)
