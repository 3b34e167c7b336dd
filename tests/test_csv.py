"""Sources in .csv and .tsv files: columns, separators, order, and errors by line."""

import csv
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
from epochbank.augment.sources import Scan, SourceOptions
from epochbank.augment.sources.decode import BadImage
from epochbank.augment.sources.find import open_source
from epochbank.augment.sources.lists import source as list_source
from epochbank.augment.sources.paths import PathList


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (6, 5), dtype=np.uint8)


def write_images(root: Path, *names: str) -> None:
    """Write a different image of noise to each path."""
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(number)).save(root / name)


def write_list(root: Path, text: str, name: str = "list.csv", encoding: str = "utf-8") -> Path:
    root.mkdir(exist_ok=True)
    (root / name).write_bytes(text.encode(encoding))
    return root / name


def scan_of(path: Path, **options: str) -> Scan:
    """Scan a list, beside which there are two files; a list none of whose images exists is refused."""
    workspace = path.parent / "workspace"
    workspace.mkdir(exist_ok=True)
    for name in ("1.png", "b.png"):
        (path.parent / name).touch()
    return open_source(str(path), SourceOptions(**options)).scan(workspace)  # type: ignore[arg-type]


def rows_of(scan: Scan) -> list[tuple[str, str, str | None, int | None]]:
    """Return origin, label, group and split of every image."""
    return [
        (
            scan.reader.origin(index),
            scan.class_names[scan.labels[index]],
            None if scan.groups is None or scan.group_names is None else scan.group_names[scan.groups[index]],
            None if scan.splits is None else int(scan.splits[index]),
        )
        for index in range(len(scan.labels))
    ]


@pytest.mark.parametrize("path", ["path", "file", "filename", "image", " Path "])
@pytest.mark.parametrize("label", ["label", "class", "CHARACTER"])
def test_names_of_path_and_label(tmp_path: Path, path: str, label: str) -> None:
    """Columns have one of several names, in upper or lower case, in any order."""
    assert rows_of(scan_of(write_list(tmp_path, f"{label},{path}\nx,1.png\n"))) == [("1.png", "x", None, None)]


@pytest.mark.parametrize("group", ["group", "writer", "Drawer", "sheet", "user"])
@pytest.mark.parametrize("split", ["split", "part", "subset", "Set"])
def test_names_of_group_and_split(tmp_path: Path, group: str, split: str) -> None:
    """Optional columns have one of several names, too."""
    text = f"{split},path,{group},label\ntesting,1.png,7,x\ndev,2.png,8,y\n"
    assert rows_of(scan_of(write_list(tmp_path, text))) == [("1.png", "x", "7", 2), ("2.png", "y", "8", 1)]


