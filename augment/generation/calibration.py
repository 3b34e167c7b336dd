"""What a list of shards will take on this machine: two are made for a trial, by the code of a run."""

import heapq
import math
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path

import h5py
import numpy as np

from ..distortion.engine import Engine, engine_named, self_check
from ..errors import EpochbankError
from ..shared.atomic import TEMPORARY
from ..shared.permutation import order_key, permute
from ..shared.profile import Profile
from ..shared.progress import size
from ..shared.workers import on_all_cores
from ..store.description import PARTS
from ..store.shard import ShardTask
from ..store.split_file import PartRows
from .request import Request, Split
from .shard_job import ShardJob, make_shard

_SAMPLE_BYTES, _FEWEST, _MOST = 8 << 20, 32, 2048
_SAMPLE_SHARE = 0.05
"""Pictures of the trial: such a share of those to write, within bounds."""
_TRIAL_SECONDS, _TRIAL_SHARE = 0.5, 0.02
_ROW_BYTES = 12
"""Of a picture's label and row."""
_SPARE_BYTES = 16 << 20
"""What a disk shall have left at the end."""


@dataclass(frozen=True)
class Cost:
    """What pictures of one kind cost on one core of this machine."""

    seconds: float
    """Of one picture."""
    bytes: float
    """Of one picture, stored."""
    shard_seconds: float
    """That every shard costs besides: its file, and syncing it."""
    shard_bytes: float
    """That every shard takes besides."""

    def of(self, task: ShardTask) -> tuple[float, float]:
        """Seconds and bytes of a shard."""
        # Compressed, what fills up the last chunk takes no room; uncompressed it does.
        stored = -(-task.images // task.chunk) * task.chunk if task.codec == "none" else task.images
        return task.images * self.seconds + self.shard_seconds, stored * self.bytes + self.shard_bytes


@dataclass(frozen=True)
class Reckoning:
    """What a list of shards will take."""

    jobs: int
    """Worker processes."""
    start: float
    """Seconds that the trial and the start of the worker processes take."""
    bytes: int
    """Of all shards, stored."""
    shards: list[float] = field(repr=False)
    """Seconds of each shard on one core, in order."""

    @property
    def seconds(self) -> float:
        """Seconds, start and all, with `jobs` workers."""
        return self.seconds_on(self.jobs)

    def seconds_on(self, jobs: int) -> float:
        """Seconds with so many workers, each on a core as fast as the one of the trial."""
        free = [self.start] * max(1, min(jobs, len(self.shards)))
        for seconds in self.shards:
            heapq.heapreplace(free, free[0] + seconds)
        return max(free)


def reckon(
    request: Request, engine: Engine, tasks: Sequence[ShardTask], jobs: int, folder: Path | None = None
) -> Reckoning:
    """Try a sample of the source's pictures, and reckon what `tasks`, at least one, will take with `jobs` workers.

    What the trial writes, in `folder` or where the system has temporary files, is removed again.
    """
    begun = time.perf_counter()
    jobs = max(1, min(jobs, len(tasks)))
    pictures = sum(task.images for task in tasks)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder) as workspace:
        trial = Trial(_trial_jobs(request, engine, tasks[0], pictures // jobs, Path(workspace)), pictures / jobs)
        if jobs > 1:  # The run uses the same processes, all at once as here.
            for _ in on_all_cores(get_ready, [trial] * jobs, jobs, jobs):
                pass
        tried = [costs for _, costs in on_all_cores(try_out, [trial] * jobs, jobs, jobs)]
    clean, distorted = (_mean([costs[kind] for costs in tried]) for kind in (0, 1))
    shards = [(distorted if task.part == "epoch" else clean).of(task) for task in tasks]
    return Reckoning(
        jobs,
        time.perf_counter() - begun,
        round(sum(stored for _, stored in shards)),
        [seconds for seconds, _ in shards],
    )


@dataclass(frozen=True)
class Trial:
    """What a worker tries out."""

    jobs: tuple[ShardJob, ShardJob]
    """A shard of undistorted pictures and one of distorted ones."""
    pictures: float
    """Each worker's share of what is to be written: a trial takes a small part of its time."""


def _trial_jobs(
    request: Request, engine: Engine, like: ShardTask, pictures: int, workspace: Path
) -> tuple[ShardJob, ShardJob]:
    """A set of a sample of the source below `workspace`, and its two shards, stored as the task `like` stores them."""
    most = max(_FEWEST, min(_MOST, _SAMPLE_BYTES // math.prod(request.source.shape)))
    count = min(request.source.images, max(_FEWEST, min(most, round(pictures * _SAMPLE_SHARE))))
    chunk = min(like.chunk, count)
    count -= count % chunk
    # At random: what is spaced evenly may meet a rhythm of the source.
    rows = np.sort(permute(np.arange(count), request.source.images, order_key("trial")))
    empty = PartRows(rows[:0], rows[:0], None)
    request = replace(request, per_class=None)  # The sample is what it is.
    directory = request.directory(workspace)
    directory.mkdir()
    parts = dict.fromkeys(PARTS, empty) | {"train": PartRows(rows, rows * 0, None)}
    description = request.make(workspace, Split(parts, []))
    clean = ShardTask("train", 0, 0, count, chunk, like.codec)
    distorted = replace(clean, part="epoch")
    for task in (clean, distorted):
        (directory / task.file).parent.mkdir()
    job = ShardJob(directory.absolute(), description, request.recipe, request.source, clean, engine.name)
    return job, replace(job, task=distorted)


def get_ready(trial: Trial) -> None:
    """What a worker process does before its first shard: load the engine's kernels."""
    job = trial.jobs[1]
    self_check(engine_named(job.engine), job.recipe, job.source.shape)


def try_out(trial: Trial) -> tuple[Cost, Cost]:
    """What an undistorted and a distorted picture cost in this process."""
    clean, distorted = (_cost(job, trial.pictures) for job in trial.jobs)
    return clean, distorted


def _cost(job: ShardJob, pictures: float) -> Cost:
    """Make the shard of `job` again and again, for a small part of the time that `pictures` will take."""
    count, tried, rounds = job.task.images, Profile(), 0
    _make_and_remove(replace(job, task=replace(job.task, images=min(count, _FEWEST))))  # what only the first costs
    while not rounds or tried.total < min(_TRIAL_SECONDS, _TRIAL_SHARE * tried.total / (rounds * count) * pictures):
        profile, pixels, stored = _make_and_remove(job)
        tried.add(profile)
        rounds += 1
    each = (sum(tried.seconds.values()) - tried.seconds["sync"]) / (rounds * count)
    return Cost(
        seconds=each,
        bytes=pixels / count + _ROW_BYTES,
        shard_seconds=tried.total / rounds - each * count,
        shard_bytes=stored - pixels - _ROW_BYTES * count,
    )


def _make_and_remove(job: ShardJob) -> tuple[Profile, int, int]:
    """Where the time went, and the bytes of its pictures and of all of it."""
    temporary, entry, profile = make_shard(job)
    with h5py.File(temporary, "r") as file:
        pixels = file["image"].id.get_storage_size()
    temporary.unlink()
    return profile, pixels, entry.bytes


def _mean(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.mean(column) for column in zip(*map(astuple, costs), strict=True)))


def refuse_full_disk(directory: Path, needed: int, what: str = "the set") -> None:
    """`EpochbankError` where the disk that holds `directory` has no room for `needed` bytes of `what`."""
    free = shutil.disk_usage(next(path for path in (directory, *directory.absolute().parents) if path.exists())).free
    if needed + _SPARE_BYTES > free:
        raise EpochbankError(
            f"{what} will take {size(needed)}, and {size(_SPARE_BYTES)} shall stay free; the disk that holds "
            f"{directory} has {size(free)} left. Free space, choose another place with --sets, or ask for fewer "
            "--epochs or a smaller --size."
        )
