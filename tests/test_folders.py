"""Folders and archives as they occur in practice: splits, names, links, skipped files, and all variants of .zip."""

import io
import itertools
import os
import struct
import subprocess
import sys
import time
import tracemalloc
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from epochbank.augment.errors import EpochbankError
from epochbank.augment.ingest.importer import ImportOptions, import_source
from epochbank.augment.ingest.source_file import open_source_file
from epochbank.augment.shared.progress import Count
from epochbank.augment.sources import Scan, SourceOptions
from epochbank.augment.sources.archive import find_archive
from epochbank.augment.sources.decode import BadImage, read_image
from epochbank.augment.sources.find import open_source
from epochbank.augment.sources.paths import PathList, PathWriter


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def png(seed: int = 0, size: int = 8) -> bytes:
    """Return a PNG file of noise."""
    file = io.BytesIO()
    Image.fromarray(noise(size, size, seed=seed)).save(file, "PNG")
    return file.getvalue()


def write(root: Path, *names: str) -> Path:
    """Write a different image to each path, or make a folder if the path ends with '/'."""
    for number, name in enumerate(names):
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))
    return root


def write_zip(path: Path, *names: str, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write an archive with a different image at each path."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for number, name in enumerate(names):
            archive.writestr(name, b"" if name.endswith("/") else png(number))
    return path


Make = Callable[..., Path]
"""Makes the same tree, as a folder or as an archive."""


@pytest.fixture(params=["folder", "zip"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "folder":
        return lambda *names: write(tmp_path / "t", *names)
    return lambda *names: write_zip(tmp_path / "t.zip", *reversed(names))


def scan_of(path: Path, **options: Any) -> Scan:
    workspace = path.with_name(path.name + ".workspace")
    workspace.mkdir(exist_ok=True)
    return open_source(str(path), SourceOptions(**options)).scan(workspace)


def origins_of(scan: Scan) -> list[str]:
    return [scan.reader.origin(index) for index in range(len(scan.labels))]


def classes_of(scan: Scan) -> dict[str, str]:
    """Return the class of every image, by origin."""
    return {origin: scan.class_names[label] for origin, label in zip(origins_of(scan), scan.labels, strict=True)}


def splits_of(scan: Scan) -> dict[str, int]:
    """Return the split of every image, by origin."""
    assert scan.splits is not None
    return dict(zip(origins_of(scan), scan.splits.tolist(), strict=True))


def images_of(scan: Scan) -> list[Any]:
    """Read every image: its pixels, or the reason why it is bad."""
    found = list(scan.reader.read(np.arange(len(scan.labels))))
    return [str(item) if isinstance(item, BadImage) else np.asarray(item).tolist() for item in found]


def has_note(scan: Scan, words: str) -> bool:
    return any(words in note for note in scan.notes)


# Splits


@pytest.mark.parametrize("above", ["", "data/", "a/b/"])
@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        ({"train": 0, "test": 2}, ["cat", "dog"]),
        ({"Train": 0, "VAL": 1, "Test": 2}, ["cat", "dog"]),
        ({"training": 0, "validation": 1, "testing": 2}, ["cat", "dog"]),
        ({"valid": 1, "dev": 1, "train": 0}, ["cat", "dog"]),
        ({"train/images": 0, "test/images": 2}, ["cat", "dog"]),
        ({"val": 1, "test": 2}, ["cat", "dog"]),
    ],
    ids=str,
)
def test_folders_with_names_of_splits(make: Make, above: str, folders: dict[str, int], expected: list[str]) -> None:
    """Folders named train, test and so on, ignoring case, are splits, and the classes are the folders below them."""
    names = [f"{above}{folder}/{name}/{k}.png" for folder in folders for name in ("cat", "dog") for k in range(2)]
    scan = scan_of(make(*names))
    assert scan.class_names == expected
    for origin, split in splits_of(scan).items():
        folder = next(folder for folder in folders if origin.startswith(f"{above}{folder}/"))
        assert split == folders[folder]
        assert classes_of(scan)[origin] == origin.split("/")[-2]
    assert has_note(scan, "using the splits")


def test_a_note_counts_the_images_of_each_split(make: Make) -> None:
    """A note gives the number of images in each split."""
    scan = scan_of(make("train/a/1.png", "train/a/2.png", "train/b/1.png", "test/a/1.png"))
    assert has_note(scan, "train 3, test 1 images")


def test_classes_of_splits_may_be_nested_and_missing(make: Make) -> None:
    """A class may be a nested folder, and need not be in every split."""
    scan = scan_of(make("train/x/a/1.png", "train/x/b/1.png", "test/x/a/1.png", "test/y/1.png"))
    assert scan.class_names == ["x/a", "x/b", "y"]
    assert splits_of(scan)["test/y/1.png"] == 2


def test_split_fractions_merges_the_splits(make: Make) -> None:
    """With --split fractions, train/cat and test/cat are one class, and the scan has no splits."""
    scan = scan_of(make("train/cat/1.png", "test/cat/2.png", "test/dog/3.png"), split="fractions")
    assert scan.splits is None
    assert scan.class_names == ["cat", "dog"]
    assert classes_of(scan)["test/cat/2.png"] == classes_of(scan)["train/cat/1.png"] == "cat"
    assert has_note(scan, "ignoring the splits that the folders name (train 1, test 2 images)")


@pytest.mark.parametrize(
    ("names", "classes", "reason"),
    [
        (["train/1.png", "test/1.png"], ["test", "train"], "images lie directly in them"),
        (["train/1.png", "test/1.png", "bus/1.png"], ["bus", "test", "train"], "next to bus/"),
        (["train/ice/1.png", "test/crash/1.png"], ["test/crash", "train/ice"], "no class in common"),
        (["train/a/1.png", "training/a/1.png"], ["train/a", "training/a"], "1 class name occurs in several folders"),
        (["train/a/1.png", "train/b/1.png"], ["a", "b"], ""),
        (["a/train/1.png", "a/test/1.png", "b/car/1.png"], ["a/test", "a/train", "b/car"], ""),
        (["trains/a/1.png", "tests/a/1.png"], ["tests/a", "trains/a"], "is kept separate: a"),
    ],
    ids=str,
)
def test_folders_with_names_of_splits_that_are_classes(
    make: Make, names: list[str], classes: list[str], reason: str
) -> None:
    """Folders named train or test may be classes. A note gives the reason if that may be a mistake."""
    scan = scan_of(make(*names))
    assert scan.class_names == classes
    assert scan.splits is None
    assert bool(scan.notes) == bool(reason)
    assert has_note(scan, reason) or not reason


def test_other_files_next_to_splits_do_not_matter(make: Make) -> None:
    """Files and folders without images next to the splits make no difference."""
    scan = scan_of(make("train/a/1.png", "test/a/1.png", "docs/readme.txt", "labels.csv", ".git/x.png"))
    assert splits_of(scan) == {"train/a/1.png": 0, "test/a/1.png": 2}


def test_images_of_a_split_without_a_class_are_refused(make: Make) -> None:
    """Images of training or validation, or some of the test images, without a class folder are refused with a fix."""
    for stray in ("val/1.png", "test/1.png", "train/1.png"):
        with pytest.raises(EpochbankError, match=rf"1 in {stray[:-6]}/.*Move"):
            scan_of(make("train/a/1.png", "train/b/1.png", "test/a/1.png", stray))
        for path in Path(make()).parent.glob("t/**/1.png"):
            path.unlink()


# Names


def test_one_name_in_two_unicode_forms_is_one_class(make: Make) -> None:
    """`が` written as two code points, as on macOS, is the class `が`. A note names folders that become one class."""
    apart, whole = unicodedata.normalize("NFD", "が"), "が"
    scan = scan_of(make(f"{apart}/1.png", f"{whole}/2.png", "b/3.png"))
    assert scan.class_names == ["b", whole]
    assert sorted(scan.labels.tolist()) == [0, 1, 1]
    assert set(origins_of(scan)) == {f"{apart}/1.png", f"{whole}/2.png", "b/3.png"}  # Origins are unchanged.
    assert has_note(scan, f"one class: {whole}")


def test_names_in_another_unicode_form_need_no_note(make: Make) -> None:
    """Names of classes and groups are composed; there is no note if no folders are merged."""
    apart = unicodedata.normalize("NFD", "Å")
    scan = scan_of(make(f"a/{apart}_1.png", "b/Å_1.png"), group_pattern="/(Å)_")
    assert scan.group_names == ["Å"]
    assert scan.notes == []


def test_classes_that_differ_in_case_stay_separate(make: Make) -> None:
    """`Cat` and `cat` are two classes, which a note names; `A.png` and `a.png` are two images."""
    scan = scan_of(make("Cat/A.png", "Cat/a.png", "cat/1.png", "dog/1.png"))
    assert scan.class_names == ["Cat", "cat", "dog"]
    assert len(scan.labels) == 4
    assert scan.all_notes() == ["classes whose names differ only in case are kept separate: 'Cat' and 'cat'"]


def test_odd_bytes_and_line_breaks_in_names(tmp_path: Path) -> None:
    """Names with invalid UTF-8 or line breaks are read, and shown in printable characters."""
    root = os.fsencode(tmp_path / "t")
    for number, name in enumerate((b"a\xe9", b"two\nlines")):
        path = Path(os.fsdecode(root + b"/" + name + b"/\xff\t.png"))
        path.parent.mkdir(parents=True)
        path.write_bytes(png(number))
    scan = scan_of(tmp_path / "t")
    assert scan.class_names == ["a\\xe9", "two\\x0alines"]
    assert origins_of(scan) == ["a\\xe9/\\xff\\x09.png", "two\\x0alines/\\xff\\x09.png"]
    assert images_of(scan) == [noise(8, 8, seed=seed).tolist() for seed in (0, 1)]


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """Write an image 1,100 folders deep, which Python's functions cannot remove."""
    path = tmp_path / "deep"
    for folder in (path / "b", path / "a"):
        folder.mkdir(parents=True)
        (folder / "1.png").write_bytes(png())
    below = str(path / "a")
    for _ in range(1_100):
        below += "/d"
        Path(below).mkdir()
    Path(below + "/2.png").write_bytes(png(2))
    yield path
    subprocess.run(["rm", "-rf", path], check=True)


def test_a_very_deep_tree(deep: Path, tmp_path: Path) -> None:
    """Folders and archives may be nested deeper than Python's recursion limit."""
    origins = ["a/1.png", "a/" + "d/" * 1_100 + "2.png", "b/1.png"]
    for path in (deep, write_zip(tmp_path / "deep.zip", *origins)):
        scan = scan_of(path)
        assert origins_of(scan) == origins
        assert open_source(str(path)).identity()
    assert images_of(scan_of(deep))[1] == noise(8, 8, seed=2).tolist()


def test_paths_are_found_by_number(tmp_path: Path) -> None:
    """A list gives each path by index, in any order and at the ends of runs, and raises after the last."""
    paths = [f"{'x' * (number % 7)}{number}é".encode() for number in range(1_000)]
    with open(tmp_path / "text", "wb") as text, open(tmp_path / "ends", "wb") as ends:
        writer = PathWriter(text, ends)
        for run in (paths[:300], [], paths[300:301], paths[301:]):
            writer.add(run)
    found = PathList(tmp_path / "text", tmp_path / "ends")
    for index in (999, 0, 255, 256, 257, 511, 512, 300, 301, *range(0, 1_000, 37)):
        assert found.encoded(index) == paths[index]
        assert found[index] == os.fsdecode(paths[index])
    for index in (1_000, 5_000):
        with pytest.raises(IndexError):
            found.encoded(index)


# Skipped files


def test_skipped_files_are_counted_by_suffix(make: Make) -> None:
    """Hidden and foreign files are counted by reason, the most frequent first."""
    scan = scan_of(make("a/1.png", "b/1.JPG", "a/x.txt", "b/y.TXT", "b/z.txt", "a/.png", ".h/2.png", "a/png", "b/7.",
                        "@eaDir/a/1.png", "a/d.h5", "a/film.mpeg"))  # fmt: skip
    assert origins_of(scan) == ["a/1.png", "b/1.JPG"]
    assert scan.notes == [
        "skipped 10 hidden files and files of other types (3 .txt, 3 hidden, 2 without a suffix, 1 .h5, 1 .mpeg)"
    ]


def test_folders_without_images_are_noted(make: Make) -> None:
    """A note names folders without images, as something may be missing; hidden ones are not named."""
    scan = scan_of(make("a/1.png", "b/", "c/d/", "c/e/1.png", ".f/", "g/h/"))
    assert scan.class_names == ["a", "c/e"]
    assert scan.notes == ["folders without images: b/, c/d/, g/h/"]


def test_a_source_without_images_is_refused(make: Make) -> None:
    """The error for a tree without images counts the other files."""
    with pytest.raises(EpochbankError, match=r"holds no images, only 2 .* \(2 \.npy\)"):
        scan_of(make("a/1.npy", "b/2.npy"))


def test_paths_without_a_group_are_counted(make: Make) -> None:
    """The error counts the paths that the pattern does not match, and lists the first ones in order."""
    names = [f"a/{number:02d}.png" for number in range(23)] + ["b/g1.png", "b/h.png"]
    with pytest.raises(
        EpochbankError, match=r"(?s)does not match 24 of 25 paths.*:\n  a/00.png\n.*09.png\n  and 14 more$"
    ) as refusal:
        scan_of(make(*names), group_pattern="g(.)")
    assert str(refusal.value).count("\n") == 11


def test_an_empty_archive_is_refused(tmp_path: Path) -> None:
    """An archive without files is refused."""
    with pytest.raises(EpochbankError, match="holds no images; expected"):
        scan_of(write_zip(tmp_path / "t.zip"))


# Links, pipes, permissions


def test_links_to_parent_folders_are_not_followed(tmp_path: Path) -> None:
    """Links to parents of the source, or to parent folders in it, are not followed: images would be read twice."""
    root = write(tmp_path / "above" / "t", "a/1.png", "b/c/1.png")
    (root / "a" / "out").symlink_to(tmp_path / "above")
    (root / "b" / "c" / "up").symlink_to("../..")
    (root / "b" / "c" / "b").symlink_to("..")
    (root / "b" / "itself.png").symlink_to("itself.png")
    scan = scan_of(root)
    assert origins_of(scan) == ["a/1.png", "b/itself.png", "b/c/1.png"]
    assert "cannot be read" in images_of(scan)[1]
    open_source(str(root)).identity()


def test_other_links_are_followed(tmp_path: Path) -> None:
    """Links to images and to other folders are followed; broken links are bad images."""
    write(tmp_path / "elsewhere", "1.png")
    root = write(tmp_path / "t", "b/1.png")
    (root / "a").symlink_to(tmp_path / "elsewhere")
    (root / "b" / "2.png").symlink_to(tmp_path / "elsewhere" / "1.png")
    (root / "b" / "3.png").symlink_to(tmp_path / "nowhere.png")
    scan = scan_of(root)
    assert origins_of(scan) == ["a/1.png", "b/1.png", "b/2.png", "b/3.png"]
    assert images_of(scan) == [noise(8, 8).tolist()] * 3 + ["cannot be read: No such file or directory"]
    before = open_source(str(root)).identity()
    (root / "b" / "3.png").unlink()
    assert open_source(str(root)).identity() != before


@pytest.mark.timeout(20)
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe with the name of an image is a bad image, and does not block the import."""
    root = write(tmp_path / "t", "a/1.png")
    os.mkfifo(root / "a" / "2.png")
    assert "cannot be read" in images_of(scan_of(root))[1]


def forbid_listing(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make `folder` unreadable, even for the superuser."""
    scandir = os.scandir

    def refusing(path: Any) -> Any:
        if path == os.fsencode(folder):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)


