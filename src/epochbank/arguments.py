"""The keyword arguments of the functions in `api`: their types, their defaults, and the checks of their values."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypedDict, get_args, get_origin

from .augment.console import american
from .augment.distortion.choose_engine import EngineName
from .augment.distortion.recipe import Recipe, built_in_names, load_recipe
from .augment.errors import EpochbankError
from .augment.generation.options import GenerationOptions
from .augment.generation.spec import SetSpec
from .augment.ingest.importer import ImportOptions
from .augment.ingest.source_file import SourceFile
from .augment.shared.backend import PATIENCE, Backend, BackendName, backend_from
from .augment.shared.closest import did_you_mean
from .augment.shared.command_words import option_words
from .augment.shared.workers import core_count
from .augment.sources import SourceOptions
from .augment.split.holdout import HeldOut
from .augment.store.balance import PerClass

DEFAULT_RECIPE = "kanji"
DEFAULT_SETS = "sets"
DEFAULT_RUNS = "runs"

_LEAST = {
    "epochs": 1, "jobs": 1, "limit": 1, "seed": 0, "seeds": 1, "shard_size": 1, "chunk_size": 1, "top": 1,
    "batch_size": 1, "keep_free": 0, "max_bytes": 1,
}  # fmt: skip
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
    label_pattern: str | None
    """Regular expression that finds an image's class in its path, instead of the name of its folder."""
    path_template: str | None
    """Paths of the images of a list, made from its columns: "images/{id}.jpg"."""
    class_names: str | None
    """File with the names of integer labels."""
    images_key: str | None
    """Array, dataset or column of the images; None for the usual names."""
    labels_key: str | None
    """Array, dataset or column of the labels; None for the usual names."""
    layout: Literal["auto", "nhwc", "nchw", "hwcn", "flat"]
    """Order of the axes of an array of images."""
    value_range: str
    """Pixel values that become 0 and 255, such as "1", "4095" or "-1:1"; "auto" decides by the values."""
    name_encoding: str | None
    """Encoding of names in a .zip that are not in UTF-8, such as "cp932"; None to guess."""


class ImportKeywords(SourceKeywords, total=False):
    """How a source is imported."""

    size: tuple[int, int] | None
    """(H, W) in pixels; None for the common size of arrays, IDX files or Python items, else 64 x 64."""
    fit: Literal["pad", "crop", "stretch"]
    """How an image of another shape fills the frame."""
    pad_color: str | None
    """Color of the background that `fit="pad"` adds; None for the median of the image's border."""
    limit: int | None
    """Import only this many images, the same share of every class."""
    invert: Literal["auto", "yes", "no"]
    """Invert images; "auto" inverts gray images if most of the sampled ones have a light background."""
    color: Literal["auto", "gray", "rgb"]
    """Color mode; "auto" uses RGB if any sampled image is colored."""
    on_bad: Literal["refuse", "skip"]
    """Refuse a source with unreadable images, or leave them out."""


class GenerationKeywords(ImportKeywords, total=False):
    """Everything that `augment run` takes besides the source, the recipe and the number of epochs."""

    seed: int
    """Seed of the distortions and of the order of each epoch; the default is 0."""
    validation: float
    """Fraction of the images in the validation split, 0 to less than 1; the default is 0.1."""
    test: float
    """Fraction of the images in the test split, 0 to less than 1; the default is 0.1."""
    per_class: tuple[int, int] | None
    """Least and most images of each class in an epoch."""
    codec: Literal["zstd", "lz4", "gzip", "none"] | None
    """Compression of new shards; None for that of the set, or "zstd"."""
    shard_size: int | None
    """Images in a shard; None for up to 64 MiB decoded."""
    chunk_size: int | None
    """Images in a chunk; None for up to 512 KiB decoded."""
    engine: EngineName
    """Engine that computes the distortions; every engine gives the same pixels."""
    jobs: int | None
    """Worker processes on this machine; None for one per core."""
    backend: BackendName | None
    """Where the shards are made; None for "dask" if `scheduler` is given, else "local"."""
    scheduler: str | Path | None
    """Address of a Dask scheduler, or the path of the JSON file that it writes."""
    patience: float
    """Seconds without a Dask worker after which the run ends."""
    keep_free: int | None
    """Bytes of the disk that stay free; the run ends before it would use them."""
    max_bytes: int | None
    """Bytes that the directory of the sets may occupy; the run ends before it would exceed them."""
    name: str | None
    """Tag of the set."""
    wait: bool
    """Wait if another run writes the set."""
    status: str | Path | None
    """File for the state of the run, for other programs."""
    sets: str | Path
    """Directory of the sets, or its URL in an object store; the default is "sets"."""


