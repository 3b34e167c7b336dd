"""An Albumentations pipeline as an operation: its pixels, its fingerprint, and what is refused."""

import copy
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from conftest import glyphs

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
import albumentations as A
import cv2

from epochbank.augment.cli import main
from epochbank.augment.distortion.distort import distort
from epochbank.augment.distortion.draw import draw
from epochbank.augment.distortion.operations import AlbumentationsOperation
from epochbank.augment.distortion.recipe import load_recipe, recipe_from_settings
from epochbank.augment.errors import EpochbankError
from epochbank.augment.views.explain import stage_text
from operation_battery import Shape, from_pillow, recipe_of, to_pillow

RECIPE = '[[stage]]\noperation = [{ op = "albumentations", file = "pipeline.yaml" }]\n'


def usual() -> A.Compose:
    """Nested compositions with noise, which use both of Albumentations' random generators."""
    return A.Compose(
        [
            A.HorizontalFlip(p=0.5),
            A.VerticalFlip(p=0.5),
            A.Rotate(limit=20, p=0.8),
            A.OneOf([A.GaussianBlur(p=1), A.Compose([A.GaussNoise(p=0.5), A.Perspective(p=0.5)]), A.Sharpen()], p=0.9),
            A.SomeOf([A.ElasticTransform(alpha=20), A.CoarseDropout(p=1), A.RandomBrightnessContrast()], n=2, p=0.7),
        ]
    )


def save(compose: Any, folder: Path, name: str = "pipeline.yaml") -> Path:
    path = folder / name
    A.save(compose, path, data_format="json" if path.suffix == ".json" else "yaml")
    return path


def write(folder: Path, text: str = RECIPE, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def plain_opencv() -> Iterator[None]:
    """OpenCV without optimized code, with which Albumentations itself computes the same pixels."""
    cv2.setUseOptimized(False)
    yield
    cv2.setUseOptimized(True)


def with_albumentations(compose: A.Compose, image: np.ndarray, seed: int) -> np.ndarray:
    """Reproduce an image as the documentation says, from a pipeline and the reported seed."""
    compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
    return compose(image=image)["image"]


def applied(operation: AlbumentationsOperation, image: np.ndarray, seed: int) -> np.ndarray:
    return from_pillow(operation.apply(to_pillow(image), seed=seed))


# --- The pixels ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(64, 64, 1), (64, 64, 3), (63, 65, 1), (17, 25, 3), (28, 28, 1)])
def test_pixels_are_those_of_albumentations(plain_opencv: None, shape: Shape) -> None:
    """`apply` is the pipeline with seeded random generators, for gray and RGB images."""
    operation = AlbumentationsOperation(pipeline=A.to_dict(usual()))
    changed = 0
    for seed, image in enumerate(glyphs(25, shape), 2**53 - 25):
        after = applied(operation, image, seed)
        assert np.array_equal(after, with_albumentations(usual(), image, seed))
        changed += not np.array_equal(after, image)
    assert changed > 15


def test_seed_is_one_uniform() -> None:
    """The seed is an integer below 2^53, drawn from one uniform number, each equally likely."""
    operation = AlbumentationsOperation(pipeline=A.to_dict(usual()))
    shape, most = (8, 8, 1), 2**53 - 1
    assert operation.uniforms(shape) == 1
    drawn = operation.parameters(np.array([[0.0], [2.0**-53], [0.5], [most * 2.0**-53]]), shape)
    assert drawn.keys() == {"seed"}
    assert drawn["seed"].dtype == np.int64
    assert drawn["seed"].tolist() == [0, 1, 2**52, most]


def test_pixels_depend_on_the_seed_only() -> None:
    """Earlier calls, other threads and copies of the operation change no pixel, and global random state stays."""
    operation = AlbumentationsOperation(pipeline=A.to_dict(usual()))
    images = glyphs(40, (32, 32, 3))
    once = [applied(operation, image, seed) for seed, image in enumerate(images)]
    for seed in reversed(range(40)):
        assert np.array_equal(applied(operation, images[seed], seed), once[seed])
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda seed: applied(copy.deepcopy(operation), images[seed], seed), range(40)))
    sys.setswitchinterval(interval)
    assert np.array_equal(again, once)
    state = np.random.get_state()[1].copy(), random.getstate()
    applied(operation, images[0], 0)
    assert np.array_equal(np.random.get_state()[1], state[0])
    assert random.getstate() == state[1]


