"""Exports and sources that were changed, crafted or misnamed: each ends in a message, and none in a wrong export."""

import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

import epochbank
from conftest import glyphs
from epochbank import EpochbankError
from epochbank.augment.ingest.workspace import sweep_workspaces_of
from epochbank.augment.shared.tfrecord import encode_example, write_record

SMALL: dict[str, Any] = {"jobs": 1, "shard_size": 25, "chunk_size": 6}


def generated(root: Path, writers: str | None = None, **options: Any) -> Path:
    """Return a set of two epochs of 60 images."""
    groups = {} if writers is None else {"groups": np.array([f"{writers} {number // 10}" for number in range(60)])}
    root.mkdir(exist_ok=True)
    np.savez(root / "a.npz", images=glyphs(60, (9, 8, 1)), labels=np.arange(60) % 3, **groups)  # type: ignore[arg-type]
    return epochbank.generate(root / "a.npz", sets=root / "sets", **{"epochs": 2, **SMALL, **options}).path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generated(tmp_path_factory.mktemp("made"))


def png() -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(np.diag(range(100, 250, 25)).astype(np.uint8)).save(encoded, "PNG")
    return encoded.getvalue()


def tar(path: Path, members: list[tuple[str, bytes]], format: int = tarfile.GNU_FORMAT) -> Path:
    with tarfile.open(path, "w", format=format) as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def imported(source: Path, tmp_path: Path) -> None:
    epochbank.import_source(source, tmp_path / "imported.h5", jobs=1)


def test_a_set_that_was_replaced_is_exported_with_its_own_groups(tmp_path: Path) -> None:
    """Both exports are of one process."""
    for writers in ("ann", "bob"):
        made = generated(tmp_path / writers, writers)
        place = tmp_path / "set"
        shutil.rmtree(place, ignore_errors=True)
        made.rename(place)
        epochbank.export_set(place, tmp_path / f"out-{writers}", "npz", jobs=1)
        with np.load(tmp_path / f"out-{writers}/arrays.npz") as arrays:
            assert {name.decode().split()[0] for name in arrays["train_groups"]} == {writers}


def test_a_shard_that_is_damaged_between_two_exports_is_not_exported(made: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(made, tmp_path / "set"))
    epochbank.export_set(copied, tmp_path / "out", splits="test", jobs=1)
    (shard,) = (copied / "test").glob("*.h5")
    with h5py.File(shard) as file:
        at = file["row"].id.get_offset()
    content = bytearray(shard.read_bytes())
    content[at] ^= 1
    shard.write_bytes(content)
    with pytest.raises(EpochbankError, match="is damaged: its checksum is wrong"):
        epochbank.export_set(copied, tmp_path / "again", splits="test", jobs=1)


@pytest.mark.parametrize("format", ["webdataset", "tfrecord", "parquet", "npz"])
def test_images_of_one_row_stay_in_one_split(made: Path, tmp_path: Path, format: Any) -> None:
    """An export of one split without groups is split again when it is used as a source."""
    if format == "tfrecord":
        pytest.importorskip("google_crc32c")
    epochbank.export_set(made, tmp_path / "out", format, splits="train", originals=True, jobs=1)
    assert json.loads((tmp_path / "out/epochbank.json").read_text())["groups"] == "row"
    again = epochbank.generate(tmp_path / "out", epochs=1, sets=tmp_path / "again", **SMALL).path
    with h5py.File(again / "split.h5") as file:
        names = file["group_name"].asstr()[()]
        groups = {split: set(names[file[split]["group"][()]]) for split in ("train", "validation", "test")}
        counts = sum(len(file[split]["row"]) for split in groups)
    with h5py.File(made / "split.h5") as file:
        rows = file["train"]["row"][()].tolist()
    assert counts == 3 * len(rows)
    assert set.union(*groups.values()) == {f"row {row}" for row in rows}
    assert sum(map(len, groups.values())) == len(rows)
    assert all(groups.values())


def test_an_export_with_one_image_of_each_row_has_no_groups(made: Path, tmp_path: Path) -> None:
    """So the split of its images is as even over the classes as that of the source."""
    epochbank.export_set(made, tmp_path / "out", "npz", epochs=[1], jobs=1)
    with np.load(tmp_path / "out/arrays.npz") as arrays:
        assert "train_groups" not in arrays
    assert json.loads((tmp_path / "out/epochbank.json").read_text())["groups"] == "none"


