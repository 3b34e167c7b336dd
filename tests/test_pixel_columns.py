"""CSV files with the pixels of an image in each row, as public data sets have them."""

import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from conftest import glyphs
from epochbank.augment.cli import main as augment
from epochbank.augment.ingest.source_file import SourceFile, open_source_file
from epochbank.augment.sources import Scan, SourceOptions
from epochbank.augment.sources.find import open_source
from epochbank.augment.sources.lists.pixel_columns import is_header

COUNT = 12


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def images(side: int = 28, count: int = COUNT) -> np.ndarray:
    return glyphs(count, (side, side, 1))[..., 0]


NUMBERS = [(k * 7) % 3 for k in range(COUNT)]
LABELS = list(map(str, NUMBERS))


def rows_of(stored: np.ndarray, numbers: list[int] = NUMBERS) -> str:
    """Return rows of a label and the pixels."""
    pairs = zip(numbers, stored.reshape(len(stored), -1).tolist(), strict=True)
    return "".join(f"{number},{','.join(map(str, row))}\n" for number, row in pairs)


def imported(*words: str) -> tuple[SourceFile, Result]:
    """Import by the command that a user would type."""
    result = CliRunner().invoke(augment, ["import", words[0], "out.h5", *words[1:], "--jobs", "1"])
    assert result.exit_code == 0, result.output
    return open_source_file(Path("out.h5")), result


def refused(*words: str) -> str:
    result = CliRunner().invoke(augment, ["import", words[0], "out.h5", *words[1:], "--jobs", "1"])
    assert isinstance(result.exception, SystemExit), result.exception
    assert not Path("out.h5").exists()
    return result.output


def check(file: SourceFile, expected: np.ndarray, labels: list[str] = LABELS) -> None:
    """Check pixels and labels, in the order of the rows."""
    np.testing.assert_array_equal(file.read(np.arange(file.num_images))[..., 0], expected)
    assert [file.class_names[label] for label in file.column("label")] == labels


def scan_of(path: str, **options: str) -> Scan:
    Path("workspace").mkdir(exist_ok=True)
    return open_source(path, SourceOptions(**options)).scan(Path("workspace").absolute())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("train.csv", ["label", *(f"pixel{k}" for k in range(784))]),
        ("sign_mnist_train.csv", ["label", *(f"pixel{k}" for k in range(1, 785))]),
        ("mnist_train.csv", ["label", *(f"{row}x{column}" for row in range(1, 29) for column in range(1, 29))]),
        ("A_Z Handwritten Data.csv", ["0", *(f"0.{k}" for k in range(1, 785))]),
        ("pandas.csv", [str(k) for k in range(785)]),
        ("pandas2.csv", ["label", *(str(k) for k in range(784))]),
        ("headless.csv", []),
    ],
)
def test_a_column_for_each_pixel(name: str, header: list[str]) -> None:
    """Kaggle's digits, sign-language MNIST, MNIST as CSV, Kaggle A-Z, and headers of numbers, or none."""
    Path(name).write_text((",".join(header) + "\n" if header else "") + rows_of(images()))
    file, result = imported(name)
    check(file, images())
    assert file.splits == ()
    assert "are rows of 28 x 28 pixels" in result.output


def test_emnist_is_put_upright() -> None:
    """EMNIST's CSV has no header, and stores images transposed."""
    Path("emnist-letters-train.csv").write_text(rows_of(images().transpose(0, 2, 1)))
    file, result = imported("emnist-letters-train.csv")
    check(file, images())
    assert "they were turned upright" in result.output


def test_fer() -> None:
    """FER-2013 has all pixels in one column, and the split in `Usage`; its columns may have spaces in front."""
    usage = ["Training"] * 6 + ["PublicTest"] * 3 + ["PrivateTest"] * 3
    for header, order in (("emotion,pixels,Usage", [0, 1, 2]), ("emotion, Usage, pixels", [0, 2, 1])):
        lines = [header]
        for number, image, use in zip(NUMBERS, images(48), usage, strict=True):
            fields = [str(number), " ".join(map(str, image.ravel().tolist())), use]
            lines.append(",".join(fields[place] for place in order))
        Path("fer2013.csv").write_text("\n".join(lines))
        file, _ = imported("fer2013.csv")
        check(file, images(48))
        assert file.column("part").tolist() == [0] * 6 + [1] * 3 + [2] * 3
        Path("out.h5").unlink()


