"""A published shard whose file is missing or incomplete: who notices, and that `augment run` generates it again."""

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from conftest import glyphs
from epochbank import open_set
from epochbank.augment.cli import main as augment
from epochbank.augment.errors import EpochbankError
from epochbank.augment.store.manifest import Entry, read_manifest
from epochbank.augment.store.presence import lost_shards
from epochbank.train.cli import main as train


def call(*words: object) -> Result:
    return CliRunner().invoke(augment, [str(word) for word in words])


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a source and its set of two epochs, each in eight shards or more."""
    directory = tmp_path_factory.mktemp("sound")
    np.savez(directory / "a.npz", images=glyphs(100, (8, 8, 1)), labels=np.arange(100) % 4)
    assert call(*run_of(directory)).exit_code == 0
    return directory


def run_of(directory: Path, *words: object) -> tuple[object, ...]:
    """The words of the same `augment run`; later ones override."""
    return ("run", directory / "a.npz", "--epochs", 2, "--jobs", 1, "--sets", directory / "sets",
            "--shard-size", 10, "--chunk-size", 5, *words)  # fmt: skip


@pytest.fixture
def here(sound: Path, tmp_path: Path) -> Path:
    """A copy of that directory."""
    return Path(shutil.copytree(sound, tmp_path / "copy"))


def set_in(directory: Path) -> Path:
    return next((directory / "sets").glob("*/set.json")).parent


def contents(directory: Path) -> dict[str, bytes]:
    """The bytes of every shard and of the manifest."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in set_in(directory).rglob("*")
        if path.suffix == ".h5" or path.name == "manifest.jsonl"
    }


def damage(stored: Path) -> tuple[Path, Path]:
    """Remove one shard of epoch 1, and cut a training shard short."""
    entries = read_manifest(stored)
    gone = next(stored / one.file for one in entries if one.epoch == 1 and one.start == 20)
    short = next(stored / one.file for one in entries if one.split == "train" and one.start == 0)
    gone.unlink()
    short.write_bytes(short.read_bytes()[:-7])
    return gone, short


def test_run_generates_exactly_the_lost_shards(here: Path) -> None:
    """The files are as they were, nothing else is written, and the manifest needs no new line and no editing."""
    stored = set_in(here)
    before = contents(here)
    times = {path: path.stat().st_mtime_ns for path in stored.rglob("*.h5")}
    lost = damage(stored)
    result = call(*run_of(here))
    assert result.exit_code == 0, result.output
    assert f"2 of the {len(read_manifest(stored))} shards of {stored} are missing or incomplete" in result.stderr
    assert contents(here) == before
    changed = {path for path in times if path.stat().st_mtime_ns != times[path]}
    assert changed == set(lost)
    assert call("verify", stored, "--jobs", 1).exit_code == 0
    assert "nothing to do" in call(*run_of(here)).output


def test_other_options_do_not_change_the_lost_shards(here: Path) -> None:
    """They are generated with their own range, chunks and codec, also by a run that adds an epoch in another form."""
    stored = set_in(here)
    before = contents(here)
    damage(stored)
    words = run_of(here, "--epochs", 3, "--shard-size", 40, "--chunk-size", 8, "--codec", "none")
    assert call(*words).exit_code == 0
    after = contents(here)
    assert {name: after[name] for name in before if name.endswith(".h5")} == {
        name: data for name, data in before.items() if name.endswith(".h5")
    }
    assert len(open_set(stored).epochs) == 3


def as_written_by_another_version(stored: Path) -> Entry:
    """Change the bytes of a shard, but not its images, and list it as it is now."""
    entries = read_manifest(stored)
    (entry,) = (one for one in entries if one.split == "test")
    with h5py.File(stored / entry.file, "r+") as file:
        file.attrs["made by"] = "another version of a library, with other bytes"
    path = stored / "manifest.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    at = [one.file for one in entries].index(entry.file)
    size = (stored / entry.file).stat().st_size
    lines[at] = json.dumps(json.loads(lines[at]) | {"bytes": size, "checksum": "0" * 32}) + "\n"
    path.write_text("".join(lines))
    (stored / "manifest.check").unlink()
    return replace(entry, bytes=size)