def test_balanced_epochs_have_groups(tmp_path: Path) -> None:
    """One epoch shows a row several times."""
    made = generated(tmp_path / "made", epochs=1, per_class=(30, 40))
    epochbank.export_set(made, tmp_path / "out", "npz", jobs=1)
    with np.load(tmp_path / "out/arrays.npz") as arrays:
        assert arrays["train_groups"].tolist() == [f"row {row}".encode() for row in arrays["train_rows"]]
        assert arrays["test_groups"].tolist() == [f"row {row}".encode() for row in arrays["test_rows"]]


def virtual(path: Path, other: str, dataset: str) -> Path:
    """Write a file whose images are a virtual dataset that refers to `dataset` of the file `other`."""
    with h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout((6, 5, 5), "u1")
        layout[:] = h5py.VirtualSource(other, dataset, (6, 5, 5))
        file.create_virtual_dataset("images", layout)
        file["labels"] = np.arange(6) % 2
        file["alias"] = h5py.SoftLink("/images")
    return path


@pytest.mark.parametrize(("other", "dataset"), [
    (".", "images"), ("a.h5", "images"), (".", "alias"), ("b.h5", "images"), ("./b.h5", "/alias"),
])  # fmt: skip
def test_a_virtual_dataset_of_itself_is_refused(tmp_path: Path, other: str, dataset: str) -> None:
    """HDF5 crashes when it reads one."""
    virtual(tmp_path / "b.h5", "a.h5", "images")
    path = virtual(tmp_path / "a.h5", other, dataset)
    with pytest.raises(EpochbankError, match=r"the virtual dataset /.* refers to itself"):
        imported(path, tmp_path)


def test_names_of_a_virtual_dataset_are_read_as_hdf5_reads_them(tmp_path: Path) -> None:
    """`%%` is one `%`, and `%b` a number."""
    space = h5py.h5s.create_simple((6, 5, 5))
    for name, pattern in ((b"d%", b"d%%"), (b"d0", b"d%b")):
        path = tmp_path / f"{len(pattern)}-{name.decode()[-1:]}.h5"
        with h5py.File(path, "w") as file:
            settings, whole = h5py.h5p.create(h5py.h5p.DATASET_CREATE), space
            if b"%b" in pattern:
                unlimited = h5py.h5s.UNLIMITED
                whole = h5py.h5s.create_simple((6, 5, 5), (unlimited, 5, 5))
                whole.select_hyperslab((0, 0, 0), (unlimited, 1, 1), (6, 5, 5), (6, 5, 5))
            settings.set_virtual(whole, b".", pattern, space)
            h5py.h5d.create(file.id, name, h5py.h5t.NATIVE_UINT8, whole, settings)
            file["labels"] = np.arange(6) % 2
        with pytest.raises(EpochbankError, match="refers to itself"):
            imported(path, tmp_path)


def test_virtual_datasets_on_many_levels_are_refused(tmp_path: Path) -> None:
    virtual(tmp_path / "0.h5", "stored.h5", "images")
    with h5py.File(tmp_path / "stored.h5", "w") as file:
        file["images"] = glyphs(6, (5, 5, 1))[..., 0]
    for number in range(1, 60):
        virtual(tmp_path / f"{number}.h5", f"{number - 1}.h5", "images")
    imported(tmp_path / "20.h5", tmp_path)
    with pytest.raises(EpochbankError, match="on more than 32 levels"):
        epochbank.import_source(tmp_path / "59.h5", tmp_path / "59-imported.h5", jobs=1)


