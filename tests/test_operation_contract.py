"""The contract of an operation, for every built-in operation; a new one is covered as soon as it is in `BUILT_IN`."""

import hashlib
import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import SHAPES, images_of
from epochbank.augment.distortion.choose_engine import engine_named
from epochbank.augment.distortion.compiled import KERNELS
from epochbank.augment.distortion.draw import Applied
from epochbank.augment.distortion.engine import PILLOW
from epochbank.augment.distortion.operations import BUILT_IN
from epochbank.augment.distortion.operations.base import by_image
from epochbank.augment.distortion.recipe import recipe_from_settings
from epochbank.augment.views.explain import stage_facts, stage_text
from operation_battery import (
    FILLED,
    REQUIRED,
    Shape,
    Table,
    accepts,
    assert_engines_agree,
    distorted,
    from_pillow,
    operation_of,
    parameters_of,
    recipe_of,
    rules_of,
    to_pillow,
    variants,
)

VARIANTS = variants() | FILLED
FEW_SHAPES = [(20, 31, 3), (17, 6, 1), (1, 1, 3)]

IDENTITY: list[Table] = [
    {"op": "rotate", "degrees": [0, 0]},
    {"op": "shear", "x": [0, 0], "y": [0, 0]},
    {"op": "scale", "width": [1, 1], "height": [1, 1]},
    {"op": "sine", "strength": [0, 0]},
    {"op": "sine", "strength": [0, 0], "per_column": True},
    {"op": "blur", "radius": [0, 0]},
    {"op": "elastic", "alpha": [0, 0], "sigma": [0, 20]},
    {"op": "stroke", "strength": [0, 0]},
    {"op": "erase", "boxes": [0, 0]},
    {"op": "shift", "x": [0, 0], "y": [0, 0]},
    {"op": "crop", "area": [1, 1], "aspect": [1, 1]},
    {"op": "contrast", "brightness": [0, 0], "contrast": [1, 1], "gamma": [1, 1]},
    {"op": "contrast", "brightness": [0, 0], "contrast": [1, 1], "gamma": [1, 1], "pivot": 0},
    {"op": "noise", "amount": [0, 0]},
    {"op": "color", "brightness": [1, 1], "saturation": [1, 1], "hue": [0, 0]},
    *(
        {**keys, "resample": resample}
        for resample in ("nearest", "bilinear", "bicubic")
        for keys in (
            {"op": "perspective", "shift": [0, 0]},
            {"op": "affine", "scale": [1, 1]}
            | {key: [0, 0] for key in ("degrees", "shear_x", "shear_y", "shift_x", "shift_y")},
        )
    ),
]
"""Settings that change no pixel, of the operations that have such settings."""

every_variant = pytest.mark.parametrize("keys", VARIANTS.values(), ids=VARIANTS.keys())
every_operation = pytest.mark.parametrize("name", BUILT_IN)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


@every_operation
def test_operation_is_complete(name: str) -> None:
    """An operation has its key in `BUILT_IN` as its name, a kernel unless it is not compilable, and test settings."""
    assert BUILT_IN[name].name == name
    assert (name in KERNELS) == BUILT_IN[name].compilable
    tables = [keys for keys in VARIANTS.values() if keys["op"] == name]
    assert operation_of({"op": name, **REQUIRED.get(name, {})}) in [operation_of(keys) for keys in tables]
    assert any(accepts(operation_of(tables[0]), shape) for shape in FEW_SHAPES)


@pytest.mark.parametrize("name", KERNELS)
def test_operation_is_documented(name: str) -> None:
    """docs/recipes.md has a row for the operation, which names its keys."""
    lines = (Path(__file__).parents[1] / "docs" / "recipes.md").read_text(encoding="utf-8").splitlines()
    (row,) = (line for line in lines if line.startswith("|") and f"`{name}`" in line.split("|")[1])
    assert all(f"`{field.name}" in row for field in fields(BUILT_IN[name]))


# --- The engines -------------------------------------------------------------------------------------------


@every_shape
@every_variant
def test_engines_agree(keys: Table, shape: Shape) -> None:
    """Both engines compute the same pixels and the same ink, for every shape."""
    assert_engines_agree(keys, shape, seed=2)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    keys=st.sampled_from(list(VARIANTS.values())),
    height=st.integers(1, 120),
    width=st.integers(1, 120),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**32),
)
def test_engines_agree_on_any_size(keys: Table, height: int, width: int, channels: int, seed: int) -> None:
    """They do so for any size and any drawn parameters."""
    assert_engines_agree(keys, (height, width, channels), seed, count=5)


