"""A set that is read while its epochs are published and retired (`train fit --follow`)."""

from dataclasses import replace
from pathlib import Path

from ...augment.errors import EpochbankError
from ...augment.shared.reading_lock import ReadingLock
from ...augment.store.description import read_description
from ...augment.store.manifest import NAME, Entry, published_epochs, read_manifest, shard_folder
from ...augment.store.manifest_check import CHECK
from ...augment.store.presence import check_presence
from .stored_set import StoredSet

_FILES = ("set.json", NAME, CHECK)


class FollowedSet:
    """A set whose manifest can be read again. Only the stored epochs that it holds are protected from deletion."""

    def __init__(self, stored_set: StoredSet):
        """Follow `stored_set`. This object does not need the lock of `stored_set` afterwards."""
        # The folder of the training split: it is locked as long as the set is read, so that nobody removes the set.
        lock = ReadingLock(stored_set.path / shard_folder("train", 0))
        self.stored_set = replace(stored_set, lock=lock)
        """The published shards, and those of the retired epochs that are held."""
        self.published = stored_set.epochs
        """Numbers of the published epochs, as of the last time that the manifest was read."""
        self._entries = stored_set.entries
        self._held: dict[int, tuple[ReadingLock, tuple[Entry, ...]]] = {}
        self._seen: object = None

    def read_again(self) -> bool:
        """Read the manifest again if it has changed; return whether the published epochs have changed.

        Raises
        ------
        EpochbankError
            If the manifest is damaged, the set was removed or replaced by another, or no epoch is published. Then
            nothing has changed here.
        OSError
            If a file cannot be read.
        """
        directory = self.stored_set.path
        state = [_state(directory / name) for name in _FILES]
        if state == self._seen:
            return False
        fingerprint = read_description(directory).fingerprint
        if fingerprint != self.stored_set.description.fingerprint:
            raise EpochbankError(
                f"{directory} was replaced by another set (fingerprint {fingerprint[:8]} instead of "
                f"{self.stored_set.description.fingerprint[:8]}). Restore the first set there."
            )
        entries = tuple(read_manifest(directory))
        published = tuple(one.epoch for one in published_epochs(entries, self.stored_set.num_images["train"]))
        if not published:
            raise EpochbankError(f"{directory} has no published epoch any more. Run the same `augment run` again.")
        changed = published != self.published
        self._entries, self.published, self._seen = entries, published, state
        self._update()
        return changed

    def hold(self, epoch: int) -> bool:
        """Keep the files of a published epoch from being deleted, until `release`; return False if they are deleted.

        Raises `EpochbankError` if some of them are missing or incomplete.
        """
        if epoch in self._held:
            return True
        entries = tuple(one for one in self._entries if one.split == "epoch" and one.epoch == epoch)
        try:
            lock = ReadingLock(self.stored_set.path / shard_folder("epoch", epoch))
        except FileNotFoundError:
            return False
        check_presence(self.stored_set.path, entries)
        self._held[epoch] = lock, entries
        self._update()
        return True

    def release(self, keep: set[int]) -> bool:
        """Release all epochs except those in `keep`; return whether one of them was retired."""
        released = [epoch for epoch in self._held if epoch not in keep]
        for epoch in released:
            self._held.pop(epoch)[0].close()
        if released:
            self._update()
        return not set(released) <= set(self.published)

    def _update(self) -> None:
        listed = {one.epoch for one in self._entries if one.split == "epoch"}
        retired = [one for epoch, (_, entries) in self._held.items() if epoch not in listed for one in entries]
        entries = (*self._entries, *retired)
        if entries != self.stored_set.entries:
            self.stored_set = replace(self.stored_set, entries=entries, length=None)


def _state(path: Path) -> tuple[int, ...] | None:
    """Return what changes when a file is extended or replaced; None if it does not exist."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
