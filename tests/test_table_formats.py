"""JSON Lines, JSON arrays, COCO, and Parquet files with image bytes."""

import io
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from epochbank.augment.cli import main as augment
from epochbank.augment.errors import EpochbankError
from epochbank.augment.ingest.source_file import SourceFile, open_source_file
from epochbank.augment.sources import Scan, SourceOptions
from epochbank.augment.sources.decode import BadImage
from epochbank.augment.sources.find import open_source
from epochbank.augment.sources.lists import json_stream

COUNT = 12


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def pixels(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (6, 5), np.uint8)


def png(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels(number)).save(buffer, "PNG")
    return buffer.getvalue()


def scans(folder: str, count: int = COUNT) -> list[str]:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Path(folder, f"{number:04}.png").write_bytes(png(number))
    return [f"{number:04}.png" for number in range(count)]


def imported(*words: str) -> tuple[SourceFile, Result]:
    """Import by the command that a user would type, without changing a pixel."""
    words = ("import", words[0], "out.h5", *words[1:])
    result = CliRunner().invoke(augment, [*words, "--jobs", "1", "--size", "6x5", "--invert", "no"])
    assert result.exit_code == 0, result.output
    return open_source_file(Path("out.h5")), result


def refused(*words: str) -> str:
    result = CliRunner().invoke(augment, ["import", words[0], "out.h5", *words[1:], "--jobs", "1"])
    assert isinstance(result.exception, SystemExit), result.exception
    assert not Path("out.h5").exists()
    return result.output


def check(file: SourceFile, labels: list[str]) -> None:
    """Check that the images 0, 1, 2 ... are there, in this order, with these labels."""
    found = file.read(np.arange(file.num_images))[..., 0]
    np.testing.assert_array_equal(found, [pixels(number) for number in range(len(labels))])
    assert [file.class_names[label] for label in file.column("label")] == labels


def scan_of(path: str, **options: str) -> Scan:
    Path("workspace").mkdir(exist_ok=True)
    return open_source(path, SourceOptions(**options)).scan(Path("workspace").absolute())  # type: ignore[arg-type]


def objects(folder: str, **more: Any) -> list[dict[str, Any]]:
    return [
        {"file_name": name, "label": 9 + k % 2, **{key: values[k] for key, values in more.items()}}
        for k, name in enumerate(scans(folder))
    ]


def lines(path: str, rows: list[dict[str, Any]]) -> None:
    Path(path).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.ndjson", "metadata.json"])
def test_json_lines(name: str) -> None:
    """`metadata.jsonl` of a Hugging Face imagefolder; integers are sorted by value."""
    lines(f"letters/{name}", objects("letters", writer=list("aaabbbcccddd"), split=["train"] * 8 + ["validation"] * 4))
    file, _ = imported(f"letters/{name}")
    check(file, ["9", "10"] * 6)
    assert file.class_names == ["9", "10"]
    assert file.group_names == list("abcd")
    assert file.column("part").tolist() == [0] * 8 + [1] * 4


@pytest.mark.parametrize("indent", [None, 2])
def test_json_array(indent: int | None) -> None:
    """An array of objects, with keys that only later objects have."""
    rows = objects("letters")
    rows[3]["note"] = "blurred"
    Path("letters/list.json").write_text(json.dumps(rows, indent=indent))
    file, result = imported("letters/list.json")
    check(file, ["9", "10"] * 6)
    assert "unused columns of list.json: 'note'" in result.output


