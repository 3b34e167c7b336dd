"""The stream: batches by (epoch, number), made ahead by a few threads that live as long as it does.

`batch(epoch, i)` is a pure function of the set, the seed, the epoch and i, from any thread and in any
order; what is made ahead only makes it quick.
"""

import os
import weakref
from collections import OrderedDict
from functools import partial
from typing import Any, get_args

from ...augment.errors import EpochbankError
from ..feeding.augmented_set import AugmentedSet
from ..reading.buffers import Buffers
from ..reading.decode_threads import Workers
from ..reading.disk import Disk
from .batches import Batches
from .data_wait import Effort
from .order import Shuffle
from .pending_batch import Batch, Gathering
from .windows import Decoder, Read

_left_by_fork: list[object] = []
"""Pools of another process, whose locks may be held for ever: never to be touched, not even collected."""

_OTHERS_KEPT = 4
"""Batches made ahead for where a consumer was before, or for another consumer."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Stream:
    """Batches of a set. Thread-safe; picklable (a copy starts with nothing made)."""

    def __init__(
        self,
        bank: AugmentedSet,
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
        self._decoder = Decoder(self.bank, self.batches, self.seed, self.shuffle, self._disk)
        self._buffers = Buffers(self.ahead + 8)
        self._made: OrderedDict[tuple[int, int], Gathering] = OrderedDict()
        self._gathering: weakref.WeakSet[Gathering] = weakref.WeakSet()
        self._last = (-1, -1)
        self._process = os.getpid()
        self._closed = False

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if not key.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    def batch(self, epoch: int, number: int) -> Batch:
        """Batch `number` of training epoch `epoch`; a new array each time, aligned to 64 bytes.

        Raises `IndexError` outside the epoch and `EpochbankError` where a chunk is damaged.
        """
        if os.getpid() != self._process:  # Threads do not come along into a forked process.
            _left_by_fork.append(self.__dict__.copy())
            self._start()
        if not 0 <= number < len(self.batches):
            raise IndexError(f"batch {number}; expected 0 to {len(self.batches) - 1}")
        with self._decoder.lock:
            if self._closed:
                raise RuntimeError("the stream is closed")
            made = self._made.pop((epoch, number), None)
            gathering = made or self._begin(epoch, number)
            gathering.take()
            self._begin_ahead(epoch, number, expected=made is not None)
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
        return Effort(self.threads, self._workers.computed, self._disk.waited, self._disk.waited_bytes)

    def close(self) -> None:
        """Stop the threads and let go of files; whoever waits for a batch is told. The stream is of no use then."""
        fault = RuntimeError("the stream is closed")
        for stopped in (False, True):
            with self._decoder.lock:
                self._closed = True
                self._decoder.give_up(fault)
                for gathering in list(self._gathering):
                    gathering.end(fault)
                self._made.clear()
            if not stopped:  # A task that was at work may have left something behind.
                self._workers.close()
        self._buffers = Buffers(0)
        self._disk.close()

    def _later(self, epoch: int, number: int, step: int) -> tuple[int, int]:
        """Epoch and number of the batch `step` batches later."""
        later, at = divmod(number + step, len(self.batches))
        return epoch + later, at

    def _begin_ahead(self, epoch: int, number: int, *, expected: bool) -> None:
        """Begin with the next batches, those of the next epoch after the last; forget those of elsewhere.

        `expected`: the batch before them was made ahead itself.
        """
        follows = self._later(*self._last, 1) == (epoch, number)
        self._last = epoch, number
        if not (follows or expected or number == 0):
            return  # Who leaps about is not guessed at: each leap would have windows decoded that nobody wants.
        # One after the other, all but the farthest are begun already.
        for step in range(self.ahead if follows and expected else 1, self.ahead + 1):
            key = self._later(epoch, number, step)
            if key not in self._made:
                self._made[key] = self._begin(*key, ahead=True)
        while len(self._made) > self.ahead + _OTHERS_KEPT:
            self._made.popitem(last=False)

    def _begin(self, epoch: int, number: int, *, ahead: bool = False) -> "Gathering":
        """A batch whose windows are being decoded; the chunks that come after them are begun, too."""
        segments, parts = self.batches.segments(epoch, number), []
        for segment in segments:
            parts.append((segment, self._decoder.decode(segment)))
        while self._decoder.reads:
            self._workers.submit(self._decoder.reads[0])
            del self._decoder.reads[0]
        gathering = Gathering(parts, self._workers, self._buffers)
        self._gathering.add(gathering)
        gathering.start()
        if ahead:
            self._decoder.decode_ahead(segments)
            if self._decoder.reads:
                self._workers.submit(partial(_one_after_the_other, self._decoder.reads))
                self._decoder.reads = []
        return gathering


def _one_after_the_other(reads: list[Read]) -> None:
    for read in reads:
        read()
