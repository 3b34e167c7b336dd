"""Verification: compare what is on disk with what the set says that it holds, byte by byte and image by image."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import EpochbankError
from ..shared.atomic import TEMPORARY
from ..shared.pool import Handshake, Pool
from ..shared.progress import Progress, counted
from ..shared.types import SPLITS, Shape
from .description import Description, read_description
from .digest import add, digest_of, file_checksum, to_hex
from .manifest import Entry, first_epoch, gaps, read_manifest, shard_folder, unlisted
from .manifest_check import CHECK, GROUP
from .objects.access import bucket_of
from .objects.bucket import Bucket
from .objects.download import download
from .objects.faults import DamagedObject
from .objects.mirror import shown
from .presence import fault_of
from .shard import IDENTITY
from .shard_index import opened
from .shard_read import read_chunks
from .split_file import check_split
from .teacher_shard import teacher_faults
from .virtual_epoch import virtual_faults, virtual_files


@dataclass(frozen=True)
class Check:
    """One shard to verify."""

    directory: Path
    entry: Entry
    fingerprint: str
    shape: Shape
    bucket: Bucket | None = None
    """Object store of the shard if the directory is a mirror. The object is verified, not the file in the cache."""

    def __str__(self) -> str:
        return str(self.directory / self.entry.file)


class ShardFault(str):
    """A sentence about a shard whose file is missing or damaged; deleting it and running again repairs it."""


def verify(directory: Path, pool: Pool, handshake: Handshake | None = None) -> list[str]:
    """Verify a set with the workers of `pool`: `split.h5`, what the manifest lists, every published shard, and the
    teachers. `handshake` checks the workers of a cluster first.

    Returns one sentence for each fault, a `ShardFault` if it is one of a single shard; an empty list if the set is
    complete and everything is as it was written. Raises `EpochbankError` if `set.json` or the manifest is damaged, so
    that nothing else can be verified.
    """
    description = read_description(directory)
    # Before the manifest: a run may publish shards and epochs in the meantime.
    there, virtual = unlisted(directory, ()), virtual_files(directory)
    entries = read_manifest(directory)
    try:
        check_split(directory, description.split_checksum)
        faults = []
    except EpochbankError as error:
        faults = [str(error)]
    first = first_epoch(directory)
    faults += coverage_faults(directory, entries, description.num_images, first)
    # Files of retired epochs may be left while something reads them.
    retired = {shard_folder("epoch", epoch) for epoch in range(first)}
    listed = {entry.file for entry in entries}
    extra = [file for file in there if file not in listed and file.partition("/")[0] not in retired]
    # A killed run leaves a group, one of an earlier version one shard; lost lines are found by their checksums.
    if len(extra) > (GROUP if (directory / CHECK).exists() else 1):
        faults.append(
            f"{directory} has {len(extra):,} shards that the manifest does not list, such as {extra[0]}: its lines are "
            "lost. Run the same `augment run` again, which generates what is not listed."
        )
    faults += virtual_faults(directory, description, entries, first, virtual)
    faults += teacher_faults(directory, description)
    return faults + _shard_sentences(directory, entries, description, pool, handshake)


def coverage_faults(directory: Path, entries: list[Entry], num_images: dict[str, int], first: int = 0) -> list[str]:
    """Return one sentence for each split and epoch that the entries do not cover completely; no file is looked at.

    The set should have the stored epochs from `first` to the last one that it has a shard of, at least one.
    """
    shards: dict[tuple[str, int], list[Entry]] = {(split, 0): [] for split in SPLITS}
    last = max((entry.epoch for entry in entries if entry.split == "epoch"), default=first)
    # A crafted number of an epoch must not make this long: more epochs than entries cannot be complete.
    shards |= {("epoch", epoch): [] for epoch in range(first, min(last, first + len(entries)) + 1)}
    for entry in entries:
        shards.setdefault((entry.split, entry.epoch), []).append(entry)
    faults = []
    for (split, epoch), held in shards.items():
        count = num_images["train" if split == "epoch" else split]
        missing = gaps(held, count)
        where = f"{directory / shard_folder(split, epoch)}"
        if missing:
            images = sum(stop - start for start, stop in missing)
            faults.append(
                f"{where} is unfinished: no shard has {counted(images, 'image')} from position {missing[0][0]:,} on. "
                "Run the same `augment run` again to complete it."
            )
        if max((entry.stop for entry in held), default=0) > count:
            faults.append(
                f"{where} has more than {counted(count, 'image')}, the number in set.json. Restore the manifest from a "
                "copy, or generate the set again in another --sets directory."
            )
    return faults


def shard_faults(
    directory: Path, entries: list[Entry], description: Description, pool: Pool, handshake: Handshake | None = None
) -> dict[int, str]:
    """Return what is wrong with each damaged or missing shard of `entries`, by its index, in order."""
    bucket, fingerprint, shape = bucket_of(directory), description.fingerprint, description.shape
    checks = (Check(directory.absolute(), entry, fingerprint, shape, bucket) for entry in entries)
    total, each = sum(entry.num_images for entry in entries), math.prod(description.shape)
    found: dict[int, str] = {}
    with Progress("verify", total, item_bytes=each) as progress:
        for number, fault in pool.run(check_shard, checks, len(entries), handshake, bytes_read=total * each):
            progress.advance(entries[number].num_images)
            if fault:
                found[number] = fault
    return dict(sorted(found.items()))


def _shard_sentences(
    directory: Path, entries: list[Entry], description: Description, pool: Pool, handshake: Handshake | None
) -> list[str]:
    place = shown(directory)
    return [
        ShardFault(f"{place}/{entries[number].file} ({shard_place(entries[number])}): {fault}")
        for number, fault in shard_faults(directory, entries, description, pool, handshake).items()
    ]


def check_shard(check: Check) -> str:
    """Return what is wrong with one shard, or '' if nothing is. Raises `EpochbankError` if a store does not answer."""
    if check.bucket is None:
        return _check_file(check)
    with TemporaryDirectory(prefix=f"{TEMPORARY}verify-", dir=check.directory) as temporary:
        path = Path(temporary) / check.entry.file
        path.parent.mkdir()
        try:
            download(check.bucket, check.entry, path)
        except DamagedObject as error:
            return str(error)
        return _check_file(replace(check, directory=Path(temporary)))


def _check_file(check: Check) -> str:
    directory, entry = check.directory, check.entry
    path = directory / entry.file
    fault = fault_of(path, entry)
    if fault:
        return fault
    digest = 0
    try:
        if file_checksum(path) != entry.checksum:
            return "the file was changed: its checksum is wrong"
        with opened(directory, entry) as file:
            # A shard with an identity has been compared with it. HDF5 has no checksum of a text of variable length such
            # as this one, and may loop forever in a crafted one.
            if IDENTITY not in file.attrs and file.attrs.get("fingerprint") != check.fingerprint:
                return f"it is a shard of another set, with fingerprint {file.attrs.get('fingerprint')}"
        for start, (images, labels, rows) in read_chunks(directory, entry, entry.start, entry.stop):
            if images.shape[1:] != check.shape:
                return f"images have shape {images.shape[1:]}; expected {check.shape}"
            digest = add(digest, digest_of(start, images, labels, rows))
    except EpochbankError as error:
        return str(error.__cause__)
    except OSError as error:
        return f"the file cannot be read: {error.strerror or error}"
    return "" if to_hex(digest) == entry.digest else "the images, labels or rows were changed: their digest is wrong"


def shard_place(entry: Entry) -> str:
    """Return the epoch or split of a shard, in words."""
    return f"epoch {entry.epoch}" if entry.split == "epoch" else f"{entry.split} split"
