"""Virtual datasets: plain h5py reads a whole epoch, and nothing depends on them."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  Registers the filters.
import numpy as np
import pytest

import epochbank
from conftest import small_set
from epochbank.api import generation
from epochbank.augment.generation.publisher import Publisher
from epochbank.augment.shared.disk_space import bytes_below
from epochbank.augment.store import virtual_writer
from epochbank.augment.store.description import read_description
from epochbank.augment.store.manifest import Entry, read_manifest
from epochbank.augment.store.virtual_epoch import virtual_bytes, virtual_files

SMALL: dict[str, Any] = {"jobs": 1, "shard_size": 20, "chunk_size": 5}
ALL = ["epoch-0000.h5", "epoch-0001.h5", "test.h5", "train.h5", "validation.h5"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source and its set of two epochs, each in several shards."""
    return small_set(tmp_path_factory.mktemp("sound"), epochs=2, shape=(8, 6, 1))


@pytest.fixture
def here(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "copy"))


def set_in(directory: Path) -> Path:
    return next((directory / "sets").glob("*/set.json")).parent


def remove_virtual(stored: Path) -> None:
    for name in virtual_files(stored):
        (stored / name).unlink()


@pytest.mark.parametrize("codec", ["zstd", "lz4", "gzip", "none"])
def test_a_virtual_dataset_shows_the_whole_epoch(sound: Path, tmp_path: Path, codec: Any) -> None:
    """Images, labels and rows are those of the shards in order, for every epoch and split; attributes name the set."""
    stored = epochbank.generate(sound / "a.npz", epochs=2, codec=codec, sets=tmp_path / "sets", **SMALL).path
    assert virtual_files(stored) == ALL
    for name in ALL:
        folder = stored / name.removesuffix(".h5")
        shards = [h5py.File(path) for path in sorted(folder.glob("*.h5"))]
        with h5py.File(stored / name) as file:
            for column in ("image", "label", "row"):
                expected = np.concatenate([shard[column][()] for shard in shards])
                assert file[column].dtype == expected.dtype
                assert np.array_equal(file[column][()], expected)
            assert file.attrs["class_names"].tolist() == ["0", "1", "2", "3"]
            assert file.attrs["fingerprint"] == epochbank.info(stored)["fingerprint"]
            assert file.attrs["epoch"] == (int(folder.name[-4:]) if name.startswith("epoch") else 0)
            sources = file["image"].virtual_sources()
        assert [one.file_name for one in sources] == [f"{folder.name}/{path.name}" for path in sorted(folder.iterdir())]


