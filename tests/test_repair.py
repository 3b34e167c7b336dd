"""`augment repair`: exactly the damaged and missing shards are generated again, and the digests prove it."""

import os
import shutil
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
from epochbank.api import generation
from epochbank.augment.cli import main
from epochbank.augment.generation import new_set as new_set_module
from epochbank.augment.ingest.source_file import open_source_file
from epochbank.augment.lifecycle import repair as repair_module
from epochbank.augment.lifecycle import restore_split as restore_split_module
from epochbank.augment.shared.lock import LOCK, writing
from epochbank.augment.store.description import read_description, write_description
from epochbank.augment.store.manifest import read_manifest


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of two epochs in several shards each, with its source file beside it."""
    directory = tmp_path_factory.mktemp("sound")
    np.savez(directory / "a.npz", images=glyphs(100, (8, 8, 1)), labels=np.arange(100) % 4)
    words = ("--epochs", 2, "--jobs", 1, "--shard-size", 20, "--chunk-size", 5, "--sets", directory / "sets")
    assert call("run", directory / "a.npz", *words).exit_code == 0
    return directory / "sets"


@pytest.fixture
def stored(sound: Path, tmp_path: Path) -> Path:
    """The directory of a copy of that set."""
    return next(Path(shutil.copytree(sound, tmp_path / "sets")).glob("*/set.json")).parent


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*.h5")}


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_exactly_the_damaged_shards_are_replaced(stored: Path) -> None:
    """One is missing, one cut short, one has a flipped byte; afterwards every file is as it was."""
    before, entries = contents(stored), read_manifest(stored)
    manifest = (stored / "manifest.jsonl").read_bytes()
    missing, short, flipped = (stored / one.file for one in entries[1::4][:3])
    missing.unlink()
    short.write_bytes(short.read_bytes()[:-5])
    flip(flipped, 3000)
    times = {path: path.stat().st_mtime_ns for path in stored.rglob("*.h5")}
    result = call("repair", stored, "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert "3 shards of" in result.stdout
    assert all(str(path.relative_to(stored)) in result.stdout for path in (missing, short, flipped))
    assert contents(stored) == before
    assert (stored / "manifest.jsonl").read_bytes() == manifest
    touched = {path for path in stored.rglob("*.h5") if path.stat().st_mtime_ns != times.get(path)}
    assert touched == {missing, short, flipped}
    assert epochbank.verify(stored, jobs=1) == []
    assert "is sound: nothing to repair" in call("repair", stored, "--jobs", 1).stdout


def test_a_lost_directory_is_repaired(stored: Path) -> None:
    before = contents(stored)
    shutil.rmtree(stored / "epoch-0001")
    result = epochbank.repair(stored, jobs=1)
    assert result.repaired == [one.file for one in read_manifest(stored) if one.epoch == 1]
    assert contents(stored) == before


def test_a_shard_with_another_digest_is_refused(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The damaged file stays, the manifest too, and the other shard is repaired."""
    wrong, good = (stored / one.file for one in read_manifest(stored)[-2:])
    flip(wrong, 3000)
    good.unlink()
    before, manifest = wrong.read_bytes(), (stored / "manifest.jsonl").read_bytes()
    make = repair_module.make_shard

    def make_other(job):  # type: ignore[no-untyped-def]
        temporary, entry, profile = make(job)
        if entry.file == str(wrong.relative_to(stored)):
            entry = replace(entry, digest="0" * 32)
        return temporary, entry, profile

    monkeypatch.setattr(repair_module, "make_shard", make_other)
    result = call("repair", stored, "--jobs", 1)
    assert result.exit_code == 1
    assert "other images than the manifest lists" in result.stderr
    assert wrong.read_bytes() == before
    assert (stored / "manifest.jsonl").read_bytes() == manifest
    assert good.exists()
    assert not list(stored.rglob(".tmp-*"))


