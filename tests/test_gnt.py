"""Sources in `.gnt` files of CASIA-HWDB, written with `int.to_bytes` according to the public description."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from epochbank.augment.cli import main as augment
from epochbank.augment.errors import EpochbankError
from epochbank.augment.ingest.source_file import open_source_file
from epochbank.augment.sources import Scan, SourceOptions
from epochbank.augment.sources.casia.samples import as_table, read_samples
from epochbank.augment.sources.find import open_source

Sample = tuple[bytes, np.ndarray]


def sample(tag: bytes, image: np.ndarray) -> bytes:
    """Return a record: size, tag, width, height, pixels; numbers are little-endian."""
    height, width = image.shape
    size = 10 + width * height
    return b"".join((
        size.to_bytes(4, "little"), tag, width.to_bytes(2, "little"), height.to_bytes(2, "little"), image.tobytes()
    ))  # fmt: skip


def tag(character: str) -> bytes:
    """Return the tag code of a character: GB 2312, or ASCII padded with a zero byte."""
    return character.encode("gb2312").ljust(2, b"\0")


def ink(number: int) -> np.ndarray:
    """Return dark ink on a background of 255, of a size of its own, uint8 (H, W)."""
    image = np.full((20 + number % 7, 15 + number % 5), 255, np.uint8)
    image[5:10, 3:9] = np.random.default_rng(number).integers(0, 100, (5, 6))
    return image


def write(path: Path, characters: str, first: int = 0) -> list[Sample]:
    """Write a file with a sample of each character."""
    samples = [(tag(one), ink(first + place)) for place, one in enumerate(characters)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(sample(*one) for one in samples))
    return samples


def scan_of(path: object, tmp_path: Path, **options: str) -> Scan:
    workspace = tmp_path / "workspace"
    shutil.rmtree(workspace, ignore_errors=True)
    workspace.mkdir()
    return open_source(str(path), SourceOptions(**options)).scan(workspace)  # type: ignore[arg-type]


def images_of(scan: Scan) -> list[np.ndarray]:
    images: list[np.ndarray] = []
    for run in scan.reader.read(np.arange(len(scan.labels))):
        assert isinstance(run, np.ndarray)
        images.extend(run)
    return images


def names_of(scan: Scan) -> list[str]:
    return [scan.class_names[label] for label in scan.labels]


@pytest.fixture
def hwdb(tmp_path: Path) -> Path:
    """Two writers of the training and one of the test samples, as HWDB1.1 comes."""
    write(tmp_path / "hwdb/HWDB1.1trn_gnt/1001-c.gnt", "一丁七A")
    write(tmp_path / "hwdb/HWDB1.1trn_gnt/1002-c.gnt", "七一", first=10)
    write(tmp_path / "hwdb/HWDB1.1tst_gnt/1241-c.gnt", "丁A", first=20)
    return tmp_path / "hwdb"


def test_images_characters_writers_and_splits(hwdb: Path, tmp_path: Path) -> None:
    """Every sample has its pixels, its Unicode character, the writer of its file and the split of its folder."""
    scan = scan_of(hwdb, tmp_path)
    for found, expected in zip(images_of(scan), map(ink, [0, 1, 2, 3, 10, 11, 20, 21]), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert names_of(scan) == list("一丁七A七一丁A")
    assert scan.group_names is not None
    assert scan.groups is not None
    assert [scan.group_names[group] for group in scan.groups] == ["1001"] * 4 + ["1002"] * 2 + ["1241"] * 2
    assert scan.splits is not None
    assert scan.splits.tolist() == [0] * 6 + [2] * 2
    assert scan.light is True
    assert scan.reader.origin(3) == "HWDB1.1trn_gnt/1001-c.gnt, sample 3"
    assert scan.bad == []


def test_import_by_the_command(hwdb: Path, tmp_path: Path) -> None:
    """`augment import` recognizes the folder, inverts the light images and keeps writers and splits."""
    result = CliRunner().invoke(augment, ["import", str(hwdb), str(tmp_path / "o.h5"), "--size", "32", "--jobs", "2"])
    assert result.exit_code == 0, result.output
    file = open_source_file(tmp_path / "o.h5")
    assert (file.num_images, len(file.class_names), len(file.group_names or ())) == (8, 4, 3)
    assert "inverted" in result.output
    assert file.read(np.arange(8))[:, 0, 0].max() == 0
    assert "using the splits" in result.output


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("inside", [True, False], ids=["in a folder", "alone"])
def test_archives(hwdb: Path, tmp_path: Path, method: int, inside: bool) -> None:
    """Archives give the same images as the files in them, alone or in a folder."""
    (tmp_path / "packed").mkdir()
    path = tmp_path / "packed" / "Gnt.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(hwdb.rglob("*.gnt")):
            archive.write(file, file.relative_to(hwdb))
    expected = scan_of(hwdb, tmp_path)
    images, names = images_of(expected), names_of(expected)
    found = scan_of(path.parent if inside else path, tmp_path)
    assert names_of(found) == names
    for one, other in zip(images_of(found), images, strict=True):
        np.testing.assert_array_equal(one, other)
    assert found.splits is not None
    assert found.splits.tolist() == [0] * 6 + [2] * 2


def test_a_file_beside_its_archive_is_read_once(hwdb: Path, tmp_path: Path) -> None:
    """A file that is also in an archive is read once, and a note says so."""
    with zipfile.ZipFile(hwdb / "HWDB1.1tst_gnt.zip", "w") as archive:
        archive.write(hwdb / "HWDB1.1tst_gnt/1241-c.gnt", "1241-c.gnt")
    scan = scan_of(hwdb, tmp_path)
    assert len(scan.labels) == 8
    assert "skipped 1 .gnt file with the name and size of another one" in scan.notes


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("Gnt1.0TrainPart1", "Gnt1.0Test"), [0, 2]),
        (("1.0train-gb1", "1.0test-gb1"), [0, 2]),
        (("HWDB1.0trn", "HWDB1.0tst"), [0, 2]),
        (("HWDB1.0", "HWDB1.1"), None),
        (("HWDB1.0trn", "HWDB1.1trn"), None),
    ],
)
def test_splits_by_folders(tmp_path: Path, folders: tuple[str, str], splits: list[int] | None) -> None:
    """Words for splits in names of folders are splits if there are several; `--split fractions` ignores them."""
    for number, folder in enumerate(folders, start=1):
        write(tmp_path / "g" / folder / f"{number:03}-f.gnt", "一")
    scan = scan_of(tmp_path / "g", tmp_path)
    assert (None if scan.splits is None else sorted(scan.splits.tolist())) == splits
    scan = scan_of(tmp_path / "g", tmp_path, split="fractions")
    assert scan.splits is None


def test_names_that_are_no_writers(tmp_path: Path) -> None:
    """Files of many writers have no groups; among files of one writer each, they are a group of their own."""
    write(tmp_path / "g/1.0train-gb1.gnt", "一丁")
    scan = scan_of(tmp_path / "g", tmp_path)
    assert scan.groups is None
    assert any(note.startswith("no groups, because") for note in scan.notes)
    write(tmp_path / "g/C001-f.gnt", "一", first=5)
    scan = scan_of(tmp_path / "g", tmp_path)
    assert scan.group_names == ["1.0train-gb1.gnt", "C001"]


def test_selected_characters(hwdb: Path, tmp_path: Path) -> None:
    """`--characters` selects groups of characters and single ones, and says what it skips and does not find."""
    scan = scan_of(hwdb, tmp_path, characters="kanji")
    assert names_of(scan) == list("一丁七七一丁")
    assert "skipped 2 images of characters that --characters does not select" in scan.notes
    scan = scan_of(hwdb, tmp_path, characters="一鬱")
    assert names_of(scan) == ["一", "一"]
    assert "characters of --characters that do not occur: 鬱" in scan.notes
    with pytest.raises(EpochbankError, match=r"has no image of --characters hiragana; expected kanji"):
        scan_of(hwdb, tmp_path, characters="hiragana")


def test_bad_samples_are_listed_by_file_and_number(tmp_path: Path) -> None:
    """A tag without a character and a sample without pixels are bad; the samples after them are read."""
    records = [
        sample(tag("一"), ink(0)), sample(b"\xff\xff", ink(1)), sample(tag("丁"), np.zeros((0, 5), np.uint8)),
        sample(tag("七"), ink(3)),
    ]  # fmt: skip
    (tmp_path / "g").mkdir()
    (tmp_path / "g/001-f.gnt").write_bytes(b"".join(records))
    scan = scan_of(tmp_path / "g", tmp_path)
    assert names_of(scan) == ["一", "七"]
    assert scan.bad == [
        ("001-f.gnt, sample 1", "has the tag 0xFFFF, which is not a character of GBK or ASCII"),
        ("001-f.gnt, sample 2", "is 5 x 0; expected 1 to 89,478,485 pixels"),
    ]
    arguments = ["import", str(tmp_path / "g"), str(tmp_path / "o.h5"), "--jobs", "1"]
    refused = CliRunner().invoke(augment, arguments)
    assert refused.exit_code == 1
    assert "001-f.gnt, sample 1 has the tag 0xFFFF" in refused.output
    assert CliRunner().invoke(augment, [*arguments, "--on-bad", "skip"]).exit_code == 0


@pytest.mark.parametrize("missing", [1, 300, 308])
def test_truncated_files_are_listed(tmp_path: Path, missing: int) -> None:
    """The last, incomplete sample of a file is bad, whether its pixels or its header end early."""
    content = sample(tag("一"), ink(0)) + sample(tag("丁"), ink(0))
    (tmp_path / "001-f.gnt").write_bytes(content[:-missing])
    scan = scan_of(tmp_path / "001-f.gnt", tmp_path)
    assert names_of(scan) == ["一"]
    ((where, reason),) = scan.bad
    assert where == "001-f.gnt, sample 1"
    assert reason.startswith("is truncated")


def test_headers_that_contradict_themselves(tmp_path: Path) -> None:
    """After a header whose size does not fit, the rest of the file is not read: the next header cannot be found."""
    content = bytearray(sample(tag("一"), ink(0)) * 3)
    content[310] ^= 1
    (tmp_path / "001-f.gnt").write_bytes(content)
    scan = scan_of(tmp_path / "001-f.gnt", tmp_path)
    assert len(scan.labels) == 1
    assert scan.bad[0][0] == "001-f.gnt, sample 1"
    assert "has the size 311; expected 310, for 15 x 20 pixels. The rest of the file is not read" in scan.bad[0][1]


def test_damaged_members_and_empty_files(hwdb: Path, tmp_path: Path) -> None:
    """A member with a wrong checksum and an empty file are listed as bad, and the others are read."""
    path = tmp_path / "hwdb.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(hwdb / "HWDB1.1trn_gnt/1001-c.gnt", "1001-c.gnt")
        archive.write(hwdb / "HWDB1.1trn_gnt/1002-c.gnt", "1002-c.gnt")
        archive.writestr("1003-c.gnt", b"")
    data = bytearray(path.read_bytes())
    data[data.index(b"1002-c.gnt") + 60] ^= 255
    path.write_bytes(data)
    scan = scan_of(path, tmp_path)
    assert len(scan.labels) == 4
    assert [(where, reason[:10]) for where, reason in scan.bad] == [
        ("1002-c.gnt", "is damaged"), ("1003-c.gnt", "is empty; ")
    ]  # fmt: skip


def test_online_files_are_refused(hwdb: Path, tmp_path: Path) -> None:
    """`.pot` files hold pen paths: alone they are refused with the reason, next to others a note counts them."""
    (hwdb / "1.pot").write_bytes(b"x")
    assert any(note.startswith("skipped 1 .pot file: online handwriting") for note in scan_of(hwdb, tmp_path).notes)
    (tmp_path / "pot").mkdir()
    (tmp_path / "pot/1001.pot").write_bytes(b"x")
    for path in (tmp_path / "pot", tmp_path / "pot/1001.pot"):
        result = CliRunner().invoke(augment, ["import", str(path), str(tmp_path / "o.h5")])
        assert result.exit_code == 1
        assert "holds no .gnt files, only 1 .pot file: online handwriting, which holds the path of the" in result.output


def test_windows_of_a_long_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers at any place of the windows in which a file is read are found, also behind an offset."""
    records = [sample(tag("一"), ink(number)) for number in range(200)]
    content = b"".join(records)
    (tmp_path / "f").write_bytes(b"xyz" + content)
    ends = np.cumsum([len(record) for record in records])
    for window in (10, 11, 97, 1000, 1 << 20):
        monkeypatch.setattr("epochbank.augment.sources.casia.samples._WINDOW", window)
        with open(tmp_path / "f", "rb") as file:
            table = as_table(read_samples(file.fileno(), 3, len(content)))
        np.testing.assert_array_equal(table["offset"], [10, *(ends[:-1] + 10)])
        np.testing.assert_array_equal(table["height"], [ink(number).shape[0] for number in range(200)])


def test_an_unknown_size_of_a_group_is_read_in_any_order(hwdb: Path, tmp_path: Path) -> None:
    """Any ascending selection of images across files gives the same images as a complete read."""
    scan = scan_of(hwdb, tmp_path)
    every = images_of(scan)
    for wanted in ([], [7], [0, 7], [1, 2, 5], [0, 3, 4, 6]):
        found = [image for run in scan.reader.read(np.array(wanted, np.int64)) for image in np.asarray(run)]
        assert all(np.array_equal(one, every[index]) for one, index in zip(found, wanted, strict=True))
