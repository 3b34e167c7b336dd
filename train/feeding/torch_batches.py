"""A PyTorch `IterableDataset` over a stream. All processes of a `DataLoader` agree on its epochs."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...augment.errors import EpochbankError
from ...augment.shared.lock import SharedLock
from ..reading.stored_set import StoredSet
from ..streaming.batches import PassKey, Segment, TrainingBatches
from ..streaming.order import Shuffle, check_seed, check_shuffle
from ..streaming.schedule import ScheduledBatches
from ..streaming.stream import Stream, default_threads
from .batch_options import BatchOptions
from .iterators import check_epochs, epoch_numbers
from .ranks import process_here

_import_error: ImportError | None
try:
    import torch
    from torch.utils.data import IterableDataset, get_worker_info
except ImportError as error:  # `TorchBatches` raises it.
    IterableDataset, _import_error = object, error
else:
    _import_error = None

_CLAIMS = 16


@dataclass(frozen=True)
class _WorkerBatches:
    """A contiguous part of the batches of each epoch: those of one `DataLoader` worker."""

    whole: TrainingBatches | ScheduledBatches
    worker: int
    workers: int

    @property
    def num_images(self) -> int:
        return self.whole.num_images

    @property
    def batch_size(self) -> int:
        return self.whole.batch_size

    @property
    def world_size(self) -> int:
        return self.whole.world_size

    def steps(self, epoch: int) -> int:
        return self._first(epoch, self.worker + 1) - self._first(epoch, self.worker)

    def segments(self, epoch: int, number: int) -> list[Segment]:
        return self.whole.segments(epoch, self._first(epoch, self.worker) + number)

    def next_pass(self, key: PassKey) -> PassKey:
        return self.whole.next_pass(key)

    def shown_range(self, key: PassKey) -> tuple[int, int]:
        if isinstance(self.whole, ScheduledBatches) or (key[0] == "train" and self.whole.originals < 1):
            return self.whole.shown_range(key)  # Originals continue after those of the other workers.
        if not self.steps(0):
            return 0, 0
        first, last = self.segments(0, 0)[0], self.segments(0, self.steps(0) - 1)[0]
        return first.start, last.stop

    def has_ended(self, epoch: int) -> bool:
        """Return whether the worker has no batches from `epoch` on; all epochs after a schedule are alike."""
        last = self.whole.schedule.epochs if isinstance(self.whole, ScheduledBatches) else 0
        return epoch >= last and not self.steps(epoch)

    def _first(self, epoch: int, worker: int) -> int:
        """Return the first batch of `epoch` that belongs to `worker`."""
        return worker * self.whole.steps(epoch) // self.workers


class TorchBatches(IterableDataset):
    """The dataset that `AugmentedSet.to_torch` returns. Picklable.

    Items are pairs of tensors, images uint8 (B, H, W, C) and labels int64 (B,). An epoch consists of the same batches
    with any number of `DataLoader` workers: each worker has a contiguous part of them. Threads end when the dataset is
    dropped.
    """

    stored_set: StoredSet
    seed: int
    epochs: int | None
    """Number of epochs in an iteration; None for no limit."""
    threads: int | None
    shuffle: Shuffle

    def __init__(
        self,
        stored_set: StoredSet,
        batches: TrainingBatches | ScheduledBatches,
        options: BatchOptions,
        seed: int,
        first_epoch: int,
        epochs: int | None,
        threads: int | None,
        shuffle: Shuffle,
        process: tuple[int, int] | None,
    ):
        """`process` is (rank, world size); None for those of `process_here` at the time of an iteration."""
        if _import_error is not None:
            raise EpochbankError(
                f"PyTorch cannot be imported ({_import_error}), but to_torch needs it. "
                "Install it: pip install 'epochbank[torch]'."
            ) from _import_error
        check_epochs(first_epoch, epochs)
        check_seed(seed)
        self.stored_set, self.seed, self.epochs, self.threads = stored_set, seed, epochs, threads
        self.shuffle = check_shuffle(shuffle)
        self._batches, self._options, self._process_given = batches, options, process is not None
        self._stream_options = options.stream_options(stored_set, seed)
        self._process: tuple[int, int] = process or (0, 1)
        # Shared by all processes: row 0 has the next epoch and the index of the next claim, the others have the claims
        # of the last iterations: three columns that identify the iteration, its epoch, the workers that joined it.
        self._shared: Any = torch.zeros((1 + _CLAIMS, 5), dtype=torch.int64).share_memory_()
        self._shared[0, 0] = first_epoch
        self._lock = SharedLock()
        self._iterations: int = 0
        self._current: tuple[int, _WorkerBatches, Stream] | None = None
        self._before_fork: object = None

    @property
    def epoch(self) -> int:
        """The epoch with which the next iteration begins."""
        return int(self._shared[0, 0])

    def set_epoch(self, epoch: int) -> None:
        """Begin the next iteration with `epoch`, in persistent workers too. Call it between iterations."""
        check_epochs(epoch, self.epochs)
        with self._lock.held():
            self._shared[0, 0] = epoch

    def __len__(self) -> int:
        """Return the number of batches of an iteration, for all workers of this process together.

        Raises `TypeError` if the number of epochs is not limited.
        """
        if self.epochs is None:
            raise TypeError("an iteration without end has no len(); set epochs")
        batches = self._rank_batches()
        return sum(batches.steps(epoch) for epoch in range(self.epoch, self.epoch + self.epochs))

    def __iter__(self) -> Iterator[tuple[Any, "torch.Tensor"]]:
        batches, worker = self._rank_batches(), get_worker_info()
        first = self._claim(worker)  # Now, not at the first batch: all workers do it when they start.
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        own = _WorkerBatches(batches, number, workers)
        return self._tensors(own, self._stream(own, workers), first)

    def _tensors(self, batches: _WorkerBatches, stream: Stream, first: int) -> Iterator[tuple[Any, "torch.Tensor"]]:
        for epoch in epoch_numbers(first, self.epochs):
            if self.epochs is None:
                if batches.has_ended(epoch):
                    return
                with self._lock.held():
                    self._shared[0, 0] = max(self.epoch, epoch + 1)
            for number in range(batches.steps(epoch)):
                images, targets = self._options.deliver(stream.batch(epoch, number), len(self.stored_set.class_names))
                tensors = (
                    tuple(map(torch.from_numpy, images)) if self._options.split_views else torch.from_numpy(images)
                )
                yield tensors, torch.from_numpy(targets) if self._options.soft else torch.from_numpy(targets).long()

    def _claim(self, worker: Any) -> int:
        """Return the first epoch of a new iteration, which is the same for all workers of one `iter(loader)`."""
        with self._lock.held():
            if worker is None:
                return self._next()
            # The loader draws a random base seed for each iteration. Persistent workers keep it, so they count.
            self._iterations += 1
            key = [worker.seed - worker.id, self._iterations, worker.num_workers]
            for claim in self._shared[1:]:
                *claimed_by, epoch, joined = claim.tolist()
                if claimed_by == key and joined < worker.num_workers:
                    claim[4] += 1
                    return epoch
            epoch, at = self._next(), int(self._shared[0, 1])
            self._shared[0, 1] = (at + 1) % _CLAIMS
            self._shared[1 + at] = torch.tensor([*key, epoch, 1])
            return epoch

    def _next(self) -> int:
        epoch = self.epoch
        self._shared[0, 0] = epoch + (self.epochs or 1)
        return epoch

    def _rank_batches(self) -> TrainingBatches | ScheduledBatches:
        return self._batches.with_rank(*self._rank_and_world_size())

    def _rank_and_world_size(self) -> tuple[int, int]:
        """Return rank and world size. A spawned worker has those of the process that pickled the dataset."""
        here = (0, 1) if self._process_given else process_here()
        return here if here[1] > 1 else self._process

    def _stream(self, batches: _WorkerBatches, workers: int) -> Stream:
        """Return the stream of this process, which is kept across epochs."""
        if self._current is None or self._current[:2] != (os.getpid(), batches):
            if self._current is not None and self._current[0] != os.getpid():
                # A forked process has no threads, and locks may be held: keep the stream, but never use it.
                self._before_fork = self._current
            threads = self.threads or default_threads(workers)
            stream = Stream(
                self.stored_set, batches, seed=self.seed, threads=threads, shuffle=self.shuffle, **self._stream_options
            )
            self._current = os.getpid(), batches, stream
        return self._current[2]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_process": self._rank_and_world_size(), "_current": None, "_before_fork": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._shared.share_memory_()