def test_json_with_class_names_and_template() -> None:
    """The options of lists apply to JSON."""
    rows = [{"number": k, "kind": k % 2} for k, _ in enumerate(scans("letters"))]
    lines("list.jsonl", rows)
    Path("names.txt").write_text("a\nb\n")
    words = ["--path-template", "letters/{number:04}.png", "--labels-key", "kind", "--class-names", "names.txt"]
    check(imported("list.jsonl", *words)[0], ["a", "b"] * 6)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"file_name": "1.png", "label": 1}\n{"file', "a.jsonl, line 2, cannot be read as JSON"),
        ("a.jsonl", '{"file_name": "1.png", "label": null}\n', "line 1 has an empty label"),
        ("a.jsonl", '{"file_name": "1.png", "label": [1]}\n', "line 1 has the label [1]; expected an integer or text"),
        ("a.jsonl", '{"file_name": "1.png", "label": true}\n', "line 1 has the label True"),
        ("a.jsonl", '{"file_name": "\\ud800", "label": 1}\n', "not valid Unicode"),
        ("a.jsonl", '{"file_name": "1.png", "label": 1}\n{"file_name": "2.png", "label": "x"}\n', "'x' where others"),
        ("a.jsonl", "[1, 2]\n", "line 1 is [1, 2]; expected an object such as"),
        ("a.json", "[1, 2]", "item 0 is 1; expected an object"),
        ("a.json", '[{"a": 1}, {"b"]', "cannot be read as JSON"),
        ("a.json", '[{"x": 1, "y": 2}]', "has the columns 'x', 'y'; expected path"),
        ("a.json", '"text"', "it begins with '\"'; expected an array or an object"),
        ("a.json", "", "expected an array or an object"),
        ("a.json", '{"version": 3}', "has no images and no annotations and no categories; expected an array"),
    ],
)
def test_invalid_json(name: str, content: str, message: str) -> None:
    """Errors name the line or item."""
    Path(name).write_text(content)
    assert message in refused(name)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text('a"\\é[]{},: \n'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab"]', max_size=2), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(document=st.lists(values, max_size=5) | st.dictionaries(st.text("ab}", max_size=3), values, max_size=4),
       piece=st.integers(1, 9), indent=st.sampled_from([None, 1]), ascii=st.booleans())  # fmt: skip
def test_documents_are_read_piece_by_piece(
    tmp_path_factory: pytest.TempPathFactory, document: Any, piece: int, indent: int | None, ascii: bool
) -> None:
    """Whatever the size of the pieces, the items are those of Python's own parser."""
    path = tmp_path_factory.mktemp("json") / "a.json"
    path.write_text(json.dumps(document, indent=indent, ensure_ascii=ascii), encoding="utf-8")
    arrays = {"": document} if isinstance(document, list) else document
    expected = [(key, item) for key, items in arrays.items() if isinstance(items, list) for item in items]
    before, json_stream._PIECE = json_stream._PIECE, piece
    try:
        assert list(json_stream.read_items(path)) == expected
    finally:
        json_stream._PIECE = before


@pytest.mark.parametrize("text", ["[1 2]", "[1,]", "[,1]", '{"a": 1,}', '{"a" 1}', "[1] 2", "[", '{"a": [1}', "{1: 2}"])
def test_invalid_documents(text: str) -> None:
    """What is not JSON is refused, as Python's own parser does."""
    Path("a.json").write_text(text)
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)
    with pytest.raises(EpochbankError, match="cannot be read as JSON"):
        list(json_stream.read_items(Path("a.json")))


def coco(folder: str) -> dict[str, Any]:
    """Return a document in COCO's format, whose ids are not in order."""
    names = scans(folder)
    return {
        "info": {"year": 2024, "nested": [1, {"images": []}]},
        "images": [{"id": 500 - k, "file_name": name, "width": 5} for k, name in enumerate(names)],
        "annotations": [
            {"id": k, "image_id": 500 - k, "category_id": [7, 1][k % 2], "bbox": [0, 0, 1, 1]} for k in range(COUNT)
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 7, "name": "dog"}, {"id": 8, "name": "cow"}],
    }


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("place", ["photos/annotations.json", "annotations/instances.json"])
def test_coco(place: str, reverse: bool) -> None:
    """Images are joined with their category, whatever the order; the list may be in a folder beside the images."""
    document = coco("photos")
    Path(place).parent.mkdir(exist_ok=True)
    Path(place).write_text(json.dumps(dict(reversed(document.items())) if reverse else document))
    check(imported(place)[0], ["dog", "cat"] * 6)


def test_coco_with_text_as_ids() -> None:
    """Ids may be text."""
    document = coco("photos")
    for image, annotation in zip(document["images"], document["annotations"], strict=True):
        image["id"] = annotation["image_id"] = f"image-{image['id']}"
    Path("photos/a.json").write_text(json.dumps(document))
    check(imported("photos/a.json")[0], ["dog", "cat"] * 6)


def test_coco_with_several_annotations() -> None:
    """An image with objects of two categories is refused; of one category it is used, and a note counts it."""
    document = coco("photos")
    document["annotations"].append({"id": 99, "image_id": 500, "category_id": 7})
    del document["annotations"][COUNT - 1]
    Path("photos/a.json").write_text(json.dumps(document))
    file, result = imported("photos/a.json")
    check(file, (["dog", "cat"] * 6)[:-1])
    assert "ignoring 1 annotation of a.json with the image and category of another one" in result.output
    assert "leaving out 1 image of a.json without an annotation" in result.output
    Path("out.h5").unlink()
    document["annotations"].append({"id": 100, "image_id": 500, "category_id": 1})
    Path("photos/a.json").write_text(json.dumps(document))
    error = refused("photos/a.json")
    assert "has annotations of several categories for 1 image, such as" in error


