"""The contract of `augment/sources/base.py`, checked for every kind of source."""

import gzip
import io
import itertools
import json
import multiprocessing
import os
import pickle
import shutil
import struct
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

import etl_writer
from epochbank.augment.ingest.importer import ImportOptions, import_source
from epochbank.augment.ingest.source_file import SourceFile, open_source_file
from epochbank.augment.shared.tfrecord import encode_example, write_record
from epochbank.augment.sources import Reader, Scan, Source, SourceOptions
from epochbank.augment.sources.decode import BadImage
from epochbank.augment.sources.find import KINDS, open_source

Change = Callable[[], object]


@dataclass(frozen=True)
class Sample:
    """A source in the current directory, and what must be read from it, in order."""

    images: np.ndarray
    """uint8 (N, H, W)."""
    labels: list[str]
    groups: list[str] | None = None
    splits: list[int] | None = None
    spec: str = ""
    """Relative to the current directory."""
    changes: list[Change] = field(default_factory=list)
    """Each of them changes the source."""
    options: SourceOptions = field(default_factory=SourceOptions)

    def split_names(self) -> list[str]:
        return [("train", "val", "test")[split] for split in self.splits or ()]

    def open(self, **options: str) -> Source:
        return open_source(self.spec, replace(self.options, **options))  # type: ignore[arg-type]

    def scan(self, **options: str) -> Scan:
        workspace = Path("workspace")
        workspace.mkdir(exist_ok=True)
        return self.open(**options).scan(workspace.absolute())


def contents(count: int) -> Sample:
    """Return images of noise with labels, groups and splits, without a source."""
    images, numbers = np.random.default_rng(0).integers(0, 256, (count, 6, 5), np.uint8), range(count)
    return Sample(images, ["ab"[k % 2] for k in numbers], [f"w{k % 3}" for k in numbers], [k % 3 for k in numbers])


def at(path: Path, sample: Sample, *changes: Change) -> Sample:
    """Return the sample as the source `path`, with changes of its size and time, and further ones."""
    return replace(sample, spec=str(path), changes=[partial(touch, path), partial(append, path), *changes])


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def npz_sample(count: int, *, save: Callable[..., None] = np.savez) -> Sample:
    sample, path = contents(count), Path("a.npz")
    save(path, images=sample.images, labels=sample.labels, groups=sample.groups, splits=sample.split_names())
    return at(path, sample)


def hdf5_sample(count: int) -> Sample:
    sample, path = contents(count), Path("a.h5")
    with h5py.File(path, "w") as file:
        file["images"], file["labels"], file["groups"] = sample.images, sample.labels, sample.groups
        file["splits"] = sample.split_names()
    return at(path, sample)


def npy_sample(count: int) -> Sample:
    """Write images and labels of two splits into four files."""
    images, half, files = contents(count).images, count // 2, []
    for split, part in (("train", slice(half)), ("test", slice(half, None))):
        for name, array in (("x", images[part]), ("y", np.arange(count)[part] % 2)):
            files.append(Path(f"{name}_{split}.npy"))
            np.save(files[-1], array)
    sample = Sample(images, [str(k % 2) for k in range(count)], splits=[0] * half + [2] * (count - half))
    return replace(at(files[0], sample, *(partial(append, file) for file in files)))


def mat_sample(count: int) -> Sample:
    from scipy.io import savemat

    sample, path = contents(count), Path("a.mat")
    savemat(path, {"X": np.moveaxis(sample.images, 0, 2), "y": np.arange(count)[:, None] % 2}, do_compression=True)
    return replace(
        Sample(sample.images, [str(k % 2) for k in range(count)], spec=str(path)), changes=[partial(touch, path)]
    )


