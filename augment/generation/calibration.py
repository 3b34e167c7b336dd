"""The calibration run: measuring a sample of the images with the code of a run, to estimate time and bytes."""

import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np

from ..distortion.choose_engine import engine_named, self_check
from ..distortion.engine import Engine
from ..shared.atomic import TEMPORARY
from ..shared.hdf5_output import hdf5_input
from ..shared.permutation import order_key, permute
from ..shared.pool import LocalPool, Pool
from ..shared.profile import Profile
from ..shared.types import SPLITS
from ..shared.workers import kept_workers, on_all_cores
from ..store.shard import ShardTask
from ..store.split_file import SplitRows
from .estimate import Cost, Estimate
from .new_set import ComputedSplit, begin_set
from .set_inputs import load_inputs, reference_to
from .shard_job import ShardJob, make_shard
from .spec import SetSpec

_SAMPLE_BYTES, _FEWEST, _MOST = 8 << 20, 32, 2048
_SAMPLE_SHARE = 0.05
"""Share of the images to write that the calibration run generates, within the bounds above."""
_SECONDS, _TIME_SHARE = 0.5, 0.02
"""The calibration run takes at most this long, and at most this share of the estimated time."""
_ROW_BYTES = 12
"""Bytes of an image's label and row."""


def calibrate(
    spec: SetSpec, engine: Engine, tasks: Sequence[ShardTask], pool: Pool, folder: Path | None = None
) -> Estimate:
    """Measure a sample of the source's images, and estimate what `tasks` (at least one) take on the workers of `pool`.

    For a cluster, one process of this machine is measured, on the assumption that its cores are as fast. The
    files of the calibration run, in `folder` or in the system's temporary directory, are removed.
    """
    begun = time.perf_counter()
    jobs = max(1, min(pool.size, len(tasks)))
    measured_jobs = jobs if isinstance(pool, LocalPool) else 1
    num_images = sum(task.num_images for task in tasks)
    with kept_workers(), tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder) as workspace:
        sample = _Sample(_sample_jobs(spec, engine, tasks[0], num_images // jobs, Path(workspace)), num_images / jobs)
        samples = [sample] * measured_jobs
        if measured_jobs > 1:  # The run uses the same processes, all at the same time as here.
            for _ in on_all_cores(warm_up, samples, measured_jobs, measured_jobs):
                pass
        measured = [costs for _, costs in on_all_cores(measure, samples, measured_jobs, measured_jobs)]
    clean, distorted = (_mean([costs[kind] for costs in measured]) for kind in (0, 1))
    shards = [(distorted if task.split == "epoch" else clean).of(task) for task in tasks]
    return Estimate(
        jobs,
        time.perf_counter() - begun,
        round(sum(stored for _, stored in shards)),
        [seconds for seconds, _ in shards],
        [stored for _, stored in shards],
    )


@dataclass(frozen=True)
class _Sample:
    """The shards that a worker makes to measure their cost."""

    jobs: tuple[ShardJob, ShardJob]
    """A shard of undistorted images, and one of distorted images."""
    num_images: float
    """The worker's share of all images to write, which bounds the time of the calibration run."""


def _sample_jobs(
    spec: SetSpec, engine: Engine, like: ShardTask, num_images: int, workspace: Path
) -> tuple[ShardJob, ShardJob]:
    """Return the jobs for two shards of a sampled set in `workspace`, with the chunk size and codec of `like`."""
    most = max(_FEWEST, min(_MOST, _SAMPLE_BYTES // math.prod(spec.source.shape)))
    count = min(spec.source.num_images, max(_FEWEST, min(most, round(num_images * _SAMPLE_SHARE))))
    chunk = min(like.chunk, count)
    count -= count % chunk
    # At random: evenly spaced images may coincide with a period of the source.
    rows = np.sort(permute(np.arange(count), spec.source.num_images, order_key("trial")))
    empty = SplitRows(rows[:0], rows[:0], None)
    splits = dict.fromkeys(SPLITS, empty) | {"train": SplitRows(rows, rows * 0, None)}
    split = ComputedSplit(splits, {name: len(found.row) for name, found in splits.items()}, [])
    spec = replace(spec, per_class=None)  # The sample is not balanced.
    directory = workspace / spec.name
    directory.mkdir()
    description = begin_set(directory, spec, split, spec.source.name)
    clean = ShardTask("train", 0, 0, count, chunk, like.codec)
    distorted = replace(clean, split="epoch")
    for task in (clean, distorted):
        (directory / task.file).parent.mkdir()
    reference = reference_to(directory, description, spec)
    return ShardJob(reference, clean, engine.name), ShardJob(reference, distorted, engine.name)


def warm_up(sample: _Sample) -> None:
    """Load the engine's kernels in a worker process, before its first shard."""
    job = sample.jobs[1]
    inputs = load_inputs(job.reference)
    self_check(engine_named(job.engine), inputs.recipe, inputs.source.shape)


def measure(sample: _Sample) -> tuple[Cost, Cost]:
    """Return what an undistorted and a distorted image cost in this process."""
    clean, distorted = (_cost(job, sample.num_images) for job in sample.jobs)
    return clean, distorted


def _cost(job: ShardJob, num_images: float) -> Cost:
    """Make the shard of `job` repeatedly, for a small part of the time that `num_images` will take."""
    count, measured, rounds = job.task.num_images, Profile(), 0
    # Not timed, because the first call is slower.
    _make_and_remove(replace(job, task=replace(job.task, num_images=min(count, _FEWEST))))
    while not rounds or measured.total < min(_SECONDS, _TIME_SHARE * measured.total / (rounds * count) * num_images):
        profile, pixels, stored = _make_and_remove(job)
        measured.add(profile)
        rounds += 1
    each = (sum(measured.seconds.values()) - measured.seconds["sync"]) / (rounds * count)
    return Cost(
        seconds=each,
        bytes=pixels / count + _ROW_BYTES,
        shard_seconds=measured.total / rounds - each * count,
        shard_bytes=stored - pixels - _ROW_BYTES * count,
    )


def _make_and_remove(job: ShardJob) -> tuple[Profile, int, int]:
    """Return the profile of a shard, the stored bytes of its images, and those of the whole file."""
    temporary, entry, profile = make_shard(job)
    with hdf5_input(temporary) as file:
        pixels = file["image"].id.get_storage_size()
    temporary.unlink()
    return profile, pixels, entry.bytes


def _mean(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.mean(column) for column in zip(*map(astuple, costs), strict=True)))
