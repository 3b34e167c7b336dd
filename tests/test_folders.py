"""Folders and archives as they are in the wild: parts, names, links, what is left out, and every kind of .zip."""

import io
import os
import struct
import subprocess
import sys
import tracemalloc
import unicodedata
import zipfile
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
from epochbank.augment.shared import progress
from epochbank.augment.sources import Scan, SourceOptions, open_source
from epochbank.augment.sources import decode as picture
from epochbank.augment.sources.archive import find_archive
from epochbank.augment.sources.decode import BadPicture, read_picture
from epochbank.augment.sources.paths import PathList, PathWriter


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def png(seed: int = 0, size: int = 8) -> bytes:
    """A PNG file of noise."""
    file = io.BytesIO()
    Image.fromarray(noise(size, size, seed=seed)).save(file, "PNG")
    return file.getvalue()


def write(root: Path, *names: str) -> Path:
    """A picture of its own at each path; a folder where the path ends with '/'; other files where it says so."""
    for number, name in enumerate(names):
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))
    return root


def write_zip(path: Path, *names: str, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """An archive with a picture of its own at each path."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for number, name in enumerate(names):
            archive.writestr(name, b"" if name.endswith("/") else png(number))
    return path


Make = Callable[..., Path]
"""Makes the same tree as a folder or as an archive."""


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
    """The class of every picture, by where it comes from."""
    return {origin: scan.class_names[label] for origin, label in zip(origins_of(scan), scan.labels, strict=True)}


def parts_of(scan: Scan) -> dict[str, int]:
    """The part of every picture, by where it comes from."""
    assert scan.parts is not None
    assert scan.parts.dtype == np.int8
    return dict(zip(origins_of(scan), scan.parts.tolist(), strict=True))


def pictures_of(scan: Scan) -> list[Any]:
    """What is read of every picture: pixels, or the reason why not."""
    found = list(scan.reader.read(np.arange(len(scan.labels))))
    return [str(item) if isinstance(item, BadPicture) else np.asarray(item).tolist() for item in found]


def told(scan: Scan, words: str) -> bool:
    return any(words in note for note in scan.notes)


# Parts


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
def test_folders_called_so_are_parts(make: Make, above: str, folders: dict[str, int], expected: list[str]) -> None:
    """Folders called train, test and so on are parts, in any case, and the classes are the folders below them."""
    names = [f"{above}{folder}/{name}/{k}.png" for folder in folders for name in ("cat", "dog") for k in range(2)]
    scan = scan_of(make(*names))
    assert scan.class_names == expected
    for origin, part in parts_of(scan).items():
        folder = next(folder for folder in folders if origin.startswith(f"{above}{folder}/"))
        assert part == folders[folder]
        assert classes_of(scan)[origin] == origin.split("/")[-2]
    assert told(scan, "parts are obeyed")


def test_parts_are_counted_for_people(make: Make) -> None:
    """The note says how many pictures are in which part."""
    scan = scan_of(make("train/a/1.png", "train/a/2.png", "train/b/1.png", "test/a/1.png"))
    assert told(scan, "train 3, test 1 pictures")


def test_classes_of_parts_may_be_nested_and_missing(make: Make) -> None:
    """A class may be some folders deep, and need not be in every part."""
    scan = scan_of(make("train/x/a/1.png", "train/x/b/1.png", "test/x/a/1.png", "test/y/1.png"))
    assert scan.class_names == ["x/a", "x/b", "y"]
    assert parts_of(scan)["test/y/1.png"] == 2


def test_parts_reach_the_source_file(tmp_path: Path, make: Make) -> None:
    """The part that a folder says stands in the source file, beside the class."""
    path = make("train/a/1.png", "test/a/2.png", "val/b/3.png", "train/b/4.png")
    import_source(open_source(str(path)), tmp_path / "o.h5", ImportOptions(size=(8, 8)), 1, quiet=True)
    file = open_source_file(tmp_path / "o.h5")
    found = {file.origin(row): (part, label) for row, (part, label) in
             enumerate(zip(file.column("part"), file.column("label"), strict=True))}  # fmt: skip
    assert found == {"train/a/1.png": (0, 0), "test/a/2.png": (2, 0), "val/b/3.png": (1, 1), "train/b/4.png": (0, 1)}


def test_a_split_by_fractions_ignores_the_parts(make: Make) -> None:
    """--split fractions puts the parts together: train/cat and test/cat are one class, and nothing is a part."""
    scan = scan_of(make("train/cat/1.png", "test/cat/2.png", "test/dog/3.png"), split="fractions")
    assert scan.parts is None
    assert scan.class_names == ["cat", "dog"]
    assert classes_of(scan)["test/cat/2.png"] == classes_of(scan)["train/cat/1.png"] == "cat"
    assert told(scan, "put together")


@pytest.mark.parametrize(
    ("names", "classes", "reason"),
    [
        (["train/1.png", "test/1.png"], ["test", "train"], "pictures lie directly in them"),
        (["train/1.png", "test/1.png", "bus/1.png"], ["bus", "test", "train"], "beside bus/"),
        (["train/a/1.png", "test/a/1.png", "extra/a/1.png"], ["extra/a", "test/a", "train/a"], "beside extra/"),
        (["train/ice/1.png", "test/crash/1.png"], ["test/crash", "train/ice"], "no class in common"),
        (["train/a/1.png", "training/a/1.png"], ["train/a", "training/a"], ""),
        (["train/a/1.png", "train/b/1.png"], ["a", "b"], ""),
        (["a/train/1.png", "a/test/1.png", "b/train/1.png"], ["a/test", "a/train", "b/train"], ""),
        (["trains/a/1.png", "tests/a/1.png"], ["tests/a", "trains/a"], ""),
    ],
    ids=str,
)
def test_folders_called_so_that_are_no_parts(make: Make, names: list[str], classes: list[str], reason: str) -> None:
    """Classes that are called train or test are classes; where that may be a mistake, people are told why."""
    scan = scan_of(make(*names))
    assert scan.class_names == classes
    assert scan.parts is None
    assert bool(scan.notes) == bool(reason)
    assert told(scan, reason) or not reason


def test_other_files_beside_parts_do_not_matter(make: Make) -> None:
    """Lists, licences and folders without pictures beside the parts leave them parts."""
    scan = scan_of(make("train/a/1.png", "test/a/1.png", "docs/readme.txt", "labels.csv", ".git/x.png"))
    assert parts_of(scan) == {"train/a/1.png": 0, "test/a/1.png": 2}


def test_pictures_without_a_class_in_a_part_are_refused(make: Make) -> None:
    """A part without class folders, as of a contest, would become a class: it is refused, with a remedy."""
    with pytest.raises(EpochbankError, match=r"2 in test/.*Move"):
        scan_of(make("train/a/1.png", "train/b/1.png", "test/1.png", "test/2.png"))


# Names


def test_one_name_in_two_unicode_forms_is_one_class(make: Make) -> None:
    """`が` written as two characters, as a Mac does, is the class `が`; where two folders become one, that is told."""
    apart, whole = unicodedata.normalize("NFD", "が"), "が"
    scan = scan_of(make(f"{apart}/1.png", f"{whole}/2.png", "b/3.png"))
    assert scan.class_names == ["b", whole]
    assert sorted(scan.labels.tolist()) == [0, 1, 1]
    assert set(origins_of(scan)) == {f"{apart}/1.png", f"{whole}/2.png", "b/3.png"}  # Origins stay as they are.
    assert told(scan, f"one class: {whole}")


def test_a_class_of_one_folder_in_another_unicode_form_is_not_told(make: Make) -> None:
    """Names are composed without a word where nothing becomes one, and groups as well."""
    apart = unicodedata.normalize("NFD", "Å")
    scan = scan_of(make(f"a/{apart}_1.png", "b/Å_1.png"), group_pattern="/(Å)_")
    assert scan.group_names == ["Å"]
    assert scan.notes == []


def test_classes_that_differ_in_case_are_kept_apart_and_told(make: Make) -> None:
    """`Cat` and `cat` are two classes, `A.png` and `a.png` two pictures; people are told of the classes."""
    scan = scan_of(make("Cat/A.png", "Cat/a.png", "cat/1.png", "dog/1.png"))
    assert scan.class_names == ["Cat", "cat", "dog"]
    assert len(scan.labels) == 4
    assert told(scan, "kept apart: Cat and cat")


def test_odd_bytes_and_line_breaks_in_names(tmp_path: Path) -> None:
    """Names that are no UTF-8, or hold line breaks, are read, and shown on one line in characters that anyone has."""
    root = os.fsencode(tmp_path / "t")
    for number, name in enumerate((b"a\xe9", b"two\nlines")):
        path = Path(os.fsdecode(root + b"/" + name + b"/\xff\t.png"))
        path.parent.mkdir(parents=True)
        path.write_bytes(png(number))
    scan = scan_of(tmp_path / "t")
    assert scan.class_names == ["a\\xe9", "two\\x0alines"]
    assert origins_of(scan) == ["a\\xe9/\\xff\\x09.png", "two\\x0alines/\\xff\\x09.png"]
    assert pictures_of(scan) == [noise(8, 8, seed=seed).tolist() for seed in (0, 1)]


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A picture 1,100 folders deep, which Python's own functions cannot remove."""
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
    """Folders may lie deeper in each other than functions may in Python, in a folder and in an archive."""
    origins = ["a/1.png", "a/" + "d/" * 1_100 + "2.png", "b/1.png"]
    for path in (deep, write_zip(tmp_path / "deep.zip", *origins)):
        scan = scan_of(path)
        assert origins_of(scan) == origins
        assert open_source(str(path)).identity()
    assert pictures_of(scan_of(deep))[1] == noise(8, 8, seed=2).tolist()


def test_paths_are_found_by_number(tmp_path: Path) -> None:
    """A list of paths gives each by its number, in any order, also where runs end, and no more than it has."""
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


# What is left out


def test_what_is_left_out_is_told_by_suffix(make: Make) -> None:
    """Hidden and foreign files are counted by what they are, the most frequent first."""
    scan = scan_of(make("a/1.png", "b/1.JPG", "a/x.txt", "b/y.TXT", "b/z.txt", "a/.png", ".h/2.png", "a/png", "b/7.",
                        "@eaDir/a/1.png", "a/d.h5", "a/film.mpeg"))  # fmt: skip
    assert origins_of(scan) == ["a/1.png", "b/1.JPG"]
    assert scan.notes == ["10 hidden or foreign files (3 .txt, 3 hidden, 2 without a suffix, 1 .h5, 1 .mpeg) left out"]


def test_folders_without_pictures_are_told(make: Make) -> None:
    """A class folder that holds no picture is told: something may be missing. Hidden ones are not."""
    scan = scan_of(make("a/1.png", "b/", "c/d/", "c/e/1.png", ".f/", "g/h/"))
    assert scan.class_names == ["a", "c/e"]
    assert scan.notes == ["folders without pictures: b/, c/d/, g/h/"]


def test_where_there_are_no_pictures_what_there_is_is_told(make: Make) -> None:
    """The refusal of a tree without pictures says what lies there instead."""
    with pytest.raises(EpochbankError, match=r"holds no pictures; there are 2 .* \(2 \.npy\)"):
        scan_of(make("a/1.npy", "b/2.npy"))


def test_paths_without_a_group_are_counted_and_the_first_told(make: Make) -> None:
    """However many there are, in the order of the paths."""
    names = [f"a/{number:02d}.png" for number in range(23)] + ["b/g1.png", "b/h.png"]
    with pytest.raises(
        EpochbankError, match=r"(?s)does not match 24 of 25 paths.*:\n  a/00.png\n.*09.png\n  and 14 more$"
    ) as told:
        scan_of(make(*names), group_pattern="g(.)")
    assert str(told.value).count("\n") == 11


def test_an_empty_archive_is_refused(tmp_path: Path) -> None:
    """So is an archive without any file."""
    with pytest.raises(EpochbankError, match="holds no pictures; expected"):
        scan_of(write_zip(tmp_path / "t.zip"))


# Links, pipes, rights


def test_links_that_lead_out_and_back_in_end(tmp_path: Path) -> None:
    """A link to a folder above the source is not followed: it would lead to the source again, and double it."""
    root = write(tmp_path / "above" / "t", "a/1.png", "b/c/1.png")
    (root / "a" / "out").symlink_to(tmp_path / "above")
    (root / "b" / "c" / "up").symlink_to("../..")
    (root / "b" / "c" / "b").symlink_to("..")
    (root / "b" / "itself.png").symlink_to("itself.png")
    scan = scan_of(root)
    assert origins_of(scan) == ["a/1.png", "b/itself.png", "b/c/1.png"]
    assert "cannot be read" in pictures_of(scan)[1]
    open_source(str(root)).identity()


def test_links_to_pictures_and_other_folders_are_followed(tmp_path: Path) -> None:
    """A link to a picture is the picture, a link to a folder elsewhere the folder; one that leads nowhere is bad."""
    write(tmp_path / "elsewhere", "1.png")
    root = write(tmp_path / "t", "b/1.png")
    (root / "a").symlink_to(tmp_path / "elsewhere")
    (root / "b" / "2.png").symlink_to(tmp_path / "elsewhere" / "1.png")
    (root / "b" / "3.png").symlink_to(tmp_path / "nowhere.png")
    scan = scan_of(root)
    assert origins_of(scan) == ["a/1.png", "b/1.png", "b/2.png", "b/3.png"]
    assert pictures_of(scan) == [noise(8, 8).tolist()] * 3 + ["cannot be read: No such file or directory"]
    before = open_source(str(root)).identity()
    (root / "b" / "3.png").unlink()
    assert open_source(str(root)).identity() != before


@pytest.mark.timeout(20)
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe that is called as a picture is bad, and does not stop the import for ever."""
    root = write(tmp_path / "t", "a/1.png")
    os.mkfifo(root / "a" / "2.png")
    assert "cannot be read" in pictures_of(scan_of(root))[1]


def refuse_to_list(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make `folder` one that may not be read, also by the superuser."""
    scandir = os.scandir

    def refusing(path: Any) -> Any:
        if path == os.fsencode(folder):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)


