"""What both commands do, from Python, except training. The command lines parse, call these, and print.

Paths may be strings. A set is named as on the command line: by its path, by its name in `sets`, or None for the newest.
All functions raise `EpochbankError` for a foreseeable problem with the arguments, the data or the machine.
"""

import os
import reprlib
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from PIL import Image

from .arguments import (
    DEFAULT_RECIPE,
    DEFAULT_RUNS,
    DEFAULT_SETS,
    GenerationArguments,
    GenerationKeywords,
    ImportKeywords,
    RefreshKeywords,
    SourceKeywords,
    check_numbers,
    generation_arguments,
    import_options,
    load_any_recipe,
    refresh_options,
    run_command,
    source_options,
    stored_run_command,
)
from .augment.console import notify
from .augment.distortion.choose_engine import EngineName
from .augment.distortion.recipe import Recipe
from .augment.errors import EpochbankError
from .augment.exchange.copy import Copied
from .augment.exchange.copy import copy_set as copy_stored
from .augment.exchange.copy_to_store import copy_to_store
from .augment.exchange.export import Exported
from .augment.exchange.export import export_set as export_stored
from .augment.exchange.formats import FormatName
from .augment.exchange.selection import Epochs
from .augment.generation.location import locate
from .augment.generation.plan import GenerationPlan, plan_set
from .augment.generation.plan_source import check_groups, check_import_limits, plan_source
from .augment.generation.run import GenerationResult
from .augment.generation.run import generate as run_generation
from .augment.generation.spec import SetSpec
from .augment.generation.store_run import StoreRun, store_run, work_directory
from .augment.ingest import importer
from .augment.ingest.preprocess import Preprocessing
from .augment.ingest.resolve import prepare_source, resolve_source, restore_source
from .augment.ingest.source_file import DamagedSource, SourceFile, is_source_file
from .augment.ingest.source_file import open_source_file as read_source_file
from .augment.ingest.stored_preprocessing import image_files, prepared, stored_preprocessing
from .augment.ingest.workspace import sweep_workspaces_of
from .augment.lifecycle import diff as diffs
from .augment.lifecycle.content import SetContent, content_of_spec, stored_content
from .augment.lifecycle.garbage import Garbage, find_garbage
from .augment.lifecycle.gc import collect
from .augment.lifecycle.refresh import RefreshResult, cancel_refresh
from .augment.lifecycle.refresh import refresh as refresh_set
from .augment.lifecycle.remove import finish_removals, remove_set
from .augment.lifecycle.repair import Repaired
from .augment.lifecycle.repair import repair as repair_set
from .augment.lifecycle.similar import similar_set_note
from .augment.lifecycle.store_gc import StoreGarbage, collect_store_garbage, find_store_garbage
from .augment.lifecycle.tag import add_tag, check_new_tag, remove_tag
from .augment.lifecycle.verify import Deep, Verified, verify_set
from .augment.shared.backend import PATIENCE, BackendName, backend_from, open_pool
from .augment.shared.html.page import check_page
from .augment.shared.reading_lock import ReadingLock
from .augment.shared.status_file import StatusFile, status_file
from .augment.shared.workers import core_count, kept_workers
from .augment.sources import Scan, open_source
from .augment.split.few_classes import check_labels
from .augment.store.catalog import all_sets, choose_set, find_set, named_set, sets_path
from .augment.store.manifest import read_manifest
from .augment.store.objects.mirror import remote_url, shown
from .augment.store.objects.urls import name_of, parent_of, url_of
from .augment.store.presence import check_presence
from .augment.store.tags import check_tag
from .augment.views import explain as explanation
from .augment.views import info as set_info
from .augment.views import inspection
from .augment.views import preview as previews
from .augment.views.origins import origins_of
from .augment.views.set_report import WrittenReport
from .augment.views.set_report import report as report_set
from .train.feeding.augmented_set import AugmentedSet, open_set
from .train.training import run_list
from .train.training.backend import start_backend
from .train.training.compare.comparison import Comparison, compare_runs
from .train.training.compare.page import write_comparison
from .train.training.export import check_export, export_run
from .train.training.image_arguments import check_image_paths
from .train.training.run_directory import (
    check_evaluation,
    check_model,
    check_shape,
    check_trust,
    find_run,
    open_set_of,
    read_config,
)
from .train.training.run_list import RunFacts
from .train.training.run_report.page import REPORT, write_run_report


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
    with status_file(_path(keywords.get("status"))) as status:  # It reports wrong arguments, too.
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


