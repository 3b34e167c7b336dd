"""What real copies of the ETL Character Database hold beside the specification, in miniature.

Forms have 6 characters on 2 sheets instead of 3,036 on 20, and files are as small.
"""

import dataclasses
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import etl_writer as write
from epochbank.augment.cli import main as augment
from epochbank.augment.errors import EpochbankError
from epochbank.augment.ingest.importer import ImportOptions
from epochbank.augment.sources.etl import EtlSource
from epochbank.augment.sources.etl.catalog import SETS, Forms
from epochbank.augment.sources.etl.forms import forms_by_character, forms_of_file
from epochbank.augment.sources.find import open_source
from epochbank.augment.sources.folders.source import FolderSource, ZipSource
from test_etl import (
    CO59,
    assert_images,
    bright,
    groups_of,
    import_to,
    k_file,
    labels_of,
    m_file,
    origins_of,
    pixels_of,
    raw,
    scan_of,
    wide_file,
    write_files,
    write_zip,
)

FORM = Forms(characters=6, sheets=2, count=8)
KANJI = "亜唖娃阿哀愛"
"""The characters of a form of ETL9G in miniature; the first is that of the real forms."""
KANA = "あいうえおか"
"""The characters of a form of ETL8G and ETL9B in miniature."""
FORMS_PER_FILE = 4


