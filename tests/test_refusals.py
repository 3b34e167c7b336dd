"""Refusals, through the real command lines: a bad input gives a clear message, and changes and leaves no file.

A message says what happened, what was received, what was expected, and the fix. The exit code is 1 for the data or the
machine and 2 for wrong arguments.
"""

import errno
import fcntl
import io
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from epochbank.augment.cli import main as augment
from epochbank.augment.generation import new_set, shard_job
from epochbank.augment.shared.lock import writing
from epochbank.augment.store.manifest import Entry, read_manifest
from epochbank.train.cli import main as train

IMPORTED = "sets/sources/*.h5"
"""Files that a refusal may leave if it comes after a completed import."""
LOCK = "sets/*/.lock"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run each test in a new directory, to which `sets/` and everything that is written belong."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    monkeypatch.setattr(sys, "path", sys.path.copy())  # `train` adds the current directory to it.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # Modules of the tests would leave files in it.
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # The same for worker processes.
    return tmp_path


def call(program: click.Command, *words: object) -> Result:
    """Run a command, and fail if it ends in a traceback."""
    result = CliRunner().invoke(program, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        pytest.fail(f"{words} ended in a traceback: {result.exception!r}\n{result.output}")
    assert "Traceback" not in result.output
    return result


def done(program: click.Command, *words: object) -> str:
    """Run a command that succeeds, and return its output."""
    result = call(program, *words)
    assert result.exit_code == 0, result.output
    return result.output


def state() -> dict[str, bytes]:
    """Return the contents of every file below the current directory."""
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file() and not path.is_symlink()}


def refused(
    program: click.Command, code: int, words: tuple[object, ...], *parts: str, leaves: tuple[str, ...] = ()
) -> str:
    """Run a command that is refused with exit code `code`, and return its message, which contains all `parts`.

    No existing file is changed or removed, and the paths of new files match `leaves`.
    """
    before = state()
    result = call(program, *words)
    assert result.exit_code == code, result.output
    assert_message(result.stderr, *parts)
    assert_untouched(before, leaves)
    return result.stderr


def assert_message(text: str, *parts: str) -> None:
    assert "Error: " in text
    for part in parts:
        assert part in text, f"{part!r} is not in: {text}"


def assert_untouched(before: dict[str, bytes], leaves: tuple[str, ...] = ()) -> None:
    after = state()
    locks = {path for path in before if path.endswith(".lock")}
    assert {path for path in before if after.get(path) != before[path]} - locks == set()
    new = [path for path in after if path not in before]
    assert [path for path in new if not any(fnmatch(path, pattern) for pattern in leaves)] == []
    assert not [path for path in after if ".tmp-" in path]


# Inputs


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 100, shape, dtype=np.uint8)


def write_arrays(path: str, **arrays: Any) -> str:
    """Write an .npz or HDF5 file of 12 images of three classes; `arrays` replaces some; None omits one."""
    arrays = {"images": noise(12, 8, 8), "labels": np.arange(12) % 3} | arrays
    arrays = {name: array for name, array in arrays.items() if array is not None}
    if path.endswith(".npz"):
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    return path


def write_tree(root: str, *names: str) -> Path:
    for number, name in enumerate(names):
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(16, 16, seed=number)).save(path)
    return Path(root)


def png_header(width: int, height: int) -> bytes:
    """Return a gray PNG that claims this size, in a few dozen bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(bytes(1_000)))
        + chunk(b"IEND", b"")
    )


def write_recipe(path: str, operation: str) -> str:
    Path(path).write_text(f"[[stage]]\noperation = [{operation}]\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a source file `kept.h5` of 60 images, and a set of it in `sets/`, with one epoch."""
    directory = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        write_arrays("a.npz", images=noise(60, 8, 8), labels=np.arange(60) % 3)
        done(augment, "import", "a.npz", "kept.h5", "--jobs", 1)
        done(augment, *RUN)
    return directory


RUN = ("run", "kept.h5", "--epochs", 1, "--jobs", 1, "--chunk-size", 8)
"""The command that generates the set of `made`, which has nothing to do there."""


@pytest.fixture
def made(made_once: Path, here: Path) -> Path:
    """The path of a set in the current directory, next to its source file `kept.h5`."""
    shutil.copytree(made_once, here, dirs_exist_ok=True)
    (directory,) = (path.parent for path in Path("sets").glob("*/set.json"))
    return directory


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def epoch_entry(directory: Path) -> Entry:
    (entry,) = (entry for entry in read_manifest(directory) if entry.split == "epoch")
    return entry


def damage_a_chunk(directory: Path) -> Path:
    """Flip a bit in the stored images of epoch 0, and return the shard."""
    shard = directory / epoch_entry(directory).file
    with h5py.File(shard, "r") as file:
        at = file["image"].id.get_chunk_info(1).byte_offset + 20
    data = bytearray(shard.read_bytes())
    data[at] ^= 1
    shard.write_bytes(data)
    return shard


# Sources that do not exist, or contain nothing


@pytest.mark.parametrize("words", [("run", "nowhere"), ("plan", "nowhere"), ("preview", "nowhere"),
                                   ("import", "nowhere", "o.h5"), ("run", "npz:nowhere"),
                                   ("run", "~nobody-is-called-so/t")], ids=str)  # fmt: skip
def test_missing_source(words: tuple[str, ...]) -> None:
    """Every command that takes a source refuses one that does not exist."""
    refused(augment, 1, words, words[1], "does not exist", "expected", "Check the path")


def test_unknown_kind() -> None:
    """The message for a file with an unknown suffix lists the prefixes that name its kind."""
    Path("images.dat").write_bytes(b"?")
    refused(augment, 2, ("run", "images.dat"), "images.dat", "kind", "expected", "npz:", "hdf5:", "zip:")


@pytest.mark.parametrize("foreign", [(), ("a/readme.txt", ".hidden/1.png")])
def test_folder_without_images(foreign: tuple[str, ...]) -> None:
    """The message for a folder without images has the number of other files in it."""
    Path("t").mkdir()
    for name in foreign:
        Path("t", name).parent.mkdir(exist_ok=True)
        Path("t", name).write_text("x")
    for words in (("run", "t"), ("import", "t", "o.h5")):
        others = [f"{len(foreign)} hidden files and files of other types"] if foreign else []
        refused(augment, 1, words, "t holds no images", *others, "expected a folder per class")


def test_images_outside_class_folders() -> None:
    """The message has the number of images that are in no class's folder."""
    write_tree("t", "1.png", "2.png", "a/3.png")
    refused(augment, 1, ("run", "t"), "2 images lie directly in it", "--label-pattern", "put the images")