def import_source(
    source: str | Path, file: str | Path, *, jobs: int | None = None, wait: bool = False,
    **keywords: Unpack[ImportKeywords],
) -> SourceFile:  # fmt: skip
    """Import a source once, into a new source file, which `generate` takes as its source.

    Parameters
    ----------
    source
        As on the command line: "digits", a path, or "kind:path".
    file
        The new file; its name ends in `.h5` or `.hdf5`.
    jobs
        Worker processes; None for one per core.
    wait
        Wait for another import into the same file, whose result is then refused like any existing file.
    **keywords
        See `ImportKeywords`.

    Raises
    ------
    EpochbankError
        If there is no such source, some of its images cannot be used, `file` exists, or the disk is too small.
    """
    check_numbers(jobs=jobs)
    path = Path(file)
    if path.exists():
        sweep_workspaces_of(path)  # An import that was killed just after it had written the file.
        raise EpochbankError(f"{path} exists; expected a new file. Remove it or choose another name.")
    if path.suffix.lower() not in (".h5", ".hdf5"):
        raise EpochbankError(
            f"{path} does not end in .h5 or .hdf5, as the name of a source file must. Choose another name.", usage=True
        )
    options = import_options(keywords)
    importer.import_source(open_source(str(source), options.source), path, options, jobs or core_count(), wait=wait)
    return read_source_file(path)


def open_source_file(file: str | Path) -> SourceFile:
    """Open a source file that `import_source` or `augment import` wrote, to look at it.

    Raises `EpochbankError` if there is no such file, it is not a source file, or it is damaged.
    """
    path = Path(file)
    if path.is_file() and not is_source_file(path):
        raise EpochbankError(
            f"{path} is not a source file; expected an HDF5 file that `import_source` wrote. Import it first: "
            f"epochbank.import_source({str(path)!r}, {str(path.with_name(path.stem + '-source.h5'))!r})"
        )
    return read_source_file(path)


@kept_workers()
def inspect(
    source: str | Path,
    out: str | Path | None = None,
    *,
    html: str | Path | None = None,
    limit: int | None = None,
    font: str | Path | None = None,
    jobs: int | None = None,
    **keywords: Unpack[SourceKeywords],
) -> dict[str, Any]:
    """Return what is in a source and what looks wrong, as JSON values; write tables and images of it to `out`.

    Parameters
    ----------
    source
        As on the command line: "digits", a path, or "kind:path".
    out
        Directory for tables and images; None for `inspect/` and the name of the source.
    limit
        Number of images to inspect, the same share of every class; None for all.
    font
        Font file for class names in the images; None for the first one that has their characters.
    jobs
        Worker processes; None for one per core.
    html
        HTML file to write, too, which needs no other file and no network.
    **keywords
        See `SourceKeywords`.

    Returns
    -------
    dict
        The contents of `report.json`.
    """
    check_numbers(jobs=jobs, limit=limit)
    return inspection.inspect(
        str(source), _path(out), source_options(keywords), limit, _path(font), jobs or core_count(), _path(html)
    )


def preview(
    source: str | Path | AugmentedSet,
    recipe: str | Path | Recipe = DEFAULT_RECIPE,
    *,
    seed: int = 0,
    sets: str | Path = DEFAULT_SETS,
    trust: bool = False,
    **keywords: Unpack[ImportKeywords],
) -> Image.Image:
    """Return a contact sheet (RGB) of originals with their distortions: of a source by `recipe`, or of a stored set.

    Parameters
    ----------
    source
        A source, as on the command line, or an open set, its path or its name in `sets`.
    recipe
        A built-in recipe's name, the path of a TOML file, or a recipe. A stored set has its own.
    seed
        Seed of the distortions of a source.
    sets
        Directory of the sets.
    trust
        Execute the code that the recipe of a stored set names; without it, such a set is refused.
    **keywords
        See `ImportKeywords`.
    """
    check_numbers(seed=seed)
    if isinstance(source, AugmentedSet):
        return previews.preview_set(source.path, trust)
    if not isinstance(source, str | Path):
        raise EpochbankError(
            f"{reprlib.repr(source)} is of type {type(source).__name__}; expected a source, an open set, the path of a "
            f"set, or its name in {sets}/.",
            usage=True,
        )
    is_source = str(source) == "digits" or (Path(source).exists() and not (Path(source) / "set.json").exists())
    directory = None if is_source else named_set(source, sets_path(sets))
    if directory is not None:
        return previews.preview_set(directory, trust)
    options = import_options(keywords)
    resolved = resolve_source(str(source), sets_path(sets), options)
    return previews.preview_source(resolved, load_any_recipe(recipe), options, seed)


