"""The estimated time and bytes of a run."""

import heapq
from dataclasses import dataclass, field

from ..store.shard import ShardTask


@dataclass(frozen=True)
class Cost:
    """Cost of images of one kind on one core of this machine."""

    seconds: float
    """Seconds per image."""
    bytes: float
    """Stored bytes per image."""
    shard_seconds: float
    """Further seconds per shard: its file, and syncing it."""
    shard_bytes: float
    """Further bytes per shard."""

    def of(self, task: ShardTask) -> tuple[float, float]:
        """Return seconds and bytes of a shard."""
        # The padding of the last chunk takes no space once it is compressed.
        stored = -(-task.num_images // task.chunk) * task.chunk if task.codec == "none" else task.num_images
        return task.num_images * self.seconds + self.shard_seconds, stored * self.bytes + self.shard_bytes


@dataclass(frozen=True)
class Estimate:
    """Estimated time and bytes of a list of shards."""

    jobs: int
    """Worker processes."""
    start: float
    """Seconds for the calibration run and for starting the workers."""
    bytes: int
    """Stored bytes of all shards."""
    shards: list[float] = field(repr=False)
    """Seconds of each shard on one core, in order."""
    shard_bytes: list[float] = field(default_factory=list, repr=False)
    """Stored bytes of each shard, in order."""

    @property
    def seconds(self) -> float:
        """Seconds with `jobs` workers, start included."""
        return self.seconds_on(self.jobs)

    def seconds_on(self, jobs: int) -> float:
        """Return the seconds with `jobs` workers, each on a core as fast as the measured one."""
        free = [self.start] * max(1, min(jobs, len(self.shards)))
        for seconds in self.shards:
            heapq.heapreplace(free, free[0] + seconds)
        return max(free)
