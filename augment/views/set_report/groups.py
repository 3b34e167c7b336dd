"""Groups of a set: how many images each has, and whether a split divides one."""

from pathlib import Path

import numpy as np

from ...shared.types import SPLITS
from ...store.order import rows_of_split
from ..bins import bins_of


def group_facts(directory: Path) -> dict[str, object] | None:
    """Return the number of groups, of divided ones, and `bins` of images per group; None if there are no groups."""
    splits = [rows_of_split(directory, split).group for split in SPLITS]
    numbers = [groups for groups in splits if groups is not None and len(groups)]
    if not numbers:
        return None
    count = max(int(groups.max()) for groups in numbers) + 1
    sizes, present = np.zeros(count, np.int64), np.zeros(count, np.int8)
    for groups in numbers:
        found = np.bincount(groups, minlength=count)
        sizes += found
        present += found > 0
    sizes_of_some = sizes[sizes > 0]
    return {
        "count": len(sizes_of_some),
        "divided": int((present > 1).sum()),
        "least": int(sizes_of_some.min()),
        "median": float(np.median(sizes_of_some)),
        "most": int(sizes_of_some.max()),
        "bins": bins_of(sizes_of_some),
    }
