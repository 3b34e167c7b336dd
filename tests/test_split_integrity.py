"""Every reader of `split.h5` compares it with its checksum first, and with what set.json says."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from conftest import glyphs
from epochbank.augment.cli import main
from epochbank.augment.errors import EpochbankError
from epochbank.augment.store import split_file
from epochbank.augment.store.description import fingerprint_of, read_description
from epochbank.augment.store.digest import file_checksum
from epochbank.augment.store.split_file import group_name, read_by_class, read_split
from epochbank.augment.views.origins import origins_of


def augment(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set with groups and class-balanced epochs."""
    directory = tmp_path_factory.mktemp("sets")
    np.savez(directory / "a.npz", images=glyphs(90), labels=np.arange(90) % 3, groups=np.arange(90) // 9)
    words = ("--epochs", 1, "--per-class", "10:20", "--jobs", 1, "--sets", directory, "--print-path")
    done = augment("run", directory / "a.npz", *words)
    assert done.exit_code == 0, done.output
    return Path(done.stdout.strip())


@pytest.fixture
def stored(made: Path, tmp_path: Path) -> Path:
    """A copy of that set, with its source."""
    return Path(shutil.copytree(made.parent, tmp_path / "sets")) / made.name


def readers(stored: Path) -> dict[str, Callable[[], object]]:
    return {
        "read_split": lambda: read_split(stored, "validation"),
        "read_by_class": lambda: read_by_class(stored),
        "group_name": lambda: group_name(stored, 1),
        "origins_of": lambda: origins_of(stored, "validation", np.arange(2)),
    }


def with_checksum(stored: Path) -> None:
    """Have set.json contain the checksum of split.h5 as it is now, as an attacker could."""
    path = stored / "set.json"
    document = json.loads(path.read_text()) | {"split_checksum": file_checksum(stored / "split.h5")}
    document.pop("checksum")
    path.write_text(json.dumps(document | {"checksum": fingerprint_of(document)}))


@pytest.mark.parametrize("name", ["read_split", "read_by_class", "group_name", "origins_of"])
def test_a_flipped_label_is_noticed_by_each_reader(stored: Path, name: str) -> None:
    """The first time, and after the file was changed since it was checked."""
    read = readers(stored)[name]
    path = stored / "split.h5"
    with h5py.File(path) as file:
        at = file["train/label"].id.get_offset()
    data = path.read_bytes()
    for _ in range(2):
        path.write_bytes(data[:at] + b"\x80" + data[at + 1 :])
        with pytest.raises(EpochbankError, match=r"split\.h5 is damaged: its checksum is wrong\. Restore it"):
            read()
        path.write_bytes(data)
        read()


def test_a_sample_of_all_bytes(stored: Path) -> None:
    """Any flipped byte is refused by its checksum before the HDF5 library sees it."""
    path = stored / "split.h5"
    data = path.read_bytes()
    for at in range(0, len(data), 61):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        with pytest.raises(EpochbankError, match="its checksum is wrong"):
            read_split(stored, "train")


def test_the_file_is_checked_once_per_state(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading again costs no checksum until the file changes."""
    calls = []
    real = split_file.file_checksum
    monkeypatch.setattr(split_file, "file_checksum", lambda path: calls.append(path) or real(path))
    os.utime(stored / "split.h5", (1000, 1000))
    for _ in range(3):
        for read in readers(stored).values():
            read()
    assert len(calls) == 1
    os.utime(stored / "split.h5", (2000, 2000))
    read_split(stored, "test")
    assert len(calls) == 2


def test_a_file_that_was_just_written_is_not_trusted_to_stay(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of its last change may be that of the next change, too: clocks of file systems are coarse."""
    calls = []
    real = split_file.file_checksum
    monkeypatch.setattr(split_file, "file_checksum", lambda path: calls.append(path) or real(path))
    monkeypatch.setattr(split_file, "_SETTLED", 1000.0)
    os.utime(stored / "split.h5")
    for _ in range(3):
        read_split(stored, "test")
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [("train/label", 520_000_000), ("train/label", -1), ("train/row", -5), ("test/group", 1 << 30),
     ("train/by_class", 1 << 40)],
)  # fmt: skip
def test_a_value_that_is_impossible_is_refused(stored: Path, name: str, value: int) -> None:
    """Also if the checksum fits: `info` would allocate memory for as many classes."""
    with h5py.File(stored / "split.h5", "r+") as file:
        file[name][1] = value
    with_checksum(stored)
    for command in (("info", stored), ("explain", stored, 0, 3)):
        result = augment(*command)
        assert result.exit_code == 1
        assert isinstance(result.exception, SystemExit)
        assert f"{name} has a value out of 0 to" in result.stderr


@pytest.mark.parametrize(
    ("name", "values"),
    [("train/label", np.zeros(5, np.int32)), ("validation/row", np.zeros(3, np.int64)), ("train/label", np.zeros(1)),
     ("train/row", np.zeros((2, 2), np.int64)), ("test/group", np.zeros(1, np.int32)), ("train/row", "text")],
    ids=str,
)  # fmt: skip
def test_a_column_that_does_not_fit_is_refused(stored: Path, name: str, values: object) -> None:
    """Columns of another length, type or dimension are refused, even if the checksum fits."""
    with h5py.File(stored / "split.h5", "r+") as file:
        del file[name]
        file[name] = values
    with_checksum(stored)
    result = augment("info", stored)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert f"{stored / 'split.h5'} cannot be read" in result.stderr


def test_a_column_larger_than_the_file_is_refused(stored: Path) -> None:
    """A dataset may claim any size; nothing of that size is allocated."""
    with h5py.File(stored / "split.h5", "r+") as file:
        del file["train/label"]
        file.create_dataset("train/label", (1 << 40,), np.int32)
    with_checksum(stored)
    with pytest.raises(EpochbankError, match=r"split\.h5 cannot be read"):
        read_split(stored, "train")


def test_the_checksum_is_that_of_set_json(stored: Path) -> None:
    """The file is compared with what set.json says."""
    assert read_description(stored).split_checksum == file_checksum(stored / "split.h5")
