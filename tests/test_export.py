"""`augment export` writes exactly the images of a set, in the formats of other libraries, or nothing."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import hdf5plugin  # noqa: F401  h5py needs it for zstd
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import epochbank
from conftest import glyphs
from epochbank import EpochbankError
from epochbank.augment.cli import main
from epochbank.augment.exchange import export as export_module
from epochbank.augment.exchange.export import export_lines
from epochbank.augment.exchange.selection import Piece, divided, parse_epochs
from epochbank.augment.shared.atomic import TEMPORARY
from epochbank.augment.shared.reading_lock import ReadingLock, unread
from epochbank.augment.store.manifest import Entry

SMALL: dict[str, Any] = {"jobs": 1, "shard_size": 25, "chunk_size": 6}
NAMES = ["a", "\u4e9c", "b c", "d"]
FORMATS = ("webdataset", "tfrecord", "parquet", "npz")


class Row(NamedTuple):
    """One image of a set or of an export."""

    pixels: bytes
    label: int
    name: str
    group: str
    row: int
    epoch: int
    position: int


def source(path: Path, shape: tuple[int, int, int] = (9, 8, 1)) -> Path:
    """Write a source of 120 images in four classes and twelve groups."""
    groups = np.array([f"writer {number // 10} \u00e9" for number in range(120)])
    np.savez(path, images=glyphs(120, shape), labels=np.arange(120) % 4, groups=groups, class_names=np.array(NAMES))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of three epochs, each in four shards; other tests change copies of it."""
    directory = tmp_path_factory.mktemp("made")
    return epochbank.generate(source(directory / "a.npz"), epochs=3, sets=directory / "sets", **SMALL).path


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """A copy of the set with its source file."""
    return Path(shutil.copytree(made.parent, tmp_path / "sets")) / made.name


def stored(directory: Path, folder: str) -> list[Row]:
    """Return the images in a folder of a set, read by h5py alone, with the groups of the source."""
    with np.load(directory.parents[1] / "a.npz") as arrays:
        groups = arrays["groups"]
    found: list[Row] = []
    epoch = int(folder.removeprefix("epoch-")) if folder.startswith("epoch-") else -1
    for path in sorted((directory / folder).glob("*.h5")):
        with h5py.File(path) as file:
            for image, label, row in zip(file["image"][()], file["label"][()], file["row"][()], strict=True):
                position = len(found)
                group = str(groups[row])
                found.append(Row(image.tobytes(), int(label), NAMES[label], group, int(row), epoch, position))
    return found


def expected(directory: Path, epochs: tuple[int, ...] = (0, 1, 2), originals: bool = False) -> dict[str, list[Row]]:
    folders = [*(["train"] if originals else []), *(f"epoch-{number:04d}" for number in epochs)]
    return {
        "train": [row for folder in folders for row in stored(directory, folder)],
        "validation": stored(directory, "validation"),
        "test": stored(directory, "test"),
    }


def pixels(png: bytes) -> bytes:
    image = Image.open(io.BytesIO(png))
    assert (image.format, image.mode) == ("PNG", "L")
    return np.asarray(image).tobytes()


