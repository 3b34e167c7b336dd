"""The goal of a refresh, in `refresh.json` in the set's directory until the refresh is done or canceled."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import EpochbankError
from ..shared.atomic import write_text

NAME = "refresh.json"


@dataclass(frozen=True)
class RefreshGoal:
    """What a refresh arrives at: the set has the stored epochs `first` to `stop` - 1."""

    first: int
    stop: int


def write_goal(directory: Path, goal: RefreshGoal) -> None:
    """Record the goal of a refresh of the set in `directory`."""
    write_text(directory / NAME, json.dumps(asdict(goal)) + "\n")


def read_goal(directory: Path, stored: list[int], first: int) -> RefreshGoal | None:
    """Return the goal of the unfinished refresh of the set in `directory`; None if there is none.

    `stored` are the numbers of the published epochs, ascending, and `first` is the least number that one may have.
    Raises `EpochbankError` if no refresh of such a set can have recorded the goal.
    """
    path = directory / NAME
    try:
        return _parse(path.read_text(encoding="utf-8"), stored, first)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EpochbankError(
            f"{path} is damaged ({error}); expected the goal of an interrupted refresh. Remove it with "
            f"`augment refresh {directory} --cancel`, then refresh again."
        ) from error


def _parse(text: str, stored: list[int], first: int) -> RefreshGoal:
    """Return the goal in `text`. A refresh keeps the number of stored epochs, and retires at most all of them."""
    document = json.loads(text)
    goal = RefreshGoal(document["first"], document["stop"])
    if not (type(goal.first) is int and type(goal.stop) is int):
        raise TypeError("`first` and `stop` are not whole numbers")
    size = goal.stop - goal.first
    last = stored[-1] if stored else first - 1
    if not (first <= goal.first < goal.stop and size <= len(stored) and goal.stop <= last + 1 + size):
        raise ValueError(f"`first` {goal.first} and `stop` {goal.stop} do not fit the epochs of the set")
    return goal
