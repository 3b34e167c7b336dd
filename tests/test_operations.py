"""Rotate, shear, scale, sine and the filters against Pillow, called as distortions.md says; custom operations."""

import hashlib
import importlib
import itertools
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from conftest import SHAPES, images_of
from epochbank.augment.distortion.distort import distort
from epochbank.augment.distortion.draw import draw
from epochbank.augment.distortion.recipe import Recipe, load_recipe, recipe_from_settings
from epochbank.augment.errors import EpochbankError
from operation_battery import (
    Shape,
    Table,
    assert_same,
    distorted,
    from_pillow,
    recipe_of,
    through_json,
    to_pillow,
    variants,
)

few = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

# --- The reference: distortions.md, with Pillow and np.roll only ------------------------------------


def rotate(image: Image.Image, degrees: float) -> Image.Image:
    return image.rotate(degrees)


def shear(image: Image.Image, x: float, y: float) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, (1, x, 0, y, 1, 0))


def scale(image: Image.Image, width: int, height: int, left: int, top: int) -> Image.Image:
    black = Image.new(image.mode, image.size)
    black.paste(image.resize((width, height)), (left, top))
    return black


def sine(image: Image.Image, shift: list[int]) -> Image.Image:
    pixels = from_pillow(image)
    result = np.empty_like(pixels)
    for column, rows in enumerate(shift):
        result[:, column] = np.roll(pixels[:, column], rows, axis=0)
    return to_pillow(result)


def blur(image: Image.Image, radius: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(radius))


def sharpen(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.SHARPEN)


def smooth(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.SMOOTH)


REFERENCE: dict[str, Callable[..., Image.Image]] = {
    function.__name__: function for function in (rotate, shear, scale, sine, blur, sharpen, smooth)
}
VARIANTS = {name: keys for name, keys in variants().items() if keys["op"] in REFERENCE}

every_variant = pytest.mark.parametrize("keys", VARIANTS.values(), ids=VARIANTS.keys())


def by_reference(images: np.ndarray, recipe: Recipe, drawn: Any) -> np.ndarray:
    """Apply the drawn parameters to `images`, one at a time, with Pillow only."""
    results = []
    for image, operations in zip(images, drawn.applied(recipe), strict=True):
        pil_image = to_pillow(image)
        for applied in operations:
            pil_image = REFERENCE[applied.op](pil_image, **through_json(applied.parameters))
        results.append(from_pillow(pil_image))
    return np.stack(results)


def assert_as_by_reference(recipe: Recipe, images: np.ndarray, fingerprint: str = "f", start: int = 100) -> None:
    drawn = draw(recipe, images.shape[1:], fingerprint, 0, start, start + len(images))
    assert_same(distort(images, recipe, drawn), by_reference(images, recipe, drawn))


# --- Pixels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@every_variant
def test_pixels_are_those_of_pillow(keys: Table, shape: Shape) -> None:
    """An operation gives the pixels that Pillow gives for the reported parameters, for every size."""
    assert_as_by_reference(recipe_of(keys), images_of(shape, 15, seed=1))


@pytest.mark.long
@every_variant
def test_pixels_are_those_of_pillow_many_times(keys: Table) -> None:
    """The same holds for tens of thousands of drawn parameters and hundreds of sizes."""
    random, recipe = np.random.default_rng(7), recipe_of(keys)
    for seed in range(300):
        shape = (int(random.integers(1, 81)), int(random.integers(1, 81)), int(random.choice([1, 3])))
        assert_as_by_reference(recipe, images_of(shape, 100, seed), str(seed))


@pytest.mark.long
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["kanji", "kanji-strong"])
def test_built_in_recipe_many_times(name: str, channels: int) -> None:
    """A built-in recipe gives Pillow's pixels for tens of thousands of 64 x 64 images."""
    for seed in range(40):
        assert_as_by_reference(load_recipe(name), images_of((64, 64, channels), 500, seed), str(seed))


