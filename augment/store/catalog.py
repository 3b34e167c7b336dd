"""Finding sets: by path, by name, or the newest."""

from pathlib import Path

from ..errors import EpochbankError
from .manifest import NAME


def all_sets(sets: Path) -> list[Path]:
    """The directories in `sets` that hold a set, the newest (by its latest shard) last."""
    found = [path.parent for path in sets.glob("*/set.json")]
    return sorted(found, key=lambda directory: (_changed(directory), directory.name))


def find_set(name: str | Path | None, sets: Path) -> Path:
    """The set at path `name`, or called so in `sets`, or the newest there; `EpochbankError` where there is none."""
    if name is None:
        found = all_sets(sets)
        if found:
            return found[-1]
        raise EpochbankError(f"there is no set in {sets}/. Make one: augment run digits --sets {sets}")
    for directory in (Path(name), sets / name):
        if (directory / "set.json").exists():
            return directory
    held = ", ".join(path.name for path in all_sets(sets)) or "none"
    raise EpochbankError(
        f"there is no set {str(name)!r}, neither as a path nor in {sets}/ (which holds {held}). "
        "`augment list` shows the sets there are."
    )


def _changed(directory: Path) -> int:
    manifest = directory / NAME
    return (manifest if manifest.exists() else directory / "set.json").stat().st_mtime_ns
