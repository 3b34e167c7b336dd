"""The draw: what is done to the picture at a position, as a pure function of (set, epoch, position).

Every position owns a fixed block of a Philox stream (J. Salmon et al., "Parallel Random Numbers: As
Easy as 1, 2, 3", SC 2011), so that any run of positions is drawn in one call and no draw depends on
another. Only raw 64-bit words are taken from NumPy: their stream is fixed for ever, which that of
its distributions is not.
"""

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from augment.operations import Operation, OwnOperation, Parameters
from augment.operations.base import Shape
from augment.recipe import Recipe, Stage


class Applied(NamedTuple):
    """One operation as it is applied to one picture."""

    op: str
    operation: Operation
    parameters: dict[str, Any]
    """Python numbers, and arrays without the picture axis; an own operation has its `generator`."""


@dataclass(frozen=True)
class StageDraw:
    """What one stage does to a run of n pictures."""

    choice: np.ndarray
    """int64 (n,): index of the stage's operation, -1 where the stage is left out."""
    parameters: tuple[Parameters, ...]
    """For each operation of the stage, the parameters of the pictures that chose it, in their order."""


@dataclass(frozen=True)
class Draw:
    """What a recipe does to the pictures at positions start, ..., start + n - 1 of an epoch."""

    start: int
    stages: tuple[StageDraw, ...]
    own_keys: tuple[int, ...]
    """Per stage, the Philox key of the generators that own operations are given."""

    def applied(self, recipe: Recipe) -> list[list[Applied]]:
        """For each of the n pictures, the operations applied to it, in order."""
        pictures: list[list[Applied]] = [[] for _ in range(len(self.stages[0].choice))]
        for level, stage in enumerate(self.stages):
            choices = recipe.stages[level].choices
            parameters = [_by_picture(columns) for columns in stage.parameters]
            for number, picked in enumerate(stage.choice.tolist()):
                if picked < 0:
                    continue
                one = next(parameters[picked])
                if isinstance(choices[picked].operation, OwnOperation):
                    one["generator"] = self.generator(level, number)
                pictures[number].append(Applied(choices[picked].op, choices[picked].operation, one))
        return pictures

    def generator(self, stage: int, number: int) -> np.random.Generator:
        """The generator that an own operation gets for picture `number` of the run."""
        # The position sits in the second counter word: no two positions ever share a block.
        counter = (self.start + number) << 64
        return np.random.Generator(np.random.Philox(key=self.own_keys[stage], counter=counter))


def draw(recipe: Recipe, shape: Shape, fingerprint: str, epoch: int, start: int, stop: int) -> Draw:
    """Draw what happens to positions `start` to `stop` - 1 of stored epoch `epoch`, pictures of `shape`."""
    stages = tuple(
        _draw_stage(stage, shape, _key(fingerprint, "draw", epoch, level), start, stop)
        for level, stage in enumerate(recipe.stages)
    )
    own_keys = tuple(_key(fingerprint, "own", epoch, level) for level in range(len(recipe.stages)))
    return Draw(start, stages, own_keys)


def _draw_stage(stage: Stage, shape: Shape, key: int, start: int, stop: int) -> StageDraw:
    most = max(choice.operation.uniforms(shape) for choice in stage.choices)
    uniform = _uniforms(key, start, stop, 2 + most)
    edges = np.cumsum([choice.weight for choice in stage.choices])
    choice = np.searchsorted(edges / edges[-1], uniform[:, 1], side="right")
    choice[uniform[:, 0] >= stage.probability] = -1
    parameters = tuple(
        item.operation.parameters(uniform[choice == number, 2 : 2 + item.operation.uniforms(shape)], shape)
        for number, item in enumerate(stage.choices)
    )
    return StageDraw(choice, parameters)


def _by_picture(columns: Parameters) -> Iterator[dict[str, Any]]:
    """The parameters of one picture after another; endless empty ones where there are none."""
    if not columns:
        return ({} for _ in itertools.count())
    values = [column.tolist() if column.ndim == 1 else column for column in columns.values()]
    return (dict(zip(columns, one, strict=True)) for one in zip(*values, strict=True))


def _uniforms(key: int, start: int, stop: int, columns: int) -> np.ndarray:
    """Uniform numbers in [0, 1), float64 (stop - start, columns); row r depends on `key` and start + r alone."""
    blocks = -(-columns // 4)  # Philox4x64 yields four words for each count.
    raw = np.random.Philox(key=key, counter=start * blocks).random_raw((stop - start) * 4 * blocks)
    return ((raw >> np.uint64(11)) * 2.0**-53).reshape(stop - start, 4 * blocks)[:, :columns]


def _key(*parts: str | int) -> int:
    """128 bits that stand for `parts`."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
