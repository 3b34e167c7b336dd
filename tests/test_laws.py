"""The laws of the design, held on whole sets: what is stored depends on the request alone."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageFilter

from conftest import glyphs
from epochbank.augment.cli import main

SMALL = ["--shard-size", "64", "--chunk-size", "32"]


def run(source: Path, sets: Path, *words: str) -> dict:
    """`augment run`, then the JSON of `augment info`."""
    made = CliRunner().invoke(main, ["run", str(source), "--sets", str(sets), "--jobs", "1", *words])
    assert made.exit_code == 0, made.output
    return json.loads(CliRunner().invoke(main, ["info", "--sets", str(sets), "--json"]).stdout)


def digests(facts: dict) -> list[str]:
    return [epoch["digest"] for epoch in facts["epochs"]]


def stored(sets: Path, folder: str) -> dict[str, np.ndarray]:
    """All pictures, labels and rows of a stored epoch or part, in order of position, through h5py alone."""
    (directory,) = (path.parent for path in sets.glob("*/set.json"))
    lines = [json.loads(line) for line in (directory / "manifest.jsonl").read_text().splitlines()]
    files = [line["file"] for line in sorted(lines, key=lambda line: line["start"]) if line["file"].startswith(folder)]
    columns: dict[str, list] = {"image": [], "label": [], "row": []}
    for name in files:
        with h5py.File(directory / name) as file:
            for key, values in columns.items():
                values.append(file[key][()])
    return {key: np.concatenate(values) for key, values in columns.items()}


@pytest.mark.parametrize(
    "words",
    [
        ["--jobs", "2", *SMALL],
        ["--shard-size", "37"],
        ["--chunk-size", "1"],
        ["--chunk-size", "7", "--shard-size", "100"],
        ["--codec", "lz4"],
        ["--codec", "gzip"],
        ["--codec", "none", *SMALL],
    ],
    ids=" ".join,
)
def test_execution_changes_no_pixel(npz: Path, tmp_path: Path, words: list[str]) -> None:
    """Workers, shard size, chunk size and codec leave fingerprint and digests as they are."""
    usual, other = run(npz, tmp_path / "a", "--epochs", "2"), run(npz, tmp_path / "b", "--epochs", "2", *words)
    assert other["fingerprint"] == usual["fingerprint"]
    assert digests(other) == digests(usual)
    assert len(set(digests(usual))) == 2


@pytest.mark.parametrize(
    "words",
    [["--seed", "1"], ["--recipe", "kanji-strong"], ["--test", "0.2"], ["--size", "16x16"], ["--invert", "yes"]],
)
def test_what_changes_a_pixel_makes_another_set(npz: Path, tmp_path: Path, words: list[str]) -> None:
    """Seed, recipe, split, size and the source's pixels are in the fingerprint."""
    assert run(npz, tmp_path / "a")["fingerprint"] != run(npz, tmp_path / "b", *words)["fingerprint"]


def test_a_later_extension_is_as_if_asked_for_at_once(npz: Path, tmp_path: Path) -> None:
    """One epoch, then three, with another codec and shard size: the first stays, the others are the same."""
    run(npz, tmp_path / "a", "--epochs", "1", *SMALL)
    manifest = next((tmp_path / "a").glob("*/manifest.jsonl"))
    before = manifest.read_bytes()
    extended = run(npz, tmp_path / "a", "--epochs", "3", "--codec", "lz4", "--shard-size", "50")
    assert manifest.read_bytes().startswith(before)
    assert digests(extended) == digests(run(npz, tmp_path / "b", "--epochs", "3"))
    assert extended["codec"] == "lz4+zstd"


def test_a_second_identical_request_writes_nothing(npz: Path, tmp_path: Path) -> None:
    """The same request finds the same set, says that there is nothing to do, and touches no file."""
    run(npz, tmp_path / "a", "--epochs", "2")
    state = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*")}
    again = CliRunner().invoke(main, ["run", str(npz), "--sets", str(tmp_path / "a"), "--epochs", "2"])
    assert "nothing to do" in again.stdout
    fewer = CliRunner().invoke(main, ["run", str(npz), "--sets", str(tmp_path / "a"), "--epochs", "1"])
    assert "nothing to do" in fewer.stdout
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*")} == state


