"""Remove what no set needs, and never what a run writes or a training reads."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from ..errors import EpochbankError
from ..ingest.workspace import remove_if_unused
from ..shared.atomic import temporary_beside
from ..shared.lock import LOCK, writing
from ..shared.progress import counted, size
from ..shared.reading_lock import unread
from .garbage import Garbage, needed_sources, orphans, real_path
from .remove import remove_set
from .store_gc import StoreGarbage


@dataclass(frozen=True)
class Collected:
    """What was removed, and what was kept and why."""

    removed: list[Garbage]
    kept: list[str]
    """One sentence for each thing that could not be removed."""

    @property
    def bytes(self) -> int:
        """Bytes that were freed."""
        return sum(one.bytes for one in self.removed)


def collect(sets: Path, garbage: list[Garbage]) -> Collected:
    """Remove those of `garbage` in `sets` that still are garbage, once no run writes there and nothing reads them."""
    removed: list[Garbage] = []
    kept: list[str] = []
    for owner in dict.fromkeys(one.owner for one in garbage):
        mine = [one for one in garbage if one.owner == owner]
        try:
            for one in [one for one in mine if one.kind == "set"]:
                remove_set(one.path)
                removed.append(one)
            if others := [one for one in mine if one.kind != "set"]:
                _collect_from(owner, others, sets, removed, kept)
        except (EpochbankError, OSError) as error:
            kept.append(_described(error, owner))
    return Collected(removed, kept)


def _collect_from(owner: Path, garbage: list[Garbage], sets: Path, removed: list[Garbage], kept: list[str]) -> None:
    """Remove what is still garbage among `garbage`, all of one owner, and add each to `removed` or `kept`."""
    with _locked(owner, garbage):
        for one in _still_garbage(owner, garbage, sets, kept):
            try:
                _remove(one)
                removed.append(one)
            except (EpochbankError, OSError) as error:
                kept.append(_described(error, one.path))
        for folder in {one.path.parent for one in garbage if one.kind == "shard"}:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _described(error: EpochbankError | OSError, path: Path) -> str:
    """Return why `path` was kept, as one or two sentences."""
    if isinstance(error, EpochbankError):
        return str(error)
    what = Path(error.filename) if isinstance(error.filename, str) and os.sep in error.filename else path
    return f"{what} cannot be removed: {error.strerror or error}. Check the disk and the permissions."


def _still_garbage(owner: Path, garbage: list[Garbage], sets: Path, kept: list[str]) -> list[Garbage]:
    """Return what is garbage now that `owner` is locked: a run may have ended, or begun and ended, in between.

    Adds to `kept` why source files are kept.
    """
    kinds = {one.kind for one in garbage}
    files = {owner / file for file in orphans(owner)} if kinds & {"shard", "virtual"} else set()
    needed, notes = needed_sources(sets) if "source" in kinds else (set(), [])
    kept += notes
    return [
        one
        for one in garbage
        if (one.kind == "temporary" and _is_there(one.path))
        or (one.kind in ("shard", "virtual") and one.path in files)
        or (one.kind == "beginning" and not (one.path / "set.json").exists())
        or (one.kind == "source" and needed is not None and real_path(one.path) not in needed and _is_there(one.path))
    ]


def _is_there(path: Path) -> bool:
    """Return whether there is something at `path`; True if that is unknown, so that its removal reports the fault."""
    try:
        path.lstat()
    except OSError as error:
        return not isinstance(error, FileNotFoundError)
    return True


def _remove(one: Garbage) -> None:
    if one.kind == "source":
        # Nothing reads a link that leads nowhere.
        with unread(one.path) if one.path.is_file() else nullcontext():
            one.path.unlink(missing_ok=True)
    elif one.kind == "beginning":
        renamed = temporary_beside(one.path)  # If not all of it can be removed, the rest is a temporary directory.
        one.path.rename(renamed)
        shutil.rmtree(renamed)
    elif one.kind == "temporary":
        if not remove_if_unused(one.path):
            raise EpochbankError(f"{one.path} is in use by an import. It stays.")
    else:
        # A training that follows the set locks the folder of the epoch that it reads.
        with nullcontext() if one.path.parent == one.owner else unread(one.path.parent):
            one.path.unlink(missing_ok=True)


@contextmanager
def _locked(owner: Path, garbage: list[Garbage]) -> Iterator[None]:
    """Keep runs out of `owner`, and readers of a set out of it if shards are to be removed."""
    is_set = any(one.kind in ("shard", "beginning") for one in garbage) or (owner / "set.json").exists()
    with writing(owner / LOCK if is_set else owner):
        if any(one.kind == "shard" for one in garbage):
            with unread(owner):
                yield
        else:
            yield


def gc_lines(garbage: list[Garbage] | list[StoreGarbage], notes: list[str]) -> list[str]:
    """Return what may be removed as lines of text."""
    lines = [f"{size(one.bytes):>9}  {one.path}: {one.why}" for one in garbage]
    lines += [f"note: {note}" for note in notes]
    total = sum(one.bytes for one in garbage)
    return [*lines, f"{size(total):>9}  in {counted(len(garbage), 'item')}" if garbage else "nothing to remove"]
