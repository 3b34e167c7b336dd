"""Check keyword arguments, and make options of them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Real
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from ..augment.console import american
from ..augment.distortion.recipe import Recipe, load_recipe
from ..augment.generation.options import GenerationOptions
from ..augment.generation.spec import SetSpec
from ..augment.ingest.importer import ImportOptions
from ..augment.ingest.source_file import SourceFile
from ..augment.shared.backend import PATIENCE, Backend, backend_from
from ..augment.shared.closest import did_you_mean
from ..augment.shared.workers import core_count
from ..augment.sources import SourceOptions
from ..augment.split.holdout import HeldOut
from ..augment.store.balance import PerClass
from .keywords import GenerationKeywords, ImportKeywords, RefreshKeywords, SourceKeywords
from .values import DEFAULT_SETS, LEAST, check_numbers, invalid, is_whole

_LARGEST_SIDE = 4096


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
            raise invalid(name, value, " or ".join(map(repr, choices)), [one for one in choices if one])
        types = get_args(hints[name]) or (hints[name],)
        if not choices and _PLAIN.keys() >= set(types) and not any(_is_a(value, one) for one in types):
            raise invalid(name, value, " or ".join(_PLAIN[one] for one in types))
        if name == "size" and value is not None and not _is_size(value):
            raise invalid(name, value, f"(H, W) in pixels, each from 1 to {_LARGEST_SIDE}")
        if name == "per_class" and value is not None and not _is_pair(value):
            raise invalid(name, value, "(least, most), two ints such as (100, 1000)")
    check_numbers(**{name: value for name, value in keywords.items() if name in LEAST})


_PLAIN = {str: "a str", float: "a number", Path: "a Path", bool: "True or False", NoneType: "None"}
"""The plain types of keywords, and their names in messages."""


def _is_a(value: Any, plain: type) -> bool:
    """Return whether `value` is of a plain type; any real number of Python or NumPy is a float."""
    return isinstance(value, Real) and not isinstance(value, bool) if plain is float else isinstance(value, plain)


def _is_size(value: Any) -> bool:
    return _is_pair(value) and all(1 <= side <= _LARGEST_SIDE for side in value)


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(is_whole, value))


def _choices(hint: Any) -> tuple[Any, ...]:
    """Return the values that the type of a keyword lists; () if it lists none."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    listed = tuple(value for one in get_args(hint) for value in _choices(one))
    return (*listed, None) if listed and NoneType in get_args(hint) else listed


def _spelled(value: Any) -> Any:
    """Return a value as it is, but `"grey"` as `"gray"`."""
    return american(value) if isinstance(value, str) else value


def load_any_recipe(recipe: str | Path | Recipe) -> Recipe:
    """Return `recipe`, loaded if it is a name or a path."""
    if isinstance(recipe, Recipe):
        return recipe
    if not isinstance(recipe, str | Path):
        raise invalid("recipe", recipe, "a name, the path of a TOML file, or a Recipe")
    return load_recipe(recipe)