def test_label_in_another_column() -> None:
    """The label may be last, or be chosen where there is no header; a group and other columns may be there, too."""
    stored = images(8)
    tail = [f"{','.join(map(str, image.ravel()))},{number}" for image, number in zip(stored, NUMBERS, strict=True)]
    Path("optdigits.csv").write_text("\n".join(tail))
    check(imported("optdigits.csv", "--labels-key", "column 65")[0], stored)
    Path("out.h5").unlink()
    header = ",".join(["note", *(f"p{k}" for k in range(64)), "class", "writer"])
    lines = [f"x,{line},w{k % 2}" for k, line in enumerate(tail)]
    Path("table.csv").write_text("\n".join([header, *lines]))
    file, result = imported("table.csv")
    check(file, stored)
    assert file.group_names == ["w0", "w1"]
    assert "unused columns of table.csv: 'note'" in result.output


def test_rows_and_columns_in_the_names_give_the_size() -> None:
    """Images that are not square have columns named by row and column."""
    stored = images(8)[:, :, :5]
    header = ",".join(["label", *(f"{row}x{column}" for row in range(8) for column in range(5))])
    Path("a.csv").write_text(header + "\n" + rows_of(stored))
    check(imported("a.csv")[0], stored)


def test_classes_are_in_the_order_of_the_integers() -> None:
    """10 follows 9; --class-names names the labels."""
    numbers = [10, 9] * 6
    Path("a.csv").write_text(rows_of(images(), numbers))
    assert scan_of("a.csv").class_names == ["9", "10"]
    Path("names.csv").write_text("label,name\n9,nine\n10,ten\n")
    check(imported("a.csv", "--class-names", "names.csv")[0], images(), ["ten", "nine"] * 6)


def test_text_labels_without_a_header() -> None:
    """A label may be text, even if no header names the columns."""
    Path("a.csv").write_text(
        "\n".join(f"{'AB'[k % 2]},{','.join(map(str, im.ravel()))}" for k, im in enumerate(images()))
    )
    check(imported("a.csv")[0], images(), ["A", "B"] * 6)


@pytest.mark.parametrize(("factor", "options"), [(1 / 255, []), (256, []), (1 / 255, ["--value-range", "1"])])
def test_other_value_ranges(factor: float, options: list[str]) -> None:
    """Fractions and values of 16 bits are read; the import decides on their range as for arrays."""
    stored = images().astype(float) * factor
    stored[0, 0, 0] = 0  # The first values are whole numbers.
    Path("a.csv").write_text(rows_of(np.round(stored, 6) if factor < 1 else stored.astype(int)))
    expected = images()
    expected[0, 0, 0] = 0
    check(imported("a.csv", *options)[0], expected)


def test_values_that_need_a_wider_type_later() -> None:
    """A file may begin with small integers and end with fractions."""
    stored = np.tile(images(8), (50, 1, 1)).astype(np.float32)
    stored[300:] += 1000
    stored[599, 0, 0] = 0.5
    Path("a.csv").write_text(rows_of(stored, [0] * 600))
    found = np.concatenate(list(scan_of("a.csv").reader.read(np.arange(600))))  # type: ignore[arg-type]
    np.testing.assert_array_equal(found, stored)


HEADER = "label," + ",".join(f"pixel{k}" for k in range(16)) + "\n"
ROW = "0," + ",".join(["7"] * 16) + "\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER + ROW + ROW[:-3] + "\n", "line 3 has 16 fields; expected 17"),
        (HEADER + ROW + ROW.replace("7,7", "7,x", 1), "line 3 has the pixel 'x'; expected a number"),
        (HEADER + ROW + ROW.replace("7,7", "7,", 1), "line 3 has the pixel ''; expected a number"),
        (HEADER + ROW + "," + ROW[2:], "line 3 has an empty label"),
        (HEADER, "holds no images"),
        (HEADER[6:] + ROW[2:], "16 columns, 'pixel0', 'pixel1' ... 'pixel15': pixels, but no label"),
        (
            HEADER.replace("label,", "label,p,") + ROW[:2] + ROW,
            "17 pixels for each image, which is not a square number",
        ),
        ("label,pixels\n0,1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n1,1 2 3\n", "line 3 has 3 pixels; expected 16"),
        ("label,pixels\n0,1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n1,\n", "line 3 has 0 pixels; expected 16"),
    ],
)
def test_refusals(content: str, message: str) -> None:
    """Each message names the line, or what the columns lack."""
    Path("a.csv").write_text(content.replace("label,p,", "label,pixel99,"))
    assert message in refused("a.csv")