def folder_sample(count: int) -> Sample:
    """Write a tree of images, whose order differs from that of the contents."""
    sample, root = contents(count), Path("tree")
    columns = list(zip(sample.split_names(), sample.labels, sample.groups or (), strict=True))
    paths = [root / split / label / f"{k:04d}_{group}.png" for k, (split, label, group) in enumerate(columns)]
    for path, image in zip(paths, sample.images, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    order, first = sorted(range(count), key=lambda k: paths[k].parts), paths[0]
    ordered = Sample(
        sample.images[order],
        [columns[k][1] for k in order],
        [columns[k][2] for k in order],
        [(sample.splits or ())[k] for k in order],
        options=SourceOptions(group_pattern=r"_(w\d)\."),
    )
    return replace(
        at(first, ordered, first.unlink, partial(shutil.copy, first, root / "train/a/new_w0.png")), spec="tree"
    )


def zip_sample(count: int) -> Sample:
    sample, path = folder_sample(count), Path("tree.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(Path("tree").rglob("*.png"), reverse=True):
            archive.write(file, file.relative_to("tree"))
    return at(path, sample)


def csv_sample(count: int) -> Sample:
    sample, path = contents(count), Path("list.csv")
    paths = [Path(f"images/{k}.png") for k in range(count)]
    Path("images").mkdir()
    for file, image in zip(paths, sample.images, strict=True):
        Image.fromarray(image).save(file)
    columns = zip(paths, sample.labels, sample.groups or (), sample.split_names(), strict=True)
    path.write_text("path,label,group,split\n" + "".join(",".join(map(str, row)) + "\n" for row in columns))
    return at(path, sample, partial(touch, paths[0]), partial(append, paths[0]), paths[0].unlink)


def pixels_sample(count: int) -> Sample:
    sample, path = contents(count), Path("pixels.csv")
    header = [f"{row}x{column}" for row in range(6) for column in range(5)]
    columns = zip(
        sample.labels, sample.groups or (), sample.split_names(), sample.images.reshape(count, -1), strict=True
    )
    rows = [[label, group, split, *pixels.tolist()] for label, group, split, pixels in columns]
    table = [["label", "group", "split", *header], *rows]
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in table))
    return at(path, sample)


def json_sample(count: int) -> Sample:
    sample, path = csv_sample(count), Path("list.jsonl")
    columns = zip(range(count), sample.labels, sample.groups or (), sample.split_names(), strict=True)
    keys = ("file_name", "label", "group", "split")
    rows = [dict(zip(keys, (f"images/{k}.png", *row), strict=True)) for k, *row in columns]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return at(path, sample, partial(touch, Path("images/0.png")), Path("images/0.png").unlink)


def png(image: np.ndarray) -> bytes:
    Image.fromarray(image).save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


def parquet_sample(count: int) -> Sample:
    import pyarrow
    import pyarrow.parquet

    sample, half, files = contents(count), count // 2, [Path("tables/a.parquet"), Path("tables/b.parquet")]
    Path("tables").mkdir()
    for path, part in zip(files, (slice(half), slice(half, None)), strict=True):
        encoded = [{"bytes": png(image), "path": None} for image in sample.images[part]]
        columns = {"image": encoded, "label": sample.labels[part], "split": sample.split_names()[part]}
        table = pyarrow.table({**columns, "group": (sample.groups or [])[part]})
        pyarrow.parquet.write_table(table, path, row_group_size=7)
    return replace(at(files[1], sample, partial(shutil.copy, files[0], "tables/c.parquet")), spec="tables")


def webdataset_sample(count: int, *, suffix: str = ".tar") -> Sample:
    """Write a shard for each split, with images, labels and groups in the three members of each sample."""
    sample, half, files = contents(count), count // 2, []
    Path("shards").mkdir()
    for split, part in (("train", range(half)), ("test", range(half, count))):
        files.append(Path(f"shards/{split}-000000{suffix}"))
        with tarfile.open(files[-1], "w:gz" if suffix.endswith("gz") else "w") as archive:
            for k in part:
                about = json.dumps({"label": sample.labels[k], "group": (sample.groups or [])[k]}).encode()
                label, image = sample.labels[k].encode(), png(sample.images[k])
                for end, data in ((".png", image), (".cls", label), (".json", about)):
                    member = tarfile.TarInfo(f"{k:06d}{end}")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
    ordered = replace(sample, splits=[0] * half + [2] * (count - half))
    name_classes = partial(Path("shards/class_names.txt").write_text, "x\ny\n")
    return replace(at(files[0], ordered, partial(append, files[1]), name_classes), spec="shards")