@pytest.mark.parametrize("degrees", [0, 90, 180, 270, -90, 360, 1e-9, -1e-9, 45, 14.999999999, 0.5])
@pytest.mark.parametrize("shape", [(64, 64, 1), (31, 20, 3)], ids=str)
def test_rotate_by_particular_angles(degrees: float, shape: Shape) -> None:
    """Angles that Pillow treats separately give its pixels too: right angles, 0, and almost 0."""
    images = images_of(shape, 3, seed=2)
    expected = np.stack([from_pillow(to_pillow(image).rotate(degrees)) for image in images])
    assert_same(distorted(images, {"op": "rotate", "degrees": [degrees, degrees]}), expected)


@pytest.mark.parametrize("kernel", ["sharpen", "smooth"])
@pytest.mark.parametrize("channels", [1, 3])
def test_filter_rounds_and_clips_as_pillow_does(kernel: str, channels: int) -> None:
    """The filters round and clip as Pillow does, for every center and every sum of its neighbors."""
    # Image c has 3 x 3 tiles of center c, whose neighbors have every sum from 0 to 8 * 255.
    sums = np.arange(8 * 255 + 1)
    tiles = np.zeros((256, 3, 3 * len(sums), channels), np.uint8)
    for cell, (row, column) in enumerate((r, c) for r in range(3) for c in range(3) if (r, c) != (1, 1)):
        tiles[:, row, column::3] = np.clip(sums - 255 * cell, 0, 255)[None, :, None]
    tiles[:, 1, 1::3] = np.arange(256)[:, None, None]
    assert_as_by_reference(recipe_of({"op": kernel}), tiles)


@few
@given(
    strength=st.floats(-3, 3),
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    per_column=st.booleans(),
)
def test_sine_rolls_by_the_formula(strength: float, height: int, width: int, per_column: bool) -> None:
    """Column i is rolled down, with wrap-around, by trunc(s (H / 3) sin(-2 pi i (2 / W))) rows."""
    image = images_of((height, width, 1), 1, seed=3)
    expected = image.copy()
    for i in range(width):
        shift = math.trunc(strength * (height / 3) * math.sin(-2 * math.pi * i * (2 / width)))
        expected[0, :, i] = np.roll(image[0, :, i], shift, axis=0)
    wave = {"op": "sine", "strength": [strength, strength], "random_sign": False, "per_column": per_column}
    assert_same(distorted(image, wave), expected)


# --- What the operations mean, without reference to Pillow ------------------------------------------------


def one(operation: Table, image: np.ndarray) -> np.ndarray:
    """Return `image` (H, W) distorted by one operation."""
    return distorted(image[None, :, :, None], operation)[0, :, :, 0]


def test_rotate_is_counter_clockwise_with_black_corners() -> None:
    """A positive angle rotates counter-clockwise; corners from outside are 0; no new gray values appear."""
    white = np.full((64, 64), 255, np.uint8)
    rotated = one({"op": "rotate", "degrees": [15, 15]}, white)
    assert rotated[0, 0] == rotated[0, 63] == rotated[63, 0] == rotated[63, 63] == 0
    assert set(np.unique(rotated)) == {0, 255}
    arm = np.zeros((64, 64), np.uint8)
    arm[30:34, 50:] = 200  # Points right; after the rotation it points up and right.
    rows, columns = np.nonzero(one({"op": "rotate", "degrees": [15, 15]}, arm))
    assert rows.mean() < 28
    assert columns.mean() > 50


def test_shear_moves_rows_and_columns() -> None:
    """x takes the pixel of row r from x r columns to the right; y takes that of column c from y c rows below."""
    dot = np.zeros((64, 64), np.uint8)
    dot[40, 40] = 255
    # The nearest neighbor is that of the pixel's center: 40.5 = 0.2 * 40.5 + 32.4.
    assert np.argwhere(one({"op": "shear", "x": [0.2, 0.2], "y": [0, 0]}, dot)).tolist() == [[40, 32]]
    assert np.argwhere(one({"op": "shear", "x": [0, 0], "y": [0.2, 0.2]}, dot)).tolist() == [[32, 40]]


