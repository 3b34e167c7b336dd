"""The parsers that `faults/fuzz.py` feeds with bytes, each with valid inputs to begin with.

A target writes the bytes to files in a directory and reads them with the functions that the commands call. It may
return or raise `EpochbankError`; anything else is a fault. epochbank is imported inside the functions, so that the
fuzzer can instrument it first.
"""

import csv
import functools
import gzip
import importlib
import io
import json
import os
import shutil
import struct
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1] / "tests"
_IMAGES_READ = 64
"""Images that a target decodes."""


@dataclass(frozen=True)
class Parser:
    """A target, the modules whose coverage guides the fuzzer, valid inputs, and words of the format."""

    modules: tuple[str, ...]
    parse: Callable[[bytes, Path], None]
    """Reads bytes with the help of files in a directory that belongs to the target."""
    seeds: Callable[[], list[bytes]]
    words: tuple[str, ...] = ()
    longest: int = 8192
    """Bytes of the longest input."""
    memory: int = 500 << 20
    """Bytes of memory that an input may take."""


# --- Sources ------------------------------------------------------------------------------------------------------


def read_source(spec: str, folder: Path, **options: Any) -> None:
    """Do what an import does: identity, scan, the origin and pixels of the first images, and notes."""
    import numpy as np

    from epochbank.augment.sources import SourceOptions
    from epochbank.augment.sources.find import open_source

    workspace = folder / "workspace"
    shutil.rmtree(workspace, ignore_errors=True)
    workspace.mkdir()
    source = open_source(spec, SourceOptions(**options))
    json.dumps(source.identity())
    scan = source.scan(workspace)
    scan.all_notes()
    count = min(_IMAGES_READ, len(scan.labels))
    for _ in scan.reader.read(np.arange(count)):
        pass
    for index in range(min(3, count)):
        scan.reader.origin(index)


def file_source(kind: str, *names: str) -> Callable[[bytes, Path], None]:
    """Return a target for one file of a kind of source; the first byte chooses among `names` if there are several."""

    def parse(data: bytes, folder: Path) -> None:
        name = names[data[0] % len(names)] if len(names) > 1 and data else names[0]
        for image in ("a.png", "b.png"):
            if not (folder / image).exists():
                (folder / image).write_bytes(png())
        (folder / name).write_bytes(data[1:] if len(names) > 1 else data)
        try:
            read_source(f"{kind}:{folder / name}", folder)
        finally:
            (folder / name).unlink()

    return parse


def parse_etl(data: bytes, folder: Path) -> None:
    """Read a file of the ETL Character Database; the first byte chooses its name, and so the type of its records."""
    name, data = (list(ETL_NAMES)[data[0] % len(ETL_NAMES)], data[1:]) if data else ("ETL1C_01", data)
    root = folder / "etl"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    (root / name).write_bytes(data)
    (root / "euc_co59.dat").write_bytes(etl_table())
    read_source(f"etl:{root}", folder, etl_sets=ETL_NAMES[name])


def parse_etl_table(data: bytes, folder: Path) -> None:
    """Read the table of characters of the printed set."""
    root = folder / "etl"
    root.mkdir(exist_ok=True)
    (root / "ETL2_1").write_bytes(etl_files()[1][1:])
    (root / "euc_co59.dat").write_bytes(data)
    read_source(f"etl:{root}", folder, etl_sets="2")


def parse_npy(data: bytes, folder: Path) -> None:
    """Read images beside valid labels (first byte even), or labels beside valid images."""
    place, data = (data[0] % 2, data[1:]) if data else (0, data)
    root = folder / "npy"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for name, content in zip(("images", "labels"), npy_files(), strict=True):
        (root / f"{name}.npy").write_bytes(content)
    (root / f"{('images', 'labels')[place]}.npy").write_bytes(data)
    read_source(f"npy:{root}", folder)


