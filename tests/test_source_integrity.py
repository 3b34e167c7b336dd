"""The source file: no byte of it can change without being refused, and a cached one is imported again."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from conftest import NOTHING, glyphs
from epochbank.augment.cli import main as augment
from epochbank.augment.errors import EpochbankError
from epochbank.augment.ingest.check_source import check_before_use, check_source
from epochbank.augment.ingest.importer import ImportOptions, import_source
from epochbank.augment.ingest.source_file import DamagedSource, SourceFile, open_source_file
from epochbank.augment.sources import SourceOptions
from epochbank.augment.sources.arrays.source import Hdf5Source
from epochbank.augment.sources.find import open_source


def call(*words: object) -> Result:
    result = CliRunner().invoke(augment, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a source of 60 images in three classes and ten groups, and a recipe."""
    monkeypatch.chdir(tmp_path)
    groups = np.array([f"writer {number // 6}" for number in range(60)])
    np.savez("a.npz", images=glyphs(60, (12, 10, 1)), labels=np.arange(60) % 3, groups=groups)
    Path("nothing.toml").write_text(NOTHING)
    return tmp_path


def imported(path: Path) -> SourceFile:
    import_source(open_source("a.npz"), path, ImportOptions(), 1, quiet=True)
    return open_source_file(path)


def flip(path: Path, offset: int, mask: int = 1) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ mask]))


def offset_of(path: Path, name: str) -> int:
    with h5py.File(path, "r") as file:
        return int(file[name].id.get_offset())


def without_columns(path: Path) -> None:
    """Make a source file like those from before the seal and the digest of the columns."""
    os.truncate(path, path.stat().st_size - 1024)
    with h5py.File(path, "r+") as file:
        for name in ("columns", "origins", "sealed"):
            del file.attrs[name]


@pytest.mark.parametrize("compiled", [False, True])
def test_a_changed_pixel_is_refused_when_it_is_read(here: Path, compiled: bool) -> None:
    """Only the changed image is refused, with file, row and fix."""
    file = imported(here / "o.h5")
    flip(file.path, file.offset + 17 * 120 + 5)
    others = np.setdiff1d(np.arange(60), [17])
    np.testing.assert_array_equal(file.read(others, compiled=compiled), glyphs(60, (12, 10, 1))[others])
    with pytest.raises(DamagedSource, match=r"o\.h5 is damaged: the image of row 17 was changed. Import the source"):
        file.read(np.array([3, 17, 20]), compiled=compiled)


def test_every_byte_of_a_source_file_is_checked_or_unused(here: Path) -> None:
    """A flipped byte anywhere is refused by opening or by verification, or changes nothing that is read."""
    file = imported(here / "o.h5")
    size, contents = file.path.stat().st_size, readable(file)
    places = np.random.default_rng(1).choice(size, 250, replace=False).tolist()
    metadata = [*range(0, 96), *range(offset_of(file.path, "label"), offset_of(file.path, "label") + 24)]
    found = 0
    for place in [*places, *metadata]:
        flip(file.path, place, 1 << place % 8)
        try:
            opened = open_source_file(file.path)
            check_source(opened, 1, quiet=True)
            assert readable(opened) == contents, f"byte {place}"
        except DamagedSource:
            found += 1
        flip(file.path, place, 1 << place % 8)
    assert found > 50
    check_source(open_source_file(file.path), 1, quiet=True)


def test_damaged_structures_never_reach_the_hdf5_library(here: Path) -> None:
    """Zeros in the heap of strings would make the HDF5 library loop forever; the seal is compared before."""
    file = imported(here / "o.h5")
    contents = file.path.read_bytes()
    heap = contents.index(b"GCOL")
    for start in (heap - 32, heap, heap + 8, heap + 200, contents.rindex(b"GCOL")):
        file.path.write_bytes(contents[:start] + bytes(64) + contents[start + 64 :])
        with pytest.raises(DamagedSource, match=r"o\.h5 is damaged \(its labels, names or structure were changed"):
            open_source_file(file.path)
    file.path.write_bytes(contents[:-1024])
    with pytest.raises(DamagedSource, match="the seal at its end is missing"):
        open_source_file(file.path)


