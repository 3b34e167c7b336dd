"""What no set needs: orphaned shards, temporary files, source files, beginnings of sets, and sets long unused."""

import os
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import EpochbankError
from ..ingest.resolve import SOURCES
from ..shared.atomic import TEMPORARY
from ..shared.disk_space import bytes_below
from ..shared.lock import LOCK
from ..shared.progress import counted
from ..store.catalog import all_sets, written_ns
from ..store.description import read_description
from ..store.manifest import epoch_of_file, first_epoch, read_manifest, unlisted
from ..store.teachers import stale_teacher_shards
from ..store.usage import last_used
from ..store.virtual_epoch import stale_virtual

_SECONDS_A_DAY = 86400
_BEGUN = {LOCK, "split.h5", "log.jsonl", "manifest.jsonl", "manifest.check"}
"""What a run that was killed before it wrote `set.json` may leave in the directory of a set."""

Kind = Literal["shard", "virtual", "temporary", "source", "beginning", "set"]


@dataclass(frozen=True)
class Garbage:
    """A file or directory that may be removed."""

    path: Path
    kind: Kind
    why: str
    """Why it may be removed, for people."""
    owner: Path
    """The set's directory, or the directory of the source files, that a run locks while it writes there."""
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """Return the JSON values of `augment gc --json`."""
        return {"path": str(self.path), "kind": self.kind, "why": self.why, "bytes": self.bytes}


def find_garbage(sets: Path, unused_for: float | None = None) -> tuple[list[Garbage], list[str]]:
    """Return what may be removed in `sets`, and notes on what could not be examined, one sentence each.

    Parameters
    ----------
    sets
        Directory of the sets. Nothing outside it is examined.
    unused_for
        Days: also return the sets that were neither trained on nor written to for this long. None for no set.
    """
    found: list[Garbage | None] = []
    unused = [] if unused_for is None else [one for one in all_sets(sets) if _days_unused(one) >= unused_for]
    for directory in unused:
        why = f"a set that was last used or written {counted(int(_days_unused(directory)), 'day')} ago"
        found.append(Garbage(directory, "set", why, directory, bytes_below(directory)))
    needed, notes = needed_sources(sets, leave_out=unused)
    for directory in all_sets(sets):
        if directory in unused:
            continue
        try:
            for file, why in orphans(directory).items():
                found.append(_file(directory / file, "shard" if "/" in file else "virtual", why, directory, notes))
        except EpochbankError as error:
            notes.append(f"{error} The shards of this set are kept.")
        try:
            found += _temporaries(directory, directory)
        except OSError as error:
            notes.append(f"{error.filename or directory} cannot be read: {error.strerror or error}. It stays.")
    found += _beginnings(sets)
    found += [] if needed is None else _sources(sets / SOURCES, needed, notes)
    found += _temporaries(sets / SOURCES, sets / SOURCES)
    found += [_temporary(path, sets) for path in sorted(sets.glob(f"{TEMPORARY}*"))]
    return [one for one in found if one is not None], notes


def orphans(directory: Path) -> dict[str, str]:
    """Return the shards and virtual datasets that the set in `directory` does not list, and why: paths relative to it.

    Raises `EpochbankError` if its manifest is damaged.
    """
    description, first, entries = read_description(directory), first_epoch(directory), read_manifest(directory)
    shards = {
        file: "a shard of a retired epoch" if epoch_of_file(file) < first else "a shard that the manifest does not list"
        for file in unlisted(directory, entries)
    }
    virtual = stale_virtual(directory, description, entries)
    shards |= stale_teacher_shards(directory)
    return shards | dict.fromkeys(virtual, "a virtual dataset of an epoch that is not published")


def needed_sources(sets: Path, leave_out: Sequence[Path] = ()) -> tuple[set[Path] | None, list[str]]:
    """Return the source files of the sets in `sets` except `leave_out`, and notes on sets that cannot be read.

    The files are None if there is such a set: it may need any of them.
    """
    needed: set[Path] = set()
    notes = []
    for directory in all_sets(sets):
        try:
            description = read_description(directory)
        except EpochbankError as error:
            notes.append(f"{error} All source files are kept.")
            continue
        if directory not in leave_out:
            needed.add(real_path(description.source_path(directory)))
    return (None if notes else needed), notes


def real_path(path: Path) -> Path:
    """Return `path` without symbolic links, also if they lead nowhere or in a circle."""
    return Path(os.path.realpath(path))  # `Path.resolve` raises for a circle.


def _days_unused(directory: Path) -> float:
    used = last_used(directory)
    last = max(written_ns(directory) / 1e9, used.timestamp() if used else 0.0)
    return (time.time() - last) / _SECONDS_A_DAY


def _temporaries(directory: Path, owner: Path) -> list[Garbage]:
    found = sorted(directory.rglob(f"{TEMPORARY}*"))
    nested = {path for path in found if any(parent.name.startswith(TEMPORARY) for parent in path.parents)}
    return [_temporary(path, owner) for path in found if path not in nested]


def _temporary(path: Path, owner: Path) -> Garbage:
    mode, size = _status(path)
    occupied = bytes_below(path) if stat.S_ISDIR(mode) else size
    return Garbage(path, "temporary", "a temporary file of a run that was stopped", owner, occupied)


def _file(path: Path, kind: Kind, why: str, owner: Path, notes: list[str]) -> Garbage | None:
    """Return what may be removed; None, with a note, if it is neither a file nor a link, and so nothing of a set."""
    mode, size = _status(path)
    if not mode:
        return None
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        what = "a directory" if stat.S_ISDIR(mode) else "a special file"
        notes.append(f"{path} is {what}; expected a file. It stays.")
        return None
    return Garbage(path, kind, why, owner, size)


def _status(path: Path) -> tuple[int, int]:
    """Return the mode of `path` and its bytes, of a link those of the link itself; zeros if it is gone."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return 0, 0
    return found.st_mode, found.st_size


def _beginnings(sets: Path) -> Iterator[Garbage]:
    """Yield the directories that a run made for a set, and was stopped before it wrote `set.json`."""
    for lock in sorted(sets.glob(f"*/{LOCK}")):
        directory = lock.parent
        if directory.name == SOURCES or directory.name.startswith(TEMPORARY) or directory.is_symlink():
            continue
        names = {path.name for path in directory.iterdir() if not path.name.startswith(TEMPORARY)}
        if names <= _BEGUN:
            why = "the directory of a set that was never begun"
            yield Garbage(directory, "beginning", why, directory, bytes_below(directory))


def _sources(folder: Path, needed: set[Path], notes: list[str]) -> Iterator[Garbage | None]:
    """Yield the source files in `folder` that no set was made from. A run imports them again when it needs them."""
    for path in sorted(folder.glob("*.h5")):
        if not path.name.startswith(TEMPORARY) and real_path(path) not in needed:
            yield _file(path, "source", "a source file that no set needs", folder, notes)