def test_an_import_and_an_export_leave_a_stopped_copy(made: Path, tmp_path: Path) -> None:
    """The same `augment copy` continues it."""
    stopped = tmp_path / ".tmp-copy-out"
    stopped.mkdir()
    left = tmp_path / f".tmp-{'0123456789abcdef' * 2}"[:-8]
    left.with_name(f"{left.name}-out").mkdir()
    sweep_workspaces_of(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == [stopped.name]
    epochbank.export_set(made, tmp_path / "out", splits="test", jobs=1)
    assert stopped.is_dir()


@pytest.mark.parametrize("name", ["x.tar", "x.h5", "x.npz", "x.zip", "x.csv", "x.parquet", "x.tfrecord", "x.gnt", "x"])
def test_a_pipe_is_no_source(tmp_path: Path, name: str) -> None:
    """Opening it would wait for its writer."""
    os.mkfifo(tmp_path / name)
    for call in (
        lambda: epochbank.plan(tmp_path / name, sets=tmp_path / "sets"),
        lambda: epochbank.inspect(tmp_path / name),
        lambda: imported(tmp_path / name, tmp_path),
    ):
        with pytest.raises(EpochbankError, match="is not a file"):
            call()


def test_a_pipe_holds_no_class_names(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "names.txt")
    np.savez(tmp_path / "a.npz", images=glyphs(6, (6, 6, 1)), labels=np.arange(6) % 3)
    with pytest.raises(EpochbankError, match=r"names.txt is not a file"):
        epochbank.import_source(tmp_path / "a.npz", tmp_path / "a.h5", class_names=str(tmp_path / "names.txt"), jobs=1)


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_in_tar_are_refused(tmp_path: Path, format: int) -> None:
    """1,000 of these would take 1 GB of memory."""
    members = [(f"0.{'x' * 900_000}", b"")]
    with pytest.raises(EpochbankError, match=r"the name of the member at byte \d+ has 900,002 bytes; expected at most"):
        imported(tar(tmp_path / "a.tar", members, format), tmp_path)


def test_a_sample_has_few_members(tmp_path: Path) -> None:
    with pytest.raises(EpochbankError, match="the sample 0 has more than 1,000 members"):
        imported(tar(tmp_path / "a.tar", [(f"0.{number}", b"") for number in range(1500)]), tmp_path)


def test_many_members_of_gzip_take_little_time(tmp_path: Path) -> None:
    """200,000 empty members took more than a minute; padding of zeros is not data."""
    path = tar(tmp_path / "a.tar", [(f"{n}.{kind}", data) for n in range(8) for kind, data in
                                    (("png", png()), ("cls", b"%d" % (n % 2)))])  # fmt: skip
    packed = tmp_path / "b.tar.gz"
    packed.write_bytes(gzip.compress(b"") * 200_000 + gzip.compress(path.read_bytes()) + bytes(5000))
    start = time.perf_counter()
    imported(packed, tmp_path)
    assert time.perf_counter() - start < 10
    for damage, message in ((packed.read_bytes()[:-5100], "gzip"), (packed.read_bytes() + b"garbage", "gzip")):
        (tmp_path / "c.tar.gz").write_bytes(damage)
        with pytest.raises(EpochbankError, match=f"cannot be read as {message}"):
            epochbank.import_source(tmp_path / "c.tar.gz", tmp_path / "c.h5", jobs=1)


INVALID = ["a\0b", "a\ud800"]


@pytest.mark.parametrize("text", INVALID)
@pytest.mark.parametrize("key", ["class", "label", "group"])
def test_text_in_json_that_cannot_be_stored(tmp_path: Path, text: str, key: str) -> None:
    members = []
    for number in range(4):
        about = {"label": number % 2, "class": f"class {number % 2}", "group": f"group {number}", key: text}
        members += [(f"{number}.png", png()), (f"{number}.json", json.dumps(about).encode())]
    with pytest.raises(EpochbankError, match=r"samples cannot be used:\n  a.tar/0 has 'a"):
        imported(tar(tmp_path / "a.tar", members), tmp_path)


def test_text_in_cls_that_cannot_be_stored(tmp_path: Path) -> None:
    for data, message in ((b"a\0b", "NUL"), (b"a\xff", "codec"), (b"7" * 5000, r"5,000 characters; expected at most")):
        members = [(f"{n}.{kind}", content) for n in range(4) for kind, content in (("png", png()), ("cls", data))]
        with pytest.raises(EpochbankError, match=message) as refused:
            imported(tar(tmp_path / "a.tar", members), tmp_path)
        assert len(str(refused.value)) < 1500


def test_text_in_tfrecord_that_cannot_be_stored(tmp_path: Path) -> None:
    pytest.importorskip("google_crc32c")
    for name in ("image/class/text", "group"):
        with open(tmp_path / "a.tfrecord", "wb") as file:
            for _ in range(3):
                about = {"image/encoded": png(), "image/class/label": 1, name: b"a\0b"}
                write_record(file, encode_example(about))
        with pytest.raises(EpochbankError, match="expected text without NUL"):
            imported(tmp_path / "a.tfrecord", tmp_path)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_labels_of_many_digits_in_lists(tmp_path: Path, name: str) -> None:
    """Python converts at most 4,300 digits to an integer."""
    label = "7" * 5000
    (tmp_path / "0.png").write_bytes(png())
    (tmp_path / "a.csv").write_text(f"path,label\n0.png,{label}\n0.png,1\n")
    (tmp_path / "a.jsonl").write_text(f'{{"path": "0.png", "label": {label}}}\n{{"path": "0.png", "label": 1}}\n')
    if name.endswith("parquet"):
        pa = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pa.table({"image": [png(), png()], "label": [label, "1"]}), tmp_path / name)
    for options in ({}, {"class_names": str(tmp_path / "names.txt")}):
        (tmp_path / "names.txt").write_text("zero\none\n")
        with pytest.raises(EpochbankError) as refused:
            epochbank.import_source(tmp_path / name, tmp_path / "a.h5", jobs=1, **options)  # type: ignore[arg-type]
        assert len(str(refused.value)) < 1500