def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be listed is refused as bad pictures are, or left out and recorded with --on-bad skip."""
    root = write(tmp_path / "t", "a/1.png", "b/1.png", "c/1.png", "lost+found/2.png")
    refuse_to_list(monkeypatch, root / "b")
    refuse_to_list(monkeypatch, root / "lost+found")  # of no interest
    scan = scan_of(root)
    assert scan.bad == [("b/", "cannot be listed: Permission denied")]
    assert classes_of(scan) == {"a/1.png": "a", "c/1.png": "c"}
    with pytest.raises(EpochbankError, match="b/ cannot be listed: Permission denied"):
        import_source(open_source(str(root)), tmp_path / "o.h5", ImportOptions(), 1, quiet=True)
    notes = import_source(open_source(str(root)), tmp_path / "o.h5", ImportOptions(on_bad="skip"), 1, quiet=True)
    assert any("b/ cannot be listed" in note for note in notes)
    assert open_source_file(tmp_path / "o.h5").skipped_names() == scan.bad


def test_pictures_that_may_not_be_asked_for_are_told_when_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that may be listed and not entered: its pictures are bad, and asking for its identity is no error."""
    root = write(tmp_path / "t", "a/1.png", "b/1.png")

    def refusing(allowed: Callable[..., Any], path: Any, *rest: Any, **more: Any) -> Any:
        if path == os.fsencode(root / "b" / "1.png"):
            raise PermissionError(13, "Permission denied", path)
        return allowed(path, *rest, **more)

    scan, before = scan_of(root), open_source(str(root)).identity()
    for name in ("open", "stat", "lstat"):
        monkeypatch.setattr(os, name, partial(refusing, getattr(os, name)))
    assert pictures_of(scan)[1] == "cannot be read: Permission denied"
    assert open_source(str(root)).identity() != before


