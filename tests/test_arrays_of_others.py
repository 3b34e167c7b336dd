"""Arrays under the names, in the shapes and in the formats that public files have, imported by `augment import`."""

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
import pytest
import scipy.io
from click.testing import CliRunner
from PIL import Image

from conftest import glyphs
from epochbank.augment.cli import main
from epochbank.augment.errors import EpochbankError
from epochbank.augment.ingest.source_file import SourceFile, open_source_file
from epochbank.augment.sources import SourceOptions
from epochbank.augment.sources.arrays.names import Part, find_parts, parse_name
from epochbank.augment.sources.class_names import name_labels, read_class_names
from epochbank.augment.sources.find import open_source

COUNT, CLASSES = 60, 6
GRAY = np.ascontiguousarray(glyphs(COUNT, (12, 12, 1))[..., 0])
COLOR = np.ascontiguousarray(glyphs(COUNT, (12, 12, 3)))
LABELS = np.arange(COUNT) * 7 % CLASSES
TRAIN, VALIDATION, TEST = slice(0, 40), slice(40, 50), slice(50, COUNT)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def augment(*words: object) -> Any:
    return CliRunner().invoke(main, [str(word) for word in words])


def imported(source: object, *options: object) -> tuple[SourceFile, str]:
    """Import a source as a user does; return the source file, and what was printed."""
    result = augment("import", source, "out.h5", "--jobs", 1, "--invert", "no", *options)
    assert result.exit_code == 0, result.output
    return open_source_file(Path("out.h5")), result.output


def refused(source: object, *options: object) -> str:
    """Assert that an import is refused without a traceback; return the message."""
    result = augment("import", source, "out.h5", "--jobs", 1, *options)
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)
    assert not Path("out.h5").exists()
    return result.output


def check(
    source: object,
    *options: object,
    images: np.ndarray = GRAY,
    labels: np.ndarray | list[str] = LABELS,
    splits: list[int] | None = None,
) -> str:
    """Assert that a source is imported with these pixels, class names and splits; return what was printed."""
    file, text = imported(source, *options)
    pixels = file.read(np.arange(file.num_images))
    np.testing.assert_array_equal(pixels[..., 0] if images.ndim == 3 else pixels, images)
    assert [file.class_names[label] for label in file.column("label")] == [str(label) for label in labels]
    assert (file.column("part").tolist() if file.splits else None) == splits
    Path("out.h5").unlink()
    return text


THREE = [0] * 40 + [1] * 10 + [2] * 10
TWO = [0] * 50 + [2] * 10


# Public data sets in miniature


def test_keras_mnist() -> None:
    """`mnist.npz` of Keras has x_train, y_train, x_test and y_test."""
    np.savez("mnist.npz", x_test=GRAY[50:], x_train=GRAY[:50], y_train=LABELS[:50], y_test=LABELS[50:])
    text = check("mnist.npz", splits=TWO)
    assert "images are x_train, x_test, labels are y_train, y_test" in text
    assert "train 50, test 10 images" in text
    assert "--split fractions ignores" in check("mnist.npz", "--split", "fractions")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("name", ["kmnist", "k49"])
def test_kmnist_and_kuzushiji_49(save: Callable[..., None], name: str) -> None:
    """Each of the four .npz files has one array; SOURCE is the training images, or the folder."""
    root = Path("kuzushiji")
    root.mkdir()
    for split, part in (("train", slice(50)), ("test", slice(50, None))):
        save(root / f"{name}-{split}-imgs.npz", GRAY[part])
        save(root / f"{name}-{split}-labels.npz", LABELS[part].astype(np.uint8))
    for source in (root / f"{name}-train-imgs.npz", root):
        assert f"images are {name}-train-imgs, {name}-test-imgs" in check(source, splits=TWO)
    check(root / f"{name}-test-imgs.npz", images=GRAY[50:], labels=LABELS[50:])
    table = "index,codepoint,char\n" + "".join(f"{k},U+3042,{'あいうえおか'[k]}\n" for k in range(CLASSES))
    (root / f"{name}_classmap.csv").write_text(table, encoding="utf-8")
    text = check(root, labels=["あいうえおか"[label] for label in LABELS], splits=TWO)
    assert f"class names are from {name}_classmap.csv" in text


