"""Plan, generate and refresh sets."""

import shlex
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Unpack

from ..augment.console import notify
from ..augment.distortion.recipe import Recipe
from ..augment.errors import EpochbankError
from ..augment.generation.location import locate
from ..augment.generation.plan import GenerationPlan, plan_set
from ..augment.generation.plan_source import check_groups, check_import_limits, plan_source
from ..augment.generation.run import GenerationResult
from ..augment.generation.run import generate as run_generation
from ..augment.generation.spec import SetSpec
from ..augment.generation.store_run import StoreRun, store_run, work_directory
from ..augment.ingest.resolve import prepare_source, resolve_source, restore_source
from ..augment.ingest.source_file import DamagedSource
from ..augment.lifecycle.content import content_of_spec
from ..augment.lifecycle.refresh import RefreshResult, cancel_refresh
from ..augment.lifecycle.refresh import refresh as refresh_set
from ..augment.lifecycle.remove import finish_removals
from ..augment.lifecycle.similar import similar_set_note
from ..augment.lifecycle.tag import add_tag, check_new_tag
from ..augment.shared.backend import open_pool
from ..augment.shared.reading_lock import ReadingLock
from ..augment.shared.status_file import StatusFile, status_file
from ..augment.shared.workers import kept_workers
from ..augment.sources import Scan
from ..augment.split.few_classes import check_labels
from ..augment.store.catalog import choose_set, sets_path
from ..augment.store.objects.mirror import remote_url, shown
from ..augment.store.objects.urls import name_of, parent_of, url_of
from ..augment.store.tags import check_tag
from ..train.feeding.augmented_set import AugmentedSet, open_set
from .arguments import GenerationArguments, generation_arguments, refresh_options
from .commands import run_command
from .directories import local_directory, optional_path
from .keywords import GenerationKeywords, RefreshKeywords
from .values import DEFAULT_RECIPE, DEFAULT_SETS


def generate(
    source: str | Path,
    recipe: str | Path | Recipe = DEFAULT_RECIPE,
    epochs: int = 5,
    **keywords: Unpack[GenerationKeywords],
) -> AugmentedSet:
    """Generate a set, or complete it, and open it.

    Parameters
    ----------
    source
        As on the command line: "digits", a path, or "kind:path".
    recipe
        A built-in recipe's name, the path of a TOML file, or a recipe.
    epochs
        Stored epochs that the set has at the end.
    **keywords
        See `GenerationKeywords`; defaults are those of `augment run`.

    Examples
    --------
    >>> digits = epochbank.generate("digits", epochs=5, seed=1)
    >>> model.fit(AugmentedSequence(digits, batch_size=256), shuffle=False)
    """
    return open_set(shown(run(source, recipe, epochs, **keywords).directory))


@kept_workers()
def run(
    source: str | Path,
    recipe: str | Path | Recipe = DEFAULT_RECIPE,
    epochs: int = 5,
    **keywords: Unpack[GenerationKeywords],
) -> GenerationResult:
    """Generate a set like `generate`, but return its directory and the log of the run instead of opening it."""
    with status_file(optional_path(keywords.get("status"))) as status:  # It reports wrong arguments, too.
        return _run(generation_arguments(source, recipe, epochs, keywords), status)


def _run(command: GenerationArguments, status: StatusFile | None) -> GenerationResult:
    if command.name is not None:
        check_tag(command.name)
    if (url := url_of(command.sets)) is not None:
        command = replace(command, sets=work_directory(url))
    finish_removals(command.sets)

    def check(scan: Scan) -> None:
        check_groups(scan, command.imports, command.held_out)
        check_import_limits(scan, command.imports, command.options.limits, command.sets)

    file = prepare_source(command.source, command.sets, command.imports, command.options.jobs, check)
    spec = command.spec(file)
    if url is None:
        return _generate(command, spec, status)
    names = [one.name for one in (spec, *spec.earlier_forms())]
    with store_run(url, names, wait=command.options.wait) as run:
        return _generate(command, spec, status, run)


def _ignore(*_: object) -> None:
    pass