class RefreshKeywords(TypedDict, total=False):
    """Everything that `augment refresh` takes besides the set and the number of epochs."""

    codec: Literal["zstd", "lz4", "gzip", "none"] | None
    """Compression of new shards; None for that of the set."""
    shard_size: int | None
    """Images in a shard; None for up to 64 MiB decoded."""
    chunk_size: int | None
    """Images in a chunk; None for up to 512 KiB decoded."""
    engine: EngineName
    """Engine that computes the distortions; every engine gives the same pixels."""
    jobs: int | None
    """Worker processes on this machine; None for one per core."""
    backend: BackendName | None
    """Where the shards are made; None for "dask" if `scheduler` is given, else "local"."""
    scheduler: str | Path | None
    """Address of a Dask scheduler, or the path of the JSON file that it writes."""
    patience: float
    """Seconds without a Dask worker after which the refresh ends."""
    keep_free: int | None
    """Bytes of the disk that stay free; the refresh ends before it would use them."""
    max_bytes: int | None
    """Bytes that the directory of the sets may occupy; the refresh ends before it would exceed them."""
    status: str | Path | None
    """File for the state of the refresh, for other programs."""
    wait: bool
    """Wait if another run writes the set."""
    trust: bool
    """Execute the code that the set's recipe names."""


@dataclass(frozen=True)
class GenerationArguments:
    """The arguments of `plan` and `generate`, checked."""

    source: str
    recipe: Recipe
    seed: int
    held_out: HeldOut
    per_class: PerClass | None
    imports: ImportOptions
    options: GenerationOptions
    sets: Path
    name: str | None = None

    def spec(self, file: SourceFile) -> SetSpec:
        """Return the spec of the set that is made from the source file `file`."""
        use_source_splits = self.imports.source.split == "source"
        return SetSpec(file, self.recipe, self.seed, self.held_out, self.per_class, use_source_splits)


def generation_arguments(
    source: str | Path, recipe: str | Path | Recipe, epochs: int, keywords: Mapping[str, Any]
) -> GenerationArguments:
    """Return the checked arguments of `plan` and `generate`, with defaults for those that are not given."""
    check_numbers(epochs=epochs)
    _check_keywords(keywords, GenerationKeywords)
    named = {field.name for field in fields(GenerationOptions)} & keywords.keys()
    per_class = keywords.get("per_class")
    return GenerationArguments(
        source=str(source),
        recipe=load_any_recipe(recipe),
        seed=keywords.get("seed", 0),
        held_out=HeldOut(keywords.get("validation", HeldOut.validation), keywords.get("test", HeldOut.test)),
        per_class=PerClass(*per_class) if per_class else None,
        imports=import_options({name: keywords[name] for name in keywords if name in ImportKeywords.__annotations__}),
        options=GenerationOptions(
            **{name: keywords[name] for name in named}
            | {"epochs": epochs, "jobs": keywords.get("jobs") or core_count(), "backend": _backend(keywords)}
        ),
        sets=Path(keywords.get("sets", DEFAULT_SETS)),
        name=keywords.get("name"),
    )


def refresh_options(epochs: int, keywords: Mapping[str, Any]) -> GenerationOptions:
    """Return the checked arguments of `refresh`; `epochs` is the number of new epochs."""
    check_numbers(epochs=epochs)
    _check_keywords(keywords, RefreshKeywords)
    named = {field.name for field in fields(GenerationOptions)} & keywords.keys()
    return GenerationOptions(
        **{name: keywords[name] for name in named}
        | {"epochs": epochs, "jobs": keywords.get("jobs") or core_count(), "backend": _backend(keywords)}
    )


def _backend(keywords: Mapping[str, Any]) -> Backend:
    return backend_from(keywords.get("backend"), keywords.get("scheduler"), keywords.get("patience", PATIENCE))


def import_options(keywords: Mapping[str, Any]) -> ImportOptions:
    """Return checked keywords as the options of an import."""
    _check_keywords(keywords, ImportKeywords)
    own = {name: _spelled(value) for name, value in keywords.items() if name not in SourceKeywords.__annotations__}
    named = {name: value for name, value in keywords.items() if name in SourceKeywords.__annotations__}
    return ImportOptions(**own, source=source_options(named))


def source_options(keywords: Mapping[str, Any]) -> SourceOptions:
    """Return checked keywords as the options of a source."""
    _check_keywords(keywords, SourceKeywords)
    return SourceOptions(**keywords)


def _check_keywords(keywords: Mapping[str, Any], allowed: Any) -> None:
    """Raise `TypeError` for an unknown keyword, as Python does, and `EpochbankError` for an invalid value."""
    hints = allowed.__annotations__
    for name, value in keywords.items():
        if name not in hints:
            raise TypeError(
                f"unexpected keyword argument {name!r}; expected {', '.join(sorted(hints))}.{did_you_mean(name, hints)}"
            )
        choices = _choices(hints[name])
        if choices and value not in choices and _spelled(value) not in choices:
            raise _invalid(name, value, " or ".join(map(repr, choices)), [one for one in choices if one])
        types = get_args(hints[name]) or (hints[name],)
        if not choices and _PLAIN.keys() >= set(types) and not any(_is_a(value, one) for one in types):
            raise _invalid(name, value, " or ".join(_PLAIN[one] for one in types))
        if name == "size" and value is not None and not _is_size(value):
            raise _invalid(name, value, f"(H, W) in pixels, each from 1 to {_LARGEST_SIDE}")
        if name == "per_class" and value is not None and not _is_pair(value):
            raise _invalid(name, value, "(least, most), two ints such as (100, 1000)")
    check_numbers(**{name: value for name, value in keywords.items() if name in _LEAST})