def test_the_preferred_name_takes_precedence(tmp_path: Path) -> None:
    """`label` and `split` take precedence over `class` and `part`. Unused columns are noted."""
    scan = scan_of(write_list(tmp_path, "path,class,label,size,part,split\n1.png,a,b,9,test,train\n"))
    assert rows_of(scan) == [("1.png", "b", None, 0)]
    assert scan.notes == ["unused columns of list.csv: 'class', 'size', 'part'"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize(
    ("name", "separator"), [("l.csv", ","), ("l.csv", ";"), ("l.csv", "\t"), ("l.tsv", "\t"), ("l.tsv", ",")]
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_and_encodings(tmp_path: Path, encoding: str, name: str, separator: str, end: str) -> None:
    """Separators do not depend on the suffix; fields may be quoted, and files may begin with a byte order mark."""
    text = end.join(["path|label|user", 'b.png|"x|y"|w', '"c ""d"".png"|"ö"|"v"']).replace("|", separator)
    assert rows_of(scan_of(write_list(tmp_path, text, name, encoding))) == [
        ("b.png", f"x{separator}y", "w", None),
        ('c "d".png', "ö", "v", None),
    ]


def test_relative_and_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are relative to the folder of the list, not to the current directory, unless they are absolute."""
    write_images(tmp_path, "here/1.png", "there/2.png")
    path = write_list(tmp_path / "here", f"path,label\n1.png,x\n{tmp_path / 'there' / '2.png'},y\n../there/2.png,z\n")
    monkeypatch.chdir(tmp_path / "there")
    images = [np.asarray(one) for one in scan_of(path).reader.read(np.arange(3))]
    np.testing.assert_array_equal(images, [noise(0), noise(1), noise(1)])


def test_split_fractions_ignores_the_column(tmp_path: Path) -> None:
    """--split fractions ignores the column, even with unknown names. A column of empty names gives no splits."""
    path = write_list(tmp_path, "path,label,split\n1.png,x,fold 3\n2.png,y,test\n")
    assert scan_of(path, split="fractions").splits is None
    assert scan_of(write_list(tmp_path, "path,label,split\n1.png,x,\n2.png,y,\n")).splits is None


text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1).filter(str.strip)
split = st.sampled_from(["", "train", "test", "validation", "VAL"])


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(text, text, text, split), min_size=1, max_size=8),
    separator=st.sampled_from(",;\t"),
    order=st.permutations(range(4)),
)
def test_any_text_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, str, str]],
    separator: str,
    order: list[int],
) -> None:
    """Paths, labels and groups may contain separators, quotes, line breaks and any script."""
    folder = tmp_path_factory.mktemp("csv")
    rows = [(f"{number}/{path}", *rest) for number, (path, *rest) in enumerate(rows)]  # type: ignore[misc]
    rows.append(("1.png", "a", "b", "train"))
    with open(folder / "list.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=separator, quoting=csv.QUOTE_ALL)
        for row in [("path", "label", "writer", "set"), *rows]:
            writer.writerow([row[place] for place in order])
    scan = scan_of(folder / "list.csv")
    numbers = {"": -1, "train": 0, "test": 2, "validation": 1, "VAL": 1}
    found = rows_of(scan)
    paths = PathList(folder / "workspace" / "paths", folder / "workspace" / "path-ends")
    assert [paths[index] for index in range(len(rows))] == [row[0] for row in rows]
    assert [row[1:3] for row in found] == [row[1:3] for row in rows]
    assert [row[3] for row in found] in ([numbers[row[3]] for row in rows], [None] * len(rows))
    assert scan.class_names == sorted({row[1] for row in rows})


def test_missing_images_are_bad(tmp_path: Path) -> None:
    """Missing files and folders are bad images, listed when they are read."""
    write_images(tmp_path, "1.png")
    path = write_list(tmp_path, "path,label\n1.png,x\ngone.png,y\n.,z\n")
    found = list(scan_of(path).reader.read(np.arange(3)))
    assert [isinstance(one, BadImage) for one in found] == [False, True, True]
    assert "No such file" in str(found[1])
    with pytest.raises(EpochbankError, match=r"2 of 3 images cannot be used:\n  gone.png cannot be read"):
        import_source(open_source(str(path)), tmp_path / "o.h5", ImportOptions(), 1, quiet=True)


def test_paths_with_equal_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Different paths with the same hash are different images; repeated paths are detected."""
    monkeypatch.setattr(list_source, "hash", lambda path: 7, raising=False)
    assert len(scan_of(write_list(tmp_path, "path,label\n1.png,x\n2.png,y\n3.png,x\n")).labels) == 3
    with pytest.raises(EpochbankError, match=r"lines 3 and 4 list 2.png with the labels 'y' and 'x'"):
        scan_of(write_list(tmp_path, "path,label\n1.png,x\n2.png,y\n2.png,x\n"))


HEADER = "path,label,group,split\n"


@pytest.mark.parametrize(
    ("content", "messages"),
    [
        ("", ["list.csv has no header", "expected path (or file, filename, file_name, ...)",
             "label (or class, classes, class_name, ...)"]),
        ("scan,label\na,b\n", ["has the columns 'scan', 'label'", "expected path (or file"]),
        ("path;text;x\na;b;c\n", ["has the columns 'path', 'text', 'x'", "and label (or class,"]),
        ("path,path,label\na,b,c\n", ["the columns 1 and 2 have the same name 'path'; expected it once", "Rename one"]),
        ("file,image,label\na,b,c\n", ["'file' and 'image' may each be the path", "Choose one with --images-key"]),
        ("path,label,writer,user\na,b,c,d\n", ["'writer' and 'user' may each be the group"]),
        (HEADER, ["lists no images", "expected a row for each"]),
        (HEADER + "a,b,c,train\n\na,b\n", ["1 row cannot be used", "line 4 has 2 fields; expected 4"]),
        (HEADER + "a,,c,train\nb,x,c,test,\n,x,c,\n", ["3 rows", "line 2 has an empty label",
                                                     "line 3 has 5 fields", "line 4 has an empty path"]),
        (HEADER + "a, ,c,\n", ["line 2 has an empty label"]),
        (HEADER + "a,x,,\n", ["line 2 has an empty group", "expected one for each image"]),
        (HEADER + "a,x,g,trian\n", ["line 2 has the split 'trian'", "expected train,", "test"]),
        (HEADER + '"a\nb",x,g,\nc,x,g,?\n', ["line 4 has the split '?'"]),
        (HEADER + "a\0,x,g,\nb,x\0,g,\n", ["line 2 has the path 'a\\x00'", "line 3 has 'x\\x00'", "without NUL"]),
        (HEADER + 'a,"x"y,g,\n', ["line 2, cannot be read as CSV", "double quotes"]),
        (HEADER + 'a,x,g,\nb,"y,g,\nc,z,g,\n', ["line 3, cannot be read as CSV", "unexpected end of data"]),
        (HEADER + "a,x,g,\nb,y,g,\na,z,g,\n", ["listed twice; expected each once", "lines 2 and 4 list a with "
                                               "the labels 'x' and 'z'", "Remove one"]),
        (HEADER + "\na,x,g,\n./a,x,h,test\n", ["lines 3 and 4 list ./a with the label 'x'"]),
        (HEADER + "".join(f"a,{n},g,\n" for n in range(13)), ["lines 2 and 3", "lines 11 and 12", "and 2 more"]),
    ],
)  # fmt: skip
def test_refusals(tmp_path: Path, content: str, messages: list[str]) -> None:
    """Invalid lists are refused with line, received and expected contents, without a traceback or a file."""
    path = write_list(tmp_path, content)
    result = CliRunner().invoke(augment, ["import", str(path), str(tmp_path / "o.h5"), "--jobs", "1"])
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1
    for message in messages:
        assert message in result.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["list.csv"]


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    """A list in another encoding is refused, with the first line that is not UTF-8."""
    path = write_list(tmp_path, "path,label\na.png,x\nb.png,é\n", encoding="latin-1")
    with pytest.raises(EpochbankError, match=r"list.csv, line 3, is not valid UTF-8.*Save the file as UTF-8"):
        scan_of(path)


def test_kind_in_front(tmp_path: Path) -> None:
    """`csv:` opens a list with any name, which is refused without it."""
    path = write_list(tmp_path, "path,label\n1.png,x\n", "list.lst")
    with pytest.raises(EpochbankError, match=r"does not show its kind.*\.csv.*csv:"):
        open_source(str(path))
    (tmp_path / "1.png").touch()
    (tmp_path / "w").mkdir()
    scan = open_source(f"csv:{path}").scan(tmp_path / "w")
    assert rows_of(scan) == [("1.png", "x", None, None)]


def test_group_pattern_is_refused(tmp_path: Path) -> None:
    """--group-pattern applies to folders; a list has a column for groups."""
    with pytest.raises(EpochbankError, match="column `group`"):
        open_source(str(write_list(tmp_path, HEADER)), SourceOptions(group_pattern="(.)"))
