"""Every shard is compared with its manifest entry when it is first read; no damaged or foreign image is served."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest
from click.testing import CliRunner

from conftest import glyphs
from epochbank import open_set
from epochbank.augment.cli import main
from epochbank.augment.errors import EpochbankError
from epochbank.augment.store.codec import CODECS
from epochbank.augment.store.manifest import Entry, read_manifest
from epochbank.augment.store.shard_read import read_run
from epochbank.train.feeding.augmented_set import AugmentedSet
from epochbank.train.streaming.batches import TrainingBatches
from epochbank.train.streaming.stream import Stream

GOLDEN = Path(__file__).parent / "golden" / "format-1"
CAMPAIGN = Path(__file__).parent / "flip_shard_bytes.py"


def generate(directory: Path, *words: object) -> Path:
    """Generate a set of 60 images of 12 x 10 pixels in shards of 24 and chunks of 8, and return its path."""
    np.savez(directory / "a.npz", images=glyphs(60, (12, 10, 1)), labels=np.arange(60) % 4)
    size = ("--chunk-size", 8, "--shard-size", 24, "--jobs", 1, "--sets", directory / "sets", "--print-path")
    result = CliRunner().invoke(main, [str(word) for word in ("run", directory / "a.npz", *size, *words)])
    assert result.exit_code == 0, result.output
    return Path(result.stdout.split()[-1])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set with an epoch for each codec, in the order of `CODECS`."""
    directory = tmp_path_factory.mktemp("made")
    for number, codec in enumerate(CODECS, 1):
        stored = generate(directory, "--codec", codec, "--epochs", number)
    return stored


@pytest.fixture
def stored(made: Path, tmp_path: Path) -> Path:
    """A copy of that set."""
    return Path(shutil.copytree(made, tmp_path / made.name))


def entry_of(stored: Path, file: str) -> Entry:
    (entry,) = (one for one in read_manifest(stored) if one.file == file)
    return entry


def train_on(stored: Path) -> AugmentedSet:
    """Read all images of all epochs as training does."""
    opened = open_set(stored)
    batches = TrainingBatches(opened.num_images["train"], opened.epochs, 8, 0.5)
    stream = Stream(opened, batches, seed=0)
    for epoch in range(len(opened.epochs)):
        for number in range(len(batches)):
            stream.batch(epoch, number)
    return opened


def listed_with_its_bytes(stored: Path, file: str) -> None:
    """Have the manifest list a file as it is now, so that only what is inside it can show that it is another one."""
    path = stored / "manifest.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if line["file"] == file:
            line["bytes"] = (stored / file).stat().st_size
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (stored / "manifest.check").unlink(missing_ok=True)


def refused(stored: Path, file: str, *words: str) -> None:
    """Training, `read_run` and `verify` refuse the shard by name."""
    entry = entry_of(stored, file)
    for attempt in (lambda: train_on(stored), lambda: read_run(stored, entry, entry.start, entry.stop)):
        with pytest.raises(EpochbankError) as caught:
            attempt()
        assert file in str(caught.value)
        assert all(word in str(caught.value) for word in words), caught.value
    assert file in CliRunner().invoke(main, ["verify", str(stored), "--jobs", "1"]).stderr


def test_a_sound_set_is_read(stored: Path) -> None:
    """Without damage, all of it is."""
    assert len(train_on(stored).epochs) == len(CODECS)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("epoch-0000/0000000000.h5", "epoch-0001/0000000000.h5"),
        ("epoch-0002/0000000000.h5", "epoch-0002/0000000024.h5"),
        ("epoch-0003/0000000000.h5", "train/0000000000.h5"),
    ],
)
def test_exchanged_shards_are_refused(stored: Path, one: str, other: str) -> None:
    """Those of two epochs, of one epoch, and of an epoch and a split, even if their sizes fit."""
    shutil.copy(stored / other, stored / one)
    listed_with_its_bytes(stored, one)
    refused(stored, one, "it is another shard")


def test_exchanged_shards_of_an_earlier_version_are_refused(tmp_path: Path) -> None:
    """They lack the attribute `identity`, and are compared by the attributes that they have."""
    stored = Path(shutil.copytree(next(GOLDEN.glob("golden-*")), tmp_path / "golden"))
    train_on(stored)
    shutil.copy(stored / "train/0000000024.h5", stored / "epoch-0000/0000000024.h5")
    refused(stored, "epoch-0000/0000000024.h5", "its checksum is wrong")


def test_a_shard_of_another_seed_is_refused(stored: Path, tmp_path: Path) -> None:
    """All sets have the same names of files, so a botched restore would mix them."""
    other = tmp_path / "other"
    other.mkdir()
    file = "epoch-0000/0000000024.h5"
    shutil.copy(generate(other, "--epochs", 1, "--seed", 9) / file, stored / file)
    listed_with_its_bytes(stored, file)
    refused(stored, file, "it is another shard")


