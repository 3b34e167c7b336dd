"""Sources that are IDX files: MNIST, KMNIST and EMNIST as they are distributed, and files that are damaged.

The files are written here with `struct`, from the format's description.
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
from epochbank.augment.ingest.importer import ImportOptions, import_source
from epochbank.augment.ingest.source_file import open_source_file
from epochbank.augment.sources import Scan, SourceOptions, open_source

MNIST = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def noise(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width), dtype=np.uint8)


def idx(array: np.ndarray) -> bytes:
    """An array of bytes in IDX format."""
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
    """Pictures and labels of two parts, under four names; labels count round from `first`."""
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
    ids=["as distributed", "in capitals", "as some unpack them"],
)
def test_mnist(tmp_path: Path, suffix: str, rename: Callable[[str], str]) -> None:
    """A folder of MNIST's four files is found by itself: training pictures, then test pictures, as they are."""
    train, test = noise(25, 6, 4), noise(11, 6, 4, seed=1)
    names = tuple(rename(name) + suffix for name in MNIST)
    scan = scan_of(write_pairs(tmp_path / "mnist", names, train, test), tmp_path)
    np.testing.assert_array_equal(pixels_of(scan), np.concatenate([train, test]))
    assert scan.class_names == list("0123456789")
    assert names_of(scan) == [str(n % 10) for n in (*range(25), *range(11))]
    assert scan.labels.dtype == np.int32
    assert scan.parts is not None
    assert scan.parts.dtype == np.int8
    assert scan.parts.tolist() == [0] * 25 + [2] * 11
    assert (scan.size, scan.channels, scan.groups, scan.notes) == ((6, 4), 1, None, [])
    assert [scan.reader.origin(index) for index in (0, 24, 25, 35)] == [
        f"{rename(MNIST[0])}[0]", f"{rename(MNIST[0])}[24]", f"{rename(MNIST[2])}[0]", f"{rename(MNIST[2])}[10]"
    ]  # fmt: skip


def test_any_pictures_are_read_by_number(tmp_path: Path) -> None:
    """Those that are asked for, in this order, across the files; none of the others."""
    train, test = noise(25, 6, 4), noise(11, 6, 4, seed=1)
    scan = scan_of(write_pairs(tmp_path / "mnist", MNIST, train, test), tmp_path)
    every = np.concatenate([train, test])
    for wanted in (np.array([0, 7, 24, 25, 35]), np.array([3]), np.array([30, 31]), np.arange(20, 30)):
        np.testing.assert_array_equal(np.concatenate(list(scan.reader.read(wanted))), every[wanted])


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 5),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    packed=st.booleans(),
    emnist=st.booleans(),
)
def test_pictures_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, count: int, height: int, width: int, packed: bool, emnist: bool
) -> None:
    """Bit for bit, and EMNIST's columns become columns."""
    folder, pictures = tmp_path_factory.mktemp("idx"), noise(count, height, width)
    prefix, suffix = "emnist-digits-" if emnist else "", ".gz" if packed else ""
    write(folder / f"{prefix}train-images-idx3-ubyte{suffix}", idx(pictures.transpose(0, 2, 1) if emnist else pictures))
    write(folder / f"{prefix}train-labels-idx1-ubyte{suffix}", idx(np.zeros(count)))
    scan = scan_of(folder, folder)
    np.testing.assert_array_equal(pixels_of(scan), pictures)
    assert scan.size == (height, width)


def test_pixels_come_through_an_import(tmp_path: Path) -> None:
    """At their own size, pictures are imported bit for bit, with labels and parts."""
    train, test = noise(25, 6, 4), noise(11, 6, 4, seed=1)
    folder = write_pairs(tmp_path / "mnist", tuple(f"{name}.gz" for name in MNIST), train, test)
    import_source(open_source(str(folder)), tmp_path / "o.h5", ImportOptions(invert="no"), 1, quiet=True)
    file = open_source_file(tmp_path / "o.h5")
    np.testing.assert_array_equal(file.read(np.arange(36))[..., 0], np.concatenate([train, test]))
    assert file.column("label").tolist() == [n % 10 for n in (*range(25), *range(11))]
    assert file.column("part").tolist() == [0] * 25 + [2] * 11
    assert file.origin(26) == "t10k-images-idx3-ubyte[1]"