def tfrecord_sample(count: int, *, suffix: str = "") -> Sample:
    """Write a file for each split, one in a folder."""
    sample, half, files = contents(count), count // 2, []
    Path("records/test").mkdir(parents=True)
    for name, part in (("a-train", range(half)), ("test/a", range(half, count))):
        files.append(Path(f"records/{name}.tfrecord{suffix}-00000-of-00001"))
        with gzip.open(files[-1], "wb") if suffix else open(files[-1], "wb") as file:
            for k in part:
                about = {"label": sample.labels[k], "group": (sample.groups or [])[k]}
                write_record(file, encode_example({"image": png(sample.images[k]), **about}))  # type: ignore[arg-type]
    ordered = replace(sample, splits=[0] * half + [2] * (count - half))
    return replace(at(files[0], ordered, partial(append, files[1])), spec="records")


def idx_sample(count: int, *, suffix: str = "", prefix: str = "") -> Sample:
    images, root, half, files = contents(count).images, Path("idx"), count // 2, []
    root.mkdir()
    for split, part in (("train", slice(half)), ("t10k", slice(half, None))):
        stored = images[part].transpose(0, 2, 1) if prefix else images[part]
        for content, array in (("images-idx3", stored), ("labels-idx1", np.arange(count, dtype=np.uint8)[part] % 2)):
            data = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
            files.append(root / f"{prefix}{split}-{content}-ubyte{suffix}")
            files[-1].write_bytes(gzip.compress(data) if suffix else data)
    sample = Sample(images, [str(k % 2) for k in range(count)], splits=[0] * half + [2] * (count - half))
    write_names = partial((root / "kmnist_classmap.csv").write_text, "index,char\n0,x\n1,y\n")
    return replace(at(files[0], sample, *(partial(append, file) for file in files), write_names), spec="idx")


def etl_sample(count: int) -> Sample:
    root, half = Path("etl"), count // 2
    root.mkdir()
    labels = ["亜唖"[k % 2] for k in range(count)]
    sheets = [f"sheets {k % 3 * 20 + 1} to {k % 3 * 20 + 20}" for k in range(count)]
    groups = [f"ETL9B_{1 if k < half else 2} {name}" for k, name in enumerate(sheets)]
    images = np.array([etl_writer.glyph(k, 63, 64, 2) for k in range(12)], np.uint8)
    records = [
        etl_writer.record_9b(image, code=etl_writer.jis0208(labels[k]), sheet=20 * (k % 3) + 1)
        for k, image in enumerate(images)
    ]
    for number, part in ((1, range(half)), (2, range(half, count))):
        data = etl_writer.DUMMY_9B + b"".join(records[k % 12] for k in part)
        (root / f"ETL9B_{number}").write_bytes(data)
    sample = Sample(images[np.arange(count) % 12] * 255, labels, groups)
    return replace(at(root / "ETL9B_2", sample), spec="etl")


