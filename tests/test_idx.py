"""Sources in IDX files: MNIST, KMNIST and EMNIST as distributed, and damaged files.

The files are written with `struct`, according to the description of the format.
"""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from epochbank.augment.cli import main as augment
from epochbank.augment.errors import EpochbankError
from epochbank.augment.sources import Scan, SourceOptions
from epochbank.augment.sources.find import open_source

MNIST = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def noise(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width), dtype=np.uint8)


def idx(array: np.ndarray) -> bytes:
    """Return an array of bytes in IDX format."""
    return (
        bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()
    )


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix.lower() == ".gz" else data)
    return path


def write_pairs(
    folder: Path, names: tuple[str, ...], train: np.ndarray, test: np.ndarray, classes: int = 10, first: int = 0
) -> Path:
    """Write images and labels of two splits to four files; labels cycle through `classes` numbers from `first`."""
    for name, array in zip(names, (train, train, test, test), strict=True):
        labels = "labels" in name.lower()
        write(folder / name, idx(np.arange(len(array)) % classes + first if labels else array))
    return folder


def scan_of(spec: object, tmp_path: Path, **options: str) -> Scan:
    workspace = tmp_path / "workspace"
    workspace.mkdir(exist_ok=True)
    return open_source(str(spec), SourceOptions(**options)).scan(workspace)  # type: ignore[arg-type]


def pixels_of(scan: Scan) -> np.ndarray:
    runs = [run for run in scan.reader.read(np.arange(len(scan.labels))) if isinstance(run, np.ndarray)]
    return np.concatenate(runs)


def names_of(scan: Scan) -> list[str]:
    return [scan.class_names[label] for label in scan.labels]


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    "rename",
    [str, str.upper, lambda name: name.replace("-idx", ".idx")],
    ids=["as distributed", "in capitals", "with a dot"],
)
def test_mnist(tmp_path: Path, suffix: str, rename: Callable[[str], str]) -> None:
    """A folder of MNIST's four files is recognized, and gives the training images, then the test images."""
    train, test = noise(25, 6, 4), noise(11, 6, 4, seed=1)
    names = tuple(rename(name) + suffix for name in MNIST)
    scan = scan_of(write_pairs(tmp_path / "mnist", names, train, test), tmp_path)
    np.testing.assert_array_equal(pixels_of(scan), np.concatenate([train, test]))
    assert scan.class_names == list("0123456789")
    assert names_of(scan) == [str(n % 10) for n in (*range(25), *range(11))]
    assert scan.splits is not None
    assert scan.splits.tolist() == [0] * 25 + [2] * 11
    assert (scan.size, scan.channels, scan.groups, scan.notes) == ((6, 4), 1, None, [])
    assert [scan.reader.origin(index) for index in (0, 24, 25, 35)] == [
        f"{rename(MNIST[0])}[0]", f"{rename(MNIST[0])}[24]", f"{rename(MNIST[2])}[0]", f"{rename(MNIST[2])}[10]"
    ]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 5),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    packed=st.booleans(),
    emnist=st.booleans(),
)
def test_images_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, count: int, height: int, width: int, packed: bool, emnist: bool
) -> None:
    """Images of any size are read exactly, and those of EMNIST are transposed."""
    folder, images = tmp_path_factory.mktemp("idx"), noise(count, height, width)
    prefix, suffix = "emnist-digits-" if emnist else "", ".gz" if packed else ""
    write(folder / f"{prefix}train-images-idx3-ubyte{suffix}", idx(images.transpose(0, 2, 1) if emnist else images))
    write(folder / f"{prefix}train-labels-idx1-ubyte{suffix}", idx(np.zeros(count)))
    scan = scan_of(folder, folder)
    np.testing.assert_array_equal(pixels_of(scan), images)
    assert scan.size == (height, width)


EMNIST = tuple(
    f"emnist-letters-{split}-{what}-ubyte.gz"
    for split in ("train", "test")
    for what in ("images-idx3", "labels-idx1")
)  # fmt: skip


