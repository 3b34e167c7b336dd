"""What `augment export` writes, and the virtual datasets of a set, are sources again, with splits and groups."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

import epochbank
from epochbank.api import generation
from epochbank.augment.ingest.source_file import SourceFile, open_source_file
from epochbank.augment.store.virtual_epoch import virtual_files

NAMES = ["亜", "b 2", "ア, イ"]
COUNT = 60


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a set of two epochs from a list with class names, writers and splits."""
    root = tmp_path_factory.mktemp("made")
    random = np.random.default_rng(0)
    (root / "images").mkdir()
    rows = []
    for k in range(COUNT):
        image = np.full((12, 10), 255 * (k % 5 > 0), np.uint8)  # Most images have a light border.
        image[3:9, 3:7] = random.integers(100, 256, (6, 4))
        Image.fromarray(image).save(root / f"images/{k}.png")
        split = "test" if k % 10 == 0 else "validation" if k % 10 == 1 else "train"
        row = {"path": f"images/{k}.png", "label": NAMES[k % 3], "writer": f"w{k % 10}-{k % 4}", "split": split}
        rows.append(row)
    (root / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = {"size": (12, 10), "sets": root / "sets", "name": "letters", "jobs": 1, "invert": "no"}
    generation.run(root / "list.jsonl", epochs=2, **words)
    return root


def directory(root: Path) -> Path:
    return next(path.parent for path in (root / "sets").glob("*/set.json"))


def taken(source: Path, tmp_path: Path, **options: str) -> SourceFile:
    """Import a source as `augment run` does."""
    epochbank.import_source(source, tmp_path / "back.h5", jobs=1, **options)
    return open_source_file(tmp_path / "back.h5")


def expected(root: Path, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return images, labels and rows of a split, or of all stored epochs, from the shards."""
    folders = ["epoch-0000", "epoch-0001"] if split == "epochs" else [split]
    columns: list[list[np.ndarray]] = [[], [], []]
    for folder in folders:
        for path in sorted((directory(root) / folder).glob("*.h5")):
            with h5py.File(path) as file:
                for column, name in zip(columns, ("image", "label", "row"), strict=True):
                    column.append(file[name][()])
    images, labels, rows = map(np.concatenate, columns)
    return images, labels, rows


def contents(file: SourceFile) -> tuple[np.ndarray, np.ndarray]:
    return file.read(np.arange(file.num_images)), file.column("label")


def names_of(file: SourceFile) -> list[str]:
    return [file.class_names[number] for number in file.column("label")]


@pytest.mark.parametrize("format", ["webdataset", "tfrecord", "parquet", "npz"])
def test_export_is_a_source(made: Path, tmp_path: Path, format: str) -> None:
    """Images, classes, splits and groups are those of the set, in order."""
    epochbank.export_set("letters", tmp_path / "export", format=format, sets=made / "sets", jobs=1)
    file = taken(tmp_path / "export", tmp_path)
    parts = [expected(made, split) for split in ("epochs", "validation", "test")]
    images, labels, rows = map(np.concatenate, zip(*parts, strict=True))
    found_images, found_labels = contents(file)
    assert file.class_names == sorted(NAMES)
    np.testing.assert_array_equal(found_images, images)
    np.testing.assert_array_equal(found_labels, labels)
    sizes = [len(part[1]) for part in parts]
    np.testing.assert_array_equal(file.column("split"), np.repeat([0, 1, 2], sizes))
    assert file.group_names is not None
    assert [file.group_names[number] for number in file.column("group")] == [f"w{k % 10}-{k % 4}" for k in rows]


@pytest.mark.parametrize("format", ["webdataset", "tfrecord", "parquet", "npz"])
def test_export_of_one_split_is_a_source(made: Path, tmp_path: Path, format: str) -> None:
    """The test split alone is split again; classes keep their names."""
    epochbank.export_set("letters", tmp_path / "export", format=format, splits=["test"], sets=made / "sets", jobs=1)
    file = taken(tmp_path / "export", tmp_path)
    images, labels, _ = expected(made, "test")
    np.testing.assert_array_equal(contents(file)[0], images)
    assert names_of(file) == [sorted(NAMES)[number] for number in labels]
    assert not file.splits


def test_set_of_an_export_has_the_same_test_images(made: Path, tmp_path: Path) -> None:
    """`augment run DEST` makes a set; its test split is that of the first set."""
    epochbank.export_set(
        "letters", tmp_path / "export", format="webdataset", originals=True, epochs=[1], sets=made / "sets", jobs=1
    )
    generation.run(tmp_path / "export", epochs=1, sets=tmp_path / "sets", jobs=1)
    images = [expected(root, "test")[0] for root in (made, tmp_path)]
    np.testing.assert_array_equal(*images)
    assert len(expected_epoch(tmp_path)) == 2 * len(expected_epoch(made))


def expected_epoch(root: Path) -> np.ndarray:
    with h5py.File(next((directory(root) / "epoch-0000").glob("*.h5"))) as file:
        return file["label"][()]


def test_virtual_dataset_is_a_source(made: Path, tmp_path: Path) -> None:
    """A stored epoch, with the names of its classes; the shards must be there."""
    assert "epoch-0001.h5" in virtual_files(directory(made))
    file = taken(directory(made) / "epoch-0001.h5", tmp_path)
    images, labels, _ = expected(made, "epochs")
    half = len(labels) // 2
    np.testing.assert_array_equal(contents(file)[0], images[half:])
    assert names_of(file) == [sorted(NAMES)[number] for number in labels[half:]]
