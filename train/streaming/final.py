"""Final augmentation: cheap distortions while training, of the images that are stored.

A final recipe has the form of any other recipe, with a few operations only. What an image gets is a pure function of
the seed, the pass over the split or stored epoch that shows it, and its place in the order of that pass: not of the
batch size, the number of threads, or the number of ranks.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...augment.errors import EpochbankError
from ...augment.shared.closest import did_you_mean
from ...augment.shared.types import Shape
from .batches import Segment

if TYPE_CHECKING:
    from ...augment.distortion.draw import Draw

OPERATIONS = ("shift", "flip", "erase", "contrast", "noise", "affine")
"""The operations of a final recipe: those that cost no more than a few microseconds per image of 64 x 64."""

FinalRecipe = dict[str, Any]
"""A final recipe as plain JSON values: its `name`, and the `stages` of its settings."""

Allocate = Callable[[tuple[int, ...]], np.ndarray]
"""Returns a uint8 array of a shape, with arbitrary contents."""

_BLOCK = 1024
"""Images whose distortions are drawn together, because a draw costs as much for one image as for a hundred."""
_BLOCKS = 16
"""Draws that are kept: those of the current windows of a stored epoch and of the originals, in several views."""
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
    """Applies a final recipe to batches. Thread-safe and picklable."""

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
        self._draws = lru_cache(maxsize=_BLOCKS)(self._draw)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if not key.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def __call__(
        self, images: np.ndarray, segments: list[Segment], view: int, out: np.ndarray, spare: np.ndarray
    ) -> None:
        """Distort `images` (uint8 (B, H, W, C)), which are those of `segments` in order, into `out`.

        Each `view` is another draw. `out` and `spare` are contiguous arrays like `images`; `spare` is overwritten.
        """
        from ...augment.distortion.distort import distort

        at = 0
        for segment in segments:
            key, start = (view, *segment.key), segment.start
            while start < segment.stop:
                block = start // _BLOCK
                stop = min(segment.stop, (block + 1) * _BLOCK)
                part = slice(at, at + stop - start)
                drawn = _part(self._draws(key, block), start - block * _BLOCK, stop - block * _BLOCK)
                distort(images[part], self._recipe, drawn, self._engine, memory=(out[part], spare[part]))
                at, start = part.stop, stop

    def _draw(self, key: tuple[int, str, int, int], block: int) -> "Draw":
        """Draw the distortions of a block of a pass; `key` is the view and the pass."""
        from ...augment.distortion.draw import draw

        view, split, stored, pass_number = key
        stream = f"final/{self.seed}/{view}/{split}/{stored}"
        return draw(self._recipe, self.shape, stream, pass_number, block * _BLOCK, (block + 1) * _BLOCK)


def _part(drawn: "Draw", start: int, stop: int) -> "Draw":
    """Return the draw of images `start` to `stop` - 1 of those that are drawn."""
    from ...augment.distortion.draw import Draw, StageDraw

    stages = []
    for stage in drawn.stages:
        choice, parameters = stage.choice[start:stop], []
        for number, columns in enumerate(stage.parameters):
            first = np.count_nonzero(stage.choice[:start] == number)
            last = first + np.count_nonzero(choice == number)
            parameters.append({name: column[first:last] for name, column in columns.items()})
        stages.append(StageDraw(choice, tuple(parameters)))
    return Draw(tuple(stages))
