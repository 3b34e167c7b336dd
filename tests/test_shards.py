"""WebDataset and TFRecord sources as people write them, and damaged or malicious ones."""

import gzip
import io
import json
import os
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from epochbank.augment.errors import EpochbankError
from epochbank.augment.shared.tfrecord import encode_example, write_record
from epochbank.augment.sources import Scan, SourceOptions
from epochbank.augment.sources.decode import BadImage
from epochbank.augment.sources.find import open_source

Members = list[tuple[str, bytes | str]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def png(value: int) -> bytes:
    Image.fromarray(np.full((4, 3), value, np.uint8)).save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


def tar_bytes(members: Members, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", **options) as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            content = data.encode() if isinstance(data, str) else data
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def tar(path: str, members: Members, **options: Any) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(tar_bytes(members, **options))


def records(path: str, examples: list[dict[str, Any]]) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        for one in examples:
            write_record(file, encode_example(one))


def scan_of(spec: str, **options: str) -> Scan:
    Path("workspace").mkdir(exist_ok=True)
    return open_source(spec, SourceOptions(**options)).scan(Path("workspace").absolute())  # type: ignore[arg-type]


def names_of(scan: Scan) -> list[str]:
    return [scan.class_names[label] for label in scan.labels]


def values_of(scan: Scan) -> list[int]:
    """Return the value of each image, all of whose pixels are equal."""
    found = []
    for image in scan.reader.read(np.arange(len(scan.labels))):
        assert isinstance(image, Image.Image), image
        found.append(int(np.asarray(image)[0, 0]))
    return found


def samples(count: int, *, label: str = "cls", first: int = 0) -> Members:
    return [
        member
        for k in range(first, first + count)
        for member in ((f"{k:04d}.png", png(k)), (f"{k:04d}.{label}", str(k % 2)))
    ]


def test_labels_of_text_and_long_names_in_both_formats() -> None:
    """Names of more than 100 bytes are in an extended header."""
    folder = "d" * 90 + "/" + "亜" * 40
    members: Members = [
        member for k, name in enumerate("ab") for member in ((f"{folder}/{k}.png", png(k)), (f"{folder}/{k}.cls", name))
    ]
    for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        tar("a.tar", members, format=kind)
        scan = scan_of("a.tar")
        assert names_of(scan) == ["a", "b"]
        assert values_of(scan) == [0, 1]
        assert scan.reader.origin(1) == f"a.tar/{folder}/1.png"


def test_json_gives_label_class_and_group() -> None:
    rows = [{"label": 10 - k % 2, "class": "xy"[k % 2], "writer": f"w{k}", "caption": [1]} for k in range(4)]
    tar("a.tar", [m for k, row in enumerate(rows) for m in ((f"{k}.jpg", png(k)), (f"{k}.json", json.dumps(row)))])
    scan = scan_of("a.tar")
    assert names_of(scan) == ["x", "y", "x", "y"]
    assert scan.class_names == ["y", "x"]  # in the order of the labels, 9 and 10
    assert scan.groups is not None
    assert scan.groups.tolist() == [0, 1, 2, 3]


def test_class_names_beside_the_shards() -> None:
    """Numbers are sorted by value, and `class_names.txt` begins with label 0."""
    for name, first in (("train", 0), ("test", 10)):
        members: Members = [
            m for k in range(first, first + 3) for m in ((f"{k}.png", png(k)), (f"{k}.cls", f"{k % 11}\n"))
        ]
        tar(f"d/{name}-000000.tar", members)
    Path("d/class_names.txt").write_text("".join(f"name{k}\n" for k in range(11)))
    scan = scan_of("d")
    assert names_of(scan) == ["name0", "name1", "name2", "name10", "name0", "name1"]
    assert scan.splits is not None
    assert scan.splits.tolist() == [0, 0, 0, 2, 2, 2]
    assert scan_of("d", split="fractions").splits is None
    Path("d/class_names.txt").write_text("only\n")
    with pytest.raises(EpochbankError, match=r"class_names.txt has no name for the labels 1, 2, 10"):
        scan_of("d")


def test_keys_choose_image_and_label() -> None:
    members = [("a.left.png", png(1)), ("a.right.png", png(2)), ("a.cls", "0"), ("a.kind.txt", "cat")]
    tar("a.tar", members)
    with pytest.raises(EpochbankError, match=r"a.tar/a has the images 'left.png', 'right.png'.*--images-key"):
        scan_of("a.tar")
    scan = scan_of("a.tar", images_key="right.png", labels_key="kind.txt")
    assert values_of(scan) == [2]
    assert names_of(scan) == ["cat"]
    tar("a.tar", [("a.png", png(1)), ("a.json", '{"label": 1, "species": "dog"}')])
    assert names_of(scan_of("a.tar", labels_key="species")) == ["dog"]


def test_links_devices_and_hidden_members_are_left_out() -> None:
    buffer = io.BytesIO(tar_bytes([("./._0001.png", b"resource fork"), *samples(2)]))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
            member = tarfile.TarInfo(f"9{kind.decode()}.png")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    Path("a.tar").write_bytes(buffer.getvalue())
    scan = scan_of("a.tar")
    assert len(scan.labels) == 2
    assert scan.notes == ["4 members that are links or devices are left out", "1 hidden member is left out"]


def test_member_paths_are_only_labels() -> None:
    """A path that leads out of the folder opens nothing."""
    tar("a.tar", [("../../etc/x.png", png(7)), ("../../etc/x.cls", "a"), ("/abs/y.png", png(8)), ("/abs/y.cls", "b")])
    assert values_of(scan_of("a.tar")) == [7, 8]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("a.png", png(1)), ("b.png", png(2)), ("b.cls", "1")], r"a.tar/a has no label: it has '.png'; expected .cls"),
        ([("a.png", png(1)), ("a.png", png(2)), ("a.cls", "1")], r"a.tar/a has the member .png twice"),
        ([("a.png", png(1)), ("a.cls", " \n")], r"a.tar/a has an empty label"),
        ([("a.png", png(1)), ("a.cls", b"\xff\xfe")], r"a.tar/a 'utf-8' codec can't decode"),
        ([("a.png", png(1)), ("a.json", "{")], r"a.tar/a has .json that cannot be read"),
        ([("a.png", png(1)), ("a.json", "[" * 5000)], r"a.tar/a has .json that cannot be read"),
        ([("a.png", png(1)), ("a.json", "[1]")], r"a.tar/a has .json of list; expected an object"),
        ([("a.png", png(1)), ("a.cls", "1" * (1 << 20) + "1")], r"has a.cls of 1,048,577 bytes"),
        ([("cat/a.png", png(1)), ("dog/a.png", png(1))], r"has no label"),
        ([("a.txt", "x")], r"no samples with an image and a label.*unpack it"),
        ([], r"no samples with an image and a label"),
    ],
)
def test_unusable_samples_are_refused(members: Members, message: str) -> None:
    tar("a.tar", members)
    with pytest.raises(EpochbankError, match=f"(?s){message}"):
        scan_of("a.tar")


