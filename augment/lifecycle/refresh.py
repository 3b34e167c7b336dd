"""Refresh a set: generate new epochs, and retire the oldest ones, so that the set keeps its number of epochs.

A new epoch is published shard by shard. When it is complete, one line in the manifest retires the oldest epoch. The
files of a retired epoch are deleted unless something reads the set; `gc` deletes them later then. The goal of a refresh
is in `refresh.json` until it is done, so that the same command continues an interrupted refresh. Canceling a refresh
removes this file only: what is published stays.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..console import notify
from ..errors import EpochbankError
from ..generation.options import GenerationOptions
from ..generation.plan import plan_set
from ..generation.run import bytes_on_disk, execute
from ..generation.run_log import RunLog
from ..generation.stored_spec import locate_stored
from ..ingest.source_file import DamagedSource
from ..shared.atomic import naming, remove, sweep, temporary_beside
from ..shared.backend import open_pool
from ..shared.disk_space import check_disk_space
from ..shared.lock import LOCK, writing
from ..shared.progress import counted
from ..shared.reading_lock import unread
from ..store.description import Description, read_description
from ..store.manifest import Entry, ManifestWriter, first_epoch, published_epochs, read_manifest, retirement
from ..store.objects.mirror import remote_url
from ..store.refresh_goal import NAME, RefreshGoal, read_goal, write_goal
from ..store.teachers import FOLDER
from ..store.virtual_epoch import epoch_of, virtual_files
from ..store.virtual_writer import VirtualEpochs, remove_virtual
from .restore_source import restore_source


@dataclass(frozen=True)
class RefreshResult:
    """What a refresh did."""

    directory: Path
    new: list[int]
    """Numbers of the epochs that were published."""
    retired: list[int]
    """Numbers of the epochs that were retired."""
    left: bool
    """Whether files of retired epochs are left, because something reads the set."""
    log: RunLog | None
    """What was written; None if only retirements were missing."""
    canceled: bool = False
    """Whether an unfinished refresh was canceled, and nothing else done."""
    kept: list[int] = field(default_factory=list)
    """After a cancellation, numbers of the published epochs."""
    incomplete: list[int] = field(default_factory=list)
    """After a cancellation, numbers of epochs of which only some shards are published."""


def refresh(
    directory: Path,
    options: GenerationOptions,
    *,
    trust: bool = False,
    quiet: bool = False,
    published: Callable[[Entry, ManifestWriter], object] = lambda *_: None,
    finish: Callable[[], object] = lambda: None,
) -> RefreshResult:
    """Generate `options.epochs` new epochs of the set in `directory`, and retire as many of the oldest.

    An interrupted refresh is continued first, and its number of epochs counts. A source file in `sets/sources/` that is
    missing or damaged is imported again if possible. `published` is called after each shard, `finish` before the
    refresh counts as done. Raises `EpochbankError` if the set has no published epoch, or fewer than `options.epochs`,
    its source is missing or damaged, its recipe names code and `trust` is False, another run writes it, or a limit
    would be exceeded.
    """
    description = read_description(directory)
    _goal(directory, description, options.epochs)  # Before the source is imported again, which may take long.
    path = description.source_path(directory)
    if not path.exists():
        restore_source(directory, description, options.jobs, f"the source file {path} does not exist")
    try:
        return _refresh(directory, options, published, finish, trust=trust, quiet=quiet)
    except DamagedSource as damage:
        if not restore_source(directory, description, options.jobs, f"the source file {path} is damaged"):
            raise damage from None
        return _refresh(directory, options, published, finish, trust=trust, quiet=quiet)


def cancel_refresh(directory: Path, *, wait: bool = False) -> RefreshResult:
    """Cancel the unfinished refresh of the set in `directory`: nothing more is generated or retired.

    Published shards and epochs stay. `wait` waits for a run that writes the set. Raises `EpochbankError` if no refresh
    is unfinished, or another run writes the set.
    """
    description = read_description(directory)
    with writing(directory / LOCK, wait=wait, can_wait=True), naming(directory):
        if not (directory / NAME).exists():
            raise EpochbankError(
                f"{directory} has no unfinished refresh; --cancel expects an interrupted one. Nothing was changed."
            )
        entries = [entry for entry in read_manifest(directory) if entry.split == "epoch"]
        kept = [one.epoch for one in published_epochs(entries, description.num_images["train"])]
        (directory / NAME).unlink()
    incomplete = sorted({entry.epoch for entry in entries} - {*kept})
    return RefreshResult(directory, [], [], False, None, canceled=True, kept=kept, incomplete=incomplete)


def _refresh(
    directory: Path,
    options: GenerationOptions,
    published: Callable[[Entry, ManifestWriter], object],
    finish: Callable[[], object],
    *,
    trust: bool,
    quiet: bool,
) -> RefreshResult:
    location = locate_stored(directory, trust)
    assert location.description is not None
    with (
        open_pool(options.backend, options.jobs) as pool,
        writing(directory / LOCK, wait=options.wait, can_wait=True),
        naming(directory),
    ):
        sweep(directory)
        before = first_epoch(directory)
        remove_retired(directory)
        goal, continues = _goal(directory, location.description, options.epochs)
        if continues:
            epochs_then = f"{goal.first} to {goal.stop - 1}"
            notify(f"continues an interrupted refresh, after which {directory} has the epochs {epochs_then}")
        else:
            write_goal(directory, goal)
        before_it = read_manifest(directory)
        known = {one.epoch for one in published_epochs(before_it, location.description.num_images["train"])}
        window = replace(like_newest(before_it, options), epochs=goal.stop - first_epoch(directory))
        plan = plan_set(location, window, pool, folder=directory)
        retiring = _Retiring(directory, location.description.num_images["train"], goal, before_it)
        log = None

        def retire(entry: Entry, manifest: ManifestWriter) -> None:
            retiring.published(entry, manifest)
            published(entry, manifest)

        if plan.shards:
            check_disk_space(directory, bytes_on_disk(plan))
            spec = location.description.source["spec"]
            log = execute(plan, pool, spec, options.limits, published=retire, quiet=quiet)
        retiring.finish()
        VirtualEpochs(directory, location.description, read_manifest(directory), options.limits).update()
        left = not remove_retired(directory)
        retired = list(range(before, first_epoch(directory)))
        finish()
        # Last: if anything before it fails, the same command continues this refresh and does not begin another.
        (directory / NAME).unlink(missing_ok=True)
    return RefreshResult(
        directory,
        [epoch for epoch in range(before, goal.stop) if epoch not in known],
        retired,
        left,
        log,
    )


def like_newest(published: list[Entry], options: GenerationOptions) -> GenerationOptions:
    """Return `options` with the shard and chunk size of the newest epoch where none is given."""
    newest = [entry for entry in published if entry.split == "epoch"]
    newest = [entry for entry in newest if entry.epoch == newest[-1].epoch]
    return replace(
        options,
        shard_size=options.shard_size or max((entry.num_images for entry in newest), default=None),
        chunk_size=options.chunk_size or max((entry.chunk for entry in newest), default=None),
    )


class _Retiring:
    """Retire the oldest epochs as new ones become complete, so that the set never has fewer than it should."""

    def __init__(self, directory: Path, num_images: int, goal: RefreshGoal, entries: list[Entry]):
        self._directory, self._goal = directory, goal
        self._first = first_epoch(directory)
        self._missing: dict[int, int] = dict.fromkeys(range(self._first, goal.stop), num_images)
        self._counted: set[str] = set()
        """Files of the shards that are not missing. A lost one is published again."""
        for entry in entries:
            self._count(entry)

    def published(self, entry: Entry, manifest: ManifestWriter) -> None:
        """Count a published shard, and retire what is not needed any more."""
        self._count(entry)
        self._retire(manifest)

    def finish(self) -> None:
        """Retire what a kill left."""
        manifest = ManifestWriter(self._directory)
        try:
            self._retire(manifest)
        finally:
            manifest.close()

    def _count(self, entry: Entry) -> None:
        if entry.split == "epoch" and entry.epoch in self._missing and entry.file not in self._counted:
            self._counted.add(entry.file)
            self._missing[entry.epoch] -= entry.num_images

    def _retire(self, manifest: ManifestWriter) -> None:
        size = self._goal.stop - self._goal.first
        complete = [epoch for epoch, missing in self._missing.items() if epoch >= self._first and missing <= 0]
        # An epoch that is incomplete is retired once enough newer ones are complete.
        first = min(self._goal.first, complete[-size]) if len(complete) > size else self._first
        for epoch in range(self._first, first):
            manifest.append(retirement(epoch))
            remove_retired(self._directory)
        self._first = max(self._first, first)


def remove_retired(directory: Path) -> bool:
    """Delete the files of retired epochs of the set in `directory`; return False if something may read them.

    Shards of a mirror are not deleted: they may wait for their upload, and are deleted after it.
    """
    first = first_epoch(directory)
    for name in virtual_files(directory):  # Programs that have them open can still read them.
        epoch = epoch_of(name)
        if epoch is not None and epoch < first:
            remove_virtual(directory, name)
    if remote_url(directory) is not None:
        return True
    folders = [folder for folder in directory.glob("epoch-*") if not folder.is_symlink() and _number(folder) < first]
    if not folders:
        return True
    try:
        with unread(directory):
            return sum(map(_removed, folders)) == len(folders)
    except EpochbankError:
        return False


def _removed(folder: Path) -> bool:
    """Delete the folder of a retired epoch; return False if a training that follows the set still reads it."""
    try:
        with unread(folder):
            # Before the images: the labels of teachers are found by this folder.
            for labels in folder.parent.glob(f"{FOLDER}/*/{folder.name}"):
                if not labels.is_symlink() and not labels.parent.is_symlink() and not labels.parent.parent.is_symlink():
                    shutil.rmtree(labels)
            renamed = temporary_beside(folder)
            folder.rename(renamed)
    except EpochbankError:
        return False
    remove(renamed)
    return True


def _number(folder: Path) -> int:
    """Return the number of an epoch's folder; a number above all others for another folder."""
    digits = folder.name.removeprefix("epoch-")
    return int(digits) if digits.isdecimal() else 1 << 62


