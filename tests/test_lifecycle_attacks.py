"""Crafted and damaged files of a set, and commands that ask for the impossible: refused in words, and in time."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

import epochbank
from conftest import glyphs
from epochbank import EpochbankError
from epochbank.augment.cli import main
from epochbank.augment.distortion.recipe import load_recipe, recipe_from_settings
from epochbank.augment.ingest import source_seal
from epochbank.augment.ingest.source_file import stored_facts
from epochbank.augment.sources import find
from epochbank.augment.store.description import fingerprint_of
from epochbank.augment.store.manifest import ManifestWriter, read_manifest, retirement, write_manifest
from epochbank.augment.store.tags import read_tags


def call(*words: object) -> Result:
    """Run a command; anything but an exit code is a traceback."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise AssertionError(words) from result.exception
    return result


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source and its set of three epochs, each in one shard."""
    directory = tmp_path_factory.mktemp("sound")
    np.savez(directory / "a.npz", images=glyphs(60, (8, 8, 1)), labels=np.arange(60) % 4)
    epochbank.generate(directory / "a.npz", epochs=3, sets=directory / "sets", jobs=1)
    return directory


@pytest.fixture
def stored(sound: Path, tmp_path: Path) -> Path:
    """The set in a copy of the directory of the sets."""
    return next(Path(shutil.copytree(sound / "sets", tmp_path / "sets")).glob("*/set.json")).parent


def source_file(stored: Path) -> Path:
    return next((stored.parent / "sources").glob("*.h5"))


def rewrite(stored: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change set.json, with the right checksum and fingerprint."""
    path = stored / "set.json"
    document = json.loads(path.read_text())
    change(document)
    del document["checksum"]
    document["fingerprint"] = fingerprint_of(document["identity"])
    path.write_text(json.dumps({**document, "checksum": fingerprint_of(document)}))


# --- Refresh --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "goal",
    [
        {"first": 100_000, "stop": 100_003}, {"first": 0, "stop": 200_000_000}, {"first": 5, "stop": 1},
        {"first": 0, "stop": 4}, {"first": 4, "stop": 7}, {"first": -1, "stop": 2}, {"first": 1.0, "stop": 4},
        {"first": True, "stop": 4}, {"first": "1", "stop": "4"}, [1, 4], {"first": 3}, None,
    ],
)  # fmt: skip
def test_a_goal_that_no_refresh_recorded_is_damage(stored: Path, goal: Any) -> None:
    """A set of epochs 0 to 2: a refresh of it ends with 1 to 3, 2 to 4 or 3 to 5."""
    (stored / "refresh.json").write_text(json.dumps(goal))
    before = (stored / "manifest.jsonl").read_bytes()
    result = call("refresh", stored, "--jobs", 1)
    assert result.exit_code == 1
    assert "refresh.json is damaged" in result.stderr
    assert (stored / "manifest.jsonl").read_bytes() == before


def test_a_goal_of_the_set_is_continued(stored: Path) -> None:
    """Also the largest one, and one that is reached already, which only the file is left of."""
    (stored / "refresh.json").write_text('{"first": 3, "stop": 6}')
    assert epochbank.refresh(stored, 1, jobs=1).new == [3, 4, 5]
    (stored / "refresh.json").write_text('{"first": 3, "stop": 6}')
    assert epochbank.refresh(stored, 1, jobs=1).new == []
    assert not (stored / "refresh.json").exists()


