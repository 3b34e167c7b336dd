"""The laws of the design, checked on whole sets: only the set spec changes what is stored."""

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
    """Run `augment run`, and return the JSON of `augment info`."""
    made = CliRunner().invoke(main, ["run", str(source), "--sets", str(sets), "--jobs", "1", *words])
    assert made.exit_code == 0, made.output
    return json.loads(CliRunner().invoke(main, ["info", "--sets", str(sets), "--json"]).stdout)


def digests(facts: dict) -> list[str]:
    return [epoch["digest"] for epoch in facts["epochs"]]


def stored(sets: Path, folder: str) -> dict[str, np.ndarray]:
    """Read all images, labels and rows of a stored epoch or split, in order of position, with h5py only."""
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
def test_how_a_set_is_generated_changes_no_pixel(npz: Path, tmp_path: Path, words: list[str]) -> None:
    """The number of workers, shard size, chunk size and codec change neither the fingerprint nor the digests."""
    usual, other = run(npz, tmp_path / "a", "--epochs", "2"), run(npz, tmp_path / "b", "--epochs", "2", *words)
    assert other["fingerprint"] == usual["fingerprint"]
    assert digests(other) == digests(usual)
    assert len(set(digests(usual))) == 2


@pytest.mark.parametrize(
    "words",
    [["--seed", "1"], ["--recipe", "kanji-strong"], ["--test", "0.2"], ["--size", "16x16"], ["--invert", "yes"]],
)
def test_whatever_changes_a_pixel_changes_the_fingerprint(npz: Path, tmp_path: Path, words: list[str]) -> None:
    """Seed, recipe, split, size and the source's pixels are part of the fingerprint."""
    assert run(npz, tmp_path / "a")["fingerprint"] != run(npz, tmp_path / "b", *words)["fingerprint"]


def test_an_extended_set_equals_one_generated_at_once(npz: Path, tmp_path: Path) -> None:
    """One epoch is extended to three with another codec and shard size; the first epoch's shards stay."""
    run(npz, tmp_path / "a", "--epochs", "1", *SMALL)
    manifest = next((tmp_path / "a").glob("*/manifest.jsonl"))
    before = manifest.read_bytes()
    extended = run(npz, tmp_path / "a", "--epochs", "3", "--codec", "lz4", "--shard-size", "50")
    assert manifest.read_bytes().startswith(before)
    assert digests(extended) == digests(run(npz, tmp_path / "b", "--epochs", "3"))
    assert extended["codec"] == "lz4+zstd"


def test_a_complete_set_is_not_touched(npz: Path, tmp_path: Path) -> None:
    """The same command, or one for fewer epochs, prints that there is nothing to do, and writes nothing."""
    run(npz, tmp_path / "a", "--epochs", "2")
    state = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*")}
    again = CliRunner().invoke(main, ["run", str(npz), "--sets", str(tmp_path / "a"), "--epochs", "2"])
    assert "nothing to do" in again.stdout
    fewer = CliRunner().invoke(main, ["run", str(npz), "--sets", str(tmp_path / "a"), "--epochs", "1"])
    assert "nothing to do" in fewer.stdout
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*")} == state


def test_names_do_not_identify_a_set(npz: Path, tmp_path: Path) -> None:
    """With a renamed source and a renamed recipe, `augment run` finds the same set and has nothing to do."""
    run(npz, tmp_path / "a", "--epochs", "1")
    other, recipe = tmp_path / "other.npz", tmp_path / "mine.toml"
    other.write_bytes(npz.read_bytes())
    recipe.write_text(CliRunner().invoke(main, ["recipes", "kanji"]).stdout.replace('name = "kanji"', 'name = "mine"'))
    words = ["run", str(other), "--recipe", str(recipe), "--sets", str(tmp_path / "a"), "--epochs", "1"]
    assert "nothing to do" in CliRunner().invoke(main, words).stdout
    assert len(list((tmp_path / "a").glob("*/set.json"))) == 1


