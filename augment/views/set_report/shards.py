"""The shards that a report reads: those that are there; of a set in an object store, a few."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...errors import EpochbankError
from ...shared.progress import counted
from ...store.manifest import Entry
from ...store.objects.mirror import remote_url
from ...store.presence import REGENERATE, describe_lost, fault_of, lost_shards
from ...store.shard_read import read_positions

_FETCHED_EPOCHS = 3
"""Stored epochs of which a shard is fetched from an object store."""


class Shards:
    """The readable shards of the set in `directory`, and what is wrong with the others."""

    def __init__(self, directory: Path, entries: list[Entry]):
        self.directory = directory
        lost = lost_shards(directory, entries)
        self.faults = [f"{describe_lost(directory, lost, len(entries))}. {REGENERATE}"] if lost else []
        """What could not be read, one sentence or two each."""
        missing = {entry.file for entry in lost}
        there = sorted(
            (entry for entry in entries if entry.file not in missing),
            key=lambda entry: (entry.split, entry.epoch, entry.start),
        )
        self.all_there = not lost
        self.note = ""
        """Which shards were read, if others were not."""
        if remote_url(directory) is not None:
            self._entries = _few(directory, there)
            self.all_there = len(self._entries) == len(entries)
            self.note = (
                f"The set is in an object store. The images are from {counted(len(self._entries), 'shard')} of "
                f"{len(entries):,}."
            )
        else:
            self._entries = there

    def of(self, split: str, epoch: int | None = None) -> list[Entry]:
        """Return the shards of a split, or of stored epochs or one of them, in order."""
        return [entry for entry in self._entries if entry.split == split and epoch in (None, entry.epoch)]

    def read(self, entry: Entry, positions: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield some of `positions` (int64 (n,), ascending) of a shard, with images and rows, until the shard fails."""
        if entry not in self._entries:
            return
        try:
            for some, (images, _, rows) in read_positions(self.directory, entry, positions):
                yield some, images, rows
        except EpochbankError as error:
            self.drop(entry, error)

    def drop(self, entry: Entry, error: EpochbankError) -> None:
        """Do not read a shard again, and remember why."""
        if entry in self._entries:
            self._entries.remove(entry)
            self.all_there = False
            self.faults.append(str(error))


def _few(directory: Path, entries: list[Entry]) -> list[Entry]:
    """Return one shard of each split and of the first stored epochs, if possible one that need not be fetched."""
    chosen: dict[tuple[str, int], Entry] = {}
    for entry in sorted(entries, key=lambda one: (bool(fault_of(directory / one.file, one)), one.epoch, one.start)):
        epochs = {epoch for split, epoch in chosen if split == "epoch"}
        if entry.split == "train" or (entry.split == "epoch" and len(epochs | {entry.epoch}) <= _FETCHED_EPOCHS):
            chosen.setdefault((entry.split, entry.epoch), entry)
    return sorted(chosen.values(), key=lambda entry: (entry.split, entry.epoch))
