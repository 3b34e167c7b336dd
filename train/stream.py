"""The stream: batches by (epoch, number), made ahead by a few threads that live as long as it does.

`batch(epoch, i)` is a pure function of the set, the seed, the epoch and i, from any thread and in any
order; what is made ahead only makes it quick.
"""

import os
import time
import weakref
from collections import OrderedDict
from functools import partial
from typing import Any, Protocol, get_args

from augment.errors import EpochbankError
from train.bank import Bank
from train.batches import PassKey, Segment
from train.buffers import Buffers
from train.disk import Disk
from train.gathering import Batch, Gathering
from train.meter import Effort
from train.order import Shuffle
from train.windows import Decoder, Read
from train.workers import Workers

_OTHERS_KEPT = 4
"""Batches made ahead for where a consumer was before, or for another consumer."""


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


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Stream:
    """Batches of a set. Thread-safe; picklable (a copy starts with nothing made)."""

    def __init__(
        self,
        bank: Bank,
        batches: Batches,
        *,
        seed: int | None,
        threads: int | None = None,
        ahead: int = 8,
        shuffle: Shuffle = "pictures",
    ):
        """`seed` None keeps the stored order; `threads` make up to `ahead` batches before they are asked for."""
        if shuffle not in get_args(Shuffle):
            raise EpochbankError(f"shuffle={shuffle!r}; expected one of {', '.join(get_args(Shuffle))}.", words=True)
        self.bank, self.batches, self.seed, self.shuffle = bank, batches, seed, shuffle
        self.threads = threads or min(4, cores())
        self.ahead = ahead
        self._start()

    def _start(self) -> None:
        self._workers = Workers(self.threads)
        self._disk = Disk(self._workers)
        self._decoder = Decoder(self.bank, self.seed, self.shuffle, self.batches.next_pass, self._disk)
        self._buffers = Buffers(self.ahead + 8)
        self._made: OrderedDict[tuple[int, int], Gathering] = OrderedDict()
        self._gathering: weakref.WeakSet[Gathering] = weakref.WeakSet()
        self._last = (-1, -1)
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
        with self._decoder.lock:
            if self._closed:
                raise RuntimeError("the stream is closed")
            gathering = self._made.pop((epoch, number), None) or self._begin(epoch, number)
            gathering.take()
            self._begin_ahead(epoch, number)
        return gathering.batch()

    def depth(self) -> int:
        """Batches, of those that come next, that could be had without waiting."""
        with self._decoder.lock:
            ready = 0
            for step in range(1, self.ahead + 1):
                gathering = self._made.get(self._later(*self._last, step))
                if gathering is None or not gathering.ready:
                    break
                ready += 1
            return ready

    def effort(self) -> Effort:
        """What its threads did so far."""
        seconds = time.perf_counter() - self._begun
        return Effort(seconds, self.threads, self._workers.computed, self._disk.waited, self._disk.waited_bytes)

    def close(self) -> None:
        """Stop the threads and let go of files; whoever waits for a batch is told. The stream is of no use then."""
        with self._decoder.lock:
            self._closed = True
        self._workers.close()
        with self._decoder.lock:
            fault = RuntimeError("the stream is closed")
            self._decoder.give_up(fault)
            for gathering in self._gathering:
                gathering.end(fault)
            self._made.clear()
        self._disk.close()

    def _later(self, epoch: int, number: int, step: int) -> tuple[int, int]:
        """Epoch and number of the batch `step` batches later."""
        later, at = divmod(number + step, len(self.batches))
        return epoch + later, at

    def _begin_ahead(self, epoch: int, number: int) -> None:
        """Begin with the next batches, those of the next epoch after the last; forget those of elsewhere."""
        # One after the other, all but the farthest are begun already.
        nearest = self.ahead if self._later(*self._last, 1) == (epoch, number) and self.ahead else 1
        self._last = epoch, number
        for step in range(nearest, self.ahead + 1):
            key = self._later(epoch, number, step)
            if key not in self._made:
                self._made[key] = self._begin(*key)
        while len(self._made) > self.ahead + _OTHERS_KEPT:
            self._made.popitem(last=False)

    def _begin(self, epoch: int, number: int) -> "Gathering":
        """A batch whose windows are being decoded; the chunks that come after them are begun, too."""
        segments, parts = self.batches.segments(epoch, number), []
        for segment in segments:
            windows, reads = self._decoder.decode(segment)
            parts.append((segment, windows))
            for read in reads:
                self._workers.submit(read)
        gathering = Gathering(parts, self._workers, self._buffers)
        self._gathering.add(gathering)
        gathering.start()
        if self.ahead:
            reads = self._decoder.decode_ahead(segments)
            if reads:
                self._workers.submit(partial(_one_after_the_other, reads))
        return gathering


def _one_after_the_other(reads: list[Read]) -> None:
    for read in reads:
        read()
