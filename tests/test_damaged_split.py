"""A damaged `split.h5`: every command that reads it ends with a message and exit code 1, never with a traceback."""

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from conftest import glyphs
from epochbank.augment.cli import main

DATASETS = [
    "group_name",
    "train/by_class",
    *(f"{split}/{name}" for split in ("train", "validation", "test") for name in ("row", "label", "group")),
]
"""All datasets of a set with groups and class-balanced epochs."""


def augment(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def sound_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set with groups and class-balanced epochs."""
    directory = tmp_path_factory.mktemp("sets")
    np.savez(directory / "a.npz", images=glyphs(90), labels=np.arange(90) % 3, groups=np.arange(90) // 9)
    words = ("--epochs", 1, "--per-class", "10:20", "--jobs", 1, "--sets", directory, "--print-path")
    done = augment("run", directory / "a.npz", *words)
    assert done.exit_code == 0, done.output
    return Path(done.stdout.strip())


def remove(name: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            del file[name]

    return damage


def shorten(name: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            values = file[name][:1]
            del file[name]
            file[name] = values

    return damage


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES = {
    **{f"without {name}": remove(name) for name in DATASETS},
    **{f"shorter {name}": shorten(name) for name in DATASETS},
    "truncated": truncate,
    "empty": empty,
    "missing": Path.unlink,
}


def test_the_sound_set_has_all_datasets(sound_set: Path) -> None:
    """The datasets that the tests damage are all that there are."""
    names: list[str] = []
    with h5py.File(sound_set / "split.h5") as file:
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    assert sorted(names) == sorted(DATASETS)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_every_command_reports_the_damage(sound_set: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """The message names the file and the fix, and no preview or explanation is written."""
    directory = tmp_path / "sets" / sound_set.name
    shutil.copytree(sound_set, directory)
    damage(directory / "split.h5")
    for words in (
        ("info", directory),
        ("explain", directory, 0, 3, "--out", tmp_path / "explained.png"),
        ("preview", directory, "--out", tmp_path / "preview.png"),
        ("verify", directory, "--jobs", 1),
    ):
        result = augment(*words)
        assert result.exception is None or isinstance(result.exception, SystemExit), (words[0], result.exception)
        assert result.exit_code == 1, (words[0], result.output)
        assert f"Error: {directory / 'split.h5'} is " in result.stderr, (words[0], result.stderr)
        assert "Restore it from a copy, or run `augment repair`, which writes it again" in result.stderr
    assert list(tmp_path.glob("*.png")) == []


def test_the_sound_set_is_accepted(sound_set: Path, tmp_path: Path) -> None:
    """The same commands succeed for the set without damage."""
    for words in (
        ("info", sound_set),
        ("explain", sound_set, 0, 3, "--out", tmp_path / "explained.png"),
        ("preview", sound_set, "--out", tmp_path / "preview.png"),
        ("verify", sound_set, "--jobs", 1),
    ):
        assert augment(*words).exit_code == 0, words[0]
    assert len(list(tmp_path.glob("*.png"))) == 2
