"""Prefetch the shards of a set in an object store into the cache, in the order of their use, and keep them until then.

Shards are kept in groups. A group has all shards of a pass, or with `shuffle="shards"` the shards that are shuffled
together. The groups that are in use are claimed. The next group is fetched after them, as soon as there is room.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from ...augment.errors import EpochbankError
from ...augment.store.manifest import Entry
from ...augment.store.objects.access import RemoteShards
from ...augment.store.objects.faults import CacheFull, Stopped

_FETCHES = 4
"""Shards that are fetched at a time, besides those for which a decoding thread waits."""
_SECONDS_BETWEEN_TRIES = 0.2
"""Between tries to fetch a shard of a group for which the cache has no room yet."""


class Group(NamedTuple):
    """A group of shards of a pass."""

    key: tuple[tuple[str, int, int, int], int]
    """The pass, and the number of the group in it."""
    entries: Sequence[Entry]
    """Its shards, in the order in which they are needed first."""


class ShardFeed:
    """Fetches the shards of one stream. Thread-safe; `close` ends its threads."""

    def __init__(self, remote: RemoteShards, released: Callable[[], object]):
        """`released` is called when shards are not needed any more, to close their files."""
        self._remote, self._released = remote, released
        self._held: dict[object, Sequence[Entry]] = {}
        self._lock = threading.Lock()
        self._now: deque[Entry] = deque()
        self._later: dict[str, deque[Entry]] = {}
        """Shards of the following groups, by split: the epoch and the originals each have one."""
        self._following: dict[str, Sequence[Entry]] = {}
        """The shards of these groups, also those that are fetched already."""
        self._full = self._closed = False
        self._running = 0
        self._threads = ThreadPoolExecutor(_FETCHES, "fetch")

    def holds(self, key: object) -> bool:
        """Return whether a group is in use."""
        return key in self._held

    def use(self, group: Group, following: Group | None) -> None:
        """Keep the shards of a group from being evicted, and begin to fetch them, then those of the group after it."""
        cache = self._remote.cache
        cache.claim(self._remote.directory, group.entries)
        with self._lock:
            self._held[group.key] = group.entries
            # Groups of the epoch and of the originals are needed at the same time.
            waiting, new = list(self._now), list(group.entries)
            self._now = deque(_alternating(waiting, new))
            self._following[group.key[0][0]] = following.entries if following is not None else ()
            self._later[group.key[0][0]] = deque(self._following[group.key[0][0]])
            self._full = False
        self._wake()

    def keep(self, keys: Collection[object]) -> None:
        """Release all groups except those with these keys."""
        with self._lock:
            dropped = [self._held.pop(key) for key in list(self._held) if key not in keys]
        if not dropped:
            return
        self._released()  # Close the files first: the disk space of an evicted file is freed when it is closed.
        for entries in dropped:
            self._remote.cache.release(self._remote.directory, entries)
        with self._lock:
            self._full = False
        self._wake()

    def close(self) -> None:
        """Release all groups, and stop fetching."""
        with self._lock:
            self._closed = True
            self._now.clear()
            self._later.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)
        for entries in self._following.values():
            self._remote.cache.forget(self._remote.directory, entries)
        self.keep(())

    def _wake(self) -> None:
        """Let the threads fetch the shards that are needed now, then those that are needed later."""
        with self._lock:
            while self._running < _FETCHES and self._next() is not None:
                try:
                    # Only one shard at a time: when the program ends, Python waits for all that was submitted.
                    self._threads.submit(self._fetch_next)
                except RuntimeError:  # The program ends.
                    return
                self._running += 1

    def _next(self) -> deque[Entry] | None:
        """Return the queue of the next shard; None if there is nothing to fetch. The caller holds the lock."""
        if self._closed:
            return None
        if self._now:
            return self._now
        later = max(self._later.values(), key=len, default=None)
        return later if later and not self._full else None

    def _fetch_next(self) -> None:
        with self._lock:
            waiting = self._next()
            entry, now = (None, False) if waiting is None else (waiting.popleft(), waiting is self._now)
        try:
            if entry is not None:
                self._remote.fetch(entry, stopped=lambda: self._closed)
        except CacheFull:  # There is room when a group is released, by this process or by another one.
            with self._lock:
                self._full = self._full or not now
                queue = self._now if now else waiting
                if queue is not None and entry is not None and not self._closed:
                    queue.appendleft(entry)
            if now:
                time.sleep(_SECONDS_BETWEEN_TRIES)
        except (Stopped, EpochbankError):
            # The decoding thread that needs the shard fetches it itself, and raises the error.
            return
        finally:
            with self._lock:
                self._running -= 1
            self._wake()


def _alternating(one: list[Entry], other: list[Entry]) -> list[Entry]:
    """Return the elements of both lists, in turn."""
    both = [entry for pair in zip(one, other, strict=False) for entry in pair]
    return both + one[len(other) :] + other[len(one) :]
