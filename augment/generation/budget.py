"""Hold the limits of a run: no shard is begun or published that exceeds them."""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..errors import EpochbankError
from ..shared.atomic import TEMPORARY
from ..shared.disk_space import Limits, bytes_below
from ..store.manifest import Entry
from ..store.shard import ShardTask
from .shard_job import ShardJob

_CERTAIN = 0.9
"""Share of the estimated bytes of a shard that count before it is made: a shard that would fit must not be refused."""
_LINE_BYTES = 1024
"""Upper bound of what a shard adds to manifest, checksums and log."""
_SECONDS, _FACTOR = 10.0, 20
"""The bytes on disk are counted again after this time, or this many times what counting took, if that is longer."""


class Budget:
    """What a run may still write. Thread-safe: shards are begun and published in different threads."""

    def __init__(self, limits: Limits, directory: Path, estimated: Mapping[ShardTask, float]):
        """`directory` is the set's, `estimated` the bytes of each shard that the run writes."""
        self._limits, self._directory, self._estimated = limits, directory, estimated
        self._begun: dict[str, float] = {}
        self._used, self._published, self._count_again = 0, 0, 0.0
        self._lock = threading.Lock()
        self.fault = ""
        """Why no further shard was begun, as a sentence; '' if all were."""

    def admitted(self, jobs: Iterable[ShardJob]) -> Iterator[ShardJob]:
        """Yield `jobs` as long as their shards, and those that are begun and not published, keep the limits."""
        for job in jobs:
            if self._limits and not self._admit(job.task):
                return
            yield job

    @contextmanager
    def publishing(self, entries: Iterable[Entry]) -> Iterator[None]:
        """Publish the shards `entries` inside the `with` block, in which nothing is admitted.

        Raises `EpochbankError` if what is on disk now, with the unpublished shards, exceeds a limit.
        """
        with self._lock:
            fault = self._exceeded(0.0) if self._limits else ""
            if fault:
                raise EpochbankError(fault)
            yield
            for entry in entries:
                self._begun.pop(entry.file, None)
                self._published += entry.bytes + _LINE_BYTES

    def _admit(self, task: ShardTask) -> bool:
        with self._lock:
            coming = _CERTAIN * self._estimated[task]
            begun = sum(self._begun.values()) - self._temporary_bytes()
            self.fault = self._exceeded(max(0.0, begun) + coming)
            if not self.fault:
                self._begun[task.file] = coming
            return not self.fault

    def _exceeded(self, more: float) -> str:
        """Return which limit `more` bytes would exceed, as a sentence; '' if none.

        The bytes on disk are counted for each shard only close to the limit, because that takes a second in a set of
        100,000 shards. Otherwise they are at most those of the last count, what was published since, and what is
        unfinished now.
        """
        sets = self._directory.parent
        if time.monotonic() < self._count_again:
            at_most = self._used + self._published + self._temporary_bytes()
            if not self._limits.exceeded(sets, more, used=at_most):
                return ""
        started = time.monotonic()
        self._used, self._published = bytes_below(sets) if self._limits.max_bytes is not None else 0, 0
        stopped = time.monotonic()
        self._count_again = stopped + max(_SECONDS, _FACTOR * (stopped - started))
        return self._limits.exceeded(sets, more, used=self._used)

    def _temporary_bytes(self) -> int:
        """Return the bytes of the shards that are begun, as far as they are on disk: these count as used already."""
        folders = {(self._directory / file).parent for file in self._begun}
        total = 0
        for path in (path for folder in folders for path in folder.glob(f"{TEMPORARY}*")):
            try:
                total += path.stat().st_size
            except FileNotFoundError:  # Published in the meantime.
                continue
        return total