def test_half_a_folder_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a folder cannot be listed to its end, nothing of it is taken."""
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


def test_identity_changes_with_the_right_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be listed any more is a change, whatever was in it."""
    source = open_source(str(write(tmp_path / "t", "a/1.png", "b/")))
    before = source.identity()
    refuse_to_list(monkeypatch, tmp_path / "t" / "b")
    assert source.identity() != before


def test_a_source_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the source's own folder cannot be listed, that is said, with a remedy."""
    root = write(tmp_path / "t", "a/1.png")
    refuse_to_list(monkeypatch, root)
    for ask in (lambda: scan_of(root), open_source(str(root)).identity):
        with pytest.raises(EpochbankError, match=r"cannot be listed: Permission denied\. Give yourself"):
            ask()


# Pictures


def frames(seed: int = 0) -> list[Image.Image]:
    return [Image.fromarray(noise(16, 16, 3, seed=seed + number)) for number in range(3)]


@pytest.mark.parametrize(
    ("suffix", "options"),
    [(".png", {}), (".apng", {"format": "PNG"}), (".tif", {}), (".webp", {"lossless": True}), (".gif", {})],
)
def test_the_first_picture_of_several(tmp_path: Path, suffix: str, options: dict[str, Any]) -> None:
    """Of an animation, or of pages, the first is read."""
    (tmp_path / "t" / "a").mkdir(parents=True)
    first, *others = frames() if suffix != ".gif" else [frame.convert("L") for frame in frames()]
    first.save(tmp_path / "t" / "a" / f"1{suffix}", save_all=True, append_images=others, **options)
    with Image.open(tmp_path / "t" / "a" / f"1{suffix}") as image:
        assert image.n_frames == 3  # type: ignore[attr-defined]
    (found,) = scan_of(tmp_path / "t").reader.read(np.array([0]))
    assert isinstance(found, Image.Image)
    assert np.array_equal(np.asarray(found.convert(first.mode)), np.asarray(first))


