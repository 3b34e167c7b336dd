"""Export the best model of a run by Keras' own `export`, for use without epochbank."""

import json
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...augment.errors import EpochbankError
from ...augment.shared.atomic import TEMPORARY, make_directory, write_text
from ...augment.shared.closest import did_you_mean
from .backend import start_backend
from .run_directory import check_model

CLASSES = "classes.json"


class Format(NamedTuple):
    """A format of exported models."""

    keras: str
    """Its name in Keras."""
    suffix: str
    """The suffix that its files must have; '' for a directory."""
    modules: tuple[str, ...] = ()
    """Modules that Keras needs for it."""


FORMATS = {
    "savedmodel": Format("tf_saved_model", "", ("tensorflow",)),
    "onnx": Format("onnx", ".onnx", ("onnx", "tf2onnx")),
    "tflite": Format("litert", ".tflite", ("tensorflow",)),
}


def check_export(name: str, out: Path) -> None:
    """Raise `EpochbankError` if a model cannot be exported in format `name` to `out`. Keras is not imported."""
    if name not in FORMATS:
        raise EpochbankError(
            f"format {name!r} is unknown; expected {', '.join(FORMATS)}.{did_you_mean(name, FORMATS)}", usage=True
        )
    suffix = FORMATS[name].suffix
    if suffix and out.suffix != suffix:
        raise EpochbankError(
            f"--out {out} does not end in {suffix}, the suffix of {name} files. Rename it.", usage=True
        )
    if out.exists():
        raise EpochbankError(f"{out} exists; expected a new path. Choose another --out, or remove it.")
    missing = [module for module in FORMATS[name].modules if find_spec(module) is None]
    if missing:
        extra = "export" if name == "onnx" else "train"
        raise EpochbankError(
            f"--format {name} needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
            f"installed. Install it: pip install 'epochbank[{extra}]'"
        )


def export_run(
    run: Path, config: dict[str, Any], name: str, out: Path, preprocessing: dict[str, Any], trust: bool = False
) -> list[Path]:
    """Export the best model of a run to `out`, with `classes.json` beside it; return both paths.

    `classes.json` has `classes`, the class names by label; `outputs`, `probabilities` or `logits`; `shape`, (H, W, C)
    of the uint8 images that the model takes; and `preprocessing`, how they were prepared. Raises `EpochbankError` if
    Keras cannot export the model, or the model is a function and `trust` is False.
    """
    check_export(name, out)
    check_model(run, config)
    beside = out.parent / CLASSES
    known = {"classes": config.get("class_names"), "shape": config.get("shape"), "preprocessing": preprocessing}
    _check_beside(beside, known)
    start_backend()
    from .outputs import returns_probabilities
    from .predict import load_run

    model, class_names = load_run(run, config, trust)
    document = {
        "classes": class_names,
        "outputs": "probabilities" if returns_probabilities(model) else "logits",
        "shape": config["shape"],
        "preprocessing": preprocessing,
    }
    _check_beside(beside, document)
    make_directory(out.parent)
    folder = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=out.parent))
    try:
        try:
            model(np.zeros((1, *config["shape"]), np.uint8))  # Some exporters refuse a model that was never called.
            model.export(folder / out.name, format=FORMATS[name].keras, verbose=False)
        except Exception as error:  # Each of Keras' exporters raises different exceptions.
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300].rstrip(".")
            raise EpochbankError(
                f"Keras cannot export the model of {run} as {name}: {reason}. Choose another --format."
            ) from error
        (folder / out.name).rename(out)
    finally:
        shutil.rmtree(folder)
    write_text(beside, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return [out, beside]


def _check_beside(beside: Path, expected: dict[str, Any]) -> None:
    """Raise `EpochbankError` if there is a `classes.json` that does not have these values."""
    if not beside.exists():
        return
    try:
        found = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        found = None
    # As JSON, in which a tuple is a list.
    if not isinstance(found, dict) or found | json.loads(json.dumps(expected)) != found:
        raise EpochbankError(
            f"{beside} belongs to another model; expected a directory without it. Choose another --out."
        )
