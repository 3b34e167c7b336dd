"""The names that `--log` accepts, checked before Keras is imported, which takes seconds."""

from importlib.util import find_spec

from ...augment.errors import EpochbankError
from ...augment.shared.closest import did_you_mean

TRACKER_NAMES = ("tensorboard", "mlflow", "wandb")
"""The experiment trackers; each is also the name of its module, and of the extra that installs it."""


def parse_log(text: str | None) -> tuple[str, ...]:
    """Return the trackers in `text`, such as `tensorboard,mlflow`, without repetitions; () for None and `none`.

    Raises `EpochbankError` if a name is unknown. The packages are neither imported nor required.
    """
    if text in (None, "none"):
        return ()
    names = dict.fromkeys(name.strip() for name in (text or "").split(","))
    for name in names:
        if name not in TRACKER_NAMES:
            raise EpochbankError(
                f"--log names the tracker {name!r}; expected one or more of {', '.join(TRACKER_NAMES)}, separated "
                f"by commas, or none.{did_you_mean(name, TRACKER_NAMES)}",
                usage=True,
            )
    return tuple(names)


def check_installed(names: tuple[str, ...]) -> None:
    """Raise `EpochbankError` if the package of one of the trackers `names` is not installed."""
    missing = [name for name in names if not _is_installed(name)]
    if missing:
        raise EpochbankError(
            f"--log {','.join(names)} needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
            f"installed. Run: pip install 'epochbank[{','.join(missing)}]'"
        )


def _is_installed(module: str) -> bool:
    """Return whether a module is installed; a mere directory of that name, such as W&B's `wandb/`, is not."""
    found = find_spec(module)
    return found is not None and found.origin is not None
