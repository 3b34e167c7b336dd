"""Repair a set: restore, in place, what is damaged or missing. Digests prove that the set is the same.

Shards are generated again, `split.h5` is computed again, the source is imported again, and virtual datasets are written
again. `set.json` and the manifest say what the set is, so they cannot be repaired.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from ..distortion.choose_engine import EngineName, choose_engine
from ..errors import EpochbankError
from ..generation.handshake import SetHandshake
from ..generation.set_inputs import SetReference, reference_to
from ..generation.shard_job import ShardJob, make_shard
from ..generation.stored_spec import locate_stored
from ..ingest.check_source import check_source_of, missing_source
from ..shared.atomic import make_directory, move, naming, refuse_links, remove, sweep
from ..shared.disk_space import check_disk_space
from ..shared.lock import LOCK, writing
from ..shared.pool import Pool
from ..shared.progress import Progress, counted, size
from ..store.description import Description, read_description
from ..store.manifest import Entry, ManifestWriter, first_epoch, read_manifest
from ..store.shard import ShardTask
from ..store.split_file import NAME as SPLIT
from ..store.split_file import check_split
from ..store.verify import coverage_faults, shard_faults
from ..store.virtual_writer import VirtualEpochs
from .restore_source import restore_source
from .restore_split import restore_split


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
    restored: list[str] = field(default_factory=list)
    """Other files that were restored: `split.h5`, the source file, virtual datasets."""
    source_fault: str = ""
    """What is wrong with the source file, which could not be restored, as sentences; '' if nothing is."""
    source_note: str = ""
    """That the source file is missing, and what the set can still do, as sentences; '' if it exists."""
    unfinished: list[str] = field(default_factory=list)
    """Splits and epochs that the manifest does not list completely, one sentence each; a run completes them."""

    @property
    def repaired(self) -> list[str]:
        """Files that were replaced."""
        return [file for file in self.faults if file not in self.refused]


def repair(
    directory: Path, pool: Pool, engine: EngineName = "auto", trust: bool = False, wait: bool = False
) -> Repaired:
    """Verify the set in `directory` with the workers of `pool`, and restore what is damaged or missing.

    A shard is published only if its digest is that of the manifest; otherwise the damaged file stays. `split.h5` is
    written again only if it has the checksum in `set.json`, and a damaged source file in `sets/sources/` only if it
    has the digest of the set. After a kill at any moment, the same call continues. Raises `EpochbankError` if
    `set.json` or the manifest is damaged, another run writes the set, something is damaged and the source is missing or
    damaged, or the recipe names code and `trust` is False.
    """
    description, jobs = read_description(directory), pool.local_jobs
    with writing(directory / LOCK, wait=wait, can_wait=True), naming(directory):
        sweep(directory)
        entries = read_manifest(directory)
        restored, source_fault = _repair_source(directory, description, jobs)
        if _split_is_damaged(directory, description):
            restored += _with_source(directory, description, jobs)
            restore_split(directory, description)
            restored.append(SPLIT)
        faults = damaged_shards(directory, description, entries, pool)
        damaged = [entry for entry in entries if entry.file in faults]
        written, refused = 0, list[str]()
        if damaged:
            restored += _with_source(directory, description, jobs)
            check_disk_space(directory, sum(entry.bytes for entry in damaged), "the repair")
            try:
                written, refused = _generate(directory, damaged, pool, engine, trust)
            finally:
                sweep(directory)
        restored += VirtualEpochs(directory, description, read_manifest(directory)).update(thorough=True)
        unfinished = coverage_faults(directory, entries, description.num_images, first_epoch(directory))
    path = description.source_path(directory)
    note = "" if path.exists() else missing_source(path)
    return Repaired(directory, len(entries), faults, written, refused, restored, source_fault, note, unfinished)


def _repair_source(directory: Path, description: Description, jobs: int) -> tuple[list[str], str]:
    """Restore the source file of a set if it is damaged; return its path if it was, and what is wrong with it if not.

    A file that is missing is no fault of the set, which only needs it to generate shards.
    """
    found = check_source_of(directory, jobs)
    if found.state != "damaged":
        return [], ""
    if restore_source(directory, description, jobs, f"the source file {found.path} is damaged"):
        return [description.source["path"]], ""
    return [], found.message


def _with_source(directory: Path, description: Description, jobs: int) -> list[str]:
    """Restore the source file if it is missing, because shards or the split are computed from it."""
    path = description.source_path(directory)
    if path.exists() or not restore_source(directory, description, jobs, f"the source file {path} does not exist"):
        return []
    return [description.source["path"]]


def _split_is_damaged(directory: Path, description: Description) -> bool:
    try:
        check_split(directory, description.split_checksum)
    except EpochbankError:
        return True
    return False


def damaged_shards(directory: Path, description: Description, entries: list[Entry], pool: Pool) -> dict[str, str]:
    """Return what is wrong with each damaged or missing one of `entries`, by its file, in the order of `entries`."""
    source = description.source_path(directory).absolute()
    handshake = SetHandshake(SetReference(directory.absolute(), description.fingerprint, source), None, writes=False)
    faults = shard_faults(directory, entries, description, pool, handshake)
    return {entries[number].file: fault for number, fault in faults.items()}


def _generate(
    directory: Path, damaged: list[Entry], pool: Pool, engine: EngineName, trust: bool
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
    reference = reference_to(directory, description, spec)
    work = (ShardJob(reference, task, chosen.name) for task in _tasks(damaged))
    handshake = SetHandshake(reference, chosen.name)
    written, refused = 0, []
    with (
        closing(ManifestWriter(directory)) as manifest,
        Progress("repair", sum(entry.num_images for entry in damaged)) as progress,
    ):
        for number, (temporary, entry, _) in pool.run(make_shard, work, len(damaged), handshake):
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
    lines = [f"{file}: restored" for file in result.restored]
    note = [f"However, {result.source_note}"] if result.source_note else []
    if not result.faults and not result.restored and not result.source_fault:
        sound = f"{result.directory} is sound: nothing" if not result.unfinished else "nothing"
        return [f"{sound} to repair in {counted(result.shards, 'shard')}.", *note]
    lines += [
        f"{file}: {fault}; {'not repaired' if file in result.refused else 'generated again'}"
        for file, fault in result.faults.items()
    ]
    if result.repaired:
        lines.append(
            f"{counted(len(result.repaired), 'shard')} of {result.shards:,} generated again ({size(result.bytes)}), "
            "with the digests in the manifest: it is the same set."
        )
    return [*lines, *note]


def check_refused(result: Repaired) -> None:
    """Raise `EpochbankError` if a shard or the source file could not be repaired, or the set is unfinished."""
    if result.source_fault:
        raise EpochbankError(
            f"{result.source_fault} It was not imported again, because SOURCE has changed, or had options that the set "
            "does not record: remove the file, then run the same `augment run` again."
        )
    if result.refused:
        raise EpochbankError(
            f"{counted(len(result.refused), 'shard')} of {result.directory}, such as {result.refused[0]}, came out "
            "with other images than the manifest lists, and nothing was published in their place. Restore these files "
            "from a copy, or generate the set again in another --sets directory."
        )
    if result.unfinished:
        more = len(result.unfinished) - 1
        others = f" So {'is' if more == 1 else 'are'} {more:,} more of its splits and epochs." if more else ""
        raise EpochbankError(f"{result.unfinished[0]}{others}")