def test_a_moved_set_shows_its_own_shards(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are relative to the file: neither the working directory nor the old place counts."""
    decoy = tmp_path / "decoy/epoch-0000"
    decoy.mkdir(parents=True)
    for path in (set_in(here) / "epoch-0000").glob("*.h5"):
        (decoy / path.name).write_bytes(b"no shard")
    monkeypatch.chdir(tmp_path / "decoy")
    moved = here / "sets" / "moved"
    before = h5py.File(set_in(here) / "epoch-0000.h5")["image"][()]
    set_in(here).rename(moved)
    with h5py.File(moved / "epoch-0000.h5") as file:
        assert np.array_equal(file["image"][()], before)
    (moved / read_manifest(moved)[-1].file).rename(here / "gone")
    with h5py.File(moved / "epoch-0001.h5") as file:
        assert (file["label"][()] == -1).sum() == (file["row"][()] == -1).sum() > 0


def test_older_sets_get_them_from_the_next_writer(here: Path) -> None:
    """A run that finds the set complete, one that extends it, a repair and a refresh add the missing files."""
    stored, words = set_in(here), {"sets": here / "sets", **SMALL}
    remove_virtual(stored)
    assert epochbank.verify(stored, jobs=1) == []
    assert generation.run(here / "a.npz", epochs=2, **words).log is None
    assert virtual_files(stored) == ALL
    remove_virtual(stored)
    assert epochbank.repair(stored, jobs=1).restored == ALL
    assert virtual_files(stored) == ALL
    remove_virtual(stored)
    generation.run(here / "a.npz", epochs=3, **words)
    assert virtual_files(stored) == sorted([*ALL, "epoch-0002.h5"])
    remove_virtual(stored)
    epochbank.refresh(stored, 1, jobs=1)
    assert virtual_files(stored) == ["epoch-0001.h5", "epoch-0002.h5", "epoch-0003.h5", *ALL[2:]]


def test_they_appear_and_go_with_their_epochs(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every publication there is one for each complete epoch and for no other, also while the set is read."""
    stored, publish = set_in(here), Publisher._publish
    reader = epochbank.open_set(stored)

    def checked(*arguments: Any, **keywords: Any) -> Any:
        published = {f"epoch-{one['epoch']:04d}.h5" for one in epochbank.info(stored)["epochs"]}
        assert published == {name for name in virtual_files(stored) if name.startswith("epoch")}
        return publish(*arguments, **keywords)

    monkeypatch.setattr(Publisher, "_publish", checked)
    assert epochbank.refresh(stored, 2, jobs=1).left
    assert virtual_files(stored) == ["epoch-0002.h5", "epoch-0003.h5", *ALL[2:]]
    assert epochbank.verify(stored, jobs=1) == []
    del reader


@pytest.mark.parametrize("at", [0, 40, 600, -3])
def test_damage_is_found_and_repaired(here: Path, at: int) -> None:
    """A flipped byte is a fault in one sentence; the set can still be read, and `repair` makes the same file again."""
    stored = set_in(here)
    path, before = stored / "epoch-0001.h5", (stored / "epoch-0001.h5").read_bytes()
    data = bytearray(before)
    data[at] ^= 1
    path.write_bytes(data)
    (fault,) = epochbank.verify(stored, jobs=1)
    assert str(path) in fault
    assert "`augment repair` makes it again" in fault
    assert len(list(epochbank.open_set(stored).batches(16, epochs=1, originals=0))) > 0
    assert epochbank.repair(stored, jobs=1).restored == ["epoch-0001.h5"]
    assert path.read_bytes() == before


def test_a_file_that_shows_something_else_is_found(here: Path) -> None:
    """That of another epoch, that of an epoch that is not published, and a link out of the set."""
    stored = set_in(here)
    shutil.copy(stored / "epoch-0000.h5", stored / "epoch-0001.h5")
    shutil.copy(stored / "epoch-0000.h5", stored / "epoch-0007.h5")
    first, second = epochbank.verify(stored, jobs=1)
    assert "epoch-0001.h5, a virtual dataset, shows other shards than the manifest lists" in first
    assert "epoch-0007.h5 is a virtual dataset of an epoch or split that is not published" in second
    found, _ = epochbank.gc(here / "sets", dry_run=True)
    assert [(one.path.name, one.kind) for one in found] == [("epoch-0007.h5", "virtual")]
    epochbank.gc(here / "sets")
    assert virtual_files(stored) == ALL
    assert epochbank.repair(stored, jobs=1).restored == ["epoch-0001.h5"]
    assert epochbank.verify(stored, jobs=1) == []


def test_a_full_disk_loses_nothing(here: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    """The epoch is published without the file, a message says so, and the next run adds it."""
    stored, words = set_in(here), {"sets": here / "sets", **SMALL}

    def full(path: Path) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(virtual_writer, "new_file", full)
        assert generation.run(here / "a.npz", epochs=4, **words).log is not None
    assert capfd.readouterr().err.count("was not written: No space left on device") == 1
    assert [one["epoch"] for one in epochbank.info(stored)["epochs"]] == [0, 1, 2, 3]
    assert virtual_files(stored) == ALL
    assert not list(stored.rglob(".tmp-*"))
    generation.run(here / "a.npz", epochs=4, **words)
    assert len(virtual_files(stored)) == 7


def test_they_keep_the_limits(here: Path, capfd: Any) -> None:
    """A limit that leaves room for the shards alone holds."""
    sets = here / "sets"
    remove_virtual(set_in(here))
    limit, file = bytes_below(sets) + 100, next((sets / "sources").glob("*.h5"))
    generation.run(file, epochs=2, sets=sets, max_bytes=limit, **SMALL)
    assert "--max-bytes" in capfd.readouterr().err
    assert bytes_below(sets) <= limit
    assert virtual_files(set_in(here)) == []


def test_a_kill_before_the_file_is_written_is_made_good(sound: Path, tmp_path: Path) -> None:
    """SIGKILL as the dataset of epoch 1 is written: the shards are published, and the same run completes the rest."""
    code = (
        "import os, signal, epochbank\n"
        "from epochbank.augment.store import virtual_writer\n"
        "write = virtual_writer.new_file\n"
        "def kill(path):\n"
        "    if path.name == 'epoch-0001.h5': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return write(path)\n"
        "virtual_writer.new_file = kill\n"
        f"epochbank.generate({str(sound / 'a.npz')!r}, epochs=2, sets={str(tmp_path)!r}, jobs=1, shard_size=20)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == -9
    stored = next(tmp_path.glob("*/set.json")).parent
    assert len(epochbank.info(stored)["epochs"]) == 2
    assert "epoch-0001.h5" not in virtual_files(stored)
    assert generation.run(sound / "a.npz", epochs=2, sets=tmp_path, jobs=1, shard_size=20).log is None
    assert virtual_files(stored) == ALL


def test_ten_thousand_shards_take_a_moment(sound: Path) -> None:
    """Less than 5 s of computing time, 260 bytes a shard; names of classes may be many and odd."""
    names = [f"class {number} 亜" for number in range(6000)] + ["a\0b", "\udce9"]
    description = read_description(set_in(sound))
    description = type(description)(**{**vars(description), "class_names": names})
    none = "0" * 32
    shards = [
        Entry("epoch", 3, 7 * at, 7, 7, "none", f"epoch-0003/{7 * at:010d}.h5", 1, none, none) for at in range(10_000)
    ]
    begun = time.process_time()
    data = virtual_bytes(description, shards)
    assert time.process_time() - begun < 5
    assert len(data) < 270 * 10_000 + 40 * len(names)
    assert virtual_bytes(description, shards[:9]) == virtual_bytes(description, shards[:9])


def test_a_complete_set_that_cannot_be_written_to_stays_as_it_is(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that has nothing to do succeeds on a read-only disk."""
    stored = set_in(here)
    remove_virtual(stored)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert generation.run(here / "a.npz", epochs=2, sets=here / "sets", **SMALL).log is None
    assert virtual_files(stored) == []
    assert json.loads((stored / "set.json").read_text())["format"] == 1