@pytest.mark.parametrize("key", ["labels", "groups", "class_names"])
def test_text_in_arrays_that_cannot_be_stored(tmp_path: Path, key: str) -> None:
    arrays = {"labels": np.arange(6) % 2, "class_names": np.array(["a", "b"]), "groups": np.array(["a", "b"] * 3)}
    arrays[key] = np.array(["a\ud800", "b"] * (1 if key == "class_names" else 3))
    if key == "labels":
        del arrays["class_names"]
    np.savez(tmp_path / "a.npz", images=glyphs(6, (6, 6, 1)), **arrays)  # type: ignore[arg-type]
    with pytest.raises(EpochbankError, match="not valid Unicode text"):
        imported(tmp_path / "a.npz", tmp_path)


def test_class_names_that_cannot_be_stored(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=glyphs(6, (6, 6, 1)), labels=np.arange(6) % 2)
    (tmp_path / "names.json").write_text('["a", "b\\ud800"]')
    with pytest.raises(EpochbankError, match=r"label 1 a name that .* not valid Unicode"):
        epochbank.import_source(tmp_path / "a.npz", tmp_path / "a.h5", class_names=str(tmp_path / "names.json"), jobs=1)


def test_too_few_descriptors_are_not_damage(made: Path, tmp_path: Path) -> None:
    """The message names the limit, and advises no repair."""
    code = (
        "import os, resource, sys; from epochbank.augment.store.split_file import read_split\n"
        "from epochbank.augment.store.shard_read import read_chunks\n"
        "from epochbank.augment.store.manifest import read_manifest\n"
        "from epochbank.augment.errors import EpochbankError; from pathlib import Path\n"
        "directory = Path(sys.argv[1]); entry = read_manifest(directory)[0]\n"
        "next(read_chunks(directory, entry, 0, 1))\n"
        "used = len(os.listdir('/proc/self/fd')) - 1; resource.setrlimit(resource.RLIMIT_NOFILE, (used, used))\n"
        "for call in (lambda: read_split(directory, 'train'), lambda: next(read_chunks(directory, entry, 0, 1))):\n"
        "    try: call()\n"
        "    except (EpochbankError, OSError) as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(made)], capture_output=True, text=True, check=True)
    assert done.stdout.count("Too many open files") == 2, done
    assert "repair" not in done.stdout


@pytest.mark.parametrize("call", [epochbank.export_set, epochbank.copy_set])
def test_a_destination_below_a_missing_directory(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Any
) -> None:
    """`new/..` is the working directory; `new` is not created."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    call(made, "nope/../out", jobs=1)
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["out"]
    if call == epochbank.export_set:
        with pytest.raises(EpochbankError, match="is not empty"):
            call(made, "nope/..", jobs=1)
    else:
        call(made, "nope/..", jobs=1)
    assert not (tmp_path / "here/nope").exists()


@pytest.mark.parametrize("call", [epochbank.export_set, epochbank.copy_set])
def test_a_long_name_is_refused(made: Path, tmp_path: Path, call: Any) -> None:
    """There is no room for the temporary name beside it."""
    with pytest.raises(EpochbankError, match="has a name of 245 bytes; expected at most 225"):
        call(made, tmp_path / ("x" * 245), jobs=1)
    assert list(tmp_path.iterdir()) == []
    call(made, tmp_path / ("x" * 225), jobs=1)