def test_scale_leaves_black_around_the_image() -> None:
    """The smaller image is at (left, top), and the rest is 0."""
    recipe = recipe_of({"op": "scale"})
    drawn = draw(recipe, (64, 64, 1), "f", 0, 0, 20)
    white = np.full((20, 64, 64, 1), 255, np.uint8)
    for result, (applied,) in zip(distort(white, recipe, drawn), drawn.applied(recipe), strict=True):
        of = applied.parameters
        expected = np.zeros((64, 64, 1), np.uint8)
        expected[of["top"] : of["top"] + of["height"], of["left"] : of["left"] + of["width"]] = 255
        assert np.array_equal(result, expected)


def test_sine_keeps_every_pixel() -> None:
    """A wave moves pixels within their column and loses none."""
    images = images_of((64, 64, 3), 9, seed=4)
    result = distorted(images, {"op": "sine", "per_column": True, "strength": [0.5, 1]})
    assert np.array_equal(np.sort(result, axis=1), np.sort(images, axis=1))
    assert not np.array_equal(result, images)


# --- distort: a whole chunk ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(64, 64, 1), (64, 64, 3), (33, 47, 1)], ids=str)
@pytest.mark.parametrize("name", ["kanji", "kanji-strong"])
def test_chunk_is_as_one_image_at_a_time(name: str, shape: Shape) -> None:
    """A chunk gives the same images as Pillow gives one by one, and contains every combination of operations."""
    recipe = load_recipe(name)
    drawn = draw(recipe, shape, name, 0, 1000, 1128)
    assert {tuple(one.op for one in image) for image in drawn.applied(recipe)} == set(
        itertools.product(["rotate", "shear", "scale", "sine"], ["blur", "sharpen", "smooth"])
    )
    assert_as_by_reference(recipe, images_of(shape, 128, seed=6), name, 1000)


def test_stages_follow_one_another() -> None:
    """Three stages, some of which are skipped, are applied in the order of the recipe."""
    recipe = recipe_of(
        {"probability": 0.5, "operation": [{"op": "blur"}, {"op": "sharpen"}]},
        {"probability": 0.7, "operation": [{"op": "rotate", "degrees": [-90, 90]}, {"op": "sine"}]},
        {"probability": 0.5, "operation": [{"op": "smooth"}, {"op": "shear"}, {"op": "scale"}]},
    )
    assert {len(image) for image in draw(recipe, (40, 30, 1), "f", 0, 0, 100).applied(recipe)} == {0, 1, 2, 3}
    assert_as_by_reference(recipe, images_of((40, 30, 1), 100, seed=7), start=0)


@few
@given(cuts=st.lists(st.integers(0, 40), max_size=5), start=st.integers(0, 10**12))
def test_chunk_size_changes_no_pixel(cuts: list[int], start: int) -> None:
    """However the positions are divided into chunks, even empty ones, the images are the same."""
    recipe, shape = load_recipe("kanji"), (20, 24, 1)
    images = images_of(shape, 40, seed=8)
    whole = distort(images, recipe, draw(recipe, shape, "f", 0, start, start + 40))
    chunks = [
        distort(images[low:high], recipe, draw(recipe, shape, "f", 0, start + low, start + high))
        for low, high in itertools.pairwise([0, *sorted(cuts), 40])
    ]
    assert_same(np.concatenate(chunks), whole)


