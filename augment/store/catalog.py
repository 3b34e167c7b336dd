"""Find sets by path, by name, or the newest one."""

import reprlib
import time
from pathlib import Path

from ..console import notify
from ..errors import EpochbankError
from ..shared.closest import did_you_mean
from ..shared.progress import age
from .manifest import NAME

_LISTED = 5
"""Names of sets in a message."""


def all_sets(sets: Path) -> list[Path]:
    """Return the set directories in `sets`, sorted by the time at which they were last written, the newest last."""
    found = [path.parent for path in sets.glob("*/set.json")]
    return sorted(found, key=lambda directory: (written_ns(directory), directory.name))


def written_ns(directory: Path) -> int:
    """Return when a set was created or last got a shard, the later of the two: nanoseconds since 1970.

    That is the time of `set.json` or of the manifest; the times of directories and shards do not count.
    """
    files = (directory / "set.json", directory / NAME)
    return max(file.stat().st_mtime_ns for file in files if file.exists())


def sets_path(sets: object) -> Path:
    """Return the directory of the sets as a path. Raises `EpochbankError` if it is neither a string nor a path."""
    if not isinstance(sets, str | Path):
        raise EpochbankError(
            f"sets={reprlib.repr(sets)} is of type {type(sets).__name__}; expected the path of a directory.", usage=True
        )
    return Path(sets)


def find_set(name: str | Path | None, sets: Path) -> Path:
    """Return the directory of a set.

    Parameters
    ----------
    name
        Path of the set, or its name in `sets`; None for the newest set in `sets`.

    Raises
    ------
    EpochbankError
        If there is no such set.
    """
    if name is not None and not isinstance(name, str | Path):
        raise EpochbankError(
            f"{reprlib.repr(name)} is of type {type(name).__name__}; expected an open set, the path of a set, or its "
            f"name in {sets}/. `open_set()` opens the newest set.",
            usage=True,
        )
    if name is None:
        found = all_sets(sets)
        if found:
            return found[-1]
        raise EpochbankError(f"there is no set in {sets}/. Generate one: augment run digits --sets {sets}")
    for directory in (Path(name), sets / name):
        if (directory / "set.json").exists():
            return directory
    names = [path.name for path in all_sets(sets)]
    suggestion = did_you_mean(Path(name).name, names) or f" {_some(names[::-1], sets)}"
    raise EpochbankError(f"there is no set {str(name)!r}: it is neither a path nor a name in {sets}/.{suggestion}")


def _some(names: list[str], sets: Path) -> str:
    """Return a sentence on the first few of the sets in `sets`."""
    if not names:
        return f"Generate one: augment run digits --sets {sets}"
    listed = ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
    return f"`augment list` shows all sets: {listed}."


def choose_set(name: str | Path | None, sets: Path) -> Path:
    """Like `find_set`, for a command: if `name` is None, print which set was taken, and when it was last written."""
    directory = find_set(name, sets)
    if name is None:
        seconds = time.time() - written_ns(directory) / 1e9
        notify(f"newest set: {directory}, last written {age(seconds)}")
    return directory
