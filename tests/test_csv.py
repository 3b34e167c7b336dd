"""Sources that are a .csv or .tsv: what is read of it, in which order, and what is refused, by line."""

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
from epochbank.augment.ingest.source_file import open_source_file
from epochbank.augment.sources import Scan, SourceOptions, csv_file, open_source
from epochbank.augment.sources.decode import BadPicture
from epochbank.augment.sources.paths import PathList


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (6, 5), dtype=np.uint8)


def write_pictures(root: Path, *names: str) -> None:
    """A picture of noise of its own at each path."""
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(number)).save(root / name)


def write_list(root: Path, text: str, name: str = "list.csv", encoding: str = "utf-8") -> Path:
    root.mkdir(exist_ok=True)
    (root / name).write_bytes(text.encode(encoding))
    return root / name


def scan_of(path: Path, **options: str) -> Scan:
    workspace = path.parent / "workspace"
    workspace.mkdir(exist_ok=True)
    return open_source(str(path), SourceOptions(**options)).scan(workspace)  # type: ignore[arg-type]


def rows_of(scan: Scan) -> list[tuple[str, str, str | None, int | None]]:
    """Path, label, group and part of every picture."""
    return [
        (
            scan.reader.origin(index),
            scan.class_names[scan.labels[index]],
            None if scan.groups is None or scan.group_names is None else scan.group_names[scan.groups[index]],
            None if scan.parts is None else int(scan.parts[index]),
        )
        for index in range(len(scan.labels))
    ]


def test_a_list_with_everything(tmp_path: Path) -> None:
    """Path, label, group and part of each row belong together, in the order of the list; classes are sorted."""
    write_pictures(tmp_path, "b.png", "in/a.png", "c.png", "d.png")
    path = write_list(
        tmp_path,
        "path,label,group,part\nb.png,木,Ann,train\nin/a.png,a,Bob,TEST\n\nc.png,木,Ann,Val\nd.png,10,Cy,\n",
    )
    scan = scan_of(path)
    assert rows_of(scan) == [
        ("b.png", "木", "Ann", 0),
        ("in/a.png", "a", "Bob", 2),
        ("c.png", "木", "Ann", 1),
        ("d.png", "10", "Cy", -1),
    ]
    assert scan.class_names == ["10", "a", "木"]
    assert scan.labels.dtype == np.int32
    assert scan.parts is not None
    assert scan.parts.dtype == np.int8
    for number, picture in enumerate(scan.reader.read(np.arange(4))):
        np.testing.assert_array_equal(np.asarray(picture), noise(number))


@pytest.mark.parametrize("path", ["path", "file", "filename", "image", " Path "])
@pytest.mark.parametrize("label", ["label", "class", "CHARACTER"])
def test_what_columns_may_be_called(tmp_path: Path, path: str, label: str) -> None:
    """Columns are found by any of their names, in any case and order."""
    assert rows_of(scan_of(write_list(tmp_path, f"{label},{path}\nx,1.png\n"))) == [("1.png", "x", None, None)]


@pytest.mark.parametrize("group", ["group", "writer", "Drawer", "sheet", "user"])
@pytest.mark.parametrize("part", ["part", "split", "subset", "set"])
def test_what_groups_and_parts_may_be_called(tmp_path: Path, group: str, part: str) -> None:
    """The optional columns likewise."""
    text = f"{part},path,{group},label\ntesting,1.png,7,x\ndev,2.png,8,y\n"
    assert rows_of(scan_of(write_list(tmp_path, text))) == [("1.png", "x", "7", 2), ("2.png", "y", "8", 1)]