def test_groups_are_of_all_samples_or_of_none() -> None:
    tar("a.tar", [*samples(1), ("1.png", png(1)), ("1.json", '{"label": 1, "group": "w"}')])
    with pytest.raises(EpochbankError, match="has a group, but earlier samples have none"):
        scan_of("a.tar")


def test_every_truncated_archive_is_refused() -> None:
    whole = tar_bytes(samples(3))
    used = 512 * 12  # six members of a header and a block
    for size in (*range(0, used + 511, 256), used + 100):
        Path("a.tar").write_bytes(whole[:size])
        with pytest.raises(EpochbankError, match=r"a.tar cannot be read as .tar: it is truncated"):
            scan_of("a.tar")


def test_two_archives_in_one_file_are_refused() -> None:
    Path("a.tar").write_bytes(tar_bytes(samples(2)) * 2)
    with pytest.raises(EpochbankError, match="data follows its end"):
        scan_of("a.tar")


def test_damaged_headers_are_refused_or_read() -> None:
    """No changed byte ends in another exception."""
    whole = tar_bytes([("d" * 120 + "0.png", png(0)), ("d" * 120 + "0.cls", "1")], format=tarfile.PAX_FORMAT)
    for place in range(0, 1536, 23):
        for value in (0, 0x31, 0xFF):
            changed = bytearray(whole)
            changed[place] = value
            Path("a.tar").write_bytes(changed)
            try:
                scan_of("a.tar")
            except EpochbankError as error:
                assert "a.tar" in str(error)  # noqa: PT017


def header(kind: bytes, size: int) -> bytes:
    member = tarfile.TarInfo("x")
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_headers_of_any_size_allocate_nothing(kind: bytes) -> None:
    with open("a.tar", "wb") as file:
        file.write(header(kind, 1 << 30))
        file.truncate(1 << 31)
    tracemalloc.start()
    with pytest.raises(EpochbankError, match="header at byte 0 has 1,073,741,824 bytes; expected at most 1,048,576"):
        scan_of("a.tar")
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_sparse_files_are_refused() -> None:
    Path("a.tar").write_bytes(header(tarfile.GNUTYPE_SPARSE, 512) + bytes(2048))
    with pytest.raises(EpochbankError, match="is sparse"):
        scan_of("a.tar")


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.tar"])
def test_gzip_is_recognized_by_its_contents(name: str) -> None:
    """A file may have several members of gzip, and zeros after them."""
    whole = tar_bytes(samples(3))
    Path(name).write_bytes(gzip.compress(whole[:700]) + gzip.compress(whole[700:]) + bytes(100))
    assert values_of(scan_of(name)) == [0, 1, 2]


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tfrecord.gz"])
def test_gzip_bombs_and_damage_are_refused(name: str) -> None:
    whole = gzip.compress(bytes(70 << 20))
    for data, message in (
        (whole, "expands from .* to .* bytes; expected at most 200 times"),
        (gzip.compress(os.urandom(1000))[:-9], "is truncated|gzip"),
        (gzip.compress(b"x" * 1000)[:500] + b"damage", "cannot be read as gzip"),
    ):
        Path(name).write_bytes(data)
        with pytest.raises(EpochbankError, match=message):
            scan_of(name)


