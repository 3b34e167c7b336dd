"""Check that a disk has room for what a source is unpacked to while it is imported."""

import shutil
from pathlib import Path

from ..errors import EpochbankError
from ..shared.progress import size


def check_unpacked(what: str, needed: int, workspace: Path) -> None:
    """Raise `EpochbankError` if unpacking `what` to `needed` bytes does not fit on the disk of `workspace`."""
    free = shutil.disk_usage(workspace).free
    if needed > free:
        raise EpochbankError(
            f"unpacking {what} during the import takes {size(needed)}, but {workspace.parent} has {size(free)} left. "
            "Free space, or choose another directory."
        )
