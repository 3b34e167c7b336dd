"""A recipe: stages of weighted operations, read from TOML and validated.

An image passes the stages in order. With its probability, a stage applies exactly one of its operations, drawn by
weight.
"""

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..errors import EpochbankError
from ..shared.closest import did_you_mean
from ..shared.renamed import rename_keys, warn_renamed
from ..shared.types import Shape
from .operations import BUILT_IN, AlbumentationsOperation, CustomOperation, Operation
from .operations.base import is_number
from .operations.pixel_ranges import LARGEST_SIDE, SideRule

_BUILT_IN_FOLDER = Path(__file__).parent / "recipes"

_MOST = 100
"""Most stages of a recipe, and most operations of a stage: a crafted set must not take days per image."""

_STORED_OPS = {"color": "colour"}
"""Operations that have an older name in the settings of format 1, and so in fingerprints."""
_OLD_OPS = {old: new for new, old in _STORED_OPS.items()}
_OLD_KEYS = {"safety": "label_check"}


class UntrustedCode(ValueError):
    """A recipe names code that would have to be executed, and the user has not said that it may be."""


@dataclass(frozen=True)
class Choice:
    """One operation of a stage, and its weight."""

    op: str
    """The name of a built-in operation, or `module:function`."""
    operation: Operation
    weight: float = 1.0


@dataclass(frozen=True)
class Stage:
    """With `probability`, one of `choices` is applied."""

    choices: tuple[Choice, ...]
    probability: float = 1.0
    name: str = ""
    """For reports; not part of the fingerprint."""


@dataclass(frozen=True)
class LabelCheck:
    """When a distorted image counts as having lost its label, and is resampled."""

    lost: float = 0.25
    """Largest share of its ink that an image may lose, out of the frame or by erasing; 0 to 1."""
    attempts: int = 8
    """Number of draws, 1 to 100; if all are rejected, the image stays undistorted."""

    def __post_init__(self) -> None:
        if not is_number(self.lost) or not 0 <= self.lost <= 1:
            raise ValueError(f"lost = {self.lost!r}; expected a share from 0 to 1")
        if not isinstance(self.attempts, int) or isinstance(self.attempts, bool) or not 1 <= self.attempts <= 100:
            raise ValueError(f"attempts = {self.attempts!r}; expected a whole number from 1 to 100")
        object.__setattr__(self, "lost", float(self.lost))  # 1 and 1.0 are the same recipe.


@dataclass(frozen=True)
class Recipe:
    """The stages of operations that an image passes; immutable and validated."""

    name: str
    stages: tuple[Stage, ...]
    description: str = ""
    label_check: LabelCheck | None = field(default_factory=LabelCheck)
    """None if no image is checked."""
    sizes: tuple[int, int] = (1, LARGEST_SIDE)
    """Least and largest shorter side, in pixels, of the images that the recipe is meant for; not in the fingerprint."""

    def settings(self) -> dict[str, Any]:
        """Return everything that changes a pixel, as plain JSON values with defaults; the fingerprint covers it.

        The spelling is that of format 1: the label check is called `safety`, the operation `color` is `colour`.
        """
        label_check = {} if self.label_check is None else {"safety": asdict(self.label_check)}
        return {
            **label_check,
            "stages": [
                {
                    "probability": stage.probability,
                    "operations": [
                        {
                            "op": _STORED_OPS.get(choice.op, choice.op),
                            "weight": choice.weight,
                            **choice.operation.settings(),
                        }
                        for choice in stage.choices
                    ],
                }
                for stage in self.stages
            ],
        }


def built_in_names() -> list[str]:
    """Return the names of the built-in recipes, sorted."""
    return sorted(path.stem for path in _BUILT_IN_FOLDER.glob("*.toml"))


def recipe_path(name_or_file: str | Path) -> Path:
    """Return the TOML file of a built-in recipe, or `name_or_file` itself; raise `EpochbankError` if neither exists."""
    if str(name_or_file) in built_in_names():
        return _BUILT_IN_FOLDER / f"{name_or_file}.toml"
    path = Path(name_or_file)
    if path.is_file():
        return path
    raise EpochbankError(
        f"recipe {str(name_or_file)!r} is neither a built-in recipe ({', '.join(built_in_names())}) nor a "
        "file. Give one of these names or the path of a TOML file; `augment recipes` describes the built-in recipes."
        f"{did_you_mean(str(name_or_file), built_in_names())}",
        usage=True,
    )


def load_recipe(name_or_file: str | Path) -> Recipe:
    """Read a recipe by built-in name or path, and import the code that it names: only load recipes that you trust.

    Raises `EpochbankError`, which names the file, the key and the values that are allowed. Warns about old keys.
    """
    path = recipe_path(name_or_file)
    document = read_document(path)
    for old in _OLD_KEYS.keys() & document.keys():
        warn_renamed(f"{path}: `{old}`", f"`{_OLD_KEYS[old]}`")
    with naming(path):
        return parse_recipe(document, path.parent)


