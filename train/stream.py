"""The stream: batches by (epoch, number), made ahead by a few threads that live as long as it does.

`batch(epoch, i)` is a pure function of the set, the seed, the epoch and i, from any thread and in any
order; what is made ahead only makes it quick.
"""

import os
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from functools import partial
from typing import Any, Protocol

import numpy as np

from train.bank import Bank
from train.batches import PassKey, Segment
from train.buffers import ALIGNMENT, Buffers
from train.disk import Disk
from train.meter import Effort
from train.windows import Decoder, Read, Window
from train.workers import Workers

_OTHERS_KEPT = 4
"""Batches made ahead for where a consumer was before, or for another consumer."""

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

    def next_pass(self, key: PassKey) -> PassKey:
        """The pass that follows on pass `key` in the course of training."""
        ...


class Stream:
    """Batches of a set. Thread-safe; picklable (a copy starts with nothing made)."""

    def __init__(self, bank: Bank, batches: Batches, *, seed: int | None, threads: int | None = None, ahead: int = 8):
        """`seed` None keeps the stored order; `threads` make up to `ahead` batches before they are asked for."""
        self.bank, self.batches, self.seed = bank, batches, seed
        self.threads = threads or min(4, len(os.sched_getaffinity(0)))
        self.ahead = ahead
        self._start()

    def _start(self) -> None:
        self._workers = Workers(self.threads)
        self._disk = Disk(self._workers)
        self._decoder = Decoder(self.bank, self.seed, self.batches.next_pass, self._disk)
        self._buffers = Buffers(2 * self.ahead + 8)
        self._made: OrderedDict[tuple[int, int], Future[Batch]] = OrderedDict()
        self._pending: set[Future[Batch]] = set()
        self._closed = False
        self._begun = time.perf_counter()

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
        if self._closed:
            raise RuntimeError("the stream is closed")
        with self._decoder.lock:
            made = self._made.pop((epoch, number), None) or self._begin(epoch, number)
            self._begin_ahead(epoch, number)
        return made.result()

    @property
    def depth(self) -> int:
        """Batches that are made and wait to be asked for."""
        with self._decoder.lock:
            return sum(made.done() for made in self._made.values())

    def effort(self) -> Effort:
        """What its threads did so far."""
        seconds = time.perf_counter() - self._begun
        return Effort(seconds, self.threads, self._workers.computed, self._disk.waited, self._disk.waited_bytes)

    def close(self) -> None:
        """Stop the threads and let go of files. The stream is of no use afterwards."""
        self._closed = True
        self._workers.close()
        for made in list(self._pending):  # Somebody may wait for it: a framework's own thread.
            made.cancel()
        self._disk.close()

    def _begin_ahead(self, epoch: int, number: int) -> None:
        """Begin with the next batches, those of the next epoch after the last; forget those of elsewhere."""
        for step in range(1, self.ahead + 1):
            later, at = divmod(number + step, len(self.batches))
            if (epoch + later, at) not in self._made:
                self._made[epoch + later, at] = self._begin(epoch + later, at, ahead=True)
        while len(self._made) > self.ahead + _OTHERS_KEPT:
            self._made.popitem(last=False)

    def _begin(self, epoch: int, number: int, *, ahead: bool = False) -> "Future[Batch]":
        """A batch that is gathered as soon as its windows are decoded."""
        segments, parts = self.batches.segments(epoch, number), []
        for segment in segments:
            windows, reads = self._decoder.decode(segment)
            parts.append((segment, windows))
            for read in reads:
                self._workers.submit(read)
        if len(parts) == 1 and len(parts[0][1]) == 1:  # The batch will be a part of its window's memory.
            parts[0][1][0].given.add(segments[0].start)
        gathering = _Gathering(parts, self._workers, self._buffers)
        self._pending.add(gathering.made)
        gathering.made.add_done_callback(self._pending.discard)
        # Usually the next chunks are all that there is to read: a thread reads them and then gathers.
        reads = self._decoder.decode_ahead(segments) if ahead else []
        gathering.start(reads, self._decoder.lock)
        return gathering.made


class _Gathering:
    """A batch in the making: its windows, and how many of them are not decoded yet."""

    def __init__(self, parts: list[tuple[Segment, list[Window]]], workers: Workers, buffers: Buffers):
        self.made: Future[Batch] = Future()
        self._parts, self._workers, self._buffers = parts, workers, buffers
        self._missing = 0

    def start(self, reads: list[Read], lock: threading.Lock) -> None:
        """Have a thread do `reads` and then gather, if not before the last window is decoded."""
        self._workers.submit(partial(self._run, reads, lock))

    def _run(self, reads: list[Read], lock: threading.Lock) -> None:
        for read in reads:
            read()
        with lock:
            missing = {window for _, windows in self._parts for window in windows if not window.complete}
            self._missing = len(missing)
            for window in missing:
                window.then.append(self._one_less)
        if not missing:
            self._gather()

    def _one_less(self) -> None:
        self._missing -= 1
        if not self._missing:
            self._workers.submit_first([self._gather])

    def _gather(self) -> None:
        try:
            batch = self._gathered()
        except BaseException as error:  # It belongs to whoever asks for the batch.
            self.made.set_exception(error)
        else:
            self.made.set_result(batch)

    def _gathered(self) -> Batch:
        parts, self._parts = self._parts, []
        for window in (window for _, windows in parts for window in windows):
            if window.fault is not None:
                raise window.fault
        pieces = [window.part(segment.start, segment.stop) for segment, windows in parts for window in windows]
        if len(pieces) == 1 and pieces[0][0].ctypes.data % ALIGNMENT == 0:
            return pieces[0]
        count = sum(len(labels) for _, labels in pieces)
        images = self._buffers.array((count, *pieces[0][0].shape[1:]))
        labels = np.empty(count, np.int32)
        at = 0
        for some, names in pieces:
            images[at : at + len(names)], labels[at : at + len(names)] = some, names
            at += len(names)
        return images, labels