def hide_original(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let SOURCE lead nowhere, so that it cannot be imported again."""
    monkeypatch.setattr("epochbank.augment.sources.find.open_source", refuse)


def refuse(*arguments: object) -> None:
    raise EpochbankError("the source does not exist")


def test_without_its_source_a_set_says_what_it_can_do(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sound set needs no source; a damaged one names the missing file, and nothing changes."""
    hide_original(monkeypatch)
    source = next((stored.parent / "sources").glob("*.h5"))
    moved = source.rename(source.with_suffix(".moved"))
    assert epochbank.repair(stored, jobs=1).faults == {}
    shard = stored / read_manifest(stored)[0].file
    shard.unlink()
    with pytest.raises(EpochbankError, match=r"does not exist, so no shard can be generated.*set can be trained on"):
        epochbank.repair(stored, jobs=1)
    moved.rename(source)
    assert epochbank.repair(stored, jobs=1).repaired == [read_manifest(stored)[0].file]


def test_a_damaged_source_repairs_nothing_wrong(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte of an image in the source file is flipped: nothing is published, and the file is named."""
    hide_original(monkeypatch)
    source = next((stored.parent / "sources").glob("*.h5"))
    with h5py.File(source) as file:
        offset = file["image"].id.get_offset()
    shutil.rmtree(stored / "epoch-0000")
    flip(source, offset + 64 * 50 + 10)
    result = call("repair", stored, "--jobs", 1)
    assert result.exit_code == 1
    assert source.name in result.stderr
    assert not list(stored.rglob(".tmp-*"))


def test_repair_waits_for_no_other_writer(stored: Path) -> None:
    """A set that another run writes is left alone."""
    with writing(stored / LOCK), pytest.raises(EpochbankError, match="being written by another run"):
        epochbank.repair(stored, jobs=1)


# --- What is not a shard --------------------------------------------------------------------------------------


def sources_of(stored: Path) -> Path:
    return next((stored.parent / "sources").glob("*.h5"))


@pytest.mark.parametrize("how", ["flipped", "missing", "empty"])
def test_split_is_computed_again(stored: Path, how: str) -> None:
    """The file has the same bytes as before, and nothing else is touched."""
    path, before = stored / "split.h5", contents(stored)
    if how == "missing":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    else:
        flip(path, 900)
    with pytest.raises(EpochbankError, match=r"run `augment repair`"):
        epochbank.info(stored)
    result = call("repair", stored, "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert "split.h5: restored" in result.stdout
    assert contents(stored) == before
    assert epochbank.verify(stored, jobs=1) == []


@pytest.mark.parametrize(
    "given", [{}, {"validation": 0.2, "test": 0.0}, {"split": "fractions"}, {"per_class": (9, 30)}]
)
def test_split_of_groups_and_named_splits_is_computed_again(tmp_path: Path, given: dict) -> None:
    """Groups, splits that the source names or that were ignored, duplicates and balance give the same file."""
    images = glyphs(120, (8, 8, 1))
    images[7] = images[90]
    splits = np.where(np.arange(120) % 6 == 0, "test", "train")
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(120) % 4, groups=np.arange(120) // 6, splits=splits)
    stored = generation.run(tmp_path / "a.npz", epochs=1, jobs=1, sets=tmp_path / "sets", **given).directory
    before = contents(stored)
    (stored / "split.h5").unlink()
    assert epochbank.repair(stored, jobs=1).restored == ["split.h5"]
    assert contents(stored) == before


def test_a_split_with_another_checksum_is_refused(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version of the algorithm must not change which images are tested."""
    flip(stored / "split.h5", 900)
    before = (stored / "split.h5").read_bytes()
    monkeypatch.setattr(restore_split_module, "rows_of_splits", other_rows)
    with pytest.raises(EpochbankError, match="with a different checksum"):
        epochbank.repair(stored, jobs=1)
    assert (stored / "split.h5").read_bytes() == before
    assert not list(stored.rglob(".tmp-*"))


def other_rows(images: Any, held_out: Any, digest: str) -> Any:
    return new_set_module.rows_of_splits(images, held_out, "1" * 64)


@pytest.mark.parametrize("command", ["repair", "refresh"])
@pytest.mark.parametrize("how", ["image", "label", "missing"])
def test_the_source_is_imported_again(stored: Path, command: str, how: str) -> None:
    """SOURCE is unchanged: its file has the same digest as before, and the set is sound."""
    path = sources_of(stored)
    with h5py.File(path) as file:
        image, label = file["image"].id.get_offset(), file["label"].id.get_offset()
    before = open_source_file(path).digest
    if how == "missing":
        path.unlink()
        (stored / read_manifest(stored)[0].file).unlink()
    else:
        flip(path, image + 64 * 50 + 10 if how == "image" else label + 4)
    result = call(command, stored, "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert "importing it again from SOURCE" in result.stderr
    assert open_source_file(path).digest == before
    assert sorted(one.name for one in path.parent.iterdir()) == [path.name]
    assert epochbank.verify(stored, jobs=1) == []


def test_a_source_with_other_contents_is_not_taken(sound: Path, tmp_path: Path) -> None:
    """The files of SOURCE have the same names, sizes and times, but other pixels: the damaged file stays."""
    original = sound.parent / "a.npz"
    kept, times = original.read_bytes(), original.stat()
    stored = next(Path(shutil.copytree(sound, tmp_path / "sets")).glob("*/set.json")).parent
    path = sources_of(stored)
    with h5py.File(path) as file:
        flip(path, file["image"].id.get_offset() + 5)
    damaged = path.read_bytes()
    try:
        np.savez(original, images=glyphs(100, (8, 8, 1), seed=1), labels=np.arange(100) % 4)
        os.utime(original, ns=(times.st_atime_ns, times.st_mtime_ns))
        result = call("repair", stored, "--jobs", 1)
    finally:
        original.write_bytes(kept)
        os.utime(original, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert result.exit_code == 1
    assert "remove the file, then run the same `augment run` again" in result.stderr
    assert path.read_bytes() == damaged


def test_python_that_a_set_names_is_not_executed(stored: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A set that says that its source is Python code does not have it run by `repair`."""
    (tmp_path / "evil.py").write_text("raise SystemExit('executed')")
    monkeypatch.syspath_prepend(tmp_path)
    description = read_description(stored)
    write_description(stored, replace(description, source={**description.source, "spec": "python:evil:f"}))
    sources_of(stored).unlink()
    (stored / read_manifest(stored)[0].file).unlink()
    with pytest.raises(EpochbankError, match="no shard can be generated"):
        epochbank.repair(stored, jobs=1)


def test_a_lost_set_json_is_written_by_the_same_run(stored: Path, sound: Path) -> None:
    """`repair` says so; the run writes the same file, and keeps every shard."""
    before, words = (stored / "set.json").read_bytes(), {"epochs": 2, "sets": stored.parent, "jobs": 1}
    manifest = (stored / "manifest.jsonl").read_bytes()
    flip(stored / "set.json", 100)
    with pytest.raises(EpochbankError, match=r"remove it and run the same `augment run` again.*cannot"):
        epochbank.repair(stored, jobs=1)
    (stored / "set.json").unlink()
    assert generation.run(sound.parent / "a.npz", shard_size=20, chunk_size=5, **words).log is None
    assert (stored / "set.json").read_bytes() == before
    assert (stored / "manifest.jsonl").read_bytes() == manifest
    assert epochbank.verify(stored, jobs=1) == []