def read_document(path: Path) -> dict[str, Any]:
    """Return the parsed TOML file of a recipe, with its name. Raises `EpochbankError` if it is not a TOML file."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EpochbankError(
            f"{path}: not a TOML file: {error}. Fix the file and run the command again.", usage=True
        ) from error
    document.setdefault("name", path.stem)
    return document


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn a `ValueError` about the recipe in file `path` into an `EpochbankError` that names the file."""
    try:
        yield
    except ValueError as error:
        end = "" if str(error).endswith("?") else "."
        raise EpochbankError(f"{path}: {error}{end}", usage=True) from error


def parse_recipe(document: dict[str, Any], folder: Path = Path(), *, trust: bool = True) -> Recipe:
    """Return the recipe of a parsed TOML document; raise `ValueError`, whose text starts with the invalid key.

    Relative paths in the recipe start at `folder`. Without `trust`, code that the recipe names is not imported; this
    raises `UntrustedCode` instead.
    """
    for old, new in _OLD_KEYS.items():
        if {old, new} <= document.keys():
            raise ValueError(f"{old}: given together with {new}, its new name; expected one of them")
    document = rename_keys(document, _OLD_KEYS)
    _check_keys(document, {"name", "description", "stage", "label_check", "sizes", "pixels_at"}, "")
    name = document.get("name", "")
    if not isinstance(name, str) or not name or not all(letter.isalnum() or letter in "-_." for letter in name):
        raise ValueError(f"name = {name!r}; expected letters, digits, '-', '_' and '.'")
    stages = document.get("stage", [])
    if not isinstance(stages, list) or not all(isinstance(stage, dict) for stage in stages):
        raise ValueError("stage: expected [[stage]] tables")
    if not stages:
        raise ValueError("stage: none found; expected at least one [[stage]] table")
    if len(stages) > _MOST:
        raise ValueError(f"stage: {len(stages):,} [[stage]] tables; expected at most {_MOST}")
    pixels_at = SideRule().check("pixels_at", document.get("pixels_at"))
    return Recipe(
        name=name,
        stages=tuple(
            _parse_stage(stage, f"stage[{number}]", folder, pixels_at, trust) for number, stage in enumerate(stages)
        ),
        description=str(document.get("description", "")),
        label_check=_parse_label_check(document.get("label_check", {})),
        sizes=_parse_sizes(document.get("sizes", [1, LARGEST_SIDE])),
    )


def _parse_sizes(value: Any) -> tuple[int, int]:
    if not (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(side, int) and not isinstance(side, bool) for side in value)
        and 1 <= value[0] <= value[1] <= LARGEST_SIDE
    ):
        raise ValueError(f"sizes = {value!r}; expected [least, largest], sides in pixels from 1 to {LARGEST_SIDE}")
    return value[0], value[1]


def _parse_label_check(table: Any) -> LabelCheck | None:
    if table is False:
        return None
    if not isinstance(table, dict):
        raise ValueError(f"label_check = {table!r}; expected a [label_check] table, or false")
    _check_keys(table, {field.name for field in fields(LabelCheck)}, "label_check.")
    try:
        return LabelCheck(**table)
    except ValueError as error:
        raise ValueError(f"label_check.{error}") from error


def check_shape(recipe: Recipe, shape: Shape) -> None:
    """Raise `EpochbankError` if an operation cannot be applied to images of `shape`; `color` needs RGB."""
    for stage in recipe.stages:
        for choice in stage.choices:
            try:
                choice.operation.uniforms(shape)
            except ValueError as error:
                raise EpochbankError(
                    f"recipe {recipe.name}: {error}. Import the source with --color rgb, or choose a recipe for gray "
                    "images.",
                    usage=True,
                ) from error


def recipe_from_settings(name: str, settings: dict[str, Any], *, trust: bool = False) -> Recipe:
    """Return the recipe whose `settings()` these are; its code is imported only with `trust`.

    Raises `UntrustedCode` if it needs code, and `ValueError` if the settings are damaged, or can no longer be
    reproduced because the module of a custom operation changed.
    """
    try:
        document: dict[str, Any] = {"name": name, "stage": [], "label_check": settings.get("safety", False)}
        for stage in settings["stages"]:
            operations = [
                {key: value for key, value in operation.items() if key != "source"} for operation in stage["operations"]
            ]
            document["stage"].append({"probability": stage["probability"], "operation": operations})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"its settings are damaged ({type(error).__name__}: {error})") from error
    recipe = parse_recipe(document, trust=trust)
    if recipe.settings() != settings:
        custom = {choice.op for stage in recipe.stages for choice in stage.choices if ":" in choice.op}
        what = f"the source of {' or '.join(sorted(custom))}" if custom else f"the meaning of recipe {name}"
        raise ValueError(f"{what} has changed since the settings were stored")
    return recipe