def test_the_same_content_under_another_name_finds_the_same_set(npz: Path, tmp_path: Path) -> None:
    """A renamed source and a renamed recipe file ask for the same set: there is nothing to do."""
    run(npz, tmp_path / "a", "--epochs", "1")
    other, recipe = tmp_path / "other.npz", tmp_path / "mine.toml"
    other.write_bytes(npz.read_bytes())
    recipe.write_text(CliRunner().invoke(main, ["recipes", "kanji"]).stdout.replace('name = "kanji"', 'name = "mine"'))
    words = ["run", str(other), "--recipe", str(recipe), "--sets", str(tmp_path / "a"), "--epochs", "1"]
    assert "nothing to do" in CliRunner().invoke(main, words).stdout
    assert len(list((tmp_path / "a").glob("*/set.json"))) == 1


def test_every_training_picture_once_per_epoch_in_an_order_of_its_own(npz: Path, tmp_path: Path) -> None:
    """Each epoch holds exactly the training rows; no two have the same order; held-out rows appear in none."""
    run(npz, tmp_path, "--epochs", "3", *SMALL)
    held_out = np.concatenate([stored(tmp_path, part)["row"] for part in ("validation", "test")])
    train = np.setdiff1d(np.arange(300), held_out)
    assert len(train) + len(held_out) == 300
    orders = [stored(tmp_path, folder)["row"] for folder in ("train", "epoch-0000", "epoch-0001", "epoch-0002")]
    for order in orders:
        assert np.array_equal(np.sort(order), train)
    for number, order in enumerate(orders):
        assert not any(np.array_equal(order, other) for other in orders[number + 1 :])
        assert not np.array_equal(order, train)