def test_two_data_sets_in_a_folder() -> None:
    """A folder with KMNIST and Kuzushiji-49 is unclear, but the file of one of them is not."""
    for name in ("kmnist", "k49"):
        np.savez(f"{name}-train-imgs.npz", GRAY if name == "k49" else GRAY[:5])
        np.savez(f"{name}-train-labels.npz", LABELS if name == "k49" else LABELS[:5])
    text = refused("npy:.")
    assert "unclear which arrays belong together" in text
    assert "k49-train-imgs, kmnist-train-imgs" in text
    check("k49-train-imgs.npz")


def test_medmnist() -> None:
    """MedMNIST has three splits, and labels of shape (N, 1)."""
    names = ("train", "val", "test")
    arrays = {f"{name}_images": COLOR[part] for name, part in zip(names, (TRAIN, VALIDATION, TEST), strict=True)}
    arrays |= {
        f"{name}_labels": LABELS[part, None] for name, part in zip(names, (TRAIN, VALIDATION, TEST), strict=True)
    }
    np.savez("pathmnist.npz", **arrays)
    text = check("pathmnist.npz", images=COLOR, splits=THREE)
    assert "labels have the shape (N, 1)" in text
    assert "train 40, validation 10, test 10 images" in text


def test_usps() -> None:
    """USPS in HDF5 has groups `train` and `test` with flattened floats `data` and labels `target`."""
    with h5py.File("usps.h5", "w") as file:
        for name, part in (("train", slice(50)), ("test", slice(50, None))):
            file[f"{name}/data"] = (GRAY[part] / 255).reshape(len(GRAY[part]), -1).astype(np.float32)
            file[f"{name}/target"] = LABELS[part]
    text = check("usps.h5", splits=TWO)
    assert "read as 12 x 12: each image is a row of pixels" in text


@pytest.mark.parametrize("compressed", [False, True])
def test_svhn(compressed: bool) -> None:
    """SVHN's format 2 has X (32, 32, 3, N) and y (N, 1) with 10 for the digit 0; test_32x32.mat is the test split."""
    images, labels = glyphs(COUNT, (32, 32, 3)), np.arange(COUNT) % 10
    for name, part in (("train", slice(50)), ("test", slice(50, None)), ("extra", slice(5))):
        y = np.where(labels == 0, 10, labels)[part, None].astype(np.uint8)
        x = np.moveaxis(images[part], 0, 3)
        scipy.io.savemat(f"{name}_32x32.mat", {"X": x, "y": y}, do_compression=compressed)
    text = check("train_32x32.mat", images=images, labels=labels, splits=TWO)
    assert "label 10 of SVHN is the class 0" in text
    assert "the last axis counts the images" in text
    check("extra_32x32.mat", images=images[:5], labels=[str(k) for k in (10, 1, 2, 3, 4)])


@pytest.mark.parametrize("names", [("x", "y"), ("images", "labels"), ("X", "Y"), ("my-imgs", "my-targets")])
def test_npy_pairs(names: tuple[str, str]) -> None:
    """Two .npy files are paired by their names; SOURCE is the images or the folder."""
    Path("d").mkdir()
    np.save(f"d/{names[0]}.npy", GRAY)
    np.save(f"d/{names[1]}.npy", LABELS)
    check(f"d/{names[0]}.npy")
    check("d")


def test_npy_splits() -> None:
    """`X_train.npy`, `y_train.npy` and so on are the splits of one source."""
    for name, part in (("train", TRAIN), ("valid", VALIDATION), ("test", TEST)):
        np.save(f"X_{name}.npy", GRAY[part])
        np.save(f"y_{name}.npy", LABELS[part])
    check("X_train.npy", splits=THREE)
    check("X_test.npy", images=GRAY[TEST], labels=LABELS[TEST])


def test_npy_pairs_by_keys() -> None:
    """Files with other names are given by --images-key and --labels-key."""
    np.save("scans.npy", GRAY)
    np.save("truth.npy", LABELS)
    assert "scans_labels.npy" in refused("scans.npy")
    check("scans.npy", "--images-key", "scans", "--labels-key", "truth")