def test_damaged_archive() -> None:
    """A .zip file that is not an archive is refused."""
    Path("t.zip").write_bytes(b"PK\x03\x04 and no more")
    refused(augment, 1, ("run", "t.zip"), "t.zip cannot be read as .zip", "again")


def test_broken_link() -> None:
    """An image that is a broken link is listed as unreadable."""
    write_tree("t", "a/1.png", "b/1.png")
    Path("t/a/2.png").symlink_to("gone.png")
    refused(augment, 1, ("run", "t", "--jobs", 1), "1 of 3 images", "a/2.png", "cannot be read", "--on-bad skip")


def test_unreadable_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class's folder without read permission is refused by path; its class is never silently missing."""
    write_tree("t", "a/1.png", "b/1.png", "c/1.png")
    scandir = os.scandir

    def guarded(path: Any = ".") -> Any:
        if not isinstance(path, int) and Path(os.fsdecode(path)).name == "b":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fsdecode(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    for words in (("run", "t"), ("import", "t", "o.h5")):
        refused(augment, 1, (*words, "--jobs", 1), "b/ cannot be listed", "Permission denied")


def test_linked_folder() -> None:
    """A class's folder that is a link is imported or mentioned in a message; its class is never silently missing."""
    write_tree("t", "a/1.png", "b/1.png")
    write_tree("elsewhere", "1.png")
    Path("t/c").symlink_to("../elsewhere")
    text = done(augment, "import", "t", "o.h5", "--jobs", 1)
    assert "3 images, 3 classes" in text or "link" in text


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux are file names arbitrary bytes")
@pytest.mark.parametrize("name", [b"t/b/\xe9t\xe9.png", b"t/\xe9t\xe9/1.png"], ids=["file", "folder"])
def test_file_names_that_are_not_utf_8(name: bytes) -> None:
    """A file or folder name that is not UTF-8 is imported or refused by name, without a traceback."""
    write_tree("t", "a/1.png", "b/1.png")
    Path(os.fsdecode(name)).parent.mkdir(exist_ok=True)
    Path("t/b/1.png").rename(os.fsdecode(name))
    result = call(augment, "import", "t", "o.h5", "--jobs", 1)
    if result.exit_code:
        assert result.exit_code == 1
        assert_message(result.stderr, "UTF-8")
    assert Path("o.h5").exists() == (result.exit_code == 0)


# Arrays


def _empty(path: str) -> None:
    if path.endswith(".npz"):
        np.savez(path)
    else:
        h5py.File(path, "w").close()


def _no_images(path: str) -> None:
    write_arrays(path, images=None, pictures=noise(3, 4, 4))


@pytest.mark.parametrize("path", ["a.npz", "a.h5"])
@pytest.mark.parametrize(("write", "found"), [(_empty, "nothing"), (_no_images, "images")])
def test_arrays_without_images(path: str, write: Any, found: str) -> None:
    """The message for a file without `images` lists the arrays that it has."""
    write(path)
    for words in (("run", path), ("import", path, "o.h5")):
        refused(augment, 1, words, path, "no ", "`images`", "found ", found, "expected", "`labels`")


@pytest.mark.parametrize("path", ["a.npz", "a.h5"])
@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": None}, ("`labels`", "expected one label for each image")),
        ({"images": np.zeros((0, 8, 8), np.uint8), "labels": np.zeros(0, int)}, ("empty", "expected at least one")),
        ({"labels": np.arange(11)}, ("12 images", "labels has shape (11,)", "expected (12,)")),
        ({"labels": np.zeros((12, 2), int)}, ("labels has shape (12, 2)", "row 0 is not one-hot", "labels[:, 0]")),
        ({"groups": np.arange(13)}, ("12 images", "groups has shape (13,)", "expected (12,)")),
        ({"labels": np.arange(12) + 0.5}, ("labels are float64", "not whole numbers", "expected integers or strings")),
        ({"images": np.zeros((12, 8, 8), complex)}, ("images is complex128", "expected integers, floats or bool")),
        ({"images": np.zeros((12, 65), np.uint8)}, ("(12, 65)", "expected (N, H, W)", "images.reshape(-1, H, W)")),
        ({"images": np.zeros((12, 8, 8, 4), np.uint8)}, ("(12, 8, 8, 4)", "C = 1 or 3")),
        ({"class_names": np.array(b"xyz")}, ("class_names has shape ()", "expected")),
        ({"class_names": np.array([b"x", b"y"])}, ("labels are 0 to 2", "expected integers from 0 to 1", "2 names")),
        ({"labels": np.arange(12) - 1, "class_names": np.array([b"x"] * 12)}, ("labels are -1 to 10", "0 to 11")),
    ],
    ids=["no labels", "no images", "few labels", "two columns", "many groups", "float labels", "complex images",
         "flat images", "four channels", "one class name", "few class names", "negative labels"],
)  # fmt: skip
def test_wrong_arrays(path: str, arrays: dict[str, Any], message: tuple[str, ...]) -> None:
    """The message names the array, its length, shape or type, and the expected one."""
    write_arrays(path, **arrays)
    refused(augment, 1, ("run", path, "--jobs", 1), path, *message)