def test_parts_where_fractions_are_wanted(tmp_path: Path) -> None:
    """--split fractions takes both parts as one."""
    folder = write_pairs(tmp_path / "mnist", MNIST, noise(10, 4, 4), noise(10, 4, 4))
    assert scan_of(folder, tmp_path, split="fractions").parts is None


EMNIST = tuple(
    f"emnist-letters-{part}-{what}-ubyte.gz"
    for part in ("train", "test")
    for what in ("images-idx3", "labels-idx1")
)  # fmt: skip


def test_emnist(tmp_path: Path) -> None:
    """EMNIST's pictures are put upright, and its labels are the characters that its mapping says."""
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
    assert scan.parts is not None
    assert scan.parts.tolist() == [0] * 9 + [2] * 6
    assert "pictures of emnist-letters are stored columns first, and were put upright" in scan.notes


def test_several_families_in_a_folder(tmp_path: Path) -> None:
    """A folder of several data sets is refused, with what to choose from; the choice is taken, in any case."""
    letters = write_pairs(tmp_path / "all", EMNIST, noise(9, 4, 4), noise(6, 4, 4), classes=3)
    balanced = tuple(name.replace("letters", "Balanced") for name in EMNIST)
    write_pairs(letters, balanced, noise(8, 4, 4), noise(5, 4, 4), classes=2)
    with pytest.raises(
        EpochbankError, match=r"several data sets; expected one of idx:\S+/emnist-balanced, idx:\S+/emnist-letters\.$"
    ) as refused:
        scan_of(letters, tmp_path)
    assert refused.value.exit_code == 2
    assert len(scan_of(f"idx:{letters}/emnist-letters", tmp_path).labels) == 15
    assert len(scan_of(f"idx:{letters}/EMNIST-balanced-", tmp_path).labels) == 13
    with pytest.raises(EpochbankError, match=r"no IDX files begin with \S+/emnist-byclass; expected one of idx:"):
        scan_of(f"idx:{letters}/emnist-byclass", tmp_path)
    write_pairs(letters, MNIST, noise(8, 4, 4), noise(5, 4, 4))
    with pytest.raises(EpochbankError, match=r"begin with train- or t10k- want a folder of their own"):
        scan_of(letters, tmp_path)


def test_one_file_of_pictures(tmp_path: Path) -> None:
    """A file of pictures stands for itself and its labels."""
    folder = write_pairs(tmp_path / "mnist", MNIST, noise(12, 4, 4), noise(5, 4, 4, seed=1), classes=5)
    (folder / MNIST[0]).rename(folder / "train-images.idx3-ubyte")
    scan = scan_of(folder / MNIST[2], tmp_path)
    np.testing.assert_array_equal(pixels_of(scan), noise(5, 4, 4, seed=1))
    assert scan.parts is not None
    assert scan.parts.tolist() == [2] * 5
    assert len(scan_of(folder / "train-images.idx3-ubyte", tmp_path).labels) == 12
    for wrong in (folder / MNIST[1], f"idx:{write(folder / 'pictures.bin', b'')}"):
        with pytest.raises(EpochbankError, match="no IDX file of pictures by its name; expected one like train-images"):
            scan_of(wrong, tmp_path)


@pytest.mark.parametrize("name", ["kmnist_classmap.csv", "k49_classmap.csv"])
def test_kmnist(tmp_path: Path, name: str) -> None:
    """Class names are the characters of the class map beside the files."""
    folder = write_pairs(tmp_path / "kmnist", MNIST, noise(9, 4, 4), noise(6, 4, 4), classes=3)
    (folder / name).write_text("index,codepoint,char\n0,U+304A,お\n2,U+3059,す\n1,U+304D,き\n", encoding="utf-8")
    scan = scan_of(folder, tmp_path)
    assert scan.class_names == ["お", "き", "す"]
    assert scan.notes == [f"class names are from {name}"]


def test_the_class_map_that_has_all_labels_counts(tmp_path: Path) -> None:
    """Of two class maps, the one that fits; where none does, the labels without a name are told."""
    folder = write_pairs(tmp_path / "k", MNIST, noise(9, 4, 4), noise(6, 4, 4), classes=3)
    (folder / "kmnist_classmap.csv").write_text("index,char\n0,a\n1,b\n", encoding="utf-8")
    with pytest.raises(
        EpochbankError, match=r"kmnist_classmap.csv has no name for the labels 2; expected one for each"
    ):
        scan_of(folder, tmp_path)
    (folder / "k49_classmap.csv").write_text("index,char\n0,x\n1,y\n2,z\n", encoding="utf-8")
    assert scan_of(folder, tmp_path).class_names == ["x", "y", "z"]