@pytest.mark.parametrize("name", ["scans", "images", "x_train", "my-imgs", "Xtrain", "train"])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_images_without_labels(name: str, suffix: str) -> None:
    """A single array is refused with the name that its labels may have, and with labels of that name it is imported."""
    if suffix == ".npz" and name in ("scans", "train"):
        return  # The name of the file says nothing about the array in it.
    save = np.save if suffix == ".npy" else np.savez
    save(f"{name}{suffix}", GRAY)  # type: ignore[operator]
    text = " ".join(refused(f"{name}{suffix}").split())
    assert "without labels" in text
    labels = text.split("such as ")[1].split(f"{suffix}.")[0]
    save(f"{labels}{suffix}", LABELS)  # type: ignore[operator]
    check(f"{name}{suffix}")


# Names of arrays


@pytest.mark.parametrize(
    ("images", "labels"),
    [("images", "labels"), ("image", "label"), ("x", "y"), ("X", "y"), ("data", "target"), ("arr_0", "arr_1"),
     ("features", "targets"), ("digit_images", "digit_labels")],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_usual_names(images: str, labels: str, suffix: str) -> None:
    """Images and labels are found by the names that people use, and the names are said."""
    arrays = {labels: LABELS, images: GRAY, "class_count": np.array(6)}
    if suffix == ".npz":
        np.savez("a.npz", **arrays)
    else:
        with h5py.File("a.h5", "w") as file:
            file.update(arrays)
    text = check(f"a{suffix}")
    assert (f"images are {images}, labels are {labels}" in text) == (images != "images")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["x_train", "y_train", "x_val", "y_val"], [("x_train", "y_train", 0), ("x_val", "y_val", 1)]),
        (["xtrain", "ytrain", "xtest", "ytest"], [("xtrain", "ytrain", 0), ("xtest", "ytest", 2)]),
        (["train_set_x", "train_set_y", "test_set_x", "test_set_y"],
         [("train_set_x", "train_set_y", 0), ("test_set_x", "test_set_y", 2)]),
        (["trainImages", "trainLabels"], [("trainImages", "trainLabels", 0)]),
        (["x_train", "y_train", "x_test"], [("x_train", "y_train", 0)]),
        (["images", "labels", "x_train", "y_train"], [("images", "labels", None)]),
        (["images", "image_ids", "labels", "class_names"], [("images", "labels", None)]),
        (["a/images", "a/labels"], [("a/images", "a/labels", None)]),
    ],
    ids=str,
)  # fmt: skip
def test_parts(names: list[str], expected: list[tuple[str, str, int | None]]) -> None:
    """Arrays are paired by the words in their names, in the order of the splits."""
    images = ("x", "images")
    shapes = {name: (9, 4, 4) if parse_name(name).role == "images" or name in images else (9,) for name in names}
    assert find_parts(shapes) == [Part(images, labels, None, split) for images, labels, split in expected]


def test_images_of_a_split_without_labels_are_left_out() -> None:
    """Test images without labels, as competitions have them, are left out with a note."""
    np.savez("a.npz", x_train=GRAY, y_train=LABELS, x_test=GRAY[:5])
    assert "x_test has no labels and is left out" in check("a.npz")


def test_keys() -> None:
    """--images-key and --labels-key choose among several arrays; an unknown key is refused with the known ones."""
    np.savez("a.npz", images=GRAY[:, ::-1], thumbs=GRAY, labels=LABELS[::-1], fine=LABELS)
    check("a.npz", "--images-key", "thumbs", "--labels-key", "fine")
    text = refused("a.npz", "--labels-key", "coarse")
    assert "no array 'coarse'" in text
    assert "fine" in text


# Labels


