"""Making one shard: what a worker does, alone, from paths and small things to a file that is ready to publish."""

import math
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..distortion.engine import engine_named
from ..distortion.recipe import Recipe
from ..errors import EpochbankError
from ..ingest.source_file import SourceFile
from ..shared.atomic import sync, temporary_beside
from ..shared.profile import Profile
from ..store.description import Description
from ..store.manifest import Entry
from ..store.shard import Run, ShardTask, in_chunks, write_shard
from .epoch_content import content_at

_BLOCK_BYTES = 4 << 20
"""Pictures that are made together: enough that calls cost little, few enough for a core's share of the cache."""


@dataclass(frozen=True)
class ShardJob:
    """What a worker needs to make one shard: paths and small things, never pictures."""

    directory: Path
    description: Description
    recipe: Recipe
    source: SourceFile
    task: ShardTask
    engine: str


def make_shard(job: ShardJob) -> tuple[Path, Entry, Profile]:
    """Write one shard to a temporary file; returns it with the entry to publish it with, and where the time went."""
    begun, profile = time.perf_counter(), Profile()
    target = job.directory / job.task.file
    temporary = temporary_beside(target)
    if job.recipe.settings() != job.description.identity["recipe"]:
        raise EpochbankError("the source of an operation of one's own changed during the run.", words=True)
    description, safety = job.description, job.recipe.safety
    try:
        entry = write_shard(
            temporary,
            job.task,
            description.shape,
            description.fingerprint,
            _runs(job, profile),
            profile,
            attempts=safety.attempts if safety else 0,
        )
        with profile.of("sync", job.task.images):
            sync(temporary)  # Here, so that no worker waits for another's disk.
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    profile.total = time.perf_counter() - begun
    return temporary, entry, profile


def _runs(job: ShardJob, profile: Profile) -> Iterator[Run]:
    """The contents of a shard, chunk by chunk; made several chunks at a time, which costs less for each."""
    task, engine = job.task, engine_named(job.engine)
    chunk_bytes = task.chunk * math.prod(job.description.shape)
    block = task.chunk * max(1, _BLOCK_BYTES // chunk_bytes)
    for start in range(task.start, task.stop, block):
        made = content_at(
            job.directory,
            job.description,
            job.recipe,
            job.source,
            task.part,
            task.epoch,
            start,
            min(start + block, task.stop),
            engine,
            profile,
        )
        yield from in_chunks(made, start, task.chunk)