def test_an_unreadable_folder_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be listed is treated like a bad image: refused, or skipped with --on-bad skip."""
    root = write(tmp_path / "t", "a/1.png", "b/1.png", "c/1.png", "lost+found/2.png")
    forbid_listing(monkeypatch, root / "b")
    forbid_listing(monkeypatch, root / "lost+found")  # Hidden, so it does not matter.
    scan = scan_of(root)
    assert scan.bad == [("b/", "cannot be listed: Permission denied")]
    assert classes_of(scan) == {"a/1.png": "a", "c/1.png": "c"}
    with pytest.raises(EpochbankError, match="b/ cannot be listed: Permission denied"):
        import_source(open_source(str(root)), tmp_path / "o.h5", ImportOptions(), 1, quiet=True)
    notes = import_source(open_source(str(root)), tmp_path / "o.h5", ImportOptions(on_bad="skip"), 1, quiet=True)
    assert any("b/ cannot be listed" in note for note in notes)
    assert open_source_file(tmp_path / "o.h5").skipped_names() == scan.bad


def test_images_in_a_folder_without_access(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a folder can be listed but not entered, its images are bad, and the identity is still available."""
    root = write(tmp_path / "t", "a/1.png", "b/1.png")

    def refusing(allowed: Callable[..., Any], path: Any, *rest: Any, **more: Any) -> Any:
        if path == os.fsencode(root / "b" / "1.png"):
            raise PermissionError(13, "Permission denied", path)
        return allowed(path, *rest, **more)

    scan, before = scan_of(root), open_source(str(root)).identity()
    for name in ("open", "stat", "lstat"):
        monkeypatch.setattr(os, name, partial(refusing, getattr(os, name)))
    assert images_of(scan)[1] == "cannot be read: Permission denied"
    assert open_source(str(root)).identity() != before