@pytest.mark.parametrize(
    ("labels", "expected", "note"),
    [
        (np.eye(CLASSES)[LABELS], LABELS, "labels are one-hot"),
        (np.eye(CLASSES, dtype=bool)[LABELS], LABELS, "labels are one-hot"),
        (LABELS[:, None], LABELS, "labels have the shape (N, 1)"),
        (LABELS[None], LABELS, "labels have the shape (1, N)"),
        (LABELS * 1.0, LABELS, "labels are whole numbers stored as float64"),
        (LABELS + 1, LABELS + 1, "labels begin at 1"),
        (np.where(LABELS == 0, -1, LABELS), np.where(LABELS == 0, -1, LABELS), "-1 is used as a class"),
        (LABELS > 2, LABELS > 2, ""),
        (np.array(["あ", "b", "c d", "e", "f", "g"])[LABELS], np.array(["あ", "b", "c d", "e", "f", "g"])[LABELS], ""),
    ],
    ids=["one-hot", "one-hot bool", "column", "row", "float", "from 1", "negative", "bool", "text"],
)
@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_labels(labels: np.ndarray, expected: np.ndarray, note: str, suffix: str) -> None:
    """Labels in every unambiguous form become classes, and a note reports an unusual form."""
    if suffix == ".npz":
        np.savez("a.npz", images=GRAY, labels=labels)
    else:
        with h5py.File("a.h5", "w") as file:
            file["images"] = GRAY
            file["labels"] = labels.astype(object) if labels.dtype.kind == "U" else labels
    assert note in check(f"a{suffix}", labels=expected)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full(COUNT, np.nan), "not whole numbers"),
        (np.eye(CLASSES)[LABELS] * 0.9, "row 0 is not one-hot"),
        (np.ones((COUNT, 3), int), "row 0 is not one-hot"),
        (np.zeros((COUNT, 2, 2), int), "labels has shape (60, 2, 2)"),
        (np.array([{}] * COUNT), "never unpickles"),
        (LABELS[:-1], "labels has shape (59,)"),
        (np.array(1), "labels has shape ()"),
        (LABELS * 1e300, "as large as 5e+300"),
        ((LABELS * 1.0 + 2**24).astype(np.float32), "expected at most 16777216"),
    ],
    ids=["NaN", "soft", "several", "3-D", "objects", "too few", "0-D", "beyond integers", "beyond float32"],
)
def test_labels_that_do_not_fit(labels: np.ndarray, message: str) -> None:
    """Labels that give no single class for each image are refused."""
    np.savez("a.npz", images=GRAY, labels=labels)
    assert message in refused("a.npz")


NAMES = ["zero", "one", "two", "three", "four", "five"]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("n.txt", "\n".join(NAMES) + "\n"),
        ("n.txt", "\n".join(f"{k}\t{name}" for k, name in reversed(list(enumerate(NAMES))))),
        ("n.json", str(NAMES).replace("'", '"')),
        ("n.json", "{" + ", ".join(f'"{k}": "{name}"' for k, name in enumerate(NAMES)) + "}"),
        ("n.json", "{" + ", ".join(f'"{name}": {k}' for k, name in enumerate(NAMES)) + "}"),
        ("n.csv", "index,codepoint,char\n" + "".join(f"{k},U+{k},{name}\n" for k, name in enumerate(NAMES))),
        ("n.csv", "ClassId,SignName\n" + "".join(f"{k},{name}\n" for k, name in enumerate(NAMES))),
        ("n.csv", "".join(f"{k};{name}\n" for k, name in enumerate(NAMES))),
        ("n.tsv", "name\tlabel\n" + "".join(f"{name}\t{k}\n" for k, name in enumerate(NAMES))),
    ],
    ids=["lines", "tabs", "list", "object", "inverse object", "KMNIST", "GTSRB", "no header", "names first"],
)
def test_class_names(file: str, text: str) -> None:
    """--class-names reads the names of labels from text, JSON and CSV."""
    Path(file).write_text(text, encoding="utf-8")
    np.savez("a.npz", images=GRAY, labels=LABELS)
    check("a.npz", "--class-names", file, labels=[NAMES[label] for label in LABELS])


def test_class_names_of_code_points() -> None:
    """The mapping files of EMNIST have a label and code points in each line."""
    Path("map.txt").write_text("0 48\n36 65 97\n")
    assert read_class_names("map.txt") == {0: "0", 36: "Aa"}


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("n.txt", "a\nb\n", "no name for the labels 2"),
        ("n.txt", "a\nb\na\n", "labels 0 and 2 the same name 'a'"),
        ("n.txt", "a\n\nc\n", "label 1 the name ''"),
        ("n.json", "{", "cannot be read"),
        ("n.json", '{"a": "b"}', "not all integers"),
        ("n.csv", "a,b\nx,y\n", "no column of integers"),
        ("n.csv", "u,v,w\n1,2,x\n", "several columns may be meant: u, v"),
        ("none.txt", None, "No such file"),
    ],
    ids=["missing", "repeated", "empty", "no JSON", "no numbers", "no labels", "unclear", "no file"],
)
def test_class_names_that_do_not_fit(file: str, text: str | None, message: str) -> None:
    """A file that cannot be read, or lacks names, is refused by path."""
    if text is not None:
        Path(file).write_text(text)
    with pytest.raises(EpochbankError, match=file) as error:
        name_labels(file, [0, 1, 2])
    assert message in str(error.value)