def test_transforms_are_independent() -> None:
    """Transforms with the same probability are applied independently, not all or none of them."""
    flips = A.Compose([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5), A.Transpose(p=0.5)])
    operation = AlbumentationsOperation(pipeline=A.to_dict(flips))
    image = np.arange(16, dtype=np.uint8).reshape(4, 4, 1)
    uniform = np.random.default_rng(0).random((800, 1))
    seeds = operation.parameters(uniform, image.shape)["seed"].tolist()
    seen = Counter(applied(operation, image, seed).tobytes() for seed in seeds)
    assert len(seen) == 8
    assert min(seen.values()) > 60


def test_settings_of_opencv_are_restored() -> None:
    """OpenCV's threads and optimized code are enabled again, even if a transform raises."""
    before = cv2.getNumThreads(), cv2.useOptimized()
    image = np.zeros((8, 8, 1), np.uint8)
    applied(AlbumentationsOperation(pipeline=A.to_dict(usual())), image, 1)
    with pytest.raises(EpochbankError):
        applied(AlbumentationsOperation(pipeline=A.to_dict(A.Compose([A.RandomCrop(9, 9)]))), image, 1)
    assert (cv2.getNumThreads(), cv2.useOptimized()) == before


def run_python(source: str, *words: str, **environment: str) -> str:
    """Return what a new Python process prints; it must exit without a warning or an error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source, *words],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


DIGEST = """
import hashlib, sys
import numpy as np
from epochbank.augment.distortion.distort import distort
from epochbank.augment.distortion.draw import draw
from epochbank.augment.distortion.recipe import load_recipe
recipe, shape = load_recipe(sys.argv[1]), (64, 64, 3)
images = np.random.Generator(np.random.PCG64(5)).integers(0, 256, (40, *shape), np.uint8)
print(hashlib.sha256(distort(images, recipe, draw(recipe, shape, "machine", 0, 0, 40)).tobytes()).hexdigest())
"""


def test_pixels_do_not_depend_on_the_processor(tmp_path: Path) -> None:
    """OpenCV rounds differently with AVX2; here it computes the same pixels on a processor without it."""
    save(A.Compose([A.Rotate(p=1), A.Perspective(p=1), A.Sharpen(p=1), A.HueSaturationValue(p=1)]), tmp_path)
    recipe = write(tmp_path)
    without = "AVX512_SKX,AVX2,FMA3,AVX,FP16,SSE4_2,SSE4_1,POPCNT,SSSE3"
    older = run_python(DIGEST, str(recipe), OPENCV_CPU_DISABLE=without, OPENCV_IPP="disabled")
    assert older == run_python(DIGEST, str(recipe))


# --- The recipe ------------------------------------------------------------------------------------------


def test_settings_are_the_content(tmp_path: Path) -> None:
    """The settings depend on the content only, not on the format, the name or the version that wrote the file."""
    (tmp_path / "deep").mkdir()
    save(usual(), tmp_path)
    yaml = load_recipe(write(tmp_path))
    save(usual(), tmp_path, "deep/other.json")
    json_recipe = load_recipe(write(tmp_path, RECIPE.replace("pipeline.yaml", "deep/other.json"), "json.toml"))
    document = A.to_dict(usual())
    inline = recipe_of({"op": "albumentations", "pipeline": {**document, "__version__": "1"}})
    assert yaml.settings() == json_recipe.settings() == inline.settings()
    assert yaml.stages[0].choices == json_recipe.stages[0].choices
    (stored,) = yaml.settings()["stages"][0]["operations"]
    assert stored == {
        "op": "albumentations",
        "weight": 1.0,
        "pipeline": json.loads(json.dumps({"transform": document["transform"]})),
        "albumentations": A.__version__,
        "opencv": cv2.__version__,
    }
    document["transform"]["transforms"][0]["p"] = 0.25
    assert AlbumentationsOperation(pipeline=document).settings()["pipeline"] != stored["pipeline"]


def test_settings_make_the_recipe_without_the_file(tmp_path: Path) -> None:
    """A recipe that is made from its settings needs no file, and draws and distorts as before."""
    path = save(usual(), tmp_path)
    recipe = load_recipe(write(tmp_path))
    path.unlink()
    again = recipe_from_settings("mine", json.loads(json.dumps(recipe.settings())), trust=True)
    assert again.settings() == recipe.settings()
    assert again.stages[0].choices == recipe.stages[0].choices
    images = glyphs(10, (24, 24, 1))
    for one in (recipe, again):
        drawn = draw(one, (24, 24, 1), "f", 0, 0, 10)
        assert np.array_equal(distort(images, one, drawn), distort(images, recipe, drawn))
    taken = recipe.settings()["stages"][0]["operations"][0]["pipeline"]["transform"]
    taken["p"] = 0
    assert recipe.settings()["stages"][0]["operations"][0]["pipeline"]["transform"]["p"] == 1


@pytest.mark.parametrize("name", ["relative", "absolute"])
def test_relative_path_starts_at_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A relative path starts at the recipe's folder, not at the working directory; an absolute path is kept."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "elsewhere").mkdir()
    path = save(usual(), tmp_path / "recipes")
    text = RECIPE if name == "relative" else RECIPE.replace("pipeline.yaml", path.as_posix())
    recipe = write(tmp_path / "recipes", text)
    monkeypatch.chdir(tmp_path / "elsewhere")
    settings = load_recipe(recipe).settings()
    monkeypatch.chdir(tmp_path)
    assert load_recipe("recipes/mine.toml").settings() == settings


def test_explained_as_text() -> None:
    """The text names the seed."""
    assert stage_text({"op": "albumentations", "seed": 12}) == "albumentations 12"


QUICK = """
import sys
import urllib.request
def ask(*words, **more): raise SystemExit("used the network")
urllib.request.OpenerDirector.open = ask
import epochbank.augment.views.preview, epochbank.augment.generation.run
from epochbank.augment.distortion.recipe import load_recipe
load_recipe("kanji")
assert not {"albumentations", "cv2", "yaml"} & sys.modules.keys()
load_recipe(sys.argv[1])
assert "albumentations" in sys.modules
assert not {"tensorflow", "keras"} & sys.modules.keys()
"""


def test_albumentations_is_imported_only_if_used(tmp_path: Path) -> None:
    """Only a recipe with a pipeline imports Albumentations, and the import does not use the network."""
    save(usual(), tmp_path)
    run_python(QUICK, str(write(tmp_path)), NO_ALBUMENTATIONS_UPDATE="")


# --- Refusals ----------------------------------------------------------------------------------------------

FIRST = "stage[0].operation[0]."


def refusal(recipe: Path) -> str:
    with pytest.raises(EpochbankError) as caught:
        load_recipe(recipe)
    assert caught.value.exit_code == 2
    return str(caught.value)


def saved(transform: Any) -> str:
    return json.dumps(A.to_dict(transform))


BLUR = A.to_dict(A.Compose([A.GaussianBlur()]))


def changed(**more: Any) -> str:
    """Return a saved blur with other arguments."""
    document = copy.deepcopy(BLUR)
    document["transform"]["transforms"][0].update(more)
    return json.dumps(document)


INVALID_PIPELINES: dict[str, tuple[str, list[str]]] = {
    # Fault: the text of the file, and what the message must contain.
    "no JSON": ("{", ["not a JSON file"]),
    "empty": ("", ["not a JSON file"]),
    "a list": ("[]", ["not a pipeline that albumentations.save wrote", "`transform`"]),
    "another table": ('{"a": 1}', ["not a pipeline that albumentations.save wrote"]),
    "no class": ('{"transform": {}}', ["cannot make this pipeline", "KeyError: '__class_fullname__'"]),
    "nan": ('{"transform": {"p": NaN}}', ["not plain values"]),
    "one transform": (saved(A.GaussianBlur()), ["holds a GaussianBlur; expected a Compose"]),
    "one of several": (saved(A.OneOf([A.GaussianBlur(), A.Sharpen()])), ["holds a OneOf; expected a Compose"]),
    "unknown transform": (changed(__class_fullname__="Blurr"), ["cannot make this pipeline (KeyError: 'Blurr')"]),
    "wrong argument": (changed(p="often"), ["cannot make this pipeline", "ValueError", "InitSchema p Input should be"]),
    "a function": (saved(A.Compose([A.Lambda(name="f", image=None)])), ["cannot make this pipeline", "name f"]),
    "another target": (
        saved(A.Compose([A.GaussianBlur()], additional_targets={"other": "image"})),
        ["has additional_targets; expected a pipeline for images alone"],
    ),
    "boxes": (
        saved(A.Compose([A.HorizontalFlip()], bbox_params=A.BboxParams("yolo"))),
        ["has bbox_params; expected a pipeline for images alone"],
    ),
    "points": (
        saved(A.Compose([A.HorizontalFlip()], keypoint_params=A.KeypointParams("xy"))),
        ["has keypoint_params; expected a pipeline for images alone"],
    ),
    "needs a mask": (saved(A.Compose([A.OneOf([A.MaskDropout()])])), ["MaskDropout needs mask; expected a pipeline"]),
    "needs other images": (
        '{"transform": {"__class_fullname__": "Compose", "transforms": [{"__class_fullname__": "FDA", "p": 1}]}}',
        ["FDA needs fda_metadata"],
    ),
    "volumes": (saved(A.Compose([A.CubicSymmetry()])), ["CubicSymmetry does not act on images"]),
}


@pytest.mark.parametrize("fault", INVALID_PIPELINES)
def test_invalid_pipeline_is_refused(tmp_path: Path, fault: str) -> None:
    """A file without a pipeline for images only is refused when the recipe is read, with its path."""
    text, expected = INVALID_PIPELINES[fault]
    path = tmp_path / "pipeline.json"
    path.write_text(text)
    recipe = write(tmp_path, RECIPE.replace(".yaml", ".json"))
    message = refusal(recipe)
    assert message.startswith(f"{recipe}: {FIRST}file = {str(path)!r}: ")
    assert message.endswith(".")
    assert "\n" not in message
    assert all(text in message for text in expected), message


@pytest.mark.filterwarnings("ignore:Argument.s. 'strength' are not valid:UserWarning")
def test_unknown_arguments_are_refused(tmp_path: Path) -> None:
    """A pipeline with arguments that the installed Albumentations would ignore is refused."""
    (tmp_path / "pipeline.yaml").write_text(changed(strength=3))  # JSON is YAML.
    assert "GaussianBlur has no strength in the installed Albumentations" in refusal(write(tmp_path))


INVALID_OPERATIONS: dict[str, tuple[str, list[str]]] = {
    # Fault: the settings of the operation, and what the message must contain.
    "no file": ('file = "none.yaml"', ["none.yaml': cannot be read (No such file", "starts at the recipe's folder"]),
    "a folder": ('file = "folder.json"', ["folder.json': cannot be read (Is a directory)"]),
    "no YAML": ('file = "bad.yaml"', ["bad.yaml': not a YAML file", "line 2"]),
    "no text": ('file = "bytes.yml"', ["bytes.yml': not a YAML file: UnicodeDecodeError"]),
    "dates": ('file = "date.yaml"', ["date.yaml': not plain values", "date"]),
    "another suffix": ('file = "mine.toml"', ["expected a file whose name ends in .yaml, .yml or .json"]),
    "number for a file": ("file = 3", [f"{FIRST}file = 3; expected the path"]),
    "nothing": ("", [f"{FIRST}file = ''; expected the path of a pipeline saved by albumentations.save"]),
    "both": (
        'file = "pipeline.yaml", pipeline = {}',
        [f"{FIRST}pipeline: given together with file; expected one of them"],
    ),
    "no table": ("pipeline = 3", [f"{FIRST}pipeline: not a pipeline that albumentations.save wrote"]),
    "another key": ('path = "pipeline.yaml"', [f"{FIRST}path: unknown key; expected", "file"]),
    "another version": (
        'file = "pipeline.yaml", albumentations = "1.3.1"',
        [f"{FIRST}albumentations = '1.3.1', but {A.__version__} is installed", "pip install 'albumentations==1.3.1'"],
    ),
    "another OpenCV": (
        'file = "pipeline.yaml", opencv = "4.1.0"',
        [
            f"{FIRST}opencv = '4.1.0', but {cv2.__version__} is installed",
            "pip install 'opencv-python-headless==4.1.0.*'",
        ],
    ),
    "version that is a number": ('file = "pipeline.yaml", albumentations = 2', [f"{FIRST}albumentations = 2, but "]),
}


@pytest.mark.parametrize("fault", INVALID_OPERATIONS)
def test_invalid_operation_is_refused(tmp_path: Path, fault: str) -> None:
    """A recipe without a readable pipeline, or with another version, is refused with the key and the fix."""
    save(usual(), tmp_path)
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "bad.yaml").write_text("a: [1,\n")
    (tmp_path / "bytes.yml").write_bytes(b"\x89\xff\xfe")
    (tmp_path / "date.yaml").write_text("transform: {p: 2026-01-01}\n")
    keys, expected = INVALID_OPERATIONS[fault]
    operation = "{ " + ", ".join(text for text in ('op = "albumentations"', keys) if text) + " }"
    recipe = write(tmp_path, f"[[stage]]\noperation = [{operation}]\n")
    message = refusal(recipe)
    assert message.startswith(f"{recipe}: {FIRST}")
    assert all(text in message for text in expected), message


INVALID_RESULTS: dict[str, tuple[A.Compose, list[str]]] = {
    "another size": (A.Compose([A.Resize(8, 6)]), ["returned uint8 (8, 6, 1); expected", "uint8 (20, 16, 1)"]),
    "another type": (A.Compose([A.ToFloat()]), ["returned float32 (20, 16, 1); expected"]),
    "another color": (A.Compose([A.ToRGB(p=1)]), ["returned uint8 (20, 16, 3); expected"]),
    "only for RGB": (A.Compose([A.RandomRain(p=1)]), ["raised ValueError", "3-channel images", "(20, 16, 1)"]),
    "needs boxes": (A.Compose([A.BBoxSafeRandomCrop()]), ["raised KeyError: 'bboxes'"]),
    "larger crop": (A.Compose([A.RandomCrop(64, 64)]), ["raised "]),
}


@pytest.mark.parametrize("fault", INVALID_RESULTS)
def test_invalid_result_is_refused(tmp_path: Path, npz: Path, fault: str) -> None:
    """A pipeline that changes shape or dtype, or raises, stops the run at the first image, with the file's name."""
    compose, expected = INVALID_RESULTS[fault]
    path = save(compose, tmp_path)
    words = ["run", str(npz), "--recipe", str(write(tmp_path)), "--sets", str(tmp_path / "sets"), "--jobs", "1"]
    done = CliRunner().invoke(main, [*words, "--epochs", "1"])
    assert done.exit_code == 2
    for text in [str(path), "Fix the pipeline and run the command again; the change makes another set.", *expected]:
        assert text in " ".join(done.output.split())