def by_split(path: Path, pattern: str, read: Callable[[Path], list[Row]]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for file in sorted(path.glob(pattern)):
        found.setdefault(file.name.split("-")[0], []).extend(read(file))
    return {split: found[split] for split in ("train", "validation", "test") if split in found}


def from_tar(path: Path) -> list[Row]:
    rows = []
    with tarfile.open(path) as tar:
        members = [(one.name.partition("."), tar.extractfile(one).read()) for one in tar]  # type: ignore[union-attr]
    for at in range(0, len(members), 3):
        (png_name, png), (cls_name, label), (json_name, text) = members[at : at + 3]
        assert [png_name[2], cls_name[2], json_name[2]] == ["png", "cls", "json"]
        assert len({png_name[0], cls_name[0], json_name[0]}) == 1
        about = json.loads(text)
        assert int(label) == about["label"]
        values = [about[key] for key in ("label", "class", "group", "row", "epoch", "position")]
        rows.append(Row(pixels(png), *values))
    return rows


def from_parquet(path: Path) -> list[Row]:
    from pyarrow.parquet import read_table

    names = ("label", "group", "row", "epoch", "position")
    rows = []
    for one in read_table(path).to_pylist():
        label, *rest = (one[name] for name in names)
        rows.append(Row(pixels(one["image"]["bytes"]), label, NAMES[label], *rest))
    return rows


def from_npz(path: Path) -> dict[str, list[Row]]:
    found = {}
    with np.load(path) as arrays:
        assert arrays["class_names"].tolist() == NAMES
        for split in ("train", "validation", "test"):
            names = ("images", "labels", "groups", "rows", "epochs", "positions")
            columns = [arrays[f"{split}_{name}"] for name in names]
            assert (columns[0].dtype, columns[0].shape[1:]) == (np.dtype(np.uint8), (9, 8, 1))
            found[split] = [
                Row(image.tobytes(), int(label), NAMES[label], group.decode(), int(row), int(epoch), int(position))
                for image, label, group, row, epoch, position in zip(*columns, strict=True)
            ]
    return found


def test_webdataset_has_the_images_of_the_set(made: Path, tmp_path: Path) -> None:
    """Members are in stored order, and the same export has the same bytes."""
    for name in ("one", "other"):
        epochbank.export_set(made, tmp_path / name, originals=True, jobs=1)
    assert by_split(tmp_path / "one", "*.tar", from_tar) == expected(made, originals=True)
    assert (tmp_path / "one/class_names.txt").read_text(encoding="utf-8").splitlines() == NAMES
    files = [path.name for path in (tmp_path / "one").iterdir()]
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes() for name in files)
    with tarfile.open(tmp_path / "one/train-000000.tar") as tar:
        names = tar.getnames()
    assert names[:4] == ["000000000.png", "000000000.cls", "000000000.json", "000000001.png"]


