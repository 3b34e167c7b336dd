"""The ETL Character Database: what is read of files that an independent writer made from the specification alone."""

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
from epochbank.augment.ingest.source_file import SourceFile, mapped, open_source_file
from epochbank.augment.sources import Scan, SourceOptions, open_source
from epochbank.augment.sources.decode import Treatment, fit
from epochbank.augment.sources.etl import EtlSource, catalog, holds_etl, places, reader
from epochbank.augment.sources.etl import file_scan as harvesting
from epochbank.augment.sources.etl.characters import group_of, jis0201, jis0208, pick, read_table
from epochbank.augment.sources.etl.file_scan import Task, harvest
from epochbank.augment.sources.etl.records import RECORDS, values
from epochbank.augment.sources.files import FolderSource, ZipSource

Named = tuple[str, int]
"""A character, and its sheet."""

SIZES = {"M": (63, 64, 4), "K": (60, 60, 6), "C": (76, 72, 4), "8G": (127, 128, 4), "9G": (127, 128, 4),
         "8B": (63, 64, 1), "9B": (63, 64, 1)}  # fmt: skip
"""Height, width and bits of each record type's pictures."""


def raw(record: str, number: int) -> np.ndarray:
    """The picture of that number as a record type has it: uint8, 0 to 2^bits - 1."""
    height, width, bits = SIZES[record]
    return write.glyph(number, height, width, 2**bits)


def bright(record: str, number: int) -> np.ndarray:
    """The same picture as it must be read: 0 to 255."""
    return np.rint(raw(record, number) * (255 / (2 ** SIZES[record][2] - 1))).astype(np.uint8)


def m_file(pictures: Sequence[Named], first: int = 0) -> bytes:
    return b"".join(
        write.record_m(raw("M", first + number), jis=write.jis0201(character), sheet=sheet)
        for number, (character, sheet) in enumerate(pictures)
    )


def c_file(pictures: Sequence[Named], first: int = 0, kind: str = "K") -> bytes:
    return b"".join(
        write.record_c(raw("C", first + number), jis=write.jis0201(character), sheet=sheet, serial=number, kind=kind)
        for number, (character, sheet) in enumerate(pictures)
    )


def wide_file(record: str, pictures: Sequence[Named], first: int = 0) -> bytes:
    """A file of ETL8 or ETL9, with the dummy that B types have."""
    make: Callable[..., bytes] = getattr(write, f"record_{record.lower()}")
    dummy = {"8B": write.DUMMY_8B, "9B": write.DUMMY_9B}.get(record, b"")
    return dummy + b"".join(
        make(raw(record, first + number), code=write.jis0208(character), sheet=sheet)
        for number, (character, sheet) in enumerate(pictures)
    )


CO59 = {"上": (12, 33), "あ": (1, 2), "Ａ": (3, 4), "▲": (0, 0)}  # noqa: RUF001  full-width


def k_file(pictures: Sequence[tuple[str, str, str]], first: int = 0) -> bytes:
    """Character, style and font of each."""
    return b"".join(
        write.record_k(raw("K", first + number), co59=CO59[character], serial=number + 1, style=style, font=font)
        for number, (character, style, font) in enumerate(pictures)
    )


def lay(root: Path, **files: bytes) -> Path:
    """Files below `root` by their names; `__` stands for '/'."""
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def packed(path: Path, method: int = zipfile.ZIP_DEFLATED, **files: bytes) -> Path:
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
    return [picture for run in runs for picture in run]


def assert_pictures(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def with_counts(monkeypatch: pytest.MonkeyPatch, name: str, *counts: int) -> None:
    """A set whose files officially have so many pictures."""
    monkeypatch.setitem(catalog.SETS, name, dataclasses.replace(catalog.SETS[name], counts=counts))


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
             ["あ", "゛", "゜", "を"], ["ETL7 sheet 7", "ETL7 sheet 7", "ETL7 sheet 8", "ETL7 sheet 8"]),
    "ETL8G": ("8G", {"ETL8G_01": wide_file("8G", [("あ", 1), ("亜", 10)]),
                     "ETL8G_33": wide_file("8G", [("悪", 11)], 2)},
              ["あ", "亜", "悪"], ["ETL8 set 0", "ETL8 set 0", "ETL8 set 1"]),
    "ETL8B": ("8B", {"ETL8B2C1": wide_file("8B", [("あ", 10), ("あ", 11)]),
                     "ETL8B2C2": wide_file("8B", [("い", 1591)], 2)},
              ["あ", "あ", "い"], ["ETL8 set 0", "ETL8 set 1", "ETL8 set 159"]),
    "ETL9G": ("9G", {"ETL9G_01": wide_file("9G", [("亜", 20), ("唖", 21)]),
                     "ETL9G_50": wide_file("9G", [("ん", 4000)], 2)},
              ["亜", "唖", "ん"], ["ETL9 set 0", "ETL9 set 1", "ETL9 set 199"]),
    "ETL9B": ("9B", {"ETL9B_1": wide_file("9B", [("あ", 1), ("い", 2)]), "ETL9B_5": wide_file("9B", [("腕", 241)], 2)},
              ["あ", "い", "腕"], ["ETL9 set 0", "ETL9 set 0", "ETL9 set 12"]),
}  # fmt: skip
"""Of each set: record type, files, and the labels and groups that must be found."""


