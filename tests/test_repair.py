"""`augment repair`: exactly the damaged and missing shards are generated again, and the digests prove it."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from conftest import glyphs
from epochbank import EpochbankError, api
from epochbank.augment.cli import main
from epochbank.augment.lifecycle import repair as repair_module
from epochbank.augment.shared.lock import LOCK, writing
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
    assert api.verify(stored, jobs=1) == []
    assert "is sound: nothing to repair" in call("repair", stored, "--jobs", 1).stdout


def test_a_lost_directory_is_repaired(stored: Path) -> None:
    before = contents(stored)
    shutil.rmtree(stored / "epoch-0001")
    result = api.repair(stored, jobs=1)
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
            entry = type(entry)(**{**vars(entry), "digest": "0" * 32})
        return temporary, entry, profile

    monkeypatch.setattr(repair_module, "make_shard", make_other)
    result = call("repair", stored, "--jobs", 1)
    assert result.exit_code == 1
    assert "other images than the manifest lists" in result.stderr
    assert wrong.read_bytes() == before
    assert (stored / "manifest.jsonl").read_bytes() == manifest
    assert good.exists()
    assert not list(stored.rglob(".tmp-*"))


def test_without_its_source_a_set_says_what_it_can_do(stored: Path) -> None:
    """A sound set needs no source; a damaged one names the missing file, and nothing changes."""
    source = next((stored.parent / "sources").glob("*.h5"))
    moved = source.rename(source.with_suffix(".moved"))
    assert api.repair(stored, jobs=1).faults == {}
    shard = stored / read_manifest(stored)[0].file
    shard.unlink()
    with pytest.raises(EpochbankError, match=r"does not exist, so no shard can be generated.*stays usable"):
        api.repair(stored, jobs=1)
    moved.rename(source)
    assert api.repair(stored, jobs=1).repaired == [read_manifest(stored)[0].file]


def test_a_damaged_source_repairs_nothing_wrong(stored: Path) -> None:
    """A byte of an image in the source file is flipped: nothing is published, and the file is named."""
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
        api.repair(stored, jobs=1)