def test_emnist(tmp_path: Path) -> None:
    """EMNIST's images are turned upright, and the mapping names its classes."""
    train, test = noise(9, 5, 7), noise(6, 5, 7, seed=1)
    folder = write_pairs(
        tmp_path / "emnist", EMNIST, train.transpose(0, 2, 1), test.transpose(0, 2, 1), classes=3, first=1
    )
    (folder / "emnist-letters-mapping.txt").write_text("1 65 97\n2 66 98\n3 22810\n4 68 100\n")
    scan = scan_of(folder, tmp_path)
    np.testing.assert_array_equal(pixels_of(scan), np.concatenate([train, test]))
    assert scan.class_names == ["Aa", "Bb", "多"]
    assert names_of(scan)[:4] == ["Aa", "Bb", "多", "Aa"]
    assert scan.size == (5, 7)
    assert scan.splits is not None
    assert scan.splits.tolist() == [0] * 9 + [2] * 6
    assert "images of emnist-letters are stored transposed; they were turned upright" in scan.notes


def test_several_data_sets_in_a_folder(tmp_path: Path) -> None:
    """A folder of several datasets is refused with a list of choices, which are accepted in upper or lower case."""
    letters = write_pairs(tmp_path / "all", EMNIST, noise(9, 4, 4), noise(6, 4, 4), classes=3)
    balanced = tuple(name.replace("letters", "Balanced") for name in EMNIST)
    write_pairs(letters, balanced, noise(8, 4, 4), noise(5, 4, 4), classes=2)
    with pytest.raises(
        EpochbankError, match=r"several datasets; expected one of idx:\S+/emnist-balanced, idx:\S+/emnist-letters\.$"
    ) as refusal:
        scan_of(letters, tmp_path)
    assert refusal.value.exit_code == 2
    assert len(scan_of(f"idx:{letters}/emnist-letters", tmp_path).labels) == 15
    assert len(scan_of(f"idx:{letters}/EMNIST-balanced-", tmp_path).labels) == 13
    with pytest.raises(EpochbankError, match=r"no IDX files begin with \S+/emnist-byclass; expected one of idx:"):
        scan_of(f"idx:{letters}/emnist-byclass", tmp_path)
    write_pairs(letters, MNIST, noise(8, 4, 4), noise(5, 4, 4))
    with pytest.raises(EpochbankError, match=r"Move the files that begin with train- or t10k- to a separate folder"):
        scan_of(letters, tmp_path)


def test_one_file_of_images(tmp_path: Path) -> None:
    """A file of images is read with its labels."""
    folder = write_pairs(tmp_path / "mnist", MNIST, noise(12, 4, 4), noise(5, 4, 4, seed=1), classes=5)
    (folder / MNIST[0]).rename(folder / "train-images.idx3-ubyte")
    scan = scan_of(folder / MNIST[2], tmp_path)
    np.testing.assert_array_equal(pixels_of(scan), noise(5, 4, 4, seed=1))
    assert scan.splits is not None
    assert scan.splits.tolist() == [2] * 5
    assert len(scan_of(folder / "train-images.idx3-ubyte", tmp_path).labels) == 12
    for wrong in (folder / MNIST[1], f"idx:{write(folder / 'images.bin', b'')}"):
        with pytest.raises(
            EpochbankError, match="does not have the name of an IDX file of images; expected a name like train-im"
        ):
            scan_of(wrong, tmp_path)


@pytest.mark.parametrize("name", ["kmnist_classmap.csv", "k49_classmap.csv"])
def test_kmnist(tmp_path: Path, name: str) -> None:
    """Class names are the characters of the class map in the same folder."""
    folder = write_pairs(tmp_path / "kmnist", MNIST, noise(9, 4, 4), noise(6, 4, 4), classes=3)
    (folder / name).write_text("index,codepoint,char\n0,U+304A,お\n2,U+3059,す\n1,U+304D,き\n", encoding="utf-8")
    scan = scan_of(folder, tmp_path)
    assert scan.class_names == ["お", "き", "す"]
    assert scan.notes == [f"class names are from {name}"]


def test_the_class_map_with_all_labels_is_used(tmp_path: Path) -> None:
    """Of two class maps, the one with all labels is used; if none has them, the missing labels are listed."""
    folder = write_pairs(tmp_path / "k", MNIST, noise(9, 4, 4), noise(6, 4, 4), classes=3)
    (folder / "kmnist_classmap.csv").write_text("index,char\n0,a\n1,b\n", encoding="utf-8")
    with pytest.raises(
        EpochbankError, match=r"kmnist_classmap.csv has no name for the labels 2; expected one for each"
    ):
        scan_of(folder, tmp_path)
    (folder / "k49_classmap.csv").write_text("index,char\n0,x\n1,y\n2,z\n", encoding="utf-8")
    assert scan_of(folder, tmp_path).class_names == ["x", "y", "z"]


