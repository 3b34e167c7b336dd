"""Windows: runs of shuffled chunks, decoded together, from which batches are gathered.

A window's chunks are decoded one by one, as tasks of their own, a steady distance ahead of the batches: the
work between two batches is always the same, and batches come evenly.
"""

import threading
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from train.bank import Bank
from train.batches import PassKey, Segment
from train.chunks import ChunkTable
from train.disk import Disk
from train.order import Windows, key_of, windows, within

_OLD_KEPT = 2
_SPARE_KEPT = 2


@dataclass(eq=False)
class Window:
    """Pictures start, start + 1, ... of a pass, in the making: they will be `images[order[0]]`, ..."""

    start: int
    ends: list[int]
    """Where in `images` each chunk ends."""
    images: np.ndarray
    """uint8 (n, H, W, C), with room for more."""
    labels: np.ndarray
    """int32 (n,), with room for more."""
    shuffle: Callable[[], np.ndarray] | None
    """Gives `order`; None: as they are."""
    spare: "deque[tuple[np.ndarray, np.ndarray]]" = field(repr=False)
    """Takes the arrays when nobody has the window any more."""
    begun: int = 0
    """Chunks whose decoding was begun."""
    decoded: int = 0
    order: np.ndarray | None = None
    """int64 (n,), once the first chunk is decoded."""
    fault: BaseException | None = None
    then: list[Callable[[], None]] = field(default_factory=list)
    """To be called when all chunks are decoded, or could not be."""

    def __del__(self) -> None:
        self.spare.append((self.images, self.labels))

    @property
    def complete(self) -> bool:
        """Whether all chunks are decoded, or could not be."""
        return self.decoded == len(self.ends)

    def copy(self, start: int, stop: int, images: np.ndarray, labels: np.ndarray) -> int:
        """Copy those of pictures `start` to `stop` - 1 of the pass that lie here; returns how many they are."""
        low, high = max(start - self.start, 0), min(stop - self.start, self.ends[-1])
        if self.order is None:
            images[: high - low], labels[: high - low] = self.images[low:high], self.labels[low:high]
        else:
            np.take(self.images, self.order[low:high], 0, images[: high - low], "clip")
            np.take(self.labels, self.order[low:high], 0, labels[: high - low], "clip")
        return high - low


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

    def __init__(self, bank: Bank, seed: int | None, next_pass: Callable[[PassKey], PassKey], disk: Disk):
        """`seed` None keeps the stored order; `next_pass` tells which pass follows on another."""
        self.lock = threading.Lock()
        self._bank, self._seed, self._next_pass, self._disk = bank, seed, next_pass, disk
        self._tables: dict[tuple[str, int], ChunkTable] = {}
        self._passes: dict[PassKey, _Pass] = {}
        self._windows: OrderedDict[tuple[PassKey, int], Window] = OrderedDict()
        self._spare: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=_SPARE_KEPT)

    def decode(self, segment: Segment) -> tuple[list[Window], list[Read]]:
        """The windows that a segment lies in, in order, and the reads that nobody was given yet."""
        passing = self._pass(segment.key)
        found, reads = [], []
        for number in passing.windows.covering(segment.start, segment.stop):
            window, more = self._decode(segment.key, passing, number, segment.stop + passing.windows.longest)
            found.append(window)
            reads += more
        return found, reads

    def decode_ahead(self, segments: list[Segment]) -> list[Read]:
        """The reads up to a window's length beyond each of `segments`; forgets what lies behind."""
        touched, reads = 0, []
        for segment in segments:
            key, start = segment.key, segment.start
            stop = segment.stop + self._pass(key).windows.longest
            while stop > 0:
                passing = self._pass(key)
                for number in passing.windows.covering(start, min(stop, passing.windows.images)):
                    reads += self._decode(key, passing, number, stop)[1]
                    touched += 1
                key, start, stop = self._next_pass(key), 0, stop - passing.windows.images
        if len(self._windows) > touched + _OLD_KEPT:
            self._forget(touched + _OLD_KEPT)
        return reads

    def _forget(self, kept: int) -> None:
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

    def _decode(self, key: PassKey, passing: _Pass, number: int, stop: int) -> tuple[Window, list[Read]]:
        """A window, and reads of its chunks that nobody was given yet and that lie before picture `stop`."""
        window = self._windows.get((key, number))
        if window is None:
            window = self._windows[key, number] = self._new(passing, number)
        self._windows.move_to_end((key, number))
        wanted = bisect_left(window.ends, stop - window.start, 0, len(window.ends) - 1) + 1
        if window.begun >= wanted:
            return window, []
        chunks = passing.windows.chunks_of(number)[window.begun : wanted].tolist()
        reads: list[Read] = [
            partial(self._read, passing.table, chunk, (key, number), window, at)
            for at, chunk in enumerate(chunks, window.begun)
        ]
        window.begun = wanted
        return window, reads

    def _new(self, passing: _Pass, number: int) -> Window:
        ends = np.cumsum(passing.table.images[passing.windows.chunks_of(number)]).tolist()
        try:
            images, labels = self._spare.pop()
        except IndexError:
            images, labels = np.empty((0, *self._bank.shape), np.uint8), np.empty(0, np.int32)
        if len(labels) < ends[-1]:
            room = passing.windows.longest
            images, labels = np.empty((room, *self._bank.shape), np.uint8), np.empty(room, np.int32)
        shuffle = None if passing.key is None else partial(within, number, ends[-1], passing.key)
        return Window(passing.windows.starts[number], ends, images, labels, shuffle, self._spare)

    def _read(self, table: ChunkTable, chunk: int, key: tuple[PassKey, int], window: Window, at: int) -> None:
        low, high = window.ends[at - 1] if at else 0, window.ends[at]
        fault = None
        try:
            if at == 0 and window.shuffle is not None:
                window.order = window.shuffle()
            table.read(chunk, window.images[low:high], window.labels[low:high], self._disk)
        except BaseException as error:  # Raised again for each batch that wants the window.
            fault = error
        with self.lock:
            window.decoded += 1
            if fault is not None:
                window.fault = fault
                if self._windows.get(key) is window:
                    del self._windows[key]  # Whoever asks again has it read again.
            if window.complete:
                then, window.then = window.then, []
                for call in then:
                    call()