@pytest.mark.parametrize(("path", "as_what"), [("a.npz", "as .npz"), ("a.h5", "as HDF5")])
@pytest.mark.parametrize("damage", ["empty", "text", "truncated"])
def test_files_that_cannot_be_read(path: str, as_what: str, damage: str) -> None:
    """A file that is empty, truncated or of another kind is refused, with the advice to write it again."""
    whole = Path(write_arrays(path)).read_bytes()
    Path(path).write_bytes({"empty": b"", "text": b"images\n" * 99, "truncated": whole[: len(whole) // 2]}[damage])
    refused(augment, 1, ("run", path), f"{path} cannot be read {as_what}", "Write it again")


def test_damaged_compressed_npz() -> None:
    """A compressed .npz whose images are damaged is refused."""
    np.savez_compressed("a.npz", images=noise(200, 8, 8), labels=np.arange(200) % 3)
    data = bytearray(Path("a.npz").read_bytes())
    data[2_000:2_100] = bytes(100)
    Path("a.npz").write_bytes(data)
    refused(augment, 1, ("run", "a.npz"), "a.npz cannot be read as .npz", "Write it again")


def test_npz_with_a_password() -> None:
    """An encrypted .npz is refused without a traceback."""
    data = bytearray(Path(write_arrays("a.npz")).read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    Path("a.npz").write_bytes(data)
    refused(augment, 1, ("run", "a.npz"), "a.npz cannot be read as .npz", "encrypted", "Write it again")


def test_npz_with_a_wrong_length() -> None:
    """An .npz whose header claims more bytes of images than it has is refused."""
    data = io.BytesIO()
    np.save(data, noise(12, 8, 8))
    write_arrays("a.npz", images=None, pad=noise(9_000))
    with zipfile.ZipFile("a.npz") as whole, zipfile.ZipFile("b.npz", "w") as short:
        short.writestr("images.npy", data.getvalue()[:-64])
        for name in whole.namelist():
            short.writestr(name, whole.read(name))
    sizes = "images.npy has 832 bytes, but its shape (12, 8, 8) needs 896"
    refused(augment, 1, ("run", "b.npz"), "b.npz cannot be read as .npz", sizes, "Write it again")


def test_npz_with_missing_bytes() -> None:
    """An .npz without some bytes in its middle is refused as damaged, not reported as an error of the disk."""
    data = Path(write_arrays("a.npz", pad=noise(9_000))).read_bytes()
    Path("a.npz").write_bytes(data[:2_000] + data[2_100:])
    refused(augment, 1, ("run", "a.npz"), "a.npz cannot be read as .npz", "Write it again")


def test_hdf5_with_a_type_that_numpy_lacks() -> None:
    """Labels of HDF5's UNIX time type are refused without a traceback."""
    with h5py.File(write_arrays("a.h5", labels=None), "a") as file:
        h5py.h5d.create(file.id, b"labels", h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((12,)))
    refused(augment, 1, ("run", "a.h5"), "a.h5 cannot be read as HDF5", "No NumPy equivalent")


def test_damaged_hdf5_chunk() -> None:
    """An HDF5 file with a damaged chunk of images is refused without a traceback."""
    with h5py.File("a.h5", "w") as file:
        file.create_dataset("images", data=noise(600, 8, 8), chunks=(10, 8, 8), compression="gzip")
        file["labels"] = np.arange(600) % 3
        at = file["images"].id.get_chunk_info(45).byte_offset
    data = bytearray(Path("a.h5").read_bytes())
    data[at + 5 : at + 60] = bytes(55)
    Path("a.h5").write_bytes(data)
    refused(augment, 1, ("import", "a.h5", "o.h5", "--jobs", 1), "a.h5", "read")


def test_labels_that_are_not_utf_8() -> None:
    """Labels of bytes that are not UTF-8 are refused by name."""
    write_arrays("a.npz", labels=np.array([b"\xe9", b"a", b"b"] * 4))
    refused(augment, 1, ("run", "a.npz"), "a.npz", "labels", "UTF-8")


def test_labels_that_are_objects() -> None:
    """Labels of NumPy objects, to which pandas converts strings, are refused by name, with the expected types."""
    write_arrays("a.npz", labels=np.array(["x", "y", "z"] * 4, dtype=object))
    refused(augment, 1, ("run", "a.npz"), "a.npz", "labels", "never unpickles", "integers or strings", "np.array")


def test_labels_that_are_an_hdf5_group() -> None:
    """An HDF5 group instead of the labels is refused by name."""
    with h5py.File("a.h5", "w") as file:
        file["images"] = noise(12, 8, 8)
        file.create_group("labels")
    refused(augment, 1, ("run", "a.h5"), "a.h5", "labels", "expected")


# Unusable images


@pytest.mark.parametrize("words", [("import", "a.npz", "o.h5"), ("run", "a.npz")], ids=["import", "run"])
def test_float_images_out_of_range(words: tuple[str, ...]) -> None:
    """Float images outside [0, 1], with NaN or with infinity are all listed with their problem."""
    images = (noise(300, 8, 8) / 255).astype(np.float32)
    images[2, 1, 1], images[3, 0, 0], images[150, 7, 7], images[299, 3, 3] = np.nan, 1.5, -0.25, np.inf
    write_arrays("a.npz", images=images, labels=np.arange(300) % 3)
    text = refused(augment, 1, (*words, "--jobs", 1), "4 of 300 images cannot be used", "images[2] ", "images[3] ",
                   "images[150] ", "images[299] ", "[0, 1]", "--on-bad skip", "Nothing was imported")  # fmt: skip
    lines = {line.split()[0]: line for line in text.splitlines() if line.startswith("  images[")}
    assert len(lines) == 4
    assert "NaN" in lines["images[2]"]
    assert "1.5" in lines["images[3]"]
    assert "-0.25" in lines["images[150]"]


BAD = {
    "a/short.png": "cannot be read",
    "a/short.jpg": "cannot be read",
    "b/empty.png": "cannot be read",
    "b/text.png": "cannot be read",
    "c/huge.png": "at most",
    "c/wide.png": "at most",
    "c/range.tif": "[0, 1]",
}


def write_bad_images() -> None:
    """Write six good images of three classes, and seven unusable ones."""
    root = write_tree("t", *(f"{folder}/{number}.png" for folder in "abc" for number in (1, 2)))
    Image.fromarray(noise(64, 64)).save("whole.png")
    Image.fromarray(noise(64, 64)).save("whole.jpg")
    for suffix in ("png", "jpg"):
        whole = Path(f"whole.{suffix}").read_bytes()
        (root / "a" / f"short.{suffix}").write_bytes(whole[: len(whole) // 2])
    (root / "b" / "empty.png").write_bytes(b"")
    (root / "b" / "text.png").write_text("This is not an image.")
    (root / "c" / "huge.png").write_bytes(png_header(50_000, 50_000))
    (root / "c" / "wide.png").write_bytes(png_header(1_000_000, 100))
    Image.fromarray(np.full((4, 4), 7, np.float32)).save(root / "c" / "range.tif")


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("command", ["import", "run"])
def test_bad_images_are_all_listed(kind: str, command: str) -> None:
    """One message lists the paths of all truncated, unreadable, foreign and far too large images."""
    write_bad_images()
    spec = "t" if kind == "folder" else shutil.make_archive("t", "zip", "t")
    words = (command, spec, *(["o.h5"] if command == "import" else []), "--jobs", 1)
    text = refused(augment, 1, words, "7 of 13 images cannot be used", "Fix or remove", "--on-bad skip", "Nothing")
    lines = dict(line.strip().split(" ", 1) for line in text.splitlines() if line.startswith("  "))
    assert lines.keys() == BAD.keys()
    for path, reason in BAD.items():
        assert reason in lines[path]


def test_bad_images_are_skipped_on_request() -> None:
    """With --on-bad skip, the run succeeds and lists the images that it left out."""
    write_bad_images()
    text = done(augment, "run", "t", "--on-bad", "skip", "--epochs", 1, "--jobs", 1, "--test", 0, "--validation", 0)
    assert "7 of 13 images left out" in text
    assert all(path in text for path in BAD)
    assert "6 images (100.0 %)" in text


@pytest.mark.parametrize("command", ["import", "preview"])
def test_only_bad_images(command: str) -> None:
    """A source without any usable image is refused, even with --on-bad skip, with the reasons."""
    for name in ("a", "b"):
        Path("t", name).mkdir(parents=True)
        Path("t", name, "1.png").write_text("no image")
    words = ("import", "t", "o.h5", "--on-bad", "skip", "--jobs", 1) if command == "import" else ("preview", "t")
    nothing = "no image of the source can be used" if command == "import" else "none of the chosen images can be used"
    refused(augment, 1, words, nothing, "a/1.png", "b/1.png", "cannot be read")


# Groups, splits, sizes and other options


def test_group_pattern_without_a_match() -> None:
    """The message lists all images that the group pattern does not match."""
    write_tree("t", "a/x_1.png", "a/y.png", "b/x_2.png", "b/z.png")
    refused(augment, 2, ("run", "t", "--group-pattern", r"_(\d)"), "--group-pattern", "2 of 4", "a/y.png", "b/z.png",
            "expected a group for each image", "Widen the pattern")  # fmt: skip


def test_invalid_group_pattern() -> None:
    """A group pattern that is not a valid regular expression is refused, with an example."""
    write_tree("t", "a/1.png", "b/1.png")
    refused(augment, 2, ("run", "t", "--group-pattern", "(_"), "'(_'", "not a valid regular expression", "Example")


@pytest.mark.parametrize("spec", ["a.npz", "a.h5", "digits"])
def test_group_pattern_for_a_source_without_paths(spec: str) -> None:
    """A group pattern for a source without paths is refused, not ignored."""
    if spec != "digits":
        write_arrays(spec)
    refused(augment, 2, ("import", spec, "o.h5", "--group-pattern", "x", "--jobs", 1), "--group-pattern", spec)


@pytest.mark.parametrize(
    "option",
    [("--size", "9x9"), ("--limit", "5"), ("--invert", "yes"), ("--color", "rgb"), ("--group-pattern", "x")],
    ids=lambda option: option[0],
)
def test_import_options_for_a_source_file(made: Path, option: tuple[str, str]) -> None:
    """An import option for a source file, which is imported already, is refused, not ignored."""
    refused(augment, 2, (*RUN, *option), "kept.h5", option[0], "imported")


def test_class_with_too_few_images() -> None:
    """A class with fewer images than splits is refused by name, with the required number and the options to change."""
    write_arrays("a.npz", labels=np.array(["big"] * 10 + ["small"] * 2))
    refused(augment, 1, ("run", "a.npz", "--jobs", 1), "1 of 2 classes", "fewer than 3", ": small", "Add images",
            "--validation 0", "--test 0", leaves=(IMPORTED, LOCK))  # fmt: skip
    assert "There is no set" in done(augment, "list")
    done(augment, "run", "a.npz", "--jobs", 1, "--epochs", 1, "--test", 0)


def test_too_few_groups() -> None:
    """Fewer groups than splits are refused, with both numbers and the options to change."""
    write_arrays("a.npz", groups=np.arange(12) // 6)
    refused(augment, 1, ("run", "a.npz", "--jobs", 1), "2 groups", "expected at least 3", "a group is never divided",
            "--validation 0", leaves=(LOCK,))  # fmt: skip
    done(augment, "run", "a.npz", "--jobs", 1, "--epochs", 1, "--test", 0)


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--validation", 0.6, "--test", 0.4), ("0.6", "0.4", "leave no training images", "expected a sum below 1")),
        (("--validation", 0.6, "--test", 0.5), ("0.6", "0.5", "leave no training images", "expected a sum below 1")),
        (("--validation", 1), ("--validation 1", "expected a fraction of at least 0 and below 1")),
        (("--test", -0.1), ("--test -0.1", "expected a fraction of at least 0 and below 1")),
        (("--test", "nan"), ("--test nan", "expected a fraction of at least 0 and below 1")),
    ],
)
def test_invalid_fractions(command: str, words: tuple[object, ...], message: tuple[str, ...]) -> None:
    """Fractions out of range, or without training images, are refused before anything is imported."""
    write_arrays("a.npz")
    arguments = (command, "a.npz", "--jobs", 1, *words)
    refused(augment, 2, arguments, *message)


@pytest.mark.parametrize("command", ["run", "plan", "preview", "import"])
@pytest.mark.parametrize("size", ["0x8", "8x8x8", "x", "large", "-3", "8x5000"])
def test_invalid_sizes(command: str, size: str) -> None:
    """An invalid --size is refused, with its value and an example."""
    write_arrays("a.npz")
    words = (command, "a.npz", *(["o.h5"] if command == "import" else []), "--size", size)
    refused(augment, 2, words, "--size", size, "HxW", "64x64")


@pytest.mark.parametrize(
    "words",
    [("--epochs", 0), ("--jobs", 0), ("--limit", 0), ("--seed", -1), ("--codec", "rar"), ("--invert", "maybe"),
     ("--shard-size", 0), ("--chunk-size", -1)],
    ids=str,
)  # fmt: skip
def test_invalid_options(words: tuple[str, object]) -> None:
    """A number or name that an option does not allow is refused by option, before anything is written."""
    write_arrays("a.npz")
    refused(augment, 2, ("run", "a.npz", *words), words[0], str(words[1]))


# Recipes


def test_unknown_recipe() -> None:
    """A recipe that is neither built in nor a file is refused before the import; the message lists recipes."""
    write_arrays("a.npz")
    for command in ("run", "plan", "preview"):
        refused(augment, 2, (command, "a.npz", "--recipe", "kanij"), "'kanij'", "kanji, ", "TOML", "augment recipes")
    refused(augment, 2, ("recipes", "kanij"), "'kanij'", "kanji, ")


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ('{ op = "spin" }', ("op = 'spin' is unknown", "rotate", "blur", "module:function")),
        ('{ op = "rotate", degrees = [15, -15] }', ("degrees = [15, -15]", "upside down", "low <= high")),
        ('{ op = "rotate", degrees = [0, 999] }', ("degrees = [0, 999]", "out of bounds", "<= 360")),
        ('{ op = "rotate", degrees = "many" }', ("degrees = 'many'", "[low, high]")),
        ('{ op = "rotate", angle = [1, 2] }', ("angle", "unknown key", "expected degrees")),
        ('{ op = "blur", weight = -1 }', ("weight = -1", "0 or more")),
        ('{ op = "nowhere_to_be_found:spin" }', ("nowhere_to_be_found", "cannot be imported", "module:function")),
        ('{ op = "json:spin" }', ("json", "no 'spin'")),
        ('{ op = "blur" ', ("not a TOML file", "line 2")),
    ],
    ids=["unknown", "upside down", "out of bounds", "no range", "unknown key", "weight", "no module", "no function",
         "no TOML"],
)  # fmt: skip
def test_invalid_operations(operation: str, message: tuple[str, ...]) -> None:
    """A mistake in a recipe is refused by file and key, with the allowed values, before anything is imported."""
    write_arrays("a.npz")
    write_recipe("mine.toml", operation)
    refused(augment, 2, ("run", "a.npz", "--recipe", "mine.toml"), "mine.toml: ", *message)


CUSTOM = """
import os
from pathlib import Path

def fails(image, generator):
    raise LookupError("no ink")

def shrinks(image, generator):
    return image[:2]

def killed_once(image, generator):
    if Path("memory-is-short-in-calibration").exists():
        os.kill(os.getpid(), 9)
    if Path("memory-is-short-in-generation").exists() and list(Path("sets").glob("*/set.json")):
        os.kill(os.getpid(), 9)
    return image.copy()
"""


@pytest.mark.parametrize(
    ("function", "message"),
    [("fails", ("raised LookupError: no ink", "line 6")), ("shrinks", ("returned uint8 (2, 8, 1)", "uint8 (8, 8, 1)"))],
)
def test_failing_custom_operation(
    here: Path, monkeypatch: pytest.MonkeyPatch, function: str, message: tuple[str, ...]
) -> None:
    """The message for a custom operation that fails, or returns another shape, has its name and what it did."""
    Path("my_failing.py").write_text(CUSTOM)
    monkeypatch.syspath_prepend(here)
    write_arrays("a.npz")
    write_recipe("mine.toml", f'{{ op = "my_failing:{function}" }}')
    before = state()
    result = call(augment, "run", "a.npz", "--recipe", "mine.toml", "--epochs", 1, "--jobs", 1)
    assert result.exit_code == 2
    assert_message(result.stderr, f"my_failing:{function}", *message, "Fix the function")
    assert_untouched(before, (IMPORTED, LOCK))


def test_custom_operation_that_workers_cannot_import(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that can be imported in the main process only: a message with the cause, no traceback."""
    Path("my_main_only.py").write_text(
        "import os\nif os.getpid() != int(os.environ['MAIN_PID']):\n    raise ImportError('libfoo.so is missing')\n"
        "def copied(image, generator):\n    return image.copy()\n"
    )
    monkeypatch.setenv("MAIN_PID", str(os.getpid()))
    monkeypatch.syspath_prepend(here)
    write_arrays("a.npz")
    write_recipe("mine.toml", '{ op = "my_main_only:copied" }')
    words = ("run", "a.npz", "--recipe", "mine.toml", "--epochs", 2, "--jobs", 2, "--shard-size", 8)
    result = call(augment, *words)
    assert result.exit_code in (1, 2)
    assert_message(result.stderr, "could not load", "ImportError: libfoo.so is missing", "--jobs 1")


def console(*words: object) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a new process."""
    script = Path(sys.executable).with_name("augment")
    if not script.exists():
        pytest.skip(f"{script} is not installed")
    return subprocess.run([script, *map(str, words)], capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.long
def test_custom_operation_in_the_current_directory() -> None:
    """The installed command and its workers find a user's module in the current directory."""
    Path("my_module.py").write_text("def same(image, generator):\n    return image.copy()\n")
    write_arrays("a.npz")
    write_recipe("mine.toml", '{ op = "my_module:same" }')
    result = console("run", "a.npz", "--recipe", "mine.toml", "--epochs", 1, "--jobs", 2)
    assert result.returncode == 0, result.stderr


def module(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `python -m epochbank.augment`, which finds modules in the current directory, in a new process."""
    command = [sys.executable, "-m", "epochbank.augment", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, **options)


@pytest.mark.parametrize(
    ("moment", "kept"),
    [
        ("calibration", "No shard of this run was written"),
        pytest.param("generation", "of 5 shards of this run are kept", marks=pytest.mark.long),
    ],
)
def test_a_killed_worker(moment: str, kept: str) -> None:
    """If the system kills a worker, the message has cause and fix, and the same command completes the set."""
    Path("my_killed.py").write_text(CUSTOM)
    Path(f"memory-is-short-in-{moment}").touch()
    write_arrays("a.npz", images=noise(60, 8, 8), labels=np.arange(60) % 3)
    write_recipe("mine.toml", '{ op = "my_killed:killed_once" }')
    words = ("run", "a.npz", "--recipe", "mine.toml", "--epochs", 2)
    result = module(*words, "--jobs", 2)
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert_message(result.stderr, "worker", "killed", "memory", kept, "same command", "--jobs")
    Path(f"memory-is-short-in-{moment}").unlink()
    again = module(*words, "--jobs", 1)
    assert again.returncode == 0, again.stderr
    (directory,) = (path.parent for path in Path("sets").glob("*/set.json"))
    assert "is sound" in done(augment, "verify", directory, "--jobs", 1)
    assert not [path for path in state() if ".tmp-" in path]
    assert len(json.loads(done(augment, "info", directory, "--json"))["epochs"]) == 2


# Damaged sets and source files, and those of other versions


COMMANDS_ON_A_SET: list[tuple[click.Command, tuple[object, ...]]] = [
    (augment, ("info", "SET")),
    (augment, ("info",)),
    (augment, ("verify", "SET", "--jobs", 1)),
    (augment, ("preview", "SET")),
    (augment, ("explain", "SET", 0, 0)),
    (augment, (*RUN[:3], 2, *RUN[4:])),
    (train, ("fit", "SET", "--run", "r")),
    (train, ("fit", "--run", "r")),
    (train, ("bench", "SET", "--seconds", 0)),
]
on_a_set = pytest.mark.parametrize(
    ("program", "words"), COMMANDS_ON_A_SET, ids=lambda value: str(value[0]) if isinstance(value, tuple) else value.name
)


def _on(words: tuple[object, ...], directory: Path) -> tuple[object, ...]:
    return tuple(directory if word == "SET" else word for word in words)


@on_a_set
def test_a_set_of_a_newer_format(made: Path, program: click.Command, words: tuple[object, ...]) -> None:
    """Every command refuses a set of a newer format, with both versions and the fix."""
    edit_json(made / "set.json", format=2)
    refused(program, 1, _on(words, made), str(made), "format 2", "reads format 1", "Upgrade epochbank")


@on_a_set
def test_a_tampered_set(made: Path, program: click.Command, words: tuple[object, ...]) -> None:
    """Every command refuses a set whose set.json was edited."""
    identity = json.loads((made / "set.json").read_text(encoding="utf-8"))["identity"]
    edit_json(made / "set.json", identity=identity | {"seed": 9})
    refused(program, 1, _on(words, made), f"{made}/set.json", "changed", "fingerprint", "Restore it", "again")


@pytest.mark.parametrize(
    "change",
    [{"class_names": ["c", "b", "a"]}, {"images": {"train": 3, "validation": 6, "test": 6}}],
    ids=["class_names", "images"],
)
def test_a_tampered_set_outside_its_fingerprint(made: Path, change: dict[str, Any]) -> None:
    """Edits outside the fingerprinted identity in set.json are found, too."""
    edit_json(made / "set.json", **change)
    for words in (("verify", made, "--jobs", 1), ("info", made)):
        refused(augment, 1, words, f"{made}/set.json", "Restore it", "again")


@pytest.mark.parametrize("damage", ["another row", "cut short", "gone"])
def test_a_damaged_split(made: Path, damage: str) -> None:
    """A changed, truncated or missing split.h5 is refused, so that no epoch is generated from wrong images."""
    path = made / "split.h5"
    if damage == "another row":
        with h5py.File(path, "r+") as file:
            file["train/row"][0] = file["train/row"][1]
    elif damage == "cut short":
        path.write_bytes(path.read_bytes()[:1_000])
    else:
        path.unlink()
    for words in (("verify", made, "--jobs", 1), (*RUN[:3], 2, *RUN[4:])):
        refused(augment, 1, words, f"{made}/split.h5", "Restore it", "again")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '"set"', "\x00"])
def test_a_damaged_set(made: Path, text: str) -> None:
    """A set.json that does not describe a set is refused as damaged."""
    (made / "set.json").write_text(text)
    for words in (("info", made), ("verify", made), RUN):
        refused(augment, 1, words, f"{made}/set.json is damaged", "expected", "Restore it")


def test_a_damaged_set_does_not_hide_the_others(made: Path) -> None:
    """`augment list` lists the sound sets, and names the one that it cannot read."""
    other = done(augment, "run", "kept.h5", "--seed", 1, "--epochs", 1, "--jobs", 1, "--print-path").splitlines()[-1]
    edit_json(made / "set.json", format=2)
    text = call(augment, "list").output
    assert Path(other).name in text
    assert made.name in text
    assert "format 2" in text


def test_a_damaged_manifest(made: Path) -> None:
    """A damaged line of the manifest is refused by number, not skipped."""
    lines = (made / "manifest.jsonl").read_text().splitlines()
    (made / "manifest.jsonl").write_text("\n".join([lines[0], "{" + lines[1][2:], *lines[2:]]) + "\n")
    for program, words in ((augment, ("info", made)), (augment, RUN), (train, ("fit", made, "--run", "r"))):
        refused(program, 1, words, "manifest.jsonl, line 2 is damaged", "expected one JSON object a line", "again")


def test_no_set_at_all() -> None:
    """Without any set, every command that uses the newest one says how to generate one."""
    for program, word in ((augment, "info"), (augment, "verify"), (train, "fit"), (train, "bench")):
        refused(program, 1, (word,), "there is no set in sets/", "augment run")
    assert "There is no set" in done(augment, "list")


@pytest.mark.parametrize(
    ("program", "words"),
    [(augment, ("info", "typo")), (augment, ("verify", "typo")), (augment, ("explain", "typo", 0, 0)),
     (train, ("fit", "typo")), (train, ("bench", "typo"))],
    ids=lambda value: str(value[0]) if isinstance(value, tuple) else value.name,
)  # fmt: skip
def test_an_unknown_set(made: Path, program: click.Command, words: tuple[object, ...]) -> None:
    """The message for a set that does not exist lists those that exist."""
    refused(program, 1, words, "'typo'", made.name, "augment list")


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_source_file_of_a_newer_format(made: Path, epochs: int) -> None:
    """A source file of a newer format is refused, with both versions and the fix."""
    os.truncate("kept.h5", Path("kept.h5").stat().st_size - 1024)  # Its seal would be of another form, too.
    with h5py.File("kept.h5", "r+") as file:
        file.attrs["format"] = 3
    for command in ("run", "plan"):
        words = (command, "kept.h5", "--epochs", epochs, "--jobs", 1)
        refused(augment, 1, words, "kept.h5", "format 3", "reads 1 to 2", "Upgrade epochbank")


def test_an_incomplete_source_file(made: Path) -> None:
    """A source file without one of its datasets is refused as damaged, by path."""
    with h5py.File("kept.h5", "r+") as file:
        del file["class_name"]
    refused(augment, 1, RUN, "kept.h5 is damaged", "Import the source again")


def test_a_set_that_another_run_writes(made: Path) -> None:
    """A set that another run is writing is refused, with the process that writes it, until that run ends."""
    words = (*RUN[:3], 2, *RUN[4:])
    with open(made / ".lock", "r+", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        lock.write("process 4711 on elsewhere")
        lock.flush()
        refused(augment, 1, words, str(made), "being written by another run", "process 4711 on elsewhere", "Wait")
        assert "nothing to do" in done(augment, *RUN)  # A complete set needs no lock.
    with writing(made / ".lock"):
        refused(augment, 1, words, "being written by another run", f"process {os.getpid()} on ")
    done(augment, *words)


# Full disks and other errors of the machine


def test_no_space_for_a_shard(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk, published shards are kept, no temporary file is left, and the same command continues."""
    write_shard, calls = shard_job.write_shard, []

    def full(path: Path, *rest: Any, **words: Any) -> Any:
        if not any(part.startswith(".tmp-") for part in path.parent.parts):  # The calibration run has enough space.
            calls.append(path)
        if len(calls) == 2:
            path.write_bytes(b"half a shard")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_shard(path, *rest, **words)

    words = (*RUN[:3], 4, *RUN[4:])
    before = state()
    with monkeypatch.context() as patch:
        patch.setattr(shard_job, "write_shard", full)
        result = call(augment, *words)
    assert result.exit_code == 1
    assert_message(result.stderr, "no space left", str(made), "1 of 3 shards of this run are kept", "same command")
    assert_only_grown(before, made, "epoch-0001/*.h5", "epoch-0001.h5")
    assert call(augment, *words).exit_code == 0
    assert "is sound" in done(augment, "verify", made, "--jobs", 1)


def assert_only_grown(before: dict[str, bytes], directory: Path, *new: str) -> None:
    """Assert that manifest and log of a set have more lines than `before`, and that only files `new` were added."""
    before, after = before.copy(), state()
    grown = [str(directory / name) for name in ("manifest.jsonl", "manifest.check", "log.jsonl")]
    for path in grown:
        assert after[path].startswith(before.pop(path))
    assert_untouched(before, (*grown, *(f"{directory}/{pattern}" for pattern in new)))


def _full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("what", ["write_split", "write_description"])
def test_no_space_for_the_beginning_of_a_set(made: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """On a full disk, no set is begun and no temporary file is left."""
    monkeypatch.setattr(new_set, what, _full)
    words = ("run", "kept.h5", "--seed", 5, "--jobs", 1)
    message = ("no space left", "sets", "Free some space", "No shard of this run was written", "same command")
    refused(augment, 1, words, *message, leaves=(LOCK, "sets/*/split.h5"))


@pytest.mark.long
def test_a_file_that_cannot_grow(nothing_recipe: Path) -> None:
    """If the system refuses to let a shard grow, no incomplete file is left, and the same command completes the set."""
    write_arrays("a.npz", images=noise(6_000, 16, 16), labels=np.arange(6_000) % 3)
    done(augment, "import", "a.npz", "a.h5")
    words = ("run", "a.h5", "--recipe", nothing_recipe, "--epochs", 1, "--jobs", 1, "--engine", "pillow",
             "--codec", "none", "--shard-size", 6_000)  # fmt: skip
    before = state()
    limit = 800_000  # Bytes: enough for the calibration run and the held-out images.
    result = module(*words, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    kept = "2 of 4 shards of this run are kept. Run the same command to continue."
    assert_message(result.stderr, "writing to sets/a-nothing-", "File too large", kept)
    written = ("set.json", "split.h5", "manifest.jsonl", "manifest.check", "log.jsonl", "validation*.h5", "test*.h5")
    assert_untouched(before, (LOCK, *(f"sets/*/{name}" for name in written)))
    done(augment, *words)
    assert "is sound" in done(augment, "verify", "--jobs", 1)


def test_no_space_for_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk is full during an import, no source file and no temporary file is left."""
    write_arrays("a.npz")
    monkeypatch.setattr(os, "pwrite", _full)
    refused(augment, 1, ("import", "a.npz", "o.h5", "--jobs", 1), "o space left", "o.h5")


def test_too_little_space_for_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """An import too large for the disk is refused before it begins, with both sizes and the options to change."""
    write_arrays("a.npz")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=500))
    refused(augment, 1, ("import", "a.npz", "o.h5", "--jobs", 1), "needs 768 bytes", "has 500 bytes left", "--limit")


@pytest.mark.parametrize("words", [("run", "a.npz", "--sets", "file"), ("import", "a.npz", "file/o.h5")], ids=str)
def test_a_file_where_a_directory_should_be(words: tuple[str, ...]) -> None:
    """A file in the place of the directory to write to is refused by path."""
    write_arrays("a.npz")
    Path("file").write_text("mine")
    refused(augment, 1, (*words, "--jobs", 1), "file", "irectory")


# Existing files are not overwritten


def test_import_onto_a_file(made: Path) -> None:
    """`augment import` refuses to overwrite any file."""
    write_arrays("a.npz")
    Path("notes.h5").write_text("mine")
    for file in ("kept.h5", "notes.h5"):
        refused(augment, 1, ("import", "a.npz", file), file, "exists", "expected a new file", "another name")
    refused(augment, 2, ("import", "a.npz", "o.dat"), "o.dat", "does not end in .h5")


def _their_png(path: Path) -> None:
    Image.new("L", (3, 3)).save(path)


def _their_text(path: Path) -> None:
    path.write_text("a text, despite its name")


def _their_folder(path: Path) -> None:
    path.mkdir()
    (path / "x.txt").write_text("mine")


@pytest.mark.parametrize("theirs", [_their_png, _their_text, _their_folder])
@pytest.mark.parametrize("words", [("preview", "SET"), ("preview", "kept.h5"), ("explain", "SET", 0, 1)], ids=str)
def test_a_sheet_onto_a_file(made: Path, words: tuple[object, ...], theirs: Any) -> None:
    """A contact sheet overwrites neither files nor folders that epochbank did not write."""
    theirs(Path("out.png"))
    refused(augment, 1, (*_on(words, made), "--out", "out.png"), "out.png", "exists", "Choose another --out")


def test_a_sheet_onto_a_sheet(made: Path) -> None:
    """A contact sheet replaces an older one of epochbank; a name that does not end in .png is refused."""
    done(augment, "preview", made, "--out", "out.png")
    first = Path("out.png").read_bytes()
    done(augment, "explain", made, 0, 1, "--out", "out.png")
    assert Path("out.png").read_bytes() != first
    refused(augment, 2, ("preview", made, "--out", "out.jpg"), "out.jpg", "expected a name that ends in .png")


@pytest.mark.parametrize(("epoch", "position"), [(0, 48), (0, 10**9), (0, -1), (-1, 0)])
def test_explain_out_of_range(made: Path, epoch: int, position: int) -> None:
    """A position or epoch out of range is refused, with the range."""
    words = ("explain", made, "--", epoch, position)
    refused(augment, 2, words, f"epoch {epoch} of {made} has no position {position}", "position from 0 to 47")


# Damage in a set


def test_verify_finds_damage_and_says_how_to_repair_it(made: Path) -> None:
    """`augment verify` names each damaged shard and the fault; following its advice repairs the set."""
    whole = state()
    flipped = damage_a_chunk(made)
    short, gone = (made / entry.file for entry in read_manifest(made) if entry.split in ("train", "test"))
    short.write_bytes(short.read_bytes()[:-9])
    gone.unlink()
    text = refused(augment, 1, ("verify", made, "--jobs", 1), f"{made} is damaged in 3 shards", "checksum", "missing",
                   f"bytes; expected {len(whole[str(short)]):,}", "delete the files", "augment run")  # fmt: skip
    for shard in (flipped, short, gone):
        assert any(str(shard) in line for line in text.splitlines())
    result = call(augment, "verify", made, "--jobs", 1, "--json")
    assert result.exit_code == 1
    facts = json.loads(result.stdout)
    assert (facts["sound"], len(facts["faults"])) == (False, 3)

    flipped.unlink()
    done(augment, *RUN)
    assert "is sound" in done(augment, "verify", made, "--jobs", 1)
    assert {path: state()[path] for path in whole if path.endswith(".h5")} == {
        path: data for path, data in whole.items() if path.endswith(".h5")
    }


@pytest.mark.parametrize("program", ["fit", "bench"])
@pytest.mark.parametrize("damage", ["flipped", "gone"])
def test_a_damaged_shard_stops_training(made: Path, program: str, damage: str) -> None:
    """A damaged shard stops a training with its path and the fix, and leaves no model and no summary."""
    shard = damage_a_chunk(made)
    if damage == "gone":
        shard.unlink()
    words = ("fit", made, "--run", "r", "--epochs", 1, "--batch-size", 16) if program == "fit" else (
        "bench", made, "--seconds", 0, "--batch-size", 16)  # fmt: skip
    fault = ("cannot be read", "positions 8 to 15", "checksum", "augment verify") if damage == "flipped" else (
        "missing or incomplete", "the file is missing", "augment run")  # fmt: skip
    refused(train, 1, words, str(shard), *fault, leaves=("r/config.json",))


# Training


def test_a_set_without_a_published_epoch(made: Path) -> None:
    """A set without a complete epoch is refused for training, with the command that completes it."""
    lines = (made / "manifest.jsonl").read_text().splitlines(keepends=True)
    (made / "manifest.jsonl").write_text("".join(line for line in lines if json.loads(line)["part"] != "epoch"))
    (made / "manifest.check").unlink()
    for words in (("fit", made, "--run", "r"), ("bench", made)):
        refused(train, 1, words, f"{made} has no published epoch", "augment run", "again to continue")
    refused(augment, 1, ("preview", made), f"{made} has no published epoch", "augment run")


MODELS = """
import keras
from keras import layers

VALUE = 3

def few(shape, classes):
    return keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(2)])

def map_of(shape, classes):
    return keras.Sequential([keras.Input(shape), layers.Conv2D(classes, 3)])

def large(shape, classes):
    return keras.Sequential([keras.Input((99, 99, 1)), layers.Flatten(), layers.Dense(classes)])

def nothing(shape, classes):
    pass

def fails(shape, classes):
    raise LookupError("no layers left")

def open_ended(shape, classes):
    return keras.Sequential([layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(classes)])
"""


@pytest.fixture
def models(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules `refused_models` and `refused_syntax` in the current directory, where `train` finds them."""
    Path("refused_models.py").write_text(MODELS)
    Path("refused_syntax.py").write_text("def (:\n")
    monkeypatch.syspath_prepend(here)
    for name in ("refused_models", "refused_syntax"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("refused_models:few", ("output", "(None, 2)", "expected (None, 3)", "number of classes")),
        ("refused_models:map_of", ("output", "(None, 6, 6, 3)", "expected (None, 3)")),
        ("refused_models:large", ("input", "(None, 99, 99, 1)", "expected (None, 8, 8, 1)", "shape")),
        ("refused_models:nothing", ("NoneType", "expected a Keras model")),
        ("refused_models:fails", ("LookupError", "no layers left")),
        ("refused_models:VALUE", ("expected", "function")),
        ("refused_models:gone", ("module refused_models has no 'gone'", "refused_models.py", "cnn-small")),
        ("refused_nowhere:few", ("there is no module", "refused_nowhere", "current directory")),
        ("refused_syntax:few", ("cannot be imported", "syntax", "module:function")),
        ("resnet", ("unknown", "expected", "cnn-small, cnn", "module:function")),
        (":few", ("expected", "cnn-small", "module:function")),
    ],
)
def test_models_that_do_not_fit(made: Path, model: str, message: tuple[str, ...]) -> None:
    """A model that is unknown, fails, or does not fit the images or classes is refused before a run begins."""
    refused(train, 2, ("fit", made, "--model", model, "--run", "r", "--epochs", 1), model, *message)
    assert not Path("r").exists()


@pytest.mark.usefixtures("models")
def test_a_model_without_an_input(made: Path) -> None:
    """A model without an Input is built or refused, without a traceback and an incomplete run."""
    result = call(train, "fit", made, "--model", "refused_models:open_ended", "--run", "r", "--epochs", 1)
    if result.exit_code:
        assert result.exit_code == 2
        assert_message(result.stderr, "refused_models:open_ended", "Input")
    assert Path("r/summary.json").exists() == (result.exit_code == 0)
    assert Path("r").exists() == (result.exit_code == 0)


def test_a_run_directory_that_is_not_empty(made: Path) -> None:
    """A run directory that is not empty, or is a file, is refused and not changed."""
    Path("r").mkdir()
    Path("r/notes.txt").write_text("mine")
    Path("f").write_text("mine")
    for run in ("r", "f"):
        words = ("fit", made, "--run", run, "--epochs", 1)
        refused(train, 1, words, f"{run} exists", "expected a new run directory", "another --run")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--originals", 0.01, "--batch-size", 8), ("originals 0.01", "batch of 8", "expected at least one", "larger")),
        (("--originals", 1.5), ("--originals", "1.5", "from 0 to 1")),
        (("--batch-size", 0), ("--batch-size", "0")),
        (("--learning-rate", 0), ("--learning-rate", "0")),
        (("--precision", "float8"), ("--precision", "float8", "float32")),
    ],
    ids=str,
)
def test_invalid_training_options(made: Path, words: tuple[object, ...], message: tuple[str, ...]) -> None:
    """Training options with invalid values are refused by name, before a run begins."""
    refused(train, 2, ("fit", made, "--run", "r", "--epochs", 1, *words), *message)
    assert not Path("r").exists()


def test_evaluating_a_run_that_does_not_exist() -> None:
    """A missing directory, one that is not of a run, and `train evaluate` without any run are refused."""
    refused(train, 1, ("evaluate", "typo"), "typo is not a run directory", "config.json", "train fit")
    refused(train, 1, ("evaluate",), "no run in runs/", "train fit")
    Path("r").mkdir()
    refused(train, 1, ("evaluate", "r"), "r is not a run directory", "config.json", "train fit")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"set": "x"}'])
def test_evaluating_a_run_with_a_damaged_configuration(text: str) -> None:
    """A config.json that does not describe a run is refused as damaged."""
    Path("r").mkdir()
    Path("r/config.json").write_text(text)
    refused(train, 1, ("evaluate", "r"), "r/config.json is damaged", "again")


def begin_run(directory: Path, **changes: Any) -> None:
    """Write a run directory as it is before the first epoch has ended."""
    fingerprint = json.loads((directory / "set.json").read_text(encoding="utf-8"))["fingerprint"]
    config = {"set": {"path": str(directory.resolve()), "fingerprint": fingerprint}, "model": "cnn-small"} | changes
    Path("r").mkdir()
    Path("r/config.json").write_text(json.dumps(config))


def test_evaluating_an_unfinished_run(made: Path) -> None:
    """A run that stopped in its first epoch is refused, because it has no model."""
    begin_run(made)
    refused(
        train,
        1,
        ("evaluate", "r"),
        "r has no model.keras",
        "before its first epoch was completed",
        "train fit --resume r",
    )


def test_evaluating_a_run_with_a_damaged_model(made: Path) -> None:
    """A file that is not a model is refused by path."""
    begin_run(made)
    Path("r/model.keras").write_text("no model")
    refused(train, 1, ("evaluate", "r"), "r/model.keras", "again")


def test_evaluating_a_run_whose_set_is_another(made: Path) -> None:
    """A run whose set is missing or was replaced is refused, not evaluated on other images."""
    begin_run(made, set={"path": str(made.resolve()), "fingerprint": "0" * 64})
    refused(train, 1, ("evaluate", "r"), str(made), "another set", "00000000", "trained on", "Put that set back")
    edit_json(Path("r/config.json"), set={"path": "sets/gone", "fingerprint": "0" * 64})
    refused(train, 1, ("evaluate", "r"), "sets/gone", "no set")