@pytest.mark.parametrize(
    ("key", "item", "message"),
    [
        ("images", {"id": 1}, "an item of images has no file_name"),
        ("annotations", {"image_id": 1}, "an item of annotations has no category_id"),
        (
            "annotations",
            {"image_id": 500, "category_id": 77},
            "an annotation has a category_id that is not in `categories`",
        ),
        ("categories", {"id": 9}, "an item of categories has no name"),
    ],
)
def test_invalid_coco(key: str, item: dict[str, Any], message: str) -> None:
    document = coco("photos")
    if key == "images":
        document["annotations"].append({"image_id": 1, "category_id": 1})
    document[key].append(item)
    Path("photos/a.json").write_text(json.dumps(document))
    assert message in refused("photos/a.json")


CLASS_LABEL = {"names": ["zero", "one"], "_type": "ClassLabel"}


def parquet(
    path: str, numbers: range, *, info: bool = True, plain: bool = False, group_rows: int = 3, **more: Any
) -> None:
    """Write a shard as Hugging Face has them: images as structs of bytes and path, labels as integers."""
    import pyarrow
    import pyarrow.parquet

    cells = [png(k) if plain else {"bytes": png(k), "path": f"{k}.png"} for k in numbers]
    columns = {"image": cells, "label": pyarrow.array([k % 2 for k in numbers], pyarrow.int64()), **more}
    table = pyarrow.table(columns)
    if info:
        metadata = {"info": {"features": {"image": {"_type": "Image"}, "label": CLASS_LABEL}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(metadata)})
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(table, path, row_group_size=group_rows)


@pytest.mark.parametrize("source", ["mnist", "mnist/data", "parquet:mnist"])
def test_parquet_shards(source: str) -> None:
    """Shards in a folder give the splits by their names, and the schema the class names."""
    parquet("mnist/data/train-00000-of-00002.parquet", range(4))
    parquet("mnist/data/train-00001-of-00002.parquet", range(4, 8))
    parquet("mnist/data/test-00000-of-00001.parquet", range(8, 12))
    Path("mnist/README.md").write_text("mnist")
    file, _ = imported(source)
    check(file, ["zero", "one"] * 6)
    assert file.column("part").tolist() == [0] * 8 + [2] * 4
    assert file.origin(5) == f"{'' if source.endswith('data') else 'data/'}train-00001-of-00002.parquet[1]"


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("group_rows", [1, 5, 100])
def test_parquet_file(plain: bool, group_rows: int) -> None:
    """A file, with images as structs or bytes; its own name gives no split. Any rows are read in order."""
    parquet("train.parquet", range(COUNT), plain=plain, group_rows=group_rows, writer=list("aabbccddeeff"))
    scan = scan_of("train.parquet")
    assert scan.splits is None
    assert scan.group_names == list("abcdef")
    for indices in ([], [0], [11], [0, 4, 5, 11], range(12)):
        found = list(pickle.loads(pickle.dumps(scan.reader)).read(np.array(indices, np.int64)))
        expected = np.array([pixels(k) for k in indices]).reshape(-1, 6, 5)
        np.testing.assert_array_equal(np.array(found).reshape(-1, 6, 5), expected)


def test_parquet_without_class_names() -> None:
    """Integers are names; --class-names names them; text is a label; a column `split` gives the splits."""
    parquet("a.parquet", range(COUNT), info=False, split=["train"] * 8 + ["test"] * 4, word=["x", "y"] * 6)
    assert scan_of("a.parquet").class_names == ["0", "1"]
    assert scan_of("a.parquet", split="fractions").splits is None
    assert scan_of("a.parquet", labels_key="word").class_names == ["x", "y"]
    Path("names.txt").write_text("a\nb\n")
    file, result = imported("a.parquet", "--class-names", "names.txt")
    check(file, ["a", "b"] * 6)
    assert file.column("part").tolist() == [0] * 8 + [2] * 4
    assert "unused columns: 'word'" in result.output