def test_large_files_are_read_as_small_ones(tmp_path: Path) -> None:
    """A file larger than what is read at once gives all of its pixels."""
    pixels = noise(300, 400, 3)
    for suffix in ("png", "tif", "bmp"):
        Image.fromarray(pixels).save(tmp_path / f"1.{suffix}")
        assert (tmp_path / f"1.{suffix}").stat().st_size > 1 << 18
        assert np.array_equal(np.asarray(read_picture(tmp_path / f"1.{suffix}")), pixels)


def test_a_wrong_suffix_does_not_matter(tmp_path: Path) -> None:
    """A picture is known by its contents: a JPEG that is called .png, and a TGA, which no first bytes tell."""
    Image.fromarray(noise(8, 8)).save(tmp_path / "1.png", "TGA")
    Image.fromarray(np.full((8, 8), 99, np.uint8)).save(tmp_path / "2.png", "JPEG")
    assert np.array_equal(np.asarray(read_picture(tmp_path / "1.png")), noise(8, 8))
    assert np.ptp(np.asarray(read_picture(tmp_path / "2.png"))) == 0


def test_what_is_no_picture_is_told_in_words(tmp_path: Path) -> None:
    """The reason is a sentence, without an address in memory or a path that stands before it already."""
    for name, data in (
        ("1.png", b"no picture"),
        ("2.png", b""),
        ("3.png", png()[:60]),
        ("4.png", b"\x89HDF\r\n\x1a\n"),
    ):
        (tmp_path / name).write_bytes(data)
        for found in (read_picture(tmp_path / name), read_picture(io.BytesIO(data))):
            assert str(found).startswith("cannot be read: ")
            assert "0x" not in str(found)
            assert str(tmp_path) not in str(found)
            assert ("no format" in str(found)) is (name != "3.png")