def test_the_proper_name_wins(tmp_path: Path) -> None:
    """`label` is the label where there is a column `class` as well; what is not used is told."""
    scan = scan_of(write_list(tmp_path, "path,class,label,size\n1.png,a,b,9\n"))
    assert rows_of(scan) == [("1.png", "b", None, None)]
    assert scan.notes == ["columns of list.csv that are not used: 'class', 'size'"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize(
    ("name", "separator"), [("l.csv", ","), ("l.csv", ";"), ("l.csv", "\t"), ("l.tsv", "\t"), ("l.tsv", ",")]
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_and_encodings(tmp_path: Path, encoding: str, name: str, separator: str, end: str) -> None:
    """Any of the separators, whatever the suffix, quoted or not, with or without a mark of the byte order."""
    text = end.join(["path|label|user", 'b.png|"x|y"|w', '"c ""d"".png"|"ö"|"v"']).replace("|", separator)
    assert rows_of(scan_of(write_list(tmp_path, text, name, encoding))) == [
        ("b.png", f"x{separator}y", "w", None),
        ('c "d".png', "ö", "v", None),
    ]


def test_absolute_paths_and_the_folder_of_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are relative to the list, wherever the command is given; absolute ones are taken as they are."""
    write_pictures(tmp_path, "here/1.png", "there/2.png")
    path = write_list(tmp_path / "here", f"path,label\n1.png,x\n{tmp_path / 'there' / '2.png'},y\n../there/2.png,z\n")
    monkeypatch.chdir(tmp_path / "there")
    pictures = [np.asarray(one) for one in scan_of(path).reader.read(np.arange(3))]
    np.testing.assert_array_equal(pictures, [noise(0), noise(1), noise(1)])


def test_parts_where_fractions_are_wanted(tmp_path: Path) -> None:
    """--split fractions leaves the column aside, whatever is in it; a column that names no part says nothing."""
    path = write_list(tmp_path, "path,label,part\n1.png,x,fold 3\n2.png,y,test\n")
    assert scan_of(path, split="fractions").parts is None
    assert scan_of(write_list(tmp_path, "path,label,part\n1.png,x,\n2.png,y,\n")).parts is None


text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1).filter(str.strip)
part = st.sampled_from(["", "train", "test", "validation", "VAL"])


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(text, text, text, part), min_size=1, max_size=8),
    separator=st.sampled_from(",;\t"),
    order=st.permutations(range(4)),
)
def test_any_text_survives(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, str, str]],
    separator: str,
    order: list[int],
) -> None:
    """What Python's csv writes comes back: separators, quotes, line breaks and any script in paths, labels, groups."""
    folder = tmp_path_factory.mktemp("csv")
    rows = [(f"{number}/{path}", *rest) for number, (path, *rest) in enumerate(rows)]  # type: ignore[misc]
    with open(folder / "list.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=separator)
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


def test_pixels_come_through_an_import(tmp_path: Path) -> None:
    """At their own size, pictures of a list are imported bit for bit, with labels, groups and parts."""
    names = [f"{number}.png" for number in range(7)]
    write_pictures(tmp_path, *names)
    text = "".join(f"{name};{number % 3};w{number % 2};{'test' if number > 4 else 'train'}\n" for number, name in
                   enumerate(names))  # fmt: skip
    source = open_source(str(write_list(tmp_path, "path;label;writer;part\n" + text)))
    import_source(source, tmp_path / "o.h5", ImportOptions(size=(6, 5), invert="no"), 1, quiet=True)
    file = open_source_file(tmp_path / "o.h5")
    np.testing.assert_array_equal(file.read(np.arange(7))[..., 0], [noise(number) for number in range(7)])
    assert file.class_names == ["0", "1", "2"]
    assert file.column("label").tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert file.column("group").tolist() == [0, 1, 0, 1, 0, 1, 0]
    assert file.column("part").tolist() == [0, 0, 0, 0, 0, 2, 2]
    assert file.origin(3) == "3.png"


def test_pictures_that_are_not_there(tmp_path: Path) -> None:
    """A path that leads nowhere is a bad picture, told with the others when they are read."""
    write_pictures(tmp_path, "1.png")
    path = write_list(tmp_path, "path,label\n1.png,x\ngone.png,y\n.,z\n")
    found = list(scan_of(path).reader.read(np.arange(3)))
    assert [isinstance(one, BadPicture) for one in found] == [False, True, True]
    assert "No such file" in str(found[1])
    with pytest.raises(EpochbankError, match=r"2 of 3 pictures cannot be used:\n  gone.png cannot be read"):
        import_source(open_source(str(path)), tmp_path / "o.h5", ImportOptions(), 1, quiet=True)


def test_identity_changes_with_the_list_and_its_pictures(tmp_path: Path) -> None:
    """As long as neither changes it stays; a picture that changes, comes or goes changes it."""
    write_pictures(tmp_path, "1.png", "2.png")
    path = write_list(tmp_path, "path,label\n1.png,x\n2.png,y\n3.png,z\n")
    identities = [open_source(str(path)).identity()]
    assert open_source(str(path)).identity() == identities[0]
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "2.png")
    identities.append(open_source(str(path)).identity())
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "3.png")
    identities.append(open_source(str(path)).identity())
    write_list(tmp_path, "path,label\n1.png,x\n2.png,y\n3.png,y\n")
    identities.append(open_source(str(path)).identity())
    assert len({repr(identity) for identity in identities}) == 4


def test_paths_are_compared_not_their_hashes_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two paths that happen to share a hash are two pictures; the same path twice is one still."""
    monkeypatch.setattr(csv_file, "hash", lambda path: 7, raising=False)
    assert len(scan_of(write_list(tmp_path, "path,label\n1.png,x\n2.png,y\n3.png,x\n")).labels) == 3
    with pytest.raises(EpochbankError, match=r"lines 3 and 4 list 2.png under 'y' and 'x'"):
        scan_of(write_list(tmp_path, "path,label\n1.png,x\n2.png,y\n2.png,x\n"))


HEADER = "path,label,group,part\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", ["list.csv has no header", "expected path (or file, filename, image)", "label (or class, character)"]),
        ("picture,label\na,b\n", ["has the columns 'picture', 'label'", "expected path (or file"]),
        ("path;text;x\na;b;c\n", ["has the columns 'path', 'text', 'x'", "and label (or class, character)"]),
        ("a.png,x\nb.png,y\n", ["has the columns 'a.png', 'x'", "in the first line"]),
        ("path,path,label\na,b,c\n", ["'path' and 'path' may each be the path", "expected one"]),
        ("file,image,label\na,b,c\n", ["'file' and 'image' may each be the path", "is meant 'path'"]),
        ("path,label,writer,user\na,b,c,d\n", ["'writer' and 'user' may each be the group"]),
        (HEADER, ["lists no pictures", "expected a row for each"]),
        (HEADER + "a,b,c,train\n\na,b\n", ["1 row(s) cannot be used", "line 4 has 2 fields; expected 4"]),
        (HEADER + "a,,c,train\nb,x,c,test,\n,x,c,\n", ["3 row(s)", "line 2 has an empty label",
                                                     "line 3 has 5 fields", "line 4 has an empty path"]),
        (HEADER + "a, ,c,\n", ["line 2 has an empty label"]),
        (HEADER + "a,x,,\n", ["line 2 has an empty group", "expected one for each picture"]),
        (HEADER + "a,x,g,trian\n", ["line 2 has the part 'trian'", "expected train,", "test"]),
        (HEADER + '"a\nb",x,g,\nc,x,g,?\n', ["line 4 has the part '?'"]),
        (HEADER + "a\0,x,g,\nb,x\0,g,\n", ["line 2 has the path 'a\\x00'", "line 3 has 'x\\x00'", "without NUL"]),
        (HEADER + 'a,"x"y,g,\n', ["line 2, cannot be read as CSV", "double quotes"]),
        (HEADER + 'a,x,g,\nb,"y,g,\nc,z,g,\n', ["line 3, cannot be read as CSV", "unexpected end of data"]),
        (HEADER + "a,x,g,\nb,y,g,\na,z,g,\n", ["listed twice; expected each once", "lines 2 and 4 list a under 'x' and "
                                               "'z'", "Remove one"]),
        (HEADER + "\na,x,g,\n./a,x,h,test\n", ["lines 3 and 4 list ./a under the label 'x'"]),
        (HEADER + "".join(f"a,{n},g,\n" for n in range(13)), ["lines 2 and 3", "lines 11 and 12", "and 2 more"]),
    ],
)  # fmt: skip
def test_refusals(tmp_path: Path, content: str, told: list[str]) -> None:
    """Each list that cannot be meant is refused: which line, what is in it, what is expected. No traceback, no file."""
    path = write_list(tmp_path, content)
    result = CliRunner().invoke(augment, ["import", str(path), str(tmp_path / "o.h5"), "--jobs", "1"])
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1
    for part in told:
        assert part in result.stderr, f"{part!r} is not in: {result.stderr}"
    assert [file.name for file in tmp_path.iterdir()] == ["list.csv"]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding(tmp_path: Path, encoding: str) -> None:
    """A list that is no UTF-8 is refused, with the first line that is none."""
    path = write_list(tmp_path, "path,label\na.png,x\nb.png,é\n", encoding=encoding)
    line = 3 if encoding == "latin-1" else 1
    with pytest.raises(EpochbankError, match=rf"list.csv, line {line}, is no UTF-8.*Save the file as UTF-8"):
        scan_of(path)


def test_kind_in_front(tmp_path: Path) -> None:
    """`csv:` takes a list of any name, which is refused without."""
    path = write_list(tmp_path, "path,label\n1.png,x\n", "list.txt")
    with pytest.raises(EpochbankError, match=r"its kind cannot be told.*\.csv.*csv:"):
        open_source(str(path))
    (tmp_path / "w").mkdir()
    scan = open_source(f"csv:{path}").scan(tmp_path / "w")
    assert rows_of(scan) == [("1.png", "x", None, None)]


def test_options_that_are_not_for_lists(tmp_path: Path) -> None:
    """--group-pattern is for paths of folders; a list has a column."""
    with pytest.raises(EpochbankError, match="column `group`"):
        open_source(str(write_list(tmp_path, HEADER)), SourceOptions(group_pattern="(.)"))
