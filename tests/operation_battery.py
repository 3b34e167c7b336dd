"""Helpers for the tests of operations: recipes of one operation, settings of every operation, and comparisons."""

import itertools
import json
from dataclasses import fields
from typing import Any

import numpy as np
from PIL import Image

from conftest import images_of
from epochbank.augment.distortion.choose_engine import engine_named
from epochbank.augment.distortion.distort import distort
from epochbank.augment.distortion.draw import draw
from epochbank.augment.distortion.engine import PILLOW, Engine
from epochbank.augment.distortion.operations import BUILT_IN, Operation, Parameters
from epochbank.augment.distortion.operations.base import Bounds, OneOf
from epochbank.augment.distortion.operations.projective import FILTERS
from epochbank.augment.distortion.recipe import Recipe, parse_recipe

Shape = tuple[int, int, int]
Table = dict[str, Any]

REQUIRED: dict[str, Table] = {
    "albumentations": {
        "pipeline": {
            "transform": {
                "__class_fullname__": "Compose",
                "transforms": [
                    {"__class_fullname__": "HorizontalFlip", "p": 0.5},
                    {"__class_fullname__": "GaussNoise", "p": 0.8},
                ],
            }
        }
    }
}
"""Settings of operations that have no default for them."""

OTHER: dict[str, Table] = {
    "rotate by right angles": {"op": "rotate", "degrees": [90, 90]},
    "affine in integers": {"op": "affine", "degrees": [-180, 180], "scale": [0.5, 2], "shift_x": [-1, 1]},
    "contrast with another pivot": {"op": "contrast", "gamma": [0.2, 5], "contrast": [0, 4], "pivot": 0.25},
    "erase with gray": {"op": "erase", "boxes": [0, 5], "width": [0, 1], "height": [0, 1], "fill": 77},
    "crop of one aspect": {"op": "crop", "area": [0.3, 0.5], "aspect": [1, 1]},
    "blur, small and large": {"op": "blur", "radius": [0, 6]},
    "elastic, short waves": {"op": "elastic", "alpha": [0, 400], "sigma": [0, 12]},
}
"""Further settings, beyond the defaults and the widest ranges, that reach another part of an operation's code."""

FILLED: dict[str, Table] = {
    f"{op}, filled with {fill} {far | more}": {"op": op, "fill": fill, **far, **more}
    for op, far, more in (
        ("rotate", {"degrees": [-180, 180]}, {}),
        ("rotate", {"degrees": [90, 90]}, {}),
        ("shear", {}, {}),
        ("shear", {"x": [-10, 10], "y": [-10, 10]}, {}),
        ("shift", {}, {}),
        ("shift", {"x": [-1, 1], "y": [-1, 1]}, {}),
        ("scale", {}, {}),
        ("scale", {"width": [0, 1], "height": [0, 1]}, {}),
        *(("affine", {}, {"resample": resample}) for resample in ("nearest", "bicubic")),
        ("affine", {"degrees": [-180, 180], "scale": [0.1, 2], "shift_x": [-1, 1]}, {}),
        ("affine", {"degrees": [-180, 180], "scale": [0.1, 2], "aspect": [0.5, 2]}, {"resample": "bicubic"}),
        *(("perspective", {"shift": [-0.15, 0.15]}, {"resample": resample}) for resample in FILTERS),
        ("elastic", {}, {}),
        ("elastic", {"alpha": [0, 4000], "sigma": [0, 12]}, {}),
    )
    for fill in ("edge", "reflect", 200)
}
"""Settings of every operation that fills areas from outside the image, other than with black."""


def rules_of(operation: type[Operation]) -> tuple[dict[str, Bounds], dict[str, tuple[Any, ...]]]:
    """Return the bounds of an operation's ranges, and the values of its other checked fields, by field."""
    bounds: dict[str, Bounds] = {}
    values: dict[str, tuple[Any, ...]] = {}
    for field in fields(operation):
        if field.type is bool:
            values[field.name] = (False, True)
        for rule in getattr(field.type, "__metadata__", ()):
            if isinstance(rule, Bounds):
                bounds[field.name] = rule
            if isinstance(rule, OneOf):
                values[field.name] = rule.names
    return bounds, values


