"""Sources of arrays and of image files: pixels, labels, groups and order; options; and the Omniglot dataset."""

import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from conftest import glyphs
from epochbank.augment.distortion.recipe import load_recipe
from epochbank.augment.errors import EpochbankError
from epochbank.augment.generation.new_set import compute_split
from epochbank.augment.generation.spec import SetSpec
from epochbank.augment.ingest.importer import ImportOptions, import_source
from epochbank.augment.ingest.source_file import SourceFile, open_source_file
from epochbank.augment.sources import Scan, SourceOptions
from epochbank.augment.sources.decode import BadImage
from epochbank.augment.sources.find import open_source
from epochbank.augment.sources.value_range import ValueRanges, in_bytes

OMNIGLOT = Path(__file__).parents[2] / "shared" / "data" / "omniglot-drawers-01-16.zip"
DRAWER = r"_(\d+)\.png$"
Writer = Callable[..., Path]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def scan_of(spec: object, workspace: Path, group_pattern: str | None = None) -> Scan:
    workspace.mkdir(exist_ok=True)
    return open_source(str(spec), SourceOptions(group_pattern)).scan(workspace)


def pixels_of(scan: Scan) -> np.ndarray:
    """Read all images of a scan, which must be good and of one size."""
    decoded = list(in_bytes(scan.reader.read(np.arange(len(scan.labels))), ValueRanges()))
    assert not any(isinstance(item, BadImage) for item in decoded), decoded
    return np.concatenate([item if isinstance(item, np.ndarray) else np.asarray(item)[None] for item in decoded])


def origins_of(scan: Scan) -> list[str]:
    return [scan.reader.origin(index) for index in range(len(scan.labels))]


def names_of(scan: Scan) -> list[str]:
    """Return the class name of every image."""
    return [scan.class_names[label] for label in scan.labels]


def groups_of(scan: Scan) -> list[str]:
    """Return the group name of every image."""
    assert scan.groups is not None
    assert scan.group_names is not None
    return [scan.group_names[group] for group in scan.groups]


def write_npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def write_compressed(path: Path, **arrays: np.ndarray) -> Path:
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return path