def test_source_images_are_not_changed() -> None:
    """`distort` accepts read-only images, returns an array with its own memory, and gives the same result twice."""
    recipe, images = load_recipe("kanji"), images_of((30, 30, 3), 12, seed=9)
    images.flags.writeable = False
    drawn = draw(recipe, (30, 30, 3), "f", 0, 0, 12)
    first = distort(images, recipe, drawn)
    assert not np.shares_memory(first, images)
    assert first.flags.writeable
    assert first.flags.c_contiguous
    assert np.array_equal(distort(images, recipe, drawn), first)


# --- Custom operations ----------------------------------------------------------------------------------------


NUMBERS = itertools.count()


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Write a module where Python finds it, and return its name: a new one, since a module is imported once."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(source: str) -> str:
        name = f"custom_operation_{next(NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
        importlib.invalidate_caches()
        return name

    return write


def custom_recipe(module: str, function: str = "change") -> Recipe:
    return recipe_of({"op": f"{module}:{function}"})


def run_custom(recipe: Recipe, shape: Shape = (6, 5, 1), start: int = 0, stop: int = 4) -> np.ndarray:
    images = images_of(shape, stop, seed=10)[start:stop]
    return distort(images, recipe, draw(recipe, shape, "f", 0, start, stop))


def source_of(recipe: Recipe) -> str:
    """The digest of a custom operation's source in the settings."""
    return recipe.settings()["stages"][0]["operations"][0]["source"]


NOISE = """
def change(image, generator):
    return generator.integers(0, 256, image.shape, "uint8")
"""


@pytest.mark.parametrize("shape", [(6, 5, 1), (6, 5, 3)], ids=str)
def test_custom_operation_is_applied(write_module: Callable[[str], str], shape: Shape) -> None:
    """A custom function gets the image, uint8 (H, W, C), and its result is the distorted image."""
    module = write_module(
        "def change(image, generator):\n"
        f"    assert image.shape == {shape} and image.dtype == 'uint8'\n"
        "    return 255 - image[::-1]\n"
    )
    images = images_of(shape, 4, seed=10)
    assert np.array_equal(run_custom(custom_recipe(module), shape), 255 - images[:, ::-1])


def test_custom_operation_may_return_any_memory_layout(write_module: Callable[[str], str]) -> None:
    """A result in Fortran order, a view, or the input image itself is accepted."""
    module = write_module(
        "import numpy as np\n"
        "def same(image, generator):\n    return image\n"
        "def fortran(image, generator):\n    return np.asfortranarray(image)\n"
        "def view(image, generator):\n    return np.repeat(image, 2, axis=1)[:, ::2]\n"
    )
    for shape in ((6, 5, 1), (6, 5, 3)):
        for function in ("same", "fortran", "view"):
            result = run_custom(custom_recipe(module, function), shape)
            assert np.array_equal(result, images_of(shape, 4, seed=10)), function


def test_custom_and_built_in_operations_in_one_recipe(write_module: Callable[[str], str]) -> None:
    """A custom operation can share a stage with a built-in one and be followed by another stage."""
    module = write_module("def change(image, generator):\n    return 255 - image\n")
    recipe = recipe_of([{"op": f"{module}:change"}, {"op": "rotate"}], {"op": "smooth"})
    images, drawn = images_of((20, 20, 1), 40, seed=11), draw(recipe, (20, 20, 1), "f", 0, 0, 40)
    result, applied = distort(images, recipe, drawn), drawn.applied(recipe)
    assert {len(operations) for operations in applied} == {2}
    assert {operations[0].op for operations in applied} == {f"{module}:change", "rotate"}
    for image, after, (first, _) in zip(images, result, applied, strict=True):
        pil_image = to_pillow(255 - image) if ":" in first.op else rotate(to_pillow(image), **first.parameters)
        assert np.array_equal(after, from_pillow(smooth(pil_image)))


def test_custom_generator_is_a_function_of_the_position(write_module: Callable[[str], str]) -> None:
    """However the positions are divided into chunks, the generator at a position gives the same numbers."""
    recipe = custom_recipe(write_module(NOISE))
    whole = run_custom(recipe, stop=12)
    for edges in ([0, 12], [0, 1, 5, 12], [0, 6, 7, 8, 12]):
        chunks = [run_custom(recipe, start=low, stop=high) for low, high in itertools.pairwise(edges)]
        assert np.array_equal(np.concatenate(chunks), whole)


