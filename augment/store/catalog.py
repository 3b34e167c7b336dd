"""Find sets by path, by name, or the newest one."""

from pathlib import Path

from ..errors import EpochbankError
from .manifest import NAME


def all_sets(sets: Path) -> list[Path]:
    """Return the set directories in `sets`, sorted by the time of their latest shard, the newest last."""
    found = [path.parent for path in sets.glob("*/set.json")]
    return sorted(found, key=lambda directory: (_modified_ns(directory), directory.name))


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
    if name is None:
        found = all_sets(sets)
        if found:
            return found[-1]
        raise EpochbankError(f"there is no set in {sets}/. Generate one: augment run digits --sets {sets}")
    for directory in (Path(name), sets / name):
        if (directory / "set.json").exists():
            return directory
    available = ", ".join(path.name for path in all_sets(sets)) or "no set"
    raise EpochbankError(
        f"there is no set {str(name)!r}: it is neither a path nor a name in {sets}/, which contains {available}. "
        "`augment list` shows all sets."
    )


def _modified_ns(directory: Path) -> int:
    manifest = directory / NAME
    return (manifest if manifest.exists() else directory / "set.json").stat().st_mtime_ns
