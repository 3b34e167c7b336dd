"""Final recipes: which cheap distortions training adds to what is stored. `final_augmentation` applies them.

A final recipe has the form of any other recipe, with a few operations only.
"""

from pathlib import Path
from typing import Any

from ...augment.errors import EpochbankError
from ...augment.shared.closest import did_you_mean

OPERATIONS = ("shift", "flip", "erase", "contrast", "noise", "affine")
"""The operations of a final recipe: those with a cheap compiled kernel."""

FinalRecipe = dict[str, Any]
"""A final recipe as plain JSON values: its `name`, and the `stages` of its settings."""

_FOLDER = Path(__file__).parent / "final_recipes"
_KEYS = ("name", "description", "stage", "pixels_at")


def built_in_names() -> list[str]:
    """Return the names of the built-in final recipes, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load_final(name_or_file: str | Path) -> FinalRecipe:
    """Read a final recipe by built-in name or path.

    Raises `EpochbankError`, which names the file, the key and the values that are allowed.
    """
    from ...augment.distortion.recipe import naming, read_document

    names = built_in_names()
    path = _FOLDER / f"{name_or_file}.toml" if str(name_or_file) in names else Path(name_or_file)
    if not path.is_file():
        raise EpochbankError(
            f"final augmentation {str(name_or_file)!r} is neither built in ({', '.join(names)}) nor a file. Give one "
            f"of these names or the path of a TOML file.{did_you_mean(str(name_or_file), names)}",
            usage=True,
        )
    with naming(path):
        return parse_final(read_document(path), path.parent)


def parse_final(document: dict[str, Any], folder: Path = Path()) -> FinalRecipe:
    """Return the final recipe of a parsed TOML document; raise `ValueError`, whose text starts with the invalid key."""
    from ...augment.distortion.recipe import parse_recipe

    for key in document:
        if key not in _KEYS:
            hint = f".{found}" if (found := did_you_mean(key, _KEYS)) else ""
            raise ValueError(f"{key}: unknown key of a final recipe; expected {', '.join(sorted(_KEYS))}{hint}")
    for number, stage in enumerate(_tables(document.get("stage"))):
        for which, operation in enumerate(_tables(stage.get("operation"))):
            if operation.get("op") not in OPERATIONS:
                raise ValueError(
                    f"stage[{number}].operation[{which}].op = {operation.get('op')!r}; expected a cheap operation for "
                    f"final augmentation: {', '.join(OPERATIONS)}. Put others into the recipe of the set"
                )
            if operation.get("resample") == "bicubic":
                raise ValueError(
                    f"stage[{number}].operation[{which}].resample = 'bicubic'; expected nearest or bilinear in final "
                    "augmentation"
                )
    recipe = parse_recipe({**document, "label_check": False}, folder, trust=False)
    return {"name": recipe.name, **recipe.settings()}


def check_final(final: FinalRecipe) -> FinalRecipe:
    """Return `final`; raise `ValueError` if it is not the result of `load_final`."""
    if not isinstance(final, dict) or not isinstance(final.get("name"), str):
        raise ValueError("expected a table with a name and stages")
    stages = [
        {"probability": stage.get("probability"), "operation": stage.get("operations")}
        for stage in _tables(final.get("stages"))
    ]
    if parse_final({"name": final["name"], "stage": stages}) != final:
        raise ValueError("its stages are not those of a final recipe")
    return final


def _tables(value: Any) -> list[dict[str, Any]]:
    """Return the tables in `value`, as far as it is a list of tables; `parse_recipe` reports what is not."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
