"""Stored sets of every format version: they stay readable and extendable, and reproducible pixel by pixel."""

import hashlib
import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from conftest import glyphs
from epochbank.augment.cli import main
from epochbank.augment.distortion.choose_engine import engine_named
from epochbank.augment.distortion.draw import draw_positions
from epochbank.augment.distortion.earlier_recipes import first_photo
from epochbank.augment.distortion.label_check import distort_checked
from epochbank.augment.distortion.recipe import LabelCheck, Recipe, load_recipe, parse_recipe, recipe_path
from epochbank.train.feeding.augmented_set import open_set
from epochbank.train.streaming.batches import TrainingBatches
from epochbank.train.streaming.stream import Stream

GOLDEN = Path(__file__).parent / "golden" / "format-1"
FINGERPRINT = "49c2f4b3d241181c8033c543531842fe17b4d21c83704172d32a31bb9c2f92a6"
DIGESTS = [
    "5e53ed6d499c3dfd28a855035d3b932c",
    "021daea8b8d6a413a800b62e1270444a",
    "88bec31ef05542da8706638f69de4d57",
    "57aeea25cd4b121b03bd8a0454ab905a",
]
STRATIFIED = "567567ebf3b4da45bb6037cfe1cf91e0392f36d06c0d15c96cbfcd6a28285fed"
STRATIFIED_DIGESTS = [
    "2cbac802d858fad8e4a613997e112fe1",
    "d194d7f6f1a5f50ebd4322a42dd4ddaf",
    "f694f3266a989d0a87f70bd2e6ac73bd",
    "289b59966ee6239a7c353f1778535ae9",
]
"""Fingerprint and digests of a set of the same source, split by today's rule, which stratifies groups."""
PIXELS = ["cfbe1e122496c4e1", "800eb6bebd83ec57", "6888622659575187", "91ce21f69130f926"]
ORDER = [38, 27, 10, 35, 30, 6, 36, 9, 31, 32, 22, 18, 20, 26, 19, 25, 17, 16, 7, 37, 11, 28, 8, 21, 23, 39, 29, 33, 24,
         4, 5, 34]  # fmt: skip


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """A copy of the golden set, so that no test writes to the original."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "sets"))


def printed(*words: str) -> dict:
    result = CliRunner().invoke(main, list(words))
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_golden_set_is_unchanged(sets: Path) -> None:
    """Fingerprint, digests and counts are those recorded when it was made, and every shard of every codec verifies."""
    facts = printed("info", "--sets", str(sets), "--json")
    assert facts["fingerprint"] == FINGERPRINT
    assert [epoch["digest"] for epoch in facts["epochs"]] == DIGESTS
    assert facts["images"] == {"train": 32, "validation": 4, "test": 4}
    assert printed("verify", "--sets", str(sets), "--json", "--jobs", "1")["sound"]


def test_a_golden_set_streams_its_pixels(sets: Path) -> None:
    """Each stored epoch, decoded outside the HDF5 library, has the same pixels as when it was made."""
    stored_set = open_set(None, sets)
    for epoch, digest in enumerate(PIXELS):
        table = stored_set.table("epoch", epoch)
        images, labels = np.empty((32, 12, 10, 1), np.uint8), np.empty(32, np.int32)
        first = 0
        for number, count in enumerate(table.chunk_sizes.tolist()):
            table.read(number, images[first : first + count], labels[first : first + count])
            first += count
        assert hashlib.sha256(images.tobytes()).hexdigest()[:16] == digest
    assert labels.tolist() == [row % 4 for row in rows_of(stored_set.path, 3)]
    assert len(Stream(stored_set, TrainingBatches(32, stored_set.epochs, 8, 0.5), seed=0).batch(0, 7)[1]) == 8


def rows_of(directory: Path, epoch: int) -> list[int]:
    return [printed("explain", str(directory), str(epoch), str(at), "--json")["row"] for at in range(32)]


def test_a_golden_image_is_explained_as_before(sets: Path) -> None:
    """Order and parameters of a stored epoch are the same as when it was made."""
    directory = sets / "golden-kanji-49c2f4b3"
    assert rows_of(directory, 2) == ORDER
    explained = printed("explain", str(directory), "2", "5", "--json")
    assert (explained["class"], explained["group"], explained["origin"]) == ("b", "1", "images[6]")
    assert explained["stages"] == [
        {"op": "shear", "x": -0.13729665575116878, "y": 0.017071598134143218},
        {"op": "sharpen"},
    ]


def test_the_golden_source_gives_the_same_set_as_before(tmp_path: Path) -> None:
    """The golden source and recipe, without the label check and with today's split rule, give the recorded digests."""
    recipe = tmp_path / "kanji.toml"
    recipe.write_text("label_check = false\n" + recipe_path("kanji").read_text())
    words = ["--recipe", str(recipe), "--epochs", "4", "--seed", "3", "--jobs", "1", "--sets", str(tmp_path)]
    result = CliRunner().invoke(main, ["run", str(GOLDEN / "golden.npz"), *words])
    assert result.exit_code == 0, result.output
    facts = printed("info", "--sets", str(tmp_path), "--json")
    assert facts["fingerprint"] == STRATIFIED
    assert [epoch["digest"] for epoch in facts["epochs"]] == STRATIFIED_DIGESTS
    assert open_set(None, tmp_path).class_names == ["ア", "イ", "b", "c"]


