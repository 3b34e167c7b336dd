"""The stream: batches by (epoch, number), decoded ahead by a few threads that live as long as it does.

`batch(epoch, i)` is a pure function of the set, the seed, the epoch and i, from any thread and in any
order; what is decoded ahead only makes it quick.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from train.bank import Bank
from train.batches import Segment
from train.chunks import ChunkTable
from train.order import Windows, key_of, windows, within

_ALIGNMENT = 64
_PASSES_KEPT = 6
_OLD_KEPT = 2

WindowKey = tuple[tuple[str, int, int], int]
"""(part, stored epoch, pass) and the number of the window in that pass."""

Batch = tuple[np.ndarray, np.ndarray]
"""Pictures uint8 (B, H, W, C) and labels int32 (B,)."""


class Batches(Protocol):
    """Which pictures make up a batch: `TrainingBatches` or `EvaluationBatches`."""

    @property
    def images(self) -> int:
        """Pictures of the part that is shown."""
        ...

    @property
    def batch_size(self) -> int:
        """Pictures in a full batch."""
        ...

    def __len__(self) -> int: ...

    def segments(self, epoch: int, number: int) -> list[Segment]:
        """What batch `number` of `epoch` is made of, in this order."""
        ...


@dataclass(frozen=True)
class Pass:
    """One pass over a part or stored epoch, in an order of its own."""

    table: ChunkTable
    windows: Windows
    key: int | None
    """None: in order of position."""

    def load(self, window: int) -> "Window":
        """Read and decode a window."""
        chunks = self.windows.chunks_of(window)
        counts = self.table.images[chunks]
        total = int(counts.sum())
        images, labels = np.empty((total, *self.table.shape), np.uint8), np.empty(total, np.int32)
        at = 0
        for chunk, count in zip(chunks.tolist(), counts.tolist(), strict=True):
            self.table.read(chunk, images[at : at + count], labels[at : at + count])
            at += count
        order = np.arange(total) if self.key is None else within(window, total, self.key)
        return Window(int(self.windows.starts[window]), images, labels, order)


@dataclass(frozen=True)
class Window:
    """A decoded window: pictures start, start + 1, ... of the pass are `images[order[0]]`, ..."""

    start: int
    images: np.ndarray
    labels: np.ndarray
    order: np.ndarray

    def copy(self, start: int, stop: int, images: np.ndarray, labels: np.ndarray) -> int:
        """Copy those of pictures `start` to `stop` - 1 of the pass that lie here; returns how many they are."""
        low, high = max(start - self.start, 0), min(stop - self.start, len(self.order))
        which = self.order[low:high]
        np.take(self.images, which, 0, images[: high - low], "clip")
        np.take(self.labels, which, 0, labels[: high - low], "clip")
        return high - low


class Stream:
    """Batches of a set. Thread-safe; picklable (a copy starts with nothing decoded)."""

    def __init__(self, bank: Bank, batches: Batches, *, seed: int | None, threads: int | None = None, ahead: int = 8):
        """`seed` None keeps the stored order; `threads` decode up to `ahead` batches before they are asked for."""
        self.bank, self.batches, self.seed = bank, batches, seed
        self.threads = threads or min(4, os.cpu_count() or 1)
        self.ahead = ahead
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._passes: OrderedDict[tuple[str, int, int], Pass] = OrderedDict()
        self._decoded: OrderedDict[WindowKey, Future[Window]] = OrderedDict()
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="epochbank-decode")

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if not key.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    def batch(self, epoch: int, number: int) -> Batch:
        """Batch `number` of training epoch `epoch`; a new array each time, aligned to 64 bytes.

        Raises `IndexError` outside the epoch and `EpochbankError` where a chunk is damaged.
        """
        if not 0 <= number < len(self.batches):
            raise IndexError(f"batch {number}; expected 0 to {len(self.batches) - 1}")
        segments = self.batches.segments(epoch, number)
        with self._lock:
            wanted = {key: self._decoding(key) for segment in segments for key in self._keys(segment)}
            self._decode_ahead(epoch, number, set(wanted))
        count = sum(segment.stop - segment.start for segment in segments)
        images, labels = aligned((count, *self.bank.shape)), np.empty(count, np.int32)
        at = 0
        for segment in segments:
            for key in [key for key in wanted if key[0] == segment[:3]]:
                window = wanted[key].result()
                if window.start < segment.stop and segment.start < window.start + len(window.order):
                    at += window.copy(segment.start, segment.stop, images[at:], labels[at:])
        return images, labels

    def close(self) -> None:
        """Stop the threads. The stream is of no use afterwards."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _keys(self, segment: Segment) -> Iterator[WindowKey]:
        passing = self._passing(segment[:3])
        return ((segment[:3], window) for window in passing.windows.covering(segment.start, segment.stop))

    def _passing(self, key: tuple[str, int, int]) -> Pass:
        if key not in self._passes:
            part, stored, _ = key
            same = (passing.table for other, passing in self._passes.items() if other[:2] == key[:2])
            table = next(same, None) or self.bank.table(part, stored)
            order_key = None if self.seed is None else key_of("order", self.seed, *key)
            self._passes[key] = Pass(table, windows(table.images, table.chunk_bytes, order_key), order_key)
            while len(self._passes) > _PASSES_KEPT:
                self._passes.popitem(last=False)
        self._passes.move_to_end(key)
        return self._passes[key]

    def _decoding(self, key: WindowKey) -> "Future[Window]":
        """The window `key`, decoded or about to be."""
        if key not in self._decoded:
            self._decoded[key] = self._pool.submit(self._passing(key[0]).load, key[1])
        self._decoded.move_to_end(key)
        return self._decoded[key]

    def _decode_ahead(self, epoch: int, number: int, wanted: set[WindowKey]) -> None:
        """Start on the windows of the next batches, those of the next epoch after the last; forget old ones."""
        kept = set(wanted)
        for step in range(1, self.ahead + 1):
            later, at = divmod(number + step, len(self.batches))
            for segment in self.batches.segments(epoch + later, at):
                kept.update(self._keys(segment))
        for key in kept:
            self._decoding(key)
        for key in [key for key in self._decoded if key not in kept][:-_OLD_KEPT]:
            del self._decoded[key]


def aligned(shape: tuple[int, ...]) -> np.ndarray:
    """A new uint8 array that starts at a multiple of 64 bytes: frameworks then take it without a copy."""
    count = int(np.prod(shape))
    raw = np.empty(count + _ALIGNMENT, np.uint8)
    offset = -raw.ctypes.data % _ALIGNMENT
    return raw[offset : offset + count].reshape(shape)
