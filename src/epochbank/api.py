"""What both commands do, from Python, except training. The command lines parse, call these, and print.

Paths may be strings. A set is named as on the command line: by its path, by its name in `sets`, or None for the newest.
All functions raise `EpochbankError` for a foreseeable problem with the arguments, the data or the machine.
"""

import reprlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from PIL import Image

from .arguments import (
    DEFAULT_RECIPE,
    DEFAULT_SETS,
    GenerationKeywords,
    ImportKeywords,
    SourceKeywords,
    check_numbers,
    generation_arguments,
    import_options,
    load_any_recipe,
    run_command,
    source_options,
)
from .augment.distortion.recipe import Recipe
from .augment.errors import EpochbankError
from .augment.generation.location import locate
from .augment.generation.plan import GenerationPlan, plan_set
from .augment.generation.plan_source import check_groups, plan_source
from .augment.generation.run import GenerationResult
from .augment.generation.run import generate as run_generation
from .augment.ingest import importer
from .augment.ingest.preprocess import Preprocessing
from .augment.ingest.resolve import prepare_source, resolve_source
from .augment.ingest.source_file import SourceFile, open_source_file
from .augment.ingest.stored_preprocessing import image_files, prepared, stored_preprocessing
from .augment.shared.workers import core_count
from .augment.sources import open_source
from .augment.split.few_classes import check_labels
from .augment.store import verify as verification
from .augment.store.catalog import all_sets, find_set, sets_path
from .augment.store.manifest import read_manifest
from .augment.store.presence import check_presence
from .augment.views import explain as explanation
from .augment.views import info as set_info
from .augment.views import inspection
from .augment.views import preview as previews
from .augment.views.origins import origins_of
from .train.feeding.augmented_set import AugmentedSet, open_set
from .train.training.backend import start_backend
from .train.training.export import check_export, export_run
from .train.training.image_arguments import check_image_paths
from .train.training.run_directory import check_model, find_run, open_set_of, read_config


def generate(
    source: str | Path,
    recipe: str | Path | Recipe = DEFAULT_RECIPE,
    epochs: int = 5,
    **keywords: Unpack[GenerationKeywords],
) -> AugmentedSet:
    """Generate a set, or what is missing of it, and open it.

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
    return open_set(run(source, recipe, epochs, **keywords).directory)


def run(
    source: str | Path,
    recipe: str | Path | Recipe = DEFAULT_RECIPE,
    epochs: int = 5,
    **keywords: Unpack[GenerationKeywords],
) -> GenerationResult:
    """Generate a set like `generate`, but return its directory and the log of the run instead of opening it."""
    command = generation_arguments(source, recipe, epochs, keywords)
    check = partial(check_groups, import_options=command.imports, held_out=command.held_out)
    file = prepare_source(command.source, command.sets, command.imports, command.options.jobs, check)
    spec = command.spec(file)
    if command.imports.limit is None and locate(spec, command.sets).description is None:
        check_labels(file.column("label"), file.class_names, command.held_out)
    return run_generation(spec, command.sets, command.options, command.source)


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
    resolved = resolve_source(command.source, command.sets, command.imports)
    if resolved.file is not None:
        planned = plan_set(locate(command.spec(resolved.file), command.sets), command.options)
    else:
        assert resolved.source is not None
        planned = plan_source(
            resolved.source, command.recipe, command.held_out, command.per_class, command.imports, command.options
        )
    command_line = run_command(source, recipe, epochs, keywords, planned.suggested)
    return planned if planned.refused else replace(planned, next=command_line)


def import_source(
    source: str | Path, file: str | Path, *, jobs: int | None = None, **keywords: Unpack[ImportKeywords]
) -> SourceFile:
    """Import a source once, into the new source file `file` (.h5), which `generate` takes as its source."""
    check_numbers(jobs=jobs)
    path = Path(file)
    if path.exists():
        raise EpochbankError(f"{path} exists; expected a new file. Remove it or choose another name.")
    if path.suffix.lower() not in (".h5", ".hdf5"):
        raise EpochbankError(
            f"{path} does not end in .h5 or .hdf5, as the name of a source file must. Choose another name.", usage=True
        )
    options = import_options(keywords)
    importer.import_source(open_source(str(source), options.source), path, options, jobs or core_count())
    return open_source_file(path)


def inspect(
    source: str | Path,
    out: str | Path | None = None,
    *,
    limit: int | None = None,
    font: str | Path | None = None,
    jobs: int | None = None,
    **keywords: Unpack[SourceKeywords],
) -> dict[str, Any]:
    """Return what is in a source and what looks wrong, as JSON values; write tables and images of it to `out`.

    `limit` is the number of images to inspect, the same share of every class; `font` a font file for class names in the
    images. `out` None stands for `inspect/` and the source's name.
    """
    check_numbers(jobs=jobs, limit=limit)
    return inspection.inspect(
        str(source), _path(out), source_options(keywords), limit, _path(font), jobs or core_count()
    )


def preview(
    source: str | Path | AugmentedSet,
    recipe: str | Path | Recipe = DEFAULT_RECIPE,
    *,
    seed: int = 0,
    sets: str | Path = DEFAULT_SETS,
    **keywords: Unpack[ImportKeywords],
) -> Image.Image:
    """Return a contact sheet (RGB) of originals with their distortions: of a source by `recipe`, or of a stored set."""
    check_numbers(seed=seed)
    if isinstance(source, AugmentedSet):
        return previews.preview_set(source.path)
    if not isinstance(source, str | Path):
        raise EpochbankError(
            f"{reprlib.repr(source)} is of type {type(source).__name__}; expected a source, an open set, the path of a "
            f"set, or its name in {sets}/.",
            usage=True,
        )
    directory = next((path for path in (Path(source), sets_path(sets) / source) if (path / "set.json").exists()), None)
    if directory is not None:
        return previews.preview_set(directory)
    options = import_options(keywords)
    resolved = resolve_source(str(source), sets_path(sets), options)
    return previews.preview_source(resolved, load_any_recipe(recipe), options, seed)


def explain(
    name: str | Path | AugmentedSet, epoch: int, position: int, *, sets: str | Path = DEFAULT_SETS
) -> dict[str, Any]:
    """Return where the image at `position` of stored epoch `epoch` comes from, and every parameter of its distortion.

    The keys are those of `augment explain --json`. The epoch need not be generated yet.
    """
    return explanation.explain(_directory(name, sets), epoch, position)


def explain_image(
    name: str | Path | AugmentedSet, epoch: int, position: int, *, sets: str | Path = DEFAULT_SETS
) -> Image.Image:
    """Return a contact sheet (RGB) of that image before and after its distortion."""
    directory = _directory(name, sets)
    return explanation.explain_sheet(directory, explanation.explain(directory, epoch, position))


def verify(
    name: str | Path | AugmentedSet | None = None, *, sets: str | Path = DEFAULT_SETS, jobs: int | None = None
) -> list[str]:
    """Check every published shard of a set down to each image; return its faults, one sentence each."""
    check_numbers(jobs=jobs)
    return verification.verify(_directory(name, sets), jobs or core_count())


def info(name: str | Path | AugmentedSet | None = None, *, sets: str | Path = DEFAULT_SETS) -> dict[str, Any]:
    """Return what a set is and holds, and the log of its runs, as JSON values: the keys of `augment info --json`."""
    directory = _directory(name, sets)
    facts = set_info.info(directory)
    if facts["resampled"] and facts["resampled"]["images"] and not facts["lost_shards"]:
        facts["resampled"] |= set_info.rejections(directory)
    return facts


def list_sets(sets: str | Path = DEFAULT_SETS) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the `info` of every readable set in `sets`, the newest last, and faults.

    Faults are sets that cannot be read, and missing or incomplete shards of those that can.
    """
    facts, faults = [], []
    for directory in all_sets(sets_path(sets)):
        try:
            facts.append(set_info.info(directory))
            check_presence(directory, read_manifest(directory))
        except EpochbankError as fault:
            faults.append(str(fault))
    return facts, faults