@pytest.mark.long
@every_variant
def test_engines_agree_many_times(keys: Table) -> None:
    """They do so for 2,600 drawn parameters of each variant, over 65 sizes."""
    random = np.random.default_rng(11)
    for seed in range(65):
        channels = int(random.choice([1, 3])) if accepts(operation_of(keys), (1, 1, 1)) else 3
        shape = (int(random.integers(1, 81)), int(random.integers(1, 81)), channels)
        assert_engines_agree(keys, shape, seed, count=80)


@pytest.mark.parametrize("name", KERNELS)
def test_kernel_of_no_images(name: str) -> None:
    """A kernel that is called for no images changes none."""
    images, nobody = images_of((8, 8, 3), 3, seed=4), np.arange(0)
    target = np.zeros_like(images)
    assert len(KERNELS[name](images, target, nobody, parameters_of({"op": name}, (8, 8, 3), 0))) == 0
    assert not target.any()


@every_shape
@pytest.mark.parametrize("keys", IDENTITY, ids=str)
def test_identity_settings_change_nothing(keys: Table, shape: Shape) -> None:
    """With its identity settings an operation returns a copy of the image, and no ink is lost."""
    if not accepts(operation_of(keys), shape):
        return
    images, lost = images_of(shape, 4, seed=5), np.ones((4, 1))
    for engine in (PILLOW, engine_named("compiled")):
        result = distorted(images, keys, engine=engine, lost=lost)
        assert np.array_equal(result, images)
        assert not np.shares_memory(result, images)
        assert not lost.any()


# --- Drawing and applying ----------------------------------------------------------------------------------


@every_variant
def test_reported_parameters_make_the_image_again(keys: Table) -> None:
    """`apply` with the parameters that `augment explain` reports gives the image that `apply_many` computes."""
    operation = operation_of(keys)
    for shape in filter(lambda shape: accepts(operation, shape), FEW_SHAPES):
        images, parameters = images_of(shape, 9, seed=1), parameters_of(keys, shape, 9)
        images.flags.writeable = False
        result = operation.apply_many(images, parameters)
        assert result.flags.writeable
        assert result.flags.c_contiguous
        for image, after, one in zip(images, result, by_image(parameters, 9), strict=True):
            facts = json.loads(json.dumps(stage_facts(Applied(keys["op"], operation, one))))
            assert stage_text(facts).startswith(keys["op"])
            assert facts.pop("op") == keys["op"]
            assert facts.keys() == parameters.keys()
            assert np.array_equal(from_pillow(operation.apply(to_pillow(image), **facts)), after)


@every_variant
def test_draw_is_a_pure_function_of_the_uniforms(keys: Table) -> None:
    """The parameters of an image depend on its own row of uniforms only, and stay in the ranges of the settings."""
    operation, shape = operation_of(keys), (20, 31, 3)
    uniform = np.random.default_rng(0).random((40, operation.uniforms(shape)))
    uniform[0], uniform[1] = 0, 1 - 2.0**-53
    before = uniform.copy()
    parameters = operation.parameters(uniform, shape)
    assert np.array_equal(uniform, before)
    assert {name: column[:0].shape for name, column in parameters.items()} == {
        name: column.shape for name, column in operation.parameters(uniform[:0], shape).items()
    }
    for row in range(40):
        for name, column in operation.parameters(uniform[row : row + 1], shape).items():
            assert np.array_equal(column[0], parameters[name][row])
    for name, column in parameters.items():
        assert column.dtype in (np.float64, np.int64, np.bool_)
        if name in rules_of(type(operation))[0] and column.dtype == np.float64:
            low, high = getattr(operation, name)
            assert np.abs([column.min() - low, column.max() - high]).max() <= 1 / 512  # Some are rounded to 1/256.
        if name == "seed":
            assert len(set(column.tolist())) == 40