def test_a_filter_mask_is_refused(stored: Path) -> None:
    """A chunk that claims to be stored without its filter is not handed to the HDF5 library."""
    file = "epoch-0000/0000000000.h5"
    with h5py.File(stored / file, "r+") as opened:
        image = opened["image"]
        chunks = [image.id.read_direct_chunk((at, 0, 0, 0))[1] for at in (0, 8, 16)]
        opened.move("image", "before")
        image = opened.create_dataset("image", image.shape, np.uint8, chunks=image.chunks, **hdf5plugin.Zstd())
        for number, chunk in enumerate(chunks):
            image.id.write_direct_chunk((8 * number, 0, 0, 0), chunk, filter_mask=number % 2)
    listed_with_its_bytes(stored, file)
    refused(stored, file, "chunk 1 has filter mask 1; expected 0")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunks": (8, 12, 10, 1), "compression": "lzf"}, "HDF5 filters [32000]; expected [32015]"),
        ({"chunks": (8, 12, 10, 1), "compression": 32015, "shuffle": True}, "HDF5 filters [2, 32015]"),
        ({"chunks": (5, 12, 10, 1), "compression": 32015}, "chunks of (5, 12, 10, 1); expected (8, 12, 10, 1)"),
        ({"chunks": (8, 10, 12, 1), "shape": (24, 10, 12, 1)}, "HDF5 filters []"),
    ],
    ids=str,
)
def test_another_filter_is_refused(stored: Path, options: dict, message: str) -> None:
    """So are other chunks and other sizes of images, and a dataset that is none of images."""
    file = "epoch-0000/0000000000.h5"
    with h5py.File(stored / file, "r+") as opened:
        del opened["image"]
        opened.create_dataset("image", **{"shape": (24, 12, 10, 1), "dtype": np.uint8} | options)
    listed_with_its_bytes(stored, file)
    refused(stored, file, message)


@pytest.mark.parametrize("name", ["image", "label", "row", "checksum"])
def test_a_changed_dataset_is_refused(stored: Path, name: str) -> None:
    """A dataset of another type, length or dimension is refused."""
    file = "epoch-0000/0000000000.h5"
    for values in (np.zeros(24, np.float32), np.zeros(3, np.int32), np.zeros((2, 2)), "text"):
        with h5py.File(stored / file, "r+") as opened:
            del opened[name]
            opened[name] = values
        listed_with_its_bytes(stored, file)
        refused(stored, file, "cannot be read")


def test_shards_are_in_a_format_with_checksums(stored: Path) -> None:
    """HDF5's headers have checksums from version 2 of the object header on; nothing that is read is in a global heap.

    So a flipped bit in any attribute that has a fixed size is noticed by h5py itself.
    """
    path = stored / "epoch-0000/0000000000.h5"
    data = path.read_bytes()
    assert data.count(b"OHDR") >= 5
    at = data.index(b"epoch 0 0 24 ")
    path.write_bytes(data[:at] + b"E" + data[at + 1 :])
    with h5py.File(path) as opened, pytest.raises(KeyError, match="incorrect metadata checksum"):
        opened.attrs["identity"]


# --- Flipped bytes, in a process of their own: the HDF5 library may crash or loop -----------------------------


def campaign(stored: Path, file: str, start: int, step: int, mask: int, timeout: float) -> dict[str, int]:
    """Flip every `step`-th byte of a shard, read it each time, and return how often what happened."""
    words = [sys.executable, str(CAMPAIGN), str(stored), file, str(start), str(step), str(mask)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    return json.loads(done.stdout)


def only_refused_or_same(found: dict[str, int]) -> None:
    expected = {f"{kind}: {what}" for kind in ("stream", "run", "rejected") for what in ("refused", "same")}
    assert set(found) <= expected, found
    assert found["stream: refused"] > 0


@pytest.mark.parametrize("epoch", range(len(CODECS)), ids=list(CODECS))
def test_no_flipped_byte_serves_another_image(stored: Path, epoch: int) -> None:
    """A sample of all bytes of a shard of each codec: refused by name, or the images are the same."""
    only_refused_or_same(campaign(stored, f"epoch-{epoch:04d}/0000000000.h5", 13 * epoch + 5, 97, 1, 100))


@pytest.mark.parametrize("epoch", range(4))
def test_no_flipped_byte_of_an_earlier_version_serves_another_image(tmp_path: Path, epoch: int) -> None:
    """The same for the golden set: its headers and chunk index have no checksums. Its epochs have all codecs."""
    stored = Path(shutil.copytree(next(GOLDEN.glob("golden-*")), tmp_path / "golden"))
    only_refused_or_same(campaign(stored, f"epoch-{epoch:04d}/0000000000.h5", 7 * epoch, 97, 0xFF, 100))


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mask", [1, 0x80, 0xFF])
@pytest.mark.parametrize("epoch", range(4))
@pytest.mark.parametrize("golden", [False, True])
def test_no_flipped_byte_at_all_serves_another_image(stored: Path, golden: bool, epoch: int, mask: int) -> None:
    """Every byte of a shard of each codec and of both versions."""
    directory = stored.parent / "golden"
    if golden:
        shutil.copytree(next(GOLDEN.glob("golden-*")), directory)
    only_refused_or_same(
        campaign(directory if golden else stored, f"epoch-{epoch:04d}/0000000000.h5", 0, 1, mask, 1500)
    )
