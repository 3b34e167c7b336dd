"""The stream: what comes out of a set, whatever asks for it and in whichever order."""

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
import weakref
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import numbered, numbers
from epochbank.augment.cli import main
from epochbank.augment.errors import EpochbankError
from epochbank.train.feeding.augmented_set import AugmentedSet, open_set
from epochbank.train.reading.buffers import Buffers
from epochbank.train.reading.chunk_table import ChunkTable
from epochbank.train.streaming.batches import EvaluationBatches, TrainingBatches
from epochbank.train.streaming.order import windows, within
from epochbank.train.streaming.stream import Stream
from epochbank.train.streaming.windows import Decoder, Window


def make(source: Path, recipe: Path, sets: Path, *words: str) -> AugmentedSet:
    """A set of numbered pictures, opened."""
    command = ["run", str(source), "--recipe", str(recipe), "--sets", str(sets), "--jobs", "1", "--epochs", "2"]
    made = CliRunner().invoke(main, [*command, "--shard-size", "150", "--chunk-size", "16", *words])
    assert made.exit_code == 0, made.output
    return open_set(None, sets)


@pytest.fixture
def bank(numbered_npz: Path, nothing_recipe: Path, tmp_path: Path) -> AugmentedSet:
    return make(numbered_npz, nothing_recipe, tmp_path / "sets")


def training(bank: AugmentedSet, mix: float = 0.5, size: int = 64) -> TrainingBatches:
    return TrainingBatches(bank.images["train"], bank.epochs, size, mix)


