"""A training's whole state in one file: variables and what is around them, which so cannot disagree.

The file is an `.npz`: arrays `model/0`, `optimizer/0`, `metrics/0` and so on, in the order of the model's
variables, and `state`, JSON. It is published whole, or not at all; the one before it stays until then.
"""

import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ...augment.errors import EpochbankError
from ...augment.shared.atomic import new_file

FORMAT = 1
"""Version of the file format."""

_GROUPS = ("model", "optimizer", "metrics")


@dataclass(frozen=True)
class Snapshot:
    """A file that was read: whole, and of this format."""

    path: Path
    state: dict[str, Any]
    """What was given to `write_snapshot`."""
    arrays: dict[str, list[np.ndarray]]
    """By group, in the order of the variables."""

    def restore(self, model: keras.Model) -> None:
        """Give `model` its weights, seeds and the optimizer's variables; `EpochbankError` where it is another model."""
        self._check(model)
        for group in ("model", "optimizer"):
            self._assign(model, group)

    def restore_metrics(self, model: keras.Model) -> None:
        """Give `model` the metrics of the epoch that was broken off."""
        self._assign(model, "metrics")

    def _assign(self, model: keras.Model, group: str) -> None:
        for variable, value in zip(_variables(model)[group], self.arrays[group], strict=True):
            variable.assign(value)

    def _check(self, model: keras.Model) -> None:
        variables = _variables(model)
        for group in _GROUPS:
            now, then = _described(variables[group], group), [tuple(row) for row in self.state["variables"][group]]
            if now != then:
                pairs = enumerate(zip(now, then, strict=False))
                at = next((number for number, (a, b) in pairs if a != b), min(len(now), len(then)))
                raise EpochbankError(
                    f"{self.path} is of another model: its {group} variables are {_nth(then, at)}, those of the model "
                    f"that is made now {_nth(now, at)}. Put the model's module back as it was when the training "
                    "began, or train anew, into another --run."
                )


def write_snapshot(path: Path, model: keras.Model, state: dict[str, Any]) -> None:
    """Publish the variables of `model`, built and compiled, and `state` (JSON) as `path`; `OSError` where it fails."""
    variables = _variables(model)
    described = {group: _described(variables[group], group) for group in _GROUPS}
    text = json.dumps({"format": FORMAT, **state, "variables": described}, default=float)
    arrays = {
        f"{group}/{number}": keras.ops.convert_to_numpy(variable.value)
        for group in _GROUPS
        for number, variable in enumerate(variables[group])
    }
    with new_file(path) as temporary:
        np.savez(temporary, state=np.frombuffer(text.encode(), np.uint8), **arrays)


def read_snapshot(path: Path) -> Snapshot:
    """The snapshot at `path`; `EpochbankError` where it is damaged or of a newer format."""
    remedy = "Remove it, and the training begins again from its first epoch; or train anew, into another --run."
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            state = json.loads(file["state"].tobytes())
            if state["format"] != FORMAT:
                raise EpochbankError(
                    f"{path} has format {state['format']}; this epochbank reads format {FORMAT}. Upgrade epochbank."
                )
            arrays = {
                group: [_array(file, f"{group}/{number}", row[2]) for number, row in enumerate(rows)]
                for group, rows in state["variables"].items()
            }
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise EpochbankError(f"{path} is damaged: {error}. {remedy}") from error
    return Snapshot(path, state, arrays)


def build_state(model: keras.Model, classes: int) -> None:
    """Have Keras make the variables that it would make in the first step: the optimizer's and the metrics'.

    `model` is compiled, with one output (B, classes) and integer labels (B,).
    """
    model.optimizer.build(model.trainable_variables)
    labels, outputs = np.zeros(1, np.int32), keras.ops.zeros((1, classes))
    model.compute_metrics(None, labels, outputs)
    model.reset_metrics()


def _array(file: Any, name: str, dtype: str) -> np.ndarray:
    array = file[name]
    # NumPy's files do not know bfloat16 and its like: they hold plain bytes.
    return array.view(np.dtype(dtype)) if array.dtype.kind == "V" else array


def _variables(model: keras.Model) -> dict[str, list[Any]]:
    groups = (model.variables, model.optimizer.variables, model.metrics_variables)
    return dict(zip(_GROUPS, groups, strict=True))


def _described(variables: list[Any], group: str) -> list[tuple[str, str, str]]:
    """Name, shape and dtype of each; without the numbers that Keras gives to a second model of a process.

    Paths are compared of the model's own alone: an optimizer's also tell where it was built, in a step or before.
    """
    return [
        (
            re.sub(r"_\d+(?=[/_]|$)", "", variable.path if group == "model" else variable.name),
            str(tuple(variable.shape)),
            str(variable.dtype),
        )
        for variable in variables
    ]


def _nth(described: list[tuple[str, str, str]], at: int) -> str:
    """What people are told of the variables: how many, and which comes at `at`."""
    if at >= len(described):
        return f"{len(described)} in number"
    name, shape, dtype = described[at]
    return f"{len(described)} in number, at {at} {name} {shape} {dtype}"