def predict(
    run: str | Path | None, images: Iterable[str | Path | Image.Image], *, top: int = 5, batch_size: int = 256
) -> Iterator[dict[str, Any]]:
    """Classify images with the best model of a run, and yield the likeliest classes of each, in order.

    The images are prepared exactly as those of the set were. The set is not needed.

    Parameters
    ----------
    run
        The run directory; None for the newest one in `runs/`.
    images
        Files, folders of images, or Pillow images.
    top
        Number of classes to yield for each image.
    batch_size
        Images per batch.

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
    config, preprocessing = _prepared_run(directory)
    check_model(directory, config)
    start_backend()
    from .train.training.predict import classify, load_run

    model, class_names = load_run(directory, config)

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


def export(run: str | Path | None, out: str | Path, format: str = "savedmodel") -> list[Path]:
    """Export the best model of a run by Keras' `export`, and write `classes.json` beside it; return both paths.

    `format` is "savedmodel" (a directory), "onnx" or "tflite". Raises `EpochbankError` if `out` exists, the run has no
    model yet, or a module that Keras needs is not installed.
    """
    check_export(format, Path(out))
    directory = find_run(_path(run))
    config, preprocessing = _prepared_run(directory)
    return export_run(directory, config, format, Path(out), asdict(preprocessing))


def _prepared_run(run: Path) -> tuple[dict[str, Any], Preprocessing]:
    """Return config.json of a run, and how the images of its set were prepared; older runs need the set for that."""
    config = read_config(run)
    source = config if config.get("preprocessing") else open_set_of(run, config).description.source
    return config, stored_preprocessing(source, tuple(config["shape"]))


def origins(name: str | Path | AugmentedSet, split: str, positions: np.ndarray) -> list[str]:
    """Return where the images at `positions` (int64 (n,)) of the validation or test split of a set come from.

    Each is a path, or a position such as `images[17]`; '' if the source file of the set no longer exists.
    """
    return origins_of(_directory(name, DEFAULT_SETS), split, positions)


def _directory(name: str | Path | AugmentedSet | None, sets: str | Path) -> Path:
    return name.path if isinstance(name, AugmentedSet) else find_set(name, sets_path(sets))


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)
