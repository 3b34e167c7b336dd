"""The names that `--model` accepts, checked before Keras is imported, which takes seconds."""

import sys
from importlib.util import find_spec
from pathlib import Path

from ...augment.errors import EpochbankError
from ...augment.shared.closest import did_you_mean

MODEL_NAMES = ("cnn-small", "cnn")
"""The built-in models."""


def check_model_name(name: str) -> None:
    """Raise `EpochbankError` unless `name` is a built-in model, or a `module:function` whose module exists.

    The module is neither imported nor executed.
    """
    expected = f"expected {', '.join(MODEL_NAMES)}, or module:function, called with (shape, classes)"
    module, colon, function = name.partition(":")
    if name in MODEL_NAMES:
        return
    if not colon:
        raise EpochbankError(f"model {name!r} is unknown; {expected}.{did_you_mean(name, MODEL_NAMES)}", usage=True)
    if not module or not function:
        raise EpochbankError(f"model {name!r} names no module or no function; {expected}.", usage=True)
    top = module.partition(".")[0]
    if top not in sys.modules and not _exists(top):
        local = [path.stem for path in Path.cwd().glob("*.py")]
        raise EpochbankError(
            f"model {name!r}: there is no module {top!r}; expected an installed one, or a file in the current "
            f"directory.{did_you_mean(top, local)}",
            usage=True,
        )


def _exists(module: str) -> bool:
    """Return whether a module of this name is installed or in the working directory."""
    folder = Path.cwd() / module
    return folder.with_suffix(".py").exists() or folder.is_dir() or find_spec(module) is not None