def _goal(directory: Path, description: Description, epochs: int) -> tuple[RefreshGoal, bool]:
    """Return the goal of an interrupted refresh, or that of a new one by `epochs`; and whether it is the former.

    Raises `EpochbankError` if the recorded goal is damaged, or the set has fewer than `epochs` stored epochs.
    """
    stored, first = _stored_epochs(directory, description), first_epoch(directory)
    try:
        recorded = read_goal(directory, stored, first)
    except EpochbankError:
        if remote_url(directory) is None:
            raise
        (directory / NAME).unlink()  # Another machine has refreshed the set in the object store since.
        recorded = None
    if recorded is not None:
        return recorded, True
    if epochs > len(stored):
        raise EpochbankError(
            f"--epochs {epochs} of a set with {counted(len(stored), 'stored epoch')}; expected at most {len(stored)}, "
            "because a refresh keeps their number and would retire the others at once. `augment run` with a larger "
            "--epochs adds epochs.",
            usage=True,
        )
    stop = stored[-1] + 1 + epochs
    return RefreshGoal(stop - len(stored), stop), False


def _stored_epochs(directory: Path, description: Description) -> list[int]:
    """Return the numbers of the published epochs, ascending. Raises `EpochbankError` if there are none to retire."""
    entries = read_manifest(directory)
    stored = [one.epoch for one in published_epochs(entries, description.num_images["train"])]
    if not stored:
        raise EpochbankError(
            f"{directory} has no published epoch to retire. Run the same `augment run` again to complete it first."
        )
    # A refresh generates what is missing between the epochs: a crafted number must not make this endless.
    if stored[-1] - first_epoch(directory) >= len(entries):
        raise EpochbankError(
            f"{directory} has epoch {stored[-1]}, but most epochs before it are missing; expected consecutive epochs. "
            "`augment verify` lists what is missing."
        )
    return stored