@pytest.mark.parametrize("name", SETS)
def test_every_set_gives_labels_groups_and_pixels(tmp_path: Path, name: str) -> None:
    """Every record type and set: the character, the hand, and each pixel scaled to 0 to 255 with ink high."""
    record, files, labels, groups = SETS[name]
    scan = scan_of(lay(tmp_path / "etl", **files), tmp_path, name)
    assert labels_of(scan) == labels
    assert groups_of(scan) == groups
    assert scan.class_names == sorted(set(labels))
    assert_pictures(pixels_of(scan), [bright(record, number) for number in range(len(labels))])
    assert (scan.size, scan.channels, scan.parts, scan.bad) == (None, 1, None, [])


@pytest.mark.parametrize("name", SETS)
def test_import_takes_the_pictures_as_they_are(tmp_path: Path, name: str) -> None:
    """Imported at its own size a picture keeps every pixel; at 64 x 64 it is what Pillow makes of it."""
    record, files, labels, _ = SETS[name]
    height, width, _ = SIZES[record]
    root = lay(tmp_path / "etl", **files)
    for size in ((height, width), None):
        file = import_to(tmp_path / f"{size}.h5", root, ImportOptions(size=size, source=SourceOptions(etl_sets=name)))
        treatment = Treatment(*(size or (64, 64)), 1, invert=False)
        expected = [fit(Image.fromarray(bright(record, number)), treatment) for number in range(len(labels))]
        np.testing.assert_array_equal(mapped(file.path, "image"), expected)
        assert [file.class_names[label] for label in file.column("label")] == labels


def import_to(path: Path, root: Path, options: ImportOptions = ImportOptions(), jobs: int = 1) -> SourceFile:  # noqa: B008
    import_source(open_source(f"etl:{root}", options.source), path, options, jobs, quiet=True)
    return open_source_file(path)


def test_the_first_records_of_the_official_files(tmp_path: Path) -> None:
    """The golden records of the specification: label, group, pixels."""
    cases = [
        ("ETL9G_01", write.golden_9g, "ETL9 set 0", b"", 15),
        ("ETL9B_1", write.golden_9b, "ETL9 set 0", write.DUMMY_9B, 1),
        ("ETL4C", write.golden_4c, "ETL4 sheet 5001", b"", 15),
        ("ETL2_1", write.golden_2, "ETL2 A MINCHO", b"", 63),
    ]
    for name, golden, group, before, most in cases:
        record, facts = golden()
        root = lay(tmp_path / name, **{name: before + record, "euc_co59.dat": facts.get("table", b"")})
        scan = scan_of(root, tmp_path, "2" if name == "ETL2_1" else None)
        assert labels_of(scan) == [facts["label"]]
        assert groups_of(scan) == [group]
        assert origins_of(scan) == [f"{name}, record {1 if before else 0}"]
        np.testing.assert_array_equal(pixels_of(scan)[0], np.rint(facts["picture"] * (255 / most)))


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
    """Numbers, ASCII and T56 text are read from their places, aligned to bytes or not, in each of several records."""
    record, expected = FIELDS[name]
    records = np.frombuffer(record * 3, np.uint8).reshape(3, RECORDS[name].size)
    found = {field: values(records, place).tolist() for field, place in RECORDS[name].fields.items()}
    assert found == {field: [value] * 3 for field, value in expected.items()}


# Where files lie, and what they are called


def test_directories_are_searched_as_deep_as_they_go(tmp_path: Path) -> None:
    """Files lie where the archives unpack, in folders within folders, each set in its own."""
    root = lay(
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
def test_files_are_known_by_any_spelling(tmp_path: Path, name: str) -> None:
    """Any case, '-' for '_', no zeros, an extension: nothing is passed over for how it is called."""
    root = lay(tmp_path / "etl", **{name: wide_file("9G", [("亜", 1)])})
    assert isinstance(open_source(str(root)), EtlSource)
    assert origins_of(scan_of(root, tmp_path)) == [f"{name}, record 0"]


def test_every_official_name_is_known() -> None:
    """All 129 files of the specification by their names, and by those of its tables, which have '-'."""
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
        141_319 + 52_796 + 9_600 + 6_120 + 10_608 + 157_662 + 2 * 16_800 + 152_960 + 153_916 + 2 * 607_200
    )