@dataclass(frozen=True)
class RecipeNames:
    """The names in a recipe for messages and reports, which its settings do not contain."""

    stages: tuple[str, ...] = ()
    """Names of the stages."""
    pipelines: tuple[str, ...] = ()
    """File of each Albumentations pipeline; '' for one without a file."""


def names_in(recipe: Recipe) -> RecipeNames:
    """Return the names in a recipe."""
    return RecipeNames(
        tuple(stage.name for stage in recipe.stages), tuple(operation.file for operation in _pipelines(recipe))
    )


def with_names(recipe: Recipe, names: RecipeNames) -> Recipe:
    """Return `recipe`, which was restored from settings, with the names of the original recipe."""
    stages = zip(recipe.stages, names.stages, strict=True)
    named = replace(recipe, stages=tuple(replace(stage, name=name) for stage, name in stages))
    for operation, file in zip(_pipelines(named), names.pipelines, strict=True):
        object.__setattr__(operation, "file", file)  # `replace` would read the file again.
    return named


def _pipelines(recipe: Recipe) -> Iterator[AlbumentationsOperation]:
    operations = (choice.operation for stage in recipe.stages for choice in stage.choices)
    return (one for one in operations if isinstance(one, AlbumentationsOperation))


def _parse_stage(table: dict[str, Any], where: str, folder: Path, pixels_at: int | None, trust: bool) -> Stage:
    _check_keys(table, {"name", "probability", "operation"}, f"{where}.")
    probability = table.get("probability", 1.0)
    if not is_number(probability) or not 0 <= probability <= 1:
        raise ValueError(f"{where}.probability = {probability!r}; expected a number from 0 to 1")
    operations = table.get("operation", [])
    if not isinstance(operations, list) or not operations or not all(isinstance(item, dict) for item in operations):
        raise ValueError(f'{where}.operation: expected a list of tables such as {{ op = "blur" }}')
    if len(operations) > _MOST:
        raise ValueError(f"{where}.operation: {len(operations):,} operations; expected at most {_MOST}")
    choices = tuple(
        _parse_choice(item, f"{where}.operation[{number}]", folder, pixels_at, trust)
        for number, item in enumerate(operations)
    )
    if sum(choice.weight for choice in choices) <= 0:
        raise ValueError(f"{where}.operation: every weight is 0; expected one above 0")
    return Stage(choices, float(probability), str(table.get("name", "")))


def _parse_choice(table: dict[str, Any], where: str, folder: Path, pixels_at: int | None, trust: bool) -> Choice:
    op, weight = table.get("op"), table.get("weight", 1.0)
    op = _OLD_OPS.get(op, op) if isinstance(op, str) else op
    if not is_number(weight) or weight < 0:
        raise ValueError(f"{where}.weight = {weight!r}; expected a number of 0 or more")
    settings = {key: value for key, value in table.items() if key not in ("op", "weight")}
    if not trust and isinstance(op, str) and (":" in op or op == AlbumentationsOperation.name):
        raise UntrustedCode("an Albumentations pipeline" if op == AlbumentationsOperation.name else repr(op))
    try:
        if isinstance(op, str) and ":" in op:
            _check_keys(settings, set(), "")
            return Choice(op, CustomOperation(path=op), float(weight))
        if not isinstance(op, str) or op not in BUILT_IN:
            allowed = ", ".join(BUILT_IN)
            hint = f".{found}" if isinstance(op, str) and (found := did_you_mean(op, BUILT_IN)) else ""
            raise ValueError(f"op = {op!r} is unknown; expected one of {allowed}, or module:function{hint}")
        kind = BUILT_IN[op]
        _check_keys(settings, {field.name for field in fields(kind)}, "")
        if pixels_at is not None and any(field.name == "pixels_at" for field in fields(kind)):
            settings.setdefault("pixels_at", pixels_at)
        if isinstance(settings.get("file"), str):
            settings["file"] = str(folder / settings["file"])
        return Choice(op, kind(**settings), float(weight))
    except ValueError as error:
        raise ValueError(f"{where}.{error}") from error


def _check_keys(table: dict[str, Any], allowed: set[str], where: str) -> None:
    for key in table:
        if key not in allowed:
            hint = f".{found}" if (found := did_you_mean(key, allowed)) else ""
            raise ValueError(f"{where}{key}: unknown key; expected {', '.join(sorted(allowed)) or 'no key'}{hint}")