def test_labels_that_leave_numbers_out(tmp_path: Path) -> None:
    """Without a map, classes are the labels that occur, in the order of numbers."""
    write(tmp_path / "a" / "train-images-idx3-ubyte", idx(noise(4, 3, 3)))
    write(tmp_path / "a" / "train-labels-idx1-ubyte", idx(np.array([200, 9, 10, 9])))
    scan = scan_of(tmp_path / "a", tmp_path)
    assert scan.class_names == ["9", "10", "200"]
    assert names_of(scan) == ["200", "9", "10", "9"]


def test_packed_and_laid_bare(tmp_path: Path) -> None:
    """Of a file that is there twice the bare one is read; a `.gz` that is bare already is read as it is."""
    folder = write_pairs(tmp_path / "mnist", MNIST, noise(9, 4, 4), noise(6, 4, 4, seed=1))
    write(folder / f"{MNIST[0]}.gz", idx(noise(9, 4, 4, seed=2)))
    (folder / MNIST[2]).rename(folder / f"{MNIST[2]}.gz")
    (folder / "train-labels.idx1-ubyte").mkdir()  # As some unpackers make one for each file.
    expected = np.concatenate([noise(9, 4, 4), noise(6, 4, 4, seed=1)])
    np.testing.assert_array_equal(pixels_of(scan_of(folder, tmp_path)), expected)


def test_a_folder_of_classes_is_still_one(tmp_path: Path) -> None:
    """Folders by the name of a file in IDX format do not make a folder of IDX files."""
    for name in ("train-images-idx3-ubyte", "b"):
        (tmp_path / "t" / name).mkdir(parents=True)
        Image.fromarray(noise(1, 4, 4)[0]).save(tmp_path / "t" / name / "1.png")
    assert scan_of(tmp_path / "t", tmp_path).class_names == ["b", "train-images-idx3-ubyte"]


def test_identity_changes_with_the_files(tmp_path: Path) -> None:
    """With each of the files, and with the class names beside them."""
    folder = write_pairs(tmp_path / "m", MNIST, noise(9, 4, 4), noise(6, 4, 4))
    identities = [open_source(str(folder)).identity()]
    assert open_source(str(folder)).identity() == identities[0]
    for name in MNIST:
        write(folder / name, (folder / name).read_bytes() + b"\0")
        identities.append(open_source(str(folder)).identity())
    (folder / "kmnist_classmap.csv").write_text("index,char\n0,a\n")
    identities.append(open_source(str(folder)).identity())
    assert len({repr(identity) for identity in identities}) == 6


# Files that are damaged, or lack

Damage = Callable[[bytes], bytes]


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("name", "damage", "told"),
    [
        (MNIST[0], lambda data: data[:3] + b"\1" + data[4:], ["begins with 00 00 08 01", "expected 00 00 08 03"]),
        (MNIST[0], lambda data: data[:2] + b"\x0d" + data[3:], ["begins with 00 00 0d 03", "unsigned bytes in 3 dim"]),
        (MNIST[3], lambda data: data[:3] + b"\3" + data[4:], ["begins with 00 00 08 03", "expected 00 00 08 01"]),
        (MNIST[0], lambda data: b"", ["begins with nothing", "expected 00 00 08 03"]),
        (MNIST[0], lambda data: data[:9], ["has 9 bytes; expected a head of 16"]),
        (MNIST[0], lambda data: data[:-1], ["holds 143 bytes behind its head; expected 144", "9 x 4 x 4"]),
        (MNIST[2], lambda data: data + b"x", ["holds 97 bytes behind its head; expected 96", "6 x 4 x 4"]),
        (MNIST[2], lambda data: data[:4] + bytes(4) + data[8:], ["has the dimensions (0, 4, 4)", "no zero"]),
        (MNIST[1], lambda data: data[:-2], ["holds 7 bytes behind its head; expected 9"]),
        (MNIST[1], lambda data: idx(np.zeros(8)), ["9 pictures and ", "8 labels; expected one label for each"]),
    ],
)  # fmt: skip
def test_damaged_files(tmp_path: Path, suffix: str, name: str, damage: Damage, told: list[str]) -> None:
    """A file with another mark, with bytes missing or too many, or another count than its pair's is refused by name."""
    folder = write_pairs(tmp_path / "m", tuple(n + suffix for n in MNIST), noise(9, 4, 4), noise(6, 4, 4))
    path = folder / (name + suffix)
    data = gzip.decompress(path.read_bytes()) if suffix else path.read_bytes()
    write(path, damage(data))
    refused(tmp_path, folder, str(path), *told, "Fetch")


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
    """A .gz that is cut short or changed is refused by name."""
    folder = write_pairs(tmp_path / "m", tuple(f"{n}.gz" for n in MNIST), noise(9, 4, 4), noise(6, 4, 4))
    path = folder / f"{name}.gz"
    path.write_bytes(damage(path.read_bytes()))
    refused(tmp_path, folder, str(path), "cannot be unpacked", "Fetch the file again")


