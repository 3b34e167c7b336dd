"""Generation: plan what a set lacks, make the shards on all cores, and publish them."""

import errno
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..console import notify
from ..errors import EpochbankError
from ..ingest.check_source import check_before_use
from ..ingest.source_file import DamagedSource
from ..shared.atomic import make_directory, refuse_links, sweep
from ..shared.backend import open_pool
from ..shared.disk_space import Limits, check_disk_space
from ..shared.lock import LOCK, writing
from ..shared.pool import Pool
from ..shared.progress import Progress
from ..shared.signals import interrupted
from ..store.description import Description
from ..store.manifest import Entry, ManifestWriter, first_epoch, read_manifest
from ..store.manifest_check import GROUP
from ..store.objects.mirror import remote_url
from ..store.objects.publisher import PENDING
from ..store.presence import describe_lost, lost_shards
from ..store.split_file import check_split
from ..store.virtual_epoch import lacks_virtual
from ..store.virtual_writer import VirtualEpochs
from .advice import recipe_notes, sampled
from .budget import Budget
from .handshake import SetHandshake
from .location import locate
from .missing import missing_shards
from .new_set import begin_set, compute_split
from .options import GenerationOptions
from .plan import GenerationPlan, plan_set
from .publisher import Publisher
from .run_log import RunLog
from .set_inputs import reference_to
from .shard_job import ShardJob, make_shard
from .spec import SetSpec


@dataclass(frozen=True)
class GenerationResult:
    """What a run did."""

    directory: Path
    log: RunLog | None
    """What was written; None if the set was complete already."""


def _ignore(*_: object) -> None:
    pass


def generate(
    spec: SetSpec,
    sets: Path,
    options: GenerationOptions,
    source_name: str,
    *,
    begun: Callable[[Path], object] = _ignore,
    published: Callable[[Entry, ManifestWriter], object] = _ignore,
    quiet: bool = False,
) -> GenerationResult:
    """Generate the set of `spec` in `sets`, or what is missing of it; `source_name` is SOURCE as the user gave it.

    After a kill at any moment, the same call continues. `begun` is called with the directory of the set as soon as the
    set exists, `published` as by `execute`. `quiet` shows no progress. Raises `EpochbankError` if another run writes
    the set, the disk cannot hold it, or a worker process dies.
    """
    location = locate(spec, sets)
    directory, description = location.directory, location.description
    if description is not None:
        entries = read_manifest(directory)
        lost = lost_shards(directory, entries)
        first = first_epoch(directory)
        if not missing_shards(entries, description.num_images, description.shape, options, lost, first):
            _add_virtual(directory, description, options.limits)
            begun(directory)
            return GenerationResult(directory, None)
        if lost:
            notify(f"{describe_lost(directory, lost, len(entries))}; this run generates them again")
        if location.spec != spec:
            notify(f"{directory} was made by an earlier version; its recipe and split are kept")
    if description is None:
        for note in recipe_notes(spec.recipe, sampled(spec.source)):
            notify(note)
    split = compute_split(location.spec) if description is None else None
    make_directory(directory)
    with (
        open_pool(options.backend, options.jobs) as pool,
        writing(directory / LOCK, wait=options.wait, can_wait=True),
    ):
        refuse_links(directory.iterdir())
        sweep(directory)
        with _describing_failure(directory):
            plan = plan_set(locate(spec, sets), options, pool, split=split, folder=directory)
        if not plan.shards:  # Another run completed the set in the meantime, or only its set.json was lost.
            if split is not None and not (directory / "set.json").exists():
                begin_set(directory, location.spec, split, source_name)
            begun(directory)
            return GenerationResult(directory, None)
        check_disk_space(directory, bytes_on_disk(plan))
        log = execute(plan, pool, source_name, options.limits, begun=begun, published=published, quiet=quiet)
        return GenerationResult(directory, log)


def bytes_on_disk(plan: GenerationPlan) -> int:
    """Return the bytes that a run needs on the local disk: of a set in an object store, only its pending shards."""
    assert plan.location is not None
    if plan.estimate is None or remote_url(plan.location.directory) is None:
        return plan.bytes
    return round(min(plan.bytes, (PENDING + _shards_together(plan)) * max(plan.estimate.shard_bytes, default=0.0)))


def _shards_together(plan: GenerationPlan) -> int:
    """Return how many shards are made before all of them must be published.

    For a set in an object store these are few, so that slow uploads do not fill the local disk; otherwise all.
    """
    assert plan.location is not None
    return max(1, len(plan.shards)) if remote_url(plan.location.directory) is None else PENDING + 4 * plan.jobs