def readable(file: SourceFile) -> tuple[Any, ...]:
    """Everything that is read from a source file."""
    columns = [file.column(name).tobytes() for name in ("label", "group", "duplicates", "near_duplicates")]
    origins = [file.origin(row) for row in (0, 31, 59)]
    names = (file.name, file.digest, file.class_names, file.group_names, file.notes, file.decided, file.splits)
    return (*columns, origins, names, file.preprocessing, file.skipped_names(), file.read(np.arange(60)).tobytes())


@pytest.mark.parametrize("cut", [0, 1, 100, 3000, 4096 + 17])
def test_a_truncated_source_file_is_refused(here: Path, cut: int) -> None:
    """A file that is too short is refused when it is opened."""
    file = imported(here / "o.h5")
    os.truncate(file.path, cut if cut else file.path.stat().st_size - 1)
    with pytest.raises(DamagedSource, match=r"o\.h5"):
        check_source(open_source_file(file.path), 1, quiet=True)


def test_labels_of_an_older_file_are_checked_before_a_set_begins(here: Path) -> None:
    """Without a digest of the columns, the digest of the whole content finds a changed label."""
    file = imported(here / "o.h5")
    without_columns(file.path)
    check_before_use(open_source_file(file.path), 1, begins_set=True)
    flip(file.path, offset_of(file.path, "label") + 4 * 30, 2)
    with pytest.raises(DamagedSource, match="not those of its digest"):
        check_before_use(open_source_file(file.path), 1, begins_set=True)
    assert not list(here.glob("sets/*/set.json"))
    result = call("run", "o.h5", "--recipe", "nothing.toml", "--epochs", 1, "--jobs", 1)
    assert result.exit_code == 1
    assert not list(here.glob("sets/*/set.json"))


def test_a_damaged_source_file_is_never_distorted(here: Path) -> None:
    """A run from a damaged source file that the user named publishes no shard with the image, and names the row."""
    file = imported(here / "o.h5")
    words = ("run", "o.h5", "--recipe", "nothing.toml", "--jobs", 1, "--epochs")
    assert call(*words, 1).exit_code == 0
    flip(file.path, file.offset + 40 * 120)
    before = (next(here.glob("sets/a-*")) / "manifest.jsonl").read_bytes()
    result = call(*words, 2)
    assert result.exit_code == 1
    assert "o.h5 is damaged: the image of row 40 was changed" in result.stderr
    assert next(here.glob("sets/a-*/manifest.jsonl")).read_bytes() == before
    assert file.path.exists()


