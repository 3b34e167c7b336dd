"""`fill`: what operations put into areas from outside the image, compared with padded images and with SciPy."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from scipy import ndimage

from conftest import glyphs, images_of
from epochbank.augment.cli import main
from epochbank.augment.distortion.choose_engine import engine_named
from epochbank.augment.distortion.distort import distort
from epochbank.augment.distortion.draw import draw
from epochbank.augment.distortion.earlier_recipes import first_photo
from epochbank.augment.distortion.operations import BUILT_IN
from epochbank.augment.distortion.operations.elastic import displacements
from epochbank.augment.distortion.operations.geometry import rotations
from epochbank.augment.distortion.recipe import load_recipe, recipe_path
from epochbank.augment.generation.advice import recipe_notes
from epochbank.augment.store.description import fingerprint_of
from operation_battery import Shape, Table, operation_of, parameters_of, recipe_of, to_pillow

SHAPES: list[Shape] = [(20, 31, 1), (17, 9, 3), (1, 6, 3), (5, 1, 1)]
FILLING = ["affine", "elastic", "perspective", "rotate", "scale", "shear", "shift"]
MODES = {"edge": "edge", "reflect": "symmetric"}
"""Each fill that depends on the image, and the mode of `numpy.pad` that does the same."""

every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
every_fill = pytest.mark.parametrize("fill", MODES)


def applied(keys: Table, shape: Shape, count: int = 12) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """Return images, the same distorted by one operation, and the parameters of each."""
    recipe, images = recipe_of(keys), images_of(shape, count, seed=3)
    drawn = draw(recipe, shape, "f", 0, 0, count)
    return images, distort(images, recipe, drawn), [one.parameters for (one,) in drawn.applied(recipe)]


def padded(image: np.ndarray, pixels: int, fill: str) -> Image.Image:
    return to_pillow(np.pad(image, ((pixels, pixels), (pixels, pixels), (0, 0)), MODES[fill]))  # type: ignore[call-overload]


def test_operations_with_a_fill() -> None:
    """Every operation that brings in areas from outside the image has a `fill`, which is black by default."""
    found = [name for name, one in BUILT_IN.items() if one.__dataclass_fields__.get("fill") and name != "erase"]
    assert sorted(found) == FILLING
    for name in FILLING:
        assert "fill" not in operation_of({"op": name}).settings()
        assert operation_of({"op": name, "fill": 0}) == operation_of({"op": name, "fill": "black"})
        assert operation_of({"op": name, "fill": "edge"}).settings()["fill"] == "edge"
        assert "fill" not in parameters_of({"op": name}, (8, 8, 1), 2)


@every_fill
@every_shape
@pytest.mark.parametrize(
    "keys",
    [
        {"op": "rotate", "degrees": [-179, 179]},
        {"op": "shear", "x": [-0.5, 0.5], "y": [-0.5, 0.5]},
        {"op": "shift", "x": [-1, 1], "y": [-1, 1]},
        {"op": "affine", "resample": "nearest", "degrees": [1, 80], "scale": [0.5, 1]},
        {"op": "affine", "resample": "bilinear", "degrees": [-80, 80], "scale": [0.5, 1], "shift_x": [-0.5, 0.5]},
    ],
    ids=lambda keys: f"{keys['op']} {keys.get('resample', '')}",
)
def test_affine_maps_are_those_of_a_padded_image(keys: Table, shape: Shape, fill: str) -> None:
    """The result is bit for bit that of Pillow's `transform` of an image padded by NumPy."""
    images, result, parameters = applied(keys | {"fill": fill}, shape)
    pixels = 4 * max(shape)
    for image, after, one in zip(images, result, parameters, strict=True):
        if keys["op"] == "rotate":
            a, b, c, d, e, f = rotations(np.array([one["degrees"]]), shape)[0, :2].reshape(-1).tolist()
        elif keys["op"] == "shear":
            a, b, c, d, e, f = 1, one["x"], 0, one["y"], 1, 0
        elif keys["op"] == "shift":
            a, b, c, d, e, f = 1, 0, -one["x"], 0, 1, -one["y"]
        else:
            a, b, c, d, e, f = one["matrix"].tolist()
        expected = padded(image, pixels, fill).transform(
            (shape[1], shape[0]),
            Image.Transform.AFFINE,
            (a, b, c + pixels, d, e, f + pixels),
            one.get("resample", Image.Resampling.NEAREST),
        )
        assert np.array_equal(after, np.asarray(expected).reshape(shape))


