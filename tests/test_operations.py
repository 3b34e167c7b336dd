"""Every operation pixel for pixel as Pillow makes it, called as distortions.md says; own operations; `distort`."""

import hashlib
import importlib
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from conftest import SHAPES, pictures_of
from epochbank.augment.distortion.distort import distort
from epochbank.augment.distortion.draw import draw
from epochbank.augment.distortion.recipe import Recipe, load_recipe, parse_recipe, recipe_from_settings
from epochbank.augment.errors import EpochbankError

few = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

Shape = tuple[int, int, int]

# --- The reference: distortions.md, with Pillow and np.roll alone -----------------------------------


def to_pillow(picture: np.ndarray) -> Image.Image:
    return Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)


def from_pillow(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


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

NAMES = {
    "rotate": {"degrees"},
    "shear": {"x", "y"},
    "scale": {"width", "height", "left", "top"},
    "sine": {"shift"},
    "blur": {"radius"},
    "sharpen": set(),
    "smooth": set(),
}


def through_json(parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters as `augment explain --json` prints them, and as a reader gets them back."""
    plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in parameters.items()}
    return json.loads(json.dumps(plain))


def by_reference(pictures: np.ndarray, recipe: Recipe, drawn: Any) -> np.ndarray:
    """What the drawn parameters do to `pictures`, one at a time, with Pillow alone."""
    results = []
    for picture, operations in zip(pictures, drawn.applied(recipe), strict=True):
        image = to_pillow(picture)
        for applied in operations:
            assert applied.parameters.keys() == NAMES[applied.op]
            image = REFERENCE[applied.op](image, **through_json(applied.parameters))
        results.append(from_pillow(image))
    return np.stack(results) if results else pictures.copy()


def assert_same(result: np.ndarray, expected: np.ndarray) -> None:
    assert result.dtype == np.uint8
    assert result.shape == expected.shape
    differing = np.flatnonzero((result != expected).reshape(len(result), -1).any(axis=1))
    assert not len(differing), f"{len(differing)} of {len(result)} pictures differ, the first is {differing[0]}"


# --- Pictures and recipes ----------------------------------------------------------------------------


def recipe_of(*stages: list[dict[str, Any]]) -> Recipe:
    return parse_recipe({"name": "test", "stage": [{"operation": stage} for stage in stages]})


WIDE: dict[str, dict[str, Any]] = {
    "rotate": {"op": "rotate", "degrees": [-360, 360]},
    "rotate a little": {"op": "rotate"},
    "shear": {"op": "shear", "x": [-3, 3], "y": [-3, 3]},
    "shear a little": {"op": "shear"},
    "scale": {"op": "scale", "width": [0, 1], "height": [0, 1]},
    "sine": {"op": "sine", "strength": [-3, 3]},
    "sine of every column": {"op": "sine", "strength": [-3, 3], "per_column": True},
    "blur": {"op": "blur", "radius": [0, 6]},
    "blur a little": {"op": "blur"},
    "sharpen": {"op": "sharpen"},
    "smooth": {"op": "smooth"},
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("what", WIDE)
def test_as_pillow_makes_it(what: str, shape: Shape) -> None:
    """An operation over wide ranges gives Pillow's pixels from the parameters that it reports, whatever the size."""
    recipe, count = recipe_of([WIDE[what]]), 15
    pictures = pictures_of(shape, count, seed=1)
    drawn = draw(recipe, shape, what, 0, 100, 100 + count)
    assert_same(distort(pictures, recipe, drawn), by_reference(pictures, recipe, drawn))


@pytest.mark.long
@pytest.mark.parametrize("what", WIDE)
def test_as_pillow_makes_it_many_times(what: str) -> None:
    """So it does for tens of thousands of drawn parameters and hundreds of sizes."""
    random, recipe, count = np.random.default_rng(7), recipe_of([WIDE[what]]), 100
    for epoch in range(300):
        shape = (int(random.integers(1, 81)), int(random.integers(1, 81)), int(random.choice([1, 3])))
        pictures = pictures_of(shape, count, seed=epoch)
        drawn = draw(recipe, shape, what, epoch, 0, count)
        assert_same(distort(pictures, recipe, drawn), by_reference(pictures, recipe, drawn))


@pytest.mark.long
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["kanji", "kanji-strong"])
def test_built_in_recipe_many_times(name: str, channels: int) -> None:
    """Tens of thousands of 64 x 64 pictures come out of a built-in recipe as Pillow makes them."""
    recipe, shape = load_recipe(name), (64, 64, channels)
    for epoch in range(40):
        pictures = pictures_of(shape, 500, seed=epoch)
        drawn = draw(recipe, shape, name, epoch, 0, 500)
        assert_same(distort(pictures, recipe, drawn), by_reference(pictures, recipe, drawn))


@pytest.mark.parametrize("degrees", [0, 90, 180, 270, -90, 360, 1e-9, -1e-9, 45, 14.999999999, 0.5])
@pytest.mark.parametrize("shape", [(64, 64, 1), (31, 20, 3)], ids=str)
def test_rotate_by_particular_angles(degrees: float, shape: Shape) -> None:
    """So are angles that Pillow treats apart: quarter turns, none, and hardly any."""
    recipe = recipe_of([{"op": "rotate", "degrees": [degrees, degrees]}])
    pictures, drawn = pictures_of(shape, 3, seed=2), draw(recipe, shape, "f", 0, 0, 3)
    expected = np.stack([from_pillow(to_pillow(picture).rotate(degrees)) for picture in pictures])
    assert_same(distort(pictures, recipe, drawn), expected)


@pytest.mark.parametrize("kernel", ["sharpen", "smooth"])
@pytest.mark.parametrize("channels", [1, 3])
def test_filter_rounds_and_clips_as_pillow_does(kernel: str, channels: int) -> None:
    """Whatever the centre and the sum of its neighbours, the filters round and clip as Pillow does."""
    # Picture c has 3 x 3 tiles of centre c, whose neighbours have every sum from 0 to 8 * 255.
    sums = np.arange(8 * 255 + 1)
    tiles = np.zeros((256, 3, 3 * len(sums), channels), np.uint8)
    for cell, (row, column) in enumerate((r, c) for r in range(3) for c in range(3) if (r, c) != (1, 1)):
        tiles[:, row, column::3] = np.clip(sums - 255 * cell, 0, 255)[None, :, None]
    tiles[:, 1, 1::3] = np.arange(256)[:, None, None]
    recipe = recipe_of([{"op": kernel}])
    drawn = draw(recipe, tiles.shape[1:], "f", 0, 0, len(tiles))
    assert_same(distort(tiles, recipe, drawn), by_reference(tiles, recipe, drawn))


@few
@given(
    strength=st.floats(-3, 3),
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    per_column=st.booleans(),
)
def test_sine_rolls_by_the_formula(strength: float, height: int, width: int, per_column: bool) -> None:
    """Column i is rolled down, wrapping round, by trunc(s (H / 3) sin(-2 pi i (2 / W))) rows."""
    shape = (height, width, 1)
    wave = {"op": "sine", "strength": [strength, strength], "random_sign": False, "per_column": per_column}
    recipe = recipe_of([wave])
    picture = pictures_of(shape, 1, seed=3)
    expected = picture.copy()
    for i in range(width):
        shift = math.trunc(strength * (height / 3) * math.sin(-2 * math.pi * i * (2 / width)))
        expected[0, :, i] = np.roll(picture[0, :, i], shift, axis=0)
    assert_same(distort(picture, recipe, draw(recipe, shape, "f", 0, 0, 1)), expected)


# --- What the operations mean, apart from Pillow ----------------------------------------------------------


def one(operation: dict[str, Any], picture: np.ndarray) -> np.ndarray:
    """`picture` (H, W) distorted by one operation."""
    recipe = recipe_of([operation])
    shape = (*picture.shape, 1)
    return distort(picture[None, :, :, None], recipe, draw(recipe, shape, "f", 0, 0, 1))[0, :, :, 0]


def test_rotate_is_counter_clockwise_with_black_corners() -> None:
    """A positive angle turns counter-clockwise; corners that come from outside are 0; no new grey values appear."""
    white = np.full((64, 64), 255, np.uint8)
    turned = one({"op": "rotate", "degrees": [15, 15]}, white)
    assert turned[0, 0] == turned[0, 63] == turned[63, 0] == turned[63, 63] == 0
    assert set(np.unique(turned)) == {0, 255}
    arm = np.zeros((64, 64), np.uint8)
    arm[30:34, 50:] = 200  # Points right; it must then point up and right.
    rows, columns = np.nonzero(one({"op": "rotate", "degrees": [15, 15]}, arm))
    assert rows.mean() < 28
    assert columns.mean() > 50


def test_shear_moves_rows_and_columns() -> None:
    """x takes the pixel of row r from x r columns to the right; y takes that of column c from y c rows below."""
    dot = np.zeros((64, 64), np.uint8)
    dot[40, 40] = 255
    # A nearest neighbour stands at the centre of a pixel: 40.5 = 0.2 * 40.5 + 32.4.
    assert np.argwhere(one({"op": "shear", "x": [0.2, 0.2], "y": [0, 0]}, dot)).tolist() == [[40, 32]]
    assert np.argwhere(one({"op": "shear", "x": [0, 0], "y": [0.2, 0.2]}, dot)).tolist() == [[32, 40]]


def test_scale_leaves_black_around() -> None:
    """The shrunken picture lies at (left, top), and all around it is 0."""
    recipe = recipe_of([{"op": "scale"}])
    drawn = draw(recipe, (64, 64, 1), "f", 0, 0, 20)
    white = np.full((20, 64, 64, 1), 255, np.uint8)
    for result, (applied,) in zip(distort(white, recipe, drawn), drawn.applied(recipe), strict=True):
        of = applied.parameters
        expected = np.zeros((64, 64, 1), np.uint8)
        expected[of["top"] : of["top"] + of["height"], of["left"] : of["left"] + of["width"]] = 255
        assert np.array_equal(result, expected)


def test_sine_keeps_every_pixel() -> None:
    """A wave moves pixels within their column and loses none."""
    pictures = pictures_of((64, 64, 3), 9, seed=4)
    recipe = recipe_of([{"op": "sine", "per_column": True, "strength": [0.5, 1]}])
    result = distort(pictures, recipe, draw(recipe, (64, 64, 3), "f", 0, 0, 9))
    assert np.array_equal(np.sort(result, axis=1), np.sort(pictures, axis=1))
    assert not np.array_equal(result, pictures)


@pytest.mark.parametrize(
    "nothing",
    [
        {"op": "rotate", "degrees": [0, 0]},
        {"op": "shear", "x": [0, 0], "y": [0, 0]},
        {"op": "scale", "width": [1, 1], "height": [1, 1]},
        {"op": "sine", "strength": [0, 0]},
        {"op": "sine", "strength": [0, 0], "per_column": True},
        {"op": "blur", "radius": [0, 0]},
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", [(64, 64, 1), (31, 20, 3), (1, 1, 1)], ids=str)
def test_no_strength_changes_nothing(nothing: dict[str, Any], shape: Shape) -> None:
    """An operation of no strength gives the picture back as it was."""
    pictures, recipe = pictures_of(shape, 6, seed=5), recipe_of([nothing])
    result = distort(pictures, recipe, draw(recipe, shape, "f", 0, 0, 6))
    assert np.array_equal(result, pictures)
    assert not np.shares_memory(result, pictures)


# --- distort: a whole chunk ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(64, 64, 1), (64, 64, 3), (33, 47, 1)], ids=str)
@pytest.mark.parametrize("name", ["kanji", "kanji-strong"])
def test_chunk_is_as_one_picture_at_a_time(name: str, shape: Shape) -> None:
    """A chunk comes out as its pictures do one by one with Pillow alone, from the drawn parameters."""
    recipe, count = load_recipe(name), 128
    pictures, drawn = pictures_of(shape, count, seed=6), draw(load_recipe(name), shape, name, 3, 1000, 1000 + count)
    assert {tuple(one.op for one in picture) for picture in drawn.applied(recipe)} == set(
        itertools.product(["rotate", "shear", "scale", "sine"], ["blur", "sharpen", "smooth"])
    )
    assert_same(distort(pictures, recipe, drawn), by_reference(pictures, recipe, drawn))


def test_stages_follow_one_another() -> None:
    """Three stages of which some are left out are applied in the order of the recipe."""
    recipe = parse_recipe(
        {
            "name": "three",
            "stage": [
                {"probability": 0.5, "operation": [{"op": "blur"}, {"op": "sharpen"}]},
                {"probability": 0.7, "operation": [{"op": "rotate", "degrees": [-90, 90]}, {"op": "sine"}]},
                {"probability": 0.5, "operation": [{"op": "smooth"}, {"op": "shear"}, {"op": "scale"}]},
            ],
        }
    )
    pictures, drawn = pictures_of((40, 30, 1), 100, seed=7), draw(recipe, (40, 30, 1), "f", 0, 0, 100)
    assert {len(picture) for picture in drawn.applied(recipe)} == {0, 1, 2, 3}
    assert_same(distort(pictures, recipe, drawn), by_reference(pictures, recipe, drawn))


@few
@given(cuts=st.lists(st.integers(0, 40), max_size=5), start=st.integers(0, 10**12))
def test_chunk_size_changes_no_pixel(cuts: list[int], start: int) -> None:
    """Whatever chunks the positions are cut into, empty ones included, the pictures are the same."""
    recipe, shape = load_recipe("kanji"), (20, 24, 1)
    pictures = pictures_of(shape, 40, seed=8)
    whole = distort(pictures, recipe, draw(recipe, shape, "f", 0, start, start + 40))
    parts = [
        distort(pictures[low:high], recipe, draw(recipe, shape, "f", 0, start + low, start + high))
        for low, high in itertools.pairwise([0, *sorted(cuts), 40])
    ]
    assert_same(np.concatenate(parts), whole)


@pytest.mark.parametrize("what", [*WIDE, "kanji"])
def test_input_is_left_alone(what: str) -> None:
    """The pictures given are not changed, may be read-only, and lend the result no memory; twice gives the same."""
    recipe = load_recipe("kanji") if what == "kanji" else recipe_of([WIDE[what]])
    pictures = pictures_of((30, 30, 3), 12, seed=9)
    before, drawn = pictures.copy(), draw(recipe, (30, 30, 3), "f", 0, 0, 12)
    first = distort(pictures, recipe, drawn)
    assert np.array_equal(pictures, before)
    assert not np.shares_memory(first, pictures)
    assert first.flags.writeable
    assert first.flags.c_contiguous
    pictures.flags.writeable = False
    assert np.array_equal(distort(pictures, recipe, drawn), first)


# --- Operations of the user's own -----------------------------------------------------------------------------


NUMBERS = itertools.count()


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Write a module where Python finds it; gives its name, a new one each time, since a module is imported once."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(source: str) -> str:
        name = f"own_operation_{next(NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
        importlib.invalidate_caches()
        return name

    return write


def own_recipe(module: str, function: str = "change") -> Recipe:
    return recipe_of([{"op": f"{module}:{function}"}])


def run_own(recipe: Recipe, shape: Shape = (6, 5, 1), start: int = 0, stop: int = 4, epoch: int = 0) -> np.ndarray:
    pictures = pictures_of(shape, stop, seed=10)[start:stop]
    return distort(pictures, recipe, draw(recipe, shape, "own", epoch, start, stop))


NOISE = """
def change(picture, generator):
    return generator.integers(0, 256, picture.shape, "uint8")
"""


@pytest.mark.parametrize("shape", [(6, 5, 1), (6, 5, 3)], ids=str)
def test_own_operation_is_applied(write_module: Callable[[str], str], shape: Shape) -> None:
    """A function of the user's own gets the picture, uint8 (H, W, C), and what it returns is the result."""
    module = write_module(
        "def change(picture, generator):\n"
        f"    assert picture.shape == {shape} and picture.dtype == 'uint8'\n"
        "    return 255 - picture[::-1]\n"
    )
    pictures = pictures_of(shape, 4, seed=10)
    assert np.array_equal(run_own(own_recipe(module), shape), 255 - pictures[:, ::-1])


def test_own_operation_may_return_any_memory_layout(write_module: Callable[[str], str]) -> None:
    """Fortran order, a view, or the very picture that it was given: the values count."""
    module = write_module(
        "import numpy as np\n"
        "def same(picture, generator):\n    return picture\n"
        "def fortran(picture, generator):\n    return np.asfortranarray(picture)\n"
        "def view(picture, generator):\n    return np.repeat(picture, 2, axis=1)[:, ::2]\n"
    )
    for shape in ((6, 5, 1), (6, 5, 3)):
        for function in ("same", "fortran", "view"):
            result = run_own(own_recipe(module, function), shape)
            assert np.array_equal(result, pictures_of(shape, 4, seed=10)), function


def test_own_operation_beside_built_in_ones(write_module: Callable[[str], str]) -> None:
    """It shares a stage with built-in ones and is followed by another stage, picture by picture."""
    module = write_module("def change(picture, generator):\n    return 255 - picture\n")
    recipe = recipe_of([{"op": f"{module}:change"}, {"op": "rotate"}], [{"op": "smooth"}])
    pictures, drawn = pictures_of((20, 20, 1), 40, seed=11), draw(recipe, (20, 20, 1), "f", 0, 0, 40)
    result, applied = distort(pictures, recipe, drawn), drawn.applied(recipe)
    assert {len(operations) for operations in applied} == {2}
    assert {operations[0].op for operations in applied} == {f"{module}:change", "rotate"}
    for picture, after, (first, _) in zip(pictures, result, applied, strict=True):
        image = to_pillow(255 - picture) if ":" in first.op else rotate(to_pillow(picture), **first.parameters)
        assert np.array_equal(after, from_pillow(smooth(image)))


def test_own_generator_is_a_function_of_the_position(write_module: Callable[[str], str]) -> None:
    """However the positions are cut into chunks, the generator at a position gives the same numbers."""
    recipe = own_recipe(write_module(NOISE))
    whole = run_own(recipe, stop=12)
    for edges in ([0, 12], [0, 1, 5, 12], [0, 6, 7, 8, 12]):
        parts = [run_own(recipe, start=low, stop=high) for low, high in itertools.pairwise(edges)]
        assert np.array_equal(np.concatenate(parts), whole)
    assert np.array_equal(run_own(recipe, stop=12), whole)


def test_own_generator_differs_everywhere(write_module: Callable[[str], str]) -> None:
    """Every position, epoch, stage and set has a generator of its own."""
    module = write_module(
        "def first(picture, generator):\n"
        "    picture = picture.copy()\n    picture[0] = generator.integers(0, 256, picture[0].shape)\n"
        "    return picture\n"
        "def second(picture, generator):\n"
        "    picture = picture.copy()\n    picture[1] = generator.integers(0, 256, picture[1].shape)\n"
        "    return picture\n"
    )
    recipe, shape = recipe_of([{"op": f"{module}:first"}], [{"op": f"{module}:second"}]), (2, 16, 1)
    seen = set()
    for fingerprint in ("a", "b"):
        for epoch in (0, 1, 2):
            drawn = draw(recipe, shape, fingerprint, epoch, 0, 50)
            result = distort(np.zeros((50, *shape), np.uint8), recipe, drawn)
            seen |= {result[number, stage].tobytes() for number in range(50) for stage in (0, 1)}
    assert len(seen) == 2 * 3 * 50 * 2


def test_own_operation_distorts_alike_twice(write_module: Callable[[str], str]) -> None:
    """The same pictures, recipe and draw give the same result when asked twice."""
    recipe = own_recipe(write_module(NOISE))
    drawn, pictures = draw(recipe, (6, 5, 1), "f", 0, 0, 4), pictures_of((6, 5, 1), 4, seed=12)
    assert np.array_equal(distort(pictures, recipe, drawn), distort(pictures, recipe, drawn))


def test_own_source_is_part_of_the_settings(write_module: Callable[[str], str]) -> None:
    """The digest of the module's source is in the settings: another source, other settings."""
    settings_of = [
        own_recipe(write_module(source)).settings()["stages"][0]["operations"][0]
        for source in (NOISE, NOISE, NOISE + "# changed\n")
    ]
    assert settings_of[0]["source"] == settings_of[1]["source"] == hashlib.sha256(NOISE.encode()).hexdigest()
    assert settings_of[2]["source"] != settings_of[0]["source"]
    assert settings_of[0]["op"].endswith(":change")
    assert json.loads(json.dumps(settings_of)) == settings_of


def test_decorated_own_operation_has_its_own_source(write_module: Callable[[str], str]) -> None:
    """A function wrapped by a decorator of another module counts by the module that the recipe names."""
    helper = write_module(
        "import functools\n"
        "def twice(function):\n"
        "    @functools.wraps(function)\n"
        "    def inner(picture, generator):\n"
        "        return function(function(picture, generator), generator)\n"
        "    return inner\n"
    )
    sources = [
        f"from {helper} import twice\n@twice\ndef change(picture, generator):\n    return picture // {number}\n"
        for number in (2, 3)
    ]
    digests = [
        own_recipe(write_module(source)).settings()["stages"][0]["operations"][0]["source"] for source in sources
    ]
    assert digests[0] != digests[1]


def test_re_exported_own_operation_has_its_own_source(write_module: Callable[[str], str], tmp_path: Path) -> None:
    """A function that the named package only re-exports counts by the file that it is written in, too."""
    digests = []
    for number in (2, 3):
        package = tmp_path / f"own_package_{next(NUMBERS)}"
        package.mkdir()
        (package / "__init__.py").write_text("from .inner import change as change\n", encoding="utf-8")
        (package / "inner.py").write_text(
            f"def change(picture, generator):\n    return picture // {number}\n", encoding="utf-8"
        )
        importlib.invalidate_caches()
        digests.append(own_recipe(package.name).settings()["stages"][0]["operations"][0]["source"])
    assert digests[0] != digests[1]


def test_own_source_changed_since_is_noticed(write_module: Callable[[str], str], tmp_path: Path) -> None:
    """A recipe whose module has changed since its settings were written cannot be had again."""
    module = write_module(NOISE)
    recipe = own_recipe(module)
    stored = json.loads(json.dumps(recipe.settings()))
    assert recipe_from_settings("test", stored).settings() == stored
    (tmp_path / f"{module}.py").write_text(NOISE + "# changed\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no longer what it was"):
        recipe_from_settings("test", stored)


@pytest.mark.parametrize(
    ("returned", "received"),
    [
        ("picture[:-1]", r"uint8 \(5, 5, 1\)"),
        ("picture[:, :, 0]", r"uint8 \(6, 5\)"),
        ("picture.astype('float32')", r"float32 \(6, 5, 1\)"),
        ("picture / 2", r"float64 \(6, 5, 1\)"),
        ("picture.astype('int8')", r"int8 \(6, 5, 1\)"),
        ("None", "NoneType"),
        ("picture.tolist()", "list"),
    ],
)
def test_own_operation_that_returns_no_such_picture_is_refused(
    write_module: Callable[[str], str], returned: str, received: str
) -> None:
    """What is not a uint8 array of the picture's shape is refused, with what was received and expected."""
    module = write_module(f"def change(picture, generator):\n    return {returned}\n")
    expected = rf"^{module}:change returned {received}; expected a NumPy array, uint8 \(6, 5, 1\).*Mend the function"
    with pytest.raises(EpochbankError, match=expected):
        run_own(own_recipe(module))


def test_own_operation_that_raises_is_named(write_module: Callable[[str], str]) -> None:
    """An exception inside the function is told with its type, text, file and line."""
    module = write_module("def change(picture, generator):\n    value = {}\n    return value['missing']\n")
    with pytest.raises(EpochbankError, match=rf"^{module}:change raised KeyError: 'missing' \(.*{module}.py, line 3\)"):
        run_own(own_recipe(module))


def test_own_operation_must_not_change_its_picture(write_module: Callable[[str], str]) -> None:
    """A function that writes into the picture it was given is refused, and the picture stays as it was."""
    module = write_module("def change(picture, generator):\n    picture[:] = 0\n    return picture\n")
    recipe, pictures = own_recipe(module), pictures_of((6, 5, 1), 4, seed=13)
    before = pictures.copy()
    with pytest.raises(EpochbankError, match="read-only"):
        distort(pictures, recipe, draw(recipe, (6, 5, 1), "f", 0, 0, 4))
    assert np.array_equal(pictures, before)