def test_class_names_for_text() -> None:
    """--class-names for labels that are text is refused."""
    Path("n.txt").write_text("a\nb\n")
    np.savez("a.npz", images=GRAY, labels=LABELS.astype(str))
    assert "labels are text" in refused("a.npz", "--class-names", "n.txt")


# Layouts


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
@pytest.mark.parametrize(
    ("stored", "expected", "options", "note"),
    [
        (COLOR, COLOR, (), ""),
        (np.moveaxis(COLOR, 3, 1), COLOR, (), "the channels come before the rows"),
        (GRAY[:, None], GRAY, (), "the channels come before the rows"),
        (np.moveaxis(COLOR, 0, 3), COLOR, (), "the last axis counts the images"),
        (np.moveaxis(GRAY, 0, 2), GRAY, (), "the last axis counts the images"),
        (GRAY.reshape(COUNT, -1), GRAY, (), "each image is a row of pixels"),
        (GRAY.reshape(COUNT, -1), GRAY, ("--layout", "flat"), ""),
        (np.moveaxis(COLOR, 3, 1), COLOR, ("--layout", "nchw"), ""),
        (GRAY.reshape(COUNT, -1, 1), GRAY, (), "read as 12 x 12: each image is a row of pixels"),
        (GRAY.reshape(COUNT, 1, -1), GRAY, (), "read as 12 x 12: each image is a row of pixels"),
        (GRAY.reshape(COUNT, 1, 1, -1), GRAY, (), "read as 12 x 12: each image is a row of pixels"),
        (GRAY.reshape(COUNT, -1, 1), GRAY, ("--layout", "flat"), ""),
        (GRAY.reshape(COUNT, -1, 1), GRAY.reshape(COUNT, -1, 1), ("--layout", "nhwc"), ""),
        (GRAY[:, :, :11].reshape(COUNT, -1, 1), GRAY[:, :, :11].reshape(COUNT, -1, 1), (), "read as 132 x 1"),
    ],
    ids=[
        "nhwc",
        "nchw",
        "nchw gray",
        "hwcn",
        "hwn",
        "flat",
        "flat given",
        "nchw given",
        "flat column",
        "flat row",
        "flat 4-D",
        "flat column given",
        "column",
        "not square",
    ],
)
def test_layouts(suffix: str, stored: np.ndarray, expected: np.ndarray, options: tuple[str, ...], note: str) -> None:
    """The order of the axes is recognized by the number of labels, and said if it is unusual."""
    if suffix == ".npz":
        np.savez("a.npz", images=stored, labels=LABELS)
    else:
        with h5py.File("a.h5", "w") as file:
            file["images"], file["labels"] = stored, LABELS
    text = check(f"a{suffix}", *options, images=expected)
    assert note in text


def test_unclear_layout() -> None:
    """If several layouts fit, the message lists them, and --layout decides."""
    images = GRAY[:, :3, :, None].repeat(3, 3)  # Images of 3 x 12 RGB, or 12 x 3 RGB before the rows.
    np.savez("a.npz", images=images, labels=LABELS)
    assert "--layout nhwc or --layout nchw" in refused("a.npz")
    check("a.npz", "--layout", "nhwc", images=images)


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (COLOR[..., [0, 1, 2, 0]], (), "images[..., :3]"),
        (GRAY.reshape(COUNT, -1)[:, :-1], (), "images.reshape(-1, H, W)"),
        (COLOR.reshape(COUNT, -1), (), "images.reshape(-1, 12, 12, 3)"),
        (COLOR.reshape(COUNT, -1), ("--layout", "flat"), "images.reshape(-1, 3, 12, 12)"),
        (COLOR, ("--layout", "nchw"), "--layout nchw"),
        (GRAY[:0], (), "is empty"),
        (np.array([{}] * COUNT), (), "never unpickles"),
        (GRAY * 1j, (), "complex128"),
    ],
    ids=["RGBA", "not square", "flat RGB", "flat RGB given", "wrong option", "empty", "objects", "complex"],
)
def test_images_that_do_not_fit(images: np.ndarray, options: tuple[str, ...], message: str) -> None:
    """Shapes and types that cannot be images are refused with the remedy."""
    np.savez("a.npz", images=images, labels=LABELS[: len(images)])
    assert message in refused("a.npz", *options)


# Sizes that a header claims


