"""What a run in an experiment tracker is."""

import re
from collections.abc import Mapping
from typing import Literal, Protocol

Outcome = Literal["finished", "interrupted", "failed"]
Settings = dict[str, str | int | float | bool]


class Tracker(Protocol):
    """A run in an experiment tracker."""

    epochs: int
    """Number of epochs that the run has."""
    place: str
    """Where the run is found, for the user."""

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Add the metrics of `epoch`, counted from 0."""

    def log_results(self, epochs: int, results: Mapping[str, float]) -> None:
        """Add the results of a training of `epochs` epochs, once."""

    def close(self, outcome: Outcome) -> None:
        """End the run, or this session of it."""


def without_password(text: str) -> str:
    """Return `text` without the user and password of a URL in it."""
    return re.sub(r"//[^/\s]*@", "//", text)
