"""Wait until the first epoch of a set is published, while `augment run` generates it (`train fit --wait`)."""

import time
from pathlib import Path

from ...augment.console import notify
from ...augment.errors import EpochbankError
from ...augment.shared.lock import LOCK
from ...augment.shared.progress import Progress
from ...augment.store.catalog import all_sets, did_you_mean_set, named_set
from .begun import Published, begun_set, lock_holder, look

_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_BETWEEN_HOLDERS = 5.0
"""Seconds without a new shard after which the lock of the set is examined, and between two such examinations."""


def wait_for_epoch(name: str | Path | None, sets: Path, *, idle: float = 60.0, grace: float = 5.0) -> Path:
    """Return the directory of a set once its splits and one epoch are published.

    Parameters
    ----------
    name
        As for `find_set`; None for the set in `sets` that a run is making, else the newest one, else the first one that
        appears there.
    sets
        Directory of the sets.
    idle
        Seconds without a process that writes the set after which waiting ends.
    grace
        Seconds in which a run may begin before the newest set is taken, if `name` is None.

    Raises
    ------
    EpochbankError
        If nobody writes the set for `idle` seconds; it says why the set cannot be used if it is damaged.
    """
    directory = begun_set(sets, idle, grace) if name is None else named_set(name, sets)
    found, fault = look(directory)
    if directory is not None and found is not None and found.ready:
        return directory
    what = str(name) if name is not None else f"a set in {sets}/"
    unknown = (
        "" if directory is not None or name is None else f", which does not exist yet.{did_you_mean_set(name, sets)}"
    )
    notify(f"waiting for the first stored epoch of {directory or what}{unknown}")
    reporter = _Reporter()
    active = examined = time.monotonic()
    examined -= _SECONDS_BETWEEN_HOLDERS  # Say at once who writes the set.
    try:
        while True:
            now = time.monotonic()
            if reporter.advanced(directory, found):
                active = now
            if now - max(examined, active) >= _SECONDS_BETWEEN_HOLDERS or not reporter.holder:
                examined = now
                holder = _holder(directory, name, sets)
                reporter.written_by(holder, directory)
                active = now if holder else active
            if now - active >= idle:
                raise EpochbankError(
                    f"no process has written {directory or what} for {idle:.0f} s, and it has no published epoch. "
                    + (fault or "Run the same `augment run` again, or check the name, then wait again.")
                )
            time.sleep(min(_SECONDS_BETWEEN_LOOKS, idle / 10))
            directory = directory or _directory(name, sets)
            found, fault = look(directory)
            if directory is not None and found is not None and found.ready:
                reporter.advanced(directory, found)
                return directory
    finally:
        reporter.close()


def _directory(name: str | Path | None, sets: Path) -> Path | None:
    """Return the directory of the set, if it exists already."""
    if name is not None:
        return named_set(name, sets)
    existing = all_sets(sets)
    return existing[-1] if existing else None


def _holder(directory: Path | None, name: str | Path | None, sets: Path) -> str | None:
    """Return who writes the set; as long as it does not exist, who writes or imports anything in `sets`."""
    if directory is None and name is not None and (Path(name) / LOCK).exists():
        directory = Path(name)
    locks = [directory / LOCK] if directory is not None else sorted(sets.glob(f"*/{LOCK}"))
    return next(filter(None, map(lock_holder, locks)), None)


class _Reporter:
    """What the user sees while waiting: who writes the set, and how much is published."""

    def __init__(self) -> None:
        self.holder: str | None = None
        self._progress: Progress | None = None
        self._images = 0

    def written_by(self, holder: str | None, directory: Path | None) -> None:
        """Print which process writes the set, or, as long as it does not exist, its directory, if that has changed."""
        if holder and holder != self.holder:
            notify(f"written by {holder}" if directory is not None else f"it may be the set that is begun by {holder}")
        self.holder = holder

    def advanced(self, directory: Path | None, found: Published | None) -> bool:
        """Show how much is published, and return whether it is more than before."""
        if directory is None or found is None:
            return False
        if self._progress is None:
            self._progress = Progress(f"wait for {directory.name}", found.of, waiting=True).__enter__()
        more = max(0, found.images - self._images)
        self._images += more
        self._progress.advance(more)
        return more > 0

    def close(self) -> None:
        """Remove the bar."""
        if self._progress is not None:
            self._progress.__exit__(None, None, None)
