"""A recipe: stages, each one of several operations with weights; read from TOML and validated.

A picture passes the stages in order. A stage applies, with its probability, exactly one of its
operations, drawn by weight.
"""

import tomllib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..errors import EpochbankError
from .operations import BUILT_IN, Operation, OwnOperation
from .operations.base import Shape, is_number

_BUILT_IN_FOLDER = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Choice:
    """One operation of a stage, with its weight beside the others."""

    op: str
    """A built-in operation's name, or `module:function`."""
    operation: Operation
    weight: float = 1.0


@dataclass(frozen=True)
class Stage:
    """One of `choices` is applied, with `probability`."""

    choices: tuple[Choice, ...]
    probability: float = 1.0
    name: str = ""
    """For people; not part of the fingerprint."""


@dataclass(frozen=True)
class Safety:
    """When a distorted picture has lost its label, and is drawn again."""

    lost: float = 0.25
    """Largest share of its ink that a picture may lose over the edge or by erasing, 0 to 1."""
    attempts: int = 8
    """Draws, 1 to 100; where none is safe the picture stays undistorted."""

    def __post_init__(self) -> None:
        if not is_number(self.lost) or not 0 <= self.lost <= 1:
            raise ValueError(f"lost = {self.lost!r}; expected a share from 0 to 1")
        if not isinstance(self.attempts, int) or isinstance(self.attempts, bool) or not 1 <= self.attempts <= 100:
            raise ValueError(f"attempts = {self.attempts!r}; expected a whole number from 1 to 100")
        object.__setattr__(self, "lost", float(self.lost))  # 1 and 1.0 are the same recipe.


@dataclass(frozen=True)
class Recipe:
    """What is done to a picture: frozen, validated, and the same after a trip through JSON."""

    name: str
    stages: tuple[Stage, ...]
    description: str = ""
    safety: Safety | None = field(default_factory=Safety)
    """None where every picture is taken as it comes out."""

    def settings(self) -> dict[str, Any]:
        """What changes a pixel, as plain JSON values, defaults included; the part that is fingerprinted."""
        safety = {} if self.safety is None else {"safety": asdict(self.safety)}
        return {
            **safety,
            "stages": [
                {
                    "probability": stage.probability,
                    "operations": [
                        {"op": choice.op, "weight": choice.weight, **choice.operation.settings()}
                        for choice in stage.choices
                    ],
                }
                for stage in self.stages
            ],
        }


def built_in_names() -> list[str]:
    """Names of the built-in recipes, sorted."""
    return sorted(path.stem for path in _BUILT_IN_FOLDER.glob("*.toml"))


def recipe_path(name_or_file: str | Path) -> Path:
    """The TOML file of a built-in recipe or of the user's own; `EpochbankError` where there is none."""
    if str(name_or_file) in built_in_names():
        return _BUILT_IN_FOLDER / f"{name_or_file}.toml"
    path = Path(name_or_file)
    if path.is_file():
        return path
    raise EpochbankError(
        f"recipe {str(name_or_file)!r} is neither a built-in one ({', '.join(built_in_names())}) nor a file. "
        "Name one of these, or give the path of a TOML file; `augment recipes` shows the built-in ones.",
        words=True,
    )


def load_recipe(name_or_file: str | Path) -> Recipe:
    """Read a recipe by built-in name or path; `EpochbankError` names the file, the key and what is allowed."""
    path = recipe_path(name_or_file)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EpochbankError(f"{path}: not a TOML file: {error}. Mend the file.", words=True) from error
    document.setdefault("name", path.stem)
    try:
        return parse_recipe(document, path.parent)
    except ValueError as error:
        raise EpochbankError(f"{path}: {error}.", words=True) from error


def parse_recipe(document: dict[str, Any], folder: Path = Path()) -> Recipe:
    """A recipe from a parsed TOML document; `ValueError` starts with the key that is wrong.

    A relative path of a file that the recipe names starts at `folder`.
    """
    _check_keys(document, {"name", "description", "stage", "safety"}, "")
    name = document.get("name", "")
    if not isinstance(name, str) or not name or not all(letter.isalnum() or letter in "-_." for letter in name):
        raise ValueError(f"name = {name!r}; expected letters, digits, '-', '_' and '.'")
    stages = document.get("stage", [])
    if not isinstance(stages, list) or not all(isinstance(stage, dict) for stage in stages):
        raise ValueError("stage: expected [[stage]] tables")
    if not stages:
        raise ValueError("stage: none found; expected at least one [[stage]] table")
    return Recipe(
        name=name,
        stages=tuple(_parse_stage(stage, f"stage[{number}]", folder) for number, stage in enumerate(stages)),
        description=str(document.get("description", "")),
        safety=_parse_safety(document.get("safety", {})),
    )


