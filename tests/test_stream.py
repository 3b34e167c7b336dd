"""The stream: the batches of a set, for any number of threads and any order of requests."""

import contextlib
import errno
import gc
import json
import os
import pickle
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import numbered, numbers
from epochbank.augment.cli import main
from epochbank.augment.errors import EpochbankError
from epochbank.augment.store.codec import CODECS
from epochbank.train.feeding.augmented_set import AugmentedSet, open_set
from epochbank.train.reading.buffers import Buffers
from epochbank.train.reading.chunk_table import ChunkTable
from epochbank.train.streaming.batches import EvaluationBatches, TrainingBatches
from epochbank.train.streaming.order import windows, within
from epochbank.train.streaming.pending_batch import PendingBatch
from epochbank.train.streaming.stream import Stream
from epochbank.train.streaming.windows import Window


def make(source: Path, recipe: Path, sets: Path, *options: str) -> AugmentedSet:
    """Generate a set of two epochs and open it."""
    command = ["run", str(source), "--recipe", str(recipe), "--sets", str(sets), "--jobs", "1", "--epochs", "2"]
    made = CliRunner().invoke(main, [*command, "--shard-size", "150", "--chunk-size", "16", *options])
    assert made.exit_code == 0, made.output
    return open_set(None, sets)


@pytest.fixture
def stored_set(numbered_npz: Path, nothing_recipe: Path, tmp_path: Path) -> AugmentedSet:
    return make(numbered_npz, nothing_recipe, tmp_path / "sets")


def training(stored_set: AugmentedSet, originals: float = 0.5, size: int = 64) -> TrainingBatches:
    return TrainingBatches(stored_set.num_images["train"], stored_set.epochs, size, originals)