def etl_zip_sample(count: int) -> Sample:
    sample, path = etl_sample(count), Path("ETL9B.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in Path("etl").iterdir():
            archive.write(file, file.name)
    return at(path, sample)


def gnt_sample(count: int, *, member: str = "") -> Sample:
    """Write two writers' files, `g/HWDB1.1trn_gnt/1001-c.gnt` and `g/HWDB1.1tst_gnt/1241-c.gnt`, or an archive."""
    images, half, files = contents(count).images, count // 2, []
    for folder, writer, part in (("trn", 1001, range(half)), ("tst", 1241, range(half, count))):
        path = Path(f"g/HWDB1.1{folder}_gnt/{writer}-c.gnt")
        path.parent.mkdir(parents=True)
        tags = ["一丁"[k % 2].encode("gb2312") for k in part]
        headers = [struct.pack("<I2sHH", 40, tag, 5, 6) for tag in tags]
        path.write_bytes(b"".join(header + images[k].tobytes() for header, k in zip(headers, part, strict=True)))
        files.append(path)
    labels = ["一丁"[k % 2] for k in range(count)]
    groups, splits = ["1001"] * half + ["1241"] * (count - half), [0] * half + [2] * (count - half)
    sample = Sample(images, labels, groups, splits)
    if not member:
        return replace(at(files[0], sample, *(partial(append, file) for file in files)), spec="g")
    with zipfile.ZipFile(member, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.relative_to("g"))
    return at(Path(member), sample)


_module_numbers = itertools.count()


def python_sample(count: int) -> Sample:
    sample, path = contents(count), Path(f"contract_data_{next(_module_numbers)}.py")
    np.savez(
        "items.npz", image=sample.images, label=sample.labels, group=sample.groups or (), split=sample.split_names()
    )
    path.write_text(
        "import numpy as np\n"
        "def data():\n"
        "    arrays = dict(np.load('items.npz'))\n"
        "    for row in zip(*arrays.values()):\n"
        "        yield dict(zip(arrays, row))\n"
    )
    return replace(sample, spec=f"python:{path.stem}:data", changes=[partial(append, path)])


def digits_sample(count: int) -> Sample:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.pad(np.round(digits.images * (255 / 16)).astype(np.uint8), [(0, 0), (1, 1), (1, 1)])
    return Sample(images, [str(label) for label in digits.target], spec="digits")


SAMPLES: dict[str, Callable[[int], Sample]] = {
    "npz": npz_sample,
    "npz compressed": partial(npz_sample, save=np.savez_compressed),
    "hdf5": hdf5_sample,
    "npy": npy_sample,
    "mat": mat_sample,
    "folder": folder_sample,
    "zip": zip_sample,
    "csv": csv_sample,
    "csv of pixels": pixels_sample,
    "json": json_sample,
    "parquet": parquet_sample,
    "webdataset": webdataset_sample,
    "webdataset compressed": partial(webdataset_sample, suffix=".tar.gz"),
    "tfrecord": tfrecord_sample,
    "tfrecord compressed": partial(tfrecord_sample, suffix=".gz"),
    "idx": idx_sample,
    "idx compressed": partial(idx_sample, suffix=".gz"),
    "idx of EMNIST": partial(idx_sample, prefix="emnist-digits-"),
    "etl": etl_sample,
    "etl compressed": etl_zip_sample,
    "gnt": gnt_sample,
    "gnt compressed": partial(gnt_sample, member="hwdb.zip"),
    "python": python_sample,
    "digits": digits_sample,
}
"""By kind: make a source of `count` images in the current directory."""

Make = Callable[[int], Sample]


@pytest.fixture(params=[pytest.param(one, marks=pytest.mark.long if "compressed" in one else ()) for one in SAMPLES])
def make(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return SAMPLES[request.param]


def read(reader: Reader, indices: np.ndarray) -> np.ndarray:
    """Read images of one size, uint8 (n, H, W)."""
    images: list[np.ndarray] = []
    for item in reader.read(indices):
        assert not isinstance(item, BadImage), item
        run = np.asarray(item)[None] if isinstance(item, Image.Image) else item
        assert run.dtype == np.uint8
        assert run.ndim == 3
        assert run.nbytes <= 8 << 20
        images.extend(run)
    return np.array(images, np.uint8)


def origins_of(reader: Reader, count: int) -> list[str]:
    return [reader.origin(index) for index in range(count)]


def test_every_kind_of_source_has_a_sample() -> None:
    """A new kind of source must be added to this file."""
    assert {name.split()[0] for name in SAMPLES} == {*KINDS, "python", "digits"}


def files_here() -> dict[Path, tuple[bytes, int]]:
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in Path().rglob("*") if path.is_file()}


def test_identity_changes_with_the_source(make: Make) -> None:
    """The identity is JSON, does not depend on options, changes with every change of the source, and only then."""
    sample = make(12)

    def identity(**options: str) -> str:
        return json.dumps(sample.open(**options).identity())

    before, first = files_here(), identity()
    assert identity() == first
    assert sample.splits is None or identity(split="fractions") == first
    for change in sample.changes:
        change()
        assert identity() != first
        for path in files_here().keys() - before.keys():
            path.unlink()
        for path, (data, mtime) in before.items():
            path.write_bytes(data)
            os.utime(path, ns=(mtime, mtime))
        assert identity() == first


def names_of(numbers: np.ndarray | None, names: list[str] | None) -> list[str] | None:
    """Return the name of each image from its number, after a check of type and names."""
    if numbers is None or names is None:
        assert numbers is names is None
        return None
    assert numbers.dtype == np.int32
    assert len(set(names)) == len(names)
    return [names[number] for number in numbers]


def test_scan_gives_labels_groups_and_splits(make: Make) -> None:
    """Every image has its class, group and split; arrays have the types of `Scan`; nothing is bad."""
    sample = make(12)
    scan = sample.scan()
    assert names_of(scan.labels, scan.class_names) == sample.labels
    assert names_of(scan.groups, scan.group_names) == sample.groups
    assert (scan.splits is None) == (sample.splits is None)
    assert scan.splits is None or (scan.splits.dtype == np.int8 and scan.splits.tolist() == sample.splits)
    assert scan.channels in (1, None)
    assert scan.bad == []


@pytest.mark.parametrize("make", [name for name in SAMPLES if not name.startswith(("etl", "digits"))], indirect=True)
def test_split_fractions_ignores_the_splits_of_the_source(make: Make) -> None:
    """With `split="fractions"` the scan has no splits, but the same labels and images."""
    sample = make(12)
    scan = sample.scan(split="fractions")
    assert scan.splits is None
    assert names_of(scan.labels, scan.class_names) == sample.labels
    np.testing.assert_array_equal(read(scan.reader, np.arange(12)), sample.images)


def test_reader_gives_any_ascending_subset(make: Make) -> None:
    """Any ascending selection is read in order, and equals the same images of a complete read."""
    sample = make(12)
    reader, count = sample.scan().reader, len(sample.images)
    np.testing.assert_array_equal(read(reader, np.arange(count)), sample.images)
    for indices in ([], [0], [count - 1], [0, count - 1], range(3, 9), range(0, count, 2), [1, 2, 5, 6, 7, 11]):
        wanted = np.array(indices, np.int64)
        found = read(reader, wanted)
        assert len(found) == len(wanted)
        assert not len(wanted) or np.array_equal(found, sample.images[wanted])


def test_origin_names_every_image(make: Make) -> None:
    """Origins are distinct lines of text."""
    sample = make(12)
    origins = origins_of(sample.scan().reader, len(sample.images))
    assert len(set(origins)) == len(origins)
    assert all(origin and origin.isprintable() for origin in origins)


def test_pickled_reader_is_small(make: Make) -> None:
    """The size of a pickled reader does not grow with the number of images."""
    sizes = []
    for count in (12, 600):
        sizes.append(len(pickle.dumps(make(count).scan().reader)))
        for path in Path().iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert max(sizes) - min(sizes) < 32
    assert max(sizes) < 4096


@pytest.fixture(scope="module")
def other_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessPoolExecutor]:
    """A new Python process with another working directory."""
    context, directory = multiprocessing.get_context("spawn"), tmp_path_factory.mktemp("elsewhere")
    with ProcessPoolExecutor(1, context, initializer=os.chdir, initargs=(directory,)) as pool:
        yield pool


