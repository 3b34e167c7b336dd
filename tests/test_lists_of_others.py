"""Lists as other people write them: names of columns, paths of other machines, templates, white space, encodings."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from epochbank.augment.cli import main as augment
from epochbank.augment.errors import EpochbankError
from epochbank.augment.ingest.source_file import SourceFile, open_source_file
from epochbank.augment.sources import Scan, SourceOptions
from epochbank.augment.sources.find import open_source
from epochbank.augment.sources.lists.paths import PathFinder, Template
from epochbank.augment.sources.similar_names import similar_names

COUNT = 12


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def pixels(number: int) -> np.ndarray:
    """Return image `number`: dark noise, uint8 (6, 5), different for each number."""
    return np.random.default_rng(number).integers(0, 256, (6, 5), np.uint8)


def write(path: str, number: int = 0) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(number)).save(path)


def scans(folder: str = "scans") -> list[str]:
    """Write twelve images; return their paths."""
    paths = [f"{folder}/{number:03}.png" for number in range(COUNT)]
    for number, path in enumerate(paths):
        write(path, number)
    return paths


def table(name: str, header: str, rows: list[list[object]], separator: str = ",") -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    lines = ([header] if header else []) + [separator.join(map(str, row)) for row in rows]
    Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def imported(*words: str) -> tuple[SourceFile, Result]:
    """Import by the command that a user would type, without changing a pixel."""
    words = ("import", words[0], "out.h5", *words[1:])
    result = CliRunner().invoke(augment, [*words, "--jobs", "1", "--size", "6x5", "--invert", "no"])
    assert result.exit_code == 0, result.output
    return open_source_file(Path("out.h5")), result


def refused(*words: str) -> Result:
    result = CliRunner().invoke(augment, ["import", words[0], "out.h5", *words[1:], "--jobs", "1"])
    assert isinstance(result.exception, SystemExit), result.exception
    assert not Path("out.h5").exists()
    return result


def names(file: SourceFile) -> list[str]:
    return [file.class_names[label] for label in file.column("label")]


def check(file: SourceFile, labels: list[str]) -> None:
    """Check that the images 0, 1, 2 ... are there, in this order, with these labels."""
    found = file.read(np.arange(file.num_images))[..., 0]
    np.testing.assert_array_equal(found, [pixels(number) for number in range(len(labels))])
    assert names(file) == labels


def scan_of(path: str, **options: str) -> Scan:
    Path("workspace").mkdir(exist_ok=True)
    return open_source(path, SourceOptions(**options)).scan(Path("workspace").absolute())  # type: ignore[arg-type]


LABELS = ["AB"[number % 2] for number in range(COUNT)]


@pytest.mark.parametrize(
    "header", ["file_name,label", "filepath,labels", "filepaths,class_name", "image_path,target", "Image_ID,category",
               "Filename,ClassId", "img,y", "name,char", "id,symbol"],
)  # fmt: skip
def test_names_of_columns(header: str) -> None:
    """The columns of Hugging Face, Keras, Kaggle and others are known, in any case."""
    table("list.csv", header, [[path, label] for path, label in zip(scans(), LABELS, strict=True)])
    check(imported("list.csv")[0], LABELS)


def test_weak_names_give_way() -> None:
    """An `id` beside a `path`, and a `target` beside a `label`, are other columns, which a note names."""
    rows: list[list[object]] = [[k, path, k % 3, "AB"[k % 2]] for k, path in enumerate(scans())]
    table("list.csv", "id,path,target,label", rows)
    file, result = imported("list.csv")
    check(file, LABELS)
    assert "unused columns of list.csv: 'id', 'target'" in result.output


def test_several_candidates_are_refused_until_an_option_decides() -> None:
    """The message names the candidates and the option; the option decides."""
    rows: list[list[object]] = [[path, path, k % 3, "AB"[k % 2]] for k, path in enumerate(scans())]
    table("list.csv", "image,file,class,category", rows)
    assert "'image' and 'file' may each be the path" in (error := refused("list.csv").output)
    assert "--images-key" in error
    error = refused("list.csv", "--images-key", "image").output
    assert "'class' and 'category' may each be the label" in error
    assert "--labels-key" in error
    check(imported("list.csv", "--images-key", "FILE", "--labels-key", "category")[0], LABELS)


def test_a_key_that_does_not_exist() -> None:
    """The message lists at most ten columns, and the closest one."""
    table("list.csv", "path,category," + ",".join(f"column{k}" for k in range(30)), [["x", "y", *range(30)]])
    result = refused("list.csv", "--labels-key", "categry")
    assert result.exit_code == 2
    assert "no column 'categry' for --labels-key" in result.output
    assert "Did you mean `category`?" in result.output
    assert "and 22 more" in result.output
    assert "'column9'" not in result.output


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_without_a_header(separator: str, order: list[int]) -> None:
    """The column whose fields have the suffix of an image is the path, the only other one is the label."""
    rows = [[path, label] for path, label in zip(scans(), LABELS, strict=True)]
    table("list.csv", "", [[row[place] for place in order] for row in rows], separator)
    file, result = imported("list.csv")
    check(file, LABELS)
    assert f"labels from 'column {order.index(1) + 1}'" in result.output


def test_text_with_spaces_as_separators() -> None:
    """Lists in .txt files may have spaces between path and label."""
    table("val.txt", "", [[path, k % 2] for k, path in enumerate(scans())], " ")
    check(imported("val.txt")[0], [str(k % 2) for k in range(COUNT)])


def test_a_column_that_only_its_contents_show() -> None:
    """`scan` is unknown, but its fields have the suffix of an image; `word` is the only other column."""
    table("list.csv", "scan,word", [[path, label] for path, label in zip(scans(), LABELS, strict=True)])
    file, result = imported("list.csv")
    check(file, LABELS)
    assert "columns of list.csv: images from 'scan', labels from 'word'" in result.output


def test_class_names_for_integer_labels() -> None:
    """--class-names names the labels, and classes are in the order of the integers."""
    rows: list[list[object]] = [[path, [2, 10][k % 2]] for k, path in enumerate(scans())]
    table("list.csv", "path,label", rows)
    Path("names.json").write_text('{"2": "two", "10": "ten"}')
    file, _ = imported("list.csv", "--class-names", "names.json")
    assert file.class_names == ["two", "ten"]
    check(file, ["two", "ten"] * 6)
    table("list.csv", "path,label", [*rows[:-1], [rows[-1][0], "x"]])
    Path("out.h5").unlink()
    assert "line 13 has the label 'x'; expected an integer" in refused("list.csv", "--class-names", "names.json").output


def test_backslashes() -> None:
    """Paths of Windows are read with slashes, and a note counts them."""
    table("list.csv", "path,label", [[path.replace("/", "\\"), "x"] for path in scans()])
    file, result = imported("list.csv")
    check(file, ["x"] * COUNT)
    assert "12 paths of list.csv have backslashes, which were read as slashes" in result.output


@pytest.mark.parametrize("path", ["scans/{:03}", "{:03}"])
def test_missing_suffixes(path: str) -> None:
    """The only image of a name is found, in the folder of the list or in the only folder below that has it."""
    scans()
    table("list.csv", "id,label", [[path.format(number), "x"] for number in range(COUNT)])
    file, result = imported("list.csv")
    check(file, ["x"] * COUNT)
    assert "12 paths of list.csv lack the suffix of their image, the only one of that name" in result.output
    assert ("leave out the folder scans/" in result.output) == ("/" not in path)


def test_a_missing_suffix_of_several_images_is_not_guessed() -> None:
    """`000` may be 000.png or 000.jpg; files that are no images do not count."""
    write("000.png"), write("001.png"), write("000.jpg")
    Path("001.txt").write_text("x")
    finder = PathFinder(Path().absolute())
    assert [finder.find("000"), finder.find("001")] == ["000", "001.png"]


@pytest.mark.parametrize("root", ["/home/someone/data", "C:/Users/Someone", "C:\\Users\\Someone\\data", "/mnt"])
def test_absolute_paths_of_another_machine(root: str) -> None:
    """The end of the path is found below the folder of the list."""
    slash = "\\" if "\\" in root else "/"
    table("list.csv", "path,label", [[f"{root}/{path}".replace("/", slash), "x"] for path in scans()])
    file, result = imported("list.csv")
    check(file, ["x"] * COUNT)
    assert "12 paths of list.csv begin with folders that do not exist here" in result.output


def test_paths_relative_to_a_parent_folder() -> None:
    """A list in data/ may have paths that begin with data/."""
    table("data/list.csv", "path,label", [[path, "x"] for path in scans("data/scans")])
    file, result = imported("data/list.csv")
    check(file, ["x"] * COUNT)
    assert "not to the folder of the list" in result.output


def test_a_list_beside_the_folder_of_images() -> None:
    """A list in annotations/ finds images in a folder beside it."""
    table("annotations/list.csv", "path,label", [[path.removeprefix("scans/"), "x"] for path in scans()])
    check(imported("annotations/list.csv")[0], ["x"] * COUNT)


def test_missing_images_are_not_taken_from_elsewhere() -> None:
    """If some images are where the list says, an image of the same name in another folder is another image."""
    write("train/0.png"), write("test/1.png")
    finder = PathFinder(Path().absolute())
    assert [finder.find("train/0.png"), finder.find("1.png"), finder.find("/data/test/1.png")] == [
        "train/0.png", "1.png", "/data/test/1.png",
    ]  # fmt: skip
    assert PathFinder(Path().absolute()).find("1.png") == "test/1.png"
    write("train/1.png")
    assert PathFinder(Path().absolute()).find("1.png") == "1.png"


def test_no_image_is_found() -> None:
    """One message names a few images, the folder, and the option; it does not list twenty."""
    table("list.csv", "image,label", [[f"{k}.png", "x"] for k in range(40)])
    error = refused("list.csv").output
    assert "no image of its 40 rows was found, such as '0.png', '1.png', '2.png'" in error
    assert "'3.png'" not in error
    assert "--path-template 'FOLDER/{image}'" in error


def test_identity_follows_the_images_that_are_found() -> None:
    """A change of an image that is found without its suffix changes the identity."""
    scans()
    table("list.csv", "id,label", [[f"{number:03}", "x"] for number in range(COUNT)])
    before = open_source("list.csv").identity()
    write("scans/003.png", 77)
    assert open_source("list.csv").identity() != before


def test_path_template() -> None:
    """A template makes the path from columns, whose names ignore case, and formats integers."""
    for k in range(COUNT):
        write(f"images/{'AB'[k % 2]}/scan {k:04}.png", k)
    table("list.csv", "Number,class", [[k, "AB"[k % 2]] for k in range(COUNT)])
    check(imported("list.csv", "--path-template", "images/{class}/scan {number:04d}.png")[0], LABELS)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{numbr}.png", "names the column 'numbr', which does not exist; the columns are 'number', 'class'. Did you"),
        ("images/1.png", "names no column in braces"),
        ("{number", "is invalid (expected '}' before end of string)"),
        ("{class:04d}.png", "line 2 has 'A' in the column 'class'"),
        ("{number.__class__}.png", "names the column 'number.__class__', which does not exist"),
    ],
)
def test_invalid_templates(template: str, message: str) -> None:
    """The message says what is wrong and names the columns. Attributes of values are out of reach."""
    table("list.csv", "number,class", [[1, "A"]])
    assert message in refused("list.csv", "--path-template", template).output


def test_template_of_integers() -> None:
    """Values of JSON are integers."""
    assert Template("{a}/{b:03}.png", ["a", "b"]).path([5, 7]) == "5/007.png"


def test_white_space_around_fields() -> None:
    """White space around fields without quotes is removed, and a note counts it; in quotes it is kept."""
    paths = scans()
    lines = [f"{path},{'A ' if k % 4 == 3 else ' A'}" for k, path in enumerate(paths[:8])]
    lines += [f'{path}, "B "' for path in paths[8:]]
    Path("list.csv").write_text("path, label\n" + "\n".join(lines) + "\n")
    file, result = imported("list.csv")
    check(file, ["A"] * 8 + ["B "] * 4)
    assert "white space around 8 fields of list.csv was removed" in result.output


def test_split_names() -> None:
    """Names of evaluation sets are known, with any spelling."""
    words = ["train", "eval", "evaluation", "holdout", "Public Test", "PrivateTest", "hold-out", "DEV", ""]
    table("list.csv", "path,label,Usage", [[p, "x", w] for p, w in zip(scans(), words, strict=False)])
    scan = scan_of("list.csv")
    assert scan.splits is not None
    assert scan.splits.tolist() == [0, 2, 2, 2, 1, 2, 2, 1, -1]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings(encoding: str) -> None:
    """A byte order mark distinguishes UTF-8 from UTF-16."""
    write("亜.png")
    text = "path,label\n亜.png,亜\n"
    mark = "\ufeff" if encoding[-2:] in ("le", "be") else ""
    Path("list.csv").write_bytes((mark + text).encode(encoding))
    assert scan_of("list.csv").class_names == ["亜"]


@pytest.mark.parametrize(
    ("encoding", "text"), [("cp932", "亜.png,亜"), ("gb18030", "测.png,测试"), ("cp1252", "é.png,é")]
)
def test_other_encodings_are_named(encoding: str, text: str) -> None:
    """The message names the line, and an encoding in which it is text."""
    Path("list.csv").write_bytes(f"path,label\n{text}\n".encode(encoding))
    error = refused("list.csv").output
    assert "line 2, is not valid UTF-8" in error
    assert any(f"in {name} (" in error for name in ("cp932", "gb18030", "cp1252"))
    if encoding == "cp932":
        assert text in error


SIMILAR = ["A", "A ", "c", "C", "が", "か\u3099", "x"]
"""Pairs that differ in white space, case, and Unicode form."""


def test_similar_class_names_of_every_kind() -> None:
    """A list, arrays, and a Python source report names that differ only in white space, Unicode form or case."""
    note = "classes whose names differ only in white space, Unicode form or case are kept separate: 'A' and 'A ', "
    np.savez("a.npz", images=np.stack([pixels(k) for k in range(7)]), labels=np.array(SIMILAR))
    for number, label in enumerate(SIMILAR):
        write(f"i/{number}.png", number)
        write(f"folder/{label}/{number}.png", number)
    Path("list.csv").write_text("path,label\n" + "".join(f'i/{k}.png,"{label}"\n' for k, label in enumerate(SIMILAR)))
    for source in ("a.npz", "list.csv"):
        assert note in imported(source)[1].output, source
        Path("out.h5").unlink()
    assert "differ only in white space or case are kept separate: 'A' and 'A '" in imported("folder")[1].output
    inspected = CliRunner().invoke(augment, ["inspect", "list.csv", "--json", "--jobs", "1"])
    assert any(note in one for one in json.loads(inspected.stdout)["notes"])


@given(st.lists(st.text("aA \u3000が", min_size=1), unique=True))
def test_similar_names_are_those_that_fold_to_one(class_names: list[str]) -> None:
    """There is a note exactly if two names are equal after lower case and without white space."""
    folded = {"".join(name.lower().split()) for name in class_names}
    assert bool(similar_names(class_names)) == (len(folded) < len(class_names))


def test_names_that_differ_otherwise_need_no_note() -> None:
    assert similar_names(["A", "B", "a1", "ア", "ｱ"]) == []
    assert similar_names(["c", "C"]) == ["classes whose names differ only in case are kept separate: 'c' and 'C'"]


def test_gtsrb_test_list() -> None:
    """`GT-final_test.csv` has semicolons, and lies beside the images or above them."""
    header, rows = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId", []
    for k in range(COUNT):
        write(f"GTSRB/Final_Test/Images/{k:05}.ppm", k)
        rows.append([f"{k:05}.ppm", 5, 6, 1, 1, 4, 5, k % 2])
    for place in ("GTSRB/Final_Test/Images", "GTSRB"):
        table(f"{place}/GT-final_test.csv", header, rows, ";")
        check(imported(f"{place}/GT-final_test.csv")[0], [str(k % 2) for k in range(COUNT)])
        Path("out.h5").unlink()


def test_hasy() -> None:
    """`latex` is the label, `user_id` the group, and the paths of a fold begin with `../../`."""
    rows: list[list[object]] = []
    for k in range(COUNT):
        write(f"hasy/hasy-data/v2-{k:05}.png", k)
        rows.append([f"../../hasy-data/v2-{k:05}.png", 31 + k % 2, ("A", "\\pi")[k % 2], k // 4])
    table("hasy/classification-task/fold-1/test.csv", "path,symbol_id,latex,user_id", rows)
    file, _ = imported("hasy/classification-task/fold-1/test.csv")
    check(file, ["A", "\\pi"] * 6)
    assert len(file.group_names) == 3


def test_chinese_mnist() -> None:
    """The path is made from three columns; `character` is the label, and a suite is a writer."""
    rows: list[list[object]] = []
    for k in range(COUNT):
        suite, sample, code = k // 4 + 1, k // 2 % 2 + 1, k % 2 + 1
        rows.append([suite, sample, code, code - 1, "零一"[k % 2]])
        Path("data/data").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(k)).save(f"data/data/input_{suite}_{sample}_{code}.jpg", "PNG")
    table("chinese_mnist.csv", "suite_id,sample_id,code,value,character", rows)
    template = "data/data/input_{suite_id}_{sample_id}_{code}.jpg"
    file, _ = imported("chinese_mnist.csv", "--path-template", template)
    check(file, ["零", "一"] * 6)
    assert len(file.group_names) == 3


def test_tiny_imagenet() -> None:
    """`val_annotations.txt` has tabs, no header, four columns of boxes, and leaves out the folder images/."""
    rows: list[list[object]] = []
    for k in range(COUNT):
        write(f"val/images/val_{k}.png", k)
        rows.append([f"val_{k}.png", f"n0{k % 2}", 0, 32, 44, 62])
    table("val/val_annotations.txt", "", rows, "\t")
    file, result = imported("val/val_annotations.txt")
    check(file, ["n00", "n01"] * 6)
    assert "12 paths of val_annotations.txt leave out the folder images/, such as 'val_0.png'" in result.output


def test_options_without_effect_are_refused() -> None:
    """--path-template applies to lists only."""
    np.savez("a.npz", images=np.zeros((2, 6, 5), np.uint8), labels=[0, 1])
    with pytest.raises(EpochbankError, match="--path-template applies only to lists"):
        open_source("a.npz", SourceOptions(path_template="{id}.png"))


def test_some_missing_images() -> None:
    """Of many missing images five are listed, and one line counts the rest; --on-bad skip leaves them out."""
    table("list.csv", "path,label", [[path, "AB"[k % 2]] for k, path in enumerate([*scans(), *map(str, range(30))])])
    error = refused("list.csv").output
    assert error.count("No such file") == 6
    assert "and 25 more, each of which cannot be read: No such file or directory" in error
    check(imported("list.csv", "--on-bad", "skip")[0], LABELS)


@pytest.mark.parametrize("spec", ["99999999999d", "0256", "d}/{id:.999999999f"])
def test_widths_of_a_template_are_bounded(spec: str) -> None:
    """A template pads to at most 255 characters, as no file has a longer name."""
    with pytest.raises(EpochbankError, match="expected at most 255"):
        Template(f"{{id:{spec}}}.png", ["id"])
    assert Template("{id:0255d}", ["id"]).path(["1"]) == "1".zfill(255)


@pytest.mark.parametrize("options", [(), ("--labels-key", "label")], ids=str)
def test_a_name_of_two_columns(options: tuple[str, ...]) -> None:
    """A header with the same name twice is refused, even if an option gives the name."""
    table("list.csv", "path,label,label", [[path, k % 2, k % 3] for k, path in enumerate(scans())])
    output = refused("list.csv", *options).output
    assert "the columns 2 and 3 have the same name 'label'; expected it once. Rename one of them" in output
