"""Verify a set and its source file; on request, recompute images from source, recipe and seed."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EpochbankError
from ..generation.handshake import SetHandshake
from ..generation.location import SetLocation
from ..generation.set_inputs import SetReference
from ..generation.stored_spec import locate_stored
from ..ingest.check_source import SourceCheck, check_source_of
from ..ingest.source_file import DamagedSource
from ..shared.pool import Pool
from ..shared.progress import counted
from ..shared.reading_lock import ReadingLock
from ..store.description import read_description
from ..store.manifest import read_manifest
from ..store.verify import ShardFault, verify
from .recompute import Recomputed, recompute


@dataclass(frozen=True)
class Deep:
    """How much to recompute (`augment verify --deep`)."""

    share: float = 0.01
    """Share of the images of every split and epoch, above 0 up to 1; at least one chunk of each is recomputed."""
    seed: int | None = None
    """Seed of the sample; None for a new sample each time."""
    trust: bool = False
    """Execute the code that the set's recipe names."""


@dataclass(frozen=True)
class Verified:
    """What a verification found."""

    directory: Path
    stored: list[str]
    """Faults of what is stored, one sentence each; those of a single shard are a `ShardFault`."""
    source: SourceCheck
    recomputed: Recomputed | None
    """What was recomputed; None if nothing was."""
    obstacle: str = ""
    """Why the requested images could not be recomputed; '' if they were, or none were requested."""

    @property
    def faults(self) -> list[str]:
        """All faults, one sentence each; empty if the set is sound. A missing source file is no fault of the set."""
        source = [self.source.message] if self.source.state == "damaged" else []
        differing = self.recomputed.faults if self.recomputed else []
        faults = [*self.stored, *source, *differing]
        if self.obstacle and not source and self.obstacle not in faults:
            faults.append(f"not everything was recomputed: {self.obstacle}")
        return faults

    def to_json(self) -> dict[str, Any]:
        """Return what `augment verify --json` prints."""
        deep = self.recomputed
        return {
            "path": str(self.directory),
            "sound": not self.faults,
            "faults": self.faults,
            "source": self.source.to_json(),
            "deep": deep and {"share": deep.share, "seed": deep.seed, "images": deep.num_images, "of": deep.total},
        }


def verify_set(directory: Path, pool: Pool, *, source: bool = True, deep: Deep | None = None) -> Verified:
    """Verify the set in `directory` with the workers of `pool`: what is stored, and its source file.

    Parameters
    ----------
    directory
        Directory of the set.
    pool
        Where shards are verified and images are recomputed. The source file is always verified on this machine.
    source
        Verify the source file, too.
    deep
        What to recompute; None for nothing.

    Raises
    ------
    EpochbankError
        If `set.json` or the manifest is damaged, so that nothing else can be verified; or, with `deep`, if the source
        file is missing, or the recipe names code and `deep.trust` is False.
    """
    description = read_description(directory)
    lock = ReadingLock(directory)  # As long as it is held, a refresh does not delete the files of retired epochs.
    try:
        location, obstacle = _locate(directory, deep)
        path = description.source_path(directory)
        reference = SetReference(directory.absolute(), description.fingerprint, path.absolute())
        stored = verify(directory, pool, SetHandshake(reference, None, writes=False))
        checked = check_source_of(directory, pool.local_jobs) if source else SourceCheck(path, "unchecked")
        done = None
        if deep is not None and location is not None:
            seed = secrets.randbelow(1 << 32) if deep.seed is None else deep.seed
            try:
                done = recompute(location, read_manifest(directory), deep.share, seed, pool)
            except DamagedSource as error:
                obstacle = str(error)
    finally:
        lock.close()
    return Verified(directory, stored, checked, done, obstacle)


def _locate(directory: Path, deep: Deep | None) -> tuple[SetLocation | None, str]:
    """Return what is needed to recompute images, or why it is not available; neither without `deep`."""
    if deep is None:
        return None, ""
    path = read_description(directory).source_path(directory)
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise EpochbankError(
            f"--deep recomputes images from the source file {path}, which {what}. Restore it from a copy, or verify "
            "without --deep."
        )
    try:
        return locate_stored(directory, deep.trust), ""
    except EpochbankError as error:
        if error.exit_code == 2:  # The user decides whether its code is executed.
            raise
        return None, str(error)


def report(result: Verified) -> str:
    """Return the faults of a set, at least one, as a message with a line for each, and what to do."""
    faults, shards = result.faults, sum(isinstance(fault, ShardFault) for fault in result.stored)
    differing = result.recomputed.faults if result.recomputed else []
    if len(faults) == 1 and not shards and not differing:
        return faults[0]
    what = f"is damaged in {counted(shards, 'shard')}" if shards else f"has {counted(len(faults), 'fault')}"
    lines = [f"{result.directory} {what}:", *(f"  {fault}" for fault in faults)]
    if shards:
        lines.append(
            "`augment repair` generates damaged and missing shards again. Or delete the files that were changed, if "
            "any, then run the same `augment run` again, which generates missing and incomplete shards only."
        )
    if differing:
        lines.append(
            "Images that differ although checksums are right were changed on purpose, or generated by code that "
            "computed different images. Generate the set again in another --sets directory."
        )
    if result.source.state == "missing":
        lines.append(f"In addition, {result.source.message}")
    return "\n".join(lines)


def sound_lines(result: Verified) -> list[str]:
    """Return the text for a set without faults."""
    lines = [f"{result.directory} is sound."]
    if result.source.state == "missing":
        lines.append(f"However, {result.source.message}")
    if result.recomputed is not None:
        deep = result.recomputed
        lines.append(
            f"{deep.num_images:,} of {deep.total:,} images were recomputed and are the same (--seed {deep.seed})."
        )
    return lines
