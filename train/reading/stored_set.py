"""What is published of a set: its path, shape, splits, stored epochs, and where their chunks are."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ...augment.errors import EpochbankError
from ...augment.shared.closest import did_you_mean
from ...augment.shared.reading_lock import ReadingLock
from ...augment.store.description import Description, read_description
from ...augment.store.manifest import Entry, covers, published_epochs, read_listed
from ...augment.store.objects.access import RemoteShards, open_remote
from ...augment.store.objects.cache import ShardCache
from ...augment.store.presence import check_presence
from .chunk_table import ChunkTable


@dataclass(frozen=True)
class StoredSet:
    """A set as it was published when it was opened. Shards that are published later do not appear in it."""

    path: Path
    description: Description
    entries: tuple[Entry, ...]
    lock: ReadingLock | None = field(default=None, compare=False)
    """Keeps commands from deleting what this set reads."""
    length: int | None = field(default=None, compare=False)
    """Bytes of the manifest that list `entries`, so that a pickle is small; None if other entries are among them."""
    remote: RemoteShards | None = field(default=None, compare=False)
    """Fetches shards, if the set is in an object store."""

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({str(self.path)!r}, shape={self.shape}, classes={len(self.class_names)}, "
            f"epochs={len(self.epochs)})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Have the process that unpickles the set read `entries` from the manifest again."""
        entries = None if self.length is not None else self.entries
        return _unpickled, (type(self), self.path, self.description, entries, self.lock, self.length, self.remote)

    @property
    def name(self) -> str:
        """Name of the set in messages: its URL if it is in an object store, otherwise its path."""
        return str(self.path) if self.remote is None else self.remote.bucket.url

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of an image."""
        return self.description.shape

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, by label."""
        return self.description.class_names

    @property
    def num_images(self) -> dict[str, int]:
        """Number of images in each of the splits `train`, `validation` and `test`."""
        return self.description.num_images

    @property
    def codec(self) -> str:
        """Codec of the shard that was published last."""
        return self.entries[-1].codec

    @cached_property
    def epochs(self) -> tuple[int, ...]:
        """Numbers of the published epochs."""
        return tuple(epoch.epoch for epoch in published_epochs(self.entries, self.num_images["train"]))

    @cached_property
    def _shards(self) -> dict[tuple[str, int], list[Entry]]:
        shards: dict[tuple[str, int], list[Entry]] = {}
        for entry in self.entries:
            shards.setdefault((entry.split, entry.epoch), []).append(entry)
        return shards

    def check_split(self, split: str) -> None:
        """Raise `EpochbankError` if `split` is not `train`, `validation` or `test`, or has no images."""
        if split not in self.num_images:
            splits = list(self.num_images)
            raise EpochbankError(
                f"split {split!r} is unknown; expected one of {', '.join(splits)}.{did_you_mean(str(split), splits)}",
                usage=True,
            )
        if not self.num_images[split]:
            raise EpochbankError(
                f"{self.path} has no {split} split: it was made with --{split} 0. "
                f"Use another split, or generate a set with --{split} above 0."
            )

    def table(self, split: str, epoch: int = 0) -> ChunkTable:
        """Return the chunk table of a split, or of a stored epoch (`split="epoch"`).

        Raises `EpochbankError` if it is not completely published.
        """
        entries = self._shards.get((split, epoch), [])
        expected = self.num_images["train" if split == "epoch" else split]
        if not covers(entries, expected):
            raise EpochbankError(
                f"{self.path}: {f'epoch {epoch}' if split == 'epoch' else f'the {split} split'} is unfinished. "
                "Run the same `augment run` again to complete it."
            )
        return ChunkTable(self.path, entries, self.shape, self.remote)


def _unpickled(kind: type[StoredSet], path: Path, description: Description, entries: Any, *rest: Any) -> StoredSet:
    """Return a set from what `StoredSet.__reduce__` gives; `rest` is its lock, its length, and its remote shards."""
    if entries is None:
        entries = tuple(read_listed(path, rest[1])[0])
    return kind(path, description, entries, *rest)


def read_stored_set(directory: Path, cache: ShardCache | None = None) -> StoredSet:
    """Read what is published of the set in `directory`.

    If it is the mirror of a set in an object store, `cache` is that of its shards; by default it has the default size.

    Raises `EpochbankError` if there is no set, it is damaged or of a newer format, a published shard is missing or
    incomplete, or no epoch is published.
    """
    # Before the manifest is read: from then on no command deletes a shard that the manifest lists.
    lock = ReadingLock(directory) if directory.is_dir() else None
    remote = open_remote(directory, cache)
    description, (entries, length) = read_description(directory), read_listed(directory)
    stored_set = StoredSet(directory, description, tuple(entries), lock, length, remote)
    check_presence(directory, stored_set.entries)
    if not stored_set.epochs:
        raise EpochbankError(
            f"{directory} has no published epoch: its `augment run` is still in the first one, or was stopped there. "
            "Run the same `augment run` again to continue it."
        )
    return stored_set