def execute(
    plan: GenerationPlan,
    pool: Pool,
    source_name: str,
    limits: Limits,
    *,
    begun: Callable[[Path], object] = _ignore,
    published: Callable[[Entry, ManifestWriter], object] = _ignore,
    quiet: bool = False,
) -> RunLog:
    """Write the shards of `plan`, whose set the caller has locked, on the workers of `pool`.

    `begun` is called with the directory before the first shard is written, `published` after each shard, in the order
    of the manifest. Raises `EpochbankError` like `generate`, and
    if a further shard would exceed `limits`.
    """
    assert plan.location is not None
    assert plan.estimate is not None
    directory, description = plan.location.directory, plan.location.description
    check_before_use(plan.location.spec.source, pool.local_jobs, begins_set=description is None)
    log = RunLog(plan.engine, plan.estimate)
    if description is None:  # Begin the set after all checks, so that a refused run leaves no set behind.
        assert plan.split is not None
        with _describing_failure(directory):
            description = begin_set(directory, plan.location.spec, plan.split, source_name)
    check_split(directory, description.split_checksum)
    begun(directory)
    try:
        with _describing_failure(directory, log):
            _write(plan, pool, description, log, limits, published, quiet)
    finally:
        log.end(directory)
        sweep(directory)
    return log


def _write(
    plan: GenerationPlan,
    pool: Pool,
    description: Description,
    log: RunLog,
    limits: Limits,
    published: Callable[[Entry, ManifestWriter], object],
    quiet: bool,
) -> None:
    """Make the shards and publish each: only this process renames files and writes the manifest."""
    assert plan.location is not None
    directory, spec = plan.location.directory, plan.location.spec
    for folder in {(directory / task.file).parent for task in plan.shards}:
        refuse_links([folder])
        folder.mkdir(exist_ok=True)
    reference = reference_to(directory, description, spec)
    handshake = SetHandshake(reference, plan.engine)
    lost = {entry.file: entry for entry in plan.lost}
    virtual = VirtualEpochs(directory, description, plan.published, limits)
    virtual.update()
    budget = Budget(limits, directory, dict(zip(plan.shards, log.estimate.shard_bytes, strict=True)))

    def note(entry: Entry) -> None:
        virtual.published(entry)
        published(entry, manifest)

    with (
        closing(ManifestWriter(directory)) as manifest,
        Progress("generate", plan.images_to_write, quiet=quiet) as progress,
        ThreadPoolExecutor(1, "publish") as thread,  # Workers continue computing while the disk syncs.
    ):
        publisher = Publisher(directory, manifest, lost, budget, log, note)
        pending: deque[Future[int]] = deque()
        together = _shards_together(plan)
        for first in range(0, len(plan.shards), together):
            tasks = plan.shards[first : first + together]
            jobs = budget.admitted(ShardJob(reference, task, plan.engine) for task in tasks)
            # Close it before unpublished files are removed, so that no worker still writes.
            with closing(pool.run(make_shard, jobs, len(tasks), handshake)) as results:
                for _, made in results:
                    publisher.add(made)
                    pending.append(thread.submit(publisher.publish_ready))
                    while pending and (len(pending) > GROUP or pending[0].done()):
                        progress.advance(pending.popleft().result())
            while pending:
                progress.advance(pending.popleft().result())
            if budget.fault:
                break
    if budget.fault:
        raise EpochbankError(budget.fault)


def _add_virtual(directory: Path, description: Description, limits: Limits) -> None:
    """Add the virtual datasets that a complete set lacks: it was made by an earlier version, or a run was killed.

    Nothing depends on them, so a set that cannot be written to, or that another run writes to, stays as it is.
    """
    if not lacks_virtual(directory, description, read_manifest(directory)) or not os.access(directory, os.W_OK):
        return
    try:
        with writing(directory / LOCK):
            refuse_links(directory.iterdir())
            sweep(directory)
            VirtualEpochs(directory, description, read_manifest(directory), limits).update()
    except (EpochbankError, OSError) as error:
        notify(f"the virtual datasets that {directory} lacks were not added: {error}")


@contextmanager
def _describing_failure(directory: Path, log: RunLog | None = None) -> Iterator[None]:
    """Add the number of shards that are kept, and how to continue, to the exception that ends a run."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise interrupted(error, f"{_kept(log)} Run the same command to continue.") from None
    except DamagedSource as error:
        raise DamagedSource(f"{error} {_kept(log)}") from error
    except EpochbankError as error:
        raise EpochbankError(f"{error} {_kept(log)}", usage=error.exit_code == 2) from error
    except OSError as error:
        if error.errno == errno.ENOSPC or "No space left" in str(error) or "errno = 28" in str(error):
            fault = f"no space left on the disk of {directory}. Free some space. {_kept(log)}"
        else:
            fault = f"writing to {directory} failed: {error}. {_kept(log)}"
        raise EpochbankError(f"{fault} Run the same command to continue.") from error


def _kept(log: RunLog | None) -> str:
    if log is None:
        return "No shard of this run was written."
    return f"{log.shards} of {len(log.estimate.shards)} shards of this run are kept."
