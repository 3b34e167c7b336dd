"""Folders and archives as other people have them: splits in names, flat folders, lists, names in other encodings."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from conftest import glyphs
from epochbank.augment.cli import main as augment
from epochbank.augment.errors import EpochbankError
from epochbank.augment.ingest.source_file import SourceFile, open_source_file
from epochbank.augment.sources import Scan, SourceOptions
from epochbank.augment.sources.find import open_source
from epochbank.augment.sources.split_words import split_in

PIXELS = glyphs(400, (12, 12, 1))[..., 0]

Tree = dict[str, bytes]
"""Content of each file, by path."""


def image(number: int, kind: str = "PNG") -> bytes:
    """Return a file with an image of its own."""
    file = io.BytesIO()
    Image.fromarray(PIXELS[number]).save(file, kind)
    return file.getvalue()


def tree(*names: str) -> Tree:
    """Return a different image for each path."""
    return {name: image(number, "JPEG" if name.endswith("JPEG") else "PNG") for number, name in enumerate(names)}


def write(root: Path, files: Tree) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def write_zip(path: Path, files: Tree) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture(params=["folder", "zip"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Tree], Path]:
    """Write the same tree, as a folder or as an archive."""
    if request.param == "folder":
        return lambda files: write(tmp_path / "t", files)
    return lambda files: write_zip(tmp_path / "t.zip", files)


def scan_of(path: Path, **options: str) -> Scan:
    workspace = path.with_name(path.name + ".workspace")
    workspace.mkdir(exist_ok=True)
    return open_source(str(path), SourceOptions(**options)).scan(workspace)  # type: ignore[arg-type]


def rows_of(scan: Scan) -> dict[str, tuple[str, int | None]]:
    """Return class and split of each image, by origin."""
    splits = scan.splits.tolist() if scan.splits is not None else [None] * len(scan.labels)
    return {
        scan.reader.origin(index): (scan.class_names[label], splits[index])
        for index, label in enumerate(scan.labels.tolist())
    }


def run(*arguments: object) -> Result:
    """Run `augment` with one worker process."""
    return CliRunner().invoke(augment, [*map(str, arguments), "--jobs", "1"])


def imported(result: Result, path: Path) -> SourceFile:
    assert result.exit_code == 0, result.output
    return open_source_file(path)


# Words for splits


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", 0), ("seg_train", 0), ("training_set", 0), ("x_train", 0), ("Images_Training", 0), ("TrainSet", 0),
        ("train2", 0), ("valid-images", 1), ("Val", 1), ("my dev set", 1), ("test_set", 2), ("evaluation", 2),
        ("eval", 2), ("holdout", 2), ("TESTING", 2), ("trainer", None), ("latest", None), ("valley", None),
        ("contest", None), ("train_test", None), ("", None), ("cat", None), ("trainset", 0), ("testdata", 2),
        ("valset", 1), ("TrainImages", 0), ("trn", 0), ("tst", 2), ("train1", 0), ("Training2", 0), ("offset", None),
    ],
)  # fmt: skip
def test_words_for_splits_in_names(name: str, split: int | None) -> None:
    """A word names a split only as a whole word, and a name with words for several splits names none."""
    assert split_in(name) == split


CLASSES = ("cat", "dog", "emu")


@pytest.mark.parametrize(
    "folders",
    [
        {"seg_train/seg_train": 0, "seg_test/seg_test": 2},
        {"training_set/training_set": 0, "test_set/test_set": 2},
        {"training": 0, "validation": 1, "evaluation": 2},
        {"x_train": 0, "x_test": 2},
        {"data/Images_Training": 0, "data/Images_Validation": 1},
        {"train/images": 0, "test/images": 2},
        {"Train Data/train": 0, "Test Data/test": 2},
        {"trainset": 0, "testset": 2},
        {"traindata": 0, "testdata": 2},
        {"trn": 0, "tst": 2},
        {"training": 0, "Training2": 0, "testing": 2},
    ],
    ids=str,
)
def test_folders_of_splits(make: Callable[[Tree], Path], folders: dict[str, int]) -> None:
    """Words for splits within names are respected, reported, and can be ignored: the classes are the same."""
    names = [f"{folder}/{name}/{k}.png" for folder in folders for name in CLASSES for k in range(2)]
    path = make(tree(*names))
    scan = scan_of(path)
    for origin, (label, split) in rows_of(scan).items():
        assert label == origin.split("/")[-2]
        assert split == next(split for folder, split in folders.items() if origin.startswith(f"{folder}/"))
    assert any(note.startswith("using the splits that the folders name: ") for note in scan.notes)
    ignored = scan_of(path, split="fractions")
    assert ignored.splits is None
    assert ignored.class_names == list(CLASSES)
    assert any(note.startswith("ignoring the splits") for note in ignored.notes)


@pytest.mark.parametrize("above", ["", "data/"])
def test_splits_below_the_classes(make: Callable[[Tree], Path], above: str) -> None:
    """Folders for splits may be below those of the classes."""
    scan = scan_of(
        make(tree(*(f"{above}{c}/{s}/{k}.png" for c in CLASSES for s in ("train", "val") for k in range(2))))
    )
    assert scan.class_names == list(CLASSES)
    assert scan.splits is not None
    assert np.bincount(scan.splits).tolist() == [6, 6]


def test_images_for_prediction_are_skipped(make: Callable[[Tree], Path]) -> None:
    """`seg_pred` holds images without a class, next to `seg_train` and `seg_test`; a note counts them."""
    names = [f"{folder}/{folder}/{name}/1.png" for folder in ("seg_train", "seg_test") for name in CLASSES]
    scan = scan_of(make(tree(*names, "seg_pred/seg_pred/1.png", "seg_pred/seg_pred/2.png")))
    assert sorted(rows_of(scan)) == sorted(names)
    assert "skipped images without a class: 2 in seg_pred/seg_pred/" in scan.notes
    found = {scan.reader.origin(k): np.asarray(one) for k, one in enumerate(scan.reader.read(np.arange(6)))}
    for number, name in enumerate(names):
        np.testing.assert_array_equal(found[name], PIXELS[number])


def test_folders_beside_splits_are_refused(tmp_path: Path) -> None:
    """If splits have classes in common, another folder beside them is unclear, unless splits are ignored."""
    root = write(tmp_path / "t", tree("train/a/1.png", "test/a/1.png", "extra/a/1.png"))
    result = run("import", root, tmp_path / "o.h5")
    assert result.exit_code == 1
    assert (
        "test/, train/ name splits and have classes in common, but extra/ beside them names no split" in result.output
    )
    assert "--split fractions" in result.output
    file = imported(run("import", root, tmp_path / "o.h5", "--split", "fractions"), tmp_path / "o.h5")
    assert file.class_names == ["a"]


NAMES_WITH_BOTH = {
    "{c}_train": "{c}_test",
    "train_{c}": "test_{c}",
    "{c}Train": "{c}Test",
    "data/{c} trainset": "data/{c} testset",
}


@pytest.mark.parametrize("train", NAMES_WITH_BOTH)
def test_names_of_a_class_and_a_split(make: Callable[[Tree], Path], train: str) -> None:
    """`cat_train` and `cat_test` are the training and test images of the class `cat`; a note says so."""
    forms = {train: 0, NAMES_WITH_BOTH[train]: 2}
    path = make(
        tree(*(f"{form.format(c=c)}/1.png" for form in forms for c in CLASSES), f"{train.format(c='owl')}/1.png")
    )
    scan = scan_of(path)
    expected = {f"{form.format(c=c)}/1.png": (c, split) for form, split in forms.items() for c in CLASSES}
    assert rows_of(scan) == expected | {f"{train.format(c='owl')}/1.png": ("owl", 0)}
    assert any(note.startswith("folders name both a class and a split: ") for note in scan.notes)
    ignored = scan_of(path, split="fractions")
    assert ignored.splits is None
    assert ignored.class_names == sorted([*CLASSES, "owl"])


@pytest.mark.parametrize(
    ("names", "message", "merged"),
    [
        (["learn/cat", "learn/dog", "test/cat"], "test/ names a split and has classes in common, but learn/ beside it "
         "names no split", ["cat", "dog"]),
        (["train/cat", "cat", "dog"], "train/ names a split and has classes in common, but cat/ beside it names no "
         "split", ["cat", "dog"]),
        (["学習/犬", "test/犬"], "test/ names a split and has classes in common, but 学習/ beside it", ["犬"]),
        (["test_train/cat", "test_test/cat"], "test_test/ names a split", ["cat"]),
        (["images/train/cat", "images/test/cat", "masks/x"], "images/test/, images/train/ name splits and have classes "
         "in common, but masks/ beside them names no split", ["images/cat", "masks/x"]),
        (["2019/train/cat", "2019/test/cat", "2020/cat", "2021/cat"], "2019/test/, 2019/train/ name splits and have "
         "classes in common, but 2020/, 2021/ beside them name no split", ["2019/cat", "2020/cat", "2021/cat"]),
        (["cat_train", "cat_test", "dog"], "cat_test/, cat_train/ name splits and have classes in common, but dog/ "
         "beside them names no split", ["cat", "dog"]),
        (["cat/train", "cat/test", "dog/train", "dog/test", "emu"], "but emu/ beside them names no split",
         ["cat", "dog", "emu"]),
    ],
    ids=lambda value: str(value[0]),
)  # fmt: skip
def test_unclear_splits_are_refused(
    make: Callable[[Tree], Path], names: list[str], message: str, merged: list[str]
) -> None:
    """Folders of a split beside others with the same classes are refused; --split fractions merges the classes."""
    path = make(tree(*(f"{name}/1.png" for name in names)))
    with pytest.raises(EpochbankError) as error:
        scan_of(path)
    assert message in str(error.value)
    assert "rename" in str(error.value)
    assert "--split fractions" in str(error.value)
    scan = scan_of(path, split="fractions")
    assert scan.class_names == merged
    assert scan.splits is None


def test_a_class_named_test_is_said(make: Callable[[Tree], Path]) -> None:
    """A folder `test` beside other classes is a class, and a note says so."""
    scan = scan_of(make(tree("test/1.png", "ball/1.png", "bus/1.png")))
    assert scan.class_names == ["ball", "bus", "test"]
    assert "test/ is used as a class, not as a split, because it is next to ball/, bus/" in scan.notes


@pytest.mark.parametrize("name", ["unlabeled/x", "unlabelled", "unsup/a/b", "test_unlabeled/cat", "unlabeled2017"])
@pytest.mark.parametrize("splits", [("train", "test"), ("train",)], ids=str)
def test_unlabeled_images_are_skipped(make: Callable[[Tree], Path], name: str, splits: tuple[str, ...]) -> None:
    """Folders of images without labels beside splits are left out, with a note, whatever is in them."""
    names = [f"{split}/{c}/1.png" for split in splits for c in CLASSES]
    scan = scan_of(make(tree(*names, f"{name}/1.png")))
    assert sorted(rows_of(scan)) == sorted(names)
    assert scan.class_names == list(CLASSES)
    assert f"skipped images without a class: 1 in {name}/" in scan.notes


@pytest.mark.parametrize(
    "names",
    [
        ["bullet_train/1.png", "test tube/1.png", "ball/1.png"],
        ["bullet_train/side/1.png", "crash_test/front/1.png"],
        ["toys/train/1.png", "tools/test/1.png", "toys/ball/1.png"],
    ],
    ids=str,
)
def test_classes_with_words_for_splits(make: Callable[[Tree], Path], names: list[str]) -> None:
    """Classes may have such words in their names, if nothing is in common between them."""
    scan = scan_of(make(tree(*names)))
    assert scan.splits is None
    assert len(scan.class_names) == len(names)


def test_the_same_class_names_in_several_folders(make: Callable[[Tree], Path]) -> None:
    """Classes of the same name in folders that name no split are kept apart, and a note says so."""
    scan = scan_of(make(tree(*(f"{top}/{c}/1.png" for top in ("old", "new") for c in CLASSES))))
    assert len(scan.class_names) == 6
    assert "3 class names occur in several folders and are kept separate: cat, dog, emu" in scan.notes


def test_a_folder_of_images_in_each_class(make: Callable[[Tree], Path]) -> None:
    """A folder `images` in every class folder is no part of the class."""
    assert scan_of(make(tree("a/images/1.png", "b/images/1.png"))).class_names == ["a", "b"]


def test_a_single_class_in_splits(make: Callable[[Tree], Path]) -> None:
    """A class that is the only one in each split keeps its name."""
    assert scan_of(make(tree("train/cat/1.png", "test/cat/1.png"))).class_names == ["cat"]


# Layouts of public data sets


def tiny_imagenet() -> Tree:
    classes = ("n01443537", "n01629819")
    files = tree(
        *(f"tiny/train/{c}/images/{c}_{k}.JPEG" for c in classes for k in range(3)),
        *(f"tiny/val/images/val_{k}.JPEG" for k in range(4)),
        *(f"tiny/test/images/test_{k}.JPEG" for k in range(2)),
    )
    files |= {f"tiny/train/{c}/{c}_boxes.txt": f"{c}_0.JPEG\t0\t0\t9\t9\n".encode() for c in classes}
    listed = "".join(f"val_{k}.JPEG\t{classes[k % 2]}\t0\t0\t9\t9\n" for k in (3, 2, 1, 0))
    return files | {"tiny/val/val_annotations.txt": listed.encode(), "tiny/words.txt": b"n01443537\tgoldfish\n"}


def test_tiny_imagenet(make: Callable[[Tree], Path], tmp_path: Path) -> None:
    """Training images are labeled by folders, validation images by their list, and test images are skipped."""
    path = make(tiny_imagenet())
    scan = scan_of(path)
    rows = rows_of(scan)
    assert scan.class_names == ["n01443537", "n01629819"]
    assert rows["tiny/train/n01629819/images/n01629819_1.JPEG"] == ("n01629819", 0)
    assert [rows[f"tiny/val/images/val_{k}.JPEG"] for k in range(4)] == [
        ("n01443537", 1), ("n01629819", 1), ("n01443537", 1), ("n01629819", 1)
    ]  # fmt: skip
    assert len(rows) == 10
    assert "skipped images without a class: 2 in tiny/test/images/" in scan.notes
    assert "classes of some images are from tiny/val/val_annotations.txt" in scan.notes
    file = imported(run("import", path, tmp_path / "o.h5"), tmp_path / "o.h5")
    assert np.bincount(file.column("part")).tolist() == [6, 4]


def test_lists_of_classes_that_do_not_fit(tmp_path: Path) -> None:
    """Validation images without a list are refused, and those that a list lacks are bad; a list is part of it."""
    files = tiny_imagenet()
    root = write(tmp_path / "t", files)
    listed = root / "tiny/val/val_annotations.txt"
    before = open_source(str(root)).identity()
    listed.write_bytes(files["tiny/val/val_annotations.txt"].split(b"\n", 1)[1])
    assert open_source(str(root)).identity() != before
    assert scan_of(root).bad == [("tiny/val/images/val_3.JPEG", "is not in tiny/val/val_annotations.txt")]
    listed.write_text("val_0.JPEG\n")
    with pytest.raises(EpochbankError, match=r"val_annotations.txt, line 1, has no class; expected a file name, a tab"):
        scan_of(root)
    listed.unlink()
    with pytest.raises(
        EpochbankError, match=r"some images lie directly in a folder that names a split \(4 in tiny/val/"
    ):
        scan_of(root)


def test_omniglot(make: Callable[[Tree], Path]) -> None:
    """A class is an alphabet and a character; the drawer is found in the name."""
    names = [
        f"images_background/{alphabet}/character{c:02}/{100 * c + d:04}_{d:02}.png"
        for alphabet in ("Korean", "Latin") for c in (1, 2) for d in (1, 2)
    ]  # fmt: skip
    scan = scan_of(make(tree(*names)), group_pattern=r"_(\d+)\.png$")
    assert scan.class_names == ["Korean/character01", "Korean/character02", "Latin/character01", "Latin/character02"]
    assert scan.group_names == ["01", "02"]
    assert scan.splits is None


def test_notmnist(make: Callable[[Tree], Path], tmp_path: Path) -> None:
    """notMNIST has a few damaged files: the import refuses them by name, and leaves them out with --on-bad skip."""
    files = tree(*(f"notMNIST_small/{c}/{k}.png" for c in "AB" for k in range(3)))
    files["notMNIST_small/A/RGVtb2NyYXRpY2FCb2xk.png"] = b""
    path = make(files)
    refused = run("import", path, tmp_path / "o.h5")
    assert refused.exit_code == 1
    assert "notMNIST_small/A/RGVtb2NyYXRpY2FCb2xk.png cannot be read" in refused.output
    result = run("import", path, tmp_path / "o.h5", "--on-bad", "skip")
    assert imported(result, tmp_path / "o.h5").num_images == 6
    assert "1 of 7 images left out" in result.output


# Classes in the names of files


def test_label_pattern_for_a_flat_folder(make: Callable[[Tree], Path], tmp_path: Path) -> None:
    """`--label-pattern` finds the class in the names of images that lie directly in the source."""
    path = make(tree("cat_1.png", "dog_2.png", "cat_3.png"))
    scan = scan_of(path, label_pattern=r"^([a-z]+)_", group_pattern=r"\d")
    assert rows_of(scan) == {"cat_1.png": ("cat", None), "cat_3.png": ("cat", None), "dog_2.png": ("dog", None)}
    assert scan.group_names == ["1", "2", "3"]
    for index, number in enumerate((0, 2, 1)):
        np.testing.assert_array_equal(next(iter(scan.reader.read(np.array([index])))), PIXELS[number])
    result = run("import", path, tmp_path / "o.h5", "--label-pattern", "cat|dog")
    assert imported(result, tmp_path / "o.h5").class_names == ["cat", "dog"]


def test_label_pattern_with_folders_of_splits(make: Callable[[Tree], Path]) -> None:
    """With `--label-pattern`, folders still name splits, and no other folder becomes a class."""
    path = make(tree("my_train/cat_1.png", "my_train/x/dog_2.png", "my_test/cat_3.png"))
    scan = scan_of(path, label_pattern=r"([a-z]+)_\d")
    assert rows_of(scan) == {
        "my_test/cat_3.png": ("cat", 2), "my_train/cat_1.png": ("cat", 0), "my_train/x/dog_2.png": ("dog", 0)
    }  # fmt: skip
    assert scan_of(path, label_pattern=r"([a-z]+)_\d", split="fractions").splits is None


def test_label_patterns_that_do_not_match(make: Callable[[Tree], Path]) -> None:
    """Paths without a class are counted and listed; an invalid pattern and an empty class are refused."""
    path = make(tree("cat_1.png", "2.png"))
    with pytest.raises(
        EpochbankError, match=r"--label-pattern does not match 1 of 2 paths; expected a class .*\n  2.png"
    ):
        scan_of(path, label_pattern="([a-z]+)_")
    with pytest.raises(EpochbankError, match=r"--label-pattern does not match 1 of 2 paths"):
        scan_of(path, label_pattern=r"^([a-z]*)")
    with pytest.raises(EpochbankError, match=r"--label-pattern '\(' is not a valid regular expression"):
        scan_of(path, label_pattern="(")


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_flat_folder_is_refused_with_three_remedies(tmp_path: Path, kind: str) -> None:
    """Images without class folders are refused; the message names the pattern, the list and the folders."""
    files = tree("1.png", "2.png")
    path = write(tmp_path / "t", files) if kind == "folder" else write_zip(tmp_path / "t.zip", files)
    result = run("import", path, tmp_path / "o.h5")
    assert result.exit_code == 1
    for words in (
        "2 images lie directly in it",
        "--label-pattern",
        "a list of paths and labels",
        "into a folder named",
    ):
        assert words in result.output


# A list in a flat folder, or beside it

LISTS = {
    "labels.csv": "path,label\n" + "".join(f"{k}.png,{'ab'[k % 2]}\n" for k in range(6)),
    "train.tsv": "file\tclass\n" + "".join(f"{k}.png\t{'ab'[k % 2]}\n" for k in range(6)),
    "metadata.jsonl": "".join(f'{{"file_name": "{k}.png", "label": "{"ab"[k % 2]}"}}\n' for k in range(6)),
}


@pytest.mark.parametrize("place", ["images", "."])
@pytest.mark.parametrize("name", LISTS)
def test_a_flat_folder_with_a_list(tmp_path: Path, place: str, name: str) -> None:
    """A flat folder is read by the list in it or beside it, with a note."""
    folder = write(tmp_path / "data" / "images", tree(*(f"{k}.png" for k in range(6))))
    (tmp_path / "data" / place / name).write_text(LISTS[name])
    (tmp_path / "data" / "unrelated.csv").write_text("a,b\n1,2\n")
    result = run("import", folder, tmp_path / "o.h5")
    file = imported(result, tmp_path / "o.h5")
    assert (file.num_images, file.class_names) == (6, ["a", "b"])
    assert [file.class_names[label] for label in file.column("label")] == list("ababab")
    assert "images lie directly in images/, and their classes are read from the list" in result.output
    assert name in result.output


def test_a_list_with_a_template(tmp_path: Path) -> None:
    """With `--path-template`, the list of a flat folder is the one with the columns of the template."""
    root = tmp_path / "data"
    write(root, tree(*(f"input_{k}_1.png" for k in range(4))))
    (root / "chinese.csv").write_text("suite_id,code,label\n0,1,x\n1,1,y\n2,1,x\n3,1,y\n")
    (root / "other.csv").write_text("a,b\n1,2\n")
    result = run("import", root, tmp_path / "o.h5", "--path-template", "input_{suite_id}_{code}.png")
    file = imported(result, tmp_path / "o.h5")
    assert [file.class_names[label] for label in file.column("label")] == list("xyxy")


def test_several_lists_of_a_flat_folder(tmp_path: Path) -> None:
    """If several lists name the images, the source is refused with their names; the kind `folder:` ignores lists."""
    folder = write(tmp_path / "images", tree(*(f"{k}.png" for k in range(6))))
    for name in ("labels.csv", "metadata.jsonl"):
        (folder / name).write_text(LISTS[name])
    result = run("import", folder, tmp_path / "o.h5")
    assert result.exit_code == 2
    assert "labels.csv" in result.output
    assert "metadata.jsonl; expected one" in result.output
    result = run("import", f"folder:{folder}", tmp_path / "o.h5")
    assert "lie directly in it" in result.output
    assert run("import", folder, tmp_path / "o.h5", "--label-pattern", r"\d").exit_code == 0


# Names in other encodings


def encoded_zip(path: Path, names: list[str], encoding: str) -> Path:
    """Write an archive with an image in each of the folders `names`, encoded, without the flag of UTF-8."""
    plain = {name.encode(encoding): f"{k}".rjust(len(name.encode(encoding)), "x") for k, name in enumerate(names)}
    write_zip(path, tree(*(f"{folder}/{k}.png" for folder in plain.values() for k in range(2))))
    data = path.read_bytes()
    for raw, folder in plain.items():
        data = data.replace(folder.encode() + b"/", raw + b"/")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("names", "encoding"),
    [
        (["亜", "愛", "ア", "ソ", "表"], "cp932"),
        (["あいう", "かな"], "cp932"),
        (["汉字", "测试"], "gbk"),
        (["猫咪", "小狗"], "gbk"),
        (["고양이", "강아지"], "euc_kr"),
        (["貓咪", "小狗"], "big5"),
        (["ｱｲｳ", "ｶｷｸ"], "cp932"),
        (["ﾊﾟﾝ", "ﾉﾐ", "ﾐﾙｸ"], "cp932"),
        (["Français", "Español"], "cp437"),
        (["Äpfel", "Öl"], "cp437"),
    ],
    ids=str,
)
def test_the_encoding_of_names_is_guessed(tmp_path: Path, names: list[str], encoding: str) -> None:
    """Names that are not UTF-8 are read in the encoding that makes them plausible; a note says which."""
    path = encoded_zip(tmp_path / "t.zip", names, encoding)
    scan = scan_of(path)
    assert scan.class_names == sorted(names)
    (note,) = [note for note in scan.notes if "--name-encoding" in note]
    assert f"were read as {encoding}, such as {names[0]}/0.png (a guess; choose another with --name-encoding)" in note


def test_name_encoding(tmp_path: Path) -> None:
    """`--name-encoding` overrules the guess; one that does not exist or does not fit is refused."""
    path = encoded_zip(tmp_path / "t.zip", ["亜", "愛"], "cp932")
    result = run("import", path, tmp_path / "o.h5", "--name-encoding", "cp437")
    assert sorted(imported(result, tmp_path / "o.h5").class_names) == sorted(
        name.encode("cp932").decode("cp437") for name in ("亜", "愛")
    )
    assert "as --name-encoding says" in result.output
    result = run("import", path, tmp_path / "p.h5", "--name-encoding", "euc_kr")
    assert result.exit_code == 2
    assert "--name-encoding euc_kr does not decode the name" in result.output
    result = run("import", path, tmp_path / "p.h5", "--name-encoding", "cp392")
    assert result.exit_code == 2
    assert "Did you mean `cp932`?" in result.output
    plain = write_zip(tmp_path / "u.zip", tree("木/1.png", "a/1.png"))
    assert any(
        note.startswith("--name-encoding gbk changes nothing") for note in scan_of(plain, name_encoding="gbk").notes
    )


def test_names_that_are_valid_utf_8_by_chance(tmp_path: Path) -> None:
    """`一` in GBK is also valid UTF-8: it is read like the other names of its archive."""
    assert "一".encode("gbk").decode() == "\u04bb"
    scan = scan_of(encoded_zip(tmp_path / "t.zip", ["一", "汉字", "测试"], "gbk"))
    assert scan.class_names == sorted(["一", "汉字", "测试"])


# Documents of several pages


def test_files_with_several_pages_are_counted(make: Callable[[Tree], Path]) -> None:
    """A note counts documents and animations, of which only the first image is read."""
    pages = [Image.fromarray(pixels) for pixels in PIXELS[:3]]
    files = tree("a/1.png", "b/1.png")
    for name, kind in (("a/2.tif", "TIFF"), ("b/2.gif", "GIF"), ("b/3.webp", "WEBP")):
        file = io.BytesIO()
        pages[0].save(file, kind, save_all=True, append_images=pages[1:])
        files[name] = file.getvalue()
    single = io.BytesIO()
    pages[0].save(single, "TIFF")
    files |= {"a/3.tif": single.getvalue(), "a/4.tif": b"damaged"}
    assert "3 image files have several pages or frames; only the first of each is used" in scan_of(make(files)).notes


# The kind of a source


@pytest.mark.parametrize("name", ["digits", "./digits", "digits/"])
def test_a_folder_called_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """`digits` is ambiguous next to a folder of that name; `./digits` and `digits/` are the folder."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "digits", tree(*(f"{c}/{k}.png" for c in range(3) for k in range(2))))
    result = run("import", name, "o.h5")
    if name == "digits":
        assert result.exit_code == 2
        assert "Write ./digits for your own, or digits: for the built-in set" in result.output
        assert imported(run("import", "digits:", "o.h5"), tmp_path / "o.h5").num_images == 1797
    else:
        assert imported(result, tmp_path / "o.h5").num_images == 6


@pytest.mark.parametrize(
    ("spec", "suggested"),
    [
        ("csv;list.csv", "csv:list.csv"), ("fodler:animals", "folder:animals"), ("nzp:a.npz", "npz:a.npz"),
        ("digts", "digits"), ("anmials", "animals"), ("animals/dgo", "animals/dog"),
    ],
)  # fmt: skip
def test_the_closest_kind_and_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, suggested: str) -> None:
    """A mistyped kind, name or path is refused with the closest one."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "animals", tree("dog/1.png"))
    result = run("import", spec, "o.h5")
    assert result.exit_code == 1
    assert f"Did you mean `{suggested}`?" in result.output