def test_parquet_has_the_images_of_the_set(made: Path, tmp_path: Path) -> None:
    """The metadata have the class names, as `datasets` reads them, and README.md the files of each split."""
    from pyarrow.parquet import ParquetFile

    epochbank.export_set(made, tmp_path / "out", "parquet", jobs=1)
    assert by_split(tmp_path / "out/data", "*.parquet", from_parquet) == expected(made)
    with ParquetFile(tmp_path / "out/data/train-00000-of-00001.parquet") as file:
        features = json.loads(file.schema_arrow.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert features["label"] == {"names": NAMES, "_type": "ClassLabel"}
    assert features["group"] == {"dtype": "string", "_type": "Value"}
    card = (tmp_path / "out/README.md").read_text()
    assert "  - split: validation\n    path: data/validation-*.parquet\n" in card


def test_row_groups_are_small(monkeypatch: pytest.MonkeyPatch, made: Path, tmp_path: Path) -> None:
    """A row group has at most as many images, or bytes, as a reader should hold in memory."""
    from pyarrow.parquet import ParquetFile

    monkeypatch.setattr("epochbank.augment.exchange.parquet._ROWS", 7)
    epochbank.export_set(made, tmp_path / "rows", "parquet", epochs=0, splits=["train"], jobs=1)
    monkeypatch.setattr("epochbank.augment.exchange.parquet._BYTES", 1)
    epochbank.export_set(made, tmp_path / "bytes", "parquet", epochs=0, splits=["train"], jobs=1)
    for name, most in (("rows", 7), ("bytes", 1)):
        with ParquetFile(tmp_path / name / "data/train-00000-of-00001.parquet") as file:
            groups = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        assert max(groups) == most
        assert sum(groups) == len(stored(made, "train"))


def test_npz_has_the_images_of_the_set(made: Path, tmp_path: Path) -> None:
    epochbank.export_set(made, tmp_path / "out", "npz", originals=True, jobs=1)
    assert from_npz(tmp_path / "out/arrays.npz") == expected(made, originals=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["arrays.npz", "epochbank.json"]


def test_tfrecord_has_the_images_of_the_set(made: Path, tmp_path: Path) -> None:
    """TensorFlow reads and decodes them."""
    tf = pytest.importorskip("tensorflow")
    kinds = {"image/encoded": tf.string, "image/format": tf.string, "image/class/text": tf.string, "group": tf.string}
    integers = ("image/height", "image/width", "image/channels", "image/class/label", "row", "epoch", "position")
    kinds |= dict.fromkeys(integers, tf.int64)
    features = {name: tf.io.FixedLenFeature([], kind) for name, kind in kinds.items()}

    def read(path: Path) -> list[Row]:
        rows = []
        for record in tf.data.TFRecordDataset(str(path)):
            one = {name: value.numpy() for name, value in tf.io.parse_single_example(record, features).items()}
            image = tf.io.decode_png(one["image/encoded"])
            assert image.shape == (9, 8, 1) == tuple(one[f"image/{name}"] for name in ("height", "width", "channels"))
            assert one["image/format"] == b"png"
            texts = [one[name].decode() for name in ("image/class/text", "group")]
            numbers = [int(one[name]) for name in ("row", "epoch", "position")]
            rows.append(Row(image.numpy().tobytes(), int(one["image/class/label"]), *texts, *numbers))
        return rows

    epochbank.export_set(made, tmp_path / "out", "tfrecord", epochs=[1], jobs=1)
    assert by_split(tmp_path / "out", "*-of-00001.tfrecord", read) == expected(made, (1,))


@pytest.mark.parametrize(("format", "pattern", "read"), [
    ("webdataset", "*.tar", from_tar), ("parquet", "data/*.parquet", from_parquet),
])  # fmt: skip
def test_large_splits_are_divided_into_files(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: Any, pattern: str,
    read: Callable[[Path], list[Row]],
) -> None:  # fmt: skip
    """The files of a split have the same number of images, whatever the shards; several processes write them."""
    monkeypatch.setattr(export_module, "_FILE_BYTES", 130_000 if format == "webdataset" else 6_000)
    result = epochbank.export_set(made, tmp_path / "out", format, jobs=2)
    assert by_split(tmp_path / "out", pattern, read) == expected(made)
    sizes = [len(read(path)) for path in sorted((tmp_path / "out").glob(pattern)) if path.name.startswith("train")]
    assert len(sizes) > 3
    assert len(set(sizes[:-1])) == 1
    assert result.files == len(list((tmp_path / "out").glob(pattern)))


def test_an_export_says_where_it_comes_from(made: Path, tmp_path: Path) -> None:
    result = epochbank.export_set(made, tmp_path / "out", "npz", epochs="0,2", jobs=1)
    about = json.loads((tmp_path / "out/epochbank.json").read_text(encoding="utf-8"))
    assert about["set"] == made.name
    assert about["fingerprint"] == epochbank.info(made)["fingerprint"]
    assert (about["epochs"], about["originals"], about["class_names"]) == ([0, 2], False, NAMES)
    assert about["images"] == result.num_images
    assert result.bytes == sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    assert "2 epochs" in export_lines(result)[0]


def test_splits_and_epochs_are_selected(made: Path, tmp_path: Path) -> None:
    whole = expected(made)
    epochbank.export_set(made, tmp_path / "test", splits=["test"], jobs=1)
    assert by_split(tmp_path / "test", "*.tar", from_tar) == {"test": whole["test"]}
    epochbank.export_set(made, tmp_path / "train", splits=["train"], epochs=(2, 0, 0), jobs=1)
    assert by_split(tmp_path / "train", "*.tar", from_tar) == {"train": expected(made, (0, 2))["train"]}
    splits = ("train", "validation")
    epochbank.export_set(made, tmp_path / "originals", splits=splits, epochs="none", originals=True, jobs=1)
    found = by_split(tmp_path / "originals", "*.tar", from_tar)
    assert found == {"train": expected(made, (), True)["train"], "validation": whole["validation"]}


def test_color_images_stay_the_same(tmp_path: Path) -> None:
    """PNG is lossless for RGB too; a source without groups has none."""
    images = glyphs(40, (5, 7, 3))
    np.savez(tmp_path / "c.npz", images=images, labels=np.arange(40) % 2)
    made = epochbank.generate(tmp_path / "c.npz", epochs=1, sets=tmp_path / "sets", **SMALL).path
    epochbank.export_set(made, tmp_path / "out", epochs="none", originals=True, jobs=1)
    for split in ("train", "validation", "test"):
        with tarfile.open(tmp_path / f"out/{split}-000000.tar") as tar:
            files = {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]
        for name in (name for name in files if name.endswith("png")):
            about = json.loads(files[name.replace("png", "json")])
            assert "group" not in about
            image = Image.open(io.BytesIO(files[name]))
            assert np.array_equal(np.asarray(image), images[about["row"]])
    epochbank.export_set(made, tmp_path / "arrays", "npz", jobs=1)
    with np.load(tmp_path / "arrays/arrays.npz") as arrays:
        assert "train_groups" not in arrays
        assert np.array_equal(arrays["test_images"], images[arrays["test_rows"]])


def test_balanced_epochs_have_the_right_groups(tmp_path: Path) -> None:
    """The images of such an epoch are a sample of the training split, some of them repeated."""
    made = epochbank.generate(
        source(tmp_path / "a.npz"), epochs=1, sets=tmp_path / "sets", per_class=(30, 40), **SMALL
    ).path
    epochbank.export_set(made, tmp_path / "out", splits="train", jobs=1)
    assert by_split(tmp_path / "out", "*.tar", from_tar)["train"] == stored(made, "epoch-0000")


def test_odd_class_names_are_stored_as_json(tmp_path: Path) -> None:
    """`class_names.txt` would be read as other names."""
    names = ["two\nlines", " blank", "x"]
    np.savez(tmp_path / "a.npz", images=glyphs(30, (6, 6, 1)), labels=np.arange(30) % 3, class_names=np.array(names))
    made = epochbank.generate(tmp_path / "a.npz", epochs=1, sets=tmp_path / "sets", **SMALL).path
    epochbank.export_set(made, tmp_path / "out", jobs=1)
    assert not (tmp_path / "out/class_names.txt").exists()
    assert json.loads((tmp_path / "out/class_names.json").read_text()) == names


@pytest.mark.parametrize(("keywords", "message"), [
    ({"epochs": "1,7"}, "has no epoch 7; expected one or more of 0, 1, 2"),
    ({"epochs": "0-99999999999999"}, "has no epoch 3;"),
    ({"epochs": [3]}, "has no epoch 3;"),
    ({"epochs": "2-1"}, "epochs '2-1' are invalid; expected numbers and ranges such as 0,2-4"),
    ({"epochs": "0,,1"}, "invalid"), ({"epochs": ""}, "invalid"), ({"epochs": [-1]}, "invalid"),
    ({"epochs": [True]}, "invalid"), ({"epochs": "none"}, "no training images are selected"),
    ({"splits": ["valid"]}, "split 'valid' is unknown; .* Did you mean `validation`?"),
    ({"splits": []}, "no split is selected"),
    ({"splits": ["test"], "epochs": "0"}, "select training images"),
    ({"splits": ["test"], "originals": True}, "select training images"),
    ({"format": "webdatset"}, "format 'webdatset' is unknown; .* Did you mean `webdataset`?"),
    ({"jobs": 0}, "jobs=0 is invalid"),
])  # fmt: skip
def test_wrong_words_are_refused(made: Path, tmp_path: Path, keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(EpochbankError, match=message) as refused:
        epochbank.export_set(made, tmp_path / "out", **{"jobs": 1, **keywords})
    assert refused.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_no_file_is_overwritten(made: Path, tmp_path: Path) -> None:
    """DEST may be an empty directory, or a link to one, but no file and no directory with files."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name, message in (("full", "is not empty"), ("file", "is a file"), ("file/below", "is a file")):
        with pytest.raises(EpochbankError, match=message):
            epochbank.export_set(made, tmp_path / name, jobs=1)
    with pytest.raises(EpochbankError, match="is in the set"):
        epochbank.export_set(made, made / "out", jobs=1)
    assert (tmp_path / "full/mine").read_text() == (tmp_path / "file").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    epochbank.export_set(made, tmp_path / "link", splits="test", jobs=1)
    assert (tmp_path / "empty/test-000000.tar").exists()
    assert not any(path.name.startswith(TEMPORARY) for path in tmp_path.iterdir())


def test_what_appears_during_an_export_stays(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = export_module._write

    def slow(*arguments: Any) -> int:
        (tmp_path / "out").mkdir()
        (tmp_path / "out/mine").write_text("mine")
        return write(*arguments)

    monkeypatch.setattr(export_module, "_write", slow)
    with pytest.raises(EpochbankError, match="appeared during the export"):
        epochbank.export_set(made, tmp_path / "out", jobs=1)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine"]


def test_an_error_after_the_rename_leaves_nothing(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(directory: Path) -> None:
        raise OSError(5, "Input/output error", str(directory))

    with monkeypatch.context() as patched:
        patched.setattr("epochbank.augment.exchange.place.sync_directory", failing)
        with pytest.raises(OSError, match="Input/output error"):
            epochbank.export_set(made, tmp_path / "out", jobs=1)
    assert list(tmp_path.iterdir()) == []
    epochbank.export_set(made, tmp_path / "out", jobs=1)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("column", ["image", "label", "row"])
def test_a_damaged_shard_is_never_exported(copied: Path, tmp_path: Path, format: Any, column: str) -> None:
    """One flipped byte of pixels, labels or rows ends the export with the remedy, and DEST does not exist."""
    shard = sorted(copied.glob("epoch-0001/*.h5"))[2]
    with h5py.File(shard) as file:
        dataset = file[column].id
        at = dataset.get_chunk_info(0).byte_offset if column == "image" else dataset.get_offset()
    content = bytearray(shard.read_bytes())
    content[at + 8] ^= 1
    shard.write_bytes(content)
    with pytest.raises(EpochbankError, match=r"0000000050.h5 is damaged: .* `augment repair"):
        epochbank.export_set(copied, tmp_path / "out", format, jobs=1)
    assert [path.name for path in tmp_path.iterdir()] == ["sets"]
    epochbank.repair(copied, jobs=1)
    epochbank.export_set(copied, tmp_path / "out", format, jobs=1)


def test_a_lost_shard_is_reported(copied: Path, tmp_path: Path) -> None:
    sorted(copied.glob("validation/*.h5"))[0].unlink()
    epochbank.export_set(copied, tmp_path / "out", splits="test", jobs=1)
    with pytest.raises(EpochbankError, match="missing or incomplete"):
        epochbank.export_set(copied, tmp_path / "all", jobs=1)


def test_a_set_without_a_published_epoch(copied: Path, tmp_path: Path) -> None:
    """Only its splits can be exported."""
    lines = (copied / "manifest.jsonl").read_text().splitlines(keepends=True)
    (copied / "manifest.jsonl").write_text("".join(line for line in lines if '"epoch-' not in line))
    (copied / "manifest.check").unlink()
    with pytest.raises(EpochbankError, match="no published epoch"):
        epochbank.export_set(copied, tmp_path / "out", jobs=1)
    epochbank.export_set(copied, tmp_path / "out", epochs="none", originals=True, jobs=1)


@pytest.mark.parametrize("format", FORMATS)
def test_a_full_disk_leaves_nothing(made: Path, tmp_path: Path, format: Any) -> None:
    """The message names DEST; a limit on the size of files stands for a full disk."""
    code = (
        "import epochbank, resource, signal, sys; epochbank.export_set; from epochbank.augment.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        f"main(['export', {str(made)!r}, {str(tmp_path / 'out')!r}, '--format', {format!r}, '--jobs', '1'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "out") in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_space_is_checked_before(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=16 << 20))
    with pytest.raises(EpochbankError, match=r"the export needs .* choose another disk for DEST"):
        epochbank.export_set(made, tmp_path / "out", jobs=1)


@pytest.mark.parametrize("format", FORMATS)
def test_the_estimate_fits(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: Any) -> None:
    """The bytes that are asked for are at least those of the export, and less than twice as many."""
    asked: list[int] = []
    monkeypatch.setattr(export_module, "check_disk_space", lambda where, needed, *_: asked.append(needed))
    result = epochbank.export_set(made, tmp_path / "out", format, jobs=1)
    small = 12_000  # Files have headers, and tar files end with up to 10 kB of zeros.
    assert result.bytes - 3 * small < asked[0] < 2 * result.bytes


def test_an_export_that_was_killed_is_removed_by_the_next(made: Path, tmp_path: Path) -> None:
    """SIGKILL leaves no DEST; SIGTERM leaves nothing."""
    code = (
        "import sys, time; from epochbank.augment.cli import main; from epochbank.augment.exchange import export\n"
        "def publish(content, dest): print('ready', flush=True); time.sleep(60)\n"
        f"export.publish = publish; main(['export', {str(made)!r}, sys.argv[1], '--jobs', '1'])"
    )
    for number in (signal.SIGTERM, signal.SIGKILL):
        with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "out")], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            if number == signal.SIGKILL:
                with pytest.raises(EpochbankError, match="being written by another export"):
                    epochbank.export_set(made, tmp_path / "out", jobs=1)
            os.kill(process.pid, number)
        assert process.returncode == (143 if number == signal.SIGTERM else -number)
        left = list(tmp_path.iterdir())
        assert [path.name.startswith(TEMPORARY) for path in left] == [True] * (number == signal.SIGKILL)
    epochbank.export_set(made, tmp_path / "out", jobs=1)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_refresh_deletes_nothing_that_is_exported(
    copied: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retired epochs are exported to the end; their files are removed afterwards."""
    write = export_module.write_file

    def slow(task: Any) -> int:
        if not (copied / "epoch-0003").exists():
            assert epochbank.refresh(copied, 3, jobs=1).left
        return write(task)

    monkeypatch.setattr(export_module, "write_file", slow)
    epochbank.export_set(copied, tmp_path / "out", jobs=1)
    assert by_split(tmp_path / "out", "*.tar", from_tar) == expected(made)
    with unread(copied):
        pass
    with pytest.raises(EpochbankError, match="has no epoch 0"):
        epochbank.export_set(copied, tmp_path / "later", epochs=0, jobs=1)


def test_a_missing_package_is_named(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(EpochbankError, match=r"PyArrow, which is not installed.*epochbank\[parquet\]"):
        epochbank.export_set(made, tmp_path / "out", "parquet", jobs=1)
    assert list(tmp_path.iterdir()) == []


def test_the_command(made: Path, tmp_path: Path) -> None:
    words = ["export", str(made), str(tmp_path / "out"), "--format", "npz", "--epochs", "0-1", "--split", "train"]
    done = CliRunner().invoke(main, [*words, "--jobs", "1"])
    assert done.exit_code == 0, done.output
    count = 2 * len(stored(made, "train"))
    first, second = done.stdout.splitlines()[:2]
    assert first == f"{tmp_path / 'out'}: {count} images (train {count}), train: 2 epochs"
    assert second.startswith("npz, 1 file, ")
    refused = CliRunner().invoke(main, words)
    assert refused.exit_code == 1
    assert "is not empty" in refused.output


def test_an_export_locks_only_while_it_reads(made: Path, tmp_path: Path) -> None:
    """It needs no permission to write in the set, and reads beside other readers."""
    lock = ReadingLock(made)
    epochbank.export_set(made, tmp_path / "out", splits="test", jobs=1)
    lock.close()
    with unread(made):
        pass


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), min_size=1, max_size=8))
def test_epochs_are_parsed(ranges: list[tuple[int, int]]) -> None:
    text = ",".join(f"{first}-{first + more}" if more else str(first) for first, more in ranges)
    numbers = [number for one in parse_epochs(text) for number in one]
    assert numbers == [number for first, more in ranges for number in range(first, first + more + 1)]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(1, 50))
def test_files_divide_shards_without_loss(counts: list[int], size: int) -> None:
    """Every position is in one file, in order, and every file but the last has `size` images."""
    pieces = [
        Piece(Entry("epoch", number, 0, count, 5, "none", "", 0, "", ""), 0, count)
        for number, count in enumerate(counts)
    ]
    files = divided(pieces, size)
    positions = [(one.entry.epoch, at) for file in files for one in file for at in range(one.first, one.last)]
    assert positions == [(number, at) for number, count in enumerate(counts) for at in range(count)]
    sizes = [sum(piece.num_images for piece in file) for file in files]
    assert set(sizes[:-1]) <= {size}
    assert 0 < sizes[-1] <= size
