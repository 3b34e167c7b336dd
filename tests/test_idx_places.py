"""IDX files where torchvision, Kaggle and NIST put them, and QMNIST's labels."""

import gzip
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from conftest import glyphs
from epochbank.augment.cli import main as augment
from epochbank.augment.ingest.source_file import SourceFile, open_source_file

IMAGES = glyphs(30, (9, 7, 1))[..., 0]
TRAIN, TEST = IMAGES[:20], IMAGES[20:]


def idx(array: np.ndarray) -> bytes:
    """Return an array in IDX format: bytes, or big-endian int32."""
    code, stored = (8, array.astype(np.uint8)) if array.dtype != np.int32 else (12, array.astype(">i4"))
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + stored.tobytes()


def files(prefix: str = "", test: str = "t10k", *, transposed: bool = False) -> dict[str, bytes]:
    """Return the four files of a data set with three classes, by name."""
    found = {}
    for split, images in (("train", TRAIN), (test, TEST)):
        stored = images.transpose(0, 2, 1) if transposed else images
        found[f"{prefix}{split}-images-idx3-ubyte"] = idx(stored)
        found[f"{prefix}{split}-labels-idx1-ubyte"] = idx(np.arange(len(images), dtype=np.uint8) % 3)
    return found


def write(folder: Path, named: dict[str, bytes]) -> None:
    for name, content in named.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def packed(named: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{name}.gz": gzip.compress(content, 1) for name, content in named.items()}


def run(source: object, tmp_path: Path, *options: str) -> tuple[int, str]:
    arguments = ["import", str(source), str(tmp_path / "o.h5"), "--jobs", "1", "--invert", "no", *options]
    result = CliRunner().invoke(augment, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def imported(source: object, tmp_path: Path, *options: str) -> tuple[SourceFile, str]:
    """Import a source, and check its images, labels and splits."""
    code, output = run(source, tmp_path, *options)
    assert code == 0, output
    file = open_source_file(tmp_path / "o.h5")
    np.testing.assert_array_equal(file.read(np.arange(30))[..., 0], IMAGES)
    assert file.column("label").tolist() == [*(k % 3 for k in range(20)), *(k % 3 for k in range(10))]
    assert file.column("part").tolist() == [0] * 20 + [2] * 10
    return file, output


@pytest.mark.parametrize("source", ["data", "data/MNIST", "data/MNIST/raw"])
@pytest.mark.parametrize("compressed", [True, False])
def test_torchvision(tmp_path: Path, source: str, compressed: bool) -> None:
    """torchvision puts MNIST into `MNIST/raw`, with and without .gz: its root and the folders in it are accepted."""
    write(tmp_path / "data/MNIST/raw", files() | (packed(files()) if compressed else {}))
    _, output = imported(tmp_path / source, tmp_path)
    assert ("using the IDX files in" in output) == (not source.endswith("raw"))


def test_several_data_sets_of_torchvision(tmp_path: Path) -> None:
    """Several data sets below a folder are refused with the places to choose from."""
    for name in ("MNIST", "FashionMNIST"):
        write(tmp_path / "data" / name / "raw", files())
    code, output = run(tmp_path / "data", tmp_path)
    assert code == 2
    for name in ("MNIST", "FashionMNIST"):
        assert f"idx:{tmp_path}/data/{name}/raw" in output
    imported(tmp_path / "data/FashionMNIST", tmp_path)


@pytest.mark.parametrize("beside", [True, False], ids=["with files", "without files"])
def test_kaggle(tmp_path: Path, beside: bool) -> None:
    """Kaggle unpacks each file into a folder of its name, and has them with a dot as well."""
    write(tmp_path / "archive", {f"{name}/{name}": content for name, content in files().items()})
    if beside:
        write(tmp_path / "archive", {name.replace("-idx", ".idx"): content for name, content in files().items()})
    imported(tmp_path / "archive", tmp_path)


MAPPING = "0 48\n1 65\n2 97\n"


def emnist() -> dict[str, bytes]:
    """Return the members of EMNIST's `gzip.zip`: two of its data sets, and their class names."""
    named = packed(files("emnist-balanced-", "test", transposed=True))
    named |= packed(files("emnist-letters-", "test", transposed=True))
    named |= {f"emnist-{name}-mapping.txt": MAPPING.encode() for name in ("balanced", "letters")}
    return {f"gzip/{name}": content for name, content in named.items()}


def write_zip(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_emnist_in_its_archive(tmp_path: Path) -> None:
    """`gzip.zip` is read without unpacking it; its data sets are chosen by their names; images are turned upright."""
    write_zip(tmp_path / "gzip.zip", emnist())
    code, output = run(tmp_path / "gzip.zip", tmp_path)
    assert code == 2
    assert f"expected one of idx:{tmp_path}/gzip.zip/emnist-balanced, idx:{tmp_path}/gzip.zip/emnist-letters" in output
    file, output = imported(f"idx:{tmp_path}/gzip.zip/emnist-letters", tmp_path)
    assert file.class_names == ["0", "A", "a"]
    assert "class names are from emnist-letters-mapping.txt" in output
    assert "turned upright" in output


def test_emnist_of_torchvision(tmp_path: Path) -> None:
    """torchvision keeps `gzip.zip` in `EMNIST/raw`; the root leads to it."""
    members = {name: content for name, content in emnist().items() if "letters" in name}
    write_zip(tmp_path / "EMNIST/raw/gzip.zip", members)
    file, _ = imported(tmp_path / "EMNIST", tmp_path)
    assert file.class_names == ["0", "A", "a"]


def test_damaged_members(tmp_path: Path) -> None:
    """A damaged member of an archive is refused by its name."""
    members = {name: content for name, content in emnist().items() if "letters" in name}
    members["gzip/emnist-letters-train-images-idx3-ubyte.gz"] = b"\x1f\x8b" + bytes(30)
    write_zip(tmp_path / "gzip.zip", members)
    code, output = run(tmp_path / "gzip.zip", tmp_path)
    assert code == 1
    assert "gzip.zip/gzip/emnist-letters-train-images-idx3-ubyte.gz cannot be decompressed" in output


@pytest.mark.parametrize("unpacked", [True, False])
def test_emnist_for_matlab(tmp_path: Path, unpacked: bool) -> None:
    """`matlab.zip` is refused, and the message names the archive to download instead."""
    members = {"matlab/emnist-balanced.mat": b"MATLAB 5.0", "matlab/emnist-letters.mat": b"MATLAB 5.0"}
    if unpacked:
        write(tmp_path / "m", members)
    else:
        write_zip(tmp_path / "matlab.zip", members)
    code, output = run(tmp_path / ("m" if unpacked else "matlab.zip"), tmp_path)
    assert code == 1
    assert "holds EMNIST in MATLAB's format; expected its IDX files. Download gzip.zip" in output


def qmnist() -> dict[str, bytes]:
    """Return QMNIST's files: labels are rows of class, series, writer and five more numbers."""
    named = {}
    for split, images in (("train", TRAIN), ("test", TEST)):
        rows = np.zeros((len(images), 8), np.int32)
        rows[:, 0], rows[:, 1], rows[:, 2] = np.arange(len(images)) % 3, 4, 3000 + np.arange(len(images)) // 5
        rows[:, 5] = np.arange(len(images)) + 100_000
        named[f"qmnist-{split}-images-idx3-ubyte"] = idx(images)
        named[f"qmnist-{split}-labels-idx2-int"] = idx(rows)
    return named


@pytest.mark.parametrize("compressed", [True, False])
def test_qmnist(tmp_path: Path, compressed: bool) -> None:
    """The first column of QMNIST's labels is the class, and the third names the writer, which is the group."""
    write(tmp_path / "q", packed(qmnist()) if compressed else qmnist())
    file, _ = imported(tmp_path / "q", tmp_path)
    assert file.group_names == [f"writer {number}" for number in range(3000, 3004)]
    assert file.column("group").tolist() == [*(k // 5 for k in range(20)), *(k // 5 for k in range(10))]


def test_labels_with_another_number_of_columns(tmp_path: Path) -> None:
    """Rows that are not QMNIST's are refused."""
    write(tmp_path / "q", qmnist() | {"qmnist-test-labels-idx2-int": idx(np.zeros((10, 3), np.int32))})
    code, output = run(tmp_path / "q", tmp_path)
    assert code == 1
    assert "qmnist-test-labels-idx2-int has 3 columns; expected 8, as in QMNIST" in output


def test_class_names_option(tmp_path: Path) -> None:
    """`--class-names` names the labels, instead of a mapping next to the files."""
    write(tmp_path / "m", files())
    (tmp_path / "m/kmnist_classmap.csv").write_text("index,char\n0,a\n1,b\n2,c\n")
    (tmp_path / "names.txt").write_text("zero\none\ntwo\n")
    file, _ = imported(tmp_path / "m", tmp_path, "--class-names", str(tmp_path / "names.txt"))
    assert file.class_names == ["zero", "one", "two"]