def test_custom_generator_differs_everywhere(write_module: Callable[[str], str]) -> None:
    """Every position, epoch, stage and set has a different generator."""
    module = write_module(
        "def first(image, generator):\n"
        "    image = image.copy()\n    image[0] = generator.integers(0, 256, image[0].shape)\n"
        "    return image\n"
        "def second(image, generator):\n"
        "    image = image.copy()\n    image[1] = generator.integers(0, 256, image[1].shape)\n"
        "    return image\n"
    )
    recipe, shape = recipe_of({"op": f"{module}:first"}, {"op": f"{module}:second"}), (2, 16, 1)
    seen = set()
    for fingerprint in ("a", "b"):
        for epoch in (0, 1, 2):
            drawn = draw(recipe, shape, fingerprint, epoch, 0, 50)
            result = distort(np.zeros((50, *shape), np.uint8), recipe, drawn)
            seen |= {result[number, stage].tobytes() for number in range(50) for stage in (0, 1)}
    assert len(seen) == 2 * 3 * 50 * 2


def test_custom_operation_is_deterministic(write_module: Callable[[str], str]) -> None:
    """One draw that is applied twice gives the same images."""
    recipe = custom_recipe(write_module(NOISE))
    drawn, images = draw(recipe, (6, 5, 1), "f", 0, 0, 4), images_of((6, 5, 1), 4, seed=12)
    assert np.array_equal(distort(images, recipe, drawn), distort(images, recipe, drawn))


def test_custom_source_is_part_of_the_settings(write_module: Callable[[str], str]) -> None:
    """The settings contain the digest of the module's source, so that another source gives other settings."""
    recipes = [custom_recipe(write_module(source)) for source in (NOISE, NOISE, NOISE + "# changed\n")]
    digests = [source_of(recipe) for recipe in recipes]
    assert digests[0] == digests[1] == hashlib.sha256(NOISE.encode()).hexdigest()
    assert digests[2] != digests[0]
    assert recipes[0].settings()["stages"][0]["operations"][0]["op"].endswith(":change")
    assert json.loads(json.dumps(recipes[0].settings())) == recipes[0].settings()


def test_decorated_custom_operation_is_identified_by_its_module(write_module: Callable[[str], str]) -> None:
    """A function that a decorator of another module wraps is identified by the module that the recipe names."""
    helper = write_module(
        "import functools\n"
        "def twice(function):\n"
        "    @functools.wraps(function)\n"
        "    def inner(image, generator):\n"
        "        return function(function(image, generator), generator)\n"
        "    return inner\n"
    )
    digests = {
        source_of(
            custom_recipe(
                write_module(
                    f"from {helper} import twice\n@twice\ndef change(image, generator):\n    return image // {number}\n"
                )
            )
        )
        for number in (2, 3)
    }
    assert len(digests) == 2


def test_re_exported_custom_operation_is_identified_by_its_file(
    write_module: Callable[[str], str], tmp_path: Path
) -> None:
    """A function that a package re-exports is identified by the file that defines it, too."""
    digests = set()
    for number in (2, 3):
        package = tmp_path / f"custom_package_{next(NUMBERS)}"
        package.mkdir()
        (package / "__init__.py").write_text("from .inner import change as change\n", encoding="utf-8")
        (package / "inner.py").write_text(
            f"def change(image, generator):\n    return image // {number}\n", encoding="utf-8"
        )
        importlib.invalidate_caches()
        digests.add(source_of(custom_recipe(package.name)))
    assert len(digests) == 2


