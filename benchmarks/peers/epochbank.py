"""epochbank through `AugmentedSequence.__getitem__`: distorted images only, one set per codec.

Both kinds of shuffling: images within a window of chunks, which is the default, and whole chunks only. With zstd also
final augmentation and MixUp.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peers.contender import BATCH, WORKERS, Contender, Images

CODECS = ("none", "lz4", "zstd", "gzip")
AUGMENTED: tuple[dict[str, Any], ...] = ({"final": "characters"}, {"mixup": 0.2}, {"final": "characters", "mixup": 0.2})
"""Options that are measured with zstd."""
REQUIRES = ("epochbank", "keras")


def prepare(images: Images, folder: Path) -> None:
    """Do nothing: the sets exist already."""


def contenders(images: Images, folder: Path) -> list[Contender]:
    plain = [_contender(images, codec, shuffle) for shuffle in ("images", "chunks") for codec in CODECS]
    return plain + [_contender(images, "zstd", "images", **options) for options in AUGMENTED]


def _contender(images: Images, codec: str, shuffle: str, **options: Any) -> Contender:
    from epochbank import open_set

    stored_set = open_set(None, images.sets_of(codec))
    stored = sum(entry.bytes for entry in stored_set.entries if entry.split == "epoch" and entry.epoch == 0)
    batches = _Batches(stored_set, shuffle, options)
    name = ", ".join([f"epochbank {codec}", shuffle, *(f"{key}={value}" for key, value in options.items())])
    shuffled = {"images": "window", "chunks": "chunks"}[shuffle]
    return Contender(name, f"{WORKERS} threads", shuffled, stored, batches, bool(options), batches.close)


class _Batches:
    """Opens the sequence at the first call, so that its threads do not run in another peer's turn."""

    def __init__(self, stored_set: Any, shuffle: str, options: dict[str, Any]):
        self._stored_set, self._options = stored_set, {"shuffle": shuffle, **options}
        self._data: Any = None

    def __call__(self, epoch: int) -> Iterator[Any]:
        from epochbank import AugmentedSequence

        if self._data is None:
            self._data = AugmentedSequence(
                self._stored_set, batch_size=BATCH, originals=0, seed=0, threads=WORKERS, **self._options
            )
        self._data.epoch = epoch
        return map(self._data.__getitem__, range(len(self._data)))

    def close(self) -> None:
        """Stop the threads."""
        if self._data is not None:
            self._data.stream.close()
