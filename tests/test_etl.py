"""The ETL Character Database, tested with files that an independent writer makes from the specification."""

import dataclasses
import os
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import etl_writer as write
from epochbank.augment.errors import EpochbankError
from epochbank.augment.ingest.importer import ImportOptions, import_source
from epochbank.augment.ingest.preprocess import Preprocessing, fit
from epochbank.augment.ingest.source_file import SourceFile, mapped, open_source_file
from epochbank.augment.sources import Scan, SourceOptions
from epochbank.augment.sources.etl import EtlSource, catalog, holds_etl
from epochbank.augment.sources.etl.characters import group_of, jis0201, jis0208, parse_characters, read_table
from epochbank.augment.sources.etl.file_scan import Task, scan_file
from epochbank.augment.sources.etl.places import find_files
from epochbank.augment.sources.etl.records import RECORDS, values
from epochbank.augment.sources.find import open_source
from epochbank.augment.sources.folders.source import FolderSource, ZipSource

Named = tuple[str, int]
"""A character and its sheet."""

SIZES = {"M": (63, 64, 4), "K": (60, 60, 6), "C": (76, 72, 4), "8G": (127, 128, 4), "9G": (127, 128, 4),
         "8B": (63, 64, 1), "9B": (63, 64, 1)}  # fmt: skip
"""Height, width and bits per pixel of the images of each record type."""


def raw(record: str, number: int) -> np.ndarray:
    """Return image `number` as stored in a record type: uint8, 0 to 2^bits - 1."""
    height, width, bits = SIZES[record]
    return write.glyph(number, height, width, 2**bits)


def bright(record: str, number: int) -> np.ndarray:
    """Return the same image as it must be read: 0 to 255."""
    return np.rint(raw(record, number) * (255 / (2 ** SIZES[record][2] - 1))).astype(np.uint8)


def m_file(images: Sequence[Named], first: int = 0) -> bytes:
    return b"".join(
        write.record_m(raw("M", first + number), jis=write.jis0201(character), sheet=sheet)
        for number, (character, sheet) in enumerate(images)
    )


def c_file(images: Sequence[Named], first: int = 0, kind: str = "K") -> bytes:
    return b"".join(
        write.record_c(raw("C", first + number), jis=write.jis0201(character), sheet=sheet, serial=number, kind=kind)
        for number, (character, sheet) in enumerate(images)
    )


def wide_file(record: str, images: Sequence[Named], first: int = 0) -> bytes:
    """Return a file of ETL8 or ETL9, with the dummy record of the B types."""
    make: Callable[..., bytes] = getattr(write, f"record_{record.lower()}")
    dummy = {"8B": write.DUMMY_8B, "9B": write.DUMMY_9B}.get(record, b"")
    return dummy + b"".join(
        make(raw(record, first + number), code=write.jis0208(character), sheet=sheet)
        for number, (character, sheet) in enumerate(images)
    )


CO59 = {"上": (12, 33), "あ": (1, 2), "Ａ": (3, 4), "▲": (0, 0)}  # noqa: RUF001  full-width


def k_file(images: Sequence[tuple[str, str, str]], first: int = 0) -> bytes:
    """Return a file of ETL2, from character, style and font of each image."""
    return b"".join(
        write.record_k(raw("K", first + number), co59=CO59[character], serial=number + 1, style=style, font=font)
        for number, (character, style, font) in enumerate(images)
    )