def test_a_shard_with_other_bytes_gets_a_new_line(here: Path) -> None:
    """If a library compresses differently by now, the images are the same; the later line counts."""
    stored = set_in(here)
    entry = as_written_by_another_version(stored)
    before = (stored / "manifest.jsonl").read_bytes()
    (stored / entry.file).unlink()
    assert call(*run_of(here)).exit_code == 0
    lines = (stored / "manifest.jsonl").read_bytes()
    assert lines.startswith(before)
    (line,) = lines[len(before) :].splitlines()
    assert json.loads(line)["file"] == entry.file
    assert json.loads(line)["digest"] == entry.digest
    assert len(read_manifest(stored)) == before.count(b"\n")
    assert call("verify", stored, "--jobs", 1).exit_code == 0
    assert len(open_set(stored).test(100)[0][1]) == entry.num_images


def test_other_images_are_never_published(here: Path) -> None:
    """If the images would differ from those in the manifest, the run is refused, and the shard stays lost."""
    stored = set_in(here)
    path = stored / "manifest.jsonl"
    (entry,) = (one for one in read_manifest(stored) if one.split == "test")
    path.write_text(path.read_text().replace(entry.digest, "f" * 32))
    (stored / "manifest.check").unlink()
    (stored / entry.file).unlink()
    before = contents(here)
    result = call(*run_of(here))
    assert result.exit_code == 1
    assert "was generated again with other images" in result.stderr
    assert "f" * 32 in result.stderr
    assert contents(here) == before
    assert not list(stored.rglob(".tmp-*"))


def test_everyone_notices(here: Path) -> None:
    """`open_set`, training, `list` and `plan` say which shard is lost, and how to generate it again."""
    stored = set_in(here)
    assert call(*run_of(here)).exit_code == 0  # It imports the source, whose copy has another path.
    gone, _ = damage(stored)
    gone.write_bytes(b"")
    message = f"2 of the {len(read_manifest(stored))} shards of {stored} are missing or incomplete, such as "
    with pytest.raises(EpochbankError, match=r"are missing or incomplete.*Run the same `augment run` again"):
        open_set(stored)
    listed = call("list", "--sets", here / "sets")
    assert listed.exit_code == 1
    assert message in listed.stderr
    assert stored.name in listed.stdout
    assert "2 of them replace missing or incomplete shards" in call("plan", *run_of(here)[1:]).output
    for words in (["fit", str(stored), "--run", str(here / "r")], ["bench", str(stored)]):
        result = CliRunner().invoke(train, words)
        assert result.exit_code == 1
        assert message in result.stderr
    assert not (here / "r").exists()


def test_verify_asks_nobody_to_edit_the_manifest(here: Path) -> None:
    """Following its advice repairs a set with a missing, an incomplete and a changed shard."""
    stored = set_in(here)
    before = contents(here)
    damage(stored)
    changed = next(stored / one.file for one in read_manifest(stored) if one.split == "validation")
    data = bytearray(changed.read_bytes())
    data[len(data) // 2] ^= 1
    changed.write_bytes(data)
    result = call("verify", stored, "--jobs", 1)
    assert result.exit_code == 1
    assert " is damaged in 3 shard" in result.stderr
    assert "delete the files that were changed, if any, then run the same `augment run` again" in result.stderr
    assert "manifest.jsonl" not in result.stderr
    changed.unlink()
    assert call(*run_of(here)).exit_code == 0
    assert contents(here) == before


def test_looking_takes_little_time(tmp_path: Path) -> None:
    """2,000 shards in 40 directories are checked in a moment, whether they exist or not."""
    entries = [
        Entry("epoch", epoch, start, 1, 1, "none", f"epoch-{epoch:04d}/{start:010d}.h5", 0, "", "")
        for epoch in range(40)
        for start in range(50)
    ]
    for epoch in range(40):
        (tmp_path / f"epoch-{epoch:04d}").mkdir()
    for entry in entries[:-3]:
        os.close(os.open(tmp_path / entry.file, os.O_CREAT))
    started = time.process_time()
    assert lost_shards(tmp_path, entries) == entries[-3:]
    assert lost_shards(tmp_path / "nowhere", entries) == entries
    assert time.process_time() - started < 0.5