def _parse_safety(table: Any) -> Safety | None:
    if table is False:
        return None
    if not isinstance(table, dict):
        raise ValueError(f"safety = {table!r}; expected a [safety] table, or false")
    _check_keys(table, {field.name for field in fields(Safety)}, "safety.")
    try:
        return Safety(**table)
    except ValueError as error:
        raise ValueError(f"safety.{error}") from error


def check_shape(recipe: Recipe, shape: Shape) -> None:
    """`EpochbankError` where an operation cannot be applied to pictures of `shape`, as colour not to grey ones."""
    for stage in recipe.stages:
        for choice in stage.choices:
            try:
                choice.operation.uniforms(shape)
            except ValueError as error:
                raise EpochbankError(
                    f"recipe {recipe.name}: {error}. Import the source with --colour rgb, or choose another recipe.",
                    words=True,
                ) from error


def recipe_from_settings(name: str, settings: dict[str, Any]) -> Recipe:
    """The recipe whose `settings()` these are.

    `ValueError` where an own operation's module has changed since: the same settings cannot be had.
    """
    document: dict[str, Any] = {"name": name, "stage": [], "safety": settings.get("safety", False)}
    for stage in settings["stages"]:
        operations = [
            {key: value for key, value in operation.items() if key != "source"} for operation in stage["operations"]
        ]
        document["stage"].append({"probability": stage["probability"], "operation": operations})
    recipe = parse_recipe(document)
    if recipe.settings() != settings:
        own = {choice.op for stage in recipe.stages for choice in stage.choices if ":" in choice.op}
        what = f"the source of {' or '.join(sorted(own))}" if own else f"the meaning of recipe {name}"
        raise ValueError(f"{what} is no longer what it was")
    return recipe


def _parse_stage(table: dict[str, Any], where: str, folder: Path) -> Stage:
    _check_keys(table, {"name", "probability", "operation"}, f"{where}.")
    probability = table.get("probability", 1.0)
    if not is_number(probability) or not 0 <= probability <= 1:
        raise ValueError(f"{where}.probability = {probability!r}; expected a number from 0 to 1")
    operations = table.get("operation", [])
    if not isinstance(operations, list) or not operations or not all(isinstance(item, dict) for item in operations):
        raise ValueError(f'{where}.operation: expected a list of tables such as {{ op = "blur" }}')
    choices = tuple(
        _parse_choice(item, f"{where}.operation[{number}]", folder) for number, item in enumerate(operations)
    )
    if sum(choice.weight for choice in choices) <= 0:
        raise ValueError(f"{where}.operation: every weight is 0; expected one above 0")
    return Stage(choices, float(probability), str(table.get("name", "")))


def _parse_choice(table: dict[str, Any], where: str, folder: Path) -> Choice:
    op, weight = table.get("op"), table.get("weight", 1.0)
    if not is_number(weight) or weight < 0:
        raise ValueError(f"{where}.weight = {weight!r}; expected a number of 0 or more")
    settings = {key: value for key, value in table.items() if key not in ("op", "weight")}
    try:
        if isinstance(op, str) and ":" in op:
            _check_keys(settings, set(), "")
            return Choice(op, OwnOperation(path=op), float(weight))
        if not isinstance(op, str) or op not in BUILT_IN:
            allowed = ", ".join(BUILT_IN)
            raise ValueError(f"op = {op!r} is unknown; expected one of {allowed}, or module:function")
        kind = BUILT_IN[op]
        _check_keys(settings, {field.name for field in fields(kind)}, "")
        if isinstance(settings.get("file"), str):
            settings["file"] = str(folder / settings["file"])
        return Choice(op, kind(**settings), float(weight))
    except ValueError as error:
        raise ValueError(f"{where}.{error}") from error


def _check_keys(table: dict[str, Any], allowed: set[str], where: str) -> None:
    for key in table:
        if key not in allowed:
            raise ValueError(f"{where}{key}: unknown key; expected {', '.join(sorted(allowed)) or 'none here'}")
