"""The draw: what is done to the picture at a position, as a pure function of (set, epoch, position).

Every position owns a fixed block of a Philox stream (J. Salmon et al., "Parallel Random Numbers: As
Easy as 1, 2, 3", SC 2011), so that any run of positions is drawn in one call and no draw depends on
another. Only raw 64-bit words are taken from NumPy: their stream is fixed for ever, which that of
its distributions is not.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .operations import Operation, OwnOperation, Parameters
from .operations.base import Shape, by_picture
from .recipe import Recipe, Stage


class Applied(NamedTuple):
    """One operation as it is applied to one picture."""

    op: str
    operation: Operation
    parameters: dict[str, Any]
    """Python numbers, and arrays without the picture axis; an own operation has a `generator`."""


@dataclass(frozen=True)
class StageDraw:
    """What one stage does to a run of n pictures."""

    choice: np.ndarray
    """int64 (n,): index of the stage's operation, -1 where the stage is left out."""
    parameters: tuple[Parameters, ...]
    """For each operation of the stage, the parameters of the pictures that chose it, in their order."""


@dataclass(frozen=True)
class Draw:
    """What a recipe does to a run of n pictures of an epoch."""

    stages: tuple[StageDraw, ...]

    def applied(self, recipe: Recipe) -> list[list[Applied]]:
        """For each of the n pictures, the operations applied to it, in order."""
        pictures: list[list[Applied]] = [[] for _ in range(len(self.stages[0].choice))]
        for stage, drawn in zip(recipe.stages, self.stages, strict=True):
            for picked, choice in enumerate(stage.choices):
                members = np.flatnonzero(drawn.choice == picked).tolist()
                for number, one in zip(members, by_picture(drawn.parameters[picked], len(members)), strict=True):
                    pictures[number].append(Applied(choice.op, choice.operation, one))
        return pictures


def draw(recipe: Recipe, shape: Shape, fingerprint: str, epoch: int, start: int, stop: int) -> Draw:
    """Draw what happens to positions `start` to `stop` - 1 of stored epoch `epoch`, pictures of `shape`."""
    return draw_positions(recipe, shape, fingerprint, epoch, np.arange(start, stop))


def draw_positions(
    recipe: Recipe, shape: Shape, fingerprint: str, epoch: int, positions: np.ndarray, attempt: int = 0
) -> Draw:
    """Draw what happens to `positions` (int64 (n,), ascending); each `attempt` has draws of its own."""
    again = ("attempt", attempt) if attempt else ()
    return Draw(
        tuple(
            _draw_stage(stage, shape, _key(fingerprint, "draw", epoch, level, *again), positions)
            for level, stage in enumerate(recipe.stages)
        )
    )


def _draw_stage(stage: Stage, shape: Shape, key: int, positions: np.ndarray) -> StageDraw:
    most = max(choice.operation.uniforms(shape) for choice in stage.choices)
    uniform = _uniforms(key, positions, 2 + most)
    edges = np.cumsum([choice.weight for choice in stage.choices])
    choice = np.searchsorted(edges / edges[-1], uniform[:, 1], side="right")
    choice[uniform[:, 0] >= stage.probability] = -1
    parameters = []
    for number, item in enumerate(stage.choices):
        members = np.flatnonzero(choice == number)
        own = uniform[members, 2 : 2 + item.operation.uniforms(shape)]
        parameters.append(item.operation.parameters(own, shape))
        if isinstance(item.operation, OwnOperation):
            parameters[-1]["generator"] = _generators(key, positions[members])
    return StageDraw(choice, tuple(parameters))


def _generators(key: int, positions: np.ndarray) -> np.ndarray:
    """A generator for each position, in the half of the key's counters that no uniform is drawn from."""
    generators = np.empty(len(positions), object)
    for number, position in enumerate(positions.tolist()):
        # The position sits above a word of its own: no two positions ever share a block.
        generators[number] = np.random.Generator(np.random.Philox(key=key, counter=1 << 255 | position << 64))
    return generators


def _uniforms(key: int, positions: np.ndarray, columns: int) -> np.ndarray:
    """Uniform numbers in [0, 1), float64 (n, columns); row r depends on `key` and `positions[r]` alone."""
    blocks = -(-columns // 4)  # Philox4x64 yields four words for each count.
    runs = np.split(positions, np.flatnonzero(np.diff(positions) != 1) + 1)
    raw = [
        np.random.Philox(key=key, counter=int(run[0]) * blocks).random_raw(len(run) * 4 * blocks)
        for run in runs
        if len(run)
    ]
    words = np.concatenate(raw) if raw else np.empty(0, np.uint64)
    return ((words >> np.uint64(11)) * 2.0**-53).reshape(len(positions), 4 * blocks)[:, :columns]


def _key(*parts: str | int) -> int:
    """128 bits that stand for `parts`."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
