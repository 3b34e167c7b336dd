"""The log of a set: `log.jsonl`, one line per run that wrote, with its estimate and what it took."""

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ... import __version__
from ..console import notify
from ..shared.atomic import no_follow
from ..shared.profile import Profile
from ..shared.progress import counted, duration, size
from ..store.manifest import Entry
from .estimate import Estimate

NAME = "log.jsonl"


@dataclass
class RunLog:
    """The estimated and the actual time and bytes of one run."""

    engine: str
    estimate: Estimate
    shards: int = 0
    """Published shards."""
    num_images: int = 0
    bytes: int = 0
    resampled: int = 0
    undistorted: int = 0
    """Images that the label check left undistorted, because it rejected every draw."""
    seconds: float = 0.0
    """From the start of the calibration run to the end, once the run has ended."""
    profile: Profile = field(default_factory=Profile)
    _clock: float = field(default_factory=time.perf_counter, init=False)

    def add(self, entry: Entry, profile: Profile) -> None:
        """Count a published shard."""
        self.shards += 1
        self.num_images += entry.num_images
        self.bytes += entry.bytes
        self.resampled += entry.resampled
        self.undistorted += entry.undistorted
        self.profile.add(profile)

    def end(self, directory: Path) -> None:
        """Stop the clock and append a line to the log of the set in `directory`, which the caller has locked."""
        self.seconds = self.estimate.start + time.perf_counter() - self._clock
        try:
            with open(directory / NAME, "a", encoding="utf-8", opener=no_follow) as file:
                file.write(json.dumps(self.record()) + "\n")
        except OSError as error:  # Not raised, because it would hide what ended the run, such as a full disk.
            notify(f"{directory / NAME} could not be written ({error}); nothing depends on it")

    def record(self) -> dict[str, Any]:
        """Return the line as JSON values."""
        return {
            "ended": datetime.now(UTC).isoformat(timespec="seconds"),
            "version": __version__,
            "engine": self.engine,
            "jobs": self.estimate.jobs,
            "complete": self.shards == len(self.estimate.shards),
            "shards": self.shards,
            "images": self.num_images,
            "resampled": self.resampled,
            "undistorted": self.undistorted,
            "estimate": {"seconds": round(self.estimate.seconds, 3), "bytes": self.estimate.bytes},
            "took": {"seconds": round(self.seconds, 3), "bytes": self.bytes},
            "profile": {name: round(seconds, 3) for name, seconds in self.profile.seconds.items()},
        }

    def lines(self) -> list[str]:
        """Return two lines of text: the estimate, and what the run took."""
        each = self.num_images / max(self.seconds, 1e-9)
        return [
            f"estimate     {duration(self.estimate.seconds)}, {size(self.estimate.bytes)}",
            f"took         {duration(self.seconds)} with start-up, {size(self.bytes)}: {each:,.0f} images/s on "
            f"{counted(self.estimate.jobs, 'job')}, {self.engine} engine",
        ]


def read_log(directory: Path) -> list[dict[str, Any]]:
    """Return the log of the set in `directory`, the oldest run first, as JSON values.

    Incomplete lines, which a power failure may leave, are skipped: nothing depends on the log.
    """
    try:
        lines = (directory / NAME).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [record for record in map(_record_of, lines) if record is not None]


def _record_of(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