@pytest.mark.parametrize(
    ("keys", "digest"),
    [
        ({"op": "elastic"}, "bcaa105aee477163"),
        ({"op": "stroke", "strength": [-4, 4]}, "c82607254921bbee"),
        ({"op": "erase", "boxes": [0, 16], "width": [0, 1], "height": [0, 1], "fill": 99}, "5b29fb5167fa03f6"),
        (
            {"op": "contrast", "brightness": [-1, 1], "contrast": [0, 10], "gamma": [0.125, 8], "pivot": 0.25},
            "7d1a8c2205afcd55",
        ),
        ({"op": "noise", "amount": [0, 128]}, "4007ca1ad278e0d7"),
        ({"op": "color", "brightness": [0, 2], "saturation": [0, 2], "hue": [-0.5, 0.5]}, "f6921c3cda0f9cde"),
    ],
    ids=lambda value: value["op"] if isinstance(value, dict) else "",
)
def test_pixels_are_pinned(keys: Table, digest: str) -> None:
    """The pixels of operations that Pillow does not have are the same on every machine and in every version."""
    operation, shape = operation_of(keys), (24, 30, 3)
    images = (np.arange(8 * 24 * 30 * 3) * 7 % 256).astype(np.uint8).reshape(8, *shape)
    uniform = np.arange(8 * operation.uniforms(shape)).reshape(8, -1) * 0.6180339887 % 1
    result = operation.apply_many(images, operation.parameters(uniform, shape))
    assert hashlib.sha256(result.tobytes()).hexdigest()[:16] == digest


# --- Settings ----------------------------------------------------------------------------------------------


@every_variant
def test_settings_survive_json(keys: Table) -> None:
    """The settings are plain JSON values, and a recipe that is read from them has the same operation."""
    operation, recipe = operation_of(keys), recipe_of(keys)
    plain = json.loads(json.dumps(operation.settings()))
    assert plain == operation.settings()
    assert operation_of({"op": keys["op"], **plain}) == operation
    stored = json.loads(json.dumps(recipe.settings()))
    assert recipe_from_settings("test", stored, trust=True).stages == recipe.stages


def refused(keys: Table) -> str:
    """Return the text with which the operation is refused, from the invalid key on."""
    with pytest.raises(ValueError, match=r"^stage\[0\]\.operation\[0\]\.") as caught:
        recipe_of({**REQUIRED.get(keys["op"], {}), **keys})
    return str(caught.value).removeprefix("stage[0].operation[0].")


@every_operation
def test_invalid_settings_are_refused(name: str) -> None:
    """A message names the key, the value and what is allowed, for every range, flag and choice of an operation."""
    bounds, values = rules_of(BUILT_IN[name])
    for key, rule in bounds.items():
        low, high = rule.lowest, rule.highest
        expected = f"expected [low, high] with {low:g} <= low <= high <= {high:g}"
        for value in ([low - 1, high], [low, high + 1], [low, 10**400]):
            text = refused({"op": name, key: value})
            assert text.startswith(f"{key} = {value!r}")
            assert text.endswith(expected)
            assert "is out of bounds" in text or value[1] == 10**400
        assert refused({"op": name, key: [high, low]}) == f"{key} = {[high, low]!r} is upside down; {expected}"
        numbers: list[Any] = [
            low,
            [low],
            [low, high, high],
            "wide",
            ["a", "b"],
            [False, True],
            {"low": low, "high": high},
        ]
        for value in [*numbers, [math.nan, high], [low, math.inf], None]:
            assert refused({"op": name, key: value}) == f"{key} = {value!r}; {expected}"
    for key, allowed in values.items():
        expected = "true or false" if allowed == (False, True) else f"one of {', '.join(allowed)}"
        for value in (1, "other", list(allowed), None):
            assert refused({"op": name, key: value}) == f"{key} = {value!r}; expected {expected}"
    allowed = ", ".join(sorted(field.name for field in fields(BUILT_IN[name]))) or "no key"
    assert refused({"op": name, "no_such_key": 1}) == f"no_such_key: unknown key; expected {allowed}"


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"op": "erase", "boxes": [1, 2.5]}, "boxes = [1, 2.5]; expected [fewest, most], whole numbers from 0 to 16"),
        ({"op": "erase", "fill": 256}, "fill = 256; expected a whole number from 0 (black) to 255"),
        ({"op": "erase", "fill": 0.5}, "fill = 0.5; expected a whole number from 0 (black) to 255"),
        ({"op": "erase", "fill": True}, "fill = True; expected a whole number from 0 (black) to 255"),
        ({"op": "contrast", "pivot": 2}, "pivot = 2; expected a number from 0 (black) to 1 (white)"),
        ({"op": "contrast", "pivot": [0, 1]}, "pivot = [0, 1]; expected a number from 0 (black) to 1 (white)"),
        (
            {"op": "flip", "horizontal": False},
            "horizontal = False, vertical = False; expected at least one of them true",
        ),
    ],
    ids=str,
)
def test_other_invalid_settings_are_refused(keys: Table, text: str) -> None:
    """The same holds for the checks of single operations."""
    assert refused(keys) == text