def test_changed_custom_source_is_detected(write_module: Callable[[str], str], tmp_path: Path) -> None:
    """A recipe whose module has changed since its settings were stored cannot be restored from them."""
    module = write_module(NOISE)
    recipe = custom_recipe(module)
    stored = json.loads(json.dumps(recipe.settings()))
    assert recipe_from_settings("test", stored, trust=True).settings() == stored
    (tmp_path / f"{module}.py").write_text(NOISE + "# changed\n", encoding="utf-8")
    with pytest.raises(ValueError, match=f"the source of {module}:change has changed since the settings were stored"):
        recipe_from_settings("test", stored, trust=True)


@pytest.mark.parametrize(
    ("returned", "received"),
    [
        ("image[:-1]", r"uint8 \(5, 5, 1\)"),
        ("image[:, :, 0]", r"uint8 \(6, 5\)"),
        ("image.astype('float32')", r"float32 \(6, 5, 1\)"),
        ("image / 2", r"float64 \(6, 5, 1\)"),
        ("image.astype('int8')", r"int8 \(6, 5, 1\)"),
        ("None", "NoneType"),
        ("image.tolist()", "list"),
    ],
)
def test_custom_operation_that_returns_no_image_is_refused(
    write_module: Callable[[str], str], returned: str, received: str
) -> None:
    """A result that is not a uint8 array of the image's shape is refused, with what was received and expected."""
    module = write_module(f"def change(image, generator):\n    return {returned}\n")
    expected = rf"^{module}:change returned {received}; expected a NumPy array, uint8 \(6, 5, 1\).*Fix the function"
    with pytest.raises(EpochbankError, match=expected):
        run_custom(custom_recipe(module))


def test_custom_operation_that_raises_is_named(write_module: Callable[[str], str]) -> None:
    """An exception inside the function is reported with its type, text, file and line."""
    module = write_module("def change(image, generator):\n    value = {}\n    return value['missing']\n")
    with pytest.raises(EpochbankError, match=rf"^{module}:change raised KeyError: 'missing' \(.*{module}.py, line 3\)"):
        run_custom(custom_recipe(module))


def test_custom_operation_must_not_change_its_image(write_module: Callable[[str], str]) -> None:
    """A function that writes into its input image is refused, and the image stays as it was."""
    module = write_module("def change(image, generator):\n    image[:] = 0\n    return image\n")
    recipe, images = custom_recipe(module), images_of((6, 5, 1), 4, seed=13)
    before = images.copy()
    with pytest.raises(EpochbankError, match="read-only"):
        distort(images, recipe, draw(recipe, (6, 5, 1), "f", 0, 0, 4))
    assert np.array_equal(images, before)


def test_working_directory_is_searched_last(tmp_path: Path) -> None:
    """A custom operation in the working directory is found; a file there never replaces an installed module."""
    (tmp_path / "colorsys.py").write_text("def change(image, generator):\n    return image\n", encoding="utf-8")
    (tmp_path / "my_operation.py").write_text(
        "import colorsys\n"
        "def change(image, generator):\n"
        "    return 255 - image if hasattr(colorsys, 'rgb_to_hsv') else image\n",
        encoding="utf-8",
    )
    script = (
        "import numpy as np, sys\n"
        "from epochbank.augment.distortion.operations import CustomOperation\n"
        "operation = CustomOperation(path='my_operation:change')\n"
        "image = np.zeros((1, 2, 2, 1), np.uint8)\n"
        "assert operation.apply_many(image, {'generator': np.array([np.random.default_rng()], object)}).min() == 255\n"
        "assert sys.path[-1] == sys.argv[1]\n"
        "try:\n"
        "    CustomOperation(path='colorsys:change')\n"
        "except ValueError as error:\n"
        "    print(error)\n"
    )
    command = [sys.executable, "-P", "-c", script, str(tmp_path)]  # -P: Python itself adds no directory.
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("op = 'colorsys:change': module colorsys has no 'change'")
    assert str(tmp_path) not in done.stdout