def epoch_of(stream: Stream, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """All numbers and labels of a training epoch, in order."""
    parts = [stream.batch(epoch, number) for number in range(len(stream.batches))]
    return np.concatenate([numbers(pictures) for pictures, _ in parts]), np.concatenate([labels for _, labels in parts])


def train_numbers(bank: AugmentedSet) -> list[int]:
    """The numbers of the training pictures, ascending, from the clean part."""
    batches = EvaluationBatches("train", bank.images["train"], 100)
    return sorted(epoch_of(Stream(bank, batches, seed=None), 0)[0])


@pytest.mark.parametrize("codec", ["zstd", "lz4", "gzip", "none"])
def test_a_batch_is_what_was_stored(numbered_npz: Path, nothing_recipe: Path, tmp_path: Path, codec: str) -> None:
    """Every codec: pictures and labels belong together and are the source's."""
    bank = make(numbered_npz, nothing_recipe, tmp_path, "--codec", codec)
    pictures, labels = Stream(bank, training(bank), seed=0).batch(0, 3)
    assert (pictures.dtype, pictures.shape, labels.dtype, labels.shape) == (np.uint8, (64, 4, 4, 1), np.int32, (64,))
    assert np.array_equal(labels, numbers(pictures) % 5)


def test_each_epoch_every_picture_once_distorted_and_once_as_it_is(bank: AugmentedSet) -> None:
    """At mix 0.5 an epoch shows every training picture twice; at 0, and at 1, once."""
    expected = train_numbers(bank)
    for epoch in range(4):
        assert sorted(epoch_of(Stream(bank, training(bank, 0), seed=3), epoch)[0]) == expected
        assert sorted(epoch_of(Stream(bank, training(bank, 1), seed=3), epoch)[0]) == expected
        assert sorted(epoch_of(Stream(bank, training(bank), seed=3), epoch)[0]) == sorted(expected * 2)


def test_any_share_of_originals_goes_through_all_of_them_again_and_again(bank: AugmentedSet) -> None:
    """At mix 0.25 three epochs of originals together show every training picture exactly once."""
    stream = Stream(bank, training(bank, 0.25), seed=1)
    seen: Counter[int] = Counter()
    for epoch in range(3):
        seen.update(epoch_of(stream, epoch)[0].tolist())
    total = bank.images["train"]
    assert set(seen) == set(train_numbers(bank))
    assert sum(seen.values()) == 3 * total + 3 * (total // 3)
    assert set(seen.values()) <= {3, 4}


def test_distorted_and_original_come_from_where_they_should(npz: Path, tmp_path: Path) -> None:
    """At mix 1 pictures are undistorted; at 0 they are what the stored epochs hold, epoch e showing e mod N."""
    with np.load(npz) as arrays:
        originals = {picture.tobytes() for picture in arrays["images"]}
    made = CliRunner().invoke(main, ["run", str(npz), "--sets", str(tmp_path / "g"), "--jobs", "1", "--epochs", "2"])
    assert made.exit_code == 0
    bank = open_set(None, tmp_path / "g")
    shown = {}
    for mix in (0, 1):
        stream = Stream(bank, training(bank, mix, 32), seed=0)
        for epoch in range(3):
            batches = [stream.batch(epoch, number)[0] for number in range(len(stream.batches))]
            shown[mix, epoch] = {picture.tobytes() for picture in np.concatenate(batches)}
    assert all(shown[1, epoch] <= originals for epoch in range(3))
    assert len(shown[0, 0] & originals) < len(shown[0, 0]) / 20
    assert shown[0, 0] == shown[0, 2] != shown[0, 1]


def test_reuse_reshuffles(bank: AugmentedSet) -> None:
    """A stored epoch that is shown again comes in another order, and so do originals; another seed, another order."""
    for mix in (0, 1):
        stream = Stream(bank, training(bank, mix), seed=0)
        orders = [epoch_of(stream, epoch)[0].tolist() for epoch in (0, 2, 4)]
        orders.append(epoch_of(Stream(bank, training(bank, mix), seed=1), 0)[0].tolist())
        assert len({tuple(order) for order in orders}) == 4


def test_chunks_alone_may_be_shuffled(bank: AugmentedSet) -> None:
    """shuffle="chunks": every picture once in each epoch, in another order each time, and chunks stay whole."""
    stream = Stream(bank, training(bank, 0), seed=0, shuffle="chunks")
    stored = epoch_of(Stream(bank, training(bank, 0), seed=None), 0)[0].tolist()
    orders = [epoch_of(stream, epoch)[0].tolist() for epoch in (0, 2, 4)]
    assert len({tuple(order) for order in orders}) == 3
    for order in orders:
        assert sorted(order) == train_numbers(bank)
        follows = dict(pairwise(order))
        kept = sum(follows.get(one) == other for one, other in pairwise(stored))
        assert 0.9 * len(stored) * 15 / 16 < kept < len(stored) - 20
    labels = epoch_of(stream, 0)[1]
    assert np.array_equal(labels, np.array(orders[0]) % 5)
    with pytest.raises(EpochbankError, match="shuffle='rows'; expected one of pictures, chunks"):
        Stream(bank, training(bank), seed=0, shuffle="rows")  # type: ignore[arg-type]


def test_a_batch_depends_on_seed_epoch_and_number_alone(bank: AugmentedSet) -> None:
    """From many threads, in any order, with any number of threads, pickled or not: the same batches."""
    batches = training(bank)
    wanted = [(epoch, number) for epoch in range(3) for number in range(len(batches))]
    plain = {key: Stream(bank, batches, seed=5, threads=1, ahead=0).batch(*key) for key in wanted[::7]}
    stream = pickle.loads(pickle.dumps(Stream(bank, batches, seed=5, threads=3)))
    shuffled = np.random.default_rng(0).permutation(len(wanted))
    with ThreadPoolExecutor(4) as pool:
        got = dict(zip(wanted, pool.map(lambda at: stream.batch(*wanted[at]), range(len(wanted))), strict=True))
    for at in shuffled[:20]:
        got[wanted[at]] = stream.batch(*wanted[at])
    for key, (pictures, labels) in plain.items():
        assert np.array_equal(got[key][0], pictures)
        assert np.array_equal(got[key][1], labels)


def test_a_batch_is_the_callers_own(bank: AugmentedSet) -> None:
    """Arrays are new each time, aligned to 64 bytes, and writing to one changes no later batch."""
    stream = Stream(bank, training(bank), seed=0)
    first, _ = stream.batch(0, 0)
    kept = first.copy()
    first[:] = 255
    again, _ = stream.batch(0, 0)
    assert np.array_equal(again, kept)
    assert first.ctypes.data % 64 == again.ctypes.data % 64 == 0


def test_memory_is_bounded_and_nothing_is_leaked(bank: AugmentedSet) -> None:
    """Over hundreds of epochs neither decoded windows, nor open files, nor threads grow in number."""
    before = threading.active_count()
    stream = Stream(bank, training(bank), seed=0)
    counts = []
    for epoch in range(200):
        for number in range(0, len(stream.batches), 5):
            stream.batch(epoch, number)
        if epoch >= 20:
            counts.append((len(list(Path("/proc/self/fd").iterdir())), threading.active_count()))
            assert len(stream._decoder._windows) < 40
            assert len(stream._decoder._passes) < 10
            assert len(stream._made) + len(stream._decoder._pending) < 60
    files, threads = zip(*counts, strict=True)
    assert max(files) <= files[0] + 3
    assert max(threads) <= before + 16
    stream.close()


@pytest.fixture
def long_bank(nothing_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AugmentedSet:
    """800 pictures in 50 chunks, and windows of four chunks: a dozen and more a pass."""
    monkeypatch.setattr("epochbank.train.streaming.order._WINDOW_IMAGES", 64)
    np.savez(tmp_path / "long.npz", images=numbered(1000), labels=np.arange(1000) % 5)
    return make(tmp_path / "long.npz", nothing_recipe, tmp_path / "long")


@pytest.mark.parametrize("mix", [0, 0.5])
@pytest.mark.parametrize("reader", [None, 0, 1, 2])
@pytest.mark.parametrize("leaping", [False, True])
def test_what_is_forgotten_is_let_go(
    long_bank: AugmentedSet, mix: float, reader: int | None, leaping: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers whose share ends within a window, and consumers that leap about: no window is held for ever."""
    alive: weakref.WeakSet[Window] = weakref.WeakSet()
    real = Decoder._new

    def new(decoder: Decoder, *which: object) -> Window:
        window = real(decoder, *which)  # type: ignore[arg-type]
        alive.add(window)
        return window

    monkeypatch.setattr(Decoder, "_new", new)
    place = (0, 1) if reader is None else (reader, 3)
    batches = TrainingBatches(long_bank.images["train"], long_bank.epochs, 16, mix, *place)
    stream = Stream(long_bank, batches, seed=0, threads=2)
    counts, random = [], np.random.default_rng(0)
    for epoch in range(12):
        leaps = 1 + 2 * random.permutation(len(batches) // 2)
        for number in leaps if leaping else range(len(batches)):
            stream.batch(epoch, int(number))
        gc.collect()
        counts.append(len(alive))
    assert max(counts[6:]) <= max(counts[:6]) + 2
    assert max(counts) < 30


def test_decoding_ahead_keeps_to_the_readers_own(long_bank: AugmentedSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader among ten decodes little more than its own pictures: its windows, not those of its neighbours."""
    read = [0]
    real = ChunkTable.read

    def counting(table: ChunkTable, number: int, *rest: object) -> None:
        read[0] += int(table.images[number])
        real(table, number, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(ChunkTable, "read", counting)
    batches = TrainingBatches(long_bank.images["train"], long_bank.epochs, 8, 0, 4, 10)
    stream = Stream(long_bank, batches, seed=0, threads=1)
    for epoch in range(10):
        epoch_of(stream, epoch)
    stream.close()
    assert read[0] < 10 * (batches.own + 2 * 64) + 3 * 64


def test_a_forked_process_streams_on_its_own(bank: AugmentedSet) -> None:
    """Threads do not come along into a fork: the child starts its own, and ends."""
    stream = Stream(bank, training(bank), seed=0)
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


def test_outside_the_epoch_is_an_index_error(bank: AugmentedSet) -> None:
    """`batch(e, n)` with n outside raises, as a sequence should."""
    stream = Stream(bank, training(bank), seed=0)
    for number in (-1, len(stream.batches)):
        with pytest.raises(IndexError, match=f"batch {number}; expected 0 to"):
            stream.batch(0, number)


@pytest.mark.parametrize("codec", ["zstd", "lz4", "gzip", "none"])
def test_a_damaged_chunk_is_named_not_served(
    numbered_npz: Path, nothing_recipe: Path, tmp_path: Path, codec: str
) -> None:
    """One flipped bit anywhere in a chunk: an error with file, positions and remedy, in the thread that asked."""
    bank = make(numbered_npz, nothing_recipe, tmp_path, "--codec", codec)
    path = bank.path / bank.table("epoch", 1).shards[0].file
    with h5py.File(path) as file:
        chunk = file["image"].id.get_chunk_info(4)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 1
    path.write_bytes(data)
    stream = Stream(bank, training(bank, 0), seed=0)
    epoch_of(stream, 0)
    message = rf"{path.name}, chunk 4, positions 64 to 79 .* cannot be read: .*`augment verify` lists"
    with pytest.raises(EpochbankError, match=message):
        epoch_of(stream, 1)


def test_a_changed_label_is_not_served(bank: AugmentedSet) -> None:
    """Labels are under the chunk's checksum, too."""
    path = bank.path / bank.table("epoch", 0).shards[0].file
    with h5py.File(path, "r+") as file:
        file["label"][3] = (file["label"][3] + 1) % 5
    with pytest.raises(EpochbankError, match=r"positions 0 to 15 .* cannot be read: .*checksum"):
        epoch_of(Stream(bank, training(bank, 0), seed=0), 0)


def test_the_chunk_table_reads_what_h5py_reads(bank: AugmentedSet) -> None:
    """Read around the HDF5 library and through it: the same pictures and labels."""
    entries = [entry for entry in bank.entries if entry.part == "epoch" and entry.epoch == 0]
    table = ChunkTable(bank.path, entries, bank.shape)
    through = [h5py.File(bank.path / entry.file) for entry in sorted(entries, key=lambda entry: entry.start)]
    expected = np.concatenate([file["image"][()] for file in through])
    labels = np.concatenate([file["label"][()] for file in through])
    for file in through:
        file.close()
    at = 0
    for number, count in enumerate(table.images.tolist()):
        pictures, names = np.empty((count, *bank.shape), np.uint8), np.empty(count, np.int32)
        table.read(number, pictures, names)
        assert np.array_equal(pictures, expected[at : at + count])
        assert np.array_equal(names, labels[at : at + count])
        at += count
    assert at == len(expected)


def test_what_is_not_in_the_manifest_does_not_exist(bank: AugmentedSet) -> None:
    """An epoch with a shard less is not published; training on the others goes on, on it alone is refused."""
    manifest = bank.path / "manifest.jsonl"
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(line for line in lines if json.loads(line)["start"] != 150 or '"epoch":1' not in line))
    assert open_set(bank.path).epochs == (0,)
    manifest.write_text("".join(line for line in lines if '"part":"epoch"' not in line))
    with pytest.raises(EpochbankError, match="no published epoch"):
        open_set(bank.path)


@settings(max_examples=60, deadline=None)
@given(
    images=st.integers(1, 400),
    size=st.integers(1, 70),
    mix=st.sampled_from([0, 0.1, 0.25, 0.5, 0.75, 0.9, 1]),
    epochs=st.integers(1, 3),
)
def test_batches_of_an_epoch_cover_it(images: int, size: int, mix: float, epochs: int) -> None:
    """Whatever the sizes: leading pictures once each, originals without a gap over epochs, full batches full."""
    try:
        batches = TrainingBatches(images, tuple(range(epochs)), size, mix)
    except EpochbankError:
        assert 0 < mix < 1
        assert round(size * mix) in (0, size)
        return
    endless = 0
    for epoch in range(3):
        leading = []
        for number in range(len(batches)):
            first, *originals = batches.segments(epoch, number)
            leading += range(first.start, first.stop)
            for segment in originals:
                assert segment.passing * images + segment.start == endless
                endless += segment.stop - segment.start
            if number < len(batches) - 1:
                assert sum(segment.stop - segment.start for segment in (first, *originals)) == size
        assert leading == list(range(images))


@settings(max_examples=60, deadline=None)
@given(
    chunks=st.lists(st.integers(1, 300), min_size=1, max_size=50),
    chunk_bytes=st.sampled_from([1, 1 << 18, 1 << 22, 1 << 25]),
    key=st.one_of(st.none(), st.integers(0, 2**128 - 1)),
)
def test_windows_hold_every_chunk_once(chunks: list[int], chunk_bytes: int, key: int | None) -> None:
    """Any chunks: each is read once in a pass, windows join without a gap, and their inside is a permutation."""
    parted = windows(np.array(chunks), chunk_bytes, key)
    count = len(parted.starts) - 1
    read = np.concatenate([parted.chunks_of(window) for window in range(count)])
    assert sorted(read.tolist()) == list(range(len(chunks)))
    held = [sum(chunks[chunk] for chunk in parted.chunks_of(window)) for window in range(count)]
    assert np.diff(parted.starts).tolist() == held
    assert sorted(within(0, held[0], 7).tolist()) == list(range(held[0]))
    total = sum(chunks)
    assert list(parted.covering(0, total)) == list(range(count))
    assert list(parted.covering(total - 1, total)) == [count - 1]


def test_a_dropped_stream_lets_go_of_its_threads(bank: AugmentedSet) -> None:
    """Without `close`, threads end with the stream that started them."""
    before = set(threading.enumerate())
    stream = Stream(bank, training(bank), seed=0, threads=2)
    stream.batch(0, 0)
    started = set(threading.enumerate()) - before
    assert started
    del stream
    gc.collect()
    for thread in started:
        thread.join(10)
    assert not any(thread.is_alive() for thread in started)


def test_a_filter_that_is_not_ours_is_left_to_h5py(bank: AugmentedSet) -> None:
    """Shards that somebody packed anew, with another filter or in other chunks: the same batches."""
    expected = epoch_of(Stream(bank, training(bank), seed=2), 0)
    for number, shard in enumerate(bank.table("epoch", 0).shards):
        with h5py.File(bank.path / shard.file, "r+") as file:
            pictures = file["image"][()]
            del file["image"]
            chunks = ((16, 4, 4, 1), (5, 4, 4, 1))[number % 2]
            filters = (hdf5plugin.Blosc(), hdf5plugin.Zstd())[number % 2]
            file.create_dataset("image", data=pictures, chunks=chunks, **filters)
    again = epoch_of(Stream(open_set(bank.path), training(bank), seed=2), 0)
    assert np.array_equal(expected, again)


@pytest.mark.parametrize("pictures", [100, 128, 129, 1000])
@pytest.mark.parametrize("mix", [0, 0.25, 0.5, 1])
@pytest.mark.parametrize("drop_last", [False, True])
def test_readers_part_an_epoch(pictures: int, mix: float, drop_last: bool) -> None:
    """Several readers: the same number of batches, none empty, each picture once among all of them."""
    for readers in (1, 2, 3, 7):
        parts = [TrainingBatches(pictures, (0, 1), 8, mix, reader, readers, drop_last) for reader in range(readers)]
        assert len({len(part) for part in parts}) == 1
        for epoch in range(3):
            shown: Counter[tuple[str, int]] = Counter()
            for part in parts:
                for number in range(len(part)):
                    segments = part.segments(epoch, number)
                    count = sum(segment.stop - segment.start for segment in segments)
                    assert count == 8 if drop_last else 0 < count <= 8
                    shown.update((segments[0].part, at) for at in range(segments[0].start, segments[0].stop))
                assert part.shown == sum(
                    segment.stop - segment.start for n in range(len(part)) for segment in part.segments(epoch, n)
                )
            assert set(shown.values()) == {1}
            assert len(shown) == pictures or (drop_last and pictures - len(shown) < 8 * readers)


def test_readers_read_what_one_would(bank: AugmentedSet) -> None:
    """Streamed by three readers, an epoch's pictures are those of one, each by one of them."""
    whole = sorted(epoch_of(Stream(bank, training(bank, 0), seed=7), 1)[0])
    parts = [TrainingBatches(bank.images["train"], bank.epochs, 32, 0, reader, 3) for reader in range(3)]
    shown = [epoch_of(Stream(bank, part, seed=7), 1)[0] for part in parts]
    assert sorted(np.concatenate(shown)) == whole


def test_the_next_epoch_is_begun_while_this_one_ends(bank: AugmentedSet) -> None:
    """Once the last batch is delivered, the first ones of the next epoch wait already."""
    stream = Stream(bank, training(bank), seed=0, ahead=4)
    last = len(stream.batches) - 1
    for number in range(last + 1):
        stream.batch(0, number)
    waiting = set(stream._made)
    assert waiting >= {(1, number) for number in range(4)}
    for _ in range(200):
        if stream.depth() >= 4:
            return
        time.sleep(0.05)
    raise AssertionError(f"only {stream.depth()} batches were made ahead")


def test_a_closed_stream_lets_nobody_wait(bank: AugmentedSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a batch while the stream is closed is told, and so is whoever asks later."""
    stream = Stream(bank, training(bank), seed=0, threads=1)
    begun, go_on = threading.Event(), threading.Event()

    def stuck(*_: object) -> None:
        begun.set()
        go_on.wait(20)

    monkeypatch.setattr(ChunkTable, "read", stuck)
    with ThreadPoolExecutor(2) as pool:
        waits = pool.submit(stream.batch, 0, 0)
        assert begun.wait(10)
        closing = pool.submit(stream.close)
        time.sleep(0.1)
        go_on.set()
        closing.result(10)
        with pytest.raises(RuntimeError, match="closed"):
            waits.result(10)
    with pytest.raises(RuntimeError, match="closed"):
        stream.batch(0, 1)


def test_a_closed_stream_holds_no_pictures(bank: AugmentedSet) -> None:
    """Frameworks keep what feeds them: a closed stream that somebody keeps costs no memory."""
    stream = Stream(bank, training(bank), seed=0)
    for number in range(6):
        stream.batch(0, number)
    windows_ = weakref.WeakSet(stream._decoder._windows.values())
    assert windows_
    stream.close()
    gc.collect()
    assert not windows_


def test_a_read_that_failed_is_tried_again(bank: AugmentedSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails once fails that batch; asked again, the batch comes."""
    first = Stream(bank, training(bank), seed=0)
    expected = first.batch(0, 2)
    first.close()
    real, failures = ChunkTable.read, [EpochbankError("the network is away")] * 3

    def failing(*arguments: object) -> None:
        if failures:
            raise failures.pop()
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ChunkTable, "read", failing)
    stream = Stream(bank, training(bank), seed=0, threads=1, ahead=0)
    with pytest.raises(EpochbankError, match="the network is away"):
        stream.batch(0, 2)
    again = stream.batch(0, 2)
    assert all(np.array_equal(*pair) for pair in zip(expected, again, strict=True))


def test_a_slow_disk_is_read_from_many_threads(bank: AugmentedSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads that wait 10 ms each overlap, though only one thread computes: a network disk is hidden."""
    now, most, real = [0], [0], os.preadv
    lock = threading.Lock()

    def slow(descriptor: int, buffers: list[memoryview], offset: int, flags: int = 0) -> int:
        if flags:
            raise BlockingIOError(errno.EAGAIN, "not in the page cache")
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1
        return real(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", slow)
    stream = Stream(bank, training(bank), seed=0, threads=1)
    slowly = epoch_of(stream, 0)
    assert most[0] >= 4
    monkeypatch.undo()
    assert np.array_equal(slowly, epoch_of(Stream(bank, training(bank), seed=0), 0))


def test_memory_is_used_again_only_when_nobody_has_it() -> None:
    """A buffer whose array, or a view of it, is still held is never handed out a second time."""
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
def test_a_script_ends_with_its_threads_at_work(bank: AugmentedSet, ending: str) -> None:
    """Python's end does not hang or crash, whether the stream is kept, dropped or closed."""
    script = f"""
from epochbank.train.feeding.augmented_set import open_set
from epochbank.train.streaming.batches import TrainingBatches
from epochbank.train.streaming.stream import Stream
from epochbank.train.streaming.windows import Decoder, Window
bank = open_set({str(bank.path)!r})
stream = Stream(bank, TrainingBatches(bank.images["train"], bank.epochs, 8, 0.5), seed=0, ahead=60)
stream.batch(0, 0)
{ending}
print("done")
"""
    for _ in range(4):
        ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")