def test_what_is_not_understood_is_told_by_name(tmp_path: Path) -> None:
    """Files that begin with ETL, or lie in what does, but are none of the database's are named; INFO texts counted."""
    root = lay(
        tmp_path / "etl", ETL9G_01=wide_file("9G", [("亜", 1)]), ETL9G_51=b"x", ETL9INFO=b"text", ETL8INFO=b"text"
    )
    lay(
        root,
        **{"ETL9G_02.7z": b"x", "ETL9G_02 (1)": b"x", "ETL9G_01.png": b"x", "readme.txt": b"x", "._ETL9G_03": b"x"},
    )
    lay(root, **{"x/ETL6/first": b"x", "x/ETL6/readme.txt": b"x"})
    packed(root / "ETL5.zip", data__1=b"x", data__inner__zip=b"x")
    packed(root / "other.zip", data__1=b"x", **{"inner.zip": b"x"})
    scan = scan_of(root, tmp_path)
    assert origins_of(scan) == ["ETL9G_01, record 0"]
    told = "\n".join(scan.notes)
    for name in (
        *("ETL9G_51", "ETL9G_02.7z", "ETL9G_02 (1)", "ETL9G_01.png"),
        *("x/ETL6/first", "ETL5.zip/data/1", "other.zip/inner.zip"),
    ):
        assert name in told
    assert "2 INFO texts left out" in scan.notes
    assert "readme" not in told
    assert "ETL9G_03," in told  # missing, and not there hidden


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("alone", [True, False], ids=["an archive", "a directory of archives"])
def test_archives_give_what_files_give(tmp_path: Path, method: int, jobs: int, alone: bool) -> None:
    """Archives, stored or deflated, by themselves or in a directory, have the files' pictures, labels and groups."""
    files = {
        "ETL9G__ETL9G_01": wide_file("9G", [("亜", 1), ("唖", 21)]),
        "ETL9G__ETL9G_02": wide_file("9G", [("娃", 90)], 2),
    }
    root = tmp_path / "etl"
    path = packed(root / "down" / "etl9g.ZIP", method, **files, ETL9G__ETL9INFO=b"text")
    spec = path if alone else root
    assert isinstance(open_source(str(spec)), EtlSource)
    scan = scan_of(spec, tmp_path, jobs=jobs)
    plain = scan_of(lay(tmp_path / "plain", **files), tmp_path)
    assert labels_of(scan) == labels_of(plain) == ["亜", "唖", "娃"]
    assert groups_of(scan) == groups_of(plain)
    assert_pictures(pixels_of(scan), pixels_of(plain))
    inside = "" if alone else "down/etl9g.ZIP/"
    assert origins_of(scan) == [inside + origin for origin in origins_of(plain)]
    assert "1 INFO text left out" in scan.notes


def test_stored_members_are_read_in_place_and_deflated_ones_beside_the_source_file(tmp_path: Path) -> None:
    """Nothing is copied that lies in the archive as it is."""
    content = wide_file("9G", [("亜", 1), ("唖", 21)])
    for method, copies in ((zipfile.ZIP_STORED, 0), (zipfile.ZIP_DEFLATED, 1)):
        workspace = tmp_path / f"w{method}"
        workspace.mkdir()
        open_source(str(packed(tmp_path / f"{method}.zip", method, ETL9G_01=content))).scan(workspace)
        assert [path.stat().st_size for path in workspace.glob("9G-*")] == [len(content)] * copies


def test_archives_that_do_not_fit_on_the_disk_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is unpacked, the room is looked at; only what is taken counts, and what must be unpacked."""
    root = tmp_path / "etl"
    packed(root / "a.zip", ETL9G_01=wide_file("9G", [("亜", 1)] * 3))
    packed(root / "b.zip", zipfile.ZIP_STORED, ETL6C_01=m_file([("ｱ", 1)] * 20))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=20_000))
    with pytest.raises(EpochbankError, match=r"24\.6 kB .* 20\.0 kB"):
        scan_of(root, tmp_path)
    assert len(scan_of(root, tmp_path, "6").labels) == 20


def test_an_unpacked_file_comes_before_its_archive(tmp_path: Path) -> None:
    """A file that lies there both unpacked and in an archive is taken once, unpacked, and that is said."""
    root = lay(tmp_path / "etl", ETL9G__ETL9G_01=wide_file("9G", [("亜", 1)]))
    packed(root / "ETL9G.zip", ETL9G__ETL9G_01=wide_file("9G", [("唖", 1)] * 2))
    scan = scan_of(root, tmp_path)
    assert origins_of(scan) == ["ETL9G/ETL9G_01, record 0"]
    assert "ETL9G_01 is taken from ETL9G/ETL9G_01, not from ETL9G.zip/ETL9G/ETL9G_01" in scan.notes


def test_the_same_file_twice_is_refused(tmp_path: Path) -> None:
    """Two copies of a file, both unpacked or both in archives, are refused, naming both."""
    content = wide_file("9G", [("亜", 1)])
    root = lay(tmp_path / "a", one__ETL9G_01=content, two__etl9g_1=content)
    with pytest.raises(EpochbankError, match=r"one/ETL9G_01 and two/etl9g_1"):
        scan_of(root, tmp_path)
    packed(tmp_path / "b" / "1.zip", ETL9G_01=content)
    packed(tmp_path / "b" / "2.zip", ETL9G_01=content)
    with pytest.raises(EpochbankError, match=r"1\.zip/ETL9G_01 and 2\.zip/ETL9G_01"):
        scan_of(tmp_path / "b", tmp_path)


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    """A link to a folder above is not followed for ever."""
    root = lay(tmp_path / "etl", ETL9G__ETL9G_01=wide_file("9G", [("亜", 1)]))
    (root / "ETL9G" / "up").symlink_to("..")
    (root / "ETL9G" / "itself").symlink_to("itself")
    assert isinstance(open_source(str(root)), EtlSource)
    assert len(scan_of(root, tmp_path).labels) == 1


# What the kind is told from


def test_the_kind_is_told_from_the_names(tmp_path: Path) -> None:
    """Pictures stay pictures, in folders and archives; `etl:` forces the kind; one file of the database will do."""
    pictures = tmp_path / "pictures"
    (pictures / "a").mkdir(parents=True)
    Image.new("L", (4, 4)).save(pictures / "a" / "ETL9G_01.png")
    assert isinstance(open_source(str(pictures)), FolderSource)
    assert isinstance(open_source(str(packed(tmp_path / "p.zip", a__1=b"x"))), ZipSource)
    assert isinstance(open_source(f"etl:{pictures}"), EtlSource)
    single = lay(tmp_path / "one", ETL9G_01=wide_file("9G", [("亜", 1)])) / "ETL9G_01"
    assert isinstance(open_source(str(single)), EtlSource)
    assert origins_of(scan_of(single, tmp_path)) == ["ETL9G_01, record 0"]


def test_telling_the_kind_looks_at_few_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a folder of millions of pictures only the first entries are looked at, and only its top levels."""
    root = lay(tmp_path / "etl", a__b__c__ETL9G_01=b"x", **{f"{number}.png": b"x" for number in range(20)})
    assert holds_etl(root)
    monkeypatch.setattr(places, "_LOOKED_AT", 10)
    assert not holds_etl(root)
    monkeypatch.undo()
    assert not holds_etl(lay(tmp_path / "deep", a__b__c__d__e__ETL9G_01=b"x"))