def test_labels_with_gaps(tmp_path: Path) -> None:
    """Without a map, classes are the labels that occur, in numerical order."""
    write(tmp_path / "a" / "train-images-idx3-ubyte", idx(noise(4, 3, 3)))
    write(tmp_path / "a" / "train-labels-idx1-ubyte", idx(np.array([200, 9, 10, 9])))
    scan = scan_of(tmp_path / "a", tmp_path)
    assert scan.class_names == ["9", "10", "200"]
    assert names_of(scan) == ["200", "9", "10", "9"]


def test_compressed_and_uncompressed_files(tmp_path: Path) -> None:
    """An uncompressed file takes precedence over its `.gz`, and a `.gz` that is not compressed is read as it is."""
    folder = write_pairs(tmp_path / "mnist", MNIST, noise(9, 4, 4), noise(6, 4, 4, seed=1))
    write(folder / f"{MNIST[0]}.gz", idx(noise(9, 4, 4, seed=2)))
    (folder / MNIST[2]).rename(folder / f"{MNIST[2]}.gz")
    (folder / "train-labels.idx1-ubyte").mkdir()  # Some programs unpack each file into a folder.
    expected = np.concatenate([noise(9, 4, 4), noise(6, 4, 4, seed=1)])
    np.testing.assert_array_equal(pixels_of(scan_of(folder, tmp_path)), expected)


def test_folders_with_names_of_idx_files(tmp_path: Path) -> None:
    """A folder whose subfolders have names of IDX files is a folder of classes."""
    for name in ("train-images-idx3-ubyte", "b"):
        (tmp_path / "t" / name).mkdir(parents=True)
        Image.fromarray(noise(1, 4, 4)[0]).save(tmp_path / "t" / name / "1.png")
    assert scan_of(tmp_path / "t", tmp_path).class_names == ["b", "train-images-idx3-ubyte"]


# Damaged and missing files

Damage = Callable[[bytes], bytes]


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("name", "damage", "messages"),
    [
        (MNIST[0], lambda data: data[:3] + b"\1" + data[4:], ["begins with 00 00 08 01", "expected 00 00 08 03"]),
        (MNIST[0], lambda data: data[:2] + b"\x0d" + data[3:], ["begins with 00 00 0d 03", "unsigned bytes in 3 dim"]),
        (MNIST[3], lambda data: data[:3] + b"\3" + data[4:], ["begins with 00 00 08 03", "expected 00 00 08 01"]),
        (MNIST[0], lambda data: b"", ["begins with nothing", "expected 00 00 08 03"]),
        (MNIST[0], lambda data: data[:9], ["has 9 bytes; expected a header of 16"]),
        (MNIST[0], lambda data: data[:-1], ["holds 143 bytes after its header; expected 144", "9 x 4 x 4"]),
        (MNIST[2], lambda data: data + b"x", ["holds 97 bytes after its header; expected 96", "6 x 4 x 4"]),
        (MNIST[2], lambda data: data[:4] + bytes(4) + data[8:], ["has the dimensions (0, 4, 4)", "no zero"]),
        (MNIST[1], lambda data: data[:-2], ["holds 7 bytes after its header; expected 9"]),
        (MNIST[1], lambda data: idx(np.zeros(8)), ["9 images and ", "8 labels; expected one label for each"]),
    ],
)  # fmt: skip
def test_damaged_files(tmp_path: Path, suffix: str, name: str, damage: Damage, messages: list[str]) -> None:
    """Files with a wrong magic number, missing or extra bytes, or another count than their pair are refused by name."""
    folder = write_pairs(tmp_path / "m", tuple(n + suffix for n in MNIST), noise(9, 4, 4), noise(6, 4, 4))
    path = folder / (name + suffix)
    data = gzip.decompress(path.read_bytes()) if suffix else path.read_bytes()
    write(path, damage(data))
    assert_refused(tmp_path, folder, str(path), *messages, "Download")