def test_absurdly_large_pictures_are_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture of more pixels than is sensible is bad before it is decoded, whether Pillow warns of it or refuses."""
    Image.new("1", (300, 100)).save(tmp_path / "1.png")
    assert isinstance(read_picture(tmp_path / "1.png"), Image.Image)
    for most in (20_000, 10_000):
        monkeypatch.setattr(picture, "LARGEST", most)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        found = read_picture(tmp_path / "1.png")
        assert isinstance(found, BadPicture)
        assert f"at most {most:,} pixels" in str(found)


def test_an_open_file_is_left_open() -> None:
    """Whoever opened a file closes it."""
    file = io.BytesIO(png())
    assert isinstance(read_picture(file), Image.Image)
    assert not file.closed


def test_warnings_of_pillow_are_not_shown(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """What Pillow could make sense of is read without a word; here warnings would be errors."""
    Image.fromarray(noise(8, 8)).save(tmp_path / "1.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05")  # cut short
    assert isinstance(read_picture(tmp_path / "1.jpg"), Image.Image)
    assert not recwarn.list


# Archives


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_methods(tmp_path: Path, method: int) -> None:
    """Archives of any method that Python writes give their pictures."""
    names = [f"{'ab'[number % 2]}/{number}.png" for number in range(6)]
    scan = scan_of(write_zip(tmp_path / "t.zip", *names, method=method))
    expected = [noise(8, 8, seed=names.index(origin)).tolist() for origin in origins_of(scan)]
    assert pictures_of(scan) == expected
    few = list(scan.reader.read(np.array([1, 4])))
    assert [np.asarray(one).tolist() for one in few] == [expected[1], expected[4]]


def test_zip64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive in the format for more than 4 GiB or 65,535 files is read, also with bytes in front of it."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 20)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    path = write_zip(tmp_path / "t.zip", "a/1.png", "b/2.png", "b/3.png")
    assert b"PK\6\6" in path.read_bytes()
    assert pictures_of(scan_of(path)) == [noise(8, 8, seed=seed).tolist() for seed in range(3)]
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())
    assert pictures_of(scan_of(path)) == [noise(8, 8, seed=seed).tolist() for seed in range(3)]


def test_bytes_in_front_and_a_comment_at_the_end(tmp_path: Path) -> None:
    """An archive that unpacks itself has a program in front; any may have a comment at its end, and archives in it."""
    path = write_zip(tmp_path / "t.zip", "a/1.png", "b/2.png")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.zip", write_zip(tmp_path / "more.zip", "c/3.png").read_bytes(), zipfile.ZIP_STORED)
        archive.comment = b"Thank you for flying"
    path.write_bytes(b"MZ" * 500 + path.read_bytes())
    assert pictures_of(scan_of(path)) == [noise(8, 8, seed=seed).tolist() for seed in range(2)]


def test_names_that_lead_out_of_an_archive_stay_in_it(tmp_path: Path) -> None:
    """Absolute names, `..`, `.` and the backslashes of Windows are names of folders, or nothing; all are read."""
    names = ["/a/1.png", "../b/2.png", "./c/3.png", "d//4.png", "e\\5.png", "f/../g/6.png"]
    scan = scan_of(write_zip(tmp_path / "t.zip", *names))
    assert origins_of(scan) == ["a/1.png", "b/2.png", "c/3.png", "d/4.png", "e/5.png", "f/g/6.png"]
    assert pictures_of(scan) == [noise(8, 8, seed=seed).tolist() for seed in range(6)]


def test_of_two_files_of_one_name_the_last_is_taken(tmp_path: Path) -> None:
    """As unpacking would have it; and it is told."""
    path = tmp_path / "t.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/1.png", png(0))
        archive.writestr("b/1.png", png(1))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a/1.png", png(2))
    scan = scan_of(path)
    assert origins_of(scan) == ["a/1.png", "b/1.png"]
    assert pictures_of(scan) == [noise(8, 8, seed=seed).tolist() for seed in (2, 1)]
    assert told(scan, "more than once the last is taken: 1 left out")


def rewrite(path: Path, before: bytes, after: bytes) -> Path:
    """Replace some bytes of a file, which must be there."""
    data = path.read_bytes()
    assert before in data
    path.write_bytes(data.replace(before, after))
    return path


def test_names_of_any_encoding(tmp_path: Path) -> None:
    """UTF-8, said or, as macOS and Linux do, not said; the code page of DOS; and UTF-8 beside another name."""
    name, unsaid, dos = "木/1.png", "川/1.png".encode(), "É/1.png".encode("cp437")
    beside = zipfile.ZipInfo("XYZ/1.png")
    in_utf8 = "λ/1.png".encode()
    beside.extra = struct.pack("<HHBL", 0x7075, 5 + len(in_utf8), 1, zipfile.crc32(b"XYZ/1.png")) + in_utf8
    path = write_zip(tmp_path / "t.zip", name, "x" * len(unsaid), "y" * len(dos))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(beside, png())
    rewrite(path, b"x" * len(unsaid), unsaid)
    rewrite(path, b"y" * len(dos), dos)
    assert scan_of(path).class_names == sorted(["木", "川", "É", "λ"])


def test_encrypted_archives_are_refused(tmp_path: Path) -> None:
    """A password is not asked for: the archive is refused as a whole, in words, with a remedy."""
    path = write_zip(tmp_path / "t.zip", "a/1.png", "b/2.png")
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(EpochbankError, match=r"1 of 2 pictures .* encrypted.*Unpack it"):
        scan_of(path)


def test_unknown_methods_are_refused(tmp_path: Path) -> None:
    """So is one that is compressed by a method such as Deflate64, which Windows takes for large files."""
    path = write_zip(tmp_path / "t.zip", "a/1.png", "b/2.png")
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 10] = 9
    path.write_bytes(data)
    with pytest.raises(EpochbankError, match=r"1 of 2 pictures .* method 9.*Unpack it"):
        scan_of(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("place", ["header", "data", "size"])
def test_damage_in_an_archive_is_a_bad_picture(tmp_path: Path, method: int, place: str) -> None:
    """A picture whose bytes are damaged is bad, with a reason; the others are read."""
    path = write_zip(tmp_path / "t.zip", "a/1.png", "b/2.png", "c/3.png", method=method)
    data = bytearray(path.read_bytes())
    header = data.index(b"b/2.png") - 30
    entry = data.index(b"b/2.png", header + 37) - 46
    if place == "size":
        data[entry + 24 : entry + 28] = struct.pack("<L", 17)  # not what it unpacks to
    else:
        at = header if place == "header" else header + 37 + 20
        data[at : at + 9] = b"\xa5" * 9
    path.write_bytes(data)
    found = pictures_of(scan_of(path))
    assert "it is damaged in the archive" in found[1] or "the archive is damaged" in found[1]
    assert found[::2] == [noise(8, 8, seed=seed).tolist() for seed in (0, 2)]


def test_archives_that_are_cut_short_are_refused(tmp_path: Path) -> None:
    """At the end, in the directory, in the middle or at the beginning: told, with a remedy, never a traceback."""
    path = write_zip(tmp_path / "t.zip", "a/1.png", "b/2.png")
    data = path.read_bytes()
    directory = data.index(b"PK\1\2")
    for left in (data[:-10], data[:directory], data[:50], b"", data[:100] + data[150:], data[:directory] + data[-22:]):
        path.write_bytes(left)
        with pytest.raises(EpochbankError, match=r"cannot be read as \.zip: .*Fetch or write it again"):
            scan_of(path)


def test_a_volume_of_an_archive_is_refused(tmp_path: Path) -> None:
    """The last of several volumes is told from a whole archive."""
    path = write_zip(tmp_path / "t.zip", "a/1.png", "b/2.png")
    data = bytearray(path.read_bytes())
    data[-18:-14] = b"\2\0\2\0"
    path.write_bytes(data)
    with pytest.raises(EpochbankError, match="last of 3 volumes"):
        scan_of(path)


def test_an_archive_that_changes_meanwhile_is_told(tmp_path: Path) -> None:
    """Pictures are not read out of another archive than the one that was scanned."""
    scan = scan_of(write_zip(tmp_path / "t.zip", *(f"a/{number}.png" for number in range(9))))
    write_zip(tmp_path / "t.zip", "a/1.png")
    with pytest.raises(EpochbankError, match="changed meanwhile"):
        pictures_of(scan)


def test_a_file_that_claims_to_be_huge_is_bad(tmp_path: Path) -> None:
    """A size that no picture has is not believed, nor asked for of the machine's memory."""
    path = write_zip(tmp_path / "t.zip", "a/1.png")
    archive = find_archive(path)
    with open(path, "rb") as file:
        entry = archive.entry(file.fileno(), archive.directory)
        for claims in ({"size": 1 << 40}, {"packed": 1 << 40}):
            with pytest.raises(BadPicture, match="expected at most"):
                archive.contents(file.fileno(), entry._replace(**claims))
        with pytest.raises(BadPicture, match="damaged"):
            archive.contents(file.fileno(), entry._replace(header=(1 << 64) - 2))