def test_epochs_that_would_be_retired_at_once_are_not_generated(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal comes before the source is read, and leaves the set as it was."""
    monkeypatch.setattr(find, "open_source", lambda *words: pytest.fail("SOURCE was read"))
    source_file(stored).unlink()
    before = {path: path.stat().st_mtime_ns for path in stored.rglob("*")}
    result = call("refresh", stored, "--epochs", 4, "--jobs", 1)
    assert result.exit_code == 2
    assert "--epochs 4 of a set with 3 stored epochs; expected at most 3" in result.stderr
    assert {path: path.stat().st_mtime_ns for path in stored.rglob("*")} == before


def test_a_crafted_number_of_an_epoch_is_refused(stored: Path) -> None:
    """A manifest with epochs 0, 1 and 10^15: the epochs between are not generated."""
    entries = read_manifest(stored)
    last = next(one for one in entries if one.epoch == 2)
    far = replace(last, epoch=10**15, file=f"epoch-{10**15}/0000000000.h5")
    write_manifest(stored, [one for one in entries if one is not last] + [far])
    result = call("refresh", stored, "--jobs", 1)
    assert result.exit_code == 1
    assert "expected consecutive epochs" in result.stderr


@pytest.mark.parametrize("command", ["refresh", "repair"])
def test_the_source_of_a_strangers_set_is_read_once(
    stored: Path, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SOURCE is a folder of others: it is named, listed once, and only if the name of the source file fits."""
    for name in ("one/0.png", "two/1.png"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True)
        (tmp_path / "tree" / name).write_bytes(b"no image")
    source_file(stored).unlink()
    shutil.rmtree(stored / "epoch-0000")
    listed = []
    kind = type(find.open_source(str(tmp_path / "tree")))
    monkeypatch.setattr(kind, "identity", lambda self: listed.append(self.path) or ["folder"])
    for name, times in (("usr-0123456789ab.h5", 0), ("tree-0123456789ab.h5", 1)):
        rewrite(
            stored, lambda one, name=name: one["source"].update(spec=str(tmp_path / "tree"), path=f"../sources/{name}")
        )
        result = call(command, stored, "--jobs", 1)
        assert result.exit_code == 1
        assert len(listed) == times
        assert (f"reading SOURCE '{tmp_path / 'tree'}'" in result.stderr) == bool(times)


# --- Source file, set.json, tags, recipe ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        [], 5, {}, {"unsealed": [], "checksum": "x"}, {"unsealed": [], "checksum": "x", "facts": []},
        {"unsealed": [], "checksum": "x", "facts": {"shape": 5, "digest": [1], "columns": {}}},
        {"unsealed": [[5]], "checksum": "x", "facts": {}}, {"unsealed": {"a": 1}, "checksum": "x", "facts": {}},
        {"unsealed": [["a", "b"]], "checksum": "x", "facts": {}}, {"unsealed": [[9, -4]], "checksum": 1, "facts": {}},
        {"unsealed": [], "checksum": "x", "facts": {"shape": [1, 2, 3, "4"]}},
    ],
)  # fmt: skip
def test_a_crafted_seal_is_damage(sound: Path, stored: Path, fields: Any) -> None:
    """Its own checksum is right; `augment run` imports the source again."""
    path = source_file(stored)
    text = json.dumps(fields).encode()
    with open(path, "r+b") as file:
        file.seek(-source_seal._SIZE, os.SEEK_END)
        file.write((source_seal._NAME + source_seal._own_checksum(text) + text).ljust(source_seal._SIZE - 1) + b"\n")
    facts = stored_facts(path)
    assert isinstance(facts.digest, str | None)
    assert facts.shape is None or len(facts.shape) == 4
    with pytest.raises(EpochbankError, match="is damaged"):
        epochbank.plan(path, epochs=1, sets=stored.parent)
    result = call("run", sound / "a.npz", "--epochs", 3, "--jobs", 1, "--sets", stored.parent)
    assert result.exit_code == 0, result.output
    assert "is imported again" in result.stderr