@every_fill
@pytest.mark.parametrize("resample", ["nearest", "bilinear", "bicubic"])
def test_perspective_is_that_of_a_padded_image(resample: str, fill: str) -> None:
    """The result is that of a padded image, apart from rounding and, for bicubic, pixels next to the border."""
    shape, pixels = (24, 31, 3), 40
    images, result, parameters = applied(
        {"op": "perspective", "shift": [0, 0.15], "resample": resample, "fill": fill}, shape
    )
    for image, after, one in zip(images, result, parameters, strict=True):
        a, b, c, d, e, f, g, h = one["matrix"].tolist()
        matrix = (a + pixels * g, b + pixels * h, c + pixels, d + pixels * g, e + pixels * h, f + pixels, g, h)
        expected = padded(image, pixels, fill).transform((31, 24), Image.Transform.PERSPECTIVE, matrix, one["resample"])
        differing = np.abs(after.astype(int) - np.asarray(expected).reshape(shape)) > 1
        assert differing.mean() < (0.1 if resample == "bicubic" else 0.01)


@every_fill
@every_shape
def test_scale_pads_the_resized_image(shape: Shape, fill: str) -> None:
    """The resized image is padded on all sides, as `numpy.pad` does."""
    images, result, parameters = applied({"op": "scale", "width": [0, 1], "height": [0, 1], "fill": fill}, shape)
    for image, after, one in zip(images, result, parameters, strict=True):
        left, top, width, height = (one[name] for name in ("left", "top", "width", "height"))
        inner = np.asarray(to_pillow(image).resize((width, height))).reshape(height, width, -1)
        around = (top, shape[0] - top - height), (left, shape[1] - left - width), (0, 0)
        assert np.array_equal(after, np.pad(inner, around, MODES[fill]))  # type: ignore[call-overload]


@pytest.mark.parametrize(("fill", "mode", "value"), [("edge", "nearest", 0), ("reflect", "reflect", 0)])
def test_elastic_samples_as_scipy_does(fill: str, mode: str, value: int) -> None:
    """The result is that of `map_coordinates` with the same displacements, apart from rounding."""
    shape = (24, 31, 1)
    images, result, parameters = applied({"op": "elastic", "alpha": [300, 900], "fill": fill}, shape)
    for image, after, one in zip(images, result, parameters, strict=True):
        dx, dy = displacements(shape, one["alpha"], one["sigma"], one["seed"])
        rows, columns = np.mgrid[:24, :31]
        places = [rows + dy / 256, columns + dx / 256]
        expected = ndimage.map_coordinates(image[..., 0].astype(float), places, order=1, mode=mode, cval=value)
        assert np.abs(after[..., 0] - expected).max() <= 0.51


@pytest.mark.parametrize("engine", ["pillow", "compiled"])
@pytest.mark.parametrize("op", FILLING)
def test_a_gray_value_fills_what_black_fills(op: str, engine: str) -> None:
    """A gray value is in the same places as black: where an image that is inverted would have its white."""
    keys: Table = {"op": op, **({"alpha": [400, 400]} if op == "elastic" else {})}
    white = np.full((6, 20, 31, 3), 255, np.uint8)
    members, target = np.arange(6), np.empty_like(white)
    black = parameters_of(keys, white.shape[1:], 6)
    engine_named(engine).apply(operation_of(keys), white, target, members, black)
    filled = np.empty_like(white)
    engine_named(engine).apply(operation_of(keys), white, filled, members, black | {"fill": np.full(6, 100)})
    assert (target == 0).any()
    assert (filled[target == 0] == 100).all()
    assert (filled[target == 255] == 255).all()


@pytest.mark.parametrize("engine", ["pillow", "compiled"])
@every_fill
@pytest.mark.parametrize("op", FILLING)
def test_a_plain_image_stays_plain(op: str, fill: str, engine: str) -> None:
    """An image of one color has that color everywhere, with every operation."""
    keys: Table = {"op": op, "fill": fill}
    plain = np.full((6, 20, 31, 3), (200, 30, 90), np.uint8)
    result = np.empty_like(plain)
    engine_named(engine).apply(operation_of(keys), plain, result, np.arange(6), parameters_of(keys, plain.shape[1:], 6))
    assert np.array_equal(result, plain)