@pytest.mark.parametrize("name", [MNIST[0], MNIST[1]])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-12],
        lambda data: data[:24],
        lambda data: data[:10] + b"\xff" * 4 + data[14:],
        lambda data: data[:-8] + bytes(8),
    ],
    ids=["end", "beginning", "code", "checksum"],
)
def test_damaged_archives(tmp_path: Path, name: str, damage: Damage) -> None:
    """A .gz that is truncated or changed is refused by name."""
    folder = write_pairs(tmp_path / "m", tuple(f"{n}.gz" for n in MNIST), noise(9, 4, 4), noise(6, 4, 4))
    path = folder / f"{name}.gz"
    path.write_bytes(damage(path.read_bytes()))
    assert_refused(tmp_path, folder, str(path), "cannot be decompressed", "Download the file again")


@pytest.mark.parametrize(
    ("missing", "message"),
    [(MNIST[0], "has no images in the same folder"), (MNIST[3], "has no labels in the same folder")],
)
def test_half_a_pair(tmp_path: Path, missing: str, message: str) -> None:
    """Images without labels, or labels without images, are refused."""
    folder = write_pairs(tmp_path / "m", MNIST, noise(9, 4, 4), noise(6, 4, 4))
    (folder / missing).unlink()
    assert_refused(
        tmp_path, folder, message, "expected train-images-idx3-ubyte and train-labels-idx1-ubyte", "Download them"
    )


def test_two_files_with_the_same_content(tmp_path: Path) -> None:
    """Two files whose names describe the same data are refused."""
    folder = write_pairs(tmp_path / "m", MNIST, noise(9, 4, 4), noise(6, 4, 4))
    write(folder / "train-images.idx3-ubyte", idx(noise(9, 4, 4, seed=3)))
    assert_refused(tmp_path, folder, "have names for the same data; expected one", "Remove the other")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 65\n2 zwei\n", "emnist-letters-mapping.txt cannot be read: invalid literal"),
        ("1 65\n2 66\n3 1114112\n", "cannot be read: chr()"),
        ("1 65\n2 66\n", "has no name for the labels 3"),
        ("1 65\n2 66\n3 66\n", "has the names 'B', which are repeated"),
        ("1 65\n2 66\n3\n", "has the names '', which are repeated, empty"),
    ],
)
def test_damaged_mappings(tmp_path: Path, text: str, message: str) -> None:
    """Mappings that are unreadable, or do not have a different name for each label, are refused."""
    folder = write_pairs(tmp_path / "m", EMNIST, noise(9, 4, 4), noise(6, 4, 4), classes=3, first=1)
    (folder / "emnist-letters-mapping.txt").write_text(text)
    assert_refused(tmp_path, folder, message, "expected", "Download it again")


@pytest.mark.parametrize("text", ["label,name\n0,a\n", "index,char\nx,a\n", "index,char\n0\n"])
def test_damaged_class_maps(tmp_path: Path, text: str) -> None:
    """Unreadable class maps of KMNIST are refused."""
    folder = write_pairs(tmp_path / "m", MNIST, noise(9, 4, 4), noise(6, 4, 4), classes=3)
    (folder / "kmnist_classmap.csv").write_text(text)
    assert_refused(tmp_path, folder, "kmnist_classmap.csv", "expected", "Download it again")


def test_missing_files(tmp_path: Path) -> None:
    """A folder without IDX files is refused, and so is a prefix in a missing folder."""
    (tmp_path / "empty").mkdir()
    assert_refused(tmp_path, f"idx:{tmp_path / 'empty'}", "holds no IDX files; expected train-images-idx3-ubyte")
    assert_refused(tmp_path, f"idx:{tmp_path / 'gone' / 'emnist'}", "does not exist", "IDX files")


def assert_refused(tmp_path: Path, spec: object, *messages: str) -> None:
    """Check that `augment import` fails with all of `messages`: exit code 1, no traceback, nothing written."""
    before = sorted(tmp_path.iterdir())
    result = CliRunner().invoke(augment, ["import", str(spec), str(tmp_path / "o.h5"), "--jobs", "1"])
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1
    for message in messages:
        assert message in result.stderr
    assert sorted(tmp_path.iterdir()) == before