def write_files(root: Path, **files: bytes) -> Path:
    """Write files below `root`, by their names; `__` stands for '/'."""
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def write_zip(path: Path, method: int = zipfile.ZIP_DEFLATED, **files: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return path


def scan_of(path: Path, tmp_path: Path, sets: str | None = None, characters: str | None = None, jobs: int = 1) -> Scan:
    workspace = Path(tmp_path / f"workspace-{len(list(tmp_path.glob('workspace-*')))}")
    workspace.mkdir()
    return open_source(f"etl:{path}", SourceOptions(etl_sets=sets, characters=characters)).scan(workspace, jobs)


def labels_of(scan: Scan) -> list[str]:
    return [scan.class_names[label] for label in scan.labels]


def groups_of(scan: Scan) -> list[str]:
    assert scan.groups is not None
    assert scan.group_names is not None
    return [scan.group_names[group] for group in scan.groups]


def origins_of(scan: Scan) -> list[str]:
    return [scan.reader.origin(index) for index in range(len(scan.labels))]


def pixels_of(scan: Scan, indices: Sequence[int] | None = None) -> list[np.ndarray]:
    chosen = np.arange(len(scan.labels)) if indices is None else np.array(indices, np.int64)
    runs: list[Any] = list(scan.reader.read(chosen))
    assert all(run.dtype == np.uint8 and run.ndim == 3 for run in runs)
    return [image for run in runs for image in run]


def assert_images(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def with_counts(monkeypatch: pytest.MonkeyPatch, name: str, *counts: int, models: dict[int, int] | None = None) -> None:
    """Change the official numbers of images and of model images in the files of a set."""
    changed = dataclasses.replace(catalog.SETS[name], counts=counts, models=models or catalog.SETS[name].models)
    monkeypatch.setitem(catalog.SETS, name, changed)


# Every set: labels, groups, pixels

SETS: dict[str, tuple[str, dict[str, bytes], list[str], list[str]]] = {
    "ETL1": ("M", {"ETL1C_01": m_file([("0", 1001), ("1", 1001)]), "ETL1C_13": m_file([("ｪ", 1001), ("ﾝ", 1003)], 2)},
             ["0", "1", "ヱ", "ン"], ["ETL1 sheet 1001", "ETL1 sheet 1001", "ETL1 sheet 1001", "ETL1 sheet 1003"]),
    "ETL2": ("K", {"ETL2_1": k_file([("上", "A", "MINCHO"), ("あ", "A", "MINCHO")]),
                   "ETL2_5": k_file([("上", "B", "GOTHIC"), ("Ａ", "D", "GOTHIC")], 2),  # noqa: RUF001
                   "euc_co59.dat": write.co59_table(CO59)},
             ["上", "あ", "上", "A"], ["ETL2 A MINCHO", "ETL2 A MINCHO", "ETL2 B GOTHIC", "ETL2 D GOTHIC"]),
    "ETL3": ("C", {"ETL3C_1": c_file([("Z", 3001), ("¥", 3001)], kind="A"), "ETL3C_2": c_file([("+", 3101)], 2, "S")},
             ["Z", "¥", "+"], ["ETL3 sheet 3001", "ETL3 sheet 3001", "ETL3 sheet 3101"]),
    "ETL4": ("C", {"ETL4C": c_file([("ｱ", 5001), ("ｨ", 5001), ("ｪ", 5002)], kind="H")},
             ["あ", "ゐ", "ゑ"], ["ETL4 sheet 5001", "ETL4 sheet 5001", "ETL4 sheet 5002"]),
    "ETL5": ("C", {"ETL5C": c_file([("ｱ", 6001), ("ｨ", 6001), ("ｦ", 70000)])},
             ["ア", "ヰ", "ヲ"], ["ETL5 sheet 6001", "ETL5 sheet 6001", "ETL5 sheet 70000"]),
    "ETL6": ("M", {"ETL6C_01": m_file([("ｶ", 1), ("‾", 1)]), "ETL6C_12": m_file([("?", 0)], 2)},
             ["カ", "‾", "?"], ["ETL6 sheet 1", "ETL6 sheet 1", "ETL6 sheet 0"]),
    "ETL7": ("M", {"ETL7LC_1": m_file([("ｱ", 7), ("ﾞ", 7)]), "ETL7LC_2": m_file([("ﾟ", 8), ("ｦ", 8)], 2)},
             ["あ", "゛", "゜", "を"], ["ETL7L sheet 7", "ETL7L sheet 7", "ETL7L sheet 8", "ETL7L sheet 8"]),
    "ETL8G": ("8G", {"ETL8G_01": wide_file("8G", [("あ", 1), ("亜", 10)]),
                     "ETL8G_32": wide_file("8G", [("悪", 11), ("ん", 30)], 2)},
              ["あ", "亜", "悪", "ん"],
              ["ETL8G_01 form 1", "ETL8G_01 form 1", "ETL8G_32 sheets 11 to 20", "ETL8G_32 sheets 21 to 30"]),
    "ETL8B": ("8B", {"ETL8B2C1": wide_file("8B", [("あ", 10), ("あ", 11)]),
                     "ETL8B2C2": wide_file("8B", [("い", 1591)], 2)},
              ["あ", "あ", "い"], ["ETL8B sheets 1 to 10", "ETL8B sheets 11 to 20", "ETL8B sheets 1591 to 1600"]),
    "ETL9G": ("9G", {"ETL9G_01": wide_file("9G", [("亜", 20), ("唖", 21)]),
                     "ETL9G_50": wide_file("9G", [("ん", 4000)], 2)},
              ["亜", "唖", "ん"], ["ETL9G_01 sheets 1 to 20", "ETL9G_01 sheets 21 to 40", "ETL9G_50 form 1"]),
    "ETL9B": ("9B", {"ETL9B_1": wide_file("9B", [("あ", 1), ("い", 2)]), "ETL9B_5": wide_file("9B", [("腕", 241)], 2)},
              ["あ", "い", "腕"], ["ETL9B_1 form 1", "ETL9B_1 form 1", "ETL9B_5 form 1"]),
}  # fmt: skip
"""Record type, files, and expected labels and groups of each set."""


@pytest.mark.parametrize("name", SETS)
def test_every_set_gives_labels_groups_and_pixels(tmp_path: Path, name: str) -> None:
    """Character, group and pixels are read for every record type and set; pixels are scaled to 0 to 255, ink high."""
    record, files, labels, groups = SETS[name]
    scan = scan_of(write_files(tmp_path / "etl", **files), tmp_path, name)
    assert labels_of(scan) == labels
    assert groups_of(scan) == groups
    assert scan.class_names == sorted(set(labels))
    assert_images(pixels_of(scan), [bright(record, number) for number in range(len(labels))])
    assert (scan.size, scan.channels, scan.splits, scan.bad) == (None, 1, None, [])


@pytest.mark.parametrize("name", SETS)
def test_import_keeps_the_pixels(tmp_path: Path, name: str) -> None:
    """An image imported at its own size keeps every pixel. At 64 x 64 it is the image that Pillow resizes."""
    record, files, labels, _ = SETS[name]
    height, width, _ = SIZES[record]
    root = write_files(tmp_path / "etl", **files)
    for size in ((height, width), None):
        file = import_to(tmp_path / f"{size}.h5", root, ImportOptions(size=size, source=SourceOptions(etl_sets=name)))
        preprocessing = Preprocessing(*(size or (64, 64)), 1, invert=False)
        expected = [fit(Image.fromarray(bright(record, number)), preprocessing) for number in range(len(labels))]
        np.testing.assert_array_equal(mapped(file.path, "image"), expected)
        assert [file.class_names[label] for label in file.column("label")] == labels


def import_to(path: Path, root: Path, options: ImportOptions = ImportOptions(), jobs: int = 1) -> SourceFile:  # noqa: B008
    import_source(open_source(f"etl:{root}", options.source), path, options, jobs, quiet=True)
    return open_source_file(path)


def test_the_first_records_of_the_official_files(tmp_path: Path) -> None:
    """Label, group and pixels of the records that the specification describes."""
    cases = [
        ("ETL9G_01", write.golden_9g(), "ETL9G_01 form 1", b"", 15),
        ("ETL9B_1", write.golden_9b(), "ETL9B_1 form 1", write.DUMMY_9B, 1),
        ("ETL4C", write.golden_4c(), "ETL4 sheet 5001", b"", 15),
        ("ETL2_1", write.golden_2(), "ETL2 A MINCHO", b"", 63),
    ]
    for name, (record, label, image), group, before, highest in cases:
        root = write_files(tmp_path / name, **{name: before + record, "euc_co59.dat": write.GOLDEN_TABLE})
        scan = scan_of(root, tmp_path, "2" if name == "ETL2_1" else None)
        assert labels_of(scan) == [label]
        assert groups_of(scan) == [group]
        assert origins_of(scan) == [f"{name}, record {1 if before else 0}"]
        np.testing.assert_array_equal(pixels_of(scan)[0], np.rint(image * (255 / highest)))


FIELDS: dict[str, tuple[bytes, dict[str, Any]]] = {
    "M": (write.record_m(raw("M", 0), jis=0xB1, sheet=1234, number=5, name=b"KA", ebcdic=0x81, quality=2,
                         group_quality=1, sex=2, age=77, serial=123456, industry=301, occupation=302, collected=7309,
                         scanned=7401, y=3, x=4, minimum=5, maximum=250),
          {"code": 0xB1, "sheet": 1234, "number": 5, "name": b"KA", "ebcdic": 0x81, "quality": 2, "group_quality": 1,
           "sex": 2, "age": 77, "serial": 123456, "industry": 301, "occupation": 302, "collected": 7309,
           "scanned": 7401, "y": 3, "x": 4, "minimum": 5, "maximum": 250}),
    "K": (write.record_k(raw("K", 0), co59=(12, 33), serial=2**35 + 1, style="C", kind="HRKANA", font="GOTHIC"),
          {"serial": 2**35 + 1, "style": b"C", "kind": b"HRKANA", "font": b"GOTHIC", "code": 12 * 64 + 33}),
    "C": (write.record_c(raw("C", 0), jis=0xB6, sheet=5001, serial=500100, kind="K", name="KA", ebcdic=0x91, quality=1,
                         group_quality=2, y=11, x=12, sex=2, age=23, industry=9144, occupation=13, collected=741202,
                         scanned=741216, magnification=133, old_serial=2**36 - 1),
          {"code": 0xB6, "sheet": 5001, "serial": 500100, "name": b"K KA", "ebcdic": 0x91, "quality": 1,
           "group_quality": 2, "y": 11, "x": 12, "sex": 2, "age": 23, "industry": 9144, "occupation": 13,
           "collected": 741202, "scanned": 741216, "width": 72, "height": 76, "levels": 16, "magnification": 133,
           "old_serial": 2**36 - 1}),
    "8B": (write.record_8b(raw("8B", 0), code=0x3021, sheet=1600, reading=b"A.TS"),
           {"code": 0x3021, "sheet": 1600, "reading": b"A.TS"}),
    "9B": (write.record_9b(raw("9B", 0), code=0x3022, sheet=4000, reading=b"AA"),
           {"code": 0x3022, "sheet": 4000, "reading": b"AA  "}),
    **{name: (make(raw(name, 0), code=0x3021, sheet=77, reading=b"A.TSUGU", serial=70000, quality=1, group_quality=2,
                   sex=1, age=44, industry=500, occupation=600, collected=8212, scanned=8310, x=5, y=6),
              {"code": 0x3021, "sheet": 77, "reading": b"A.TSUGU ", "serial": 70000, "quality": 1, "group_quality": 2,
               "sex": 1, "age": 44, "industry": 500, "occupation": 600, "collected": 8212, "scanned": 8310, "x": 5,
               "y": 6})
       for name, make in (("8G", write.record_8g), ("9G", write.record_9g))},
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDS)
def test_every_field_of_every_record_type(name: str) -> None:
    """Numbers, ASCII and T56 text are read in each of several records, whether fields are aligned to bytes or not."""
    record, expected = FIELDS[name]
    records = np.frombuffer(record * 3, np.uint8).reshape(3, RECORDS[name].size)
    found = {field: values(records, place).tolist() for field, place in RECORDS[name].fields.items()}
    assert found == {field: [value] * 3 for field, value in expected.items()}


# Locations and names of files


def test_nested_directories_are_searched(tmp_path: Path) -> None:
    """Files may be in nested folders, as unpacking the archives creates them."""
    root = write_files(
        tmp_path / "etl",
        ETLCDB__ETL9G__ETL9G_01=wide_file("9G", [("亜", 1)]),
        ETLCDB__more__ETL6__ETL6C_01=m_file([("ｱ", 1)]),
        ETL4C=c_file([("ｱ", 1)]),
    )
    assert isinstance(open_source(str(root)), EtlSource)
    scan = scan_of(root, tmp_path)
    assert origins_of(scan) == [
        "ETL4C, record 0",
        "ETLCDB/more/ETL6/ETL6C_01, record 0",
        "ETLCDB/ETL9G/ETL9G_01, record 0",
    ]
    assert labels_of(scan) == ["あ", "ア", "亜"]
    assert len(scan.group_names or []) == 3


@pytest.mark.parametrize(
    "name", ["etl9g_03", "ETL9G-03", "Etl9G_3", "ETL9G_03.dat", "etl9g-03.BIN", "ETL9G 03", "ETL9G03", "ETL9G_03.001"]
)
def test_file_names_may_be_spelled_in_many_ways(tmp_path: Path, name: str) -> None:
    """Names may be in upper or lower case, have '-' for '_', no leading zeros, or an extension."""
    root = write_files(tmp_path / "etl", **{name: wide_file("9G", [("亜", 1)])})
    assert isinstance(open_source(str(root)), EtlSource)
    assert origins_of(scan_of(root, tmp_path)) == [f"{name}, record 0"]


def test_every_official_file_name_is_recognized() -> None:
    """All 129 files of the specification are recognized by name, and with '-', as its tables write them."""
    names = [
        (etl_set.file_name(number), (name, number))
        for name, etl_set in catalog.SETS.items()
        for number in range(1, len(etl_set.counts) + 1)
    ]
    assert len(names) == 129
    for name, key in names:
        assert catalog.file_of(name) == key
        assert catalog.file_of(name.lower().replace("_", "-")) == key
    assert names[0] == ("ETL1C_01", ("1", 1))
    assert ("ETL8B2C3", ("8B", 3)) in names
    assert ("ETL5C", ("5", 1)) in names
    assert sum(sum(etl_set.counts) for etl_set in catalog.SETS.values()) == (
        141_319 + 52_796 + 9_600 + 6_120 + 10_608 + 157_662 + 2 * 16_800 + 2 * 152_960 + 2 * 607_200
    )


def test_unrecognized_files_are_listed(tmp_path: Path) -> None:
    """Other files whose name, folder or archive begins with ETL are listed, and INFO texts are counted."""
    root = write_files(
        tmp_path / "etl", ETL9G_01=wide_file("9G", [("亜", 1)]), ETL9G_51=b"x", ETL9INFO=b"text", ETL8INFO=b"text"
    )
    write_files(
        root,
        **{"ETL9G_02.7z": b"x", "ETL9G_02 (1)": b"x", "ETL9G_01.png": b"x", "readme.txt": b"x", "._ETL9G_03": b"x"},
    )
    write_files(root, **{"x/ETL6/first": b"x", "x/ETL6/readme.txt": b"x"})
    write_zip(root / "ETL5.zip", data__1=b"x", data__inner__zip=b"x")
    write_zip(root / "other.zip", data__1=b"x", **{"inner.zip": b"x"})
    scan = scan_of(root, tmp_path)
    assert origins_of(scan) == ["ETL9G_01, record 0"]
    notes = "\n".join(scan.notes)
    for name in (
        *("ETL9G_51", "ETL9G_02.7z", "ETL9G_02 (1)", "ETL9G_01.png"),
        *("x/ETL6/first", "ETL5.zip/data/1", "other.zip/inner.zip"),
    ):
        assert name in notes
    assert "skipped 2 INFO texts" in scan.notes
    assert "readme" not in notes
    assert "ETL9G_03," in notes  # It is missing: the hidden file does not count.


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("alone", [True, False], ids=["an archive", "a directory of archives"])
def test_archives_equal_files(tmp_path: Path, method: int, jobs: int, alone: bool) -> None:
    """Archives, stored or deflated, alone or in a directory, give the same images, labels and groups as their files."""
    files = {
        "ETL9G__ETL9G_01": wide_file("9G", [("亜", 1), ("唖", 21)]),
        "ETL9G__ETL9G_02": wide_file("9G", [("娃", 90)], 2),
    }
    root = tmp_path / "etl"
    path = write_zip(root / "down" / "etl9g.ZIP", method, **files, ETL9G__ETL9INFO=b"text")
    spec = path if alone else root
    assert isinstance(open_source(str(spec)), EtlSource)
    scan = scan_of(spec, tmp_path, jobs=jobs)
    plain = scan_of(write_files(tmp_path / "plain", **files), tmp_path)
    assert labels_of(scan) == labels_of(plain) == ["亜", "唖", "娃"]
    assert groups_of(scan) == groups_of(plain)
    assert_images(pixels_of(scan), pixels_of(plain))
    inside = "" if alone else "down/etl9g.ZIP/"
    assert origins_of(scan) == [inside + origin for origin in origins_of(plain)]
    assert "skipped 1 INFO text" in scan.notes


def test_only_compressed_members_are_extracted(tmp_path: Path) -> None:
    """Members that are stored uncompressed are read in place."""
    content = wide_file("9G", [("亜", 1), ("唖", 21)])
    for method, copies in ((zipfile.ZIP_STORED, 0), (zipfile.ZIP_DEFLATED, 1)):
        workspace = tmp_path / f"w{method}"
        workspace.mkdir()
        open_source(str(write_zip(tmp_path / f"{method}.zip", method, ETL9G_01=content))).scan(workspace)
        assert [path.stat().st_size for path in workspace.glob("9G-*")] == [len(content)] * copies


def test_archives_are_refused_if_the_disk_is_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk space is checked before extraction. Only selected files that need extraction count."""
    root = tmp_path / "etl"
    write_zip(root / "a.zip", ETL9G_01=wide_file("9G", [("亜", 1)] * 3))
    write_zip(root / "b.zip", zipfile.ZIP_STORED, ETL6C_01=m_file([("ｱ", 1)] * 20))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=20_000))
    with pytest.raises(EpochbankError, match=r"takes 24\.6 kB, but .* has 20\.0 kB left"):
        scan_of(root, tmp_path)
    assert len(scan_of(root, tmp_path, "6").labels) == 20


def test_unpacked_files_take_precedence(tmp_path: Path) -> None:
    """If a file exists both unpacked and in an archive, the unpacked one is used, and a note says so."""
    root = write_files(tmp_path / "etl", ETL9G__ETL9G_01=wide_file("9G", [("亜", 1)]))
    write_zip(root / "ETL9G.zip", ETL9G__ETL9G_01=wide_file("9G", [("唖", 1)] * 2))
    scan = scan_of(root, tmp_path)
    assert origins_of(scan) == ["ETL9G/ETL9G_01, record 0"]
    assert "read unpacked, although an archive has them too: ETL9G_01" in scan.notes


def test_the_same_file_twice_is_refused(tmp_path: Path) -> None:
    """Two copies of a file, both unpacked or both in archives, are refused, and both are named."""
    content = wide_file("9G", [("亜", 1)])
    root = write_files(tmp_path / "a", one__ETL9G_01=content, two__etl9g_1=content)
    with pytest.raises(EpochbankError, match=r"one/ETL9G_01 and two/etl9g_1"):
        scan_of(root, tmp_path)
    write_zip(tmp_path / "b" / "1.zip", ETL9G_01=content)
    write_zip(tmp_path / "b" / "2.zip", ETL9G_01=content)
    with pytest.raises(EpochbankError, match=r"1\.zip/ETL9G_01 and 2\.zip/ETL9G_01"):
        scan_of(tmp_path / "b", tmp_path)


def test_circular_links_are_not_followed(tmp_path: Path) -> None:
    """A link to a parent folder is not followed."""
    root = write_files(tmp_path / "etl", ETL9G__ETL9G_01=wide_file("9G", [("亜", 1)]))
    (root / "ETL9G" / "up").symlink_to("..")
    (root / "ETL9G" / "itself").symlink_to("itself")
    assert isinstance(open_source(str(root)), EtlSource)
    assert len(scan_of(root, tmp_path).labels) == 1


# Detection of the kind


def test_the_kind_is_detected_by_file_names(tmp_path: Path) -> None:
    """Folders and archives of images are other kinds; `etl:` forces the kind. One file of the database is enough."""
    images = tmp_path / "images"
    (images / "a").mkdir(parents=True)
    Image.new("L", (4, 4)).save(images / "a" / "ETL9G_01.png")
    assert isinstance(open_source(str(images)), FolderSource)
    assert isinstance(open_source(str(write_zip(tmp_path / "p.zip", a__1=b"x"))), ZipSource)
    assert isinstance(open_source(f"etl:{images}"), EtlSource)
    single = write_files(tmp_path / "one", ETL9G_01=wide_file("9G", [("亜", 1)])) / "ETL9G_01"
    assert isinstance(open_source(str(single)), EtlSource)
    assert origins_of(scan_of(single, tmp_path)) == ["ETL9G_01, record 0"]


def test_detection_checks_few_entries(tmp_path: Path) -> None:
    """Only the first 2,000 entries of a folder are checked, so that huge folders open quickly."""
    root = write_files(tmp_path / "etl", a__b__c__ETL9G_01=b"x")
    assert holds_etl(root)
    assert holds_etl(write_files(tmp_path / "deep", a__b__c__d__e__ETL9G_01=b"x"))
    for number in range(2_000):
        (root / f"{number}.png").touch()
    assert not holds_etl(root)


def test_etl_options_are_refused_for_other_sources(tmp_path: Path) -> None:
    """--etl-sets and --characters are refused if the source is not the ETL Character Database."""
    (tmp_path / "t" / "a").mkdir(parents=True)
    Image.new("L", (4, 4)).save(tmp_path / "t" / "a" / "1.png")
    for options in (SourceOptions(etl_sets="9G"), SourceOptions(characters="kanji")):
        with pytest.raises(EpochbankError, match="ETL Character Database"):
            open_source(str(tmp_path / "t"), options)


def test_identity_depends_on_relevant_files_only(tmp_path: Path) -> None:
    """Path, size and time of files, archives and the table change the identity; other files do not."""
    root = write_files(tmp_path / "etl", ETL9G__ETL9G_01=b"1", euc_co59__dat=b"")
    write_zip(root / "x.zip", ETL6C_01=b"")
    os.utime(root / "ETL9G" / "ETL9G_01", ns=(5, 7))
    source = open_source(str(root))
    first = source.identity()
    assert first[:3] == ["etl", 2, str(root.resolve())]
    assert first[3][0] == ["ETL9G/ETL9G_01", 1, 7]
    assert first[3][1][0] == "x.zip"
    write_files(root, notes__txt=b"")
    assert source.identity() == first
    write_files(root, **{"EUC_CO59.DAT": b"x"})
    assert source.identity() != first


# Dummies, model images, partial copies


def test_dummy_records_and_model_images_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first record of a B file, and the records after the official number in the last file, are skipped."""
    with_counts(monkeypatch, "8B", 2, 2, 3, models={3: 2})
    with_counts(monkeypatch, "9B", 1, 1, 1, 1, 2, models={5: 1})
    root = write_files(
        tmp_path / "etl",
        ETL8B2C1=wide_file("8B", [("あ", 1), ("い", 2)]),
        ETL8B2C2=wide_file("8B", [("う", 1), ("え", 2)], 2),
        ETL8B2C3=wide_file("8B", [("お", 1), ("か", 2), ("が", 1), ("愛", 1), ("悪", 1)], 4),
        ETL9B_5=wide_file("9B", [("亜", 1), ("唖", 2), ("娃", 1)], 9),
    )
    scan = scan_of(root, tmp_path)
    assert "".join(labels_of(scan)) == "あいうえおかが亜唖"
    assert origins_of(scan)[0] == "ETL8B2C1, record 1"
    assert origins_of(scan)[-1] == "ETL9B_5, record 2"
    assert_images(pixels_of(scan)[:3], [bright("8B", number) for number in range(3)])
    assert "skipped 4 dummy records, the first of each file of ETL8B and ETL9B" in scan.notes
    assert "skipped 2 model images at the end of ETL8B2C3" in scan.notes
    assert "skipped 1 model image at the end of ETL9B_5" in scan.notes
    assert [note for note in scan.notes if "holds" in note] == []


def test_official_numbers_of_model_images() -> None:
    """The specification has 50,560 images and 956 models in ETL8B, 121,440 and 3,036 in ETL9B."""
    for name, number, num_images, num_models in (("8B", 3, 50_560, 956), ("9B", 5, 121_440, 3_036)):
        assert catalog.SETS[name].counts[number - 1] == num_images
        assert catalog.SETS[name].models == {number: num_models}


def test_partial_copies_are_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files with another number of records than the official one, and missing files, are noted but accepted."""
    with_counts(monkeypatch, "9G", 2, 2, 2)
    root = write_files(
        tmp_path / "etl",
        ETL9G_01=wide_file("9G", [("亜", 1)]),
        ETL9G_02=wide_file("9G", [("亜", 21)] * 3, 1),
    )
    scan = scan_of(root, tmp_path)
    assert len(scan.labels) == 4
    assert scan.bad == []
    assert scan.notes == [
        "ETL9G_01 holds 1 of 2 records",
        "ETL9G_02 holds 3 of 2 records",
        "ETL9G has 2 of its 3 files; missing: ETL9G_03",
        "ETL9G: 2 forms found, 2 expected in 2 files",
    ]


def test_a_complete_copy_has_a_note_on_its_forms_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If nothing is skipped and nothing is missing, the only note is on the number of forms."""
    with_counts(monkeypatch, "9G", 2)
    scan = scan_of(write_files(tmp_path / "etl", ETL9G_01=wide_file("9G", [("亜", 1)] * 2)), tmp_path)
    assert scan.notes == ["ETL9G: 1 form found, 1 expected in 1 file"]


# Unusable files and records


def test_truncated_files(tmp_path: Path) -> None:
    """Complete records are used; the truncated one is listed."""
    root = write_files(tmp_path / "etl", ETL9G_01=wide_file("9G", [("亜", 1), ("唖", 1), ("娃", 1)])[:-4000])
    scan = scan_of(root, tmp_path)
    assert labels_of(scan) == ["亜", "唖"]
    assert scan.bad == [("ETL9G_01, record 2", "is truncated: 4,199 of 8,199 bytes")]


def test_codes_without_a_character(tmp_path: Path) -> None:
    """Codes without a character are listed by file and record, in all three character codes."""
    image = raw("9G", 0)
    records = [write.record_9g(image, code=code, sheet=1) for code in (0x3021, 0x2121, 0x0000, 0x2921, 0x3022, 0x7F21)]
    small = [write.record_m(raw("M", 0), jis=code) for code in (0xB1, 0x1F, 0x7F, 0xA0, 0xE0)]
    printed = k_file([("上", "A", "MINCHO")])
    other = write.record_k(raw("K", 0), co59=(9, 9), serial=1)
    root = write_files(tmp_path / "etl", ETL9G_01=b"".join(records), ETL6C_01=b"".join(small), ETL2_1=printed + other)
    write_files(root, **{"euc_co59.dat": write.co59_table(CO59)})
    scan = scan_of(root, tmp_path, "2,6,9G")
    assert labels_of(scan) == ["上", "ア", "亜", "唖"]
    assert [where for where, _ in scan.bad] == [
        "ETL2_1, record 1",
        *(f"ETL6C_01, record {number}" for number in (1, 2, 3, 4)),
        *(f"ETL9G_01, record {number}" for number in (1, 2, 3, 5)),
    ]
    assert "9,9" in scan.bad[0][1]
    assert "0x2921" in scan.bad[7][1]


def test_sheet_number_zero(tmp_path: Path) -> None:
    """Sheets of ETL8 and ETL9 count from 1. If groups are by sheet, one with sheet 0 has none and is listed."""
    scan = scan_of(write_files(tmp_path / "etl", ETL9G_01=wide_file("9G", [("亜", 0), ("唖", 1)])), tmp_path)
    assert labels_of(scan) == ["唖"]
    assert [where for where, _ in scan.bad] == ["ETL9G_01, record 0"]


def test_on_bad_skip_imports_the_rest(tmp_path: Path) -> None:
    """Unusable records are refused by file and record, or skipped and recorded in the source file."""
    root = write_files(tmp_path / "etl", ETL9G_01=wide_file("9G", [("亜", 1), ("唖", 21)]) + b"tail")
    with pytest.raises(
        EpochbankError, match=r"1 of 3 images or files.*\n  ETL9G_01, record 2 is truncated: 4 of 8,199 bytes"
    ):
        import_to(tmp_path / "a.h5", root)
    file = import_to(tmp_path / "b.h5", root, ImportOptions(on_bad="skip"))
    assert file.skipped_names() == [("ETL9G_01, record 2", "is truncated: 4 of 8,199 bytes")]
    assert file.num_images == 2
    assert [file.origin(row) for row in range(2)] == ["ETL9G_01, record 0", "ETL9G_01, record 1"]


def test_empty_and_unreadable_files(tmp_path: Path) -> None:
    """An empty file, a broken link and invalid archives are listed by name; the other files are used."""
    root = write_files(
        tmp_path / "etl", ETL9G_01=wide_file("9G", [("亜", 1)]), ETL9G_02=b"", **{"b.zip": b"no archive"}
    )
    (root / "ETL9G_03").symlink_to("nowhere")
    nameless = write_zip(root / "nameless.zip", **{"%%": b"x"})
    nameless.write_bytes(nameless.read_bytes().replace(b"%%", b"\0\0"))
    write_zip(root / "whole.zip", ETL9G_04=wide_file("9G", [("亜", 1)]))
    content = (root / "whole.zip").read_bytes()
    (root / "whole.zip").write_bytes(content[: len(content) // 2])
    scan = scan_of(root, tmp_path)
    assert labels_of(scan) == ["亜"]
    reasons = dict(scan.bad)
    assert set(reasons) == {"ETL9G_02", "ETL9G_03", "b.zip", "whole.zip"}
    assert reasons["ETL9G_02"] == "is empty; expected records of 8,199 bytes"
    assert "No such file" in reasons["ETL9G_03"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_damaged_archives(tmp_path: Path, method: int) -> None:
    """A flipped bit is found by the checksum of the member; the others are used, and no extracted file remains."""
    path = write_zip(
        tmp_path / "a.zip", method, ETL9G_01=wide_file("9G", [("亜", 1)]), ETL9G_02=wide_file("9G", [("唖", 1)])
    )
    content = bytearray(path.read_bytes())
    content[path.stat().st_size // 3] ^= 4
    path.write_bytes(content)
    workspace = tmp_path / "w"
    workspace.mkdir()
    scan = open_source(str(path)).scan(workspace)
    assert labels_of(scan) == ["唖"]
    assert [where for where, _ in scan.bad] == ["ETL9G_01"]
    assert "damaged" in scan.bad[0][1]
    assert not (workspace / "9G-1").exists()


def test_unsupported_methods_and_passwords(tmp_path: Path) -> None:
    """Members that cannot be extracted are listed, with the fix."""
    content = wide_file("9G", [("亜", 1)])
    write_zip(tmp_path / "etl" / "a.zip", zipfile.ZIP_BZIP2, ETL9G_01=content)
    locked = bytearray(write_zip(tmp_path / "etl" / "b.zip", ETL9G_02=content).read_bytes())
    locked[6] |= 1
    locked[locked.rindex(b"PK\1\2") + 8] |= 1
    (tmp_path / "etl" / "b.zip").write_bytes(locked)
    write_zip(tmp_path / "etl" / "c.zip", ETL9G_03=content)
    scan = scan_of(tmp_path / "etl", tmp_path)
    assert [where for where, _ in scan.bad] == ["a.zip/ETL9G_01", "b.zip/ETL9G_02"]
    assert "Unpack it" in scan.bad[0][1]
    assert "password" in scan.bad[1][1]
    assert origins_of(scan) == ["c.zip/ETL9G_03, record 0"]


def test_missing_permissions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders and files without read permission are listed."""
    root = write_files(
        tmp_path / "etl", a__ETL9G_01=wide_file("9G", [("亜", 1)]), b__ETL9G_02=b"", ETL9G_03=b"x" * 8199
    )
    list_folder, memmap = os.scandir, np.memmap

    def list_unless_b(path: Any) -> Any:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied")
        return list_folder(path)

    def map_unless_3(path: Path, *arguments: Any) -> Any:
        if path.name == "ETL9G_03":
            raise PermissionError(13, "Permission denied")
        return memmap(path, *arguments)

    monkeypatch.setattr(os, "scandir", list_unless_b)
    monkeypatch.setattr(np, "memmap", map_unless_3)
    scan = scan_of(root, tmp_path)
    assert scan.bad == [
        ("b/", "cannot be listed: Permission denied"),
        ("ETL9G_03", "cannot be read: Permission denied"),
    ]
    assert labels_of(scan) == ["亜"]


def test_write_errors_are_not_reported_as_damage(tmp_path: Path) -> None:
    """If a file cannot be extracted, the import fails; the file is not listed as damaged."""
    path = write_zip(tmp_path / "a.zip", ETL9G_01=wide_file("9G", [("亜", 1)]))
    task = Task(catalog.SETS["9G"], 1, find_files(path).files["9G", 1][0], tmp_path / "nowhere" / "file")
    with pytest.raises(OSError, match="nowhere"):
        scan_file(task)


def test_a_source_without_usable_images_is_refused(tmp_path: Path) -> None:
    """A source without files of the database, or without usable ones, is refused with the reasons."""
    with pytest.raises(EpochbankError, match="ETL9X"):
        scan_of(write_files(tmp_path / "a", ETL9X=b"x"), tmp_path)
    with pytest.raises(EpochbankError, match="ETL9G_01 is empty"):
        scan_of(write_files(tmp_path / "b", ETL9G_01=b""), tmp_path)
    damaged = write_files(tmp_path / "c", **{"ETL9G.zip": b"PK"})
    assert isinstance(open_source(str(damaged)), EtlSource)
    (damaged / "ETL9G.zip").write_bytes(b"PK" + b"\xff" * 100)  # Has no end-of-directory record.
    assert isinstance(open_source(str(damaged)), EtlSource)
    with pytest.raises(EpochbankError, match=r"ETL9G\.zip cannot be read"):
        scan_of(damaged, tmp_path)


def test_a_file_that_becomes_shorter_is_refused(tmp_path: Path) -> None:
    """A file that becomes shorter or disappears between scan and reading is refused by name."""
    root = write_files(tmp_path / "etl", ETL9G_01=wide_file("9G", [("亜", 1)] * 3))
    scan = scan_of(root, tmp_path)
    os.truncate(root / "ETL9G_01", 8199 * 2 + 100)
    with pytest.raises(EpochbankError, match="ETL9G_01 became shorter"):
        pixels_of(scan)
    (root / "ETL9G_01").unlink()
    with pytest.raises(EpochbankError, match="ETL9G_01 cannot be read"):
        pixels_of(scan)


# Selection of sets


def write_many_sets(tmp_path: Path) -> Path:
    """Write one image of each set, each of a different character."""
    return write_files(
        tmp_path / "etl",
        ETL1C_01=m_file([("0", 1)]),
        ETL2_1=k_file([("上", "A", "MINCHO")]),
        ETL7LC_1=m_file([("ｱ", 1)]),
        ETL7SC_1=m_file([("ｲ", 1)]),
        ETL8B2C1=wide_file("8B", [("う", 1)]),
        ETL8G_01=wide_file("8G", [("え", 1)]),
        ETL9B_1=wide_file("9B", [("お", 1)]),
        ETL9G_01=wide_file("9G", [("か", 1)]),
    )


def skipped_sets(scan: Scan) -> list[str]:
    """Return the sets that notes describe as skipped by default."""
    return [note.split()[1].rstrip(":") for note in scan.notes if "--etl-sets" in note]


def test_the_default_selects_each_handwriting_once(tmp_path: Path) -> None:
    """The default prefers 9G to 9B, 8G to 8B and 7L to 7S, and skips printed characters; notes list what it skips."""
    root = write_many_sets(tmp_path)
    scan = scan_of(root, tmp_path)
    assert labels_of(scan) == ["0", "あ", "え", "か"]
    assert skipped_sets(scan) == ["ETL2", "ETL7S", "ETL8B", "ETL9B"]
    for name in ("ETL7LC_1", "ETL8G_01", "ETL9G_01"):
        (root / name).unlink()
    scan = scan_of(root, tmp_path)
    assert labels_of(scan) == ["0", "い", "う", "お"]
    assert skipped_sets(scan) == ["ETL2"]


@pytest.mark.parametrize(
    ("named", "labels"),
    [("9G", "か"), ("etl9b", "お"), ("ETL8B, 9g", "うか"), ("9G,8G", "えか"), ("7", "あ"), ("7s", "い"), ("7L", "あ"),
     ("ETL_1 etl-7S", "0い"), ("9B,8B", "うお")],
)  # fmt: skip
def test_sets_are_named_in_any_case(tmp_path: Path, named: str, labels: str) -> None:
    """Names may have the prefix ETL and any order. There are no notes on sets that were not requested."""
    scan = scan_of(write_many_sets(tmp_path), tmp_path, named)
    assert "".join(labels_of(scan)) == labels
    assert skipped_sets(scan) == []


def test_seven_falls_back_to_the_smaller_set(tmp_path: Path) -> None:
    """`7` is 7L if available, else 7S."""
    assert labels_of(scan_of(write_files(tmp_path / "etl", ETL7SC_2=m_file([("ｲ", 1)])), tmp_path, "7")) == ["い"]


@pytest.mark.parametrize(
    ("named", "message"),
    [("9H", "1, 2, 7L, 7S, 8B, 8G, 9B, 9G"), ("6", "6 is not available; .* has 1, 2"), ("9B,9G", "a writer would be"),
     ("8G,8B", "a writer would be"), ("7L,7S", "a writer would be"), ("7,7S", "a writer would be"),
     (" , ", "names no set"), ("2", r"euc_co59\.dat")],
)  # fmt: skip
def test_invalid_selections_of_sets_are_refused(tmp_path: Path, named: str, message: str) -> None:
    """Refused are unknown and unavailable sets, the same handwriting twice, and the printed set without its table."""
    with pytest.raises(EpochbankError, match=message) as refusal:
        scan_of(write_many_sets(tmp_path), tmp_path, named)
    assert refusal.value.exit_code == (1 if named == "2" else 2)


def test_the_printed_set_must_be_named(tmp_path: Path) -> None:
    """ETL2 is used only if it is named, even if it is the only set."""
    root = write_files(
        tmp_path / "etl", ETL2_1=k_file([("上", "A", "MINCHO")]), **{"euc_co59.dat": write.co59_table(CO59)}
    )
    with pytest.raises(EpochbankError, match="--etl-sets 2"):
        scan_of(root, tmp_path)
    assert labels_of(scan_of(root, tmp_path, "2")) == ["上"]


@pytest.mark.parametrize("place", ["etl/EUC_CO59.dat", "etl/tools/euc_co59.dat", "euc_co59.DAT", "in the archive"])
def test_the_table_of_the_printed_set_is_found(tmp_path: Path, place: str) -> None:
    """The table may be anywhere in the directory, next to the archive, or in it; the case of its name is ignored."""
    table, content = write.co59_table(CO59), k_file([("上", "A", "MINCHO"), ("Ａ", "A", "MINCHO")])  # noqa: RUF001
    if place.startswith("etl/"):
        spec = write_files(tmp_path / "etl", ETL2__ETL2_1=content)
        write_files(tmp_path, **{place: table})
    elif place.startswith("euc"):
        spec = write_zip(tmp_path / "ETL2.zip", ETL2_1=content)
        write_files(tmp_path, **{place: table})
    else:
        spec = write_zip(tmp_path / "ETL2.zip", **{"ETL2_1": content, "x/euc_co59.dat": table})
    before = open_source(str(spec)).identity()
    assert labels_of(scan_of(spec, tmp_path, "2")) == ["上", "A"]
    if not place.startswith("in"):
        os.utime(tmp_path / place, ns=(1, 1))
        assert open_source(str(spec)).identity() != before


def test_different_and_invalid_tables_are_refused(tmp_path: Path) -> None:
    """Two different tables are refused, as are files that are too large or are not tables."""
    root = write_files(
        tmp_path / "etl", ETL2_1=k_file([("上", "A", "MINCHO")]), **{"a/euc_co59.dat": write.co59_table(CO59)}
    )
    write_files(root, **{"b/euc_co59.dat": write.co59_table(CO59)})
    assert labels_of(scan_of(root, tmp_path, "2")) == ["上"]
    write_files(root, **{"b/euc_co59.dat": write.co59_table([("下", (12, 33))])})
    with pytest.raises(EpochbankError, match=r"a/euc_co59\.dat and b/euc_co59\.dat differ"):
        scan_of(root, tmp_path, "2")
    write_zip(
        tmp_path / "large" / "ETL2.zip", ETL2_1=k_file([("上", "A", "MINCHO")]), **{"euc_co59.dat": bytes(2 << 20)}
    )
    with pytest.raises(EpochbankError, match=r"euc_co59\.dat has 2,097,152 bytes; expected at most"):
        scan_of(tmp_path / "large", tmp_path, "2")
    for content in (b"", b"x", b"x:1", b"x:1,64", b"\xff:1,2", b"x:a,b", b"x:1,2,3"):
        with pytest.raises(EpochbankError, match="euc_co59"):
            read_table(content, "euc_co59.dat")


# Characters


def test_every_code_is_one_character() -> None:
    """Katakana are full-width, and ｨ and ｪ are ヰ and ヱ; in hiragana sets all kana are hiragana; ASCII stays ASCII."""
    kana = "".join(jis0201(code, hiragana=False) or "" for code in range(0xA1, 0xE0))
    assert kana == (
        "。「」、・ヲァヰゥヱォャュョッーアイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン゛゜"
    )
    kana = "".join(jis0201(code, hiragana=True) or "" for code in range(0xA1, 0xE0))
    assert kana == (
        "。「」、・をぁゐぅゑぉゃゅょっーあいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわん゛゜"
    )
    for hiragana in (True, False):
        ascii_half = "".join(jis0201(code, hiragana=hiragana) or " " for code in range(256))[:0xA1]
        assert ascii_half[0x21:0x7F].replace("¥", "\\").replace("‾", "~") == "".join(map(chr, range(0x21, 0x7F)))
        assert ascii_half[:0x21].strip() + ascii_half[0x7F:].strip() == ""
    codes = {jis0208(256 * high + low) for high in range(0x100) for low in range(0x100)} - {None}
    assert len(codes) == 6_879 - 2  # Without the blank and the sign for unreadable characters.


def test_repeated_kana_are_one_label(tmp_path: Path) -> None:
    """The sets of 51 kana repeat イ, ウ and エ, so they have 48 labels."""
    gojuon = "ｱｲｳｴｵｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄﾅﾆﾇﾈﾉﾊﾋﾌﾍﾎﾏﾐﾑﾒﾓﾔｲﾕｴﾖﾗﾘﾙﾚﾛﾜｨｳｪｦﾝ"
    assert len(gojuon) == 51
    records = [write.record_c(raw("C", 0), jis=write.jis0201(kana), sheet=1, serial=1) for kana in gojuon]
    scan = scan_of(write_files(tmp_path / "etl", ETL4C=b"".join(records), ETL5C=b"".join(records)), tmp_path, "4")
    assert (
        "".join(labels_of(scan))
        == "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやいゆえよらりるれろわゐうゑをん"
    )
    assert len(scan.class_names) == 48
    scan = scan_of(tmp_path / "etl", tmp_path, "5")
    assert (
        "".join(labels_of(scan))
        == "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤイユエヨラリルレロワヰウヱヲン"
    )
    assert len(scan.class_names) == 48


def test_one_character_of_several_sets_is_one_label(tmp_path: Path) -> None:
    """A has one label in ETL1 (ASCII) and ETL2 (full-width), and あ in ETL4 (code of katakana) and ETL9."""
    root = write_files(
        tmp_path / "etl",
        ETL1C_02=m_file([("A", 1)]),
        ETL2_1=k_file([("Ａ", "A", "MINCHO")]),  # noqa: RUF001
        ETL4C=c_file([("ｱ", 1)]),
        ETL9G_01=wide_file("9G", [("あ", 1)]),
        **{"euc_co59.dat": write.co59_table(CO59)},
    )
    scan = scan_of(root, tmp_path, "1,2,4,9G")
    assert scan.class_names == ["A", "あ"]
    assert labels_of(scan) == ["A", "A", "あ", "あ"]


def test_every_character_is_in_one_group() -> None:
    """Kanji and kana are grouped by Unicode block; what is neither kanji, kana, digit nor letter is a symbol."""
    for group, members in {
        "kanji": "一亜腕龠鿿",
        "hiragana": "ぁあんゐゑを゛゜ゝ",
        "katakana": "ァアンヰヱヲヴーヽ",
        "digits": "0123456789",
        "latin": "AZaz",
        "symbols": "+-¥‾・。「々〇?αЖ",
    }.items():
        assert {group_of(character) for character in members} == {group}, group


@pytest.mark.parametrize(
    ("characters", "labels"),
    [("kanji", "亜"), ("hiragana,katakana", "アあ"), ("Digits, LATIN", "0A"), ("symbols", "+¥"), ("all", "0A+¥アあ亜"),
     ("kanji,all", "0A+¥アあ亜"), ("亜あ", "あ亜"), ("亜, あ\n０", "0あ亜"), ("ｱ", "ア"), ("kanji,亜", "亜")],  # noqa: RUF001
)  # fmt: skip
def test_selection_of_characters(tmp_path: Path, characters: str, labels: str) -> None:
    """--characters takes groups, single characters, or both; other images are skipped and counted."""
    root = write_files(
        tmp_path / "etl",
        ETL1C_01=m_file([("0", 1), ("A", 1), ("+", 2), ("¥", 2), ("ｱ", 2)]),
        ETL9G_01=wide_file("9G", [("あ", 1), ("亜", 1)]),
    )
    scan = scan_of(root, tmp_path, characters=characters)
    assert "".join(labels_of(scan)) == labels
    assert scan.class_names == sorted(labels)
    skipped = 7 - len(labels)
    assert [note for note in scan.notes if "--characters" in note] == (
        [f"skipped {skipped} images of characters that --characters does not select"] if skipped else []
    )
    whole = scan_of(root, tmp_path)
    at = [origins_of(whole).index(origin) for origin in origins_of(scan)]
    assert_images(pixels_of(scan), [pixels_of(whole)[index] for index in at])


def test_characters_that_do_not_occur(tmp_path: Path) -> None:
    """Characters that do not occur are noted, or refused if none occurs. A text without characters is refused."""
    root = write_files(tmp_path / "etl", ETL9G_01=wide_file("9G", [("あ", 1), ("亜", 1)]))
    scan = scan_of(root, tmp_path, characters="亜々一")
    assert "characters of --characters that do not occur: 々, 一" in scan.notes
    with pytest.raises(EpochbankError, match=r"knaji.*kanji, hiragana"):
        scan_of(root, tmp_path, characters="knaji")
    with pytest.raises(EpochbankError, match="names no characters") as refusal:
        parse_characters(" , ")
    assert refusal.value.exit_code == 2


# Reading


@pytest.mark.parametrize("step", [1, 2, 5])
def test_long_reads_are_split_into_runs(tmp_path: Path, step: int) -> None:
    """Consecutive, close and distant records of two files are read in order, in runs of up to 2 MiB."""
    distinct = 7
    records = wide_file("9G", [("亜", 1)] * distinct)
    root = write_files(tmp_path / "etl", ETL9G_01=records * 20, ETL9G_02=records * 30)
    expected = [bright("9G", number) for number in range(distinct)]
    scan = scan_of(root, tmp_path)
    indices = range(0, 350, step)
    assert_images(pixels_of(scan, indices), [expected[index % distinct] for index in indices])
    runs = [len(run) for run in scan.reader.read(np.array(indices))]  # type: ignore[arg-type]
    largest = (2 << 20) // (127 * 128)
    first, second = -(-140 // step), len(indices) - -(-140 // step)
    assert runs == [
        size for size in (min(first, largest), first - largest, min(second, largest), second - largest) if size > 0
    ]


def test_large_files_are_scanned_in_windows(tmp_path: Path) -> None:
    """Codes, sheets and record numbers are right across the windows of 16 MiB in which a file is scanned."""
    characters = "亜唖娃阿哀愛挨姶"
    file = wide_file("9B", [(character, 20 * row + 1) for row, character in enumerate(characters)])
    dummy, records = file[: len(write.DUMMY_9B)], file[len(write.DUMMY_9B) :]
    repeats = (20 << 20) // len(records)
    scan = scan_of(write_files(tmp_path / "etl", ETL9B_1=dummy + records * repeats), tmp_path)
    assert "".join(labels_of(scan)) == characters * repeats
    sheets = [f"ETL9B_1 sheets {20 * number + 1} to {20 * number + 20}" for number in range(len(characters))]
    assert groups_of(scan) == sheets * repeats
    assert origins_of(scan) == [f"ETL9B_1, record {number}" for number in range(1, repeats * len(characters) + 1)]