def check_numbers(**numbers: Any) -> None:
    """Raise `EpochbankError` unless each is an int of at least `_LEAST`, or None where that is a default."""
    for name, number in numbers.items():
        default = number is None and name not in ("epochs", "seed")
        if not default and not (_is_whole(number) and number >= _LEAST[name]):
            raise _invalid(name, number, f"an int of at least {_LEAST[name]}")


_PLAIN = {str: "a str", float: "a number", Path: "a Path", bool: "True or False", NoneType: "None"}
"""The plain types of keywords, and their names in messages."""


def _is_a(value: Any, plain: type) -> bool:
    """Return whether `value` is of a plain type; any real number of Python or NumPy is a float."""
    return isinstance(value, Real) and not isinstance(value, bool) if plain is float else isinstance(value, plain)


def _is_whole(value: Any) -> bool:
    """Whether `value` is an int of Python or NumPy."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_size(value: Any) -> bool:
    return _is_pair(value) and all(1 <= side <= _LARGEST_SIDE for side in value)


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(_is_whole, value))


def _choices(hint: Any) -> tuple[Any, ...]:
    """Return the values that the type of a keyword lists; () if it lists none."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    listed = tuple(value for one in get_args(hint) for value in _choices(one))
    return (*listed, None) if listed and NoneType in get_args(hint) else listed


def _spelled(value: Any) -> Any:
    """Return a value as it is, but `"grey"` as `"gray"`."""
    return american(value) if isinstance(value, str) else value


def _invalid(name: str, value: Any, expected: str, choices: Iterable[str] = ()) -> EpochbankError:
    hint = did_you_mean(value, choices) if isinstance(value, str) else ""
    return EpochbankError(f"{name}={value!r} is invalid; expected {expected}.{hint}", usage=True)


def run_command(
    source: str | Path, recipe: str | Path | Recipe, epochs: int, given: Mapping[str, Any], suggested: Mapping[str, str]
) -> str:
    """Return the `augment run` command for these arguments of `generate`, to be pasted into a shell.

    Options that are not given, or have their defaults, are taken from `suggested`.
    """
    defaults = {
        "recipe": DEFAULT_RECIPE,
        "epochs": GenerationOptions.epochs,
        "seed": 0,
        **asdict(SourceOptions()),
        **asdict(ImportOptions()),
        **asdict(HeldOut()),
        "engine": GenerationOptions.engine,
        "patience": PATIENCE,
        "sets": DEFAULT_SETS,
    }
    recipe = recipe.name if isinstance(recipe, Recipe) else str(recipe)
    values = {"recipe": recipe, "epochs": epochs, **given, "wait": None}
    for name, value in suggested.items():
        if values.get(name, defaults[name]) == defaults[name]:
            values[name] = value
    return shlex.join(["augment", "run", str(source), *option_words(values, defaults)])


def stored_run_command(facts: Mapping[str, Any]) -> str:
    """Return the `augment run` command for a set that exists, from the result of `info`, to be pasted into a shell.

    Options that select images, groups and splits of the source are not stored in a set.
    """
    given = {
        name: value for name, value in facts["split"].items() if name in ("validation", "test") and value != "source"
    }
    given |= {"seed": facts["seed"], "per_class": tuple(facts["per_class"]) if facts["per_class"] else None}
    if facts["source"]["path"].startswith("../"):  # Otherwise SOURCE is a source file, which is imported already.
        preprocessing = facts["source"].get("preprocessing") or {}
        height, width, channels = facts["shape"]
        given |= {"size": (height, width), "color": "gray" if channels == 1 else "rgb"}
        given |= {"invert": "yes" if preprocessing["invert"] else "no"} if "invert" in preprocessing else {}
        given |= {"fit": preprocessing.get("fit", ImportOptions.fit)}
        if preprocessing.get("pad_color"):
            color = preprocessing["pad_color"] * (3 if channels == 1 else 1)
            given["pad_color"] = "#" + "".join(f"{value:02x}" for value in color)
    built_in = facts["recipe"] in built_in_names()
    epochs = max((epoch["epoch"] + 1 for epoch in facts["epochs"]), default=GenerationOptions.epochs)
    recipe = facts["recipe"] if built_in else f"{facts['recipe']}.toml"
    return run_command(facts["source"]["spec"], recipe, epochs, given, {})


def load_any_recipe(recipe: str | Path | Recipe) -> Recipe:
    """Return `recipe`, loaded if it is a name or a path."""
    if isinstance(recipe, Recipe):
        return recipe
    if not isinstance(recipe, str | Path):
        raise _invalid("recipe", recipe, "a name, the path of a TOML file, or a Recipe")
    return load_recipe(recipe)