def test_no_message_lists_all_columns() -> None:
    """A table of 785 columns of which none is known is described in a few words."""
    Path("a.csv").write_text(",".join(f"feature {'x' * k}" for k in range(785)) + "\n")
    error = refused("a.csv")
    assert "and 775 more" in error
    assert error.count("feature") == 10


def test_headers_of_numbers() -> None:
    """A first row of numbers is a header if it counts, or if it has fractions above whole numbers."""
    row = ["3", "0", "0", "12"]
    assert not is_header([row, row])
    assert not is_header([["A", *row], ["B", *row]])
    assert not is_header([["0", "0.5", "1", "0"], ["0", "0.25", "1", "0"]])
    assert is_header([["0", "0.1", "0.2", "0.3"], row])
    assert is_header([["0", "1", "2", "3"], row])
    assert is_header([["label", "1", "2", "3"], row])
    assert is_header([["label", "pixel0", "pixel1"], row])


def test_identity_does_not_read_the_images() -> None:
    """The identity of pixels in a table is that of the file."""
    Path("a.csv").write_text(HEADER + ROW)
    before = open_source("a.csv").identity()
    Path("a.csv").write_text(HEADER + ROW * 2)
    assert open_source("a.csv").identity() != before


def test_speed() -> None:
    """3,000 images of 28 x 28 take seconds at most, so that 42,000 take less than 20 s."""
    stored = np.tile(images(), (250, 1, 1))
    Path("a.csv").write_text(
        HEADER.replace("\n", "") + "".join(f",pixel{k}" for k in range(16, 784)) + "\n" + rows_of(stored, [0] * 3000)
    )
    start = time.monotonic()
    assert len(scan_of("a.csv").labels) == 3000
    assert time.monotonic() - start < 10


ORDERS = {
    "text": sorted(range(784), key=str),
    "random": np.random.default_rng(0).permutation(784).tolist(),
    "columns": np.arange(784).reshape(28, 28).T.ravel().tolist(),
}


@pytest.mark.parametrize("form", ["pixel{0}", "{0}", "{1}x{2}", "px_{1}_{2}"])
@pytest.mark.parametrize("order", ORDERS)
def test_pixels_are_in_the_order_of_their_names(order: str, form: str) -> None:
    """Columns of pixels in any order give the same images, by their numbers, or rows and columns; a note says so."""
    names = [form.format(k, k // 28 + 1, k % 28 + 1) for k in ORDERS[order]]
    stored = images().reshape(COUNT, -1)[:, ORDERS[order]]
    Path("train.csv").write_text(",".join(["label", *names]) + "\n" + rows_of(stored))
    file, result = imported("train.csv")
    check(file, images())
    assert "pixels of train.csv are in the order that the names of their columns say" in result.output


@pytest.mark.parametrize("first", [0, 1])
def test_a_label_that_is_last_without_a_header(first: int) -> None:
    """If the last of unnamed columns looks like the label, the source is refused until --labels-key names it."""
    stored = images()
    stored[:, 0, 0] = 7 * first * np.arange(COUNT)
    labels = [str(k % 3) for k in range(COUNT)]
    rows = zip(stored.reshape(COUNT, -1).tolist(), labels, strict=True)
    Path("mnist.csv").write_text("".join(f"{','.join(map(str, row))},{label}\n" for row, label in rows))
    assert '--labels-key "column 785"' in refused("mnist.csv")
    file, _ = imported("mnist.csv", "--labels-key", "column 785")
    check(file, stored, labels)


@pytest.mark.parametrize("labels", [[0, 1], [3, 7, 9], [0, 1, 2, 3]], ids=str)
def test_a_label_that_is_first_without_a_header(labels: list[int]) -> None:
    """The first of unnamed columns is the label if the last one is constant, or has the values of pixels."""
    stored = images()
    numbers = [labels[k % len(labels)] for k in range(COUNT)]
    for last in (np.zeros(COUNT, int), 9 * np.arange(COUNT)):
        stored[:, -1, -1] = last
        Path("mnist.csv").write_text(rows_of(stored, numbers))
        check(imported("mnist.csv")[0], stored, list(map(str, numbers)))
        Path("out.h5").unlink()
