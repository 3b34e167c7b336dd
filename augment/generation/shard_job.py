"""Make one shard in a worker process: from paths and small objects to a file that is ready to publish."""

import math
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..distortion.choose_engine import engine_named
from ..distortion.recipe import LabelCheck
from ..errors import EpochbankError
from ..shared.atomic import sync, temporary_beside
from ..shared.lease import check_lease
from ..shared.profile import Profile
from ..store.manifest import Entry
from ..store.shard import Run, ShardTask, in_chunks, write_shard
from .epoch_content import content_at
from .set_inputs import SetInputs, SetReference, load_inputs

_BLOCK_BYTES = 4 << 20
"""Images that are made together: enough that calls cost little, few enough for a core's share of the cache."""


@dataclass(frozen=True)
class ShardJob:
    """One shard to make, in a few hundred bytes. Worker processes load everything else once (`set_inputs`)."""

    reference: SetReference
    task: ShardTask
    engine: str

    def __str__(self) -> str:
        return str(self.reference.directory / self.task.file)


def make_shard(job: ShardJob) -> tuple[Path, Entry, Profile]:
    """Write one shard to a temporary file; return the file, its manifest entry, and the profile of the work."""
    begun, profile = time.perf_counter(), Profile()
    target = job.reference.directory / job.task.file
    temporary = temporary_beside(target)
    check_lease()
    inputs = load_inputs(job.reference)
    description = inputs.description
    if inputs.recipe.settings() != description.identity["recipe"]:
        raise EpochbankError(
            "the code of a custom operation changed during the run. Run the command again, which makes another set, or "
            "undo the change.",
            usage=True,
        )
    rejected: list[np.ndarray] = []
    try:
        runs = _runs(job, inputs, profile, rejected)
        entry = write_shard(temporary, job.task, description.shape, description.fingerprint, runs, profile)
        with profile.of("sync", job.task.num_images):
            sync(temporary)  # In the worker, so that workers sync their shards in parallel.
        check_lease()
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    resampled, undistorted = label_check_counts(np.concatenate(rejected), inputs.recipe.label_check)
    profile.total = time.perf_counter() - begun
    return temporary, replace(entry, resampled=resampled, undistorted=undistorted), profile


def label_check_counts(rejected: np.ndarray, label_check: LabelCheck | None) -> tuple[int, int]:
    """Return how many images a table of rejected attempts has, and how many of them are stored undistorted."""
    attempts = label_check.attempts if label_check else 0
    return len(np.unique(rejected["position"])), int(np.sum(rejected["attempt"] + 1 == attempts))


def _runs(job: ShardJob, inputs: SetInputs, profile: Profile, rejected: list[np.ndarray]) -> Iterator[Run]:
    """Yield the contents of a shard, chunk by chunk, and add their rejected attempts to `rejected`.

    Several chunks are computed at a time, which costs less per chunk.
    """
    task, engine = job.task, engine_named(job.engine)
    chunk_bytes = task.chunk * math.prod(inputs.description.shape)
    block = task.chunk * max(1, _BLOCK_BYTES // chunk_bytes)
    for start in range(task.start, task.stop, block):
        check_lease()
        made = content_at(
            job.reference.directory,
            inputs.description,
            inputs.recipe,
            inputs.source,
            task.split,
            task.epoch,
            start,
            min(start + block, task.stop),
            engine,
            profile,
        )
        rejected.append(made.rejected)
        yield from in_chunks(made, start, task.chunk)