def write_npy(file: IO[bytes], dtype: str, shape: tuple[int, ...], values: bytes = b"") -> None:
    """Write the header of an array of any shape, and `values`, which need not fit."""
    header: dict[str, Any] = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)  # type: ignore[arg-type]
    file.write(values)


def write_claim(path: Path, shape: tuple[int, ...], name: str = "labels") -> None:
    """Write a small file in which `name`, labels by default, has this shape."""
    if path.suffix == ".npz":
        np.savez(path, images=GRAY, **({} if name == "labels" else {"labels": LABELS}))  # type: ignore[arg-type]
        with zipfile.ZipFile(path, "a") as archive, archive.open(f"{name}.npy", "w") as file:
            write_npy(file, "<i8", shape)
    else:
        with h5py.File(path, "w") as hdf5:
            hdf5["images"] = GRAY
            if name != "labels":
                hdf5["labels"] = LABELS
            hdf5.create_dataset(name, shape, "i8", chunks=(1000,) * len(shape), compression="gzip")


@pytest.mark.parametrize("name", ["labels", "groups", "splits", "class_names"])
@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_lengths_are_compared_before_arrays_are_read(suffix: str, name: str) -> None:
    """A small file whose header claims 8 TB of labels is refused by its shape, and nothing of that size is read."""
    write_claim(Path(f"a{suffix}"), (10**12,), name)
    assert f"{name} has shape (1000000000000,)" in refused(f"a{suffix}")


def test_labels_larger_than_the_file() -> None:
    """If images and labels both claim more than a file can hold, even in its directory, it is refused as damaged."""
    with zipfile.ZipFile("a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, shape in (("images", (10**12, 4, 4)), ("labels", (10**12,))):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                write_npy(file, "|u1", shape)
            archive.getinfo(f"{name}.npy").file_size = 128 + 10**12
    assert "a.npz cannot be read as .npz: labels.npy has" in refused("a.npz")


@pytest.mark.parametrize("shape", [(COUNT, 2**40, 2**40), (-1, 12, 12)], ids=["overflow", "negative"])
def test_impossible_shapes_of_npy_files(shape: tuple[int, ...], recwarn: pytest.WarningsRecorder) -> None:
    """A shape beyond 64 bits, or with a negative length, is refused without a warning of NumPy."""
    with open("images.npy", "wb") as file:
        write_npy(file, "|u1", shape, GRAY.tobytes())
    np.save("labels.npy", LABELS)
    assert "images.npy cannot be read as .npy" in refused("images.npy")
    assert not [warning for warning in recwarn if issubclass(warning.category, RuntimeWarning)]


def test_null_datasets_are_ignored() -> None:
    """An HDF5 dataset without a dataspace is no array."""
    with h5py.File("a.h5", "w") as file:
        file["images"], file["labels"], file["old_labels"] = GRAY, LABELS, h5py.Empty("i8")
    check("a.h5")


def test_images_of_too_many_pixels() -> None:
    """The limit of pixels of an image holds for arrays, before one is read."""
    with h5py.File("a.h5", "w") as file:
        file.create_dataset("images", (COUNT, 20000, 20000), "u1", chunks=(1, 20000, 20000), compression="gzip")
        file["labels"] = LABELS
    assert "images of 20000 x 20000; expected at most 89,478,485 pixels" in refused("a.h5")


def test_matlab_labels_are_checked_by_the_header() -> None:
    """Labels of another length are refused before they are read; so are values beyond the element that holds them."""
    scipy.io.savemat("a.mat", {"images": GRAY, "labels": np.zeros((1, 59))}, do_compression=True)
    assert "labels has shape (1, 59)" in refused("a.mat")
    scipy.io.savemat("b.mat", {"images": GRAY, "labels": LABELS * 1.0})
    data = bytearray(Path("b.mat").read_bytes())
    size = data.index(np.uint32(8 * COUNT).tobytes(), data.index(b"labels"))
    data[size : size + 4] = np.uint32(2**32 - 8).tobytes()
    Path("b.mat").write_bytes(data)
    assert "b.mat cannot be read as a MATLAB file" in refused("b.mat")


# MATLAB


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64, np.float32, np.int16, bool])
def test_matlab_files(compressed: bool, dtype: type) -> None:
    """Variables of every type are read from files of version 5 as scipy wrote them."""
    images = {bool: GRAY > 127, np.uint8: GRAY}.get(dtype, GRAY)
    stored = (images / 255).astype(dtype) if np.dtype(dtype).kind == "f" else images.astype(dtype)
    arrays = {"note": "text", "images": stored, "labels": LABELS.astype(float), "s": {"a": 1}}
    scipy.io.savemat("a.mat", arrays, do_compression=compressed, oned_as="column")
    check("a.mat", images=np.where(GRAY > 127, 255, 0) if dtype is bool else GRAY)


