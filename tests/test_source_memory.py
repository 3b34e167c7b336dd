"""Memory of imports from files that hold much in one piece: a page, a chunk, a line."""

import io
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from epochbank.augment.errors import EpochbankError
from epochbank.augment.sources import Scan
from epochbank.augment.sources.arrays import checks
from epochbank.augment.sources.decode import BadImage
from epochbank.augment.sources.find import open_source
from epochbank.augment.sources.lists import csv_pixels, csv_table, json_stream, parquet_spool


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def scan_of(spec: str) -> Scan:
    Path("workspace").mkdir(exist_ok=True)
    return open_source(spec).scan(Path("workspace").absolute())


def png(value: int) -> bytes:
    Image.fromarray(np.full((4, 3), value, np.uint8)).save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


def parquet(path: str, count: int, *, plain: bool = False, group_rows: int = 1000) -> None:
    data = [png(k) for k in range(count)]
    data[3] = b""
    cells = data if plain else [{"bytes": one, "path": None} for one in data]
    table = pyarrow.table({"image": cells, "label": [k % 2 for k in range(count)]})
    pyarrow.parquet.write_table(table, path, row_group_size=group_rows, use_dictionary=["label"])


@pytest.mark.parametrize("plain", [True, False])
def test_parquet_with_large_row_groups_is_copied_once(plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the file with large row groups is copied; images, bad ones and origins are the same."""
    monkeypatch.setattr(parquet_spool, "_LARGE", 2000)
    Path("d").mkdir()
    parquet("d/a.parquet", 40, plain=plain)
    parquet("d/b.parquet", 10, plain=plain, group_rows=5)
    scan = scan_of("d")
    assert [path.name for path in Path("workspace").iterdir()] == ["parquet-0"]
    Path("d/a.parquet").unlink()
    found = list(scan.reader.read(np.arange(50)))
    bad = [k for k, one in enumerate(found) if isinstance(one, BadImage)]
    assert bad == [3, 43]
    assert str(found[3]) == "has no bytes; expected those of an image file"
    values = [int(np.asarray(one)[0, 0]) for one in found if isinstance(one, Image.Image)]
    assert values == [k for k in (*range(40), *range(10)) if k != 3]
    assert scan.reader.origin(41) == "b.parquet[1]"


def test_parquet_with_a_huge_page_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_spool, "_LARGE", 1000)
    monkeypatch.setattr(parquet_spool, "_MAX_PAGE", 2000)
    parquet("a.parquet", 100)
    with pytest.raises(EpochbankError, match=r"a.parquet has \d.* of images in one page.*row_group_size=100"):
        scan_of("a.parquet")
    parquet("a.parquet", 100, group_rows=10)
    assert len(scan_of("a.parquet").labels) == 100


def hdf5(path: str, **options: object) -> np.ndarray:
    images = np.random.default_rng(0).integers(0, 9, (20, 6, 5), np.uint8)
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=images, **options)
        file["labels"] = np.arange(20) % 2
    return images


def test_hdf5_with_a_huge_compressed_chunk_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any part of a chunk that is not compressed can be read, so its size does not matter."""
    monkeypatch.setattr(checks, "_MAX_CHUNK", 599)
    images = hdf5("plain.h5", chunks=(20, 6, 5))
    np.testing.assert_array_equal(np.concatenate(list(scan_of("plain.h5").reader.read(np.arange(20)))), images)
    hdf5("small.h5", chunks=(19, 6, 5), compression="gzip")
    assert len(scan_of("small.h5").labels) == 20
    hdf5("large.h5", chunks=(20, 6, 5), compression="gzip")
    with pytest.raises(EpochbankError, match=r"large.h5: /images has compressed chunks of 600 bytes.*most 599 bytes"):
        scan_of("large.h5")


def test_hdf5_virtual_dataset_of_a_huge_chunk_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_MAX_CHUNK", 599)
    hdf5("large.h5", chunks=(20, 6, 5), compression="gzip")
    layout = h5py.VirtualLayout((20, 6, 5), np.uint8)
    layout[:] = h5py.VirtualSource("large.h5", "images", (20, 6, 5))
    with h5py.File("virtual.h5", "w") as file:
        file.create_virtual_dataset("images", layout)
        file["labels"] = np.arange(20) % 2
    with pytest.raises(EpochbankError, match=r"large.h5: /images has compressed chunks"):
        scan_of("virtual.h5")


@pytest.mark.parametrize("text", ["x", '"x', "x,", "x y "])
def test_csv_line_is_bounded(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that never ends is not read to its end."""
    monkeypatch.setattr(csv_table, "_MAX_ROW", 100_000)
    Path("a.csv").write_text("path,label\na.png,1\n" + text * (20_000_000 // len(text)))
    tracemalloc.start()
    with pytest.raises(EpochbankError, match=r"a.csv, line \d, cannot be read as CSV: the row has more than 100,000"):
        scan_of("a.csv")
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


def test_csv_row_of_many_lines_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_table, "_MAX_ROW", 1000)
    Path("a.csv").write_text('path,label\na.png,"' + "one line\n" * 500)
    with pytest.raises(EpochbankError, match=r"a.csv, line 2, .*more than 1,000 characters"):
        scan_of("a.csv")


def test_rows_of_large_images_are_converted_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of a CSV of pixels does not grow with the number of rows, also of large images."""
    monkeypatch.setattr(csv_pixels, "_PIXELS", 10_000)
    monkeypatch.setattr(csv_table, "_MAX_SAMPLE", 1000)
    side = 100
    row = ",".join(["12"] * side * side)
    peaks = []
    for count in (10, 20):
        with open("a.csv", "w") as file:
            file.write("label," + ",".join(f"pixel{k}" for k in range(side * side)) + "\n")
            file.writelines(f"{k % 2},{row}\n" for k in range(count))
        tracemalloc.start()
        assert len(scan_of("a.csv").labels) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_json_item_is_bounded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "_MAX_ITEM", 100_000)
    begin = '{"path": "a.png", "label": "1"}\n' if name.endswith("l") else '[{"path": "a.png", "label": "1"},\n'
    Path(name).write_text(begin + '{"path": "' + "x" * 20_000_000)
    tracemalloc.start()
    with pytest.raises(EpochbankError, match=rf"{name}.*more than 100,000 characters"):
        scan_of(name)
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()
