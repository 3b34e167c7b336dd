"""Verify and repair sets."""

from pathlib import Path

from ..augment.console import notify
from ..augment.distortion.choose_engine import EngineName
from ..augment.errors import EpochbankError
from ..augment.lifecycle.repair import Repaired
from ..augment.lifecycle.repair import repair as repair_set
from ..augment.lifecycle.verify import Deep, Verified, verify_set
from ..augment.shared.backend import PATIENCE, BackendName, backend_from, open_pool
from ..augment.shared.workers import core_count
from ..train.feeding.augmented_set import AugmentedSet
from .directories import directory_of, local_directory
from .values import DEFAULT_SETS, check_numbers


def verify(
    name: str | Path | AugmentedSet | None = None,
    *,
    sets: str | Path = DEFAULT_SETS,
    jobs: int | None = None,
    backend: BackendName | None = None,
    scheduler: str | Path | None = None,
    patience: float = PATIENCE,
    source: bool = True,
    deep: bool = False,
    share: float | None = None,
    seed: int | None = None,
    trust: bool = False,
) -> list[str]:
    """Check every published shard of a set, and its source file, down to each image; return faults, one sentence each.

    A missing source file is not a fault of the set, but is reported in a message.

    Parameters
    ----------
    name
        Path, directory name, tag or fingerprint of a set; None for the set that was written last.
    sets
        Directory of the sets.
    jobs
        Maximum number of threads or processes on this machine; None for one per core.
    backend
        Where shards are verified; None for "dask" if `scheduler` is given, else "local".
    scheduler
        Address of a Dask scheduler, or the path of the JSON file that it writes.
    patience
        Seconds without a Dask worker after which the verification ends.
    source
        Check the source file, too.
    deep
        Recompute a sample of the images from source, recipe and seed, and compare them with those that are stored.
    share
        Share of the images of every split and epoch that `deep` recomputes, above 0 up to 1 (all); None for 0.01.
    seed
        Seed of the sample; None for a new sample each time.
    trust
        Execute the code that the set's recipe names, which `deep` may need; without it, such a set is refused.
    """
    found = verified(
        name, sets=sets, jobs=jobs, backend=backend, scheduler=scheduler, patience=patience, source=source, deep=deep,
        share=share, seed=seed, trust=trust,
    )  # fmt: skip
    if found.source.state == "missing":
        notify(found.source.message)
    return found.faults


def verified(
    name: str | Path | AugmentedSet | None = None,
    *,
    sets: str | Path = DEFAULT_SETS,
    jobs: int | None = None,
    backend: BackendName | None = None,
    scheduler: str | Path | None = None,
    patience: float = PATIENCE,
    source: bool = True,
    deep: bool = False,
    share: float | None = None,
    seed: int | None = None,
    trust: bool = False,
) -> Verified:
    """Check a set as `verify` does, and return all that was found; `to_json()` is that of `augment verify --json`."""
    check_numbers(jobs=jobs, **({} if seed is None else {"seed": seed}))
    if share is not None and not 0 < share <= 1:
        raise EpochbankError(f"share={share!r} is invalid; expected a number above 0 up to 1.", usage=True)
    if not deep and (share is not None or seed is not None):
        given = f"--share {share:g}" if share is not None else f"--seed {seed}"
        raise EpochbankError(f"{given} applies only to --deep. Add --deep, or omit the option.", usage=True)
    options = Deep(seed=seed, trust=trust) if share is None else Deep(share, seed, trust)
    directory = directory_of(name, sets)
    with open_pool(backend_from(backend, scheduler, patience), jobs or core_count()) as pool:
        return verify_set(directory, pool, source=source, deep=options if deep else None)


def repair(
    name: str | Path | AugmentedSet | None = None,
    *,
    sets: str | Path = DEFAULT_SETS,
    jobs: int | None = None,
    backend: BackendName | None = None,
    scheduler: str | Path | None = None,
    patience: float = PATIENCE,
    engine: EngineName = "auto",
    trust: bool = False,
    wait: bool = False,
) -> Repaired:
    """Verify a set, and repair in place what is damaged or missing.

    A shard is replaced only by one with the digest in the manifest.

    Parameters
    ----------
    name
        An open set, or its path, directory name, tag or fingerprint; None for the newest set.
    sets
        Directory of the sets.
    jobs
        Worker processes; None for one per core.
    backend, scheduler, patience
        Those of `verify`.
    engine
        Engine that computes the distortions.
    trust
        Execute the code that the set's recipe names; without it, such a set is refused.
    wait
        Wait for a run that writes the set.

    Returns
    -------
    Repaired
        `faults`, by file; `repaired`, the files that were replaced; `refused`, those whose shard was generated with
        another digest; `restored`, other files such as `split.h5`, a source file and virtual datasets.
    """
    check_numbers(jobs=jobs)
    fix = "be repaired in place; `augment copy` of a sound copy to its URL uploads what is missing"
    with open_pool(backend_from(backend, scheduler, patience), jobs or core_count()) as pool:
        return repair_set(local_directory(directory_of(name, sets), fix), pool, engine, trust, wait)