def test_reader_works_in_another_process_and_directory(make: Make, other_process: ProcessPoolExecutor) -> None:
    """A reader gives the same pixels and origins in a worker process that started in another directory."""
    sample = make(12)
    reader, count = sample.scan().reader, len(sample.images)
    found = other_process.submit(read, reader, np.arange(count)).result()
    np.testing.assert_array_equal(found, sample.images)
    assert other_process.submit(origins_of, reader, count).result() == origins_of(reader, count)


def import_to(path: Path, sample: Sample, jobs: int) -> SourceFile:
    height, width = sample.images.shape[1:]
    options = ImportOptions((height, width), invert="no", color="gray", source=sample.options)
    import_source(sample.open(), path.absolute(), options, jobs, quiet=True)
    return open_source_file(path)


def test_import_is_reproducible_and_complete(make: Make) -> None:
    """One worker and two give the same source file, with all that the source has."""
    sample = make(1100)  # More than one block, so that two workers are used.
    file, other = (import_to(Path(f"out/{jobs}.h5"), sample, jobs) for jobs in (1, 2))
    assert file.digest == other.digest
    rows = np.arange(file.num_images)
    np.testing.assert_array_equal(file.read(rows)[..., 0], sample.images)
    assert names_of(file.column("label"), file.class_names) == sample.labels
    assert names_of(file.column("group") if file.group_names else None, file.group_names) == sample.groups
    assert (file.column("part").tolist() if file.splits else None) == sample.splits
    reader = sample.scan().reader
    assert [file.origin(row) for row in rows[::97]] == [reader.origin(row) for row in rows[::97].tolist()]