def test_options_for_etl_fit_no_other_source(tmp_path: Path) -> None:
    """--etl-sets and --characters are refused where the source is none of the database's."""
    (tmp_path / "t" / "a").mkdir(parents=True)
    Image.new("L", (4, 4)).save(tmp_path / "t" / "a" / "1.png")
    for options in (SourceOptions(etl_sets="9G"), SourceOptions(characters="kanji")):
        with pytest.raises(EpochbankError, match="ETL Character Database"):
            open_source(str(tmp_path / "t"), options)


def test_identity_changes_with_the_files_that_matter(tmp_path: Path) -> None:
    """Files of the database, archives and the table count, by path, bytes and time; other files do not."""
    root = lay(tmp_path / "etl", ETL9G__ETL9G_01=b"1", euc_co59__dat=b"")
    packed(root / "x.zip", ETL6C_01=b"")
    os.utime(root / "ETL9G" / "ETL9G_01", ns=(5, 7))
    source = open_source(str(root))
    first = source.identity()
    assert first[:2] == ["etl", str(root.resolve())]
    assert first[2][0] == ["ETL9G/ETL9G_01", 1, 7]
    assert first[2][1][0] == "x.zip"
    lay(root, notes__txt=b"")
    assert source.identity() == first
    lay(root, **{"EUC_CO59.DAT": b"x"})
    assert source.identity() != first
    second = source.identity()
    lay(root, ETL9G__ETL9G_01=b"2")
    assert source.identity() != second


# Dummies, model pictures, partial copies


def test_dummies_and_model_pictures_are_left_out_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first record of a B file, and what follows the official number in the last one, are no pictures."""
    with_counts(monkeypatch, "8B", 2, 2, 3)
    with_counts(monkeypatch, "9B", 1, 1, 1, 1, 2)
    root = lay(
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
    assert_pictures(pixels_of(scan)[:3], [bright("8B", number) for number in range(3)])
    assert "4 dummies left out, the first record of each file of ETL8B and ETL9B" in scan.notes
    assert "2 model pictures at the end of ETL8B2C3 left out" in scan.notes
    assert "1 model picture at the end of ETL9B_5 left out" in scan.notes
    assert [note for note in scan.notes if "holds" in note] == []


def test_models_are_told_by_the_official_count() -> None:
    """The specification's numbers: 50,560 pictures and 956 models, 121,440 and 3,036."""
    for name, number, pictures, models in (("8B", 3, 50_560, 956), ("9B", 5, 121_440, 3_036)):
        assert catalog.SETS[name].counts[number - 1] == pictures
        assert catalog.SETS[name].models == {number: models}


def test_partial_copies_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another number of records than the official one is no fault, but said; so is a set without all its files."""
    with_counts(monkeypatch, "9G", 2, 2, 2)
    root = lay(
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
    ]


def test_a_whole_copy_gets_no_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is left out and nothing is missing, nothing is said."""
    with_counts(monkeypatch, "9G", 2)
    assert scan_of(lay(tmp_path / "etl", ETL9G_01=wide_file("9G", [("亜", 1)] * 2)), tmp_path).notes == []


# What cannot be used


