"""Windows: runs of shuffled chunks, decoded together, from which batches are gathered.

A window's chunks are decoded one by one, as tasks of their own, a steady distance ahead of the batches: the
work between two batches is always the same, and batches come evenly.
"""

import math
import threading
import weakref
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from ..feeding.augmented_set import AugmentedSet
from ..reading.buffers import Buffers
from ..reading.chunk_table import ChunkTable
from ..reading.disk import Disk
from .batches import Batches, PassKey, Segment
from .order import Shuffle, Windows, key_of, windows, within

_OLD_KEPT = 2
_BUFFERS_KEPT = 6


@dataclass(eq=False)
class Window:
    """Pictures start, start + 1, ... of a pass, in this order, in the making."""

    start: int
    ends: list[int]
    """How many pictures the first chunk, the first two chunks, ... have."""
    shuffle: Callable[[], np.ndarray] | None
    """Gives `slots`; None: pictures lie in order of their chunks."""
    images: np.ndarray
    """uint8 (n, H, W, C)."""
    labels: np.ndarray
    """int32 (n,)."""
    begun: int = 0
    """Chunks whose decoding was begun."""
    left: set[int] = field(default_factory=set)
    """Of its chunks, those that are not decoded yet."""
    fault: BaseException | None = None
    ready: threading.Event = field(default_factory=threading.Event)
    """Set when all chunks are decoded, or could not be."""
    then: list[Callable[[], None]] = field(default_factory=list)
    """To be called at that moment, with the lock held."""
    given: set[int] = field(default_factory=set)
    """Beginnings of the batches that lie in this memory and may be changed by whoever has them."""
    _shuffling: threading.Lock = field(default_factory=threading.Lock)
    _slots: np.ndarray | None = None

    def slots(self) -> np.ndarray:
        """int64 (n,): where the pictures, in order of their chunks, come to lie."""
        with self._shuffling:
            if self._slots is None:
                assert self.shuffle is not None
                self._slots = self.shuffle()
            return self._slots

    def part(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Those of pictures `start` to `stop` - 1 of the pass that lie here, and their labels: views."""
        low, high = max(start - self.start, 0), min(stop - self.start, self.ends[-1])
        return self.images[low:high], self.labels[low:high]


@dataclass(frozen=True)
class _Pass:
    """One pass over a part or stored epoch, in an order of its own."""

    table: ChunkTable
    windows: Windows
    key: int | None
    """None: in order of position."""


Read = Callable[[], None]
"""A task: reads and decodes one chunk."""


class Decoder:
    """Which windows there are, and which of their chunks are still to be read. The caller holds `lock`."""

    def __init__(self, bank: AugmentedSet, batches: Batches, seed: int | None, shuffle: Shuffle, disk: Disk):
        """`batches` tell the course of training; `seed` None keeps the stored order."""
        self.lock = threading.Lock()
        self._bank, self._batches, self._disk = bank, batches, disk
        self._seed, self._shuffle = seed, shuffle
        self._tables: dict[tuple[str, int], ChunkTable] = {}
        self._passes: dict[PassKey, _Pass] = {}
        self._windows: OrderedDict[tuple[PassKey, int], Window] = OrderedDict()
        # Weakly: of a window that was forgotten, nobody may ever ask for the rest.
        self._pending: weakref.WeakSet[Window] = weakref.WeakSet()
        self.reads: list[Read] = []
        """What is to be read and decoded, and was not given to anybody yet."""
        self._buffers = Buffers(_BUFFERS_KEPT)
        self._needed = 0

    def decode(self, segment: Segment) -> list[Window]:
        """The windows that a segment lies in, in order; adds to `reads` what they still need."""
        passing = self._pass(segment.key)
        found = []
        for number in passing.windows.covering(segment.start, segment.stop):
            held = self._windows.get((segment.key, number))
            if held is not None and segment.start in held.given:
                del self._windows[segment.key, number]  # Its memory is somebody else's by now.
            found.append(self._decode(segment.key, passing, number, segment.stop + passing.windows.longest))
        self._forget(len(found))
        return found

    def decode_ahead(self, segments: list[Segment]) -> None:
        """Add to `reads` what lies up to a window's length beyond each of `segments`; forget what lies behind."""
        touched = 0
        for segment in segments:
            key, start = segment.key, segment.start
            stop = segment.stop + self._pass(key).windows.longest
            while True:
                passing, end = self._pass(key), self._batches.stretch(key)[1]
                for number in passing.windows.covering(start, min(stop, end)):
                    self._decode(key, passing, number, stop)
                    touched += 1
                if stop <= end:
                    break
                key = self._batches.next_pass(key)
                start = self._batches.stretch(key)[0]
                stop += start - end
        self._needed = touched
        self._forget(touched)

    def give_up(self, fault: BaseException) -> None:
        """Let go of all windows, and end those in the making with `fault`: no task will read for them any more."""
        for window in list(self._pending):
            window.fault = window.fault or fault
            _end(window)
        self._pending.clear()
        # A framework may keep what feeds it for ever: it shall not keep pictures.
        for held in (self._windows, self._passes, self._tables, self.reads):
            held.clear()
        self._buffers = Buffers(_BUFFERS_KEPT)

    def _forget(self, needed: int) -> None:
        """Keep the windows that were wanted last: `needed`, or as many as decoding ahead wants, and a few more."""
        kept = max(needed, self._needed) + _OLD_KEPT
        if len(self._windows) <= kept:
            return
        while len(self._windows) > kept:
            self._windows.popitem(last=False)
        passes = {key for key, _ in self._windows}
        self._passes = {key: passing for key, passing in self._passes.items() if key in passes}
        tables = {key[:2] for key in passes}
        self._tables = {key: table for key, table in self._tables.items() if key in tables}

    def _pass(self, key: PassKey) -> _Pass:
        if key not in self._passes:
            part, stored, _ = key
            if (part, stored) not in self._tables:
                self._tables[part, stored] = self._bank.table(part, stored)
            table = self._tables[part, stored]
            order_key = None if self._seed is None else key_of("order", self._seed, *key)
            self._passes[key] = _Pass(table, windows(table.images, table.chunk_bytes, order_key), order_key)
        return self._passes[key]

    def _decode(self, key: PassKey, passing: _Pass, number: int, stop: int) -> Window:
        """A window; those of its chunks that lie before picture `stop` are read, or about to be."""
        window = self._windows.get((key, number))
        if window is None:
            window = self._windows[key, number] = self._new(passing, number)
        self._windows.move_to_end((key, number))
        wanted = bisect_left(window.ends, stop - window.start, 0, len(window.ends) - 1) + 1
        if window.begun >= wanted:
            return window
        chunks = passing.windows.chunks_of(number)[window.begun : wanted].tolist()
        reads = self.reads + [
            partial(self._read, passing.table, chunk, (key, number), window, at)
            for at, chunk in enumerate(chunks, window.begun)
        ]
        # Nothing can come between these two: reads are neither lost nor wrong, only done twice at worst.
        self.reads = reads
        window.begun = wanted
        return window

    def _new(self, passing: _Pass, number: int) -> Window:
        ends = np.cumsum(passing.table.images[passing.windows.chunks_of(number)]).tolist()
        shape = self._bank.shape
        images = self._buffers.array((ends[-1], *shape), room=passing.windows.longest * math.prod(shape))
        # Shuffled by a worker: what lets go of Python's lock here would have everybody wait for ours.
        shuffled = passing.key is not None and self._shuffle == "pictures"
        shuffle = partial(within, number, ends[-1], passing.key or 0) if shuffled else None
        window = Window(passing.windows.starts[number], ends, shuffle, images, np.empty(ends[-1], np.int32))
        window.left = set(range(len(ends)))
        self._pending.add(window)
        return window

    def _read(self, table: ChunkTable, chunk: int, key: tuple[PassKey, int], window: Window, at: int) -> None:
        low, high = window.ends[at - 1] if at else 0, window.ends[at]
        fault = None
        try:
            if window.shuffle is None:
                table.read(chunk, window.images[low:high], window.labels[low:high], self._disk)
            else:
                table.read(chunk, window.images, window.labels, self._disk, window.slots()[low:high])
        except BaseException as error:  # Raised again for each batch that wants the window.
            fault = error
        if fault is not None:
            with self.lock:
                window.fault = fault
                if self._windows.get(key) is window:
                    del self._windows[key]  # Whoever asks again has it read again.
        window.left.discard(at)  # Atomic: the lock is for whoever decodes the last chunk.
        if not window.left:
            with self.lock:
                self._pending.discard(window)
                _end(window)


def _end(window: Window) -> None:
    window.ready.set()
    then, window.then = window.then, []
    for call in then:
        call()
