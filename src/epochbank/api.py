"""Stage 1 from Python: everything that the command `augment` does. The command line parses, calls these, and prints.

Paths may be strings. A set is named as on the command line: by its path, by its name in `sets`, or None for the newest.
All functions raise `EpochbankError` for a foreseeable problem with the arguments, the data or the machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypedDict, Unpack, get_args, get_origin

from PIL import Image

from .augment.distortion.choose_engine import EngineName
from .augment.distortion.recipe import Recipe, load_recipe
from .augment.errors import EpochbankError
from .augment.generation.location import locate
from .augment.generation.options import GenerationOptions
from .augment.generation.plan import GenerationPlan, plan_set
from .augment.generation.plan_source import plan_source
from .augment.generation.run import GenerationResult
from .augment.generation.run import generate as run_generation
from .augment.generation.spec import SetSpec
from .augment.ingest import importer
from .augment.ingest.importer import ImportOptions
from .augment.ingest.resolve import prepare_source, resolve_source
from .augment.ingest.source_file import SourceFile, open_source_file
from .augment.shared.workers import core_count
from .augment.sources import SourceOptions, open_source
from .augment.split.balance import PerClass
from .augment.split.holdout import HeldOut
from .augment.store import verify as verification
from .augment.store.catalog import all_sets, find_set
from .augment.views import explain as explanation
from .augment.views import info as set_info
from .augment.views import inspection
from .augment.views import preview as previews
from .train.feeding.augmented_set import AugmentedSet, open_set

DEFAULT_RECIPE = "kanji"
DEFAULT_SETS = "sets"

_LEAST = {"epochs": 1, "jobs": 1, "limit": 1, "seed": 0, "shard_size": 1, "chunk_size": 1}
"""Least values of the keywords that are whole numbers, as on the command line."""
_LARGEST_SIDE = 4096


class SourceKeywords(TypedDict, total=False):
    """Where a source's images, groups and splits are found, and which of them are used."""

    group_pattern: str | None
    """Regular expression that finds an image's group (writer, sheet) in its path."""
    etl_sets: str | None
    """Sets of the ETL Character Database, such as "8G,9G"."""
    characters: str | None
    """Characters of ETL files, such as "kanji,hiragana"."""
    split: Literal["source", "fractions"]
    """Use the splits that the source defines, or split by fractions."""


class ImportKeywords(SourceKeywords, total=False):
    """How a source is imported."""

    size: tuple[int, int] | None
    """(H, W) in pixels; None for the source's own size if all its images share one, else 64 x 64."""
    limit: int | None
    """Import only this many images, evenly spaced."""
    invert: Literal["auto", "yes", "no"]
    color: Literal["auto", "gray", "rgb"]
    on_bad: Literal["refuse", "skip"]


class GenerationKeywords(ImportKeywords, total=False):
    """Everything that `augment run` takes besides the source, the recipe and the number of epochs."""

    seed: int
    validation: float
    test: float
    per_class: tuple[int, int] | None
    """Least and most images of each class in an epoch."""
    codec: Literal["zstd", "lz4", "gzip", "none"] | None
    shard_size: int | None
    chunk_size: int | None
    engine: EngineName
    jobs: int | None
    """Worker processes; None for one per core."""
    sets: str | Path


@dataclass(frozen=True)
class _Command:
    """The arguments of `plan` and `generate`, checked."""

    source: str
    recipe: Recipe
    seed: int
    held_out: HeldOut
    per_class: PerClass | None
    imports: ImportOptions
    options: GenerationOptions
    sets: Path

    def spec(self, file: SourceFile) -> SetSpec:
        """Return the spec of the set that is made from the source file `file`."""
        use_source_splits = self.imports.source.split == "source"
        return SetSpec(file, self.recipe, self.seed, self.held_out, self.per_class, use_source_splits)


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
    command = _command(source, recipe, epochs, keywords)
    file = prepare_source(command.source, command.sets, command.imports, command.options.jobs)
    return run_generation(command.spec(file), command.sets, command.options, command.source)


def plan(
    source: str | Path,
    recipe: str | Path | Recipe = DEFAULT_RECIPE,
    epochs: int = 5,
    **keywords: Unpack[GenerationKeywords],
) -> GenerationPlan:
    """Return the plan of what `generate` with the same arguments would write; nothing is written.

    Time and bytes are estimated by a calibration run with a sample of the images.
    """
    command = _command(source, recipe, epochs, keywords)
    resolved = resolve_source(command.source, command.sets, command.imports)
    if resolved.file is not None:
        return plan_set(locate(command.spec(resolved.file), command.sets), command.options)
    assert resolved.source is not None
    return plan_source(
        resolved.source, command.recipe, command.held_out, command.per_class, command.imports, command.options
    )