@pytest.fixture
def mini(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the forms of ETL8 and ETL9 small: two in a file of ETL8G, four in one of ETL9."""
    for name, counts, models in (("8G", (12,) * 32 + (0,), {33: 6}), ("9G", (24,) * 50, {}), ("9B", (24,) * 5, {5: 6})):
        forms = dataclasses.replace(FORM, count=sum(counts) // FORM.characters)
        monkeypatch.setitem(SETS, name, dataclasses.replace(SETS[name], counts=counts, models=models, forms=forms))
    forms = dataclasses.replace(FORM, by_character=True)
    monkeypatch.setitem(SETS, "8B", dataclasses.replace(SETS["8B"], counts=(16, 16, 16), models={3: 6}, forms=forms))


def form_major(first_form: int, num_forms: int, restart: int | None, characters: str) -> list[tuple[str, int]]:
    """Return character and sheet of the images of consecutive forms; sheets restart every `restart` forms."""
    return [
        (character, 2 * (form % restart if restart else form) + 1 + place // 3)
        for form in range(first_form, first_form + num_forms)
        for place, character in enumerate(characters)
    ]


def true_forms(num_files: int) -> list[str]:
    return [
        f"ETL9G_{file:02d} form {form}"
        for file in range(1, num_files + 1)
        for form in range(1, FORMS_PER_FILE + 1)
        for _ in KANJI
    ]


# Groups


@pytest.mark.parametrize("restart", [1, FORMS_PER_FILE, 3, 10 * FORMS_PER_FILE, None])
def test_forms_of_etl9g_are_groups_whatever_the_sheet_numbers(tmp_path: Path, mini: None, restart: int | None) -> None:
    """A form is one group although sheet numbers restart every form, every file, in between, every ten files."""
    num_files = 12 if restart == 10 * FORMS_PER_FILE else 5
    files = {
        f"ETL9G_{file + 1:02d}": wide_file("9G", form_major(FORMS_PER_FILE * file, FORMS_PER_FILE, restart, KANJI))
        for file in range(num_files)
    }
    scan = scan_of(write_files(tmp_path / "etl", **files), tmp_path)
    assert groups_of(scan) == true_forms(num_files)
    assert labels_of(scan) == list(KANJI) * FORMS_PER_FILE * num_files
    count = FORMS_PER_FILE * num_files
    assert f"ETL9G: {count} forms found, {count} expected in {num_files} files" in scan.notes
    assert not [note for note in scan.notes if "sheet numbers" in note]


@pytest.mark.parametrize(("name", "stem"), [("8G", "ETL8G_0{}"), ("9B", "ETL9B_{}")])
@pytest.mark.parametrize("restart", [1, 2, None])
def test_forms_of_other_sets_by_form(tmp_path: Path, mini: None, name: str, stem: str, restart: int | None) -> None:
    """ETL8G and ETL9B are grouped like ETL9G; the dummy record of 9B is not counted."""
    per_file = 2 if name == "8G" else 4
    files = {
        stem.format(file + 1): wide_file(name, form_major(per_file * file, per_file, restart, KANA))
        for file in range(2)
    }
    scan = scan_of(write_files(tmp_path / "etl", **files), tmp_path)
    assert groups_of(scan) == [f"{stem.format(file + 1)} form {form + 1}" for file in range(2)
                               for form in range(per_file) for _ in KANA]  # fmt: skip


def test_a_cut_off_file_keeps_its_forms(tmp_path: Path, mini: None) -> None:
    """The last form of an incomplete download is a group as it is; the note reports how many forms are missing."""
    images = form_major(0, 3, 1, KANJI)[:-2]
    scan = scan_of(write_files(tmp_path / "etl", ETL9G_07=wide_file("9G", images)), tmp_path)
    assert groups_of(scan) == [f"ETL9G_07 form {number // 6 + 1}" for number in range(16)]
    assert "ETL9G: 3 forms found, 4 expected in 1 file" in scan.notes


def test_a_file_without_its_beginning_is_grouped_by_sheets(tmp_path: Path, mini: None) -> None:
    """If sheet numbers fall back where no form ends by position, ranges of sheets are groups, and a note says so."""
    images = form_major(0, 4, 2, KANJI)[2:]
    scan = scan_of(write_files(tmp_path / "etl", ETL9G_07=wide_file("9G", images)), tmp_path)
    assert groups_of(scan) == [
        *["ETL9G_07 sheets 1 to 2"] * 4,
        *["ETL9G_07 sheets 3 to 4"] * 6,
        *["ETL9G_07 sheets 1 to 2"] * 6,
        *["ETL9G_07 sheets 3 to 4"] * 6,
    ]
    assert [note for note in scan.notes if "ETL9G_07: the sheet numbers do not fit forms of 6 images" in note]


@pytest.mark.parametrize("restart", [2, None])
def test_forms_by_character_are_the_position_within_each_character(
    tmp_path: Path, mini: None, restart: int | None
) -> None:
    """ETL8B has all forms of one character, then of the next; a form continues in the next file."""
    images = [
        [(character, 2 * (form % restart if restart else form) + 1 + place // 3) for form in range(8)]
        for place, character in enumerate(KANA)
    ]
    files = {
        f"ETL8B2C{file + 1}": wide_file("8B", [one for run in images[2 * file : 2 * file + 2] for one in run])
        for file in range(3)
    }
    scan = scan_of(write_files(tmp_path / "etl", **files), tmp_path)
    assert groups_of(scan) == [f"ETL8B form {number % 8 + 1}" for number in range(48)]
    assert "ETL8B: 8 forms found, 8 expected in 3 files" in scan.notes


def test_an_incomplete_set_by_character_is_grouped_by_sheets(tmp_path: Path, mini: None) -> None:
    """If images are missing anywhere, positions identify nothing, and the sheets are used in all files."""
    run = [(2 * form + 1) for form in range(8)]
    one = wide_file("8B", [("あ", sheet) for sheet in run])
    other = wide_file("8B", [("い", sheet) for sheet in run[1:]])
    scan = scan_of(write_files(tmp_path / "etl", ETL8B2C1=one, ETL8B2C2=other), tmp_path)
    by_sheet = [f"ETL8B sheets {sheet} to {sheet + 1}" for sheet in run]
    assert groups_of(scan) == [*by_sheet, *by_sheet[1:]]


@given(
    restart=st.integers(1, 9),
    first=st.integers(0, 5),
    num_images=st.integers(1, 40),
    order=st.sampled_from(["kept", "reversed", "shuffled"]),
    seed=st.integers(0, 99),
)
def test_no_form_is_in_two_groups(restart: int, first: int, num_images: int, order: str, seed: int) -> None:
    """Whatever the interval of the sheet numbers, and whatever part of a file there is in whatever order."""
    form, place = np.divmod(np.arange(first, first + num_images), 6)
    codes, sheets = 0x3021 + place, 2 * (form % restart) + 1 + place // 3
    orders = {
        "kept": np.arange(num_images),
        "reversed": np.arange(num_images)[::-1],
        "shuffled": np.random.default_rng(seed).permutation(num_images),
    }
    index = orders[order]
    found = forms_of_file(codes[index], sheets[index], FORM, is_complete=first == 0 and order == "kept")
    groups_of_form = {(one, other) for one, other in zip(form[index], found.number, strict=True)}
    if order == "kept" or not found.by_position:
        assert len(groups_of_form) == len(np.unique(form))
    if first == 0 and order == "kept":
        assert len(np.unique(found.number)) == len(np.unique(form))


@given(restart=st.integers(1, 9), dropped=st.sets(st.integers(0, 31), max_size=4))
def test_no_form_by_character_is_in_two_groups(restart: int, dropped: set[int]) -> None:
    """The same for a set that holds one character after another, with images missing anywhere."""
    kept = np.setdiff1d(np.arange(32), sorted(dropped))
    form, place = kept % 8, kept // 8
    codes, sheets = 0x2422 + place, 2 * (form % restart) + 1 + place // 3
    parts = [codes[place < 2], codes[place >= 2]], [sheets[place < 2], sheets[place >= 2]]
    found = forms_by_character(*parts, dataclasses.replace(FORM, by_character=True), is_complete=not dropped)
    number = np.concatenate([each.number for each in found])
    assert len(set(zip(form.tolist(), number.tolist(), strict=True))) == len(np.unique(form))
    assert len(np.unique(number)) == 8 or dropped


# Layouts


def data_reader_files() -> dict[str, bytes]:
    """Return files in the layout of ETLCDB_data_reader: folder, name, content."""
    return {
        "ETL1/ETL1C_01": m_file([("ｱ", 1)], 50),
        "ETL8/ETL82C1": wide_file("8B", [("あ", 1), ("あ", 3)], 10),
        "ETL9/ETL9_01": wide_file("8G", form_major(0, 2, None, KANA), 20),
        "ETL10/ETL10_1": wide_file("9B", form_major(0, 4, None, KANA), 30),
        "ETL11/ETL11_01": wide_file("9G", form_major(0, 4, 4, KANJI), 40),
        "ETL9/ETL9INFO": b"text",
        "euc_co59.dat": write.co59_table(CO59),
    }


def test_the_layout_of_etlcdb_data_reader_is_read(tmp_path: Path, mini: None) -> None:
    """ETL9 is 8G, ETL10 is 9B, ETL11 is 9G, with the pixels of each; nothing is read twice from zips beside them."""
    files = data_reader_files()
    root = write_files(tmp_path / "ETL_data_set", **files)
    write_zip(root / "ETL8G.zip", ETL8G__ETL8G_01=files["ETL9/ETL9_01"], ETL8G__ETL8INFO=b"text")
    write_zip(root / "ETL9G.zip", zipfile.ZIP_STORED, ETL9G__ETL9G_01=files["ETL11/ETL11_01"])
    write_zip(root / "unpack.zip", **{"unpack.py": b"", "euc_co59.dat": write.co59_table(CO59)})
    assert isinstance(open_source(str(root)), EtlSource)
    scan = scan_of(root, tmp_path)
    assert labels_of(scan) == ["ア", *KANA * 2, *KANJI * 4]
    assert [origin.split(",")[0] for origin in origins_of(scan)] == (
        ["ETL1/ETL1C_01"] + ["ETL9/ETL9_01"] * 12 + ["ETL11/ETL11_01"] * 24
    )
    expected = [bright("M", 50), *(bright("8G", 20 + k) for k in range(12)), *(bright("9G", 40 + k) for k in range(24))]
    assert_images(pixels_of(scan), expected)
    assert "ETL8G by its content: ETL9/ETL9_01" in scan.notes
    assert "ETL9G by its content: ETL11/ETL11_01" in scan.notes
    assert "read unpacked, although an archive has them too: ETL8G_01, ETL9G_01" in scan.notes
    black = scan_of(root, tmp_path, "8B,9B")
    assert labels_of(black) == ["あ", "あ", *KANA * 4]
    assert_images(pixels_of(black, [0, 1, 2]), [bright("8B", 10), bright("8B", 11), bright("9B", 30)])


@pytest.mark.parametrize(
    "names",
    [("ETL9_01", "ETL11_01"), ("ETL8_01", "ETL9_01"), ("ETL9G_01", "ETL8G_01"), ("ETL8G_01", "ETL9G_01"),
     ("ETL10_01", "ETL8_01")],
)  # fmt: skip
@pytest.mark.parametrize("archived", [False, True])
def test_content_decides_between_gray_sets(tmp_path: Path, mini: None, names: tuple[str, str], archived: bool) -> None:
    """8G and 9G under any name of ETL8 to ETL11, exchanged ones included, are read with their own offset."""
    contents = wide_file("8G", form_major(0, 2, None, KANA)), wide_file("9G", form_major(0, 4, 4, KANJI), 12)
    files = {f"x/{name}": content for name, content in zip(names, contents, strict=True)}
    root = tmp_path / "etl"
    if archived:
        write_zip(root / "a.zip", **files)
    else:
        write_files(root, **files)
    scan = scan_of(root, tmp_path, "8G,9G")
    assert labels_of(scan) == [*KANA * 2, *KANJI * 4]
    assert groups_of(scan)[0] == "ETL8G_01 form 1"
    assert groups_of(scan)[12] == "ETL9G_01 form 1"
    assert_images(pixels_of(scan), [bright("8G" if k < 12 else "9G", k) for k in range(36)])


@pytest.mark.parametrize("name", ["ETL9G_01", "ETL9_01", "ETL8B2C1", "ETL8G_01", "ETL10_01", "ETL9B_1", "ETL82C1"])
@pytest.mark.parametrize("record", ["8B", "9B"])
def test_content_decides_between_black_and_white_sets(tmp_path: Path, mini: None, name: str, record: str) -> None:
    """8B and 9B under the name of any set of ETL8 to ETL11 are read as what they are."""
    scan = scan_of(write_files(tmp_path / "etl", **{name: wide_file(record, form_major(0, 4, None, KANA))}), tmp_path)
    assert labels_of(scan) == list(KANA * 4)
    assert_images(pixels_of(scan), [bright(record, number) for number in range(24)])


def test_the_first_character_decides_if_corners_are_blank(tmp_path: Path, mini: None) -> None:
    """If the pixels at which the offsets differ are background in all images, あ distinguishes 8G from 9G."""
    blank = np.zeros((127, 128), np.uint8)
    blank[40:80, 40:80] = 9
    records = b"".join(write.record_8g(blank, code=write.jis0208(kana), sheet=1) for kana in KANA)
    scan = scan_of(write_files(tmp_path / "etl", ETL9G_01=records), tmp_path)
    assert groups_of(scan) == ["ETL8G_01 form 1"] * 6
    np.testing.assert_array_equal(pixels_of(scan)[0], blank * 17)


def test_constant_bytes_beside_the_image_do_not_decide(tmp_path: Path, mini: None) -> None:
    """Bytes without a meaning that differ from each other, but not between records, are not taken for pixels."""
    blank = np.zeros((127, 128), np.uint8)
    blank[40:80, 40:80] = 9
    for name, make, first, filler in (
        ("ETL8G_01", write.record_8g, "愛", slice(8188, 8199)),
        ("ETL9_01", write.record_9g, "亜", slice(30, 64)),
        ("ETL9G_01", write.record_9g, "愛", slice(30, 64)),
    ):
        records = np.frombuffer(make(blank, code=write.jis0208(first), sheet=1) * 5, np.uint8).reshape(5, -1).copy()
        records[:, filler] = np.arange(filler.stop - filler.start) + 65
        scan = scan_of(write_files(tmp_path / name, **{name: records.tobytes()}), tmp_path)
        np.testing.assert_array_equal(pixels_of(scan)[0], blank * 17)


@pytest.mark.parametrize("content", ["noise", "cut", "gzip"])
def test_a_damaged_file_stays_what_its_name_says(tmp_path: Path, mini: None, content: str) -> None:
    """Content that is no set at all is reported as damage of the named file, and never silently another set."""
    noise = np.random.default_rng(0).integers(0, 256, 81_990, np.uint8).tobytes()
    data = {"noise": noise, "cut": wide_file("9G", [("亜", 1)])[:8000], "gzip": b"\x1f\x8b" + noise[:20_000]}[content]
    root = write_files(tmp_path / "etl", ETL9G_01=wide_file("9G", form_major(0, 4, 4, KANJI)), ETL9G_02=data)
    scan = scan_of(root, tmp_path)
    assert len(scan.labels) >= 24
    assert scan.bad
    assert all(where.startswith("ETL9G_02") for where, _ in scan.bad)
    assert not [note for note in scan.notes if "ETL8B" in note or "ETL9B" in note]


def test_a_number_that_the_true_set_lacks_is_refused(tmp_path: Path, mini: None) -> None:
    """ETL8G under a name that cannot be one of its files is refused with its true set."""
    root = write_files(
        tmp_path / "etl", ETL9G_40=wide_file("8G", form_major(0, 2, None, KANA)), ETL9G_01=wide_file("9G", [("亜", 1)])
    )
    scan = scan_of(root, tmp_path)
    assert scan.bad == [("ETL9G_40", "holds records of ETL8G, which has no file 40; rename it")]
    with pytest.raises(EpochbankError, match="ETL9G_40 holds records of ETL8G"):
        import_to(tmp_path / "a.h5", root)
    with pytest.raises(EpochbankError, match="ETL9G_40 holds records of ETL8G"):
        scan_of(root / "ETL9G_40", tmp_path)


def test_the_same_file_under_two_names_is_refused(tmp_path: Path, mini: None) -> None:
    """A copy of a file under the name of another set is the same file, and not read twice."""
    content = wide_file("8G", form_major(0, 2, None, KANA))
    root = write_files(tmp_path / "etl", **{"ETL8G/ETL8G_01": content, "ETL9/ETL9_01": content})
    with pytest.raises(EpochbankError, match="ETL8G_01 exists more than once: ETL8G/ETL8G_01 and ETL9/ETL9_01"):
        scan_of(root, tmp_path)


def test_a_run_by_the_layout_of_etlcdb_data_reader(tmp_path: Path, mini: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """`augment run ETL_data_set/ --characters kanji` works, and each writer is in one split."""
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path / "ETL_data_set", **data_reader_files())
    words = ["run", "ETL_data_set/", "--characters", "kanji", "--epochs", "1", "--jobs", "1"]
    result = CliRunner().invoke(augment, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "ETL9G: 4 forms found, 4 expected in 1 file" in result.output


# Codes without a character, and model images


@pytest.mark.parametrize(("name", "file"), [("ETL1", "ETL1C_01"), ("ETL6", "ETL6C_01")])
def test_codes_of_etl1_and_etl6_that_are_no_damage(tmp_path: Path, name: str, file: str) -> None:
    """Images with code 0x00 and 0x20 are left out and counted by name; the copy is imported without --on-bad."""
    codes = [0xB1, 0x00, 0x20, 0x00, 0xB2, 0x20, 0x20]
    records = b"".join(write.record_m(raw("M", k), jis=code, name=b" A") for k, code in enumerate(codes))
    root = write_files(tmp_path / "etl", **{file: records})
    scan = scan_of(root, tmp_path)
    assert labels_of(scan) == ["ア", "イ"]
    assert scan.bad == []
    assert f"skipped 2 images of {name} with code 0x00, no character" in scan.notes
    assert f"skipped 3 images of {name} with code 0x20, the blank of JIS X 0201" in scan.notes
    assert_images(pixels_of(scan), [bright("M", 0), bright("M", 4)])
    imported = import_to(tmp_path / "a.h5", root)
    assert (imported.num_images, imported.skipped) == (2, 0)


def test_unreadable_characters_of_etl2_are_no_damage(tmp_path: Path) -> None:
    """Images that the table marks ▲ are left out and counted; the copy is imported without --on-bad."""
    images = [("上", "A", "MINCHO"), ("▲", "A", "MINCHO"), ("あ", "B", "GOTHIC"), ("▲", "B", "GOTHIC")]
    root = write_files(tmp_path / "etl", **{"ETL2_1": k_file(images), "euc_co59.dat": write.co59_table(CO59)})
    scan = scan_of(root, tmp_path, "2")
    assert labels_of(scan) == ["上", "あ"]
    assert scan.bad == []
    assert "skipped 2 images of ETL2 marked ▲, unreadable" in scan.notes
    assert_images(pixels_of(scan), [bright("K", 0), bright("K", 2)])


def test_etl8g_33_holds_model_images(tmp_path: Path, mini: None) -> None:
    """The images of ETL8G_33 are models that writers copied: left out, counted, and no form."""
    root = write_files(
        tmp_path / "etl",
        ETL8G_01=wide_file("8G", form_major(0, 2, None, KANA)),
        ETL8G_33=wide_file("8G", form_major(64, 1, None, KANA), 12),
    )
    scan = scan_of(root, tmp_path)
    assert labels_of(scan) == list(KANA * 2)
    assert "skipped 6 model images in ETL8G_33" in scan.notes
    assert "ETL8G: 2 forms found, 2 expected in 2 files" in scan.notes
    assert scan.bad == []
    with pytest.raises(EpochbankError, match="model images"):
        scan_of(root / "ETL8G_33", tmp_path)


def test_official_numbers_of_forms() -> None:
    """160 forms of 956 characters in ETL8, 200 of 3,036 in ETL9; ETL8G_33 and the ends of 8B and 9B are models."""
    for name, characters, count, models in (("8B", 956, 160, {3: 956}), ("8G", 956, 160, {33: 956}),
                                            ("9B", 3036, 200, {5: 3036}), ("9G", 3036, 200, {})):  # fmt: skip
        forms = SETS[name].forms
        assert forms is not None
        assert (forms.characters, forms.count) == (characters, count)
        assert sum(SETS[name].counts) == characters * count
        assert SETS[name].models == models
        if not forms.by_character:
            assert [images % characters for images in SETS[name].counts] == [0] * len(SETS[name].counts)


@pytest.mark.parametrize("lost", [3, 5, 6, 10])
def test_models_are_no_samples_if_records_are_missing_before_them(tmp_path: Path, mini: None, lost: int) -> None:
    """Models at the end of ETL9B_5 and ETL8B2C3 are recognized although the file has fewer records than it should."""
    models = [(character, 99) for character in KANA]
    images = form_major(0, 4, None, KANA)
    write_files(tmp_path / "9", ETL9B_5=wide_file("9B", images[:7] + images[7 + lost :] + models))
    by_character = [(character, 2 * form + 1) for character in KANA[:2] for form in range(8)]
    write_files(tmp_path / "8", ETL8B2C3=wide_file("8B", by_character[:3] + by_character[3 + lost :] + models))
    for name, stem, count in (("9", "ETL9B_5", 24), ("8", "ETL8B2C3", 16)):
        scan = scan_of(tmp_path / name, tmp_path)
        if name == "9" and lost == 6:  # A whole form less: the same number of records as without models.
            assert "ETL9B_5 holds 0 of 6 model images" in scan.notes
            continue
        assert len(scan.labels) == count - lost
        assert f"{stem} holds {count - lost} of {count} records" in scan.notes
        assert f"skipped 6 model images at the end of {stem}" in scan.notes


@pytest.mark.parametrize("missing", [1, 4, 6, 9])
def test_a_file_cut_off_among_its_models_has_fewer_models(tmp_path: Path, mini: None, missing: int) -> None:
    """A file that ends early lacks models first, then images."""
    images = form_major(0, 4, None, KANA) + [(character, 99) for character in KANA]
    scan = scan_of(write_files(tmp_path / "etl", ETL9B_5=wide_file("9B", images[:-missing])), tmp_path)
    assert len(scan.labels) == min(24, 30 - missing)
    assert f"ETL9B_5 holds {max(0, 6 - missing)} of 6 model images" in scan.notes


def test_a_single_wrong_sheet_number_does_not_divide_a_form(tmp_path: Path, mini: None) -> None:
    """In a cut-off file whose characters repeat as forms do, the position counts, not the sheet."""
    images = form_major(0, 4, 1, KANJI)[:-2]
    images[8] = (images[8][0], 999)
    scan = scan_of(write_files(tmp_path / "etl", ETL9G_07=wide_file("9G", images)), tmp_path)
    assert groups_of(scan) == [f"ETL9G_07 form {number // 6 + 1}" for number in range(22)]


# Messages


def test_a_directory_that_is_not_understood_says_what_was_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only INFO texts, packed files, second copies and unknown names: each is listed with the remedy."""
    monkeypatch.chdir(tmp_path)
    names = ["ETL9INFO", "ETL9G/ETL9G_01.Z", "ETL9G/ETL9G_02 (1)", "ETL9G/first", "ETL7/ETL7_1", "ETL12_01"]
    write_files(tmp_path / "etl", **dict.fromkeys(names, b"x"))
    write_zip(tmp_path / "etl" / "ETL6.zip", **{"inner.zip": b"x"})
    for words in (["run", "etl/"], ["run", "etl/", "--characters", "kanji"], ["plan", "etl/"], ["inspect", "etl/"],
                  ["import", "etl/", "a.h5", "--etl-sets", "9G"]):  # fmt: skip
        result = CliRunner().invoke(augment, words)
        assert result.exit_code == 1, result.output
        assert "holds no file of the ETL Character Database that can be read" in result.output
        assert "folder per class" not in result.output
        for line in ("ETL9INFO is a description without images", "ETL9G/ETL9G_01.Z is packed",
                     "ETL9G/ETL9G_02 (1) has the name of a second download; remove it, or rename it",
                     "ETL9G/first is not a name of the database", "ETL7/ETL7_1 belongs to ETL7L or ETL7S",
                     "ETL12_01 is not a name", "ETL6.zip/inner.zip is an archive in an archive"):  # fmt: skip
            assert line in result.output


@pytest.mark.parametrize("name", ["ETL9INFO", "ETL9G_01.Z", "ETL9G_01 (1)", "ETL9G_01.7z", "ETL12_01"])
def test_single_names_that_are_not_understood(tmp_path: Path, name: str) -> None:
    """A directory with one such file, and the file itself, are recognized as meant to be of the database."""
    path = write_files(tmp_path / "etl", **{name: b"x"})
    for spec in (path, path / name):
        source = open_source(str(spec))
        assert isinstance(source, EtlSource)
        with pytest.raises(EpochbankError, match="holds no file of the ETL Character Database") as refusal:
            source.scan(tmp_path)
        assert name in str(refusal.value)


def test_images_with_names_of_the_database_stay_images(tmp_path: Path) -> None:
    """Folders and archives of images are of another kind, even if their names begin with ETL."""
    for name in ("ETL9G/亜/ETL9G_01_17.png", "ETL9G/唖/2.png", "ETL9INFO.txt"):
        write_files(tmp_path / "images", **{name: b"x"})
    assert isinstance(open_source(str(tmp_path / "images")), FolderSource)
    assert isinstance(open_source(str(write_zip(tmp_path / "ETL9G.zip", **{"a/1.png": b"x"}))), ZipSource)
    assert isinstance(open_source(str(write_files(tmp_path / "etlx", **{"a/notes": b"x"}))), FolderSource)


def test_other_kinds_with_similar_names_stay_what_they_are(tmp_path: Path) -> None:
    """IDX files, deep folders of images and images of rare formats are not taken for the database."""
    idx = write_files(tmp_path / "idx", **{"etl9b-train-images-idx3-ubyte": b"x", "ETL9INFO": b"x"})
    assert not isinstance(open_source(str(idx)), EtlSource)
    deep = write_files(tmp_path / "deep", **{"ETL9G/a/b/c/d/亜/0.png": b"x", "ETL9G/LICENSE": b"x"})
    assert isinstance(open_source(str(deep)), FolderSource)
    rare = write_files(tmp_path / "rare", **{"a/0.ppm": b"x", "ETL9INFO": b"x"})
    assert isinstance(open_source(str(rare)), FolderSource)
    assert isinstance(open_source(str(write_files(tmp_path / "far", **{"a/b/c/d/e/f/ETL9G_01": b"x"}))), EtlSource)


def test_names_that_are_not_utf8_are_printed_as_escapes(tmp_path: Path, mini: None) -> None:
    """A folder named in another encoding is read, and its name is stored as text."""
    root = tmp_path / "etl"
    folder = os.fsencode(root) + b"/\x83\x65"
    os.makedirs(folder)  # noqa: PTH103  a name in bytes
    with open(folder + b"/ETL9G_01", "wb") as file:
        file.write(wide_file("9G", form_major(0, 4, 4, KANJI)))
    with open(folder + b"/ETL9G_\x83", "wb") as file:
        file.write(b"x")
    imported = import_to(tmp_path / "a.h5", root)
    assert imported.origin(0) == "\\x83e/ETL9G_01, record 0"
    assert any("ETL9G_\\x83" in note for note in imported.notes)


def test_a_pipe_with_the_name_of_a_file_is_ignored(tmp_path: Path, mini: None) -> None:
    """Reading a pipe would wait for ever."""
    root = write_files(tmp_path / "etl", ETL9G_01=wide_file("9G", form_major(0, 4, 4, KANJI)))
    os.mkfifo(root / "ETL9G_02")
    assert len(scan_of(root, tmp_path).labels) == 24


def test_light_images_of_the_database_are_not_inverted(tmp_path: Path, mini: None) -> None:
    """High values are ink in this format, even if most of an image's border is ink."""
    image = np.full((127, 128), 15, np.uint8)
    image[40:60, 40:60] = 0
    records = b"".join(write.record_9g(image, code=write.jis0208(kanji), sheet=1) for kanji in KANJI)
    root = write_files(tmp_path / "etl", ETL9G_01=records)
    imported = import_to(tmp_path / "a.h5", root, ImportOptions(size=(127, 128)))
    assert "not inverted (the background is dark in this format)" in imported.decided
    np.testing.assert_array_equal(imported.read(np.arange(1))[0, :, :, 0], image * 17)


def test_too_few_forms_are_refused_before_the_import(
    tmp_path: Path, mini: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One form cannot be split: `run` says so before it reads images, and suggests no option that was not given."""
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path / "etl", ETL9G_01=wide_file("9G", form_major(0, 1, None, KANJI)))
    result = CliRunner().invoke(augment, ["run", "etl", "--epochs", "1", "--jobs", "1"])
    assert result.exit_code == 1
    assert "the source has 1 group; expected at least 3" in result.output
    assert "--group-pattern" not in result.output
    assert "import:" not in result.output
    assert list((tmp_path / "sets").rglob("*.h5")) == []


def test_unusable_records_are_refused_before_images_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the scan finds is refused at once, not after hours of reading."""
    root = write_files(tmp_path / "etl", ETL9G_01=wide_file("9G", [("亜", 1)] * 3)[:-100])
    monkeypatch.setattr(
        "epochbank.augment.sources.etl.reader.EtlReader.read", lambda *_: pytest.fail("images are read")
    )
    with pytest.raises(EpochbankError, match="ETL9G_01, record 2 is truncated"):
        import_to(tmp_path / "a.h5", root)