def test_a_truncated_tail_is_told_by_file_and_record(tmp_path: Path) -> None:
    """Whole records are used; what is left of the last one is named."""
    root = lay(tmp_path / "etl", ETL9G_01=wide_file("9G", [("亜", 1), ("唖", 1), ("娃", 1)])[:-4000])
    scan = scan_of(root, tmp_path)
    assert labels_of(scan) == ["亜", "唖"]
    assert scan.bad == [("ETL9G_01, record 2", "is cut off: 4,199 of 8,199 bytes")]


def test_unknown_codes_are_told_by_file_and_record(tmp_path: Path) -> None:
    """A code without a character is no label, in any of the three codes; a blank is none either."""
    picture = raw("9G", 0)
    records = [
        write.record_9g(picture, code=code, sheet=1) for code in (0x3021, 0x2121, 0x0000, 0x2921, 0x3022, 0x7F21)
    ]
    small = [write.record_m(raw("M", 0), jis=code) for code in (0xB1, 0x20, 0x00, 0x7F, 0xA0, 0xE0)]
    printed = k_file([("上", "A", "MINCHO"), ("▲", "A", "MINCHO")])
    other = write.record_k(raw("K", 0), co59=(9, 9), serial=1)
    root = lay(tmp_path / "etl", ETL9G_01=b"".join(records), ETL6C_01=b"".join(small), ETL2_1=printed + other)
    lay(root, **{"euc_co59.dat": write.co59_table(CO59)})
    scan = scan_of(root, tmp_path, "2,6,9G")
    assert labels_of(scan) == ["上", "ア", "亜", "唖"]
    assert [where for where, _ in scan.bad] == [
        *(f"ETL2_1, record {number}" for number in (1, 2)),
        *(f"ETL6C_01, record {number}" for number in (1, 2, 3, 4, 5)),
        *(f"ETL9G_01, record {number}" for number in (1, 2, 3, 5)),
    ]
    assert "0,0" in scan.bad[0][1]
    assert "0x2921" in scan.bad[9][1]


def test_a_sheet_without_a_form_is_told(tmp_path: Path) -> None:
    """Sheets of ETL8 and ETL9 are counted from 1: a sheet 0 belongs to no form, so that its group cannot be told."""
    scan = scan_of(lay(tmp_path / "etl", ETL9G_01=wide_file("9G", [("亜", 0), ("唖", 1)])), tmp_path)
    assert labels_of(scan) == ["唖"]
    assert [where for where, _ in scan.bad] == ["ETL9G_01, record 0"]


def test_on_bad_skip_imports_the_rest(tmp_path: Path) -> None:
    """Refused with file and record, unless they are to be skipped: then recorded in the source file."""
    root = lay(tmp_path / "etl", ETL9G_01=wide_file("9G", [("亜", 1), ("唖", 21)]) + b"tail")
    with pytest.raises(
        EpochbankError, match=r"1 of 3 pictures or files.*\n  ETL9G_01, record 2 is cut off: 4 of 8,199 bytes"
    ):
        import_to(tmp_path / "a.h5", root)
    file = import_to(tmp_path / "b.h5", root, ImportOptions(on_bad="skip"))
    assert file.skipped_names() == [("ETL9G_01, record 2", "is cut off: 4 of 8,199 bytes")]
    assert file.images == 2
    assert [file.origin(row) for row in range(2)] == ["ETL9G_01, record 0", "ETL9G_01, record 1"]


