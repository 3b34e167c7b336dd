"""Final augmentation: cheap distortions while training, of the images that are stored.

A final recipe has the form of any other recipe, with a few operations only. The distortion of an image is a pure
function of the seed, the pass over the split or stored epoch that shows the image, and its place in the order of that
pass. It does not depend on the batch size, the number of threads, or the number of ranks.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...augment.errors import EpochbankError
from ...augment.shared.closest import did_you_mean
from ...augment.shared.types import Shape
from .batches import PassKey

if TYPE_CHECKING:
    from ...augment.distortion.draw import StageDraw

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


class FinalAugmentation:
    """Applies a final recipe. Thread-safe and picklable."""

    def __init__(self, final: FinalRecipe, shape: Shape, seed: int):
        """Apply `final` to images of `shape` (H, W, C), with parameters drawn from `seed`.

        Raises `EpochbankError` if an operation cannot be applied to images of that shape.
        """
        self.final, self.shape, self.seed = final, shape, seed
        self._prepare()

    def _prepare(self) -> None:
        from ...augment.distortion.choose_engine import choose_engine
        from ...augment.distortion.recipe import check_shape, recipe_from_settings

        settings = {key: value for key, value in self.final.items() if key != "name"}
        self._recipe = recipe_from_settings(self.final["name"], settings)
        check_shape(self._recipe, self.shape)
        self._engine = choose_engine("auto", self._recipe, self.shape)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if not key.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def draw(self, key: PassKey, start: int, places: np.ndarray) -> "FinalDraw":
        """Draw the distortions of n images of a pass, from image `start` on.

        `places` is a permutation, int64 (n,): the order in which the images are decoded.
        """
        from ...augment.distortion.draw import draw

        split, stored, pass_number, view = key
        stream = f"final/{self.seed}/{view}/{split}/{stored}"
        drawn = draw(self._recipe, self.shape, stream, pass_number, start, start + len(places))
        return FinalDraw(tuple(_in_order(stage, places) for stage in drawn.stages))

    def distort(
        self, images: np.ndarray, drawn: "FinalDraw", start: int, memory: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        """Distort `images` (uint8 (m, H, W, C)), which are decoded as number `start` and following.

        `memory` are two arrays like `images`, which are overwritten; the first of them is returned.
        """
        from ...augment.distortion.distort import distort
        from ...augment.distortion.draw import Draw

        part = Draw(tuple(stage.part(start, start + len(images)) for stage in drawn.stages))
        return distort(images, self._recipe, part, self._engine, memory=memory)


class FinalDraw(NamedTuple):
    """The distortions of a run of images of a pass, in the order in which they are decoded."""

    stages: tuple["_Stage", ...]


class _Stage(NamedTuple):
    """What one stage does to n images."""

    choice: np.ndarray
    """int64 (n,): index of the operation that is applied, -1 if the stage is skipped."""
    members: list[np.ndarray]
    """For each operation, the images that it is applied to, ascending."""
    parameters: list[dict[str, np.ndarray]]
    """For each operation, the parameters of these images."""

    def part(self, start: int, stop: int) -> "StageDraw":
        """Return the draw of images `start` to `stop` - 1."""
        from ...augment.distortion.draw import StageDraw

        parameters = []
        for members, columns in zip(self.members, self.parameters, strict=True):
            first, last = np.searchsorted(members, (start, stop)).tolist()
            parameters.append({name: column[first:last] for name, column in columns.items()})
        return StageDraw(self.choice[start:stop], tuple(parameters))


def _in_order(stage: "StageDraw", places: np.ndarray) -> _Stage:
    """Return a stage whose images are in the order of `places`."""
    choice, row = stage.choice[places], np.zeros(len(places), np.int64)
    members, parameters = [], []
    for number, columns in enumerate(stage.parameters):
        drawn = np.flatnonzero(stage.choice == number)
        row[drawn] = np.arange(len(drawn))
        members.append(np.flatnonzero(choice == number))
        rows = row[places[members[-1]]]
        parameters.append({name: column[rows] for name, column in columns.items()})
    return _Stage(choice, members, parameters)
