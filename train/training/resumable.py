"""What an interruption or a fault of a training run says: how to resume it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...augment.errors import EpochbankError
from ...augment.shared.lock import writing
from ...augment.shared.signals import number_of
from .interrupt import Stopped


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep other processes out of the run directory; errors and interruptions say how to resume."""
    with writing(directory), resumable(directory):
        yield


@contextmanager
def resumable(directory: Path) -> Iterator[None]:
    """Add the command that resumes the run to errors and interruptions."""
    try:
        yield
    except KeyboardInterrupt as error:
        begun = (directory / "config.json").exists()
        text = f"Resume with: train fit --resume {directory}\n{describe_best_model(directory)}" if begun else ""
        raise Stopped(text, number_of(error)) from None
    except OSError as error:
        if not (directory / "config.json").exists():  # There is nothing to resume yet.
            raise
        raise EpochbankError(f"{error}. Fix the problem, then resume with: train fit --resume {directory}") from error


def describe_best_model(directory: Path) -> str:
    """Return whether there is a model already, and how to evaluate it, as a sentence."""
    if not (directory / "model.keras").exists():
        return f"No epoch was completed, so {directory} holds no model."
    return f"The best model so far is in {directory}; `train evaluate {directory}` evaluates it."
