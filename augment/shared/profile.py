"""Where the time of a run went: seconds and pictures by name, added up over blocks, shards and workers."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Profile:
    """Seconds and pictures of each named piece of work; a reader of a clock twice a piece, so it is always on."""

    seconds: dict[str, float] = field(default_factory=dict)
    pictures: dict[str, int] = field(default_factory=dict)
    total: float = 0.0
    """Seconds of the whole work, of which the pieces are parts."""

    @contextmanager
    def of(self, name: str, pictures: int = 0) -> Iterator[None]:
        """Count what the block takes, and how many `pictures` it was done to, under `name`."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun
            self.pictures[name] = self.pictures.get(name, 0) + pictures

    def add(self, other: "Profile") -> None:
        """Count what `other` counted."""
        self.total += other.total
        for name, seconds in other.seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds
            self.pictures[name] = self.pictures.get(name, 0) + other.pictures[name]

    def lines(self) -> list[str]:
        """A table for people, the largest piece first."""
        rows = sorted(self.seconds.items(), key=lambda item: -item[1])
        rows.append(("everything else", self.total - sum(self.seconds.values())))
        lines = [f"{'where the time went':28}{'seconds':>10}{'share':>9}{'pictures':>13}{'us each':>10}"]
        for name, seconds in [*rows, ("all, of one core", self.total)]:
            count = self.pictures.get(name, 0)
            share = f"{100 * seconds / max(self.total, 1e-9):.1f} %"
            counted = f"{count:>13,}{1e6 * seconds / count:>10.2f}" if count else f"{'-':>13}{'-':>10}"
            lines.append(f"{name:28}{seconds:>10.2f}{share:>9}{counted}")
        return lines
