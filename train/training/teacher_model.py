"""The model of a teacher: a run, or a file that Keras saved. What can be checked without Keras is checked first."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...augment.errors import EpochbankError
from ...augment.store.digest import file_checksum
from ..reading.stored_set import StoredSet
from .run_directory import best_model, check_model, check_trust, find_run, read_config

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class TeacherModel:
    """A trained model for the classes of a set."""

    file: Path
    """The file of the model, or of a run its weights."""
    digest: str
    """XXH3-128 of the file, hexadecimal."""
    run: Path | None
    """The run, whose model is made from code; None for a file, which describes the model."""
    config: dict[str, Any]
    """config.json of the run, or of the run that the file is in; empty if there is none."""

    @property
    def name(self) -> str:
        """Name of the run or of the file."""
        return self.file.absolute().parent.name if self.run or self.config else self.file.stem


def find_teacher_model(path: Path, stored_set: StoredSet, trust: bool) -> TeacherModel:
    """Return the model at `path`, a run or a name in `runs/`, or a `.keras` file. It is not loaded.

    Raises `EpochbankError` if there is none, its classes or the shape of its images are not those of the set, or it is
    a function and `trust` is False.
    """
    if path.suffix != ".keras":
        run = find_run(path)
        config = read_config(run)
        check_trust(run, config, trust)
        check_model(run, config)
        file = best_model(run)
    elif path.is_file():
        run, file = None, path
        config = read_config(path.parent) if (path.parent / "config.json").exists() else {}
    else:
        raise EpochbankError(
            f"{path} is not a file; expected a run directory, or a model that Keras saved as a `.keras` file.",
            usage=True,
        )
    if config:
        _check_classes(path, config.get("class_names"), stored_set)
        if config.get("shape") != list(stored_set.shape):
            raise EpochbankError(
                f"the model of {path} is for images of shape {config.get('shape')}; expected {list(stored_set.shape)}, "
                f"that of {stored_set.path}. Use a model that was trained on images of that size."
            )
    return TeacherModel(file, file_checksum(file), run, config)


def _check_classes(path: Path, names: Any, stored_set: StoredSet) -> None:
    """Raise `EpochbankError` unless `names`, those of the classes of a run, are those of the set, in the same order."""
    expected = stored_set.class_names
    if not isinstance(names, list) or not names:
        raise EpochbankError(f"config.json of {path} has no class_names; expected those of its set. Train again.")
    if names == expected:
        return
    where = next((at for at, pair in enumerate(zip(names, expected, strict=False)) if pair[0] != pair[1]), None)
    differs = (
        f"has {len(names):,} classes and the set {len(expected):,}"
        if where is None
        else f"has {names[where]!r} as class {where}, and the set {expected[where]!r}"
    )
    raise EpochbankError(
        f"the classes of {path} are not those of {stored_set.path}: it {differs}. Use a model that was trained on the "
        "same classes."
    )


def load_teacher_model(found: TeacherModel, stored_set: StoredSet) -> "keras.Model":
    """Load a model with Keras: only the weights of a run; of a file, what Keras' safe mode permits.

    Raises `EpochbankError` if the file is damaged, contains code, or has not one output per class of the set.
    """
    import keras

    from .evaluate import load_best
    from .models import build_model, check_parameters

    shape, classes = stored_set.shape, len(stored_set.class_names)
    if found.run is not None:
        model = build_model(found.config["model"], shape, classes)
        check_parameters(model, found.config, found.run)
        load_best(model, found.run)
        return model
    try:
        model = keras.saving.load_model(found.file, compile=False, safe_mode=True)
        inputs, outputs = model.input_shape, model.output_shape
    except Exception as error:  # Layers of the file may raise anything.
        text = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise EpochbankError(
            f"{found.file} cannot be loaded in Keras' safe mode: {text}. Use a file of Keras' own layers, or the run "
            "directory of `train fit`, whose model is made from code."
        ) from error
    if not isinstance(outputs, tuple) or outputs[1:] != (classes,):
        raise EpochbankError(
            f"{found.file} has an output of shape {outputs}; expected (None, {classes}), one value per class of "
            f"{stored_set.path}. Use a model that was trained on the same classes."
        )
    if len(inputs) != 4 or any(want not in (None, have) for want, have in zip(inputs[1:], shape, strict=True)):
        raise EpochbankError(
            f"{found.file} has an input of shape {inputs}; expected (None, {', '.join(map(str, shape))}), the shape of "
            f"the images of {stored_set.path}."
        )
    return model
