"""The log of a set: `log.jsonl`, a line for every run that wrote, with its forecast beside what it took."""

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from augment import __version__
from augment.console import say
from augment.errors import EpochbankError
from augment.profile import Profile
from augment.progress import duration, size
from augment.reckoning import Reckoning
from augment.store.manifest import Entry

NAME = "log.jsonl"


@dataclass
class RunLog:
    """What one run of `augment run` was reckoned to do, and did."""

    engine: str
    reckoned: Reckoning
    shards: int = 0
    """Published."""
    pictures: int = 0
    bytes: int = 0
    redrawn: int = 0
    seconds: float = 0.0
    """From the beginning of its trial to the end, once it has ended."""
    profile: Profile = field(default_factory=Profile)
    begun: datetime = field(default_factory=lambda: datetime.now(UTC))
    _clock: float = field(default_factory=time.perf_counter)

    def add(self, entry: Entry, profile: Profile) -> None:
        """Count a shard that was published."""
        self.shards += 1
        self.pictures += entry.images
        self.bytes += entry.bytes
        self.redrawn += entry.redrawn
        self.profile.add(profile)

    def end(self, directory: Path) -> None:
        """Stop the clock and append the line to the log of the set in `directory`, whose lock the caller holds."""
        self.seconds = self.reckoned.start + time.perf_counter() - self._clock
        with open(directory / NAME, "ab", buffering=0) as file:
            length = file.tell()
            try:
                file.write((json.dumps(self.record()) + "\n").encode())
            except OSError as error:  # What ended the run, a full disk above all, is to be told, and not this.
                file.truncate(length)
                say(f"{directory / NAME} could not be written: {error}; nothing depends on it")

    def record(self) -> dict[str, Any]:
        """The line, as JSON values."""
        return {
            "begun": self.begun.isoformat(timespec="seconds"),
            "version": __version__,
            "engine": self.engine,
            "jobs": self.reckoned.jobs,
            "complete": self.shards == len(self.reckoned.shards),
            "shards": self.shards,
            "pictures": self.pictures,
            "redrawn": self.redrawn,
            "forecast": {"seconds": round(self.reckoned.seconds, 3), "bytes": self.reckoned.bytes},
            "took": {"seconds": round(self.seconds, 3), "bytes": self.bytes},
            "profile": {name: round(seconds, 3) for name, seconds in self.profile.seconds.items()},
        }

    def lines(self) -> list[str]:
        """For people: the forecast beside what it took."""
        each = self.pictures / max(self.seconds, 1e-9)
        return [
            f"forecast     {duration(self.reckoned.seconds)}, {size(self.reckoned.bytes)}",
            f"took         {duration(self.seconds)}, {size(self.bytes)}: {each:,.0f} pictures/s on "
            f"{self.reckoned.jobs} core(s), {self.engine} engine",
        ]


def read_log(directory: Path) -> list[dict[str, Any]]:
    """What every run that wrote to the set in `directory` left in its log, the oldest first."""
    path = directory / NAME
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise EpochbankError(
            f"{path} is damaged ({error}); expected one JSON object a line. It says what runs took, and nothing that "
            "the set depends on: delete the damaged lines."
        ) from error
