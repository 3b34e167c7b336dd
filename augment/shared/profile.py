"""Profile of a run: seconds and images of each named step, summed over blocks, shards and workers."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Profile:
    """Seconds and images of each named step. It only reads a clock twice per step, so it is always enabled."""

    seconds: dict[str, float] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)
    total: float = 0.0
    """Seconds of the whole work, including time outside all steps."""

    @contextmanager
    def of(self, name: str, images: int = 0) -> Iterator[None]:
        """Add the time of the `with` block, and `images`, to the step `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
            self.images[name] = self.images.get(name, 0) + images

    def add(self, other: "Profile") -> None:
        """Add the counts of `other`."""
        self.total += other.total
        for name, seconds in other.seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds
            self.images[name] = self.images.get(name, 0) + other.images[name]

    def lines(self) -> list[str]:
        """Return a table as lines of text, the slowest step first."""
        rows = sorted(self.seconds.items(), key=lambda item: -item[1])
        rows.append(("everything else", self.total - sum(self.seconds.values())))
        lines = [f"{'where the time went':28}{'seconds':>10}{'share':>9}{'images':>13}{'us each':>10}"]
        for name, seconds in [*rows, ("total, on one core", self.total)]:
            count = self.images.get(name, 0)
            share = f"{100 * seconds / max(self.total, 1e-9):.1f} %"
            counted = f"{count:>13,}{1e6 * seconds / count:>10.2f}" if count else f"{'-':>13}{'-':>10}"
            lines.append(f"{name:28}{seconds:>10.2f}{share:>9}{counted}")
        return lines