@pytest.mark.parametrize("value", ["white", -1, 256, 1.5, True, None, [0, 0, 0]])
def test_other_fills_are_refused(value: Any) -> None:
    """The message names the value and what is allowed."""
    expected = "expected one of black, edge, reflect, or a whole number from 0 to 255"
    with pytest.raises(ValueError, match=rf"fill = .*; {expected}$"):
        recipe_of({"op": "rotate", "fill": value})


# --- The recipe photo ---------------------------------------------------------------------------------


def test_photo_has_no_black_corners() -> None:
    """A white photograph that is only framed by `photo` stays white."""
    recipe = load_recipe("photo")
    white = np.full((64, 32, 32, 3), 255, np.uint8)
    (frame,) = (stage for stage in recipe.stages if stage.name == "frame")
    for choice in frame.choices:
        parameters = choice.operation.parameters(
            np.random.default_rng(0).random((64, choice.operation.uniforms((32, 32, 3)))), (32, 32, 3)
        )
        assert (choice.operation.apply_many(white, parameters) == 255).all()


def test_the_first_form_of_photo_is_unchanged() -> None:
    """Its settings are those that sets of earlier versions have; no other recipe has a first form."""
    first = first_photo(load_recipe("photo"))
    assert first is not None
    assert fingerprint_of(first.settings())[:16] == "4a000923dddb255c"
    assert first_photo(load_recipe("kanji")) is None
    assert first_photo(first) is None


def test_a_set_of_the_first_photo_is_extended(tmp_path: Path) -> None:
    """The command that made a set with the first form of `photo` still finds it, and adds epochs to it."""
    np.savez(tmp_path / "a.npz", images=glyphs(30, (12, 12, 3)), labels=np.arange(30) % 3)
    words = ["--jobs", "1", "--sets", str(tmp_path / "sets"), "--engine", "pillow"]
    first = tmp_path / "photo.toml"
    text = recipe_path("photo").read_text(encoding="utf-8")
    first.write_text(text.replace(', fill = "reflect"', "").replace(", pixels_at = 64", ""), encoding="utf-8")
    for recipe, epochs in ((str(first), "1"), ("photo", "2")):
        run = ["run", str(tmp_path / "a.npz"), "--recipe", recipe, "--epochs", epochs, *words]
        result = CliRunner().invoke(main, run)
        assert result.exit_code == 0, result.output
    (directory,) = (path.parent for path in (tmp_path / "sets").glob("*/set.json"))
    explained = CliRunner().invoke(main, ["explain", str(directory), "1", "0", "--json"])
    assert all("fill" not in stage or stage["op"] == "erase" for stage in json.loads(explained.stdout)["stages"])
    assert "was made by an earlier version" in result.output


def test_explain_names_the_fill(tmp_path: Path) -> None:
    """`augment explain --json` has the name of the fill."""
    np.savez(tmp_path / "a.npz", images=glyphs(30), labels=np.arange(30) % 3)
    recipe = tmp_path / "mine.toml"
    recipe.write_text('[[stage]]\noperation = [{ op = "rotate", fill = "edge" }]\n')
    words = ["--recipe", str(recipe), "--epochs", "1", "--jobs", "1", "--sets", str(tmp_path), "--print-path"]
    made = CliRunner().invoke(main, ["run", str(tmp_path / "a.npz"), *words])
    assert made.exit_code == 0, made.output
    result = CliRunner().invoke(main, ["explain", made.stdout.strip(), "0", "3", "--json"])
    (stage,) = json.loads(result.stdout)["stages"]
    assert (stage["op"], stage["fill"]) == ("rotate", "edge")


# --- A light background -----------------------------------------------------------------------------------


def test_black_on_a_light_background_is_noted() -> None:
    """A note names the operations that fill with black, if most images have a light background, and only then."""
    dark, light = glyphs(8, (48, 48, 1)), 255 - glyphs(8, (48, 48, 1))
    (note,) = recipe_notes(load_recipe("kanji"), light)
    assert "fills areas from outside the image with black (rotate, shear, scale), but 8 of 8" in note
    assert "--invert yes" in note
    assert recipe_notes(load_recipe("kanji"), dark) == []
    assert recipe_notes(load_recipe("photo"), np.repeat(light, 3, 3)) == []
    filled = recipe_of({"op": "rotate", "fill": "edge"}, {"op": "erase"})
    assert recipe_notes(filled, light) == []
