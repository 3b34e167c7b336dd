"""The stream for PyTorch: an `IterableDataset` that counts its epochs in all processes of a `DataLoader`."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...augment.errors import EpochbankError
from ..streaming.batches import PassKey, Segment, TrainingBatches
from ..streaming.order import Shuffle
from ..streaming.stream import Stream
from .augmented_set import AugmentedSet
from .iterators import check_epochs, course

_missing: ImportError | None
try:
    import torch
    from torch import distributed
    from torch.utils.data import IterableDataset, get_worker_info
except ImportError as error:  # `TorchBatches` says so.
    IterableDataset, _missing = object, error
else:
    _missing = None

_CLAIMS = 16


@dataclass(frozen=True)
class _Share:
    """Batches `start` to `stop` - 1 of each epoch: those of one worker."""

    whole: TrainingBatches
    start: int
    stop: int

    @property
    def images(self) -> int:
        return self.whole.images

    @property
    def batch_size(self) -> int:
        return self.whole.batch_size

    def __len__(self) -> int:
        return self.stop - self.start

    def segments(self, epoch: int, number: int) -> list[Segment]:
        return self.whole.segments(epoch, self.start + number)

    def next_pass(self, key: PassKey) -> PassKey:
        return self.whole.next_pass(key)

    def stretch(self, key: PassKey) -> tuple[int, int]:
        if key[0] == "train" and self.whole.mix < 1:
            return self.whole.stretch(key)  # Originals go on where other workers' ended.
        first, last = self.whole.segments(0, self.start)[0], self.whole.segments(0, self.stop - 1)[0]
        return first.start, last.stop


class TorchBatches(IterableDataset):
    """What `AugmentedSet.to_torch` returns. Picklable.

    Items are pairs of tensors, uint8 (B, H, W, C) and int64 (B,). Whatever the number of `DataLoader` workers, an
    epoch is made of the same batches: each worker has a run of them. Threads end when it is dropped.
    """

    bank: AugmentedSet
    seed: int
    epochs: int | None
    """Epochs that an iteration shows; None: no end."""
    threads: int | None
    shuffle: Shuffle

    def __init__(
        self,
        bank: AugmentedSet,
        batches: TrainingBatches,
        seed: int,
        first_epoch: int,
        epochs: int | None,
        threads: int | None,
        shuffle: Shuffle,
        place: tuple[int, int] | None,
    ):
        """`place` is (reader, readers), None for what `torch.distributed` says when it is iterated."""
        if _missing is not None:
            raise EpochbankError(
                f"PyTorch cannot be imported ({_missing}), and to_torch needs it. Install it: pip install torch."
            ) from _missing
        check_epochs(first_epoch, epochs)
        self.bank, self.seed, self.epochs, self.threads = bank, seed, epochs, threads
        self.shuffle = shuffle
        self._batches, self._given = batches, place is not None
        self._place: tuple[int, int] = place or (0, 1)
        # What all processes know: the next epoch and a count in row 0, then what iterations have claimed.
        self._known: Any = torch.zeros((1 + _CLAIMS, 5), dtype=torch.int64).share_memory_()
        self._known[0, 0] = first_epoch
        self._round: int = 0
        self._held: tuple[int, _Share, Stream] | None = None
        self._left: object = None

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration begins with."""
        return int(self._known[0, 0])

    def set_epoch(self, epoch: int) -> None:
        """Have the next iteration begin with `epoch`, in persistent workers, too; to be called between iterations."""
        check_epochs(epoch, self.epochs)
        with _alone():
            self._known[0, 0] = epoch

    def __len__(self) -> int:
        """Batches of an iteration, in all workers of this process together; `TypeError` where it has no end."""
        if self.epochs is None:
            raise TypeError("batches without end have no len(); give epochs")
        return self.epochs * len(self._part())

    def __iter__(self) -> Iterator[tuple["torch.Tensor", "torch.Tensor"]]:
        batches, worker = self._part(), get_worker_info()
        first = self._claim(worker)  # Now, before the first batch is asked for: all workers do it as they start.
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        share = _Share(batches, number * len(batches) // workers, (number + 1) * len(batches) // workers)
        return self._tensors(self._stream(share, workers), first) if len(share) else iter(())

    def _tensors(self, stream: Stream, first: int) -> Iterator[tuple["torch.Tensor", "torch.Tensor"]]:
        for epoch in course(first, self.epochs):
            if self.epochs is None:
                with _alone():
                    self._known[0, 0] = max(self.epoch, epoch + 1)
            for number in range(len(stream.batches)):
                pictures, labels = stream.batch(epoch, number)
                yield torch.from_numpy(pictures), torch.from_numpy(labels).long()

    def _claim(self, worker: Any) -> int:
        """The epoch that a new iteration begins with: the same for all workers of one `iter(loader)`."""
        with _alone():
            if worker is None:
                return self._next()
            # The loader's random base seed is new in each iteration; persistent workers keep it and count.
            self._round += 1
            key = [worker.seed - worker.id, self._round, worker.num_workers]
            for claim in self._known[1:]:
                *claimed_by, epoch, joined = claim.tolist()
                if claimed_by == key and joined < worker.num_workers:
                    claim[4] += 1
                    return epoch
            epoch, at = self._next(), int(self._known[0, 1])
            self._known[0, 1] = (at + 1) % _CLAIMS
            self._known[1 + at] = torch.tensor([*key, epoch, 1])
            return epoch

    def _next(self) -> int:
        epoch = self.epoch
        self._known[0, 0] = epoch + (self.epochs or 1)
        return epoch

    def _part(self) -> TrainingBatches:
        reader, readers = self._where()
        return replace(self._batches, reader=reader, readers=readers)

    def _where(self) -> tuple[int, int]:
        """(reader, readers). A worker that was spawned knows it from where it was pickled."""
        if not self._given and distributed.is_available() and distributed.is_initialized():
            return distributed.get_rank(), distributed.get_world_size()
        return self._place

    def _stream(self, share: _Share, workers: int) -> Stream:
        """This process' stream, kept across epochs."""
        if self._held is None or self._held[:2] != (os.getpid(), share):
            if self._held is not None and self._held[0] != os.getpid():
                # Of the process that this was forked from: threads are not here, locks may be held. Not to be touched.
                self._left = self._held
            threads = self.threads or max(1, min(4, len(os.sched_getaffinity(0)) // workers))
            stream = Stream(self.bank, share, seed=self.seed, threads=threads, shuffle=self.shuffle)
            self._held = os.getpid(), share, stream
        return self._held[2]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_place": self._where(), "_held": None, "_left": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._known.share_memory_()


@contextmanager
def _alone() -> Iterator[None]:
    """Only one process, and one thread of it, is in this context."""
    with open(Path(tempfile.gettempdir()) / f"epochbank-{os.getuid()}.lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # Closing would not do where the process was forked meanwhile.