def test_undistorted_parts_are_the_source(npz: Path, tmp_path: Path) -> None:
    """Training, validation and test part hold the source's pictures and labels as they are, groups whole."""
    run(npz, tmp_path)
    groups = {}
    for part in ("train", "validation", "test"):
        held = stored(tmp_path, part)
        assert np.array_equal(held["image"], glyphs(300)[held["row"]])
        assert np.array_equal(held["label"], held["row"] % 6)
        groups[part] = set(held["row"] // 30)
    assert not groups["train"] & groups["validation"] | groups["train"] & groups["test"]
    assert not groups["validation"] & groups["test"]


def with_pillow_alone(picture: np.ndarray, stages: list[dict]) -> np.ndarray:
    """A picture made again from what `explain` says, by the table of reference/distortions.md."""
    image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
    for stage in stages:
        op = stage["op"]
        if op == "rotate":
            image = image.rotate(stage["degrees"])
        elif op == "shear":
            matrix = (1, stage["x"], 0, stage["y"], 1, 0)
            image = image.transform(image.size, Image.Transform.AFFINE, matrix)
        elif op == "scale":
            small = image.resize((stage["width"], stage["height"]))
            image = Image.new(image.mode, image.size)
            image.paste(small, (stage["left"], stage["top"]))
        elif op == "sine":
            pixels = np.array(image)
            for column, shift in enumerate(stage["shift"]):
                pixels[:, column] = np.roll(pixels[:, column], shift, axis=0)
            image = Image.fromarray(pixels)
        elif op == "blur":
            image = image.filter(ImageFilter.GaussianBlur(stage["radius"]))
        else:
            image = image.filter({"sharpen": ImageFilter.SHARPEN, "smooth": ImageFilter.SMOOTH}[op])
    return np.asarray(image).reshape(picture.shape)


@pytest.mark.parametrize("recipe", ["kanji", "kanji-strong"])
@pytest.mark.parametrize("shape", [(20, 16, 1), (17, 31, 3)])
def test_stored_pictures_can_be_made_again_from_explain(tmp_path: Path, recipe: str, shape: tuple) -> None:
    """For every position: row, class and group are right, and Pillow alone makes the stored pixels again."""
    pictures = glyphs(40, shape)
    names = np.array(["a", "b"])
    np.savez(
        tmp_path / "s.npz", images=pictures, labels=np.arange(40) % 2, class_names=names, groups=np.arange(40) // 4
    )
    facts = run(tmp_path / "s.npz", tmp_path / "sets", "--recipe", recipe, "--epochs", "2")
    held = stored(tmp_path / "sets", "epoch-0001")
    for position in range(facts["images"]["train"]):
        words = ["explain", facts["path"], "1", str(position), "--json"]
        told = json.loads(CliRunner().invoke(main, words).stdout)
        row = told["row"]
        assert row == held["row"][position]
        assert (told["label"], told["class"], told["group"]) == (row % 2, "ab"[row % 2], str(row // 4))
        assert np.array_equal(with_pillow_alone(pictures[row], told["stages"]), held["image"][position])


def test_an_epoch_can_be_explained_before_it_is_made(npz: Path, tmp_path: Path) -> None:
    """Order and draw of epoch 2 are known while only epoch 0 is stored, and are what is stored later."""
    facts = run(npz, tmp_path / "a", "--epochs", "1")
    words = ["explain", facts["path"], "2", "5", "--json"]
    foretold = json.loads(CliRunner().invoke(main, words).stdout)
    run(npz, tmp_path / "a", "--epochs", "3")
    assert stored(tmp_path / "a", "epoch-0002")["row"][5] == foretold["row"]
    assert json.loads(CliRunner().invoke(main, words).stdout) == foretold


def test_any_hdf5_program_shows_what_a_shard_is(npz: Path, tmp_path: Path) -> None:
    """`image`, `label` and `row` under their names, with attributes that say what they are."""
    facts = run(npz, tmp_path, "--epochs", "1", *SMALL)
    with h5py.File(next(Path(facts["path"]).glob("epoch-0000/*.h5"))) as file:
        assert file["image"].shape == (64, 20, 16, 1)
        assert (file["image"].dtype, file["label"].dtype, file["row"].dtype) == (np.uint8, np.int32, np.int64)
        assert "stored epoch 0, distorted" in file.attrs["about"]
        assert file.attrs["fingerprint"] == facts["fingerprint"]


def _start(source: Path, sets: Path, *words: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "epochbank.augment", "run", str(source), "--sets", str(sets), "--epochs", "3"]
    return subprocess.Popen(
        [*command, "--shard-size", "40", "--chunk-size", "8", "--jobs", "2", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _kill_at_random_moments(tmp_path: Path, kills: int) -> None:
    source = tmp_path / "many.npz"
    np.savez(source, images=glyphs(1500), labels=np.arange(1500) % 3)
    expected = digests(run(source, tmp_path / "whole", "--epochs", "3"))
    sets, moments, rng = tmp_path / "killed", [], random.Random(os.urandom(8))
    for _ in range(kills):
        process = _start(source, sets)
        manifest = next(sets.glob("*/manifest.jsonl"), None)
        held = manifest.read_bytes().count(b"\n") if manifest else 0
        wanted = held + rng.randrange(4)
        while process.poll() is None and _published(sets) < wanted:
            time.sleep(0.002)
        time.sleep(rng.random() * 0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        moments.append(_published(sets))
    finished = _start(source, sets)
    told = finished.communicate(timeout=120)
    assert finished.returncode == 0, (told, moments)
    facts = json.loads(CliRunner().invoke(main, ["info", "--sets", str(sets), "--json"]).stdout)
    assert digests(facts) == expected, moments
    assert CliRunner().invoke(main, ["verify", "--sets", str(sets)]).exit_code == 0
    directory = Path(facts["path"])
    named = {json.loads(line)["file"] for line in (directory / "manifest.jsonl").read_text().splitlines()}
    assert {path.relative_to(directory).as_posix() for path in directory.glob("*/*")} == named, moments


def _published(sets: Path) -> int:
    manifest = next(sets.glob("*/manifest.jsonl"), None)
    return manifest.read_bytes().count(b"\n") if manifest else 0


def test_killed_at_random_moments_the_same_command_completes_the_set(tmp_path: Path) -> None:
    """After SIGKILL of all processes, thrice: the same digests, every file in the manifest, none beside it."""
    _kill_at_random_moments(tmp_path, 3)


@pytest.mark.long
@pytest.mark.parametrize("campaign", range(10))
def test_killed_at_many_random_moments(tmp_path: Path, campaign: int) -> None:
    """The same, ten times ten kills."""
    _kill_at_random_moments(tmp_path, 10)


def test_interrupted_it_says_how_to_go_on(tmp_path: Path) -> None:
    """Ctrl-C: exit code 130, no traceback, how much is kept; the same command goes on."""
    source = tmp_path / "many.npz"
    np.savez(source, images=glyphs(3000), labels=np.arange(3000) % 3)
    process = _start(source, tmp_path / "sets", "--epochs", "100")
    while process.poll() is None and _published(tmp_path / "sets") < 5:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "the same command goes on" in told
    assert "Traceback" not in told
    assert _published(tmp_path / "sets") >= 5
