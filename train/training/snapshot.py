"""Snapshots: the state of a training run in one file, so that variables and other state are consistent.

The file is an `.npz` with the arrays `model/0`, `optimizer/0`, `metrics/0` and so on, in the order of the model's
variables, and `state`, which is JSON. It is written atomically: the previous file stays until the new one is complete.
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
    """The contents of a snapshot file."""

    path: Path
    state: dict[str, Any]
    """The state given to `write_snapshot`."""
    arrays: dict[str, list[np.ndarray]]
    """Values of the variables by group (`model`, `optimizer`, `metrics`), in the order of the variables."""

    def restore(self, model: keras.Model) -> None:
        """Restore the weights, seeds and optimizer variables of `model`.

        Raises `EpochbankError` if the snapshot belongs to a model with other variables.
        """
        self._check(model)
        for group in ("model", "optimizer"):
            self._assign(model, group)

    def restore_metrics(self, model: keras.Model) -> None:
        """Restore the metrics of the interrupted epoch."""
        self._assign(model, "metrics")

    def _assign(self, model: keras.Model, group: str) -> None:
        for variable, value in zip(_variables(model)[group], self.arrays[group], strict=True):
            variable.assign(value)

    def _check(self, model: keras.Model) -> None:
        variables = _variables(model)
        for group in _GROUPS:
            built, saved = _signatures(variables[group], group), [tuple(row) for row in self.state["variables"][group]]
            if built != saved:
                pairs = enumerate(zip(built, saved, strict=False))
                at = next((number for number, (a, b) in pairs if a != b), min(len(built), len(saved)))
                raise EpochbankError(
                    f"{self.path} belongs to another model: it has {_describe(saved, at, group)}, and the model "
                    f"function now makes {_describe(built, at, group)}. Restore the model function, or start a new run "
                    "in another --run directory."
                )


def write_snapshot(path: Path, model: keras.Model, state: dict[str, Any]) -> None:
    """Write the variables of `model`, built and compiled, and `state` (JSON) to `path`."""
    variables = _variables(model)
    signatures = {group: _signatures(variables[group], group) for group in _GROUPS}
    text = json.dumps({"format": FORMAT, **state, "variables": signatures}, default=float)
    arrays = {
        f"{group}/{number}": keras.ops.convert_to_numpy(variable.value)
        for group in _GROUPS
        for number, variable in enumerate(variables[group])
    }
    with new_file(path) as temporary:
        np.savez(temporary, state=np.frombuffer(text.encode(), np.uint8), **arrays)


def read_snapshot(path: Path) -> Snapshot:
    """Read the snapshot at `path`; `EpochbankError` if it is damaged or of another format."""
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            _check_sizes(file.zip, path.stat().st_size)
            state = json.loads(file["state"].tobytes())
            if state["format"] != FORMAT:
                raise EpochbankError(
                    f"{path} has format {state['format']}; this epochbank reads format {FORMAT}. Upgrade epochbank."
                )
            arrays = {
                group: [_array(file, f"{group}/{number}", *row) for number, row in enumerate(state["variables"][group])]
                for group in _GROUPS
            }
    except EpochbankError:
        raise
    except Exception as error:  # Damage makes zipfile, NumPy and JSON raise exceptions of many types.
        raise EpochbankError(
            f"{path} is damaged: {error}. Remove it to restart the run from its first epoch, or start a new run in "
            "another --run directory."
        ) from error
    return Snapshot(path, state, arrays)


def build_state(model: keras.Model, classes: int) -> None:
    """Create the optimizer and metric variables, which Keras creates in the first step.

    `model` is compiled, with one output (B, classes) and integer labels (B,).
    """
    model.optimizer.build(model.trainable_variables)
    labels, outputs = np.zeros(1, np.int32), keras.ops.zeros((1, classes))
    model.compute_metrics(None, labels, outputs)
    model.reset_metrics()


def _check_sizes(file: zipfile.ZipFile, size: int) -> None:
    """Raise `ValueError` unless the members are stored as they are, so that none is larger than the file."""
    members = file.infolist()
    if any(one.compress_type != zipfile.ZIP_STORED for one in members) or sum(one.file_size for one in members) > size:
        raise ValueError("its members are larger than the file")


def _array(file: Any, name: str, path: str, shape: str, dtype: str) -> np.ndarray:
    array = file[name]
    # .npz files have no bfloat16 or float8: they store the plain bytes.
    array = array.view(np.dtype(dtype)) if array.dtype.kind == "V" else array
    if str(array.shape) != shape or not isinstance(path + dtype, str) or array.dtype.kind not in "biufV":
        raise ValueError(
            f"{name} is an array of the shape {array.shape} and type {array.dtype}, not {shape} and {dtype}"
        )
    return array


def _variables(model: keras.Model) -> dict[str, list[Any]]:
    groups = (model.variables, model.optimizer.variables, model.metrics_variables)
    return dict(zip(_GROUPS, groups, strict=True))


def _signatures(variables: list[Any], group: str) -> list[tuple[str, str, str]]:
    """Return the name, shape and dtype of each variable, without the numbers by which Keras makes names unique.

    Model variables are compared by path; the paths of optimizer variables depend on where the optimizer was built.
    """
    return [
        (
            re.sub(r"_\d+(?=[/_]|$)", "", variable.path if group == "model" else variable.name),
            str(tuple(variable.shape)),
            str(variable.dtype),
        )
        for variable in variables
    ]


def _describe(signatures: list[tuple[str, str, str]], at: int, group: str) -> str:
    """Describe the variables of a group: their number, and the one at index `at`."""
    described = f"{len(signatures)} {group} variables"
    return f"{described} (number {at}: {' '.join(signatures[at])})" if at < len(signatures) else described
