"""The draw: the random distortion of the image at a position, as a pure function of (set, epoch, position).

Every position has a fixed block of a Philox stream (J. Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3",
SC 2011). Any run of positions is drawn in one call, and no draw depends on another. Only raw 64-bit words are taken
from NumPy, because NumPy guarantees the stream of its bit generators, but not that of its distributions.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..shared.philox import raw_words
from ..shared.types import Shape
from .operations import CustomOperation, Operation, Parameters
from .operations.base import by_image
from .recipe import Recipe, Stage


class Applied(NamedTuple):
    """One operation, as it is applied to one image."""

    op: str
    operation: Operation
    parameters: dict[str, Any]
    """Python numbers, and arrays without the image axis; a custom operation has a `generator`."""


@dataclass(frozen=True)
class StageDraw:
    """What one stage does to a run of n images."""

    choice: np.ndarray
    """int64 (n,): index of the operation that is applied, -1 if the stage is skipped."""
    members: tuple[np.ndarray, ...]
    """For each operation of the stage, the images that it is applied to, int64 (k,), ascending."""
    parameters: tuple[Parameters, ...]
    """For each operation of the stage, the parameters of these images, in order."""


@dataclass(frozen=True)
class Draw:
    """What a recipe does to a run of n images of an epoch."""

    stages: tuple[StageDraw, ...]

    def applied(self, recipe: Recipe) -> list[list[Applied]]:
        """Return for each of the n images the operations that are applied to it, in order."""
        images: list[list[Applied]] = [[] for _ in range(len(self.stages[0].choice))]
        for stage, drawn in zip(recipe.stages, self.stages, strict=True):
            for choice, members, parameters in zip(stage.choices, drawn.members, drawn.parameters, strict=True):
                for number, one in zip(members.tolist(), by_image(parameters, len(members)), strict=True):
                    images[number].append(Applied(choice.op, choice.operation, one))
        return images


def draw(recipe: Recipe, shape: Shape, fingerprint: str, epoch: int, start: int, stop: int) -> Draw:
    """Draw the distortions of positions `start` to `stop` - 1 of stored epoch `epoch`, for images of `shape`."""
    return draw_positions(recipe, shape, fingerprint, epoch, np.arange(start, stop))


def draw_positions(
    recipe: Recipe, shape: Shape, fingerprint: str, epoch: int, positions: np.ndarray, attempt: int = 0
) -> Draw:
    """Draw the distortions of `positions` (int64 (n,), ascending); each `attempt` gives another draw."""
    suffix = ("attempt", attempt) if attempt else ()  # Attempt 0 has the key of sets without a label check.
    return Draw(
        tuple(
            _draw_stage(stage, shape, _key(fingerprint, "draw", epoch, level, *suffix), positions)
            for level, stage in enumerate(recipe.stages)
        )
    )


def _draw_stage(stage: Stage, shape: Shape, key: int, positions: np.ndarray) -> StageDraw:
    most = max(choice.operation.uniforms(shape) for choice in stage.choices)
    uniform = _uniforms(key, positions, 2 + most)
    if len(stage.choices) == 1:
        choice = np.zeros(len(positions), np.int64)
    else:
        edges = np.cumsum([choice.weight for choice in stage.choices])
        choice = np.searchsorted(edges / edges[-1], uniform[:, 1], side="right")
    choice[uniform[:, 0] >= stage.probability] = -1
    members = tuple(np.flatnonzero(choice == number) for number in range(len(stage.choices)))
    parameters = []
    for item, rows in zip(stage.choices, members, strict=True):
        columns = slice(2, 2 + item.operation.uniforms(shape))
        own = uniform[:, columns] if len(rows) == len(uniform) else uniform[rows, columns]
        parameters.append(item.operation.parameters(own, shape))
        if isinstance(item.operation, CustomOperation):
            parameters[-1]["generator"] = _generators(key, positions[rows])
    return StageDraw(choice, members, tuple(parameters))


def _generators(key: int, positions: np.ndarray) -> np.ndarray:
    """Return a generator for each position, in the half of the key's counters that `_uniforms` never reaches."""
    generators = np.empty(len(positions), object)
    for number, position in enumerate(positions.tolist()):
        # The position is above the lowest counter word, so that no two positions ever share a block.
        generators[number] = np.random.Generator(np.random.Philox(key=key, counter=1 << 255 | position << 64))
    return generators


def _uniforms(key: int, positions: np.ndarray, columns: int) -> np.ndarray:
    """Return uniform numbers in [0, 1), float64 (n, columns); row r is a function of `key` and `positions[r]`."""
    blocks = -(-columns // 4)  # Philox4x64 gives four words per counter value.
    if len(positions) and positions[-1] - positions[0] == len(positions) - 1:
        runs = [positions]
    else:
        runs = [run for run in np.split(positions, np.flatnonzero(np.diff(positions) != 1) + 1) if len(run)]
    raw = [raw_words(len(run) * 4 * blocks, key, int(run[0]) * blocks) for run in runs]
    words = raw[0] if len(raw) == 1 else np.concatenate([np.empty(0, np.uint64), *raw])
    words >>= np.uint64(11)
    return (words * 2.0**-53).reshape(len(positions), 4 * blocks)[:, :columns]


def _key(*parts: str | int) -> int:
    """Return a key of 128 bits for `parts`."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
