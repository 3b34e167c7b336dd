"""Windows: runs of shuffled chunks that are decoded together, and from which batches are assembled.

Each chunk of a window is decoded by its own task, at a constant distance ahead of the batches. So the work between two
batches is always the same, and batches arrive at a steady rate.
"""

import math
import threading
import weakref
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ..reading.buffers import Buffers
from ..reading.chunk_table import ChunkTable
from ..reading.disk import Disk
from ..reading.shard_feed import Group, ShardFeed
from ..reading.stored_set import StoredSet
from ..reading.teacher_labels import TeacherLabels, TeacherTable
from .batches import Batches, PassKey, Segment
from .order import Shuffle, Windows, key_of, shards_together, windows, within
from .shard_groups import groups_of, groups_of_window, last_windows

if TYPE_CHECKING:
    from .final_augmentation import FinalAugmentation, FinalDraw

Table = ChunkTable | TeacherTable

_EXTRA_WINDOWS = 2
"""Windows that are kept in addition to those that decoding ahead needs."""
_REUSED_BUFFERS = 6


@dataclass(eq=False)
class Window:
    """Images start, start + 1, ... of a pass, in this order, some of which may not be decoded yet."""

    start: int
    ends: list[int]
    """Number of images in the first chunk, the first two chunks, and so on."""
    shuffle: Callable[[], np.ndarray] | None
    """Computes `slots`; None if images are in order of their chunks."""
    draw: "Callable[[np.ndarray], FinalDraw] | None"
    """Computes `final` from `slots`; None without final augmentation."""
    images: np.ndarray
    """uint8 (n, H, W, C)."""
    labels: np.ndarray
    """int32 (n,), or of `TeacherLabels.dtype`."""
    groups: list[tuple[PassKey, int]] = field(default_factory=list)
    """Groups of shards that are fetched together, of which this window needs some."""
    begun: int = 0
    """Number of chunks whose decoding was begun."""
    missing: set[int] = field(default_factory=set)
    """Chunks that are not decoded yet, by their index in the window."""
    fault: BaseException | None = None
    ready: threading.Event = field(default_factory=threading.Event)
    """Set when all chunks are decoded, or have failed."""
    on_ready: list[Callable[[], None]] = field(default_factory=list)
    """Called at that time, with the decoder's lock held."""
    taken: set[int] = field(default_factory=set)
    """First images of the batches that are views of this memory and belong to the caller, who may change them."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _slots: np.ndarray | None = None
    _final: "FinalDraw | None" = None

    def slots(self) -> np.ndarray:
        """Return the slot of each image, in order of its chunks, int64 (n,)."""
        with self._lock:
            if self._slots is None:
                self._slots = np.arange(self.ends[-1]) if self.shuffle is None else self.shuffle()
            return self._slots

    def final(self) -> "FinalDraw":
        """Return the final augmentation of each image, in order of its chunks."""
        slots = self.slots()
        with self._lock:
            if self._final is None:
                assert self.draw is not None
                self._final = self.draw(slots)
            return self._final

    def view(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Return views of the images and labels of this window that are among `start` to `stop` - 1 of the pass."""
        low, high = max(start - self.start, 0), min(stop - self.start, self.ends[-1])
        return self.images[low:high], self.labels[low:high]


@dataclass(frozen=True)
class _Pass:
    """One pass over a split or stored epoch, with its order."""

    table: Table
    windows: Windows
    key: int | None
    """Key of the order; None for the order of position."""
    groups: list[list[int]]
    """Shards of each group that is fetched together, if the set is in an object store."""
    last_windows: list[int]
    """The last window that needs each group."""


Read = Callable[[], None]
"""A task that reads and decodes one chunk."""


