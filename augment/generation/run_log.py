"""The log of a set: `log.jsonl`, a line for every run that wrote, with its forecast beside what it took."""

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ... import __version__
from ..console import say
from ..shared.profile import Profile
from ..shared.progress import duration, size
from ..store.manifest import Entry
from .calibration import Reckoning

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
    undistorted: int = 0
    """Pictures that label safety left as they were: no draw was safe."""
    seconds: float = 0.0
    """From the beginning of its trial to the end, once it has ended."""
    profile: Profile = field(default_factory=Profile)
    _clock: float = field(default_factory=time.perf_counter, init=False)

    def add(self, entry: Entry, profile: Profile) -> None:
        """Count a shard that was published."""
        self.shards += 1
        self.pictures += entry.images
        self.bytes += entry.bytes
        self.redrawn += entry.redrawn
        self.undistorted += entry.undistorted
        self.profile.add(profile)

    def end(self, directory: Path) -> None:
        """Stop the clock and append the line to the log of the set in `directory`, whose lock the caller holds."""
        self.seconds = self.reckoned.start + time.perf_counter() - self._clock
        try:
            with open(directory / NAME, "a", encoding="utf-8") as file:
                file.write(json.dumps(self.record()) + "\n")
        except OSError as error:  # What ended the run, a full disk above all, is to be told, and not this.
            say(f"{directory / NAME} could not be written: {error}. Nothing depends on it")

    def record(self) -> dict[str, Any]:
        """The line, as JSON values."""
        return {
            "ended": datetime.now(UTC).isoformat(timespec="seconds"),
            "version": __version__,
            "engine": self.engine,
            "jobs": self.reckoned.jobs,
            "complete": self.shards == len(self.reckoned.shards),
            "shards": self.shards,
            "pictures": self.pictures,
            "redrawn": self.redrawn,
            "undistorted": self.undistorted,
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
    """What every run that wrote to the set in `directory` left in its log, the oldest first.

    Lines that are none, as a power cut leaves them, are passed over: nothing depends on the log.
    """
    try:
        lines = (directory / NAME).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [record for record in map(_record_of, lines) if record is not None]


def _record_of(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
