"""Repair a set: generate its damaged and missing shards again, in place. Their digests prove that they are the same."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from ..distortion.choose_engine import EngineName, choose_engine
from ..errors import EpochbankError
from ..generation.shard_job import ShardJob, make_shard
from ..generation.stored_spec import locate_stored
from ..shared.atomic import make_directory, move, refuse_links, remove, sweep
from ..shared.disk_space import check_disk_space
from ..shared.lock import LOCK, writing
from ..shared.progress import Progress, counted, size
from ..shared.workers import kept_workers, on_all_cores
from ..store.description import Description, read_description
from ..store.manifest import Entry, ManifestWriter, read_manifest
from ..store.shard import ShardTask
from ..store.split_file import check_split
from ..store.verify import shard_faults


@dataclass(frozen=True)
class Repaired:
    """What a repair found and did; files are relative to the set's directory."""

    directory: Path
    shards: int
    """Number of published shards."""
    faults: dict[str, str]
    """What was wrong, by file; empty if the set was sound."""
    bytes: int = 0
    """Bytes written."""
    refused: list[str] = field(default_factory=list)
    """Files whose shard was generated with another digest than the manifest lists, and so was not published."""

    @property
    def repaired(self) -> list[str]:
        """Files that were replaced."""
        return [file for file in self.faults if file not in self.refused]


def repair(directory: Path, jobs: int, engine: EngineName = "auto", trust: bool = False) -> Repaired:
    """Verify the set in `directory` with `jobs` processes, and generate each damaged or missing shard again.

    A shard is published only if its digest is that of the manifest; otherwise the damaged file stays. After a kill at
    any moment, the same call continues. Raises `EpochbankError` if `set.json`, `split.h5` or the manifest is damaged,
    another run writes the set, a shard is damaged and the source is missing or damaged, or the recipe names code and
    `trust` is False.
    """
    description = read_description(directory)
    check_split(directory, description.split_checksum)
    with kept_workers(), writing(directory / LOCK):
        sweep(directory)
        entries = read_manifest(directory)
        faults = damaged_shards(directory, description, entries, jobs)
        damaged = [entry for entry in entries if entry.file in faults]
        if not damaged:
            return Repaired(directory, len(entries), {})
        check_disk_space(directory, sum(entry.bytes for entry in damaged), "the repair")
        try:
            written, refused = _generate(directory, damaged, jobs, engine, trust)
        finally:
            sweep(directory)
    return Repaired(directory, len(entries), faults, written, refused)


def damaged_shards(directory: Path, description: Description, entries: list[Entry], jobs: int) -> dict[str, str]:
    """Return what is wrong with each damaged or missing one of `entries`, by its file, in the order of `entries`."""
    faults = shard_faults(directory, entries, description, jobs)
    return {entries[number].file: fault for number, fault in faults.items()}


def _generate(
    directory: Path, damaged: list[Entry], jobs: int, engine: EngineName, trust: bool
) -> tuple[int, list[str]]:
    """Generate the shards of `damaged`, and publish each that has its digest; return bytes and the refused files."""
    location = locate_stored(directory, trust)
    spec, description = location.spec, location.description
    assert description is not None
    chosen = choose_engine(engine, spec.recipe, spec.source.shape)
    folders = {(directory / entry.file).parent for entry in damaged}
    refuse_links(folders)
    for folder in folders:
        make_directory(folder)
    work = (
        ShardJob(directory.absolute(), description, spec.recipe, spec.source, task, chosen.name)
        for task in _tasks(damaged)
    )
    written, refused = 0, []
    with (
        closing(ManifestWriter(directory)) as manifest,
        Progress("repair", sum(entry.num_images for entry in damaged)) as progress,
    ):
        for number, (temporary, entry, _) in on_all_cores(make_shard, work, len(damaged), jobs):
            before = damaged[number]
            if entry.digest == before.digest:
                move(temporary, directory / entry.file)
                if entry != before:  # Another version of a library compressed the same images into other bytes.
                    manifest.append(entry)
                written += entry.bytes
            else:
                remove(temporary)
                refused.append(entry.file)
            progress.advance(entry.num_images)
    return written, sorted(refused)


def _tasks(entries: list[Entry]) -> Iterator[ShardTask]:
    for one in entries:
        yield ShardTask(one.split, one.epoch, one.start, one.num_images, one.chunk, one.codec)


def repair_lines(result: Repaired) -> list[str]:
    """Return the result as lines of text."""
    if not result.faults:
        return [f"{result.directory} is sound: nothing to repair in {counted(result.shards, 'shard')}."]
    lines = [
        f"{file}: {fault}; {'not repaired' if file in result.refused else 'generated again'}"
        for file, fault in result.faults.items()
    ]
    if result.repaired:
        lines.append(
            f"{counted(len(result.repaired), 'shard')} of {result.shards:,} generated again ({size(result.bytes)}), "
            "with the digests in the manifest: it is the same set."
        )
    return lines


def check_refused(result: Repaired) -> None:
    """Raise `EpochbankError` if a shard could not be repaired."""
    if result.refused:
        raise EpochbankError(
            f"{counted(len(result.refused), 'shard')} of {result.directory}, such as {result.refused[0]}, came out "
            "with other images than the manifest lists, and nothing was published in their place. Restore these files "
            "from a copy, or generate the set again in another --sets directory."
        )