def explain(
    name: str | Path | AugmentedSet, epoch: int, position: int, *, sets: str | Path = DEFAULT_SETS, trust: bool = False
) -> dict[str, Any]:
    """Return where the image at `position` of stored epoch `epoch` comes from, and every parameter of its distortion.

    The keys are those of `augment explain --json`. The epoch need not be generated yet. `trust` executes the code that
    the set's recipe names; without it, such a set is refused.
    """
    return explanation.explain(_directory(name, sets), epoch, position, trust)


def explain_image(
    name: str | Path | AugmentedSet, epoch: int, position: int, *, sets: str | Path = DEFAULT_SETS, trust: bool = False
) -> Image.Image:
    """Return a contact sheet (RGB) of that image before and after its distortion."""
    directory = _directory(name, sets)
    return explanation.explain_sheet(directory, explanation.explain(directory, epoch, position, trust), trust)


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
    directory = _directory(name, sets)
    with open_pool(backend_from(backend, scheduler, patience), jobs or core_count()) as pool:
        return verify_set(directory, pool, source=source, deep=options if deep else None)


def info(
    name: str | Path | AugmentedSet | None = None,
    *,
    sets: str | Path = DEFAULT_SETS,
    runs: str | Path = DEFAULT_RUNS,
) -> dict[str, Any]:
    """Return what a set is and holds, and the log of its runs, as JSON values: the keys of `augment info --json`.

    `trainings` lists the run directories in `runs` that were trained on the set.
    """
    directory = _directory(name, sets)
    facts = _with_trainings(set_info.info(directory), run_list.list_runs(Path(runs))[0])
    remote = remote_url(directory) is not None  # All shards would be fetched.
    if facts["resampled"] and facts["resampled"]["images"] and not facts["lost_shards"] and not remote:
        facts["resampled"] |= set_info.rejections(directory)
    return facts


def report(
    name: str | Path | AugmentedSet | None = None,
    out: str | Path | None = None,
    *,
    sets: str | Path = DEFAULT_SETS,
) -> WrittenReport:
    """Write the report on a set, one HTML file that needs no other file and no network, and return its path and faults.

    `out` None stands for `reports/` and the set's name. A page that epochbank wrote is replaced; any other file is not.
    Shards that cannot be read are faults, and the report says what it lacks.
    """
    return report_set(_directory(name, sets), _path(out), stored_run_command)