def test_matlab_7_3() -> None:
    """Files of version 7.3 are HDF5 with the axes in reverse order."""
    with h5py.File("a.mat", "w", userblock_size=512) as file:
        file["X"], file["y"] = np.moveaxis(COLOR, 0, 3).T, LABELS[:, None].T.astype(float)
    head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM"
    with open("a.mat", "r+b") as raw:
        raw.write(head)
    check("a.mat", images=COLOR)


@pytest.mark.parametrize("damage", [lambda data: data[:300], lambda data: b"x" * 500, lambda data: b""])
def test_damaged_matlab_files(damage: Callable[[bytes], bytes]) -> None:
    """A truncated or foreign .mat file is refused."""
    scipy.io.savemat("a.mat", {"images": GRAY, "labels": LABELS})
    Path("a.mat").write_bytes(damage(Path("a.mat").read_bytes()))
    assert "a.mat cannot be read as a MATLAB file" in refused("a.mat")


def test_matlab_structures_are_refused() -> None:
    """EMNIST's .mat files have a structure: the message says what is in the file and how to convert it."""
    scipy.io.savemat("emnist.mat", {"dataset": {"train": {"images": GRAY}}})
    text = refused("emnist.mat")
    assert "only dataset" in text
    assert "np.savez" in text


# Pickles


class Trap:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("trap"),)


@pytest.mark.parametrize(
    "path",
    ["a.pkl", "a.pickle", "model.pt", "data_batch_1", "cifar-10-batches-py/data_batch_1", "cifar-100-python/train"],
)
def test_pickles_are_refused(path: str) -> None:
    """A pickle is never opened, and the message says how to convert it."""
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_bytes(pickle.dumps({"data": Trap()}))
    text = refused(path.split("/")[0])
    assert "executes code" in text
    assert "np.savez" in text
    assert not Path("trap").exists()


def test_objects_are_never_unpickled() -> None:
    """Arrays of objects are refused without unpickling, in every format of NumPy."""
    objects = np.array([Trap()] * COUNT, object)
    np.savez("a.npz", images=objects, labels=LABELS)
    np.savez("b.npz", images=GRAY, labels=objects)
    np.save("images.npy", objects)
    np.save("labels.npy", LABELS)
    for source in ("a.npz", "b.npz", "images.npy"):
        assert "never unpickles" in refused(source)
    assert not Path("trap").exists()


# Identity and memory


def test_identity_of_pairs() -> None:
    """The identity of paired files changes with each of them."""
    np.savez("k-train-imgs.npz", GRAY)
    np.savez("k-train-labels.npz", LABELS)
    before = open_source("k-train-imgs.npz", SourceOptions()).identity()
    np.savez("k-train-labels.npz", LABELS[::-1].astype(np.int16))
    assert open_source("k-train-imgs.npz", SourceOptions()).identity() != before


def test_changed_class_names_are_read_again() -> None:
    """If the file of class names changes, the source is imported again."""
    np.savez("a.npz", images=np.repeat(GRAY, 3, 0), labels=np.repeat(LABELS, 3))
    for names in ("abcdef", "ghijkl"):
        Path("n.txt").write_text("\n".join(names))
        result = augment("run", "a.npz", "--class-names", "n.txt", "--epochs", 1, "--jobs", 1, "--print-path")
        assert result.exit_code == 0, result.output
    found = {open_source_file(path).class_names[0] for path in Path("sets/sources").glob("*.h5")}
    assert found == {"a", "g"}


def test_png_folder_beside_arrays() -> None:
    """A folder of classes stays one, whatever single arrays lie beside them."""
    for name in ("a", "b"):
        Path("t", name).mkdir(parents=True)
        for number in range(3):
            Image.fromarray(GRAY[number]).save(Path("t", name, f"{number}.png"))
    np.save("t/images.npy", GRAY)
    assert imported("t")[0].class_names == ["a", "b"]