@pytest.mark.parametrize(
    ("gone", "told"), [(MNIST[0], "has no pictures beside it"), (MNIST[3], "has no labels beside it")]
)
def test_half_a_pair(tmp_path: Path, gone: str, told: str) -> None:
    """Pictures without labels, or labels without pictures, are refused."""
    folder = write_pairs(tmp_path / "m", MNIST, noise(9, 4, 4), noise(6, 4, 4))
    (folder / gone).unlink()
    refused(tmp_path, folder, told, "expected train-images-idx3-ubyte and train-labels-idx1-ubyte", "Fetch them")


def test_two_files_of_one_part(tmp_path: Path) -> None:
    """Two files that say by name that they are the same are refused, rather than one of them taken."""
    folder = write_pairs(tmp_path / "m", MNIST, noise(9, 4, 4), noise(6, 4, 4))
    write(folder / "train-images.idx3-ubyte", idx(noise(9, 4, 4, seed=3)))
    refused(tmp_path, folder, "are the same by name; expected one", "Remove the other")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1 65\n2 zwei\n", "emnist-letters-mapping.txt cannot be read: invalid literal"),
        ("1 65\n2 66\n3 1114112\n", "cannot be read: chr()"),
        ("1 65\n2 66\n", "has no name for the labels 3"),
        ("1 65\n2 66\n3 66\n", "has the names 'B' for several labels"),
        ("1 65\n2 66\n3\n", "has the names '' for several labels, or for none"),
    ],
)
def test_damaged_mappings(tmp_path: Path, text: str, told: str) -> None:
    """Class names that cannot be read, or are not one for each label, are refused."""
    folder = write_pairs(tmp_path / "m", EMNIST, noise(9, 4, 4), noise(6, 4, 4), classes=3, first=1)
    (folder / "emnist-letters-mapping.txt").write_text(text)
    refused(tmp_path, folder, told, "expected", "Fetch it again")


@pytest.mark.parametrize("text", ["label,name\n0,a\n", "index,char\nx,a\n", "index,char\n0\n"])
def test_damaged_class_maps(tmp_path: Path, text: str) -> None:
    """So are those of KMNIST."""
    folder = write_pairs(tmp_path / "m", MNIST, noise(9, 4, 4), noise(6, 4, 4), classes=3)
    (folder / "kmnist_classmap.csv").write_text(text)
    refused(tmp_path, folder, "kmnist_classmap.csv", "expected", "Fetch it again")


def test_no_such_files(tmp_path: Path) -> None:
    """A folder without any is refused as IDX, and a prefix in a folder that is not there as a path."""
    (tmp_path / "empty").mkdir()
    refused(tmp_path, f"idx:{tmp_path / 'empty'}", "holds no IDX files; expected train-images-idx3-ubyte")
    refused(tmp_path, f"idx:{tmp_path / 'gone' / 'emnist'}", "does not exist", "IDX files")


def refused(tmp_path: Path, spec: object, *told: str) -> None:
    """`augment import` of `spec` is refused with all of `told`: exit code 1, no traceback, nothing written."""
    before = sorted(tmp_path.iterdir())
    result = CliRunner().invoke(augment, ["import", str(spec), str(tmp_path / "o.h5"), "--jobs", "1"])
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1
    for part in told:
        assert part in result.stderr, f"{part!r} is not in: {result.stderr}"
    assert sorted(tmp_path.iterdir()) == before
