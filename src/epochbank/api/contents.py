"""What sets hold, and where their images come from."""

from pathlib import Path
from typing import Any

import numpy as np

from ..augment.errors import EpochbankError
from ..augment.store.catalog import all_sets, sets_path
from ..augment.store.manifest import read_manifest
from ..augment.store.objects.mirror import remote_url
from ..augment.store.objects.urls import url_of
from ..augment.store.presence import check_presence
from ..augment.views import info as set_info
from ..augment.views.origins import origins_of
from ..train.feeding.augmented_set import AugmentedSet
from ..train.training import run_list
from ..train.training.run_list import RunFacts
from .directories import directory_of
from .values import DEFAULT_RUNS, DEFAULT_SETS


def info(
    name: str | Path | AugmentedSet | None = None,
    *,
    sets: str | Path = DEFAULT_SETS,
    runs: str | Path = DEFAULT_RUNS,
) -> dict[str, Any]:
    """Return what a set is and holds, and the log of its runs, as JSON values: the keys of `augment info --json`.

    `trainings` lists the run directories in `runs` that were trained on the set.
    """
    directory = directory_of(name, sets)
    facts = _with_trainings(set_info.info(directory), run_list.list_runs(Path(runs))[0])
    remote = remote_url(directory) is not None  # All shards would be fetched.
    if facts["resampled"] and facts["resampled"]["images"] and not facts["lost_shards"] and not remote:
        facts["resampled"] |= set_info.rejections(directory)
    return facts


def list_sets(
    sets: str | Path = DEFAULT_SETS, *, runs: str | Path = DEFAULT_RUNS
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the `info` of every readable set in `sets`, the newest last, and faults.

    `trainings` lists the run directories in `runs` that were trained on the set. Faults are sets that cannot be read,
    missing or incomplete shards of those that can, and `sets` itself if it does not exist, unless it is the default.
    """
    facts, faults = [], []
    trainings, _ = run_list.list_runs(Path(runs))
    path = sets_path(sets)
    expected = (path.is_dir() or path != Path(DEFAULT_SETS)) and url_of(path) is None
    for directory in all_sets(path):
        try:
            facts.append(_with_trainings(set_info.info(directory), trainings))
            check_presence(directory, read_manifest(directory))
        except EpochbankError as fault:
            faults.append(str(fault))
    if expected and not path.is_dir():  # Perhaps it vanished with its disk while it was read.
        what = "is not a directory" if path.exists() else "does not exist"
        faults.append(f"{path} {what}; expected the directory of the sets. Choose another one with --sets.")
    return facts, faults


def _with_trainings(facts: dict[str, Any], runs: list[RunFacts]) -> dict[str, Any]:
    return facts | {"trainings": [run.path for run in runs if run.fingerprint == facts["fingerprint"]]}


def origins(name: str | Path | AugmentedSet, split: str, positions: np.ndarray) -> list[str]:
    """Return where the images at `positions` (int64 (n,)) of the validation or test split of a set come from.

    Each is a path, or a position such as `images[17]`; '' if the source file of the set no longer exists.
    """
    return origins_of(directory_of(name, DEFAULT_SETS), split, positions)