MISSING = """
import sys
sys.modules["albumentations"] = None
from epochbank.augment.errors import EpochbankError
from epochbank.augment.distortion.recipe import load_recipe
try:
    load_recipe(sys.argv[1])
except EpochbankError as error:
    print(error)
"""


def test_missing_albumentations_is_refused(tmp_path: Path) -> None:
    """If Albumentations is not installed, the message says how to install it."""
    save(usual(), tmp_path)
    recipe = write(tmp_path)
    message = run_python(MISSING, str(recipe))
    assert message.startswith(f"{recipe}: {FIRST}op = 'albumentations' needs Albumentations")
    assert "pip install 'epochbank[albumentations]'" in message


# --- Whole sets ----------------------------------------------------------------------------------------------

TWO_STAGES = """
[[stage]]
operation = [{ op = "albumentations", file = "pipeline.yaml", weight = 3 }, { op = "rotate" }]

[[stage]]
probability = 0.5
operation = [{ op = "albumentations", file = "noise.json" }]
"""


def invoke(*words: str) -> str:
    done = CliRunner().invoke(main, list(words))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_execution_changes_no_pixel(tmp_path: Path, npz: Path) -> None:
    """Jobs, shard size and chunk size change no digest; a renamed file gives the same set."""
    save(usual(), tmp_path)
    save(A.Compose([A.GaussNoise(p=1), A.Affine(rotate=9, p=0.5)]), tmp_path, "noise.json")
    facts = []
    for number, more in enumerate([["--jobs", "1"], ["--jobs", "2", "--shard-size", "48", "--chunk-size", "16"]]):
        sets = str(tmp_path / f"sets-{number}")
        recipe = str(write(tmp_path, TWO_STAGES))
        invoke("run", str(npz), "--recipe", recipe, "--epochs", "2", "--sets", sets, *more)
        facts.append(json.loads(invoke("info", "--sets", sets, "--json")))
    assert facts[0]["fingerprint"] == facts[1]["fingerprint"]
    assert [epoch["digest"] for epoch in facts[0]["epochs"]] == [epoch["digest"] for epoch in facts[1]["epochs"]]
    assert len({epoch["digest"] for epoch in facts[0]["epochs"]}) == 2
    (tmp_path / "pipeline.yaml").rename(tmp_path / "renamed.yaml")
    recipe = str(write(tmp_path, TWO_STAGES.replace("pipeline.yaml", "renamed.yaml")))
    again = invoke("run", str(npz), "--recipe", recipe, "--epochs", "2", "--sets", str(tmp_path / "sets-0"))
    assert "nothing to do" in again