def list_sets(
    sets: str | Path = DEFAULT_SETS, *, runs: str | Path = DEFAULT_RUNS
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the `info` of every readable set in `sets`, the newest last, and faults.

    `trainings` lists the run directories in `runs` that were trained on the set. Faults are sets that cannot be read,
    missing or incomplete shards of those that can, and `sets` itself if it does not exist, unless it is the default.
    """
    facts, faults = [], []
    trainings, _ = run_list.list_runs(Path(runs))
    path = sets_path(sets)
    expected = (path.is_dir() or path != Path(DEFAULT_SETS)) and url_of(path) is None
    for directory in all_sets(path):
        try:
            facts.append(_with_trainings(set_info.info(directory), trainings))
            check_presence(directory, read_manifest(directory))
        except EpochbankError as fault:
            faults.append(str(fault))
    if expected and not path.is_dir():  # Perhaps it vanished with its disk while it was read.
        what = "is not a directory" if path.exists() else "does not exist"
        faults.append(f"{path} {what}; expected the directory of the sets. Choose another one with --sets.")
    return facts, faults


def _with_trainings(facts: dict[str, Any], runs: list[RunFacts]) -> dict[str, Any]:
    return facts | {"trainings": [run.path for run in runs if run.fingerprint == facts["fingerprint"]]}


def list_runs(runs: str | Path = DEFAULT_RUNS) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the training runs in the directory `runs`, the newest last, and a sentence for each that is unreadable.

    The keys are those of `train runs --json`: `path`, `set`, `fingerprint`, `model`, `accuracy`, `epochs`, `finished`,
    `started`.
    """
    facts, faults = run_list.list_runs(Path(runs))
    return run_list.to_json(facts), faults


def content(name: str | Path | AugmentedSet, *, sets: str | Path = DEFAULT_SETS) -> SetContent:
    """Return the content of a set, as `augment diff` compares it."""
    return stored_content(_directory(name, sets))


def diff(
    a: str | Path | AugmentedSet, b: str | Path | AugmentedSet, *, sets: str | Path = DEFAULT_SETS
) -> dict[str, Any]:
    """Return what differs between sets `a` and `b`: the keys of `augment diff --json`."""
    one, other = content(a, sets=sets), content(b, sets=sets)
    return diffs.to_json(one, other, diffs.differences(one, other))


def tag(
    name: str | Path | AugmentedSet, tag: str, *, remove: bool = False, sets: str | Path = DEFAULT_SETS
) -> list[str]:
    """Give a set the tag `tag`, or remove it with `remove`; return all its tags."""
    directory = _local(_directory(name, sets), "be tagged here; `augment run --name` tags it")
    return remove_tag(directory, tag) if remove else add_tag(directory, tag)


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
    with status_file(_path(keywords.get("status"))) as status:
        options = refresh_options(epochs, keywords)
        directory = name.path if isinstance(name, AugmentedSet) else choose_set(name, sets_path(sets))
        if status is not None:
            status.name_set(directory)
        if cancel:
            _local(directory, "be the set of --cancel: run the refresh again to complete it")
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
        return repair_set(_local(_directory(name, sets), fix), pool, engine, trust, wait)


def export_set(
    name: str | Path | AugmentedSet,
    dest: str | Path,
    format: FormatName = "webdataset",
    *,
    epochs: Epochs = None,
    originals: bool = False,
    splits: Iterable[str] | None = None,
    sets: str | Path = DEFAULT_SETS,
    jobs: int | None = None,
) -> Exported:
    """Export images of a set to the new directory `dest`, which appears when it is complete.

    The validation and test splits are undistorted. `generate(dest)` uses the export as a source.

    Parameters
    ----------
    name
        An open set, or its path, directory name, tag or fingerprint.
    dest
        A new or an empty directory.
    format
        "webdataset", "tfrecord", "parquet" or "npz".
    epochs
        Stored epochs of the training images: numbers, or a string such as "0,2-4"; None for all, "none" for none.
    originals
        Add the undistorted training split, before the epochs.
    splits
        Export only these splits; None for all.
    sets
        Directory of the sets.
    jobs
        Worker processes; None for one per core.

    Returns
    -------
    Exported
        `num_images` of each split, the number of `files`, and their `bytes`.
    """
    check_numbers(jobs=jobs)
    return export_stored(
        _directory(name, sets), Path(dest), format, jobs or core_count(), epochs=epochs, originals=originals,
        splits=splits,
    )  # fmt: skip


def copy_set(
    name: str | Path | AugmentedSet,
    dest: str | Path,
    *,
    epochs: Epochs = None,
    with_source: bool = False,
    sets: str | Path = DEFAULT_SETS,
    jobs: int | None = None,
) -> Copied:
    """Copy what is published of a set to the new directory `dest`, or into it if it exists; verify the copy.

    After an interruption, the same call continues.

    Parameters
    ----------
    name
        An open set, or its path, directory name, tag or fingerprint; or its URL in an object store.
    dest
        Directory of the copy, or a URL in an object store, such as "s3://bucket/sets/".
    epochs
        Consecutive stored epochs: numbers, or a string such as "2-4"; None for all.
    with_source
        Also copy the source file, which is needed to generate shards.
    sets
        Directory of the sets.
    jobs
        Worker processes; None for one per core.

    Returns
    -------
    Copied
        `directory` of the copy, its `epochs`, `shards` and `bytes`.
    """
    check_numbers(jobs=jobs)
    directory, url = _directory(name, sets), url_of(dest)
    if url is None:
        return copy_stored(directory, str(dest), jobs or core_count(), epochs=epochs, with_source=with_source)
    if with_source:
        raise EpochbankError(
            f"--with-source cannot be combined with {url}: source files stay on this machine. Omit it.", usage=True
        )
    return copy_to_store(directory, str(dest), url, epochs=epochs)


def remove(name: str | Path | AugmentedSet, *, sets: str | Path = DEFAULT_SETS) -> int:
    """Remove a set and return its bytes; its source file stays. Raises `EpochbankError` while it is written or read.

    An open `AugmentedSet` reads the set until it is dropped.
    """
    if url_of(sets) is None:
        finish_removals(sets_path(sets))
    return remove_set(
        _local(_directory(name, sets), "be removed by epochbank; delete its objects with the store's tools")
    )


def gc(
    sets: str | Path = DEFAULT_SETS, *, unused_for: float | None = None, dry_run: bool = False
) -> tuple[list[Garbage] | list[StoreGarbage], list[str]]:
    """Remove what no set needs in `sets`, and return it with notes on what was kept, one sentence each.

    These are orphaned shards, temporary files of runs that were stopped, and source files that no set was made from.
    What a run writes or a training reads is kept. If `sets` is a URL, these are shards that no manifest lists and that
    were uploaded more than a day ago.

    Parameters
    ----------
    sets
        Directory of the sets, or its URL in an object store.
    unused_for
        Also remove sets that were neither trained on nor written to for this number of days; None for a URL.
    dry_run
        Only return what would be removed.
    """
    if (url := url_of(sets)) is not None:
        if unused_for is not None:
            raise EpochbankError(
                f"--unused-for cannot be combined with {url}: training runs on a set in an object store are not "
                "recorded there. Omit it.",
                usage=True,
            )
        objects, notes = find_store_garbage(url)
        if dry_run:
            return objects, notes
        removed, kept = collect_store_garbage(objects)
        return removed, [*notes, *kept]
    found, notes = find_garbage(sets_path(sets), unused_for)
    if dry_run:
        return found, notes
    done = collect(sets_path(sets), found)
    return done.removed, [*notes, *done.kept]


def predict(
    run: str | os.PathLike[str] | None,
    images: Iterable[str | Path | Image.Image],
    *,
    top: int = 5,
    batch_size: int = 256,
    trust: bool = False,
) -> Iterator[dict[str, Any]]:
    """Classify images with the best model of a run, and yield the likeliest classes of each, in order.

    The images are prepared exactly as those of the set were. The set is not needed.

    Parameters
    ----------
    run
        The run directory, or an open run; None for the newest one in `runs/`.
    images
        Files, folders of images, or Pillow images.
    top
        Number of classes to yield for each image.
    batch_size
        Images per batch.
    trust
        Import the module of the run's model, if that is a function; without it, such a run is refused.

    Yields
    ------
    dict
        `image`, the path, or the number of a Pillow image; and either `classes`, a list of
        `{"class": str, "probability": float}`, the likeliest first, or `error`, why the image cannot be read.

    Raises
    ------
    EpochbankError
        If there is no such run or image, or the run has no model yet.
    """
    check_numbers(top=top, batch_size=batch_size)
    directory = find_run(_path(run))
    config, preprocessing = _prepared_run(directory, trust)
    check_model(directory, config)
    start_backend()
    from .train.training.predict import classify, load_run

    model, class_names = load_run(directory, config, trust)

    items = ((name, prepared(image, preprocessing)) for name, image in _each(images))
    return classify(model, class_names, items, top, batch_size)


def _each(images: Iterable[str | Path | Image.Image]) -> Iterator[tuple[str | int, Path | Image.Image]]:
    """Yield the name of each image and the image; a Pillow image is named by its number, from 0."""
    for number, image in enumerate(images):
        if isinstance(image, Image.Image):
            yield number, image
        else:
            check_image_paths([image])
            yield from ((str(file), file) for file in image_files([Path(image)]))


def export(
    run: str | os.PathLike[str] | None, out: str | Path, format: str = "savedmodel", *, trust: bool = False
) -> list[Path]:
    """Export the best model of a run by Keras' `export`, and write `classes.json` beside it; return both paths.

    Parameters
    ----------
    run
        The run directory; None for the newest one in `runs/`.
    out
        The new file, or the new directory of a SavedModel.
    format
        "savedmodel", "onnx" or "tflite".
    trust
        Import the module of the run's model, if that is a function; without it, such a run is refused.

    Raises
    ------
    EpochbankError
        If `out` exists, the run has no model yet, or a module that Keras needs is not installed.
    """
    check_export(format, Path(out))
    directory = find_run(_path(run))
    config, preprocessing = _prepared_run(directory, trust)
    return export_run(directory, config, format, Path(out), asdict(preprocessing), trust)


def report_run(
    run: str | Path | None = None,
    out: str | Path | None = None,
    *,
    evaluate: bool = False,
    batch_size: int = 256,
    trust: bool = False,
) -> Path:
    """Write the report of a run as one HTML file, and return its path. Neither Keras nor the set is needed.

    Parameters
    ----------
    run
        The run directory; None for the newest one in `runs/`.
    out
        The file; None for `report.html` in the run directory. A page that epochbank wrote is replaced.
    evaluate
        First evaluate the model again, and store its predictions in the run directory. This is for runs of earlier
        versions of epochbank, which stored none, and needs Keras and the set.
    batch_size
        Images per batch of this evaluation.
    trust
        Import the module of the run's model for this evaluation, if that is a function; without it, such a run is
        refused.

    Raises
    ------
    EpochbankError
        If there is no such run, it is damaged, Jinja2 is not installed, or `out` is another file.
    """
    check_numbers(batch_size=batch_size)
    directory = find_run(_path(run))
    page = directory / REPORT if out is None else Path(out)
    check_page(page)
    if evaluate:
        check_trust(directory, read_config(directory), trust)
        check_evaluation(directory)
        notify(start_backend())
        from .train.training.store_evaluation import evaluate_again

        evaluate_again(directory, batch_size, trust, origins)
    return write_run_report(directory, page)


def compare(runs: Sequence[str | Path], html: str | Path | None = None, *, split: str | None = None) -> dict[str, Any]:
    """Compare two or more runs, and return the JSON values of `train compare --json`; write a page to `html`.

    Neither Keras nor the sets are needed. McNemar's test and the classes are those of runs that were tested on the same
    images; `notes` says which runs were not.

    Parameters
    ----------
    runs
        Run directories, or names of runs in `runs/`. The first one is what the classes of the others are compared with.
    html
        The HTML file; None for none. A page that epochbank wrote is replaced.
    split
        "test" or "validation"; None for the test split if all runs were evaluated on it, else the validation split.

    Raises
    ------
    EpochbankError
        If a run does not exist, is not finished or is damaged, if there are fewer than two, if no split was evaluated
        in all of them, or if `html` cannot be written.
    """
    return comparison(runs, html, split=split).to_json()


def comparison(runs: Sequence[str | Path], html: str | Path | None = None, *, split: str | None = None) -> Comparison:
    """Compare runs as `compare` does, and return the whole comparison."""
    if split not in (None, "test", "validation"):
        raise EpochbankError(f"split={split!r} is unknown; expected 'test' or 'validation'.", usage=True)
    if html is not None:
        check_page(Path(html))
    found = compare_runs([find_run(Path(run)) for run in runs], split)
    if html is not None:
        write_comparison(found, Path(html))
    return found


def _prepared_run(run: Path, trust: bool) -> tuple[dict[str, Any], Preprocessing]:
    """Return config.json of a run, and how the images of its set were prepared; older runs need the set for that."""
    config = read_config(run)
    check_trust(run, config, trust)
    check_shape(run, config)
    source = config if config.get("preprocessing") else open_set_of(run, config).description.source
    return config, stored_preprocessing(source, tuple(config["shape"]))


def origins(name: str | Path | AugmentedSet, split: str, positions: np.ndarray) -> list[str]:
    """Return where the images at `positions` (int64 (n,)) of the validation or test split of a set come from.

    Each is a path, or a position such as `images[17]`; '' if the source file of the set no longer exists.
    """
    return origins_of(_directory(name, DEFAULT_SETS), split, positions)


def _directory(name: str | Path | AugmentedSet | None, sets: str | Path) -> Path:
    return name.path if isinstance(name, AugmentedSet) else find_set(name, sets_path(sets))


def _local(directory: Path, cannot: str) -> Path:
    """Return `directory`. Raises `EpochbankError` if it is the mirror of a set in an object store."""
    url = remote_url(directory)
    if url is not None:
        raise EpochbankError(f"{url} is in an object store, and cannot {cannot}. Nothing was changed.", usage=True)
    return directory


def _path(path: str | os.PathLike[str] | None) -> Path | None:
    return None if path is None else Path(path)