def test_attributes_of_another_type_are_no_facts(tmp_path: Path) -> None:
    """Of a file without a seal, whose digest is an array."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["image"], file.attrs["digest"] = np.zeros(3), np.arange(4)
    assert stored_facts(tmp_path / "a.h5") == (None, None, None)


@pytest.mark.parametrize(
    "split",
    [
        {"validation": "x", "test": None}, {}, {"validation": float("nan"), "test": 0.1}, [0.1, 0.1],
        {"validation": 0.6, "test": 0.6}, {"validation": -0.1, "test": 0.1}, {"validation": True, "test": 0.1},
        {"validation": 10**400, "test": 0.1},
    ],
)  # fmt: skip
def test_an_impossible_split_is_damage(stored: Path, split: Any) -> None:
    rewrite(stored, lambda one: one["identity"].update(split=split))
    (stored / "split.h5").unlink()
    result = call("repair", stored, "--jobs", 1)
    assert result.exit_code == 1
    assert "set.json is damaged" in result.stderr


@pytest.mark.parametrize("tag", ["..", "a/b", "a\x1b[2J", "", "-x", "x" * 65, "a\n"])
def test_stored_tags_are_those_that_can_be_given(stored: Path, tag: str) -> None:
    (stored / "tags.json").write_text(json.dumps({"tags": ["good", tag]}))
    with pytest.raises(EpochbankError, match="cannot be a tag"):
        read_tags(stored)
    result = call("list", "--sets", stored.parent)
    assert result.exit_code == 1
    assert "\x1b" not in result.output


def test_the_stages_of_a_recipe_are_counted(stored: Path, tmp_path: Path) -> None:
    """A set with 3,000 stages or operations is not recomputed for days; a file with them is refused, too."""
    settings = json.loads((stored / "set.json").read_text())["identity"]["recipe"]
    stage = settings["stages"][0]
    for wrong in ([stage] * 3000, [{**stage, "operations": stage["operations"] * 3000}]):
        with pytest.raises(ValueError, match="expected at most 100"):
            recipe_from_settings("x", {**settings, "stages": wrong})
    rewrite(stored, lambda one: one["identity"]["recipe"].update(stages=[stage] * 3000))
    result = call("verify", stored, "--deep", "--jobs", 1)
    assert result.exit_code == 1
    assert "3,000 [[stage]] tables; expected at most 100" in result.stderr
    recipe = '[[stage]]\noperation = [{ op = "blur", radius = [0, 0] }]\n'
    (tmp_path / "r.toml").write_text(recipe * 100)
    assert len(load_recipe(tmp_path / "r.toml").stages) == 100
    (tmp_path / "r.toml").write_text(recipe * 101)
    with pytest.raises(EpochbankError, match="expected at most 100"):
        load_recipe(tmp_path / "r.toml")


# --- gc -------------------------------------------------------------------------------------------------------


def test_gc_goes_through_the_rest(stored: Path) -> None:
    """Links that lead nowhere or in a circle are removed; directories and pipes with the names of files stay."""
    sets = stored.parent
    links = [
        sets / ".tmp-x", stored / ".tmp-x", stored / "epoch-0000/.tmp-x", sets / "sources/z.h5",
        sets / "sources/.tmp-y", stored / "epoch-0000/0000009999.h5",
    ]  # fmt: skip
    for link in links:
        link.symlink_to("nowhere")
    circle = sets / "sources/circle.h5"
    circle.symlink_to("circle.h5")
    pipes = [sets / "sources/.tmp-pipe", sets / "sources/pipe.h5"]
    for pipe in pipes:
        os.mkfifo(pipe)
    directories = [sets / "sources/d.h5", stored / "epoch-0000/0000008888.h5"]
    for directory in directories:
        directory.mkdir()
    real = sets / "sources/unneeded.h5"
    real.write_bytes(b"1")
    outside = sets.parent / "outside"
    outside.mkdir()
    (outside / ".lock").touch()
    (sets / "linked").symlink_to(outside)
    result = call("gc", "--sets", sets, "--yes")
    assert result.exit_code == 0, result.output
    assert not [path for path in (*links, circle, pipes[0], real) if os.path.lexists(path)]
    for kept in (pipes[1], *directories):
        assert kept.exists()
        assert f"note: {kept} is a" in result.stdout
    assert (sets / "linked/.lock").exists()
    assert epochbank.verify(stored, jobs=1) == []


def test_what_cannot_be_removed_is_noted(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the disk on one file keeps that file only."""
    sources = stored.parent / "sources"
    for name in ("a.h5", "b.h5", "c.h5"):
        (sources / name).write_bytes(b"1")
    unlink = Path.unlink

    def failing(path: Path, *words: Any, **keywords: Any) -> None:
        if path.name == "b.h5":
            raise OSError(5, "Input/output error", str(path))
        unlink(path, *words, **keywords)

    monkeypatch.setattr(Path, "unlink", failing)
    removed, kept = epochbank.gc(stored.parent)
    assert [one.path.name for one in removed] == ["a.h5", "c.h5"]
    assert kept == [f"{sources / 'b.h5'} cannot be removed: Input/output error. Check the disk and the permissions."]


# --- repair, verify, explain ----------------------------------------------------------------------------------


def test_repair_says_that_a_set_is_unfinished(stored: Path) -> None:
    """The published shards are sound, but the set is not complete, and only a run completes it."""
    write_manifest(stored, [one for one in read_manifest(stored) if one.split == "train" or one.epoch == 1])
    result = call("repair", stored, "--jobs", 1)
    assert result.exit_code == 1
    assert "sound" not in result.output
    assert "is unfinished" in result.stderr
    assert "same `augment run` again to complete it. So are 2 more" in result.stderr
    assert len(epochbank.repair(stored, jobs=1).unfinished) == 3


def test_a_refreshed_set_is_not_unfinished(stored: Path) -> None:
    writer = ManifestWriter(stored)
    writer.append(retirement(0))
    writer.close()
    assert call("repair", stored, "--jobs", 1).exit_code == 0


def test_repair_says_that_the_source_is_missing(stored: Path) -> None:
    source_file(stored).unlink()
    result = call("repair", stored, "--jobs", 1)
    assert result.exit_code == 0
    assert "is sound: nothing to repair" in result.stdout
    assert "is missing. The set can be trained on" in result.stdout


@pytest.mark.parametrize("words", [("--share", 0.5), ("--seed", 3)])
def test_options_of_deep_need_deep(stored: Path, words: tuple[object, ...]) -> None:
    result = call("verify", stored, "--jobs", 1, *words)
    assert result.exit_code == 2
    assert "applies only to --deep" in result.stderr


def test_a_source_that_is_no_file_is_called_so(stored: Path) -> None:
    path = source_file(stored)
    path.unlink()
    path.mkdir()
    assert "which is not a file" in call("verify", stored, "--deep", "--jobs", 1).stderr


def test_explain_says_what_is_not_stored(stored: Path) -> None:
    result = call("explain", stored, 99, 0, "--json")
    assert json.loads(result.stdout)["stored"] is False
    assert f"epoch 99, position 0, is not stored in {stored}; this is what it would contain" in result.stderr
    result = call("explain", stored, 2, 0, "--json")
    assert json.loads(result.stdout)["stored"] is True
    assert result.stderr == ""
