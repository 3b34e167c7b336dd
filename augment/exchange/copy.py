"""Copy what is published of a set: compare it with its checksums as it is read, and verify the copy.

The copy is made in a temporary directory beside its destination, which is renamed when the copy is complete and
verified. A copy that was interrupted leaves that directory, and the same command continues it. Everything in it is read
and compared again, so what was left by a kill is used only if it is sound.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import EpochbankError
from ..ingest.check_source import check_source
from ..ingest.resolve import SOURCES
from ..ingest.source_file import open_source_file
from ..shared.atomic import TEMPORARY, check_name, make_directory, new_file, refuse_links, remove, sync, sync_directory
from ..shared.disk_space import bytes_below, check_disk_space
from ..shared.lock import LOCK, writing
from ..shared.pool import LocalPool
from ..shared.progress import counted, size
from ..shared.reading_lock import ReadingLock
from ..shared.signals import interrupted
from ..shared.types import SPLITS
from ..store.catalog import sets_tagged
from ..store.description import Description, read_description
from ..store.manifest import Entry, read_manifest
from ..store.objects.mirror import remote_url
from ..store.objects.urls import name_of
from ..store.split_file import check_split
from ..store.tags import read_tags, write_tags
from ..store.verify import verify
from ..store.virtual_epoch import published_shards, virtual_name
from .copied_files import DamagedCopy, copy_files, write_manifests
from .copied_teachers import copy_teachers, teachers_to_copy
from .selection import Epochs, chosen_epochs

_FIX = "choose another disk for DEST, or copy fewer epochs"


@dataclass(frozen=True)
class Copied:
    """What a copy did."""

    source: Path
    directory: Path
    """Directory of the copy; that of the set if the copy is in an object store."""
    epochs: tuple[int, ...]
    shards: int
    bytes: int
    """Bytes of the copy."""
    source_file: Path | None = None
    """The source file that was copied with it."""
    left_out: list[str] = field(default_factory=list)
    """Tags that the copy did not get, because another set beside it has them."""
    teachers: list[str] = field(default_factory=list)
    """Names of the teachers that were copied with it."""
    url: str | None = None
    """URL of the copy if it is in an object store; such a copy was not read back."""


def copy_set(
    directory: Path, dest: str, jobs: int, *, epochs: Epochs = None, with_source: bool = False, quiet: bool = False
) -> Copied:
    """Copy what is published of the set in `directory`, and verify the copy.

    Parameters
    ----------
    directory
        The set.
    dest
        New directory of the copy. If `dest` is an existing directory or ends in a slash, the copy is `dest`/NAME.
    jobs
        Number of processes that verify the copy.
    epochs
        Stored epochs, without a gap; None for all that are published. The copy continues their numbering.
    with_source
        Copy the source file, too, to `sources/` beside the copy.
    quiet
        Show no progress.

    Raises
    ------
    EpochbankError
        If the set is damaged or unfinished, the copy exists already, the disk is too small, or another process
        copies to `dest`.
    """
    target = copy_path(directory, dest)
    with closing(ReadingLock(directory)):  # Before the manifest is read: nothing that it lists is deleted.
        description = read_description(directory)
        check_split(directory, description.split_checksum)
        entries, numbers = selected_shards(directory, description, epochs)
        source = _source_to_copy(directory, description, target, jobs) if with_source else None
        # A sibling with a fixed name, so that the same command finds what an interrupted one has copied.
        workspace = target.parent / f"{TEMPORARY}copy-{target.name}"
        make_directory(target.parent)
        teachers = teachers_to_copy(directory, description, entries)
        labels = [entry for one in teachers for entry in one.entries]
        needed = sum(entry.bytes for entry in entries + labels) + (source.stat().st_size if source else 0)
        check_disk_space(
            target.parent, needed - (bytes_below(workspace) if workspace.exists() else 0), "the copy", _FIX
        )
        refuse_links([workspace])
        workspace.mkdir(exist_ok=True)
        # `gc` removes directories of stopped copies, and keeps those that are locked.
        with (
            closing(ReadingLock(workspace)),
            writing(workspace / LOCK, what=target),
            _described(workspace, target, entries),
        ):
            if os.path.lexists(target):  # Another copy has just been completed.
                raise DamagedCopy(f"{target} exists; expected a new directory. Remove it, or choose another name.")
            copy_files(directory, workspace, description, entries, with_source, quiet)
            write_manifests(workspace, description, entries, numbers[0])
            copy_teachers(directory, workspace, teachers)
            _verify(workspace, target, jobs)
            copied = _copy_source(source, target, jobs) if source else None
            left_out = _copy_tags(directory, workspace, target)
            _publish(workspace, target)
    return Copied(
        directory, target, numbers, len(entries), bytes_below(target), copied, left_out, [one.name for one in teachers]
    )


def copy_path(directory: Path, dest: str) -> Path:
    """Return the directory of a copy of the set in `directory`: `dest`, or its name in it if `dest` is a directory.

    Raises `EpochbankError` if that path exists, or its name is too long.
    """
    target = Path(dest).resolve() if ".." in Path(dest).parts else Path(dest)  # Else `new/../name` would create `new`.
    if target.is_dir() or dest.endswith(os.sep):
        if (target / "set.json").exists():
            raise EpochbankError(
                f"{target} is a set; expected a new directory, or a directory of sets. Choose another name.", usage=True
            )
        url = remote_url(directory)
        target = target / (directory.absolute().name if url is None else name_of(url))
    if (target.parent.resolve() / target.name).is_relative_to(directory.resolve()):
        raise EpochbankError(f"{target} is in the set that is copied. Choose a place outside it.", usage=True)
    check_name(target)
    _refuse_existing(target)
    return target


def _refuse_existing(target: Path) -> None:
    if os.path.lexists(target):
        raise EpochbankError(f"{target} exists; expected a new directory. Remove it, or choose another name.")


def selected_shards(directory: Path, description: Description, epochs: Epochs) -> tuple[list[Entry], tuple[int, ...]]:
    """Return the shards of a copy in the order of the manifest, and the numbers of its epochs.

    Raises `EpochbankError` if the set is unfinished, or the epochs have a gap.
    """
    entries = read_manifest(directory)
    numbers = chosen_epochs(directory, description, entries, epochs)
    if numbers and numbers != tuple(range(numbers[0], numbers[-1] + 1)):
        raise EpochbankError(
            f"epochs {', '.join(map(str, numbers))} have a gap; expected consecutive epochs, such as "
            f"{numbers[0]}-{numbers[0] + 1}, because a set has no gaps. `augment export` accepts any epochs.",
            usage=True,
        )
    if not numbers:
        raise EpochbankError("no epoch is selected; expected at least one. Omit --epochs for all.", usage=True)
    published = published_shards(description, entries)
    missing = [one for one in SPLITS if description.num_images[one] and virtual_name(one, 0) not in published]
    if missing:
        raise EpochbankError(
            f"{directory} is unfinished: shards of the {missing[0]} split are missing. Run the same `augment run` "
            "again to complete it."
        )
    complete = {entry.file for shards in published.values() for entry in shards}
    return [one for one in entries if one.file in complete and (one.split != "epoch" or one.epoch in numbers)], numbers


def _verify(workspace: Path, target: Path, jobs: int) -> None:
    faults = verify(workspace, LocalPool(jobs))
    if faults:
        raise DamagedCopy(
            f"the copy {target} was removed, because its verification failed: {faults[0].rstrip('.')}. Check the disk, "
            "then copy again."
        )


def _copy_tags(directory: Path, workspace: Path, target: Path) -> list[str]:
    """Give the copy the tags that no set beside it has, and return the others."""
    tags = read_tags(directory)
    taken = [tag for tag in tags if sets_tagged(tag, target.parent)]
    write_tags(workspace, [tag for tag in tags if tag not in taken])
    return taken


def _source_to_copy(directory: Path, description: Description, target: Path, jobs: int) -> Path:
    """Return the source file of the set.

    Raises `EpochbankError` if it is missing or damaged, or its path in the copy is that of a different file.
    """
    path = description.source_path(directory)
    if not path.exists():
        raise EpochbankError(f"the source file {path} does not exist. Copy the set without --with-source.")
    source = open_source_file(path)
    check_source(source, jobs)
    if source.digest != description.identity["source"]:
        raise EpochbankError(f"{path} is not the source file of {directory}. Copy the set without --with-source.")
    copied = target.parent / SOURCES / path.name
    if copied.exists() and open_source_file(copied).digest != description.identity["source"]:
        raise EpochbankError(
            f"{copied} is not the source file of {directory}, but has its name. Move it, or copy to another directory."
        )
    return path


def _copy_source(source: Path, target: Path, jobs: int) -> Path:
    """Copy the source file to `sources/` beside `target` unless it is there, verify it, and return its path."""
    copied = target.parent / SOURCES / source.name
    make_directory(copied.parent)
    with writing(copied.parent, wait=True):
        if not copied.exists():
            with new_file(copied) as temporary:
                shutil.copyfile(source, temporary)
                sync(temporary)
                check_source(open_source_file(temporary), jobs)
    return copied


def _publish(workspace: Path, target: Path) -> None:
    _refuse_existing(target)
    workspace.rename(target)
    sync_directory(target.parent)


@contextmanager
def _described(workspace: Path, target: Path, entries: list[Entry]) -> Iterator[None]:
    """Say in the error what is left of a copy that ends early; remove the copy if it cannot be continued."""

    def kept() -> str:
        done = sum((workspace / entry.file).exists() for entry in entries)
        return (
            f"{done:,} of {counted(len(entries), 'shard')} are in {workspace}; run the same command to continue, or "
            "remove this directory."
        )

    try:
        yield
    except KeyboardInterrupt as error:
        raise interrupted(error, kept()) from None
    except DamagedCopy:
        remove(workspace)
        raise
    except OSError as error:
        raise EpochbankError(f"the copy to {target} failed: {error.strerror or error}. {kept()}") from error


def copy_lines(result: Copied) -> list[str]:
    """Return the result as lines of text."""
    epochs = f"{result.epochs[0]}" + (f" to {result.epochs[-1]}" if len(result.epochs) > 1 else "")
    lines = [
        f"set          {result.url or result.directory}",
        f"epochs       {epochs}",
        f"copied       {counted(result.shards, 'shard')}, {size(result.bytes)}; "
        + (f"`augment verify {result.url}` reads them back" if result.url else "verified"),
    ]
    if result.source_file is not None:
        lines.append(f"source file  {result.source_file}")
    else:
        lines.append("source file  not copied; the copy needs it only to generate epochs (--with-source)")
    if result.left_out:
        lines.append(f"tags         left out, because sets beside the copy have them: {', '.join(result.left_out)}")
    if result.teachers:
        lines.append(f"teachers     {', '.join(result.teachers)}")
    return lines