def epoch_of(stream: Stream, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers and labels of the images of a training epoch, in order."""
    batches = [stream.batch(epoch, number) for number in range(len(stream.batches))]
    return np.concatenate([numbers(images) for images, _ in batches]), np.concatenate([labels for _, labels in batches])


def windows_in_memory() -> list[Window]:
    """Return the windows that something still refers to."""
    gc.collect()
    return [instance for instance in gc.get_objects() if isinstance(instance, Window)]


def train_numbers(stored_set: AugmentedSet) -> list[int]:
    """Return the numbers of the training images, ascending, from the undistorted split."""
    batches = EvaluationBatches("train", stored_set.num_images["train"], 100)
    return sorted(epoch_of(Stream(stored_set, batches, seed=None), 0)[0])


@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_contains_the_stored_images(
    numbered_npz: Path, nothing_recipe: Path, tmp_path: Path, codec: str
) -> None:
    """With every codec, images and labels are those of the source, and belong together."""
    stored_set = make(numbered_npz, nothing_recipe, tmp_path, "--codec", codec)
    images, labels = Stream(stored_set, training(stored_set), seed=0).batch(0, 3)
    assert (images.dtype, images.shape, labels.dtype, labels.shape) == (np.uint8, (64, 4, 4, 1), np.int32, (64,))
    assert np.array_equal(labels, numbers(images) % 5)


def test_an_epoch_shows_every_image(stored_set: AugmentedSet) -> None:
    """With originals=0.5 an epoch shows every training image twice, with 0 or 1 once."""
    expected = train_numbers(stored_set)
    for epoch in range(4):
        assert sorted(epoch_of(Stream(stored_set, training(stored_set, 0), seed=3), epoch)[0]) == expected
        assert sorted(epoch_of(Stream(stored_set, training(stored_set, 1), seed=3), epoch)[0]) == expected
        assert sorted(epoch_of(Stream(stored_set, training(stored_set), seed=3), epoch)[0]) == sorted(expected * 2)


def test_originals_are_shown_equally_often(stored_set: AugmentedSet) -> None:
    """With originals=0.25, the originals of three epochs together show every training image once."""
    stream = Stream(stored_set, training(stored_set, 0.25), seed=1)
    seen: Counter[int] = Counter()
    for epoch in range(3):
        seen.update(epoch_of(stream, epoch)[0].tolist())
    total = stored_set.num_images["train"]
    assert set(seen) == set(train_numbers(stored_set))
    assert sum(seen.values()) == 3 * total + 3 * (total // 3)
    assert set(seen.values()) <= {3, 4}


def test_originals_are_undistorted_and_the_others_are_not(npz: Path, tmp_path: Path) -> None:
    """With originals=1 images are those of the source; with 0 epoch e shows stored epoch e mod N."""
    with np.load(npz) as arrays:
        source = {image.tobytes() for image in arrays["images"]}
    made = CliRunner().invoke(main, ["run", str(npz), "--sets", str(tmp_path / "g"), "--jobs", "1", "--epochs", "2"])
    assert made.exit_code == 0
    stored_set = open_set(None, tmp_path / "g")
    shown = {}
    for originals in (0, 1):
        stream = Stream(stored_set, training(stored_set, originals, 32), seed=0)
        for epoch in range(3):
            batches = [stream.batch(epoch, number)[0] for number in range(len(stream.batches))]
            shown[originals, epoch] = {image.tobytes() for image in np.concatenate(batches)}
    assert all(shown[1, epoch] <= source for epoch in range(3))
    assert len(shown[0, 0] & source) < len(shown[0, 0]) / 20
    assert shown[0, 0] == shown[0, 2] != shown[0, 1]


def test_a_reused_epoch_is_shuffled_again(stored_set: AugmentedSet) -> None:
    """The order differs each time a stored epoch or the originals are shown, and with another seed."""
    for originals in (0, 1):
        stream = Stream(stored_set, training(stored_set, originals), seed=0)
        orders = [epoch_of(stream, epoch)[0].tolist() for epoch in (0, 2, 4)]
        orders.append(epoch_of(Stream(stored_set, training(stored_set, originals), seed=1), 0)[0].tolist())
        assert len({tuple(order) for order in orders}) == 4


def test_shuffling_whole_chunks(stored_set: AugmentedSet) -> None:
    """With shuffle="chunks" each epoch shows every image once, in a different order of whole chunks."""
    stream = Stream(stored_set, training(stored_set, 0), seed=0, shuffle="chunks")
    stored = epoch_of(Stream(stored_set, training(stored_set, 0), seed=None), 0)[0].tolist()
    orders = [epoch_of(stream, epoch)[0].tolist() for epoch in (0, 2, 4)]
    assert len({tuple(order) for order in orders}) == 3
    for order in orders:
        assert sorted(order) == train_numbers(stored_set)
        follows = dict(pairwise(order))
        kept = sum(follows.get(one) == other for one, other in pairwise(stored))
        assert 0.9 * len(stored) * 15 / 16 < kept < len(stored) - 20
    labels = epoch_of(stream, 0)[1]
    assert np.array_equal(labels, np.array(orders[0]) % 5)
    with pytest.raises(EpochbankError, match="shuffle='rows'; expected one of images, chunks"):
        Stream(stored_set, training(stored_set), seed=0, shuffle="rows")  # type: ignore[arg-type]


def test_a_batch_depends_on_seed_epoch_and_number_only(stored_set: AugmentedSet) -> None:
    """Batches do not depend on the threads, the order of requests, or whether the stream was pickled."""
    batches = training(stored_set)
    keys = [(epoch, number) for epoch in range(3) for number in range(len(batches))]
    plain = {key: Stream(stored_set, batches, seed=5, threads=1, prefetch=0).batch(*key) for key in keys[::7]}
    stream = pickle.loads(pickle.dumps(Stream(stored_set, batches, seed=5, threads=3)))
    shuffled = np.random.default_rng(0).permutation(len(keys))
    with ThreadPoolExecutor(4) as pool:
        got = dict(zip(keys, pool.map(lambda key: stream.batch(*key), keys), strict=True))
    for at in shuffled[:20]:
        got[keys[at]] = stream.batch(*keys[at])
    for key, (images, labels) in plain.items():
        assert np.array_equal(got[key][0], images)
        assert np.array_equal(got[key][1], labels)


def test_a_batch_belongs_to_the_caller(stored_set: AugmentedSet) -> None:
    """Arrays are new each time and aligned to 64 bytes, and writing to one changes no later batch."""
    stream = Stream(stored_set, training(stored_set), seed=0)
    first, _ = stream.batch(0, 0)
    kept = first.copy()
    first[:] = 255
    again, _ = stream.batch(0, 0)
    assert np.array_equal(again, kept)
    assert first.ctypes.data % 64 == again.ctypes.data % 64 == 0


def test_memory_is_bounded(stored_set: AugmentedSet) -> None:
    """Over 40 epochs the numbers of windows, pending batches, open files and threads do not grow."""
    before = threading.active_count()
    stream = Stream(stored_set, training(stored_set), seed=0)
    counts = []
    for epoch in range(40):
        for number in range(0, len(stream.batches), 5):
            stream.batch(epoch, number)
        if epoch >= 8 and epoch % 8 == 0:
            counts.append((len(list(Path("/proc/self/fd").iterdir())), threading.active_count()))
            assert len(windows_in_memory()) < 40
            assert sum(isinstance(instance, PendingBatch) for instance in gc.get_objects()) < 60
    files, threads = zip(*counts, strict=True)
    assert max(files) <= files[0] + 3
    assert max(threads) <= before + 16
    stream.close()


@pytest.fixture
def long_set(nothing_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AugmentedSet:
    """800 training images in 50 chunks, and windows of four chunks: more than a dozen windows per pass."""
    monkeypatch.setattr("epochbank.train.streaming.order.WINDOW_IMAGES", 64)
    np.savez(tmp_path / "long.npz", images=numbered(1000), labels=np.arange(1000) % 5)
    return make(tmp_path / "long.npz", nothing_recipe, tmp_path / "long")


@pytest.mark.parametrize(
    ("originals", "rank", "random_access"),
    [
        pytest.param(0, None, False, marks=pytest.mark.long),
        pytest.param(0.5, 1, False, marks=pytest.mark.long),
        pytest.param(0, 1, True, marks=pytest.mark.long),
        (0.5, None, True),
    ],
)
def test_old_windows_are_dropped(
    long_set: AugmentedSet, originals: float, rank: int | None, random_access: bool
) -> None:
    """No window is kept forever, also for ranks whose images end within a window, and with random access."""
    place = (0, 1) if rank is None else (rank, 3)
    batches = TrainingBatches(long_set.num_images["train"], long_set.epochs, 16, originals, *place)
    stream = Stream(long_set, batches, seed=0, threads=2)
    counts, random = [], np.random.default_rng(0)
    for epoch in range(8):
        order = 1 + 2 * random.permutation(len(batches) // 2)
        for number in order if random_access else range(len(batches)):
            stream.batch(epoch, int(number))
        counts.append(len(windows_in_memory()))
    assert max(counts[4:]) <= max(counts[:4]) + 2
    assert max(counts) < 30


def test_a_rank_decodes_only_its_own_windows(long_set: AugmentedSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of ten ranks decodes the windows of its images only."""
    read = [0]
    real = ChunkTable.read

    def counting(table: ChunkTable, number: int, *rest: object) -> None:
        read[0] += int(table.chunk_sizes[number])
        real(table, number, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(ChunkTable, "read", counting)
    batches = TrainingBatches(long_set.num_images["train"], long_set.epochs, 8, 0, 4, 10)
    stream = Stream(long_set, batches, seed=0, threads=1)
    for epoch in range(10):
        epoch_of(stream, epoch)
    stream.close()
    assert read[0] < 10 * (batches.rank_images + 2 * 64) + 3 * 64


def test_a_stream_works_after_a_fork(stored_set: AugmentedSet) -> None:
    """A forked process, which has none of the threads, starts new ones, and ends without hanging."""
    stream = Stream(stored_set, training(stored_set), seed=0)
    expected = stream.batch(0, 3)[0].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        status = 1
        with contextlib.suppress(BaseException):
            status = 0 if np.array_equal(stream.batch(0, 3)[0], expected) else 2
        os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert np.array_equal(stream.batch(0, 3)[0], expected)


def test_a_batch_number_out_of_range_is_an_index_error(stored_set: AugmentedSet) -> None:
    """`batch(e, n)` raises `IndexError` for n outside the epoch, as a sequence should."""
    stream = Stream(stored_set, training(stored_set), seed=0)
    for number in (-1, len(stream.batches)):
        with pytest.raises(IndexError, match=f"batch {number}; expected 0 to"):
            stream.batch(0, number)


@pytest.mark.parametrize("codec", CODECS)
def test_a_damaged_chunk_is_an_error(numbered_npz: Path, nothing_recipe: Path, tmp_path: Path, codec: str) -> None:
    """One flipped bit in a chunk raises an error in the calling thread, with the file, the positions and the fix."""
    stored_set = make(numbered_npz, nothing_recipe, tmp_path, "--codec", codec)
    path = stored_set.path / stored_set.table("epoch", 1).shards[0].file
    with h5py.File(path) as file:
        chunk = file["image"].id.get_chunk_info(4)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 1
    path.write_bytes(data)
    stream = Stream(stored_set, training(stored_set, 0), seed=0)
    epoch_of(stream, 0)
    message = rf"{path.name}, chunk 4, positions 64 to 79 .* cannot be read: .*`augment verify` lists"
    with pytest.raises(EpochbankError, match=message):
        epoch_of(stream, 1)


def test_a_changed_label_is_an_error(stored_set: AugmentedSet) -> None:
    """The checksum of a chunk covers its labels."""
    path = stored_set.path / stored_set.table("epoch", 0).shards[0].file
    with h5py.File(path, "r+") as file:
        file["label"][3] = (file["label"][3] + 1) % 5
    with pytest.raises(EpochbankError, match=r"positions 0 to 15 .* cannot be read: .*checksum"):
        epoch_of(Stream(stored_set, training(stored_set, 0), seed=0), 0)


def test_the_chunk_table_reads_what_h5py_reads(stored_set: AugmentedSet) -> None:
    """Reading without the HDF5 library and through it gives the same images and labels."""
    entries = [entry for entry in stored_set.entries if entry.split == "epoch" and entry.epoch == 0]
    table = ChunkTable(stored_set.path, entries, stored_set.shape)
    through = [h5py.File(stored_set.path / entry.file) for entry in sorted(entries, key=lambda entry: entry.start)]
    expected = np.concatenate([file["image"][()] for file in through])
    labels = np.concatenate([file["label"][()] for file in through])
    for file in through:
        file.close()
    at = 0
    for number, count in enumerate(table.chunk_sizes.tolist()):
        images, chunk_labels = np.empty((count, *stored_set.shape), np.uint8), np.empty(count, np.int32)
        table.read(number, images, chunk_labels)
        assert np.array_equal(images, expected[at : at + count])
        assert np.array_equal(chunk_labels, labels[at : at + count])
        at += count
    assert at == len(expected)


def test_only_epochs_in_the_manifest_are_published(stored_set: AugmentedSet) -> None:
    """An epoch with a missing shard is not published, and a set without a published epoch cannot be opened."""
    manifest = stored_set.path / "manifest.jsonl"
    (stored_set.path / "manifest.check").unlink()  # As in a set of an earlier version.
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(line for line in lines if json.loads(line)["start"] != 150 or '"epoch":1' not in line))
    assert open_set(stored_set.path).epochs == (0,)
    manifest.write_text("".join(line for line in lines if '"part":"epoch"' not in line))
    with pytest.raises(EpochbankError, match="no published epoch"):
        open_set(stored_set.path)


@settings(max_examples=60, deadline=None)
@given(
    num_images=st.integers(1, 400),
    size=st.integers(1, 70),
    originals=st.sampled_from([0, 0.1, 0.25, 0.5, 0.75, 0.9, 1]),
    epochs=st.integers(1, 3),
)
def test_batches_of_an_epoch_cover_it(num_images: int, size: int, originals: float, epochs: int) -> None:
    """For any sizes, each primary image is shown once, originals continue across epochs, and batches are full."""
    try:
        batches = TrainingBatches(num_images, tuple(range(epochs)), size, originals)
    except EpochbankError:
        assert 0 < originals < 1
        assert round(size * originals) in (0, size)
        return
    endless = 0
    for epoch in range(3):
        primary = []
        for number in range(len(batches)):
            first, *others = batches.segments(epoch, number)
            primary += range(first.start, first.stop)
            for segment in others:
                assert segment.pass_number * num_images + segment.start == endless
                endless += segment.stop - segment.start
            if number < len(batches) - 1:
                assert sum(segment.stop - segment.start for segment in (first, *others)) == size
        assert primary == list(range(num_images))


@settings(max_examples=60, deadline=None)
@given(
    chunks=st.lists(st.integers(1, 300), min_size=1, max_size=50),
    chunk_bytes=st.sampled_from([1, 1 << 18, 1 << 22, 1 << 25]),
    key=st.one_of(st.none(), st.integers(0, 2**128 - 1)),
)
def test_windows_contain_every_chunk_once(chunks: list[int], chunk_bytes: int, key: int | None) -> None:
    """A pass reads each chunk once, windows are contiguous, and the order within a window is a permutation."""
    divided = windows(np.array(chunks), chunk_bytes, key)
    count = len(divided.starts) - 1
    read = np.concatenate([divided.chunks_of(window) for window in range(count)])
    assert sorted(read.tolist()) == list(range(len(chunks)))
    sizes = [sum(chunks[chunk] for chunk in divided.chunks_of(window)) for window in range(count)]
    assert np.diff(divided.starts).tolist() == sizes
    assert sorted(within(0, sizes[0], 7).tolist()) == list(range(sizes[0]))
    total = sum(chunks)
    assert list(divided.covering(0, total)) == list(range(count))
    assert list(divided.covering(total - 1, total)) == [count - 1]


@settings(max_examples=100, deadline=None)
@given(
    shards=st.lists(st.lists(st.integers(1, 300), min_size=1, max_size=12), min_size=1, max_size=40),
    world_size=st.integers(2, 9),
    key=st.integers(0, 2**128 - 1),
)
def test_each_rank_needs_its_share_of_the_shards(shards: list[list[int]], world_size: int, key: int) -> None:
    """The chunks that a rank reads are those of its images, and come from no more shards than those must."""
    sizes = np.array([size for shard in shards for size in shard])
    shard_of = np.repeat(np.arange(len(shards)), [len(shard) for shard in shards])
    divided = windows(sizes, 1, key, np.bincount(shard_of), world_size=world_size)
    assert sorted(divided.chunks.tolist()) == list(range(len(sizes)))
    assert np.diff(divided.starts).tolist() == np.add.reduceat(sizes[divided.chunks], divided.firsts[:-1]).tolist()
    total, images_of = int(sizes.sum()), np.bincount(shard_of, sizes)
    for rank in range(world_size):
        first, last = rank * total // world_size, (rank + 1) * total // world_size
        read = [chunk for window in divided.covering(first, last) for chunk in divided.chunks_of(window)]
        assert sizes[read].sum() < last - first + 2 * sizes.max()
        # Without the two shards at its borders, all images of the others belong to the rank.
        opened = np.sort(images_of[np.unique(shard_of[read])])
        assert opened[: len(opened) - 2].sum() <= last - first


def test_ranks_see_other_images_of_one_shard_in_each_pass() -> None:
    sizes = np.full(64, 10)
    parts = [
        {chunk for window in divided.covering(0, 320) for chunk in divided.chunks_of(window)}
        for divided in (windows(sizes, 1, key, world_size=2) for key in range(8))
    ]
    assert all(len(part) == 32 for part in parts)
    assert all(len(one | other) > 40 for one, other in pairwise(parts))


def test_dropping_a_stream_stops_its_threads(stored_set: AugmentedSet) -> None:
    """Without `close`, the threads end when the stream is dropped."""
    before = set(threading.enumerate())
    stream = Stream(stored_set, training(stored_set), seed=0, threads=2)
    stream.batch(0, 0)
    started = set(threading.enumerate()) - before
    assert started
    del stream
    gc.collect()
    for thread in started:
        thread.join(10)
    assert not any(thread.is_alive() for thread in started)


@pytest.mark.parametrize("num_images", [100, 128, 129, 1000])
@pytest.mark.parametrize("originals", [0, 0.25, 0.5, 1])
@pytest.mark.parametrize("drop_last", [False, True])
def test_ranks_divide_an_epoch(num_images: int, originals: float, drop_last: bool) -> None:
    """All ranks have the same number of batches, none is empty, and together they show each image once."""
    for world_size in (1, 2, 3, 7):
        ranks = [
            TrainingBatches(num_images, (0, 1), 8, originals, rank, world_size, drop_last) for rank in range(world_size)
        ]
        assert len({len(batches) for batches in ranks}) == 1
        for epoch in range(3):
            shown: Counter[tuple[str, int]] = Counter()
            for batches in ranks:
                for number in range(len(batches)):
                    segments = batches.segments(epoch, number)
                    count = sum(segment.stop - segment.start for segment in segments)
                    assert count == 8 if drop_last else 0 < count <= 8
                    shown.update((segments[0].split, at) for at in range(segments[0].start, segments[0].stop))
                assert batches.shown(epoch) == sum(
                    segment.stop - segment.start for n in range(len(batches)) for segment in batches.segments(epoch, n)
                )
            assert set(shown.values()) == {1}
            assert len(shown) == num_images or (drop_last and num_images - len(shown) < 8 * world_size)


def test_ranks_stream_the_images_of_one_process(stored_set: AugmentedSet) -> None:
    """Three ranks together stream the images that a single process would, each image once."""
    whole = sorted(epoch_of(Stream(stored_set, training(stored_set, 0), seed=7), 1)[0])
    ranks = [TrainingBatches(stored_set.num_images["train"], stored_set.epochs, 32, 0, rank, 3) for rank in range(3)]
    shown = [epoch_of(Stream(stored_set, batches, seed=7), 1)[0] for batches in ranks]
    assert sorted(np.concatenate(shown)) == whole


def test_the_next_epoch_is_prefetched_at_the_end_of_an_epoch(stored_set: AugmentedSet) -> None:
    """After the last batch of an epoch, the first batches of the next one become ready without a request."""
    stream = Stream(stored_set, training(stored_set), seed=0, prefetch=4)
    for number in range(len(stream.batches)):
        stream.batch(0, number)
    end = time.monotonic() + 10
    while stream.depth() < 4 and time.monotonic() < end:
        time.sleep(0.05)
    assert stream.depth() == 4


def test_closing_a_stream_ends_waiting(stored_set: AugmentedSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that waits for a batch raises when the stream is closed, and so do later calls."""
    stream = Stream(stored_set, training(stored_set), seed=0, threads=1)
    begun, finish = threading.Event(), threading.Event()

    def stuck(*_: object) -> None:
        begun.set()
        finish.wait(20)

    monkeypatch.setattr(ChunkTable, "read", stuck)
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(stream.batch, 0, 0)
        assert begun.wait(10)
        closing = pool.submit(stream.close)
        time.sleep(0.1)
        finish.set()
        closing.result(10)
        with pytest.raises(RuntimeError, match="closed"):
            waiting.result(10)
    with pytest.raises(RuntimeError, match="closed"):
        stream.batch(0, 1)


def test_a_closed_stream_keeps_no_images(stored_set: AugmentedSet) -> None:
    """A framework may keep a closed stream, which then needs no memory for images."""
    earlier = len(windows_in_memory())  # TensorFlow keeps sequences of other tests of this process.
    stream = Stream(stored_set, training(stored_set), seed=0)
    for number in range(6):
        stream.batch(0, number)
    assert len(windows_in_memory()) > earlier
    stream.close()
    assert len(windows_in_memory()) == earlier


def test_a_failed_read_is_repeated(stored_set: AugmentedSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a read fails, the batch raises; the next request for the batch reads again."""
    first = Stream(stored_set, training(stored_set), seed=0)
    expected = first.batch(0, 2)
    first.close()
    real, failures = ChunkTable.read, [EpochbankError("the network is away")] * 3

    def failing(*arguments: object) -> None:
        if failures:
            raise failures.pop()
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ChunkTable, "read", failing)
    stream = Stream(stored_set, training(stored_set), seed=0, threads=1, prefetch=0)
    with pytest.raises(EpochbankError, match="the network is away"):
        stream.batch(0, 2)
    again = stream.batch(0, 2)
    assert all(np.array_equal(*pair) for pair in zip(expected, again, strict=True))


def test_a_slow_disk_is_read_from_many_threads(stored_set: AugmentedSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads that wait 10 ms each overlap, although only one thread may compute."""
    reading, peak, real = [0], [0], os.preadv
    lock = threading.Lock()

    def slow(descriptor: int, buffers: list[memoryview], offset: int, flags: int = 0) -> int:
        if flags:
            raise BlockingIOError(errno.EAGAIN, "not in the page cache")
        with lock:
            reading[0] += 1
            peak[0] = max(peak[0], reading[0])
        time.sleep(0.01)
        with lock:
            reading[0] -= 1
        return real(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", slow)
    stream = Stream(stored_set, training(stored_set), seed=0, threads=1)
    slowly = epoch_of(stream, 0)
    assert peak[0] >= 4
    monkeypatch.undo()
    assert np.array_equal(slowly, epoch_of(Stream(stored_set, training(stored_set), seed=0), 0))


def test_memory_is_reused_only_without_references() -> None:
    """A buffer is not reused while its array, or a view of it, still exists; at most three are kept."""
    buffers = Buffers(3)
    first = buffers.array((10, 4, 4, 1))
    place, view = first.ctypes.data, first[3:]
    assert place % 64 == 0
    del first
    second = buffers.array((10, 4, 4, 1))
    assert second.ctypes.data != place
    del view
    assert buffers.array((5, 4, 4, 1)).ctypes.data == place
    held = [buffers.array((7, 8, 8, 3)) for _ in range(20)]
    assert len({array.ctypes.data for array in held}) == 20
    assert len(buffers._kept) == 3


@pytest.mark.parametrize("ending", ["", "del stream", "stream.close()"])
def test_a_script_exits_while_threads_are_decoding(stored_set: AugmentedSet, ending: str) -> None:
    """The interpreter exits without a hang or a crash, whether the stream is kept, dropped or closed."""
    script = f"""
from epochbank.train.feeding.augmented_set import open_set
from epochbank.train.streaming.batches import TrainingBatches
from epochbank.train.streaming.stream import Stream
stored_set = open_set({str(stored_set.path)!r})
batches = TrainingBatches(stored_set.num_images["train"], stored_set.epochs, 8, 0.5)
stream = Stream(stored_set, batches, seed=0, prefetch=60)
stream.batch(0, 0)
{ending}
print("done")
"""
    for _ in range(4):
        ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")