def parse_idx(data: bytes, folder: Path) -> None:
    """Read images (first byte 0 or 1) or labels (2 or 3) beside a valid file of the other kind; odd: compressed."""
    choice, data = (data[0] % 4, data[1:]) if data else (0, data)
    valid = dict(zip(("images-idx3", "labels-idx1"), idx_files(), strict=True))
    names = list(valid)
    suffix = ".gz" if choice % 2 else ""
    valid[names[choice // 2]] = data
    root = folder / "idx"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for name, content in valid.items():
        (root / f"train-{name}-ubyte{suffix}").write_bytes(
            gzip.compress(content) if suffix and name != names[choice // 2] else content
        )
    read_source(f"idx:{root}", folder)


def parse_tfrecord(data: bytes, folder: Path) -> None:
    """Read a TFRecord file (first byte even), or one of a single message `Example` with the right checksums."""
    from epochbank.augment.shared.tfrecord import write_record

    path = folder / "train-00000-of-00001.tfrecord"
    with open(path, "wb") as file:
        if data[:1] and data[0] % 2:
            write_record(file, data[1:])
        else:
            file.write(data[1:])
    read_source(f"tfrecord:{path}", folder)


def parse_image(data: bytes, folder: Path) -> None:
    """Read an image file in a folder of a class."""
    for name in ("a", "b"):
        (folder / "tree" / name).mkdir(parents=True, exist_ok=True)
    (folder / "tree/a/x.png").write_bytes(data)
    (folder / "tree/b/y.png").write_bytes(png())
    read_source(f"folder:{folder / 'tree'}", folder)


def parse_class_names(data: bytes, folder: Path) -> None:
    """Read the file of `--class-names`; the first byte chooses its suffix."""
    from epochbank.augment.sources.class_names import name_labels, read_class_names

    path = folder / f"names{('.txt', '.json', '.csv')[data[0] % 3 if data else 0]}"
    path.write_bytes(data[1:])
    read_class_names(path)
    name_labels(path, [0, 1])


def parse_source_file(data: bytes, folder: Path) -> None:
    """Read a source file, in HDF5."""
    import numpy as np

    from epochbank.augment.ingest.source_file import columns_digest, open_source_file

    path = folder / "source.h5"
    path.write_bytes(data)
    source = open_source_file(path)
    columns_digest(source)
    source.skipped_names()
    source.read(np.arange(min(_IMAGES_READ, source.num_images)))
    source.origin(0)


# --- Sets ---------------------------------------------------------------------------------------------------------


def parse_recipe(data: bytes, folder: Path) -> None:
    """Read a recipe, check it for a shape, and read it again from its settings. Recipes that name code are left out."""
    from epochbank.augment.distortion.recipe import check_shape, load_recipe, recipe_from_settings

    if b":" in data or b"albumentations" in data or b"file" in data or b"\\" in data:
        return
    path = folder / "recipe.toml"
    path.write_bytes(data)
    recipe = load_recipe(path)
    settings = json.loads(json.dumps(recipe.settings(), allow_nan=False))
    if recipe_from_settings(recipe.name, settings).settings() != recipe.settings():
        raise AssertionError("the settings of the recipe are another recipe")
    check_shape(recipe, (8, 8, 1))


def parse_manifest(data: bytes, folder: Path) -> None:
    """Read a manifest: without a check (first byte 0), with a matching one (1), or a check of a valid manifest (2)."""
    from epochbank.augment.store.manifest_check import Records, records_of

    choice, data = (data[0] % 3, data[1:]) if data else (0, data)
    directory = copied_set(folder)
    manifest, check = directory / "manifest.jsonl", directory / "manifest.check"
    if choice == 2:
        check.write_bytes(data)
        manifest.write_bytes((sample_set() / "manifest.jsonl").read_bytes())
    else:
        manifest.write_bytes(data)
        check.write_bytes(records_of(data[: data.rfind(b"\n") + 1], Records()) if choice == 1 else b"")
    try:
        read_set(directory)
    finally:
        shutil.rmtree(directory)


def parse_set_json(data: bytes, folder: Path) -> None:
    """Read `set.json`, with its checksum and fingerprint computed again so that the values behind them are read."""
    from epochbank.augment.store.description import fingerprint_of

    directory = copied_set(folder)
    try:
        document = json.loads(data)
        if isinstance(document, dict):
            if isinstance(document.get("identity"), dict):
                document["fingerprint"] = fingerprint_of(document["identity"])
            document.pop("checksum", None)
            document["checksum"] = fingerprint_of(document)
            data = json.dumps(document).encode()
    except (ValueError, RecursionError):
        pass
    (directory / "set.json").write_bytes(data)
    try:
        read_set(directory)
    finally:
        shutil.rmtree(directory)


def parse_split(data: bytes, folder: Path) -> None:
    """Read `split.h5` (HDF5), with its checksum in `set.json` computed again."""
    from epochbank.augment.store.description import fingerprint_of
    from epochbank.augment.store.digest import file_checksum

    directory = copied_set(folder)
    (directory / "split.h5").write_bytes(data)
    document = json.loads((directory / "set.json").read_text())
    document["split_checksum"] = file_checksum(directory / "split.h5")
    del document["checksum"]
    document["checksum"] = fingerprint_of(document)
    (directory / "set.json").write_text(json.dumps(document))
    try:
        read_set(directory)
    finally:
        shutil.rmtree(directory)


def parse_shard(data: bytes, folder: Path) -> None:
    """Read a shard (HDF5), with its size and checksum in the manifest computed again.

    Files of the format before HDF5 1.10, which the library reads without checksums, are left out.
    """
    from dataclasses import replace

    from epochbank.augment.store.description import read_description
    from epochbank.augment.store.digest import file_checksum
    from epochbank.augment.store.manifest import read_manifest
    from epochbank.augment.store.shard_read import read_chunks
    from epochbank.augment.store.verify import Check, check_shard
    from epochbank.train.reading.chunk_table import ChunkTable

    if not data.startswith(b"\x89HDF\r\n\x1a\n\x03"):
        return
    entry = next(one for one in read_manifest(sample_set()) if one.split == "epoch")
    (folder / entry.file).parent.mkdir(exist_ok=True)
    (folder / entry.file).write_bytes(data)
    entry = replace(entry, bytes=len(data), checksum=file_checksum(folder / entry.file))
    description = read_description(sample_set())
    check_shard(Check(folder, entry, description.fingerprint, description.shape))
    list(_refusals(lambda: [None for _ in read_chunks(folder, entry, entry.start, entry.stop)]))
    _read_table(ChunkTable(folder, [entry], description.shape), description.shape)


def read_set(directory: Path) -> None:
    """Open a set, and read what the commands read: facts, content, recipe and every chunk.

    A set whose `set.json` or manifest is refused is not read further.
    """
    from epochbank.augment.generation.spec import recipe_of
    from epochbank.augment.lifecycle.content import stored_content
    from epochbank.augment.shared.pool import LocalPool
    from epochbank.augment.store.description import read_description
    from epochbank.augment.store.manifest import read_manifest
    from epochbank.augment.store.verify import verify
    from epochbank.augment.views.info import info, info_lines
    from epochbank.train.reading.stored_set import read_stored_set

    read_description(directory)
    if list(_refusals(lambda: read_manifest(directory))):
        verify(directory, LocalPool(1))
        return

    def chunks() -> None:
        stored = read_stored_set(directory)
        for epoch in stored.epochs:
            _read_table(stored.table("epoch", epoch), stored.shape)

    refused = [
        *_refusals(
            lambda: info_lines(info(directory)),
            lambda: stored_content(directory),
            lambda: recipe_of(read_description(directory)),
            lambda: verify(directory, LocalPool(1)),
            chunks,
        )
    ]
    if refused:
        raise refused[0]


def _read_table(table: Any, shape: tuple[int, int, int]) -> None:
    import numpy as np

    for number, count in enumerate(table.chunk_sizes.tolist()):
        table.read(number, np.empty((count, *shape), np.uint8), np.empty(count, np.int32))


def _refusals(*reads: Callable[[], Any]) -> Iterable[Exception]:
    """Call each of `reads`, and yield the refusals."""
    from epochbank import EpochbankError

    for read in reads:
        try:
            read()
        except EpochbankError as error:
            yield error


# --- Small files of a set, of runs and of other programs ----------------------------------------------------------


def parse_small_file(data: bytes, folder: Path) -> None:
    """Read a small file of a set or run; the first byte chooses which."""
    from epochbank.augment.generation.run_log import read_log
    from epochbank.augment.shared.lock import holder_of
    from epochbank.augment.store.refresh_goal import read_goal
    from epochbank.augment.store.tags import read_tags
    from epochbank.augment.store.usage import last_used
    from epochbank.train.training import run_directory, run_list

    def runs() -> None:
        run_list.run_lines(run_list.list_runs(folder)[0])
        run = folder / "run"
        config = run_directory.find_unfinished(run)
        run_directory.check_trust(run, config, trust=False)
        run_directory.check_shape(run, config)

    (folder / "run").mkdir(exist_ok=True)
    for name, content in (("config.json", small_files()[3]), ("summary.json", small_files()[4])):
        (folder / "run" / name).write_bytes(content)
    readers: list[tuple[str, Callable[[], Any]]] = [
        ("tags.json", lambda: read_tags(folder)),
        ("used.json", lambda: last_used(folder)),
        ("refresh.json", lambda: read_goal(folder, [0, 1], 0)),
        ("run/config.json", runs),
        ("run/summary.json", runs),
        (".lock", lambda: holder_of(folder / ".lock")),
        ("log.jsonl", lambda: read_log(folder)),
    ]
    name, read = readers[data[0] % len(readers) if data else 0]
    (folder / name).write_bytes(data[1:])
    read()


def parse_checkpoint(data: bytes, folder: Path) -> None:
    """Read the checkpoint of a training."""
    from epochbank.train.training.snapshot import read_snapshot

    path = folder / "checkpoint.npz"
    path.write_bytes(data)
    read_snapshot(path)


# --- Valid inputs -------------------------------------------------------------------------------------------------


@functools.cache
def png(mode: str = "L", format: str = "PNG") -> bytes:
    """Return a small image file."""
    from PIL import Image

    data = io.BytesIO()
    Image.linear_gradient("L").resize((6, 5)).convert(mode).save(data, format)
    return data.getvalue()


@functools.cache
def idx_files() -> tuple[bytes, bytes]:
    """Return IDX files of four images and their labels."""
    images = bytes([0, 0, 8, 3]) + struct.pack(">3I", 4, 3, 3) + bytes(range(36))
    return images, bytes([0, 0, 8, 1]) + struct.pack(">I", 4) + bytes([0, 1, 0, 1])


@functools.cache
def sample_set() -> Path:
    """Return a set of one epoch in two shards, generated once in a process."""
    import atexit

    import epochbank

    root = Path(tempfile.mkdtemp(prefix="epochbank-fuzz-", dir=os.environ.get("TMPDIR", memory())))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return epochbank.generate(
        "digits", epochs=1, limit=40, size=(8, 8), sets=root, shard_size=20, chunk_size=8, jobs=1, codec="zstd"
    ).path


def memory() -> str | None:
    """Return a directory in memory if there is one; None for the usual directory of temporary files."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def copied_set(folder: Path) -> Path:
    """Return a copy of the sample set."""
    directory = folder / "set"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(sample_set(), directory, copy_function=shutil.copyfile)
    return directory


def arrays() -> dict[str, Any]:
    """Return four images with labels, groups and class names."""
    import numpy as np

    images = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
    return {"images": images, "labels": np.array([0, 1, 0, 1]), "groups": np.array([0, 0, 1, 1])}


@functools.cache
def npy_files() -> list[bytes]:
    """Return the files of images and of labels."""
    return [saved(lambda data, n=name: _numpy().save(data, arrays()[n])) for name in ("images", "labels")]


def saved(save: Callable[[Any], Any]) -> bytes:
    """Return what `save` writes to a binary file."""
    data = io.BytesIO()
    save(data)
    return data.getvalue()


def zip_of(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a .zip archive."""

    def save(data: io.BytesIO) -> None:
        with zipfile.ZipFile(data, "w", method) as archive:
            for name, content in files.items():
                archive.writestr(zipfile.ZipInfo(name), content, method)

    return saved(save)


def set_file(name: str) -> list[bytes]:
    """Return a file of the sample set."""
    return [(sample_set() / name).read_bytes()]


def epoch_shard() -> list[bytes]:
    """Return a shard of the epoch of the sample set."""
    return [sorted((sample_set() / "epoch-0000").iterdir())[0].read_bytes()]


def source_file() -> list[bytes]:
    """Return the source file of the sample set."""
    return [next((sample_set().parent / "sources").glob("*.h5")).read_bytes()]


def recipes() -> list[bytes]:
    """Return the built-in recipes, in pieces: whole ones and one for each stage."""
    from epochbank.augment.distortion.recipe import built_in_names, recipe_path

    texts = [recipe_path(name).read_bytes() for name in built_in_names()]
    stages = [b"[[stage]]" + stage for text in texts for stage in text.split(b"[[stage]]")[1:]]
    return [*texts, *stages, b'name = "x"\nlabel_check = false\nsizes = [8, 64]\npixels_at = 64\n' + stages[0]]


def etl_writer() -> Any:
    """Return the module of the tests that writes records of the ETL Character Database."""
    sys.path.insert(0, str(TESTS))
    try:
        return importlib.import_module("etl_writer")
    finally:
        sys.path.pop(0)


@functools.cache
def etl_table() -> bytes:
    """Return a table of the characters of the printed set."""
    return etl_writer().co59_table({"上": (12, 33), "あ": (1, 2)})


@functools.cache
def etl_files() -> list[bytes]:
    """Return a file of each record type, after the byte that chooses its name."""
    write = etl_writer()

    def glyph(height: int, width: int, levels: int, number: int) -> Any:
        return write.glyph(number, height, width, levels)

    a, kanji = write.jis0201("A"), write.jis0208("亜")
    files = [
        b"".join(write.record_m(glyph(63, 64, 16, n), jis=a, sheet=n + 1) for n in range(2)),
        b"".join(write.record_k(glyph(60, 60, 64, n), co59=(12, 33), serial=n + 1) for n in range(2)),
        b"".join(write.record_c(glyph(76, 72, 16, n), jis=a, sheet=n + 1, serial=n) for n in range(2)),
        b"".join(write.record_8g(glyph(127, 128, 16, n), code=kanji, sheet=n + 1) for n in range(1)),
        b"".join(write.record_9g(glyph(127, 128, 16, n), code=kanji, sheet=n + 1) for n in range(1)),
        write.DUMMY_8B + b"".join(write.record_8b(glyph(63, 64, 2, n), code=kanji, sheet=n + 1) for n in range(2)),
        write.DUMMY_9B + b"".join(write.record_9b(glyph(63, 64, 2, n), code=kanji, sheet=n + 1) for n in range(2)),
    ]
    return [bytes([place]) + content for place, content in enumerate(files)]


ETL_NAMES = {
    "ETL1C_01": "1",
    "ETL2_1": "2",
    "ETL3C_1": "3",
    "ETL8G_01": "8G",
    "ETL9G_01": "9G",
    "ETL8B2C1": "8B",
    "ETL9B_1": "9B",
}
"""A file of each record type, and its set."""


def etl_archives() -> list[bytes]:
    """Return archives of a file."""
    files = {"ETL1/ETL1C_01": etl_files()[0][1:], "ETL1/ETL1INFO": b"text"}
    return [zip_of(files), zip_of(files, zipfile.ZIP_STORED)]


def gnt() -> bytes:
    """Return a file of CASIA-HWDB with two samples."""
    tags = ("一".encode("gb2312"), b"A\0")
    return b"".join(struct.pack("<I2sHH", 10 + 30, tag, 6, 5) + bytes(range(30)) for tag in tags)


def csv_files() -> list[bytes]:
    """Return lists of paths and tables of pixels, after the byte that chooses the suffix."""
    paths = b"path,label,group,split\na.png,cat,g1,train\nb.png,dog,g2,test\n"
    pixels = io.StringIO()
    writer = csv.writer(pixels)
    writer.writerow(["label", *(f"pixel{n}" for n in range(16))])
    writer.writerows([label, *range(label, label + 16)] for label in range(3))
    packed = b"emotion,pixels,Usage\n0," + b" 7" * 16 + b",Training\n1," + b" 8" * 16 + b",PublicTest\n"
    quoted = b'"path";"label"\r\n"a.png";"a ""b"""\r\n b.png ; "x\ny"\r\n'
    table = b"\0" + pixels.getvalue().encode()
    tabs = b"\1" + paths.replace(b",", b"\t")
    utf16 = b"\0" + paths.decode().encode("utf-16")
    return [b"\0" + paths, table, b"\0" + packed, b"\0" + quoted, tabs, b"\2" + paths.replace(b",", b" "), utf16,
            b"\0" + b"1" + b",2" * 16 + b"\n0" + b",9" * 16 + b"\n"]  # fmt: skip


def json_files() -> list[bytes]:
    """Return lists of images, after the byte that chooses the suffix."""
    rows = [
        {"file_name": "a.png", "label": "cat", "group": 1, "split": "train"},
        {"file_name": "b.png", "label": "dog", "group": "x", "split": "test"},
    ]
    coco = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": "x", "file_name": "b.png"}],
        "annotations": [{"image_id": 1, "category_id": 7}, {"image_id": "x", "category_id": 8}],
        "categories": [{"id": 7, "name": "cat"}, {"id": 8, "name": "dog"}],
    }
    lines = "\n".join(map(json.dumps, rows)).encode()
    return [
        b"\0" + json.dumps(rows).encode(),
        b"\1" + lines,
        b"\0" + lines,
        b"\0" + json.dumps(coco).encode(),
        b"\0" + _DEEP,
    ]


def mat_files() -> list[bytes]:
    """Return MATLAB files of version 5, compressed and not."""
    from scipy.io import savemat

    named = {"X": arrays()["images"].transpose(1, 2, 0), "y": arrays()["labels"]}
    return [saved(lambda data, c=c: savemat(data, named, do_compression=c)) for c in (False, True)]


def hdf5_files() -> list[bytes]:
    """Return HDF5 files: contiguous, and chunked with a filter."""
    import h5py

    def save(data: io.BytesIO, **options: Any) -> None:
        with h5py.File(data, "w") as file:
            for name, array in arrays().items():
                file.create_dataset(name, data=array, **options)

    return [saved(save), saved(lambda data: save(data, compression="gzip"))]


def parquet_files() -> list[bytes]:
    """Return Parquet files: images as Hugging Face writes them, and as plain bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    features = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    images = pa.array([{"bytes": png(), "path": None}, {"bytes": png("RGB"), "path": "b.png"}])
    table = pa.table({"image": images, "label": [0, 1], "group": ["a", "b"]})
    hugging = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    plain = pa.table({"image": [png(), png("RGB")], "label": ["x", "y"], "split": ["train", "test"]})
    return [saved(lambda data: pq.write_table(hugging, data)), saved(lambda data: pq.write_table(plain, data))]


def tar_files() -> list[bytes]:
    """Return WebDataset shards."""

    def save(data: io.BytesIO, format: int) -> None:
        with tarfile.open(fileobj=data, mode="w", format=format) as archive:
            for number in range(2):
                label = json.dumps({"label": number, "class": "cat", "group": "g"}).encode()
                for suffix, content in (("png", png()), ("cls", b"%d" % number), ("json", label)):
                    member = tarfile.TarInfo(f"{number:09d}.{suffix}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))

    return [saved(lambda data, f=f: save(data, f)) for f in (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT)]


def tfrecord_files() -> list[bytes]:
    """Return a TFRecord file of two examples, and an example, after the byte that chooses between them."""
    from epochbank.augment.shared.tfrecord import encode_example, write_record

    examples = [
        encode_example({"image/encoded": png(), "image/class/label": number, "image/class/text": "cat", "row": [1, 2]})
        for number in range(2)
    ]

    def save(data: io.BytesIO) -> None:
        for example in examples:
            write_record(data, example)

    return [b"\0" + saved(save), b"\1" + examples[0]]


def small_files() -> list[bytes]:
    """Return the small files of sets and runs, in the order of `parse_small_file`."""
    config = {
        "set": {"path": "sets/a", "fingerprint": "0" * 32}, "model": "cnn", "shape": [8, 8, 1], "stored_epochs": [0],
    }  # fmt: skip
    evaluated = {"accuracy": 0.5, "loss": 1.0, "images": 10}
    holder = {"process": 17, "host": "elsewhere", "command": "augment run", "since": "2026-01-01 00:00:00"}
    summary = {"test": evaluated, "validation": None, "epochs": 3, "set": config["set"]}
    used = {"used": "2026-01-01T00:00:00+00:00", "run": "runs/a"}
    documents = [{"tags": ["a", "b"]}, used, {"first": 1, "stop": 3}, config, summary, holder, {"shards": 3}]
    return [json.dumps(document).encode() for document in documents]


def checkpoints() -> list[bytes]:
    """Return the checkpoint of a model with a variable in each group."""
    import numpy as np

    groups = ("model", "optimizer", "metrics")
    state = {"format": 1, "epoch": 1, "variables": {group: [["kernel", "(2,)", "float32"]] for group in groups}}
    values = {f"{group}/0": np.zeros(2, np.float32) for group in groups}
    text = np.frombuffer(json.dumps(state).encode(), np.uint8)
    return [saved(lambda data: np.savez(data, state=text, **values))]


def _manifests() -> list[bytes]:
    from dataclasses import asdict

    from epochbank.augment.store.manifest import retirement

    manifest, check = set_file("manifest.jsonl")[0], set_file("manifest.check")[0]
    fields = asdict(retirement(0))
    stored = {"split": "part", "num_images": "images", "resampled": "redrawn"}
    line = json.dumps({stored.get(name, name): value for name, value in fields.items()}).encode() + b"\n"
    return [b"\0" + manifest, b"\1" + manifest, b"\1" + manifest + line, b"\2" + check]


_SOURCES = "epochbank.augment.sources"
_STORE = ("epochbank.augment.store", "epochbank.augment.views", "epochbank.augment.lifecycle.content")
_DEEP = b"[" * 3000
_JSON = ("null", "true", "-1", "1e999", "NaN", '"\\ud800"', "{}", "[]", "9223372036854775808", "1" + "0" * 30)

PARSERS = {
    "recipe": Parser(
        ("epochbank.augment.distortion.recipe", "epochbank.augment.distortion.operations"), parse_recipe, recipes,
        ("[[stage]]", "operation = [{ op = ", "probability", "weight", "label_check", "lost", "attempts", "inf", "nan",
         "sizes", "pixels_at", "true", "1979-05-27T07:32:00Z", "1e400", "-0.0", '"rotate"', '"blur"', '"elastic"'),
    ),
    "manifest": Parser(
        _STORE, parse_manifest, _manifests,
        (*_JSON, '"part"', '"epoch"', '"retired"', '"redrawn"', '"undistorted"', "epoch-0000/0000000000.h5"), 4096,
    ),
    "set.json": Parser(
        (*_STORE, "epochbank.augment.distortion.recipe", "epochbank.augment.generation.spec"), parse_set_json,
        lambda: set_file("set.json"), _JSON, 8192,
    ),
    "split": Parser(_STORE, parse_split, lambda: set_file("split.h5"), (), 1 << 15),
    "shard": Parser((*_STORE, "epochbank.train.reading"), parse_shard, epoch_shard, (), 1 << 15),
    "source-file": Parser(("epochbank.augment.ingest",), parse_source_file, source_file, (), 1 << 15),
    "etl": Parser((f"{_SOURCES}.etl",), parse_etl, etl_files, (), 1 << 14),
    "etl-table": Parser((f"{_SOURCES}.etl.characters",), parse_etl_table, lambda: [etl_table()], (), 1024),
    "etl-zip": Parser(
        (f"{_SOURCES}.etl", f"{_SOURCES}.archive"), file_source("etl", "ETL1.zip"), etl_archives,
        ("PK\1\2", "PK\3\4", "PK\5\6"), 1 << 13,
    ),
    "gnt": Parser((f"{_SOURCES}.casia",), file_source("gnt", "1001-c.gnt"), lambda: [gnt()]),
    "gnt-zip": Parser(
        (f"{_SOURCES}.casia", f"{_SOURCES}.archive"), file_source("gnt", "HWDB1.1trn_gnt.zip"),
        lambda: [zip_of({"1001-c.gnt": gnt()})],
    ),
    "csv": Parser(
        (f"{_SOURCES}.lists",), file_source("csv", "list.csv", "list.tsv", "list.txt"), csv_files,
        ("a.png", "b.png", "label", "path", "split", "train", "group", "pixel0", "1x1", "nan", "inf", "1e39", '""',
         "\r", "\0", "\ufeff"), 2048,
    ),
    "json": Parser(
        (f"{_SOURCES}.lists",), file_source("json", "list.json", "list.jsonl"), json_files,
        (*_JSON, '"file_name"', '"label"', '"id"', '"image_id"', '"category_id"', '"name"', "\ufeff"), 2048,
    ),
    "class-names": Parser(
        (f"{_SOURCES}.class_names",), parse_class_names,
        lambda: [b"\0cat\ndog\n", b"\0" b"0 cat\n1 dog\n", b'\1["cat", "dog"]', b'\1{"0": "cat", "1": "dog"}',
                 b"\1" + _DEEP, b"\2label,name\n0,cat\n1,dog\n"], (*_JSON, "label", "name", "0", "1"), 1024,
    ),
    "idx": Parser(
        (f"{_SOURCES}.idx",), parse_idx,
        lambda: [b"\0" + idx_files()[0], b"\2" + idx_files()[1],
                 *(bytes([1 + 2 * place]) + gzip.compress(one, mtime=0) for place, one in enumerate(idx_files()))],
        (), 1024,
    ),
    "zip": Parser(
        (f"{_SOURCES}.archive", f"{_SOURCES}.folders", f"{_SOURCES}.name_encoding"), file_source("zip", "tree.zip"),
        lambda: [zip_of({"train/cat/1.png": png(), "test/dog/2.png": png("RGB")}, method)
                 for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)],
        ("PK\1\2", "PK\3\4", "PK\5\6", "PK\6\6", "PK\6\7", "../", "labels.csv"), 4096,
    ),
    "npz": Parser(
        (f"{_SOURCES}.arrays", f"{_SOURCES}.archive"), file_source("npz", "a.npz"),
        lambda: [saved(lambda data: _numpy().savez(data, **arrays())),
                 saved(lambda data: _numpy().savez_compressed(data, **arrays()))],
        ("{'descr': '<i8', ", "'fortran_order': False", "'shape': (4,)", "|O", "\x93NUMPY", "class_names.npy"), 4096,
    ),
    "npy": Parser(
        (f"{_SOURCES}.arrays",), parse_npy, lambda: [bytes([place]) + one for place, one in enumerate(npy_files())],
        ("'descr': '<i8'", "'fortran_order': True", "'shape': (4,)", "|O", "<M8[ns]", "\x93NUMPY\3\0"), 1024,
    ),
    "mat": Parser((f"{_SOURCES}.arrays",), file_source("mat", "a.mat"), mat_files, (), 2048),
    "hdf5": Parser((f"{_SOURCES}.arrays",), file_source("hdf5", "a.h5"), hdf5_files, (), 1 << 14),
    "parquet": Parser((f"{_SOURCES}.lists",), file_source("parquet", "a.parquet"), parquet_files, (), 1 << 13, 2 << 30),
    "image": Parser(
        (f"{_SOURCES}.decode", f"{_SOURCES}.folders"), parse_image,
        lambda: [png(mode, format) for mode, format in (
            ("L", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("I;16", "PNG"), ("RGB", "JPEG"), ("RGB", "BMP"), ("P", "GIF"),
            ("RGB", "TIFF"), ("F", "TIFF"), ("RGB", "WEBP"), ("L", "PPM"), ("L", "TGA"), ("CMYK", "JPEG"))],
        ("IHDR", "IDAT", "tRNS", "PLTE"), 4096,
    ),
    "webdataset": Parser(
        (f"{_SOURCES}.webdataset",), file_source("webdataset", "train-000000.tar"), tar_files, (), 1 << 14
    ),
    "tfrecord": Parser(
        ("epochbank.augment.shared.tfrecord", f"{_SOURCES}.tfrecord"),
        parse_tfrecord, tfrecord_files, ("image/encoded", "image/class/label", "image/class/text"), 4096,
    ),
    "small-files": Parser(
        ("epochbank.augment.store.tags", "epochbank.augment.store.usage", "epochbank.augment.store.refresh_goal",
         "epochbank.augment.shared.lock", "epochbank.train.training.run_list",
         "epochbank.train.training.run_directory"), parse_small_file,
        lambda: [bytes([place]) + one for place, content in enumerate(small_files()) for one in (content, _DEEP)],
        (*_JSON, '"set"', '"path"', '"epochs"', '"test"', '"accuracy"', '"shape"'), 4096,
    ),
    "checkpoint": Parser(("epochbank.train.training.snapshot",), parse_checkpoint, checkpoints, (*_JSON,), 4096),
}  # fmt: skip
"""Every parser of epochbank, by name."""


def _numpy() -> Any:
    import numpy

    return numpy