def test_stored_images_can_be_made_from_the_reported_seed(tmp_path: Path, npz: Path, plain_opencv: None) -> None:
    """Albumentations makes the stored image from the seed that `explain` reports; the file is not needed."""
    path = save(usual(), tmp_path)
    sets = tmp_path / "sets"
    invoke("run", str(npz), "--recipe", str(write(tmp_path)), "--epochs", "1", "--sets", str(sets), "--jobs", "1")
    path.unlink()
    directory = json.loads(invoke("info", "--sets", str(sets), "--json"))["path"]
    images, compose = glyphs(300), usual()
    stored = stored_epoch(Path(directory))
    for position in range(12):
        facts = json.loads(invoke("explain", directory, "0", str(position), "--json", "--trust"))
        (stage,) = facts["stages"]
        assert stage.keys() == {"op", "seed"}
        made = with_albumentations(compose, images[facts["row"]], stage["seed"])
        assert np.array_equal(made, stored[position])
    invoke("preview", directory, "--out", str(tmp_path / "sheet.png"), "--trust")


def stored_epoch(directory: Path) -> np.ndarray:
    """Return the images of epoch 0 in order of position."""
    import h5py
    import hdf5plugin  # noqa: F401

    lines = [json.loads(line) for line in (directory / "manifest.jsonl").read_text().splitlines()]
    files = sorted((line["start"], line["file"]) for line in lines if line["file"].startswith("epoch-0000"))
    images = []
    for _, name in files:
        with h5py.File(directory / name) as file:
            images.append(file["image"][()])
    return np.concatenate(images)


def test_set_of_another_version_is_refused(tmp_path: Path, npz: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another Albumentations installed, `explain` is refused, with both versions and the fix."""
    save(usual(), tmp_path)
    sets = str(tmp_path / "sets")
    invoke("run", str(npz), "--recipe", str(write(tmp_path)), "--epochs", "1", "--sets", sets, "--jobs", "1")
    directory = json.loads(invoke("info", "--sets", sets, "--json"))["path"]
    version = A.__version__
    monkeypatch.setattr(A, "__version__", "9.9.9")
    done = CliRunner().invoke(main, ["explain", directory, "0", "0", "--trust"])
    assert done.exit_code == 1
    message = " ".join(done.output.split())
    assert f"cannot be restored: {FIRST}albumentations = '{version}', but 9.9.9 is installed" in message
    assert "Restore the code that the set was made with." in message
    assert f"pip install 'albumentations=={version}'" in message
