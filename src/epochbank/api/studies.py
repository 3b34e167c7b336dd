"""A study from Python: `train study`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..augment.distortion.recipe import Recipe
from ..augment.errors import EpochbankError
from ..augment.generation.options import GenerationOptions
from ..augment.lifecycle.extend import extend
from ..augment.shared.disk_space import check_disk_space
from ..augment.shared.workers import core_count
from ..augment.store.catalog import named_set, sets_path
from ..train.feeding.augmented_set import AugmentedSet, open_set
from ..train.streaming.final import load_final
from ..train.study.plan import trainings
from ..train.training.fit_options import FitOptions, check_options
from .values import DEFAULT_RECIPE, DEFAULT_SETS, check_numbers

if TYPE_CHECKING:
    from ..train.study.study import StudyResult


def study(
    source: str | Path | AugmentedSet,
    epochs_stored: Sequence[int] = (1, 2, 4, 8, 16),
    *,
    fresh: bool = True,
    seeds: int = 3,
    tolerance: float = 0.2,
    out: str | Path | None = None,
    recipe: str | Path | Recipe = DEFAULT_RECIPE,
    sets: str | Path = DEFAULT_SETS,
    jobs: int | None = None,
    trust: bool = False,
    **options: Any,
) -> "StudyResult":
    """Train on different numbers of stored epochs, and compare the accuracies with those of fresh distortion.

    The missing stored epochs are generated first. Trainings that `out` already has are not repeated. All trainings have
    the same number of steps.

    Parameters
    ----------
    source
        A set, its path or name, or a source, from which a set is generated with `recipe`.
    epochs_stored
        Numbers of stored epochs; 0 for originals only.
    fresh
        Also train with another stored epoch in each training epoch, as if images were distorted while training.
    seeds
        Number of trainings for each number of stored epochs.
    tolerance
        Difference in accuracy that does not matter, in percentage points.
    out
        Directory of the study; None for `studies/` and the name of the set.
    recipe
        The recipe, if `source` is a source.
    sets
        Directory of the sets.
    jobs
        Worker processes that generate; None for one per core.
    trust
        Execute the code that the recipe of a set names.
    **options
        Fields of `FitOptions`, such as `model`, `epochs` (training epochs), `final` (the name or file of a final
        recipe, with which everything is trained as well). Early stopping is off.

    Raises
    ------
    EpochbankError
        If a value is out of range, the disk cannot hold the stored epochs and the runs, or `out` belongs to another
        study.
    Stopped
        After a signal. The same call continues the study.
    """
    check_numbers(seeds=seeds, jobs=jobs)
    if not tolerance >= 0:
        raise EpochbankError(f"tolerance {tolerance:g} points; expected 0 or more.", usage=True)
    if isinstance(options.get("final"), str | Path):
        options["final"] = load_final(options["final"])
    base = FitOptions(**options)
    plan = trainings(tuple(epochs_stored), base, seeds, fresh=fresh)
    needed = max(1, *(one.stored for one in plan))
    first = _open(source, recipe, sets, jobs, needed)
    if first.remote is not None:
        raise EpochbankError(
            f"{first.name} is in an object store, to which a study cannot add epochs; expected a local set or a "
            "source. Copy it to a local directory with `augment copy` first.",
            usage=True,
        )
    check_options(base, first)
    for one in plan[: len(plan) // seeds]:
        check_options(one.options(base), first)
    from ..train.training.backend import start_backend

    start_backend()
    from ..train.study.study import begin, bytes_of_runs, run_study

    directory = Path(out or Path("studies") / first.path.name)
    begin(first, base, directory)
    generation = GenerationOptions(epochs=needed, jobs=jobs or core_count())
    extend(first.path, generation, trust=trust, reserve=bytes_of_runs(first, base, len(plan)))
    return run_study(open_set(first.path), plan, base, directory, tolerance / 100)


_LESS = "choose another disk with --sets, or reduce --epochs-stored or --epochs"


def _open(
    source: str | Path | AugmentedSet, recipe: str | Path | Recipe, sets: str | Path, jobs: int | None, needed: int
) -> AugmentedSet:
    """Return the set that `source` names, or plan `needed` stored epochs of the source and generate the first.

    Raises `EpochbankError` before anything is written if the disk cannot hold all of them.
    """
    if isinstance(source, AugmentedSet):
        return source
    directory = named_set(source, sets_path(sets))
    if directory is None:
        from .generation import generate, plan

        planned = plan(source, recipe, needed, sets=sets, jobs=jobs)
        check_disk_space(Path(sets), planned.bytes, f"the study with {needed} stored epochs", _LESS)
        return generate(source, recipe, 1, sets=sets, jobs=jobs)
    return open_set(directory)