def refresh_lines(result: RefreshResult) -> list[str]:
    """Return the result as lines of text."""
    if result.canceled:
        return _canceled_lines(result)
    new, retired = _range(result.new), _range(result.retired)
    lines = [
        f"set          {result.directory}",
        f"new          {counted(len(result.new), 'epoch')}{new}",
        f"retired      {counted(len(result.retired), 'epoch')}{retired}",
    ]
    if result.left:
        lines.append(
            "kept         files of retired epochs, because the set is being read; `augment gc` removes them later"
        )
    return [*lines, *(result.log.lines() if result.log is not None else [])]


def _canceled_lines(result: RefreshResult) -> list[str]:
    """Return the result of a cancellation as lines of text."""
    lines = [
        f"set          {result.directory}",
        "canceled     the unfinished refresh; nothing more is generated or retired",
        f"epochs       {len(result.kept)} published{_range(result.kept)}",
    ]
    if result.incomplete:
        epochs = result.incomplete[-1] + 1 - min(result.kept + result.incomplete)
        lines.append(
            f"incomplete   {counted(len(result.incomplete), 'epoch')}{_range(result.incomplete)}; the published shards "
            f"stay, and the same `augment run` with --epochs {epochs} completes them"
        )
    return lines


def _range(numbers: list[int]) -> str:
    if not numbers:
        return ""
    return f": {numbers[0]}" + (f" to {numbers[-1]}" if len(numbers) > 1 else "")