def test_verify_covers_the_source_file(here: Path) -> None:
    """`augment verify` finds a damaged source file; a missing one is printed, with what the set can still do.

    A shard that is damaged besides is counted without the source file.
    """
    run = ("run", "a.npz", "--recipe", "nothing.toml", "--epochs", 1, "--jobs", 1)
    assert call(*run).exit_code == 0
    assert call("verify", "--jobs", 1).exit_code == 0
    (path,) = here.glob("sets/sources/*.h5")
    flip(path, open_source_file(path).offset + 59 * 120 + 119)
    result = call("verify", "--jobs", 1)
    assert result.exit_code == 1
    assert "1 of 60 images were changed, rows 59" in result.stderr
    assert "can be trained on" in result.stderr
    assert json.loads(call("verify", "--jobs", 1, "--json").stdout)["source"]["state"] == "damaged"
    assert call("verify", "--jobs", 1, "--no-source").exit_code == 0
    shard = next(here.glob("sets/a-*/epoch-0000/*.h5"))
    whole = shard.read_bytes()
    flip(shard, len(whole) // 2)
    result = call("verify", "--jobs", 1)
    assert result.exit_code == 1
    assert " is damaged in 1 shard:" in result.stderr
    assert "1 of 60 images were changed, rows 59" in result.stderr
    shard.write_bytes(whole)
    path.unlink()
    result = call("verify", "--jobs", 1)
    assert result.exit_code == 0
    assert f"{path.name} is missing" in result.stdout
    assert "but not extended, refreshed or repaired" in result.stdout
    facts = json.loads(call("verify", "--jobs", 1, "--json").stdout)
    assert facts["sound"]
    assert facts["source"]["state"] == "missing"


@pytest.mark.parametrize("damage", ["pixel", "label", "digest", "cut", "empty"])
def test_a_damaged_cached_source_is_imported_again(here: Path, damage: str) -> None:
    """The same command restores the file in `sets/sources/`, and makes the same set as without damage."""
    words = ("run", "a.npz", "--recipe", "nothing.toml", "--seed", 4, "--jobs", 1, "--print-path", "--epochs")
    shutil.copy("a.npz", "b.npz")
    assert call(*words, 1).exit_code == 0
    (path,) = here.glob("sets/sources/*.h5")
    file, whole = open_source_file(path), path.read_bytes()
    if damage == "pixel":
        flip(path, file.offset + 33 * 120 + 7)
    elif damage == "label":
        flip(path, offset_of(path, "label"), 1)
    elif damage == "digest":
        flip(path, whole.index(file.digest.encode()) + 3)
    else:
        os.truncate(path, 5000 if damage == "cut" else 0)
    result = call(*words, 3)
    assert result.exit_code == 0, result.output
    assert "the source is imported again" in result.stderr
    assert open_source_file(path).digest == file.digest
    assert readable(open_source_file(path)) == readable(imported(here / "sets" / "sources" / path.name.upper()))
    assert len(list(here.glob("sets/*/set.json"))) == 1
    assert call("verify", "--jobs", 1).exit_code == 0
    assert not list(here.glob("sets/sources/.tmp*")) + list(here.glob("sets/sources/again*"))


def test_a_damaged_cached_source_is_kept_if_the_original_gives_another(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the original has other contents under the same identity, nothing is replaced and the message says so."""
    words = ("run", "a.npz", "--recipe", "nothing.toml", "--epochs", 1, "--jobs", 1)
    assert call(*words).exit_code == 0
    (path,) = here.glob("sets/sources/*.h5")
    flip(path, open_source_file(path).offset)
    damaged, status = path.read_bytes(), Path("a.npz").stat()
    np.savez("a.npz", images=glyphs(60, (12, 10, 1), 1), labels=np.arange(60) % 3,
             groups=np.array([f"writer {number // 6}" for number in range(60)]))  # fmt: skip
    os.utime("a.npz", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert Path("a.npz").stat().st_size == status.st_size
    result = call(*words[:-3], 2, "--jobs", 1)
    assert result.exit_code == 1
    assert "gives another file: other pixels, labels, groups or names" in result.stderr
    assert path.read_bytes() == damaged


# HDF5 sources that refer to other files


def hdf5_source(path: str) -> Any:
    return Hdf5Source(Path(path), "s", SourceOptions()).scan(Path())


def write_hdf5(path: str, **arrays: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array


IMAGES, LABELS = glyphs(12, (8, 8, 1)), np.arange(12) % 3


@pytest.mark.parametrize("how", ["link", "virtual", "raw", "nested", "symbolic"])
def test_an_hdf5_source_cannot_read_files_outside_its_folder(here: Path, how: str) -> None:
    """External links, virtual datasets and raw storage that leave the folder are refused, with the file's name."""
    Path("in").mkdir()
    write_hdf5("secret.h5", images=IMAGES)
    Path("secret.raw").write_bytes(IMAGES.tobytes())
    write_hdf5("in/s.h5", labels=LABELS)
    virtual = h5py.VirtualLayout(IMAGES.shape, np.uint8)
    with h5py.File("in/s.h5", "r+") as file:
        if how == "link":
            file["images"] = h5py.ExternalLink("../secret.h5", "/images")
        elif how == "raw":
            file.create_dataset("images", IMAGES.shape, np.uint8, external=[(str(here / "secret.raw"), 0, 768)])
        elif how == "virtual":
            virtual[:] = h5py.VirtualSource(str(here / "secret.h5"), "images", IMAGES.shape)
            file.create_virtual_dataset("images", virtual)
        else:
            file["images"] = h5py.ExternalLink("other.h5", "/images")
    if how == "nested":
        with h5py.File("in/other.h5", "w") as file:
            file["images"] = h5py.ExternalLink("../secret.h5", "/images")
    elif how == "symbolic":
        Path("in/other.h5").symlink_to("../secret.h5")
    with pytest.raises(EpochbankError, match=r"in/s\.h5: .*secret|in/s\.h5: .*other\.h5"):
        hdf5_source("in/s.h5")


def test_an_hdf5_source_may_be_in_several_files_of_its_folder(here: Path) -> None:
    """A virtual dataset over files beside it is read; a missing one is refused, as HDF5 would read zeros."""
    write_hdf5("one.h5", images=IMAGES[:6])
    write_hdf5("two.h5", images=IMAGES[6:])
    write_hdf5("s.h5", labels=LABELS)
    virtual = h5py.VirtualLayout(IMAGES.shape, np.uint8)
    for number, name in enumerate(("one.h5", "two.h5")):
        virtual[6 * number : 6 * number + 6] = h5py.VirtualSource(name, "images", (6, 8, 8, 1))
    with h5py.File("s.h5", "r+") as file:
        file.create_virtual_dataset("images", virtual)
    scan = hdf5_source("s.h5")
    read = np.concatenate([np.asarray(run) for run in scan.reader.read(np.arange(12))])
    np.testing.assert_array_equal(read.reshape(IMAGES.shape), IMAGES)
    Path("two.h5").unlink()
    with pytest.raises(EpochbankError, match=r"two\.h5, which does not exist"):
        hdf5_source("s.h5")


def test_a_source_file_cannot_refer_to_other_files(here: Path) -> None:
    """A source file whose labels are in another file is refused."""
    file = imported(here / "o.h5")
    Path("secret.raw").write_bytes(np.zeros(60, np.int32).tobytes())
    without_columns(file.path)
    with h5py.File(file.path, "r+") as opened:
        del opened["label"]
        opened.create_dataset("label", (60,), np.int32, external=[("secret.raw", 0, 240)])
    with pytest.raises(DamagedSource, match="stored in another file"):
        open_source_file(file.path)


# Paths that are not UTF-8


def test_paths_need_not_be_utf_8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Working directory, source, source file and sets directory with the byte 0xE9; JSON stays valid."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    monkeypatch.chdir(folder)
    source, file, sets = (os.fsdecode(name) for name in (b"a\xe9.npz", b"o\xe9.h5", b"S\xe9"))
    with open(source, "wb") as opened:
        np.savez(opened, images=glyphs(60, (12, 10, 1)), labels=np.arange(60) % 3)
    Path("nothing.toml").write_text(NOTHING)
    assert call("import", source, file, "--jobs", 1).exit_code == 0
    run = ("--recipe", "nothing.toml", "--epochs", 1, "--jobs", 1, "--sets", sets)
    assert "S\\udce9" in call("run", source, *run).stdout
    printed = call("run", file, *run, "--print-path").stdout_bytes
    assert printed.startswith(b"S\xe9/a-nothing-")
    facts = json.loads(call("info", "--sets", sets, "--json").stdout)
    assert (folder / facts["path"] / "set.json").exists()
    assert call("verify", "--sets", sets, "--jobs", 1).exit_code == 0
    assert call("explain", facts["path"], 0, 3).exit_code == 0
    assert call("inspect", source, "--jobs", 1).exit_code == 0
