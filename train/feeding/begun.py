"""Which set a run is making, and how much of it is published."""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...augment.console import notify
from ...augment.errors import EpochbankError
from ...augment.shared.atomic import TEMPORARY
from ...augment.shared.lock import LOCK, holder_of
from ...augment.shared.progress import age
from ...augment.shared.types import SPLITS
from ...augment.store.catalog import all_sets, written_ns
from ...augment.store.description import read_description
from ...augment.store.manifest import Entry, covers, published_epochs, read_manifest

_SOURCES = "sources"
"""Directory of the source files, whose lock an import holds."""

_SECONDS_BETWEEN_LOOKS = 1.0


@dataclass(frozen=True)
class Published:
    """How much of what training needs is published: the undistorted splits and one epoch."""

    images: int
    of: int
    ready: bool


def begun_set(sets: Path, idle: float, grace: float) -> Path | None:
    """Return the set in `sets` that a run is making, or the newest one if no run begins within `grace` seconds.

    As long as a source is being imported, and `idle` seconds after that, this waits for the set that the run begins.
    Returns None if there is no set. A message says which set is used, and why.
    """
    until, imported = time.monotonic() + grace, False
    while existing := all_sets(sets):
        directory, holder = _written(sets)
        if directory is not None:
            notify(f"set that a run is making: {directory}")
            return directory
        if holder:
            if not imported:
                notify(f"waiting for the set that is begun by {holder}")
            until, imported = time.monotonic() + idle, True
        elif time.monotonic() >= until:
            newest = existing[-1]
            written = age(time.time() - written_ns(newest) / 1e9)
            notify(f"no run is making a set in {sets}/. Newest set: {newest}, last written {written}")
            return newest
        time.sleep(min(_SECONDS_BETWEEN_LOOKS, max(grace, 0.01) / 5))
    return None


def _written(sets: Path) -> tuple[Path | None, str | None]:
    """Return the set in `sets` that a process is writing, and which process it is; of several, one without an epoch.

    The set is None if the process is importing a source.
    """
    found: tuple[Path | None, str | None] = None, None
    for lock in sorted(sets.glob(f"*/{LOCK}")):
        directory = None if lock.parent.name == _SOURCES else lock.parent
        holder = lock_holder(lock)
        if holder is None or lock.parent.name.startswith(TEMPORARY):
            continue
        looked, _ = look(directory)
        if directory is not None and not (looked is not None and looked.ready):
            return directory, holder
        if found[0] is None:
            found = directory, holder
    return found


def lock_holder(lock: Path) -> str | None:
    """Return which process holds the lock file `lock`; None if nobody does."""
    with suppress(FileNotFoundError):
        # No process holds an empty file, and examining it would block a run that begins at this moment.
        return holder_of(lock) if lock.stat().st_size else None
    return None


def look(directory: Path | None) -> tuple[Published | None, str]:
    """Return how much of a set is published, and its fault: a run that writes at this moment may look like damage."""
    if directory is None:
        return None, ""
    try:
        num_images = read_description(directory).num_images
        return published(read_manifest(directory), num_images), ""
    except EpochbankError as error:
        return None, str(error)


def published(entries: Sequence[Entry], num_images: dict[str, int]) -> Published:
    """Return how much is published of the splits, with `num_images` images each, and of the most complete epoch."""
    epochs = Counter[int]()
    splits = {split: [entry for entry in entries if entry.split == split] for split in SPLITS}
    for entry in entries:
        if entry.split == "epoch":
            epochs[entry.epoch] += entry.num_images
    images = sum(entry.num_images for found in splits.values() for entry in found) + max(epochs.values(), default=0)
    ready = bool(published_epochs(entries, num_images["train"]))
    ready = ready and all(covers(found, num_images[split]) for split, found in splits.items())
    return Published(images, sum(num_images.values()) + num_images["train"], ready)