# Many


def test_a_scan_of_many_takes_bytes_a_picture(tmp_path: Path) -> None:
    """What a scan holds does not grow by more than a few bytes a picture; nor does what a reader holds."""
    names = [f"c{number % 50:02d}/picture_{number:06d}.png" for number in range(8_000)]
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    source = open_source(str(tmp_path / "t.zip"))
    find_archive(tmp_path / "t.zip")
    scan_of(write_zip(tmp_path / "small.zip", "a/1.png"))  # What is loaded once is not counted.
    (tmp_path / "w").mkdir()
    tracemalloc.start()
    scan = source.scan(tmp_path / "w")
    _, peak = tracemalloc.get_traced_memory()
    assert peak < 60 * len(names) + (1 << 20) + (1 << 18)  # a buffer of 1 MiB for the directory
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    assert all(isinstance(item, BadPicture) for item in scan.reader.read(np.arange(0, len(names), 7)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - before < 60 * len(names)
    assert scan.labels.nbytes == 4 * len(names)


def test_a_long_listing_shows_a_sign_of_life(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A listing that takes long is seen to go on, unless silence is asked for; a short one says nothing."""
    source = open_source(str(make(*(f"{name}/{number}.png" for name in "ab" for number in range(3)))))
    (tmp_path / "w").mkdir()
    source.scan(tmp_path / "w")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    source.scan(tmp_path / "w")
    assert f"list {source.name}" in capsys.readouterr().err
    import_source(source, tmp_path / "o.h5", ImportOptions(), 1, quiet=True)
    assert capsys.readouterr().err == ""


def test_on_a_terminal_the_sign_of_life_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line is written over and, in the end, wiped out."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_UPDATES", 0.0)
    with progress.Count("list x") as count:
        count.advance(1)
        assert capsys.readouterr().err == ""  # not within the first second
        monkeypatch.setattr(count, "_next", 0.0)
        count.advance(1_000)
        count.show(2)
    shown = capsys.readouterr().err
    assert shown == "\rlist x: 1,001 files\x1b[K\rlist x: 1,003 files\x1b[K\r\x1b[K"