def write_hdf5(path: Path, **arrays: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            if array.dtype.kind == "U":
                file.create_dataset(name, data=array.astype(object), dtype=h5py.string_dtype())
            else:
                file[name] = array
    return path


def write_tree(root: Path, *names: str, size: int = 8) -> Path:
    """Write a different image of noise to each path, in the given order."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(size, size, seed=number)).save(path)
    return root


def zip_tree(root: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(root.rglob("*"), reverse=True):  # The scan must not depend on the order.
            archive.write(file, file.relative_to(root))
    return path


def import_to(path: Path, spec: object, pattern: str | None = None, jobs: int = 1, **options: object) -> SourceFile:
    import_source(open_source(str(spec), SourceOptions(pattern)), path, ImportOptions(**options), jobs, quiet=True)  # type: ignore[arg-type]
    return open_source_file(path)


# Arrays: .npz and HDF5


@pytest.mark.parametrize("kind", ["npz", "npz compressed", "hdf5"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(12, 6, 9), (12, 6, 9, 1), (12, 6, 9, 3)], ids=str)
def test_arrays_give_their_own_pixels(tmp_path: Path, kind: str, order: str, shape: tuple[int, ...]) -> None:
    """uint8 images, gray or RGB, are read exactly, in both memory orders and from each file format."""
    images = np.asarray(noise(*shape), order=order)  # type: ignore[call-overload]
    arrays = {"images": images, "labels": np.arange(12) % 3}
    write = {"npz": write_npz, "npz compressed": write_compressed, "hdf5": write_hdf5}[kind]
    scan = scan_of(write(tmp_path / ("a.h5" if kind == "hdf5" else "a.npz"), **arrays), tmp_path / "w")
    expected = images[..., 0] if shape[3:] == (1,) else images
    np.testing.assert_array_equal(pixels_of(scan), expected)
    assert scan.size == (6, 9)
    assert scan.channels == (3 if shape[3:] == (3,) else 1)
    assert origins_of(scan) == [f"images[{index}]" for index in range(12)]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_floats_in_unit_range_become_bytes(tmp_path: Path, dtype: str, suffix: str) -> None:
    """Float images in [0, 1] are scaled to 0 to 255 and rounded, so that every byte value is restored."""
    every_byte = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    write = write_npz if suffix == ".npz" else write_hdf5
    path = write(tmp_path / f"a{suffix}", images=(every_byte / 255).astype(dtype), labels=np.arange(4))
    np.testing.assert_array_equal(pixels_of(scan_of(path, tmp_path / "w")), every_byte)


def test_floats_are_rounded_to_the_nearest_byte(tmp_path: Path) -> None:
    """A float between two byte values becomes the nearer one."""
    between = np.array([[0.0, 0.3, 0.7, 1.2], [99.6, 100.4, 254.4, 254.6]])
    path = write_npz(tmp_path / "a.npz", images=between[None] / 255, labels=np.zeros(1, int))
    assert pixels_of(scan_of(path, tmp_path / "w"))[0].tolist() == [[0, 0, 1, 1], [100, 100, 254, 255]]


@pytest.mark.parametrize("write", [write_npz, write_hdf5])
@pytest.mark.parametrize(
    ("labels", "class_names", "expected"),
    [
        (np.array([10, 2, 33, 2]), None, ["10", "2", "33", "2"]),
        (np.array([7, 0, 255, 7], np.uint8), None, ["7", "0", "255", "7"]),
        (np.array([-1, 5, 5, -1]), None, ["-1", "5", "5", "-1"]),
        (np.array(["木", "a b", "木", "ö"]), None, ["木", "a b", "木", "ö"]),
        (np.array([b"x", b"yy", b"x", b"x"]), None, ["x", "yy", "x", "x"]),
        (np.array([2, 0, 1, 2]), np.array(["zero", "one", "two"]), ["two", "zero", "one", "two"]),
        (np.array([2, 0, 1, 2]), np.array([b"zero", b"one", b"two"]), ["two", "zero", "one", "two"]),
    ],
    ids=["int", "uint8", "negative", "str", "bytes", "class_names", "class_names of bytes"],
)
def test_labels_become_class_names(
    tmp_path: Path, write: Writer, labels: np.ndarray, class_names: np.ndarray | None, expected: list[str]
) -> None:
    """Labels may be integers, strings, or indices into `class_names`; each image has the right class."""
    arrays = {"images": noise(4, 5, 5), "labels": labels}
    if class_names is not None:
        arrays["class_names"] = class_names
    path = write(tmp_path / ("a.npz" if write is write_npz else "a.h5"), **arrays)
    scan = scan_of(path, tmp_path / "w")
    assert names_of(scan) == expected
    assert len(set(scan.class_names)) == len(scan.class_names)


def test_integer_labels_are_ordered_as_numbers(tmp_path: Path) -> None:
    """Classes of integer labels are in numerical order: 2 comes before 10."""
    path = write_npz(tmp_path / "a.npz", images=noise(3, 5, 5), labels=np.array([10, 2, 1]))
    assert scan_of(path, tmp_path / "w").class_names == ["1", "2", "10"]


def test_class_names_keep_their_order_and_unused_ones(tmp_path: Path) -> None:
    """Label k has name k of `class_names`. The order does not change, and unused names are kept."""
    names = ["z", "a", "unused", "m"]
    path = write_npz(tmp_path / "a.npz", images=noise(3, 5, 5), labels=np.array([3, 0, 1]), class_names=np.array(names))
    scan = scan_of(path, tmp_path / "w")
    assert scan.class_names == names
    assert scan.labels.tolist() == [3, 0, 1]


@pytest.mark.parametrize("write", [write_npz, write_hdf5])
@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (np.array([30, 4, 30, 5]), ["30", "4", "30", "5"]),
        (np.array(["Ann", "ボブ", "Ann", "Cy"]), ["Ann", "ボブ", "Ann", "Cy"]),
        (np.array([b"s1", b"s2", b"s1", b"s2"]), ["s1", "s2", "s1", "s2"]),
    ],
    ids=["int", "str", "bytes"],
)
def test_groups_of_arrays(tmp_path: Path, write: Writer, groups: np.ndarray, expected: list[str]) -> None:
    """`groups` may be integers or strings; each image has the right group."""
    path = tmp_path / ("a.npz" if write is write_npz else "a.h5")
    write(path, images=noise(4, 5, 5), labels=np.arange(4) % 2, groups=groups)
    assert groups_of(scan_of(path, tmp_path / "w")) == expected


@pytest.mark.parametrize("write", [write_npz, write_hdf5])
def test_arrays_without_groups_have_none(tmp_path: Path, write: Writer) -> None:
    """Without `groups`, the source has no groups, instead of one group for all images."""
    path = tmp_path / ("a.npz" if write is write_npz else "a.h5")
    scan = scan_of(write(path, images=noise(4, 5, 5), labels=np.arange(4)), tmp_path / "w")
    assert scan.groups is None
    assert scan.group_names is None


@pytest.mark.parametrize("write", [write_npz, write_compressed, write_hdf5])
@pytest.mark.parametrize("kind", [np.str_, np.bytes_])
@pytest.mark.parametrize("array", ["splits", "parts"])
def test_splits_of_arrays(tmp_path: Path, write: Writer, kind: type, array: str) -> None:
    """`splits`, or `parts`, has the split of each image, by any of its names, ignoring case; empty for no split."""
    path = tmp_path / ("a.h5" if write is write_hdf5 else "a.npz")
    splits = np.array(["test", "Train", "", "VAL", "dev", "training", "Testing"], kind)
    write(path, images=noise(7, 5, 4), labels=np.arange(7) % 2, **{array: splits})
    scan = scan_of(path, tmp_path / "w")
    assert scan.splits is not None
    assert scan.splits.tolist() == [2, 0, -1, 1, 1, 0, 2]
    assert open_source(str(path), SourceOptions(split="fractions")).scan(tmp_path / "w").splits is None
    assert import_to(tmp_path / "o.h5", path).column("part").tolist() == scan.splits.tolist()


@pytest.mark.parametrize("write", [write_npz, write_hdf5])
def test_the_array_splits_takes_precedence(tmp_path: Path, write: Writer) -> None:
    """If a file has both arrays, `splits` is used and `parts` is ignored."""
    path = tmp_path / ("a.npz" if write is write_npz else "a.h5")
    splits, parts = np.array(["train", "test"]), np.array([7, 8])
    write(path, images=noise(2, 5, 4), labels=np.arange(2), splits=splits, parts=parts)
    scan = scan_of(path, tmp_path / "w")
    assert scan.splits is not None
    assert scan.splits.tolist() == [0, 2]


@pytest.mark.parametrize("write", [write_npz, write_hdf5])
def test_arrays_without_splits(tmp_path: Path, write: Writer) -> None:
    """Without `splits`, or if all names are empty, the scan has no splits."""
    path = tmp_path / ("a.npz" if write is write_npz else "a.h5")
    for splits in ({}, {"splits": np.array(["", "", ""])}):
        write(path, images=noise(3, 5, 4), labels=np.arange(3), **splits)
        assert scan_of(path, tmp_path / "w").splits is None


@pytest.mark.parametrize("array", ["splits", "parts"])
@pytest.mark.parametrize("write", [write_npz, write_hdf5])
@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (np.array(["train", "trian", "test"]), r" has the split 'trian'; expected train, .*test, .*or nothing"),
        (np.array([0, 1, 2]), " is int64; expected strings"),
        (np.array(["train", "test"]), r" has shape \(2,\); expected \(3,\)"),
        (np.array([b"train", b"\xe9", b"test"]), " .*UTF-8"),
    ],
    ids=["unknown", "numbers", "too few", "invalid text"],
)
def test_invalid_splits_of_arrays(tmp_path: Path, write: Writer, splits: np.ndarray, message: str, array: str) -> None:
    """Unknown names, numbers, and arrays of another length are refused, unless --split fractions ignores them."""
    path = tmp_path / ("a.npz" if write is write_npz else "a.h5")
    write(path, images=noise(3, 5, 4), labels=np.arange(3), **{array: splits})
    with pytest.raises(EpochbankError, match=rf"{path.name}: (images has 3 images and )?{array}{message}"):
        scan_of(path, tmp_path / "w")
    assert open_source(str(path), SourceOptions(split="fractions")).scan(tmp_path / "w").splits is None


def test_hdf5_may_be_chunked_and_compressed(tmp_path: Path) -> None:
    """Images in compressed HDF5 chunks are read."""
    images = noise(30, 7, 5)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_dataset("images", data=images, chunks=(8, 7, 5), compression="gzip")
        file["labels"] = np.arange(30) % 4
    np.testing.assert_array_equal(pixels_of(scan_of(tmp_path / "a.hdf5", tmp_path / "w")), images)


def test_bad_images_of_an_array(tmp_path: Path) -> None:
    """Each float image outside [0, 1] or with NaN is bad, with the reason; the others are good."""
    images = np.full((5, 4, 4), 0.2)
    images[1, 2, 2], images[3, 0, 0], images[4, 1, 1] = np.nan, 1.5, -0.25
    scan = scan_of(write_npz(tmp_path / "a.npz", images=images, labels=np.arange(5)), tmp_path / "w")
    found = list(in_bytes(scan.reader.read(np.arange(5)), ValueRanges()))
    assert [isinstance(image, BadImage) for image in found] == [False, True, False, True, True]
    assert "NaN" in str(found[1])
    assert "1.5" in str(found[3])
    assert "-0.25" in str(found[4])


# Folder trees and archives of them


def test_folder_tree_with_nested_classes(tmp_path: Path) -> None:
    """The class of an image is its folder, at any depth; pixels, classes and origins correspond."""
    names = ["Latin/a/1.png", "Latin/a/2.png", "Latin/b/1.png", "かな/あ/1.png", "かな/い ろ/x.y.png"]
    write_tree(tmp_path / "t", *names)
    scan = scan_of(tmp_path / "t", tmp_path / "w")
    assert sorted(origins_of(scan)) == sorted(names)
    assert sorted(set(names_of(scan))) == sorted(["Latin/a", "Latin/b", "かな/あ", "かな/い ろ"])
    for origin, name, pixels in zip(origins_of(scan), names_of(scan), pixels_of(scan), strict=True):
        assert name == origin.rpartition("/")[0]
        np.testing.assert_array_equal(pixels, noise(8, 8, seed=names.index(origin)))


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (["data/img/a", "data/img/b"], ["a", "b"]),
        (["data/x/a", "data/y/a"], ["x/a", "y/a"]),
        (["set/one"], ["one"]),
        (["deep/er/one"], ["one"]),
        (["p/ab", "p/ac"], ["ab", "ac"]),
        (["a", "b/c"], ["a", "b/c"]),
    ],
)
def test_class_names_omit_shared_leading_folders(tmp_path: Path, folders: list[str], expected: list[str]) -> None:
    """Class names omit the folders that all classes share, but only whole folder names."""
    write_tree(tmp_path / "t", *(f"{folder}/1.png" for folder in folders))
    assert scan_of(tmp_path / "t", tmp_path / "w").class_names == expected


def test_class_names_are_distinct(tmp_path: Path) -> None:
    """Each folder is a class with a different name, even if a folder contains one of the same name."""
    write_tree(tmp_path / "t", "a/1.png", "a/a/1.png", "a/b/1.png")
    names = scan_of(tmp_path / "t", tmp_path / "w").class_names
    assert len(names) == 3
    assert len(set(names)) == 3


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_hidden_and_foreign_files_are_skipped(tmp_path: Path, kind: str) -> None:
    """Hidden files and folders, metadata of macOS, and files without an image suffix are skipped and counted."""
    root = write_tree(tmp_path / "t", "a/1.png", "b/1.PNG")
    foreign = ["a/notes.txt", "a/.DS_Store", "a/._1.png", ".cache/a/1.png", "__MACOSX/a/1.png", "b/Thumbs.db", "x.csv"]
    for name in foreign:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"no image")
    scan = scan_of(zip_tree(root, tmp_path / "t.zip") if kind == "zip" else root, tmp_path / "w")
    assert origins_of(scan) == ["a/1.png", "b/1.PNG"]
    assert len(scan.notes) == 1
    assert f"{len(foreign)} " in scan.notes[0]


def test_files_that_pillow_only_writes_are_skipped(tmp_path: Path) -> None:
    """A PDF is not an image: Pillow writes PDF, but does not open it."""
    root = write_tree(tmp_path / "t", "a/1.png", "b/1.png")
    (root / "a" / "about.pdf").write_bytes(b"%PDF-1.4")
    assert origins_of(scan_of(root, tmp_path / "w")) == ["a/1.png", "b/1.png"]


def test_a_source_of_images_only_has_no_notes(tmp_path: Path) -> None:
    """If nothing is skipped, there are no notes."""
    assert scan_of(write_tree(tmp_path / "t", "a/1.png", "b/1.png"), tmp_path / "w").notes == []


def ink() -> np.ndarray:
    """Return an asymmetric image with bright ink on black, uint8 (16, 16)."""
    pixels = np.zeros((16, 16), np.uint8)
    pixels[2:5, 3:14] = 255
    pixels[5:12, 3:6] = 255
    return pixels


def _save_in_mode(path: Path, mode: str) -> None:
    image = Image.fromarray(ink())
    if mode == "I;16":
        Image.fromarray(ink().astype(np.uint16) * 257).save(path)
    elif mode == "F":
        Image.fromarray(ink().astype(np.float32) / 255).save(path)
    elif mode in ("LA", "RGBA"):  # Opaque ink on a transparent background, whose color must not show.
        image = Image.fromarray(np.full((16, 16), 255, np.uint8)).convert(mode)
        image.putalpha(Image.fromarray(ink()))
        image.save(path)
    else:
        image.convert(mode).save(path)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("1", ".png"), ("L", ".png"), ("P", ".png"), ("RGB", ".png"), ("RGBA", ".png"), ("LA", ".png"), ("I;16", ".png"),
     ("L", ".bmp"), ("RGB", ".tif"), ("F", ".tiff"), ("P", ".gif"), ("L", ".pgm"), ("1", ".tif"),
     ("L", ".jpg"), ("RGB", ".jpeg"), ("CMYK", ".jpg"), ("RGB", ".webp")],
)  # fmt: skip
def test_every_mode_and_format_gives_the_same_image(tmp_path: Path, mode: str, suffix: str) -> None:
    """An image is read as the same gray values from any mode and common format, except for lossy compression."""
    (tmp_path / "t" / "a").mkdir(parents=True)
    _save_in_mode(tmp_path / "t" / "a" / f"1{suffix}", mode)
    (image,) = in_bytes(scan_of(tmp_path / "t", tmp_path / "w").reader.read(np.array([0])), ValueRanges())
    assert isinstance(image, Image.Image)
    assert image.mode in ("L", "RGB")
    found = np.asarray(image.convert("L")).astype(int)
    tolerance = 40 if suffix in (".jpg", ".jpeg", ".webp") else 0
    assert np.abs(found - ink()).max() <= tolerance


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    """An image whose EXIF data contain a rotation is read upright."""
    (tmp_path / "t" / "a").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # Rotate by 90 degrees clockwise.
    Image.fromarray(ink()).save(tmp_path / "t" / "a" / "1.png", exif=exif)
    np.testing.assert_array_equal(pixels_of(scan_of(tmp_path / "t", tmp_path / "w"))[0], np.rot90(ink(), -1))


@pytest.mark.parametrize("folder", ["", "wrapped/twice/"])
def test_a_zip_equals_its_folder(tmp_path: Path, folder: str) -> None:
    """A .zip of a folder tree has the same classes, images and order as the tree, even for unusual names."""
    names = ["a/1.png", "a/2.png", "a-b/1.png", "a b/1.png", "ab/1.png", "ö/木.png"]
    root = write_tree(tmp_path / "t", *(folder + name for name in names))
    scan = scan_of(root, tmp_path / "w")
    zipped = scan_of(zip_tree(root, tmp_path / "t.zip"), tmp_path / "wz")
    assert origins_of(zipped) == origins_of(scan)
    assert names_of(zipped) == names_of(scan)
    np.testing.assert_array_equal(pixels_of(zipped), pixels_of(scan))


def test_circular_links_are_not_followed(tmp_path: Path) -> None:
    """Links to parent folders are not followed, so no image is lost or repeated."""
    root = write_tree(tmp_path / "t", "a/1.png", "b/1.png")
    (root / "a" / "up").symlink_to("..")
    (root / "b" / "self").symlink_to(".")
    assert origins_of(scan_of(root, tmp_path / "w")) == ["a/1.png", "b/1.png"]


def test_the_order_depends_only_on_names(tmp_path: Path) -> None:
    """The same files, created in another order, are scanned in the same order."""
    names = [f"{folder}/{number}.png" for folder in ("b", "a", "c/d") for number in (3, 1, 2)]
    one = scan_of(write_tree(tmp_path / "one", *names), tmp_path / "w1")
    other = scan_of(write_tree(tmp_path / "other", *reversed(names)), tmp_path / "w2")
    assert origins_of(one) == origins_of(other)
    assert one.class_names == other.class_names


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [(r"_(\d+)\.png$", ["01", "02", "01", "03"]), (r"_\d+", ["_01", "_02", "_01", "_03"]),
     (r"^([^/]+)/", ["a", "a", "b", "b"]), (r"(\w)_0(\d)", ["x", "y", "x", "z"])],
    ids=["a group", "whole match", "a folder", "the first of two"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_group_pattern(tmp_path: Path, pattern: str, expected: list[str], kind: str) -> None:
    """--group-pattern finds the group in the path: the first (...) of the pattern, or the whole match."""
    root = write_tree(tmp_path / "t", "a/x_01.png", "a/y_02.png", "b/x_01.png", "b/z_03.png")
    scan = scan_of(zip_tree(root, tmp_path / "t.zip") if kind == "zip" else root, tmp_path / "w", pattern)
    assert groups_of(scan) == expected


def test_a_path_without_a_group_is_refused(tmp_path: Path) -> None:
    """A pattern that does not match every path is refused, and the other paths are listed."""
    root = write_tree(tmp_path / "t", "a/x_01.png", "a/y.png", "b/x_01.png", "b/z.png")
    with pytest.raises(EpochbankError, match=r"2 of 4") as refusal:
        scan_of(root, tmp_path / "w", DRAWER)
    assert "a/y.png" in str(refusal.value)
    assert "b/z.png" in str(refusal.value)
    assert refusal.value.exit_code == 2


def test_a_group_that_does_not_match_is_refused(tmp_path: Path) -> None:
    """If the pattern matches without its (...), the image has no group and is listed."""
    root = write_tree(tmp_path / "t", "a/x_01.png", "b/x.png")
    with pytest.raises(EpochbankError, match=r"b/x\.png"):
        import_to(tmp_path / "o.h5", root, r"x(?:_(\d+))?\.png$")


# Names of sources


def test_kind_in_front(tmp_path: Path) -> None:
    """`kind:` gives the kind if the file name does not show it; without it, the file is refused."""
    arrays = {"images": noise(4, 5, 5), "labels": np.arange(4)}
    write_npz(tmp_path / "a.npz", **arrays).rename(tmp_path / "a.bin")
    write_hdf5(tmp_path / "b.dat", **arrays)
    zip_tree(write_tree(tmp_path / "t", "x/1.png", "y/1.png"), tmp_path / "c.archive")
    for number, (kind, name, count) in enumerate([("npz", "a.bin", 4), ("hdf5", "b.dat", 4), ("zip", "c.archive", 2)]):
        assert len(scan_of(f"{kind}:{tmp_path / name}", tmp_path / f"w{number}").labels) == count
        with pytest.raises(EpochbankError, match=f"{kind}:"):
            open_source(str(tmp_path / name))
    assert len(scan_of(f"folder:{tmp_path / 't'}", tmp_path / "w4").labels) == 2


def test_kind_in_front_decides(tmp_path: Path) -> None:
    """`folder:` with a file and `npz:` with a folder are refused."""
    root = write_tree(tmp_path / "t", "x/1.png")
    path = write_npz(tmp_path / "a.npz", images=noise(4, 5, 5), labels=np.arange(4))
    for spec in (f"folder:{path}", f"npz:{root}", f"zip:{root}"):
        with pytest.raises(EpochbankError, match="expected a"):
            open_source(spec)


@pytest.mark.parametrize("name", ["my photos (2)!", "..weird..", "木", "plain-name_1.0"])
def test_names_of_sources_are_valid_file_names(tmp_path: Path, name: str) -> None:
    """The name of a source consists of letters, digits, '-', '_' and '.', is not empty, and does not begin with '.'."""
    write_tree(tmp_path / name, "x/1.png", "y/1.png")
    found = open_source(str(tmp_path / name)).name
    assert found
    assert not found.startswith(".")
    assert all(letter.isascii() and (letter.isalnum() or letter in "-_.") for letter in found)
    if name == "plain-name_1.0":
        assert found == name


def test_digits(tmp_path: Path) -> None:
    """`digits` is scaled up to 64 x 64, and has a black margin around the 8 x 8 pixels of scikit-learn."""
    from sklearn.datasets import load_digits

    scan = scan_of("digits", tmp_path / "w")
    assert scan.class_names == [str(digit) for digit in range(10)]
    assert (scan.size, scan.channels, len(scan.labels)) == ((64, 64), 1, 1797)
    image = pixels_of(scan)[123]
    np.testing.assert_array_equal(image[1:-1, 1:-1], np.round(load_digits().images[123] * 255 / 16))
    assert image.sum() == image[1:-1, 1:-1].sum()


# --limit


@pytest.mark.parametrize(("count", "limit"), [(100, 10), (100, 7), (100, 100), (100, 1000), (3, 2), (97, 1)])
def test_limit_selects_evenly_spaced_images(tmp_path: Path, count: int, limit: int) -> None:
    """--limit selects distinct images, evenly spaced over the whole source, in order."""
    path = write_npz(tmp_path / "a.npz", images=noise(count, 4, 4), labels=np.zeros(count, int))
    file = import_to(tmp_path / "o.h5", path, limit=limit)
    chosen = [int(file.origin(row)[7:-1]) for row in range(file.num_images)]
    assert len(chosen) == min(count, limit)
    gaps = np.diff([*chosen, chosen[0] + count])
    assert gaps.min() >= 1
    assert gaps.max() - gaps.min() <= 1
    expected = noise(count, 4, 4)[chosen]
    found = file.read(np.arange(file.num_images))[..., 0]
    assert np.array_equal(found, expected) or np.array_equal(found, 255 - expected)


def test_limit_reaches_every_class_of_a_sorted_source(tmp_path: Path) -> None:
    """A limited import of a source that is sorted by class has images of all classes."""
    path = write_npz(tmp_path / "a.npz", images=noise(200, 4, 4), labels=np.repeat(np.arange(10), 20))
    file = import_to(tmp_path / "o.h5", path, limit=30)
    assert np.bincount(file.column("label")).tolist() == [3] * 10


def test_limit_omits_classes_without_images(tmp_path: Path) -> None:
    """Classes without images after a limit are omitted, and labels have the right names."""
    path = write_npz(tmp_path / "a.npz", images=noise(40, 4, 4), labels=np.arange(40))
    file = import_to(tmp_path / "o.h5", path, limit=8)
    assert file.class_names == ["0", "5", "10", "15", "20", "25", "30", "35"]
    assert [file.origin(row) for row in range(8)] == [f"images[{name}]" for name in file.class_names]
    assert file.column("label").tolist() == list(range(8))


# Omniglot


@pytest.fixture(scope="module")
def omniglot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SourceFile]:
    if not OMNIGLOT.exists():
        pytest.skip(f"{OMNIGLOT} does not exist")
    path = tmp_path_factory.mktemp("omniglot") / "omniglot.h5"
    yield import_to(path, OMNIGLOT, DRAWER, size=(32, 32))
    path.unlink()


@pytest.mark.long
def test_omniglot_is_complete(omniglot: SourceFile) -> None:
    """All 25,968 images are found: each of 16 writers drew each of 1,623 classes once."""
    labels, groups = omniglot.column("label"), omniglot.column("group")
    assert omniglot.num_images == len(labels) == 25_968
    assert len(omniglot.class_names) == len(set(omniglot.class_names)) == 1_623
    assert sorted(omniglot.group_names or []) == [f"{number:02d}" for number in range(1, 17)]
    assert len(np.unique(labels.astype(np.int64) * 16 + groups)) == 25_968
    assert "images_background/Greek/character01" in omniglot.class_names


@pytest.mark.long
def test_omniglot_is_inverted(omniglot: SourceFile) -> None:
    """Dark ink on light paper becomes bright ink on black by default, and the import reports it."""
    sample = omniglot.read(np.arange(0, omniglot.num_images, 997))
    assert sample.shape[1:] == (32, 32, 1)
    assert (np.median(sample, axis=(1, 2, 3)) < 30).all()
    assert (sample.max(axis=(1, 2, 3)) > 100).all()
    assert "inverted" in omniglot.decided
    assert "not inverted" not in omniglot.decided


def test_omniglot_images_match_their_origins(omniglot: SourceFile) -> None:
    """Class, writer and ink of an image are those of the file that its origin names."""
    labels, groups = omniglot.column("label"), omniglot.column("group")
    assert omniglot.group_names is not None
    with zipfile.ZipFile(OMNIGLOT) as archive:
        for row in (0, 1, 12_345, 25_967):
            origin = omniglot.origin(row)
            assert f"/{omniglot.class_names[labels[row]]}/" in origin
            assert origin.endswith(f"_{omniglot.group_names[groups[row]]}.png")
            with archive.open(origin) as file, Image.open(file) as original:
                ink = 255 - np.asarray(original.convert("L").resize((32, 32), Image.Resampling.BOX)).astype(int)
            # Resized with another filter, the image correlates with the imported one, but not with other images.
            correlations = [
                np.corrcoef(ink.ravel(), omniglot.read(np.array([other])).ravel())[0, 1]
                for other in (row, row - 1 if row else row + 1, (row + 9_999) % omniglot.num_images)
            ]
            assert correlations[0] > 0.9
            assert correlations[0] > 0.2 + max(correlations[1:])


def test_omniglot_is_split_by_drawer(omniglot: SourceFile) -> None:
    """No writer is in two splits, and every class is in all three."""
    splits = compute_split(SetSpec(omniglot, load_recipe("kanji"))).rows
    drawers = {split: set(np.unique(rows.group).tolist()) for split, rows in splits.items() if rows.group is not None}
    assert {split: len(drawers[split]) for split in drawers} == {"train": 12, "validation": 2, "test": 2}
    assert len(set().union(*drawers.values())) == 16
    for rows in splits.values():
        assert len(np.unique(rows.label)) == 1_623
    together = np.sort(np.concatenate([rows.row for rows in splits.values()]))
    np.testing.assert_array_equal(together, np.arange(25_968))


@pytest.mark.parametrize("compiled", [False, True])
def test_source_file_reads_rows_in_any_order(tmp_path: Path, compiled: bool) -> None:
    """Rows are read in any order, and the error for a truncated file names the first missing row."""
    images = glyphs(50)
    np.savez(tmp_path / "s.npz", images=images, labels=np.arange(50) % 2)
    file, rows = import_to(tmp_path / "s.h5", tmp_path / "s.npz"), np.array([3, 49, 0, 3, 20])
    assert np.array_equal(file.read(rows, compiled=compiled), images[rows])
    os.truncate(tmp_path / "s.h5", file.offset + 30 * images[0].nbytes)
    with pytest.raises(EpochbankError, match="at row 49"):
        file.read(rows, compiled=compiled)
