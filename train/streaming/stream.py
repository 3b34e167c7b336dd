"""The stream: batches by (epoch, number), decoded ahead by a few threads.

`batch(epoch, number)` is a pure function of the set, the seed, the epoch and the number. It can be called from any
thread and in any order; decoding ahead only makes it faster. Between two calls, `release` stops the threads and frees
all images; the next call starts again.
"""

import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ...augment.shared.workers import core_count
from ..reading.buffers import Buffers
from ..reading.decode_threads import DecodeThreads
from ..reading.disk import Disk
from ..reading.stored_set import StoredSet
from .batches import Batches
from .data_wait import ThreadTimes
from .distill import Distill
from .mixing import Batch, Mixing
from .order import Shuffle, check_seed, check_shuffle
from .pending_batch import PendingBatch
from .shard_groups import check_cache
from .windows import Decoder, Read

if TYPE_CHECKING:
    from .final_augmentation import FinalAugmentation

_before_fork: list[object] = []
"""State of streams from before a fork. Its locks may be held forever, so it must never be used or even freed."""

_MAX_THREADS = 4
_EXTRA_BATCHES = 4
"""Batches that are kept in addition to `prefetch`, for an earlier position or for another consumer."""


def default_threads(processes: int = 1) -> int:
    """Return the default number of decoding threads: one per core, at most 4, divided among `processes`."""
    return max(1, min(_MAX_THREADS, core_count() // processes))


class Stream:
    """Batches of a set. Thread-safe, and picklable (a copy starts with an empty queue)."""

    def __init__(
        self,
        stored_set: StoredSet,
        batches: Batches,
        *,
        seed: int | None,
        threads: int | None = None,
        prefetch: int = 8,
        shuffle: Shuffle = "images",
        final: "FinalAugmentation | None" = None,
        mixing: Mixing | None = None,
        distill: Distill | None = None,
    ):
        """Stream `batches` of `stored_set`.

        Parameters
        ----------
        stored_set
            The set.
        batches
            Which images make up each batch.
        seed
            Seed of the order; None for the stored order.
        threads
            Number of decoding threads; None for `default_threads()`.
        prefetch
            Number of batches that are decoded ahead.
        shuffle
            Unit of shuffling: `images`, `chunks` or `shards`.
        final
            Final augmentation, which the decoding threads apply.
        mixing
            MixUp or CutMix of each batch, which the decoding threads apply.
        distill
            The labels of a teacher, and how they make soft labels of them.

        Raises
        ------
        EpochbankError
            If `shuffle` is unknown, `seed` is below 0, or the cache of a set in an object store is too small.
        """
        self.stored_set, self.batches, self.seed = stored_set, batches, seed
        self.shuffle = check_shuffle(shuffle)
        check_seed(seed)
        check_cache(stored_set, batches, self.shuffle, prefetch)
        self.threads = threads or default_threads()
        self.prefetch = prefetch
        self.final, self.mixing, self.distill = final, mixing, distill
        self._begin_use()

    def _begin_use(self) -> None:
        self._gate = threading.Lock()
        self._callers = 0
        self._called = time.monotonic()
        self._in_use = self._release_due = self._closed = False
        self._earlier = ThreadTimes(self.threads, 0.0, 0.0, 0)
        self._start()

    def _start(self) -> None:
        self._decode_threads = DecodeThreads(self.threads)
        self._disk = Disk(self._decode_threads)
        teacher = None if self.distill is None else self.distill.labels
        self._decoder = Decoder(self.stored_set, self.batches, self.seed, self.shuffle, self._disk, self.final, teacher)
        self._buffers = Buffers(self.prefetch + 8 + (2 * self.threads if self.mixing else 0))
        self._queue: OrderedDict[tuple[int, int], PendingBatch] = OrderedDict()
        self._pending: weakref.WeakSet[PendingBatch] = weakref.WeakSet()
        self._last = (-1, -1)
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if not key.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin_use()

    def batch(self, epoch: int, number: int) -> Batch:
        """Return batch `number` of training epoch `epoch`: new arrays, aligned to 64 bytes, that the caller may change.

        Raises `IndexError` if `number` is out of range, and `EpochbankError` if a chunk is damaged.
        """
        if os.getpid() != self._process:  # A forked process has none of the threads.
            _before_fork.append(self.__dict__.copy())
            self._begin_use()
        if not 0 <= number < self.batches.steps(epoch):
            raise IndexError(f"batch {number}; expected 0 to {self.batches.steps(epoch) - 1}")
        with self._gate:
            self._callers += 1
            self._in_use, self._release_due, self._called = True, False, time.monotonic()
        try:
            return self._batch(epoch, number)
        finally:
            with self._gate:
                self._callers -= 1
                if self._release_due and not self._callers:
                    self._restart()

    def _batch(self, epoch: int, number: int) -> Batch:
        with self._decoder.lock:
            if self._closed:
                raise RuntimeError("the stream is closed")
            queued = self._queue.pop((epoch, number), None)
            pending = queued or self._begin(epoch, number)
            pending.take()
            self._fill_queue(epoch, number, expected=queued is not None)
        return pending.batch()

    def depth(self) -> int:
        """Return how many of the following batches are ready, without a gap."""
        with self._decoder.lock:
            ready = 0
            for step in range(1, self.prefetch + 1):
                pending = self._queue.get(self._after(*self._last, step))
                if pending is None or not pending.ready:
                    break
                ready += 1
            return ready

    def thread_times(self) -> ThreadTimes:
        """Return what the threads spent their time on so far."""
        now = ThreadTimes(self.threads, self._decode_threads.computed, self._disk.waited, self._disk.waited_bytes)
        return self._earlier.plus(now)

    def read_from(self, stored_set: StoredSet, decide: Callable[[], int | None]) -> None:
        """Read from `stored_set` from now on, the same set with other stored epochs, and change the choices of batches.

        `decide` changes them. It returns the first training epoch with another stored epoch than before, whose batches
        are decoded again; None if there is none. No other thread waits for a batch of such an epoch.
        """
        with self._decoder.lock:
            first = decide()
            if first is not None:
                for key in [key for key in self._queue if key[0] >= first]:
                    del self._queue[key]
            if stored_set is not self.stored_set:
                self.stored_set = stored_set
                self._decoder.read_from(stored_set)

    def close_files(self) -> None:
        """Close the files, which are opened again as needed: a deleted file occupies the disk as long as it is open."""
        self._disk.close()

    @property
    def idle(self) -> float | None:
        """Seconds since the last call of `batch`; None if nothing is in use, and 0 during a call."""
        if not self._in_use:
            return None
        return 0.0 if self._callers else time.monotonic() - self._called

    def release(self) -> None:
        """Stop the threads, and free files and images, until the next call of `batch`.

        If another thread is waiting for a batch, this happens when it has received it, unless more calls follow.
        """
        if os.getpid() != self._process:  # A forked process has none of the threads.
            return
        with self._gate:
            if self._closed or not self._in_use:
                return
            if self._callers:
                self._release_due = True
            else:
                self._restart()

    def _restart(self) -> None:
        """Replace all that `_start` has created. The caller holds the gate, and no batch is waited for."""
        if self._closed:
            return
        self._earlier = self.thread_times()
        self._stop(RuntimeError("the stream was released"))
        self._in_use = self._release_due = False
        self._start()

    def close(self) -> None:
        """Stop the threads, and free files and images. Waiting and later calls of `batch` raise `RuntimeError`."""
        self._closed = True
        self._stop(RuntimeError("the stream is closed"))

    def _stop(self, fault: RuntimeError) -> None:
        for stopped in (False, True):
            with self._decoder.lock:
                self._decoder.fail(fault)
                for pending in list(self._pending):
                    pending.fail(fault)
                self._queue.clear()
            if not stopped:  # A task that was running may have added something: clear again afterwards.
                self._decode_threads.close()
        self._buffers = Buffers(0)
        self._disk.close()

    def _after(self, epoch: int, number: int, steps: int) -> tuple[int, int]:
        """Return epoch and number of the batch `steps` batches later, as far as epochs have batches."""
        number += steps
        while epoch >= 0 and 0 < (in_epoch := self.batches.steps(epoch)) <= number:
            epoch, number = epoch + 1, number - in_epoch
        return epoch, number

    def _fill_queue(self, epoch: int, number: int, *, expected: bool) -> None:
        """Begin the batches that follow, across the end of the epoch, and drop the oldest others.

        `expected` says that the batch itself was in the queue.
        """
        follows = self._after(*self._last, 1) == (epoch, number)
        self._last = epoch, number
        if not (follows or expected or number == 0):
            return  # Access is random: decoding ahead would decode windows that nobody needs.
        # In sequential access, all but the farthest batch are in the queue already.
        for step in range(self.prefetch if follows and expected else 1, self.prefetch + 1):
            key = self._after(epoch, number, step)
            if key not in self._queue and key[1] < self.batches.steps(key[0]):
                self._queue[key] = self._begin(*key, prefetch=True)
        while len(self._queue) > self.prefetch + _EXTRA_BATCHES:
            self._queue.popitem(last=False)

    def _begin(self, epoch: int, number: int, *, prefetch: bool = False) -> PendingBatch:
        """Begin to decode the windows of a batch; with `prefetch`, also the chunks that follow them."""
        segments, parts = self.batches.segments(epoch, number), []
        for segment in segments:
            parts.append((segment, self._decoder.decode(segment)))
        while self._decoder.reads:
            self._decode_threads.submit(self._decoder.reads[0])
            del self._decoder.reads[0]
        pending = PendingBatch(parts, self._decode_threads, self._buffers, self.mixing, self.distill)
        self._pending.add(pending)
        pending.start()
        if prefetch:
            self._decoder.decode_ahead(segments)
            if self._decoder.reads:
                self._decode_threads.submit(partial(_run_all, self._decoder.reads))
                self._decoder.reads = []
        return pending


def _run_all(reads: list[Read]) -> None:
    for read in reads:
        read()