def _generate(
    command: GenerationArguments, spec: SetSpec, status: StatusFile | None, store: StoreRun | None = None
) -> GenerationResult:
    """Generate the set of `spec`; `store` publishes it in an object store."""
    file, published = spec.source, _ignore if store is None else store.published
    location = locate(spec, command.sets)
    if status is not None:
        status.name_set(location.directory)
    if command.imports.limit is None and location.description is None:
        check_labels(file.column("label"), file.class_names, command.held_out)
    # Before the tag: that another set has it may be due to what differs.
    if location.description is None and (note := similar_set_note(content_of_spec(spec), command.sets)):
        notify(note)
    if command.name is not None:
        check_new_tag(command.sets, command.name, location.directory)

    def begun(directory: Path) -> None:
        if store is not None:
            store.begun(directory)
        if command.name is not None:
            add_tag(directory, command.name)

    with closing(ReadingLock(file.path)):
        try:
            return run_generation(spec, command.sets, command.options, command.source, begun=begun, published=published)
        except DamagedSource as damage:
            file = restore_source(command.source, command.sets, command.imports, command.options.jobs, damage)
            spec = command.spec(file)
            return run_generation(spec, command.sets, command.options, command.source, begun=begun, published=published)


def plan(
    source: str | Path,
    recipe: str | Path | Recipe = DEFAULT_RECIPE,
    epochs: int = 5,
    **keywords: Unpack[GenerationKeywords],
) -> GenerationPlan:
    """Return the plan of what `generate` with the same arguments would write; nothing is written.

    Time and bytes are estimated by a calibration run with a sample of the images.
    """
    command = generation_arguments(source, recipe, epochs, keywords)
    if (url := url_of(command.sets)) is not None:
        command = replace(command, sets=work_directory(url))
    resolved = resolve_source(command.source, command.sets, command.imports)
    with open_pool(command.options.backend, command.options.jobs) as pool:
        if resolved.file is not None:
            planned = plan_set(locate(command.spec(resolved.file), command.sets), command.options, pool)
        else:
            assert resolved.source is not None
            planned = plan_source(
                resolved.source, command.recipe, command.held_out, command.per_class, command.imports, command.options,
                pool,
            )  # fmt: skip
    if planned.refused:
        return planned
    if planned.location is not None and planned.estimate is None:
        return replace(planned, next=shlex.join(["train", "fit", str(planned.location.directory)]))
    return replace(planned, next=run_command(source, recipe, epochs, keywords, planned.suggested))


def refresh(
    name: str | Path | AugmentedSet | None = None,
    epochs: int = 1,
    *,
    cancel: bool = False,
    sets: str | Path = DEFAULT_SETS,
    **keywords: Unpack[RefreshKeywords],
) -> RefreshResult:
    """Generate `epochs` new stored epochs of a set, and retire as many of the oldest.

    The set keeps its number of epochs. The new epochs continue the numbering, so no epoch is generated twice. The same
    call continues an interrupted refresh.

    Parameters
    ----------
    name
        An open set, or its path, directory name, tag or fingerprint; None for the newest set.
    epochs
        Number of new epochs, at most that of the set.
    cancel
        Cancel an interrupted refresh instead: nothing more is generated or retired, and what is published stays.
    sets
        Directory of the sets.
    **keywords
        See `RefreshKeywords`.

    Returns
    -------
    RefreshResult
        `new` and `retired`, the numbers of the epochs, and what else the refresh did.
    """
    with status_file(optional_path(keywords.get("status"))) as status:
        options = refresh_options(epochs, keywords)
        directory = name.path if isinstance(name, AugmentedSet) else choose_set(name, sets_path(sets))
        if status is not None:
            status.name_set(directory)
        if cancel:
            local_directory(directory, "be the set of --cancel: run the refresh again to complete it")
            if epochs != 1:
                raise EpochbankError(
                    f"--cancel cannot be combined with --epochs {epochs}: it generates nothing. Omit --epochs.",
                    usage=True,
                )
            return cancel_refresh(directory, wait=options.wait)
        trust, url = keywords.get("trust", False), remote_url(directory)
        if url is None:
            return refresh_set(directory, options, trust=trust)
        with store_run(parent_of(url), [name_of(url)], exists=True, wait=options.wait) as store:
            return refresh_set(store.directory, options, trust=trust, published=store.published, finish=store.finish)