def test_each_epoch_holds_every_training_image_once_in_a_new_order(npz: Path, tmp_path: Path) -> None:
    """No two epochs have the same order, and no epoch contains a held-out row."""
    run(npz, tmp_path, "--epochs", "3", *SMALL)
    held_out = np.concatenate([stored(tmp_path, split)["row"] for split in ("validation", "test")])
    train = np.setdiff1d(np.arange(300), held_out)
    assert len(train) + len(held_out) == 300
    orders = [stored(tmp_path, folder)["row"] for folder in ("train", "epoch-0000", "epoch-0001", "epoch-0002")]
    for order in orders:
        assert np.array_equal(np.sort(order), train)
    for number, order in enumerate(orders):
        assert not any(np.array_equal(order, other) for other in orders[number + 1 :])
        assert not np.array_equal(order, train)


def test_undistorted_splits_equal_the_source(npz: Path, tmp_path: Path) -> None:
    """The three splits contain the source's images and labels unchanged, and no group is in two splits."""
    run(npz, tmp_path)
    groups = {}
    for split in ("train", "validation", "test"):
        held = stored(tmp_path, split)
        assert np.array_equal(held["image"], glyphs(300)[held["row"]])
        assert np.array_equal(held["label"], held["row"] % 6)
        groups[split] = set(held["row"] // 30)
    assert not groups["train"] & groups["validation"]
    assert not groups["train"] & groups["test"]
    assert not groups["validation"] & groups["test"]


def with_pillow_alone(image: np.ndarray, stages: list[dict]) -> np.ndarray:
    """Distort an image with the parameters that `explain` prints, with Pillow only."""
    pil_image = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    for stage in stages:
        op = stage["op"]
        if op == "rotate":
            pil_image = pil_image.rotate(stage["degrees"])
        elif op == "shear":
            matrix = (1, stage["x"], 0, stage["y"], 1, 0)
            pil_image = pil_image.transform(pil_image.size, Image.Transform.AFFINE, matrix)
        elif op == "scale":
            small = pil_image.resize((stage["width"], stage["height"]))
            pil_image = Image.new(pil_image.mode, pil_image.size)
            pil_image.paste(small, (stage["left"], stage["top"]))
        elif op == "sine":
            pixels = np.array(pil_image)
            for column, shift in enumerate(stage["shift"]):
                pixels[:, column] = np.roll(pixels[:, column], shift, axis=0)
            pil_image = Image.fromarray(pixels)
        elif op == "blur":
            pil_image = pil_image.filter(ImageFilter.GaussianBlur(stage["radius"]))
        else:
            pil_image = pil_image.filter({"sharpen": ImageFilter.SHARPEN, "smooth": ImageFilter.SMOOTH}[op])
    return np.asarray(pil_image).reshape(image.shape)


@pytest.mark.parametrize("recipe", ["kanji", "kanji-strong"])
@pytest.mark.parametrize("shape", [(20, 16, 1), (17, 31, 3)])
def test_explain_suffices_to_reproduce_every_image(tmp_path: Path, recipe: str, shape: tuple) -> None:
    """At every position, row, class and group are correct, and Pillow alone reproduces the stored pixels."""
    images = glyphs(40, shape)
    names = np.array(["a", "b"])
    np.savez(tmp_path / "s.npz", images=images, labels=np.arange(40) % 2, class_names=names, groups=np.arange(40) // 4)
    facts = run(tmp_path / "s.npz", tmp_path / "sets", "--recipe", recipe, "--epochs", "2")
    held = stored(tmp_path / "sets", "epoch-0001")
    for position in range(facts["images"]["train"]):
        words = ["explain", facts["path"], "1", str(position), "--json"]
        explained = json.loads(CliRunner().invoke(main, words).stdout)
        row = explained["row"]
        assert row == held["row"][position]
        assert (explained["label"], explained["class"], explained["group"]) == (row % 2, "ab"[row % 2], str(row // 4))
        assert np.array_equal(with_pillow_alone(images[row], explained["stages"]), held["image"][position])


def test_an_epoch_can_be_explained_before_it_is_generated(npz: Path, tmp_path: Path) -> None:
    """The order and the parameters of epoch 2 are the same before and after it is generated."""
    facts = run(npz, tmp_path / "a", "--epochs", "1")
    words = ["explain", facts["path"], "2", "5", "--json"]
    predicted = json.loads(CliRunner().invoke(main, words).stdout)
    run(npz, tmp_path / "a", "--epochs", "3")
    assert stored(tmp_path / "a", "epoch-0002")["row"][5] == predicted["row"]
    assert predicted["stored"] is False
    assert json.loads(CliRunner().invoke(main, words).stdout) == predicted | {"stored": True}


def test_a_shard_describes_itself_to_any_hdf5_program(npz: Path, tmp_path: Path) -> None:
    """The datasets are `image`, `label` and `row`, with attributes that describe the shard."""
    facts = run(npz, tmp_path, "--epochs", "1", *SMALL)
    with h5py.File(next(Path(facts["path"]).glob("epoch-0000/*.h5"))) as file:
        assert file["image"].shape == (64, 20, 16, 1)
        assert (file["image"].dtype, file["label"].dtype, file["row"].dtype) == (np.uint8, np.int32, np.int64)
        assert "stored epoch 0, distorted" in file.attrs["about"]
        assert file.attrs["fingerprint"] == facts["fingerprint"]


def start(source: Path, sets: Path, *words: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "epochbank.augment", "run", str(source), "--sets", str(sets), "--epochs", "3"]
    return subprocess.Popen(
        [*command, "--shard-size", "40", "--chunk-size", "8", "--jobs", "2", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill_at_random_moments(tmp_path: Path, kills: int) -> None:
    source = tmp_path / "many.npz"
    np.savez(source, images=glyphs(600), labels=np.arange(600) % 3)
    expected = digests(run(source, tmp_path / "whole", "--epochs", "3"))
    sets, moments, rng = tmp_path / "killed", [], random.Random(os.urandom(8))
    for _ in range(kills):
        process = start(source, sets)
        manifest = next(sets.glob("*/manifest.jsonl"), None)
        held = manifest.read_bytes().count(b"\n") if manifest else 0
        wanted = held + rng.randrange(4)
        while process.poll() is None and published(sets) < wanted:
            time.sleep(0.002)
        time.sleep(rng.random() * 0.05)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        errors = process.communicate()[1]
        assert process.returncode in (0, -signal.SIGKILL), errors
        moments.append(published(sets))
    finished = start(source, sets)
    output = finished.communicate(timeout=120)
    assert finished.returncode == 0, (output, moments)
    facts = json.loads(CliRunner().invoke(main, ["info", "--sets", str(sets), "--json"]).stdout)
    assert digests(facts) == expected, moments
    assert CliRunner().invoke(main, ["verify", "--sets", str(sets)]).exit_code == 0
    directory = Path(facts["path"])
    named = {json.loads(line)["file"] for line in (directory / "manifest.jsonl").read_text().splitlines()}
    assert {path.relative_to(directory).as_posix() for path in directory.glob("*/*")} == named, moments


def published(sets: Path) -> int:
    """Return the number of shards in the manifest of the set in `sets`."""
    manifest = next(sets.glob("*/manifest.jsonl"), None)
    return manifest.read_bytes().count(b"\n") if manifest else 0


def test_the_same_command_completes_a_killed_run(tmp_path: Path) -> None:
    """After two SIGKILLs of all processes, digests are the same, and the manifest lists all files that exist."""
    kill_at_random_moments(tmp_path, 2)


@pytest.mark.long
@pytest.mark.parametrize("campaign", range(10))
def test_the_same_command_completes_a_run_that_is_killed_often(tmp_path: Path, campaign: int) -> None:
    """The same with ten kills, in ten campaigns."""
    kill_at_random_moments(tmp_path, 10)


def test_an_interrupted_run_says_how_to_continue(tmp_path: Path) -> None:
    """Ctrl-C ends with exit code 130, without a traceback; message and log have the number of shards that are kept."""
    source = tmp_path / "many.npz"
    np.savez(source, images=glyphs(3000), labels=np.arange(3000) % 3)
    process = start(source, tmp_path / "sets", "--epochs", "100")
    while process.poll() is None and published(tmp_path / "sets") < 5:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130, message
    kept = published(tmp_path / "sets")
    assert kept >= 5
    assert f"{kept} of 6076 shards of this run are kept. Run the same command to continue." in message
    assert "Traceback" not in message
    facts = json.loads(CliRunner().invoke(main, ["info", "--sets", str(tmp_path / "sets"), "--json"]).stdout)
    (log,) = facts["runs"]
    assert (log["complete"], log["shards"]) == (False, kept)