class Decoder:
    """The windows in memory, and the reads that they still need. The caller holds `lock`."""

    def __init__(
        self,
        stored_set: StoredSet,
        batches: Batches,
        seed: int | None,
        shuffle: Shuffle,
        disk: Disk,
        final: "FinalAugmentation | None" = None,
        teacher: TeacherLabels | None = None,
    ):
        """Decode windows for `batches` of `stored_set`; `seed` None keeps the stored order.

        With a `teacher`, labels are read together with its own, as arrays of `TeacherLabels.dtype`.
        """
        self._teacher, self._label_dtype = teacher, np.dtype(np.int32) if teacher is None else teacher.dtype
        self.lock = threading.Lock()
        self._final = final
        self._stored_set, self._batches, self._disk = stored_set, batches, disk
        self._seed, self._shuffle = seed, shuffle
        self._tables: dict[tuple[str, int], Table] = {}
        self._passes: dict[PassKey, _Pass] = {}
        self._windows: OrderedDict[tuple[PassKey, int], Window] = OrderedDict()
        # Weak, because the rest of a window that was dropped may never be read.
        self._pending: weakref.WeakSet[Window] = weakref.WeakSet()
        self.reads: list[Read] = []
        """Reads that were not yet submitted to a thread."""
        self._buffers = Buffers(_REUSED_BUFFERS)
        self._needed = 0
        self._feed = None if stored_set.remote is None else ShardFeed(stored_set.remote, disk.close)

    def decode(self, segment: Segment) -> list[Window]:
        """Return the windows that contain a segment, in order, and add the reads that they still need to `reads`."""
        pass_ = self._pass(segment.key)
        found = []
        for number in pass_.windows.covering(segment.start, segment.stop):
            window = self._windows.get((segment.key, number))
            if window is not None and segment.start in window.taken:
                del self._windows[segment.key, number]  # A caller owns this memory, so decode the window again.
            found.append(self._decode(segment.key, pass_, number, segment.stop + pass_.windows.longest))
        self._drop_old(len(found))
        return found

    def decode_ahead(self, segments: list[Segment]) -> None:
        """Add the reads of the images that follow each segment, as many as a window has, and drop old windows."""
        needed = 0
        for segment in segments:
            key, start = segment.key, segment.start
            stop = segment.stop + self._pass(key).windows.longest
            while True:
                pass_, end = self._pass(key), self._batches.shown_range(key)[1]
                for number in pass_.windows.covering(start, min(stop, end)):
                    self._decode(key, pass_, number, stop)
                    needed += 1
                if stop <= end:
                    break
                key = self._batches.next_pass(key)
                start = self._batches.shown_range(key)[0]
                stop += start - end
        self._needed = needed
        self._drop_old(needed)

    def read_from(self, stored_set: StoredSet) -> None:
        """Read windows that are not begun yet from `stored_set`."""
        self._stored_set = stored_set
        self._passes, self._tables = {}, {}

    def fail(self, fault: BaseException) -> None:
        """Drop all windows; batches that wait for an unfinished one raise `fault`."""
        for window in list(self._pending):
            window.fault = window.fault or fault
            _finish(window)
        self._pending.clear()
        # A framework may keep the stream forever, but it must not keep images.
        for collection in (self._windows, self._passes, self._tables, self.reads):
            collection.clear()
        if self._feed is not None:
            self._feed.close()
        self._buffers = Buffers(_REUSED_BUFFERS)

    def _drop_old(self, needed: int) -> None:
        """Keep the `needed` windows that were used last, or as many as decoding ahead needs, and a few more."""
        kept = max(needed, self._needed) + _EXTRA_WINDOWS
        if self._feed is not None:
            self._give_up_shards(self._feed)
        if len(self._windows) <= kept:
            return
        while len(self._windows) > kept:
            self._windows.popitem(last=False)
        passes = {key for key, _ in self._windows}
        self._passes = {key: pass_ for key, pass_ in self._passes.items() if key in passes}
        tables = {key[:2] for key in passes}
        self._tables = {key: table for key, table in self._tables.items() if key in tables}

    def _give_up_shards(self, feed: ShardFeed) -> None:
        """Release the shards of groups whose windows are all decoded."""
        # Reads of a window that was dropped may still be in progress.
        needed = {group for window in self._pending for group in window.groups}
        for (key, number), window in self._windows.items():
            needed |= {group for group in window.groups if self._passes[key].last_windows[group[1]] > number}
        feed.keep(needed)

    def _pass(self, key: PassKey) -> _Pass:
        if key not in self._passes:
            self._passes[key] = self._order(key)
        return self._passes[key]

    def _order(self, key: PassKey) -> _Pass:
        split, stored, pass_number, _ = key
        if (split, stored) not in self._tables:
            images = self._stored_set.table(split, stored)
            self._tables[split, stored] = images if self._teacher is None else self._teacher.table(images)
        table = self._tables[split, stored]
        order_key = None if self._seed is None else key_of("order", self._seed, split, stored, pass_number)
        per_shard = table.chunks_per_shard
        # Only where it saves downloads: otherwise the order is the same for any number of ranks.
        world_size = self._batches.world_size if self._feed is not None else 1
        divided = windows(
            table.chunk_sizes, table.chunk_bytes, order_key, per_shard, shuffle=self._shuffle, world_size=world_size
        )
        # The order of position goes through the shards, too.
        one_by_one = self._shuffle == "shards" or order_key is None
        together = shards_together(max(one.num_images for one in table.shards)) if one_by_one else None
        groups = [] if self._feed is None else groups_of(divided, per_shard, together, self._batches.shown_range(key))
        last = last_windows(divided, per_shard, groups)
        return _Pass(table, divided, order_key, groups, last)

    def _fetch(self, key: PassKey, pass_: _Pass, number: int) -> list[tuple[PassKey, int]]:
        """Have the shards of a window fetched, and return the groups that it needs."""
        if self._feed is None:
            return []
        needed = groups_of_window(number, pass_.windows, pass_.table.chunks_per_shard, pass_.groups)
        for one in needed:
            if not self._feed.holds((key, one)):
                self._feed.use(self._group(key, pass_, one), self._group_after(key, pass_, one))
        return [(key, one) for one in needed]

    def _group(self, key: PassKey, pass_: _Pass, number: int) -> Group:
        return Group((key, number), [pass_.table.shards[at] for at in pass_.groups[number]])

    def _group_after(self, key: PassKey, pass_: _Pass, number: int) -> Group | None:
        """Return the group that is needed after a group, in the same pass or the next one; None if it is the same."""
        if number + 1 < len(pass_.groups):
            return self._group(key, pass_, number + 1)
        following = self._batches.next_pass(key)
        if following == key or (following[:2] == key[:2] and len(pass_.groups) == 1):
            return None
        return self._group(following, self._order(following), 0)

    def _decode(self, key: PassKey, pass_: _Pass, number: int, stop: int) -> Window:
        """Return a window, and add the reads of its chunks before image `stop` that were not begun yet."""
        window = self._windows.get((key, number))
        if window is None:
            window = self._windows[key, number] = self._new(key, pass_, number)
        self._windows.move_to_end((key, number))
        needed = bisect_left(window.ends, stop - window.start, 0, len(window.ends) - 1) + 1
        if window.begun >= needed:
            return window
        chunks = pass_.windows.chunks_of(number)[window.begun : needed].tolist()
        reads = self.reads + [
            partial(self._read, pass_.table, chunk, (key, number), window, at)
            for at, chunk in enumerate(chunks, window.begun)
        ]
        # An exception (Ctrl-C) between these two lines loses no read; it can only cause reads to be done twice.
        self.reads = reads
        window.begun = needed
        return window

    def _new(self, key: PassKey, pass_: _Pass, number: int) -> Window:
        groups = self._fetch(key, pass_, number)
        ends = np.cumsum(pass_.table.chunk_sizes[pass_.windows.chunks_of(number)]).tolist()
        shape = self._stored_set.shape
        images = self._buffers.array((ends[-1], *shape), reserve=pass_.windows.longest * math.prod(shape))
        # A decoding thread computes the slots: code that releases the GIL here would make all others wait for our lock.
        shuffled = pass_.key is not None and self._shuffle != "chunks"
        shuffle = partial(within, number, ends[-1], pass_.key or 0) if shuffled else None
        start = pass_.windows.starts[number]
        draw = None if self._final is None else partial(self._final.draw, key, start)
        window = Window(start, ends, shuffle, draw, images, np.empty(ends[-1], self._label_dtype), groups=groups)
        window.missing = set(range(len(ends)))
        self._pending.add(window)
        return window

    def _read(self, table: Table, chunk: int, key: tuple[PassKey, int], window: Window, at: int) -> None:
        low, high = window.ends[at - 1] if at else 0, window.ends[at]
        fault = None
        try:
            if window.shuffle is None and self._final is None:
                table.read(chunk, window.images[low:high], window.labels[low:high], self._disk)
            else:
                slots, distort = window.slots()[low:high], None
                if self._final is not None:
                    distort = partial(self._final.distort, drawn=window.final(), start=low)
                table.read(chunk, window.images, window.labels, self._disk, slots, distort)
        except BaseException as error:  # Every batch that needs the window raises it.
            fault = error
        if fault is not None:
            with self.lock:
                window.fault = fault
                if self._windows.get(key) is window:
                    del self._windows[key]  # The next request reads it again.
        window.missing.discard(at)  # Atomic; only the thread that decodes the last chunk needs the lock.
        if not window.missing:
            with self.lock:
                self._pending.discard(window)
                _finish(window)


def _finish(window: Window) -> None:
    window.ready.set()
    callbacks, window.on_ready = window.on_ready, []
    for callback in callbacks:
        callback()
