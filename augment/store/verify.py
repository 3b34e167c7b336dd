"""Verification: compare every published shard with its manifest entry, byte by byte and image by image."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import hdf5plugin  # noqa: F401  registers the filters that shards are compressed with

from ..errors import EpochbankError
from ..shared.progress import Progress
from ..shared.workers import on_all_cores
from .description import Description, read_description
from .digest import add, digest_of, file_checksum, to_hex
from .manifest import Entry, read_manifest
from .presence import fault_of
from .shard import read_run
from .split_file import check_split

_READ_IMAGES = 1024


@dataclass(frozen=True)
class Check:
    """One shard to verify."""

    directory: Path
    entry: Entry
    description: Description


def verify(directory: Path, jobs: int) -> list[str]:
    """Verify all published shards with `jobs` processes.

    Returns one sentence for each damaged shard; an empty list if all shards are as they were written. Raises
    `EpochbankError` if `set.json`, `split.h5` or the manifest itself is damaged.
    """
    description, entries = read_description(directory), read_manifest(directory)
    check_split(directory, description.split_checksum)
    checks = (Check(directory.absolute(), entry, description) for entry in entries)
    faults: dict[int, str] = {}
    with Progress("verify", sum(entry.num_images for entry in entries)) as progress:
        for number, fault in on_all_cores(check_shard, checks, len(entries), jobs):
            progress.advance(entries[number].num_images)
            if fault:
                faults[number] = fault
    return [
        f"{directory / entries[number].file} ({_where(entries[number])}): {fault}"
        for number, fault in sorted(faults.items())
    ]


def check_shard(check: Check) -> str:
    """Return what is wrong with one shard, or '' if nothing is."""
    path, entry = check.directory / check.entry.file, check.entry
    fault = fault_of(path, entry)
    if fault:
        return fault
    if file_checksum(path) != entry.checksum:
        return "the file was changed: its checksum is wrong"
    digest = 0
    try:
        for images, labels, rows, start in _runs(check):
            if images.shape[1:] != check.description.shape:
                return f"images have shape {images.shape[1:]}; expected {check.description.shape}"
            digest = add(digest, digest_of(start, images, labels, rows))
    except EpochbankError as error:
        return str(error.__cause__)
    return "" if to_hex(digest) == entry.digest else "the images, labels or rows were changed: their digest is wrong"


def _runs(check: Check) -> Iterator[tuple]:
    for start in range(check.entry.start, check.entry.stop, _READ_IMAGES):
        yield *read_run(check.directory, check.entry, start, min(start + _READ_IMAGES, check.entry.stop)), start


def _where(entry: Entry) -> str:
    return f"epoch {entry.epoch}" if entry.split == "epoch" else f"{entry.split} split"