def test_incomplete_listings_are_discarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the listing of a folder fails midway, none of its images are used."""
    root, scandir = write(tmp_path / "t", "a/1.png", "b/1.png", "b/2.png"), os.scandir

    class Failing:
        def __enter__(self) -> Iterator[os.DirEntry[bytes]]:
            with scandir(os.fsencode(root / "b")) as found:
                yield next(found)
            raise OSError(5, "Input/output error")

        def __exit__(self, *error: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", lambda path: Failing() if path == os.fsencode(root / "b") else scandir(path))
    scan = scan_of(root)
    assert origins_of(scan) == ["a/1.png"]
    assert scan.bad == [("b/", "cannot be listed: Input/output error")]


def test_identity_changes_with_read_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that can no longer be listed changes the identity, even if it is empty."""
    source = open_source(str(write(tmp_path / "t", "a/1.png", "b/")))
    before = source.identity()
    forbid_listing(monkeypatch, tmp_path / "t" / "b")
    assert source.identity() != before


def test_an_unreadable_source_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the folder of the source cannot be listed, the error gives the reason and a fix."""
    root = write(tmp_path / "t", "a/1.png")
    forbid_listing(monkeypatch, root)
    for ask in (lambda: scan_of(root), open_source(str(root)).identity):
        with pytest.raises(EpochbankError, match=r"cannot be listed: Permission denied\. Grant yourself"):
            ask()


# Images


def frames(seed: int = 0) -> list[Image.Image]:
    return [Image.fromarray(noise(16, 16, 3, seed=seed + number)) for number in range(3)]


@pytest.mark.parametrize(
    ("suffix", "options"),
    [(".png", {}), (".apng", {"format": "PNG"}), (".tif", {}), (".webp", {"lossless": True}), (".gif", {})],
)
def test_the_first_image_of_several(tmp_path: Path, suffix: str, options: dict[str, Any]) -> None:
    """The first frame of an animation, or the first page, is read."""
    (tmp_path / "t" / "a").mkdir(parents=True)
    first, *others = frames() if suffix != ".gif" else [frame.convert("L") for frame in frames()]
    first.save(tmp_path / "t" / "a" / f"1{suffix}", save_all=True, append_images=others, **options)
    with Image.open(tmp_path / "t" / "a" / f"1{suffix}") as pil_image:
        assert pil_image.n_frames == 3  # type: ignore[attr-defined]
    (found,) = scan_of(tmp_path / "t").reader.read(np.array([0]))
    assert isinstance(found, Image.Image)
    assert np.array_equal(np.asarray(found.convert(first.mode)), np.asarray(first))


def test_large_files_are_read_completely(tmp_path: Path) -> None:
    """Files that are larger than the first read give all of their pixels."""
    pixels = noise(300, 400, 3)
    for suffix in ("png", "tif", "bmp"):
        Image.fromarray(pixels).save(tmp_path / f"1.{suffix}")
        assert (tmp_path / f"1.{suffix}").stat().st_size > 1 << 18
        assert np.array_equal(np.asarray(read_image(tmp_path / f"1.{suffix}")), pixels)


def test_a_wrong_suffix_does_not_matter(tmp_path: Path) -> None:
    """Contents determine the format: a JPEG and a TGA, which has no signature, are read with the suffix .png."""
    Image.fromarray(noise(8, 8)).save(tmp_path / "1.png", "TGA")
    Image.fromarray(np.full((8, 8), 99, np.uint8)).save(tmp_path / "2.png", "JPEG")
    assert np.array_equal(np.asarray(read_image(tmp_path / "1.png")), noise(8, 8))
    assert np.ptp(np.asarray(read_image(tmp_path / "2.png"))) == 0


def test_reasons_for_unreadable_files(tmp_path: Path) -> None:
    """The reason is readable, without memory addresses, and without the path, which messages already contain."""
    for name, data in (
        ("1.png", b"no image"),
        ("2.png", b""),
        ("3.png", png()[:60]),
        ("4.png", b"\x89HDF\r\n\x1a\n"),
    ):
        (tmp_path / name).write_bytes(data)
        for found in (read_image(tmp_path / name), read_image(io.BytesIO(data))):
            assert str(found).startswith("cannot be read: ")
            assert "0x" not in str(found)
            assert str(tmp_path) not in str(found)
            assert ("no format" in str(found)) is (name != "3.png")


@pytest.mark.parametrize(("width", "height"), [(10_000, 9_000), (20_000, 10_000)])
def test_too_large_images_are_bad(width: int, height: int) -> None:
    """Images with too many pixels are bad before they are decoded, whether Pillow warns about them or refuses them."""
    data = png()
    header = data[12:16] + struct.pack(">2L", width, height) + data[24:29]
    found = read_image(io.BytesIO(data[:12] + header + struct.pack(">L", zlib.crc32(header)) + data[33:]))
    assert isinstance(found, BadImage)
    assert "at most 89,478,485 pixels" in str(found)


def test_an_open_file_is_left_open() -> None:
    """A file that is already open is not closed."""
    file = io.BytesIO(png())
    assert isinstance(read_image(file), Image.Image)
    assert not file.closed


def test_warnings_of_pillow_are_suppressed(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """Images that Pillow can read despite a defect give no warning."""
    Image.fromarray(noise(8, 8)).save(tmp_path / "1.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05")  # truncated
    assert isinstance(read_image(tmp_path / "1.jpg"), Image.Image)
    assert not recwarn.list


# Archives


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_methods(tmp_path: Path, method: int) -> None:
    """Archives with any compression method of Python are read."""
    names = [f"{'ab'[number % 2]}/{number}.png" for number in range(6)]
    scan = scan_of(write_zip(tmp_path / "t.zip", *names, method=method))
    assert images_of(scan) == [noise(8, 8, seed=names.index(origin)).tolist() for origin in origins_of(scan)]


def test_zip64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Archives in the format for more than 4 GiB or 65,535 files are read, even with bytes in front."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 20)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    path = write_zip(tmp_path / "t.zip", "a/1.png", "b/2.png", "b/3.png")
    assert b"PK\6\6" in path.read_bytes()
    assert images_of(scan_of(path)) == [noise(8, 8, seed=seed).tolist() for seed in range(3)]
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())
    assert images_of(scan_of(path)) == [noise(8, 8, seed=seed).tolist() for seed in range(3)]


def test_prefixes_comments_and_nested_archives(tmp_path: Path) -> None:
    """Archives may begin with a program that unpacks them, end with a comment, and contain other archives."""
    path = write_zip(tmp_path / "t.zip", "a/1.png", "b/2.png")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.zip", write_zip(tmp_path / "more.zip", "c/3.png").read_bytes(), zipfile.ZIP_STORED)
        archive.comment = b"Thank you for flying"
    path.write_bytes(b"MZ" * 500 + path.read_bytes())
    assert images_of(scan_of(path)) == [noise(8, 8, seed=seed).tolist() for seed in range(2)]


def test_names_that_lead_out_of_an_archive(tmp_path: Path) -> None:
    """Absolute names, `..`, `.` and backslashes are normalized, and all images are read."""
    names = ["/a/1.png", "../b/2.png", "./c/3.png", "d//4.png", "e\\5.png", "f/../g/6.png"]
    scan = scan_of(write_zip(tmp_path / "t.zip", *names))
    assert origins_of(scan) == ["a/1.png", "b/2.png", "c/3.png", "d/4.png", "e/5.png", "f/g/6.png"]
    assert images_of(scan) == [noise(8, 8, seed=seed).tolist() for seed in range(6)]


def test_the_last_of_several_files_of_one_name_is_used(tmp_path: Path) -> None:
    """The last file of a name is used, as when unpacking, and a note counts the others."""
    path = tmp_path / "t.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/1.png", png(0))
        archive.writestr("b/1.png", png(1))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a/1.png", png(2))
    scan = scan_of(path)
    assert origins_of(scan) == ["a/1.png", "b/1.png"]
    assert images_of(scan) == [noise(8, 8, seed=seed).tolist() for seed in (2, 1)]
    assert has_note(scan, "skipped 1 image that the archive contains twice")


def rewrite(path: Path, before: bytes, after: bytes) -> Path:
    """Replace bytes of a file."""
    data = path.read_bytes()
    assert before in data
    path.write_bytes(data.replace(before, after))
    return path


def test_names_of_any_encoding(tmp_path: Path) -> None:
    """Names may be UTF-8 with or without a flag, in the code page of DOS, or UTF-8 in an extra field."""
    name, unflagged, dos = "木/1.png", "川/1.png".encode(), "É/1.png".encode("cp437")
    extra = zipfile.ZipInfo("XYZ/1.png")
    in_utf8 = "λ/1.png".encode()
    extra.extra = struct.pack("<HHBL", 0x7075, 5 + len(in_utf8), 1, zipfile.crc32(b"XYZ/1.png")) + in_utf8
    path = write_zip(tmp_path / "t.zip", name, "x" * len(unflagged), "y" * len(dos))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(extra, png())
    rewrite(path, b"x" * len(unflagged), unflagged)
    rewrite(path, b"y" * len(dos), dos)
    assert scan_of(path).class_names == sorted(["木", "川", "É", "λ"])


def test_encrypted_archives_are_refused(tmp_path: Path) -> None:
    """An encrypted archive is refused as a whole, with a fix."""
    path = write_zip(tmp_path / "t.zip", "a/1.png", "b/2.png")
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(EpochbankError, match=r"1 of 2 images .* encrypted.*Unpack it"):
        scan_of(path)


def test_unknown_methods_are_refused(tmp_path: Path) -> None:
    """An archive with an unsupported method is refused, such as Deflate64, which Windows uses for large files."""
    path = write_zip(tmp_path / "t.zip", "a/1.png", "b/2.png")
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 10] = 9
    path.write_bytes(data)
    with pytest.raises(EpochbankError, match=r"1 of 2 images .* method 9.*Unpack it"):
        scan_of(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("place", ["header", "data", "size"])
def test_damage_in_an_archive_is_a_bad_image(tmp_path: Path, method: int, place: str) -> None:
    """An image with damaged bytes is bad, with a reason; the others are read."""
    path = write_zip(tmp_path / "t.zip", "a/1.png", "b/2.png", "c/3.png", method=method)
    data = bytearray(path.read_bytes())
    header = data.index(b"b/2.png") - 30
    entry = data.index(b"b/2.png", header + 37) - 46
    if place == "size":
        data[entry + 24 : entry + 28] = struct.pack("<L", 17)  # Not the decompressed size.
    else:
        at = header if place == "header" else header + 37 + 20
        data[at : at + 9] = b"\xa5" * 9
    path.write_bytes(data)
    found = images_of(scan_of(path))
    assert "it is damaged in the archive" in found[1] or "the archive is damaged" in found[1]
    assert found[::2] == [noise(8, 8, seed=seed).tolist() for seed in (0, 2)]


def test_truncated_archives_are_refused(tmp_path: Path) -> None:
    """Archives that lack bytes at the end, in the directory or in the middle are refused with a fix."""
    path = write_zip(tmp_path / "t.zip", "a/1.png", "b/2.png")
    data = path.read_bytes()
    directory = data.index(b"PK\1\2")
    for left in (data[:-10], data[:directory], data[:50], b"", data[:100] + data[150:], data[:directory] + data[-22:]):
        path.write_bytes(left)
        with pytest.raises(EpochbankError, match=r"cannot be read as \.zip: .*Download or create it again"):
            scan_of(path)


def test_a_volume_of_an_archive_is_refused(tmp_path: Path) -> None:
    """The last of several volumes is recognized and refused."""
    path = write_zip(tmp_path / "t.zip", "a/1.png", "b/2.png")
    data = bytearray(path.read_bytes())
    data[-18:-14] = b"\2\0\2\0"
    path.write_bytes(data)
    with pytest.raises(EpochbankError, match="last of 3 volumes"):
        scan_of(path)


def test_an_archive_that_changes_after_the_scan_is_refused(tmp_path: Path) -> None:
    """Images are not read from another archive than the one that was scanned."""
    scan = scan_of(write_zip(tmp_path / "t.zip", *(f"a/{number}.png" for number in range(9))))
    write_zip(tmp_path / "t.zip", "a/1.png")
    with pytest.raises(EpochbankError, match="changed while it was read"):
        images_of(scan)


def test_a_file_that_claims_to_be_huge_is_bad(tmp_path: Path) -> None:
    """An implausible size makes an image bad, and no memory is allocated for it."""
    path = write_zip(tmp_path / "t.zip", "a/1.png")
    archive = find_archive(path)
    with open(path, "rb") as file:
        entry = archive.entry(file.fileno(), archive.directory_start)
        for claims in ({"size": 1 << 40}, {"compressed_size": 1 << 40}):
            with pytest.raises(BadImage, match="expected at most"):
                archive.read(file.fileno(), entry._replace(**claims))
        with pytest.raises(BadImage, match="damaged"):
            archive.read(file.fileno(), entry._replace(header=(1 << 64) - 2))


# Many images


def test_memory_per_image_is_small(tmp_path: Path) -> None:
    """Scanning and reading take no more than a few bytes of memory per image."""
    names = [f"c{number % 50:02d}/image_{number:06d}.png" for number in range(8_000)]
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    source = open_source(str(tmp_path / "t.zip"))
    find_archive(tmp_path / "t.zip")
    scan_of(write_zip(tmp_path / "small.zip", "a/1.png"))  # Imports modules, which do not count.
    (tmp_path / "w").mkdir()
    tracemalloc.start()
    scan = source.scan(tmp_path / "w")
    _, peak = tracemalloc.get_traced_memory()
    assert peak < 60 * len(names) + (1 << 20) + (1 << 18)  # plus a buffer of 1 MiB for the directory
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    assert all(isinstance(item, BadImage) for item in scan.reader.read(np.arange(0, len(names), 7)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - before < 60 * len(names)
    assert scan.labels.nbytes == 4 * len(names)


def test_a_long_listing_shows_progress(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A listing that takes long shows its progress, unless `quiet`; a short one shows nothing."""
    source = open_source(str(make(*(f"{name}/{number}.png" for name in "ab" for number in range(3)))))
    (tmp_path / "w").mkdir()
    source.scan(tmp_path / "w")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(time, "monotonic", itertools.count(0, 20).__next__)  # 20 seconds between any two calls
    source.scan(tmp_path / "w")
    assert f"list {source.name}" in capsys.readouterr().err
    import_source(source, tmp_path / "o.h5", ImportOptions(), 1, quiet=True)
    assert capsys.readouterr().err == ""


def test_progress_of_a_listing_on_a_terminal_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line appears after a second, is updated in place, and is erased at the end."""
    seconds = 0.0
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(time, "monotonic", lambda: seconds)
    with Count("list x") as count:
        count.advance(1)
        assert capsys.readouterr().err == ""
        seconds = 2.0
        count.advance(1_000)
        seconds = 4.0
        count.show(2)
    shown = capsys.readouterr().err
    assert shown == "\rlist x: 1,001 files\x1b[K\rlist x: 1,003 files\x1b[K\r\x1b[K"
