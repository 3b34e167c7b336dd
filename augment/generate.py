"""Generation: the shards that a request lacks, made on all cores, published one by one."""

import errno
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from augment.content import content_at
from augment.errors import EpochbankError
from augment.plan import chunk_images, left_to_do, shard_images
from augment.progress import Progress, size
from augment.recipe import Recipe
from augment.request import Request
from augment.source_file import SourceFile
from augment.split import classes_missing
from augment.store.atomic import make_directory, publish, sweep, temporary_beside
from augment.store.description import Description
from augment.store.lock import writing
from augment.store.manifest import Entry, ManifestWriter, read_manifest
from augment.store.shard import Run, ShardTask, write_shard
from augment.store.split_file import check_split
from augment.workers import on_all_cores

_BLOCK_BYTES = 2 << 20
_LARGEST_CHUNK = 1 << 30


@dataclass(frozen=True)
class Execution:
    """How a request is carried out; nothing here changes a pixel."""

    epochs: int
    codec: str | None = None
    """Of new shards; None for that of the shards there are, or zstd."""
    jobs: int = 1
    shard: int | None = None
    """Pictures in a shard; None for a size that suits the set."""
    chunk: int | None = None
    """Pictures in a chunk; None for a size that suits the pictures."""


@dataclass(frozen=True)
class Outcome:
    """What a run did."""

    directory: Path
    description: Description
    written: int
    """Shards written by this run; 0 where there was nothing to do."""
    warnings: list[str]
    """What people should know of the split, where this run made it."""


@dataclass(frozen=True)
class ShardJob:
    """What a worker needs to make one shard: paths and small things, never pictures."""

    directory: Path
    description: Description
    recipe: Recipe
    source: SourceFile
    task: ShardTask


def generate(request: Request, sets: Path, execution: Execution, *, quiet: bool = False) -> Outcome:
    """Make the set that answers `request`, or what is missing of it; `quiet` shows no progress.

    Killed at any moment, the same call goes on where it was. Raises `EpochbankError` where another
    run writes the set, no space is left, or a worker process dies.
    """
    directory = request.directory(sets)
    description = request.existing(sets)
    if description is not None and not _left(directory, description, execution):
        return Outcome(directory, description, 0, [])
    parts = request.split() if description is None else {}
    make_directory(directory)
    with writing(directory / ".lock"):
        sweep(directory)
        description, warnings = request.existing(sets), []
        if description is None:
            try:
                description = request.make(sets, parts)
            except OSError as error:
                raise _translated(error, directory, "Then give the same command again.") from error
            labels_of = {part: rows.label for part, rows in parts.items()}
            warnings = classes_missing(labels_of, description.class_names)
        check_split(directory, description.split_checksum)
        tasks = _left(directory, description, execution)
        try:
            _write(directory, description, request, tasks, execution.jobs, quiet)
        finally:
            sweep(directory)
    return Outcome(directory, description, len(tasks), warnings)


def _left(directory: Path, description: Description, execution: Execution) -> list[ShardTask]:
    chunk, published = execution.chunk or chunk_images(description.shape), read_manifest(directory)
    if chunk * math.prod(description.shape) > _LARGEST_CHUNK:
        raise EpochbankError(
            f"--chunk-size {chunk} makes chunks of {size(chunk * math.prod(description.shape))} decoded; "
            f"expected at most {size(_LARGEST_CHUNK)}.",
            words=True,
        )
    return left_to_do(
        published,
        description.images,
        execution.epochs,
        shard=execution.shard or shard_images(description.images["train"], description.shape, chunk),
        chunk=chunk,
        codec=execution.codec or usual_codec(published),
    )


def usual_codec(published: list[Entry]) -> str:
    """The codec of new shards unless the user names one."""
    return published[-1].codec if published else "zstd"


def _write(
    directory: Path, description: Description, request: Request, tasks: list[ShardTask], jobs: int, quiet: bool
) -> None:
    """Make the shards of `tasks` and publish each: this process alone renames files and writes the manifest."""
    for folder in {(directory / task.file).parent for task in tasks}:
        folder.mkdir(exist_ok=True)
    work = (ShardJob(directory.absolute(), description, request.recipe, request.source, task) for task in tasks)
    manifest, done = ManifestWriter(directory), 0
    try:
        with Progress("augment", sum(task.images for task in tasks), quiet=quiet) as progress:
            for _, (temporary, entry) in on_all_cores(make_shard, work, len(tasks), jobs):
                publish(temporary, directory / entry.file)
                manifest.append(entry)
                done += 1
                progress.advance(entry.images)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_go_on(done, len(tasks))) from None
    except EpochbankError as error:
        raise EpochbankError(f"{error} {_kept(done, len(tasks))}.", words=error.exit_code == 2) from error
    except OSError as error:
        raise _translated(error, directory, _go_on(done, len(tasks))) from error
    finally:
        manifest.close()


def _kept(done: int, total: int) -> str:
    return f"{done} of {total} shards of this run are kept"


def _go_on(done: int, total: int) -> str:
    return f"{_kept(done, total)}; the same command goes on from there."


def _translated(error: OSError, directory: Path, go_on: str) -> EpochbankError:
    if error.errno == errno.ENOSPC or "No space left" in str(error) or "errno = 28" in str(error):
        return EpochbankError(f"no space left on the disk that holds {directory}. Free some. {go_on}")
    return EpochbankError(f"writing to {directory} failed: {error}. {go_on}")


def make_shard(job: ShardJob) -> tuple[Path, Entry]:
    """Write one shard to a temporary file; returns it with the entry to publish it with."""
    target = job.directory / job.task.file
    temporary = temporary_beside(target)
    if job.recipe.settings() != job.description.identity["recipe"]:
        raise EpochbankError("the source of an operation of one's own changed during the run.", words=True)
    try:
        entry = write_shard(temporary, job.task, job.description.shape, job.description.fingerprint, _runs(job))
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())  # Here, so that no worker waits for another's disk.
        return temporary, entry
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


def _runs(job: ShardJob) -> Iterator[Run]:
    """The contents of a shard, chunk by chunk; made several chunks at a time, which costs less for each."""
    task = job.task
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
        )
        for at in range(0, len(made[0]), task.chunk):
            pictures, labels, rows = (column[at : at + task.chunk] for column in made)
            yield pictures, labels, rows