def variants() -> dict[str, Table]:
    """Return settings of every built-in operation: its default and its widest ranges, with every flag and choice."""
    tables: dict[str, Table] = {}
    for name, operation in BUILT_IN.items():
        bounds, values = rules_of(operation)
        widest = {field: [rule.lowest, rule.highest] for field, rule in bounds.items()}
        for ranges in [{}, widest] if widest else [{}]:
            for chosen in itertools.product(*values.values()):
                if name == "flip" and not any(chosen):
                    continue  # Refused: it would do nothing.
                given = dict(zip(values, chosen, strict=True))
                title = ", ".join([name, *(["widest"] if ranges else []), *(f"{k}={v}" for k, v in given.items())])
                tables[title] = {"op": name, **REQUIRED.get(name, {}), **ranges, **given}
    return tables | OTHER


def recipe_of(*stages: Table | list[Table], **top: Any) -> Recipe:
    """Return a recipe; each stage is one operation, a list of operations, or a whole `[[stage]]` table."""
    tables = [
        stage if "operation" in stage else {"operation": stage if isinstance(stage, list) else [stage]}
        for stage in stages
    ]
    return parse_recipe({"name": "test", "stage": tables, **top})


def operation_of(keys: Table) -> Operation:
    return recipe_of(keys).stages[0].choices[0].operation


def accepts(operation: Operation, shape: Shape) -> bool:
    """Return whether the operation takes images of `shape`."""
    try:
        operation.uniforms(shape)
    except ValueError:
        return False
    return True


def parameters_of(keys: Table, shape: Shape, count: int, fingerprint: str = "f") -> Parameters:
    return draw(recipe_of(keys), shape, fingerprint, 0, 0, count).stages[0].parameters[0]


def distorted(images: np.ndarray, *stages: Table | list[Table], engine: Engine = PILLOW, **more: Any) -> np.ndarray:
    """Return `images` (n, H, W, C) distorted by a recipe of `stages`."""
    recipe = recipe_of(*stages)
    return distort(images, recipe, draw(recipe, images.shape[1:], "f", 0, 0, len(images)), engine, **more)


def to_pillow(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def from_pillow(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def through_json(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return parameters as a reader of `augment explain --json` gets them."""
    return json.loads(json.dumps({name: np.asarray(value).tolist() for name, value in parameters.items()}))


def splitmix(number: int) -> int:
    """The finalizer of SplitMix64, in Python's integers."""
    number = (number + 0x9E3779B97F4A7C15) % 2**64
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    number = (number ^ number >> 27) * 0x94D049BB133111EB % 2**64
    return number ^ number >> 31


def assert_same(result: np.ndarray, expected: np.ndarray) -> None:
    assert result.dtype == np.uint8
    assert result.shape == expected.shape
    differing = np.flatnonzero((result != expected).reshape(len(result), -1).any(axis=1))
    assert not len(differing), f"{len(differing)} of {len(result)} images differ, the first is {differing[0]}"


def assert_engines_agree(keys: Table, shape: Shape, seed: int, count: int = 15) -> None:
    """The engines compute the same pixels and ink of every second image, and change neither source nor neighbors."""
    operation, compiled = operation_of(keys), engine_named("compiled")
    if not accepts(operation, shape):
        return
    source, members = images_of(shape, count, seed), np.arange(0, count, 2)
    parameters = parameters_of(keys, shape, len(members), str(seed))
    before, target = source.copy(), np.full_like(source, 77)
    compiled.apply(operation, source, target, members, parameters)
    assert_same(target[members], operation.apply_many(source[members], parameters))
    assert (target[1::2] == 77).all()
    ink, expected = (engine.ink(operation, source, members, parameters) for engine in (compiled, PILLOW))
    if operation.takes_ink:
        assert ink is not None
        assert np.array_equal(ink, expected)
        kept, total = ink.T
        assert np.array_equal(total, source[members].sum((1, 2, 3), np.int64))
        assert ((kept >= 0) & (kept <= total)).all()
    else:
        assert ink is expected is None
    assert np.array_equal(source, before)
