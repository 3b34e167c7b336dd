"""Write the files of a copy of a set. Each is compared with its checksum as it is read, and synced."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import xxhash

from ..errors import EpochbankError
from ..ingest.resolve import SOURCES
from ..shared.atomic import TEMPORARY, new_file, sweep, sync, sync_directory
from ..shared.lock import LOCK
from ..shared.progress import Progress
from ..store.description import Description, write_description
from ..store.digest import file_checksum
from ..store.manifest import Entry, write_manifest
from ..store.objects.access import bucket_of
from ..store.objects.download import download
from ..store.presence import fault_of
from ..store.split_file import NAME as SPLIT
from ..store.virtual_writer import VirtualEpochs

_BLOCK = 1 << 20
"""Bytes that are read at a time."""


class DamagedCopy(EpochbankError):
    """A copy that cannot be continued, so its files are removed."""


def copy_files(
    directory: Path,
    workspace: Path,
    description: Description,
    entries: list[Entry],
    with_source: bool,
    quiet: bool,
) -> None:
    """Copy `set.json`, `split.h5` and the shards, unless they are there, and remove everything else."""
    sweep(workspace)
    wanted = {workspace / entry.file for entry in entries}
    for path in [path for path in workspace.rglob("*") if not path.is_dir() or path.is_symlink()]:
        if path not in wanted and path.name != LOCK:
            path.unlink()
    for folder in {path for path in workspace.iterdir() if path.is_dir()} - {path.parent for path in wanted}:
        shutil.rmtree(folder)
    if not copy_file(directory / SPLIT, workspace / SPLIT, description.split_checksum):
        raise DamagedCopy(f"{directory / SPLIT} was changed while it was copied. Run the command again.")
    _write_description(directory, workspace, description, with_source)
    with Progress("copy", sum(entry.num_images for entry in entries), quiet=quiet) as progress:
        for entry in entries:
            target = workspace / entry.file
            target.parent.mkdir(exist_ok=True)
            if fault_of(target, entry) or file_checksum(target) != entry.checksum:
                _copy_shard(directory, entry, target)
            progress.advance(entry.num_images)


def _copy_shard(directory: Path, entry: Entry, target: Path) -> None:
    """Copy a shard. Raises `EpochbankError` if it is damaged."""
    bucket = bucket_of(directory)
    if bucket is not None:
        target.unlink(missing_ok=True)
        download(bucket, entry, target)
        sync(target)
        return
    fault = fault_of(directory / entry.file, entry)
    if not fault and not copy_file(directory / entry.file, target, entry.checksum):
        fault = "the file was changed: its checksum is wrong"
    if fault:
        raise DamagedCopy(
            f"{directory / entry.file} is damaged ({fault}), so nothing was copied. Run `augment repair {directory}`, "
            "then copy again."
        )


def copy_file(source: Path, target: Path, checksum: str) -> bool:
    """Copy a file durably if it has this checksum (XXH3-128), computed as it is read; else return False."""
    state = xxhash.xxh3_128()
    temporary = target.parent / f"{TEMPORARY}{target.name}"
    with open(source, "rb", buffering=0) as read, open(temporary, "wb", buffering=0) as write:
        while block := read.read(_BLOCK):
            state.update(block)
            view = memoryview(block)
            while view:
                view = view[write.write(view) :]
        os.fsync(write.fileno())
        if hasattr(os, "posix_fadvise"):  # The verification must read the disk, not the cache.
            os.posix_fadvise(write.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    sound = state.hexdigest() == checksum
    if sound:
        temporary.replace(target)
    else:
        temporary.unlink()
    return sound


def _write_description(directory: Path, workspace: Path, description: Description, with_source: bool) -> None:
    """Write `set.json`, with the path of the copied source file if there is one."""
    path = f"../{SOURCES}/{Path(description.source['path']).name}"
    if with_source and description.source["path"] != path:
        write_description(workspace, replace(description, source={**description.source, "path": path}))
        return
    with new_file(workspace / "set.json") as temporary:
        temporary.write_bytes((directory / "set.json").read_bytes())


def write_manifests(workspace: Path, description: Description, entries: list[Entry], first: int) -> None:
    """Write the manifest and the virtual datasets; `first` is the first epoch of the copy."""
    write_manifest(workspace, entries, first)
    VirtualEpochs(workspace, description, entries).update()
    for folder in {workspace, *((workspace / entry.file).parent for entry in entries)}:
        sync_directory(folder)
