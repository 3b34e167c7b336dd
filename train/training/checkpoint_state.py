"""Check the state in a checkpoint, which may be damaged or come from somebody else."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ...augment.errors import EpochbankError


def check_state(path: Path, state: Mapping[str, Any], *, epochs: int, steps: Callable[[int], int]) -> None:
    """Raise `EpochbankError` if a run cannot have the state that the checkpoint `path` holds.

    Parameters
    ----------
    path
        The file, for the message.
    state
        What the checkpoint holds.
    epochs
        Number of training epochs of the run.
    steps
        Returns the number of steps in an epoch.
    """
    wrong = [name for name, right in _checks(state, epochs, steps) if not right]
    if wrong:
        raise EpochbankError(
            f"{path} is damaged: the value of {wrong[0]!r} is impossible. Remove it to restart the run from its first "
            "epoch, or start a new run in another --run directory."
        )


def _checks(state: Mapping[str, Any], epochs: int, steps: Callable[[int], int]) -> Iterable[tuple[str, bool]]:
    """Yield the name of each value, and whether it is possible. Each check relies on the earlier ones."""
    epoch: Any = state.get("epoch")
    batch: Any = state.get("batch")
    rows: Any = state.get("rows")
    if not _count(epoch, epochs) or not _count(batch, steps(epoch) - 1) or (epoch == epochs and batch):
        yield "epoch" if not _count(epoch, epochs) else "batch", False
        return
    yield "ended", type(state.get("ended")) is bool and (epoch > 0 or not state.get("ended"))
    yield "seconds", _number(state.get("seconds")) and 0 <= state["seconds"] < 1e12
    yield "rows", isinstance(rows, list) and len(rows) == epoch and all(map(_row, rows, range(epoch)))
    random = state.get("random", [])
    yield "random", _texts(random)
    others = state.get("others", [])
    yield "others", isinstance(others, list) and all(map(_own_state, others))
    shown = state.get("stored_epochs")
    is_list = isinstance(shown, list) and all(_count(one, 1 << 62) for one in shown)
    yield "stored_epochs", shown is None or (is_list and len(shown) == epoch + (batch > 0))


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _own_state(own: Any) -> bool:
    """Return whether `own` is a valid state of a rank other than 0 in a checkpoint."""
    if not isinstance(own, dict) or not _texts(own.get("random")):
        return False
    metrics = own.get("metrics", [])
    return isinstance(metrics, list) and all(map(_number, metrics))


def _row(row: Any, epoch: int) -> bool:
    """Return whether `row` is the logs of training epoch `epoch`."""
    if not isinstance(row, dict) or not all(map(_number, row.values())):
        return False
    complete = {"loss", "accuracy"} <= set(row) and ("val_loss" in row) == ("val_accuracy" in row)
    return complete and row.get("epoch") == epoch


def _number(value: Any) -> bool:
    return type(value) in (int, float)


def _count(value: Any, most: int) -> bool:
    return type(value) is int and 0 <= value <= most
