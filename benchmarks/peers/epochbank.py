"""epochbank itself, through `AugmentedSequence.__getitem__`: distorted pictures alone, one set for each codec.

Shuffled as it does by itself, chunks and the pictures of a window of chunks; and whole chunks alone.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peers.contender import BATCH, WORKERS, Contender, Pictures

CODECS = ("none", "lz4", "zstd", "gzip")
REQUIRES = ("train", "keras")


def prepare(pictures: Pictures, folder: Path) -> None:
    """Nothing: the other peers' pictures come from its sets."""


def contenders(pictures: Pictures, folder: Path) -> list[Contender]:
    return [_contender(pictures, codec, shuffle) for shuffle in ("pictures", "chunks") for codec in CODECS]


def _contender(pictures: Pictures, codec: str, shuffle: str) -> Contender:
    from epochbank import open_set

    bank = open_set(None, pictures.sets_of(codec))
    stored = sum(entry.bytes for entry in bank.entries if entry.part == "epoch" and entry.epoch == 0)
    batches = _Batches(bank, shuffle)
    name = f"epochbank {codec}, {shuffle}"
    shuffled = {"pictures": "window", "chunks": "chunks"}[shuffle]
    return Contender(name, f"{WORKERS} threads", shuffled, stored, batches, batches.close)


class _Batches:
    """Opens the sequence when it is first asked: nothing works before its turn."""

    def __init__(self, bank: Any, shuffle: str):
        self._bank, self._shuffle, self._data = bank, shuffle, None

    def __call__(self, epoch: int) -> Iterator[Any]:
        from epochbank import AugmentedSequence

        if self._data is None:
            self._data = AugmentedSequence(
                self._bank, batch_size=BATCH, mix=0, seed=0, threads=WORKERS, shuffle=self._shuffle
            )
        self._data.epoch = epoch
        return map(self._data.__getitem__, range(len(self._data)))

    def close(self) -> None:
        """Stop its threads."""
        if self._data is not None:
            self._data.stream.close()