@pytest.mark.parametrize("engine", ["pillow", "compiled"])
def test_a_set_made_before_the_label_check_is_extended_unchanged(sets: Path, engine: str) -> None:
    """The same command finds the set that has no label check, and generates the missing shards as before."""
    (directory,) = sets.glob("golden-kanji-*")
    manifest = directory / "manifest.jsonl"
    kept = [line for line in manifest.read_text().splitlines(keepends=True) if json.loads(line)["epoch"] < 2]
    manifest.write_text("".join(kept))
    shutil.rmtree(directory / "epoch-0002")
    shutil.rmtree(directory / "epoch-0003")
    words = ["--epochs", "4", "--seed", "3", "--jobs", "1", "--sets", str(sets), "--engine", engine]
    result = CliRunner().invoke(main, ["run", str(GOLDEN / "golden.npz"), *words])
    assert result.exit_code == 0, result.output
    facts = printed("info", "--sets", str(sets), "--json")
    assert facts["fingerprint"] == FINGERPRINT
    assert [epoch["digest"] for epoch in facts["epochs"]] == DIGESTS
    assert len(list(sets.glob("*/set.json"))) == 1


FRAMING = [
    {"op": "affine", "resample": "bicubic"},
    {"op": "affine", "resample": "nearest"},
    {"op": "perspective"},
    {"op": "crop"},
    {"op": "flip", "vertical": True},
]


@pytest.mark.parametrize("engine", ["pillow", "compiled"])
@pytest.mark.parametrize(
    ("recipe", "lost", "digest"),
    [
        (load_recipe("handwriting"), 0.25, "aafe76cf63c7fd0a"),
        (load_recipe("handwriting"), 0.02, "80310bdc07c31002"),
        (first_photo(load_recipe("photo")), 1.0, "f60d5ec735625788"),
        (load_recipe("photo"), 1.0, "30157a0de1f251a0"),
        (parse_recipe({"name": "framing", "stage": [{"operation": FRAMING}]}), 0.25, "44e4c83119b6c29d"),
    ],
)
def test_recipes_give_the_same_pixels_as_before(recipe: Recipe, lost: float, digest: str, engine: str) -> None:
    """Parameters, pixels and resampled images are those recorded when the label check and operations were added."""
    recipe, images = replace(recipe, label_check=LabelCheck(lost)), glyphs(40, (20, 16, 3))
    draw = partial(draw_positions, recipe, images.shape[1:], "golden", 0)
    done = distort_checked(images, np.arange(40), recipe, draw, engine_named(engine))
    assert hashlib.sha256(done.images.tobytes()).hexdigest()[:16] == digest
    assert (len(done.rejected) > 0) == (lost == 0.02)