def test_invalid_parquet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Damaged files, missing columns, columns of another type and labels of -1 are refused with the remedy."""
    import pyarrow
    import pyarrow.parquet

    Path("a.parquet").write_bytes(b"PAR1 not a Parquet file")
    assert "a.parquet cannot be read as Parquet" in refused("a.parquet")
    parquet("a.parquet", range(4))
    assert "has no column 'picture' for --images-key" in refused("a.parquet", "--images-key", "picture")
    for columns, message in (
        ({"image": ["1.png"], "label": [0]}, "the column 'image' is string; expected the bytes of image files"),
        ({"image": [b"x"], "text": ["a"]}, "has the columns 'image', 'text'; expected image"),
        ({"image": [b"x"], "label": [1.5]}, "row 0 has the label 1.5; expected an integer or text"),
        ({"image": [b"x"], "label": [None]}, "row 0 has an empty label"),
    ):
        pyarrow.parquet.write_table(pyarrow.table(columns), "a.parquet")
        assert message in refused("a.parquet")
    parquet("a.parquet", range(4))
    table = pyarrow.parquet.read_table("a.parquet")
    pyarrow.parquet.write_table(table.set_column(1, "label", [[-1, -1, 0, 1]]), "a.parquet")
    assert "has the label -1, but its schema has class names for 0 to 1" in refused("a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert 'a.parquet needs pyarrow, which is not installed. Install it: pip install "epochbank[parquet]"' in refused(
        "a.parquet"
    )


def test_shards_that_do_not_fit_together() -> None:
    """A shard without the columns of the first is named."""
    import pyarrow
    import pyarrow.parquet

    parquet("d/a.parquet", range(4))
    pyarrow.parquet.write_table(pyarrow.table({"image": [b"x"], "text": ["a"]}), "d/b.parquet")
    error = refused("d")
    assert "b.parquet has the columns 'image', 'text'; expected those of the first file" in error


def test_bad_images_in_parquet() -> None:
    """An image without bytes, or with bytes that are no image, is a bad image."""
    import pyarrow
    import pyarrow.parquet

    cells = [{"bytes": None, "path": "a.png"}, {"bytes": b"x", "path": None}, {"bytes": png(0), "path": None}, None]
    pyarrow.parquet.write_table(pyarrow.table({"image": cells, "label": [0, 1, 0, 1]}), "a.parquet")
    found = list(scan_of("a.parquet").reader.read(np.arange(4)))
    assert [isinstance(one, BadImage) for one in found] == [True, True, False, True]
    assert "has no bytes" in str(found[0])


@pytest.mark.parametrize("ids", [[0, 1], ["a", "b"]], ids=str)
def test_coco_with_repeated_ids(ids: list[int | str]) -> None:
    """Several images with one id are refused, with the ids and the number of images of each."""
    names = scans("photos", 4)
    document = {
        "images": [{"id": ids[k > 0], "file_name": f"photos/{name}"} for k, name in enumerate(names)],
        "annotations": [{"image_id": one, "category_id": 0} for one in ids],
        "categories": [{"id": 0, "name": "cat"}],
    }
    Path("c.json").write_text(json.dumps(document))
    assert f"several images with the id {ids[1]!r} (3 images)" in " ".join(refused("c.json").split())


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000 + "}\n{}"], ids=["array", "object"])
@pytest.mark.parametrize("name", ["deep.jsonl", "deep.json"])
def test_deeply_nested_json_is_refused(name: str, text: str) -> None:
    """Nesting that is too deep for the parser is a message that names the file."""
    Path(name).write_text(text + "\n")
    assert f"{name}, " in (output := refused(name))
    assert "cannot be read as JSON" in output


@pytest.mark.parametrize("column", ["label", "image"])
def test_damaged_pages_of_parquet(column: str) -> None:
    """A damaged page is a message that names the file, in the scan and in the import, with one full stop."""
    pq = pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    images = [png(k) for k in range(COUNT)]
    pq.write_table(pa.table({"image": images, "label": ["cat", "dog"] * 6}), "d.parquet", use_dictionary=False)
    place = pq.ParquetFile("d.parquet").metadata.row_group(0).column(0 if column == "image" else 1)
    content = bytearray(Path("d.parquet").read_bytes())
    content[place.data_page_offset : place.data_page_offset + 16] = b"\xff" * 16
    Path("d.parquet").write_bytes(content)
    output = refused("d.parquet")
    assert "d.parquet cannot be read as Parquet: " in output
    assert ".. " not in output
    Path("e.parquet").write_bytes(b"no Parquet")
    assert ".. " not in refused("e.parquet")


def test_splits_in_names_of_parquet_files() -> None:
    """Words for splits may be run together with others in the names of files."""
    pq = pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    Path("shards").mkdir()
    for name, numbers in (("trainset-0", range(8)), ("tst-0", range(8, 12))):
        rows = {"image": [png(k) for k in numbers], "label": [k % 2 for k in numbers]}
        pq.write_table(pa.table(rows), f"shards/{name}.parquet")
    scan = scan_of("shards")
    assert scan.splits is not None
    assert scan.splits.tolist() == [0] * 8 + [2] * 4