def import_source(
    source: str | Path, file: str | Path, *, jobs: int | None = None, **keywords: Unpack[ImportKeywords]
) -> SourceFile:
    """Import a source once, into the new source file `file` (.h5), which `generate` takes as its source."""
    _check_numbers(jobs=jobs)
    path = Path(file)
    if path.exists():
        raise EpochbankError(f"{path} exists; expected a new file. Remove it or choose another name.")
    if path.suffix.lower() not in (".h5", ".hdf5"):
        raise EpochbankError(
            f"{path} does not end in .h5 or .hdf5, as the name of a source file must. Choose another name.", usage=True
        )
    options = _import_options(keywords)
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

    `limit` is the number of images to inspect, evenly spaced; `font` a font file for class names in the images. `out`
    None stands for `inspect/` and the source's name.
    """
    _check_numbers(jobs=jobs, limit=limit)
    return inspection.inspect(
        str(source), _path(out), _source_options(keywords), limit, _path(font), jobs or core_count()
    )


def preview(
    source: str | Path,
    recipe: str | Path | Recipe = DEFAULT_RECIPE,
    *,
    seed: int = 0,
    sets: str | Path = DEFAULT_SETS,
    **keywords: Unpack[ImportKeywords],
) -> Image.Image:
    """Return a contact sheet (RGB) of originals with their distortions: of a source by `recipe`, or of a stored set."""
    _check_numbers(seed=seed)
    directory = next((path for path in (Path(source), Path(sets) / source) if (path / "set.json").exists()), None)
    if directory is not None:
        return previews.preview_set(directory)
    options = _import_options(keywords)
    resolved = resolve_source(str(source), Path(sets), options)
    return previews.preview_source(resolved, _recipe(recipe), options, seed)


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
    _check_numbers(jobs=jobs)
    return verification.verify(_directory(name, sets), jobs or core_count())


def info(name: str | Path | AugmentedSet | None = None, *, sets: str | Path = DEFAULT_SETS) -> dict[str, Any]:
    """Return what a set is and holds, and the log of its runs, as JSON values: the keys of `augment info --json`."""
    directory = _directory(name, sets)
    facts = set_info.info(directory)
    if facts["resampled"] and facts["resampled"]["images"]:
        facts["resampled"] |= set_info.rejections(directory)
    return facts


def list_sets(sets: str | Path = DEFAULT_SETS) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the `info` of every readable set in `sets`, the newest last, and the faults of the others."""
    facts, faults = [], []
    for directory in all_sets(Path(sets)):
        try:
            facts.append(set_info.info(directory))
        except EpochbankError as fault:
            faults.append(str(fault))
    return facts, faults


def _command(source: str | Path, recipe: str | Path | Recipe, epochs: int, keywords: Mapping[str, Any]) -> _Command:
    _check_numbers(epochs=epochs)
    _check_keywords(keywords, GenerationKeywords)
    default = GenerationOptions()
    per_class = keywords.get("per_class")
    return _Command(
        source=str(source),
        recipe=_recipe(recipe),
        seed=keywords.get("seed", 0),
        held_out=HeldOut(keywords.get("validation", HeldOut.validation), keywords.get("test", HeldOut.test)),
        per_class=PerClass(*per_class) if per_class else None,
        imports=_import_options({name: keywords[name] for name in keywords if name in ImportKeywords.__annotations__}),
        options=GenerationOptions(
            epochs=epochs,
            codec=keywords.get("codec"),
            jobs=keywords.get("jobs") or core_count(),
            shard_size=keywords.get("shard_size"),
            chunk_size=keywords.get("chunk_size"),
            engine=keywords.get("engine", default.engine),
        ),
        sets=Path(keywords.get("sets", DEFAULT_SETS)),
    )


def _import_options(keywords: Mapping[str, Any]) -> ImportOptions:
    _check_keywords(keywords, ImportKeywords)
    own = {name: value for name, value in keywords.items() if name not in SourceKeywords.__annotations__}
    named = {name: value for name, value in keywords.items() if name in SourceKeywords.__annotations__}
    return ImportOptions(**own, source=_source_options(named))


def _source_options(keywords: Mapping[str, Any]) -> SourceOptions:
    _check_keywords(keywords, SourceKeywords)
    return SourceOptions(**keywords)


def _check_keywords(keywords: Mapping[str, Any], allowed: Any) -> None:
    """Raise `TypeError` for an unknown keyword, as Python does, and `EpochbankError` for an invalid value."""
    hints = allowed.__annotations__
    for name, value in keywords.items():
        if name not in hints:
            raise TypeError(f"unexpected keyword argument {name!r}; expected {', '.join(sorted(hints))}")
        choices = _choices(hints[name])
        if choices and value not in choices:
            raise _invalid(name, value, " or ".join(map(repr, choices)))
        if name == "size" and value is not None and not _is_size(value):
            raise _invalid(name, value, f"(H, W) in pixels, each from 1 to {_LARGEST_SIDE}")
    _check_numbers(**{name: value for name, value in keywords.items() if name in _LEAST})


def _check_numbers(**numbers: Any) -> None:
    """Raise `EpochbankError` unless each is an int of at least `_LEAST`, or None where that is a default."""
    for name, number in numbers.items():
        default = number is None and name not in ("epochs", "seed")
        if not default and not (isinstance(number, int) and number >= _LEAST[name]):
            raise _invalid(name, number, f"an int of at least {_LEAST[name]}")


def _is_size(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(side, int) and 1 <= side <= _LARGEST_SIDE for side in value)
    )


def _choices(hint: Any) -> tuple[Any, ...]:
    """Return the values that the type of a keyword lists; () if it lists none."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    listed = tuple(value for one in get_args(hint) for value in _choices(one))
    return (*listed, None) if listed and NoneType in get_args(hint) else listed


def _invalid(name: str, value: Any, expected: str) -> EpochbankError:
    return EpochbankError(f"{name}={value!r} is invalid; expected {expected}.", usage=True)


def _recipe(recipe: str | Path | Recipe) -> Recipe:
    return recipe if isinstance(recipe, Recipe) else load_recipe(recipe)


def _directory(name: str | Path | AugmentedSet | None, sets: str | Path) -> Path:
    return name.path if isinstance(name, AugmentedSet) else find_set(name, Path(sets))


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)
