"""Generation: the shards that a request lacks, made on all cores, published one by one."""

import errno
import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..console import say
from ..distortion.engine import Name, choose_engine
from ..distortion.operations.base import Shape
from ..errors import EpochbankError
from ..shared.atomic import make_directory, move, sweep
from ..shared.lock import writing
from ..shared.profile import Profile
from ..shared.progress import Progress, size
from ..shared.workers import on_all_cores
from ..store.description import Description
from ..store.manifest import Entry, ManifestWriter, read_manifest
from ..store.shard import ShardTask
from ..store.split_file import check_split
from .calibration import reckon, refuse_full_disk
from .plan import chunk_images, left_to_do, shard_images
from .request import Request, Split
from .run_log import RunLog
from .shard_job import ShardJob, make_shard

_LARGEST_CHUNK = 1 << 30
_PENDING = 4
"""Shards that may wait to be published."""


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
    engine: Name = "auto"


@dataclass(frozen=True)
class Outcome:
    """What a run did."""

    directory: Path
    description: Description
    log: RunLog | None = None
    """What this run did; None where there was nothing to do."""


def generate(request: Request, sets: Path, execution: Execution, *, quiet: bool = False) -> Outcome:
    """Make the set that answers `request`, or what is missing of it; `quiet` shows no progress.

    Killed at any moment, the same call goes on where it was. Raises `EpochbankError` where another
    run writes the set, the disk cannot hold it, no space is left, or a worker process dies.
    """
    asked, request = request, request.as_stored(sets)
    directory = request.directory(sets)
    description = request.existing(sets)
    if description is not None and not _left(directory, description, execution):
        return Outcome(directory, description)
    if request != asked:
        say(f"{directory} was made by an earlier version, and is continued as it was made")
    split = request.split() if description is None else None
    make_directory(directory)
    with writing(directory / ".lock"):
        sweep(directory)
        description = request.existing(sets)
        images = description.images if description else request.images(_known(split).parts)
        tasks = tasks_left(read_manifest(directory), images, request.source.shape, execution)
        if description is not None and not tasks:  # Another run made them meanwhile.
            return Outcome(directory, description)
        engine = choose_engine(execution.engine, request.recipe, request.source.shape)
        with _faults_told(directory, None, len(tasks)):
            log = RunLog(engine.name, reckon(request, engine, tasks, execution.jobs, directory))
        refuse_full_disk(directory, log.reckoned.bytes)
        if description is None:  # Last, so that what is refused leaves no set behind.
            description = _begun(request, sets, _known(split))
        check_split(directory, description.split_checksum)
        try:
            with _faults_told(directory, log, len(tasks)):
                _write(directory, description, request, tasks, log, quiet)
        finally:
            log.end(directory)
            sweep(directory)
    return Outcome(directory, description, log)


def _known(split: Split | None) -> Split:
    """The split of a set that is not there yet; one that was there when the run began has gone meanwhile."""
    if split is None:
        raise EpochbankError("the set was removed meanwhile. Give the same command again.")
    return split


def _begun(request: Request, sets: Path, split: Split) -> Description:
    try:
        return request.make(sets, split)
    except OSError as error:
        raise _translated(error, request.directory(sets), "Then give the same command again.") from error


def _left(directory: Path, description: Description, execution: Execution) -> list[ShardTask]:
    return tasks_left(read_manifest(directory), description.images, description.shape, execution)


def tasks_left(published: list[Entry], images: dict[str, int], shape: Shape, execution: Execution) -> list[ShardTask]:
    """The shards to write for a set with `images` in each part, given those that are `published`."""
    chunk = execution.chunk or chunk_images(shape)
    if chunk * math.prod(shape) > _LARGEST_CHUNK:
        raise EpochbankError(
            f"--chunk-size {chunk} makes chunks of {size(chunk * math.prod(shape))} decoded; "
            f"expected at most {size(_LARGEST_CHUNK)}.",
            words=True,
        )
    return left_to_do(
        published,
        images,
        execution.epochs,
        shard=execution.shard or shard_images(images["train"], shape, chunk),
        chunk=chunk,
        # As the shards that there are, unless the user names another.
        codec=execution.codec or (published[-1].codec if published else "zstd"),
    )


def _write(
    directory: Path, description: Description, request: Request, tasks: list[ShardTask], log: RunLog, quiet: bool
) -> None:
    """Make the shards of `tasks` and publish each: this process alone renames files and writes the manifest."""
    for folder in {(directory / task.file).parent for task in tasks}:
        folder.mkdir(exist_ok=True)
    work = (
        ShardJob(directory.absolute(), description, request.recipe, request.source, task, log.engine) for task in tasks
    )
    with (
        closing(ManifestWriter(directory)) as manifest,
        Progress("augment", sum(task.images for task in tasks), quiet=quiet) as progress,
        ThreadPoolExecutor(1, "publish") as publisher,  # Nobody computes the less while a disk syncs.
    ):
        pending: deque[Future[Entry]] = deque()
        for _, (temporary, entry, profile) in on_all_cores(make_shard, work, len(tasks), log.reckoned.jobs):
            pending.append(publisher.submit(_publish, temporary, directory, entry, manifest, log, profile))
            while pending and (len(pending) > _PENDING or pending[0].done()):
                progress.advance(pending.popleft().result().images)
        while pending:
            progress.advance(pending.popleft().result().images)


def _publish(
    temporary: Path, directory: Path, entry: Entry, manifest: ManifestWriter, log: RunLog, profile: Profile
) -> Entry:
    move(temporary, directory / entry.file)
    manifest.append(entry)
    log.add(entry, profile)
    return entry


@contextmanager
def _faults_told(directory: Path, log: RunLog | None, total: int) -> Iterator[None]:
    """Whatever ends a run of `total` shards says how many of them are kept, and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_go_on(log, total)) from None
    except EpochbankError as error:
        raise EpochbankError(f"{error} {_kept(log, total)}.", words=error.exit_code == 2) from error
    except OSError as error:
        raise _translated(error, directory, _go_on(log, total)) from error


def _kept(log: RunLog | None, total: int) -> str:
    return f"{log.shards if log else 0} of {total} shards of this run are kept"


def _go_on(log: RunLog | None, total: int) -> str:
    return f"{_kept(log, total)}; the same command goes on from there."


def _translated(error: OSError, directory: Path, go_on: str) -> EpochbankError:
    if error.errno == errno.ENOSPC or "No space left" in str(error) or "errno = 28" in str(error):
        return EpochbankError(f"no space left on the disk that holds {directory}. Free some. {go_on}")
    return EpochbankError(f"writing to {directory} failed: {error}. {go_on}")