def test_tfrecords_of_tensorflow_datasets() -> None:
    """Names as TensorFlow Datasets writes them, with a file of class names."""
    for split, first in (("train", 0), ("test", 4)):
        rows = [{"image": png(k), "label": k % 3, "id": f"{k}".encode()} for k in range(first, first + 4)]
        records(f"mnist/3.0.1/mnist-{split}.tfrecord-00000-of-00001", rows)
    Path("mnist/3.0.1/label.labels.txt").write_text("zero\none\ntwo\n")
    scan = scan_of("mnist/3.0.1")
    assert names_of(scan) == [("zero", "one", "two")[k % 3] for k in range(8)]
    assert values_of(scan) == list(range(8))
    assert scan.splits is not None
    assert scan.splits.tolist() == [0] * 4 + [2] * 4
    assert scan.reader.origin(5) == "mnist-test.tfrecord-00000-of-00001[1]"


def test_tfrecords_of_tensorflow_models() -> None:
    """Files without a suffix need the kind in front."""
    rows = [
        {"image/encoded": png(k), "image/class/label": k + 1, "image/class/text": "xyz"[k], "image/height": 4}
        for k in range(3)
    ]
    records("net/train-00000-of-00001", rows)
    scan = scan_of("tfrecord:net")
    assert names_of(scan) == ["x", "y", "z"]
    assert names_of(scan_of("tfrecord:net", labels_key="image/class/text")) == ["x", "y", "z"]


def test_texts_that_are_no_class_names_are_not_used() -> None:
    rows = [{"image": png(k), "label": k % 2, "text": f"a caption {k}"} for k in range(4)]
    records("a.tfrecord", rows)
    scan = scan_of("a.tfrecord")
    assert scan.class_names == ["0", "1"]
    assert scan.notes == [
        "class names in the samples are not used: label 0 has the names 'a caption 0' and 'a caption 2'"
    ]


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"pixels": png(1), "label": 1}, r"a.tfrecord\[0\] has the features 'label', 'pixels'; expected image/encoded"),
        ({"image": png(1)}, r"expected image/encoded or image, and image/class/label or label"),
        ({"image": png(1), "label": [1, 2]}, r"has 2 values in the feature 'label'; expected one"),
        ({"image": [1, 2], "label": 1}, r"has 2 values in the feature 'image'"),
        ({"image": 1, "label": 1}, r"has numbers in the feature 'image'; expected the bytes of an image file"),
        ({"image": b"", "label": 1}, r"has an empty feature 'image'"),
        ({"image": png(1), "label": 0.5}, r"has the label 0.5; expected an integer or text"),
        ({"image": png(1), "label": b"\xff"}, r"codec can't decode"),
    ],
)
def test_unusable_records_are_refused(features: dict[str, Any], message: str) -> None:
    records("a.tfrecord", [features])
    with pytest.raises(EpochbankError, match=message):
        scan_of("a.tfrecord")


def test_damaged_record_is_a_bad_image_and_a_damaged_length_ends_the_import() -> None:
    rows = [{"image": png(k), "label": k % 2} for k in range(3)]
    records("a.tfrecord", rows)
    whole, each = Path("a.tfrecord").read_bytes(), len(encode_example(rows[0])) + 16
    Path("a.tfrecord").write_bytes(whole[: each + 40] + b"#" + whole[each + 41 :])
    scan = scan_of("a.tfrecord")
    assert values_of(scan) == [0, 2]
    assert scan.bad == [
        ("a.tfrecord[1]", f"is damaged: the record at byte {each} is damaged: the checksum of its data is wrong")
    ]
    for damaged in (whole[:each] + b"#" + whole[each + 1 :], whole[:-1]):
        Path("a.tfrecord").write_bytes(damaged)
        with pytest.raises(EpochbankError, match=r"a.tfrecord cannot be read as TFRecord: the .*record at byte \d+"):
            scan_of("a.tfrecord")


def test_record_that_is_no_example_is_refused() -> None:
    with open("a.tfrecord", "wb") as file:
        write_record(file, b"\xff" * 20)
    with pytest.raises(EpochbankError, match=r"a.tfrecord\[0\] the message is damaged at byte 0"):
        scan_of("a.tfrecord")


def test_file_that_shrinks_during_the_import_gives_bad_images() -> None:
    records("a.tfrecord", [{"image": png(k), "label": k % 2} for k in range(3)])
    scan = scan_of("a.tfrecord")
    os.truncate("a.tfrecord", 50)
    found = list(scan.reader.read(np.arange(3)))
    assert all(isinstance(one, BadImage) for one in found)


def test_folder_of_one_export_of_arrays() -> None:
    """Only a folder with nothing but one `.npz` is that file."""
    Path("d").mkdir()
    np.savez("d/arrays.npz", x_train=np.zeros((4, 3, 3), np.uint8), y_train=np.array([0, 1, 0, 1]))
    assert len(scan_of("d").labels) == 4
    Path("d/a").mkdir()
    Path("d/a/1.png").write_bytes(png(1))
    assert open_source("d").identity()[0] == "folder"