def test_empty_and_unreadable_files_are_told(tmp_path: Path) -> None:
    """An empty file, a link that leads nowhere, an archive that is none: each by name, and the rest is used."""
    root = lay(tmp_path / "etl", ETL9G_01=wide_file("9G", [("亜", 1)]), ETL9G_02=b"", **{"b.zip": b"no archive"})
    (root / "ETL9G_03").symlink_to("nowhere")
    nameless = packed(root / "nameless.zip", **{"%%": b"x"})
    nameless.write_bytes(nameless.read_bytes().replace(b"%%", b"\0\0"))
    packed(root / "whole.zip", ETL9G_04=wide_file("9G", [("亜", 1)]))
    content = (root / "whole.zip").read_bytes()
    (root / "whole.zip").write_bytes(content[: len(content) // 2])
    scan = scan_of(root, tmp_path)
    assert labels_of(scan) == ["亜"]
    told = dict(scan.bad)
    assert set(told) == {"ETL9G_02", "ETL9G_03", "b.zip", "whole.zip"}
    assert told["ETL9G_02"] == "is empty; expected records of 8,199 bytes"
    assert "No such file" in told["ETL9G_03"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_a_damaged_archive_is_told(tmp_path: Path, method: int) -> None:
    """A flipped bit within a member is found by its checksum; the other members are used, and no copy is left."""
    path = packed(
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


def test_archives_of_other_methods_and_with_passwords_are_told(tmp_path: Path) -> None:
    """What cannot be unpacked here is named, with the remedy."""
    content = wide_file("9G", [("亜", 1)])
    packed(tmp_path / "etl" / "a.zip", zipfile.ZIP_BZIP2, ETL9G_01=content)
    locked = bytearray(packed(tmp_path / "etl" / "b.zip", ETL9G_02=content).read_bytes())
    locked[6] |= 1
    locked[locked.rindex(b"PK\1\2") + 8] |= 1
    (tmp_path / "etl" / "b.zip").write_bytes(locked)
    packed(tmp_path / "etl" / "c.zip", ETL9G_03=content)
    scan = scan_of(tmp_path / "etl", tmp_path)
    assert [where for where, _ in scan.bad] == ["a.zip/ETL9G_01", "b.zip/ETL9G_02"]
    assert "Unpack it" in scan.bad[0][1]
    assert "password" in scan.bad[1][1]
    assert origins_of(scan) == ["c.zip/ETL9G_03, record 0"]


def test_what_cannot_be_looked_at_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that may not be listed, a file that may not be opened."""
    root = lay(tmp_path / "etl", a__ETL9G_01=wide_file("9G", [("亜", 1)]), b__ETL9G_02=b"", ETL9G_03=b"x" * 8199)
    list_folder, memmap = os.scandir, np.memmap

    def may_not_list(path: Any) -> Any:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied")
        return list_folder(path)

    def may_not_open(path: Path, *arguments: Any) -> Any:
        if path.name == "ETL9G_03":
            raise PermissionError(13, "Permission denied")
        return memmap(path, *arguments)

    monkeypatch.setattr(os, "scandir", may_not_list)
    monkeypatch.setattr(np, "memmap", may_not_open)
    scan = scan_of(root, tmp_path)
    assert scan.bad == [
        ("b/", "cannot be listed: Permission denied"),
        ("ETL9G_03", "cannot be read: Permission denied"),
    ]
    assert labels_of(scan) == ["亜"]


def test_a_disk_that_cannot_be_written_is_no_bad_file(tmp_path: Path) -> None:
    """Where an archive's files cannot be laid bare, the import fails: they are not taken for damaged."""
    path = packed(tmp_path / "a.zip", ETL9G_01=wide_file("9G", [("亜", 1)]))
    task = Task(catalog.SETS["9G"], 1, places.find(path).files["9G", 1][0], tmp_path / "nowhere" / "bare")
    with pytest.raises(OSError, match="nowhere"):
        harvest(task)


def test_a_source_without_a_usable_picture_is_refused(tmp_path: Path) -> None:
    """Nothing of the database, or nothing that can be used: refused, saying why."""
    with pytest.raises(EpochbankError, match="ETL9X"):
        scan_of(lay(tmp_path / "a", ETL9X=b"x"), tmp_path)
    with pytest.raises(EpochbankError, match="ETL9G_01 is empty"):
        scan_of(lay(tmp_path / "b", ETL9G_01=b""), tmp_path)
    damaged = lay(tmp_path / "c", **{"ETL9G.zip": b"PK"})
    assert isinstance(open_source(str(damaged)), EtlSource)
    (damaged / "ETL9G.zip").write_bytes(b"PK" + b"\xff" * 100)  # No end that says how many files there are.
    assert isinstance(open_source(str(damaged)), EtlSource)
    with pytest.raises(EpochbankError, match=r"ETL9G\.zip cannot be read"):
        scan_of(damaged, tmp_path)


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    """Between scan and reading: refused by name, not read as something else."""
    root = lay(tmp_path / "etl", ETL9G_01=wide_file("9G", [("亜", 1)] * 3))
    scan = scan_of(root, tmp_path)
    os.truncate(root / "ETL9G_01", 8199 * 2 + 100)
    with pytest.raises(EpochbankError, match="ETL9G_01 became shorter"):
        pixels_of(scan)
    (root / "ETL9G_01").unlink()
    with pytest.raises(EpochbankError, match="ETL9G_01 cannot be read"):
        pixels_of(scan)


# Which sets


def many(tmp_path: Path) -> Path:
    """A picture of each set, of a character of its own."""
    return lay(
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


def test_by_default_no_handwriting_is_taken_twice(tmp_path: Path) -> None:
    """9G rather than 9B, 8G rather than 8B, 7L rather than 7S, nothing printed; what is left out is said."""
    root = many(tmp_path)
    scan = scan_of(root, tmp_path)
    assert labels_of(scan) == ["0", "あ", "え", "か"]
    left = [note for note in scan.notes if "--etl-sets" in note]
    assert [note.split()[0] for note in left] == ["ETL2", "ETL7S", "ETL8B", "ETL9B"]
    for name in ("ETL7LC_1", "ETL8G_01", "ETL9G_01"):
        (root / name).unlink()
    scan = scan_of(root, tmp_path)
    assert labels_of(scan) == ["0", "い", "う", "お"]
    assert [note.split()[0] for note in scan.notes if "--etl-sets" in note] == ["ETL2"]


@pytest.mark.parametrize(
    ("named", "labels"),
    [("9G", "か"), ("etl9b", "お"), ("ETL8B, 9g", "うか"), ("9G,8G", "えか"), ("7", "あ"), ("7s", "い"), ("7L", "あ"),
     ("ETL_1 etl-7S", "0い"), ("9B,8B", "うお")],
)  # fmt: skip
def test_sets_are_named_in_any_case(tmp_path: Path, named: str, labels: str) -> None:
    """With or without ETL, in any order; nothing is said of sets that were not asked for."""
    scan = scan_of(many(tmp_path), tmp_path, named)
    assert "".join(labels_of(scan)) == labels
    assert [note for note in scan.notes if "--etl-sets" in note] == []


def test_seven_is_the_smaller_where_the_larger_is_not(tmp_path: Path) -> None:
    """`7` means 7L if it is there, else 7S."""
    assert labels_of(scan_of(lay(tmp_path / "etl", ETL7SC_2=m_file([("ｲ", 1)])), tmp_path, "7")) == ["い"]


@pytest.mark.parametrize(
    ("named", "told"),
    [("9H", "1, 2, 7L, 7S, 8B, 8G, 9B, 9G"), ("6", "ETL6|6 is not there"), ("9B,9G", "same handwriting"),
     ("8G,8B", "same handwriting"), ("7L,7S", "same handwriting"), ("7,7S", "same handwriting"),
     (" , ", "names no set"), ("2", r"euc_co59\.dat")],
)  # fmt: skip
def test_sets_that_cannot_be_taken_are_refused(tmp_path: Path, named: str, told: str) -> None:
    """Unknown ones, absent ones, the same handwriting twice, and the printed set without its table."""
    with pytest.raises(EpochbankError, match=told) as refusal:
        scan_of(many(tmp_path), tmp_path, named)
    assert refusal.value.exit_code == (1 if named == "2" else 2)


def test_the_printed_set_alone_must_be_named(tmp_path: Path) -> None:
    """ETL2 is taken only when named, also where there is nothing else."""
    root = lay(tmp_path / "etl", ETL2_1=k_file([("上", "A", "MINCHO")]), **{"euc_co59.dat": write.co59_table(CO59)})
    with pytest.raises(EpochbankError, match="--etl-sets 2"):
        scan_of(root, tmp_path)
    assert labels_of(scan_of(root, tmp_path, "2")) == ["上"]


@pytest.mark.parametrize("place", ["etl/EUC_CO59.dat", "etl/tools/euc_co59.dat", "euc_co59.DAT", "in the archive"])
def test_the_table_of_the_printed_set_is_found(tmp_path: Path, place: str) -> None:
    """Beside the files, elsewhere in the directory, beside the archive, or in it; in any case."""
    table, content = write.co59_table(CO59), k_file([("上", "A", "MINCHO"), ("Ａ", "A", "MINCHO")])  # noqa: RUF001
    if place.startswith("etl/"):
        spec = lay(tmp_path / "etl", ETL2__ETL2_1=content)
        lay(tmp_path, **{place: table})
    elif place.startswith("euc"):
        spec = packed(tmp_path / "ETL2.zip", ETL2_1=content)
        lay(tmp_path, **{place: table})
    else:
        spec = packed(tmp_path / "ETL2.zip", **{"ETL2_1": content, "x/euc_co59.dat": table})
    before = open_source(str(spec)).identity()
    assert labels_of(scan_of(spec, tmp_path, "2")) == ["上", "A"]
    if not place.startswith("in"):
        os.utime(tmp_path / place, ns=(1, 1))
        assert open_source(str(spec)).identity() != before


def test_tables_that_differ_or_are_none_are_refused(tmp_path: Path) -> None:
    """Which of two tables is right cannot be told; what is no table is shown."""
    root = lay(tmp_path / "etl", ETL2_1=k_file([("上", "A", "MINCHO")]), **{"a/euc_co59.dat": write.co59_table(CO59)})
    lay(root, **{"b/euc_co59.dat": write.co59_table(CO59)})
    assert labels_of(scan_of(root, tmp_path, "2")) == ["上"]
    lay(root, **{"b/euc_co59.dat": write.co59_table([("下", (12, 33))])})
    with pytest.raises(EpochbankError, match=r"a/euc_co59\.dat and b/euc_co59\.dat differ"):
        scan_of(root, tmp_path, "2")
    packed(tmp_path / "large" / "ETL2.zip", ETL2_1=k_file([("上", "A", "MINCHO")]), **{"euc_co59.dat": bytes(2 << 20)})
    with pytest.raises(EpochbankError, match=r"euc_co59\.dat has 2,097,152 bytes; expected at most"):
        scan_of(tmp_path / "large", tmp_path, "2")
    for content in (b"", b"x", b"x:1", b"x:1,64", b"\xff:1,2", b"x:a,b", b"x:1,2,3"):
        with pytest.raises(EpochbankError, match="euc_co59"):
            read_table(content, "euc_co59.dat")


# Which characters


def test_every_code_is_one_character() -> None:
    """Katakana are full-width, ｨ and ｪ stand for ヰ and ヱ; in the hiragana sets all are hiragana; ASCII is ASCII."""
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
    assert len(codes) == 6_879 - 2  # The blank is none, nor is the sign that stands for what is unreadable.


def test_repeated_kana_are_one_label(tmp_path: Path) -> None:
    """The 51-kana sets repeat イ, ウ and エ: 48 labels."""
    gojuon = "ｱｲｳｴｵｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄﾅﾆﾇﾈﾉﾊﾋﾌﾍﾎﾏﾐﾑﾒﾓﾔｲﾕｴﾖﾗﾘﾙﾚﾛﾜｨｳｪｦﾝ"
    assert len(gojuon) == 51
    records = [write.record_c(raw("C", 0), jis=write.jis0201(kana), sheet=1, serial=1) for kana in gojuon]
    scan = scan_of(lay(tmp_path / "etl", ETL4C=b"".join(records), ETL5C=b"".join(records)), tmp_path, "4")
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
    """A of ETL1 (ASCII), ETL2 (full-width) and あ of ETL4 (katakana's code), ETL9 (its own)."""
    root = lay(
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
    """Kanji by their block, kana by theirs with their marks, digits, letters; all else are symbols."""
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
def test_characters_are_picked_by_group_or_one_by_one(tmp_path: Path, characters: str, labels: str) -> None:
    """Words name groups; where one of them does not, all is a list of characters."""
    root = lay(
        tmp_path / "etl",
        ETL1C_01=m_file([("0", 1), ("A", 1), ("+", 2), ("¥", 2), ("ｱ", 2)]),
        ETL9G_01=wide_file("9G", [("あ", 1), ("亜", 1)]),
    )
    scan = scan_of(root, tmp_path, characters=characters)
    assert "".join(labels_of(scan)) == labels
    assert scan.class_names == sorted(labels)
    out = [note for note in scan.notes if "other characters" in note]
    assert out == (
        [f"pictures of other characters left out, as --characters says: {7 - len(labels)}"] if len(labels) < 7 else []
    )
    whole = scan_of(root, tmp_path)
    at = [origins_of(whole).index(origin) for origin in origins_of(scan)]
    assert_pictures(pixels_of(scan), [pixels_of(whole)[index] for index in at])


def test_characters_that_occur_nowhere_are_told(tmp_path: Path) -> None:
    """By a note where others occur; refused where none does; a text without any is refused at once."""
    root = lay(tmp_path / "etl", ETL9G_01=wide_file("9G", [("あ", 1), ("亜", 1)]))
    scan = scan_of(root, tmp_path, characters="亜々一")
    assert "of the characters that --characters names, these occur nowhere: 々, 一" in scan.notes
    with pytest.raises(EpochbankError, match=r"knaji.*kanji, hiragana"):
        scan_of(root, tmp_path, characters="knaji")
    with pytest.raises(EpochbankError, match="names no character") as refusal:
        pick(" , ")
    assert refusal.value.exit_code == 2


# Reading


def test_any_selection_of_pictures_is_read_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours, scattered ones, one, none; across files and record types; in runs that stay small."""
    root = lay(
        tmp_path / "etl",
        ETL6C_01=m_file([("ｱ", 1)] * 6),
        ETL9G_01=wide_file("9G", [("亜", 1)] * 6, 6),
        ETL9G_02=wide_file("9G", [("亜", 1)] * 6, 12),
    )
    expected = [bright("M" if number < 6 else "9G", number) for number in range(18)]
    scan = scan_of(root, tmp_path)
    monkeypatch.setattr(reader, "_RUN_BYTES", 2 * 127 * 128)
    for gap in (0, 1 << 30):
        monkeypatch.setattr(reader, "_GAP", gap)
        for indices in ([], [0], [17], range(18), range(0, 18, 2), [0, 5, 6, 11, 12, 17], [7, 8, 16]):
            assert_pictures(pixels_of(scan, list(indices)), [expected[index] for index in indices])
    assert [len(run) for run in scan.reader.read(np.arange(6, 18))] == [2] * 6  # type: ignore[arg-type]


def test_files_are_looked_through_a_piece_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes, sheets and places are right over the seams of what is mapped at once."""
    root = lay(
        tmp_path / "etl",
        ETL9B_1=wide_file("9B", [(character, 20 * row + 1) for row, character in enumerate("亜唖娃阿哀愛挨")]),
    )
    for window in (1, 576 * 3 + 5):
        monkeypatch.setattr(harvesting, "_WINDOW", window)
        scan = scan_of(root, tmp_path)
        assert "".join(labels_of(scan)) == "亜唖娃阿哀愛挨"
        assert groups_of(scan) == [f"ETL9 set {number}" for number in range(7)]
        assert origins_of(scan) == [f"ETL9B_1, record {number}" for number in range(1, 8)]


def test_workers_make_no_difference(tmp_path: Path) -> None:
    """One core or two: the same source file, to the digest, from files and from archives."""
    root = tmp_path / "etl"
    for number in range(1, 4):
        lay(root, **{f"ETL9G_0{number}": wide_file("9G", [("亜", number), ("唖", 40)] * 2, 4 * number)})
    packed(root / "ETL6.zip", ETL6C_01=m_file([("ｱ", 1)]), ETL6C_02=m_file([("ｲ", 2)], 1))
    one, two = (import_to(tmp_path / f"{jobs}.h5", root, jobs=jobs) for jobs in (1, 2))
    assert one.digest == two.digest
    assert one.images == 14
    assert one.group_names == two.group_names
    assert [one.origin(row) for row in range(14)] == [two.origin(row) for row in range(14)]
