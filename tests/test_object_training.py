"""Training on sets in object stores: the same batches as from a local set, through a cache with a bound."""

import dataclasses
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from click.testing import CliRunner

import epochbank
from conftest import glyphs
from epochbank import EpochbankError
from epochbank.augment.shared.progress import size
from epochbank.augment.store.manifest import Entry, read_manifest
from epochbank.augment.store.objects import cache as cache_module
from epochbank.augment.store.objects.access import RemoteShards
from epochbank.augment.store.objects.bucket import Bucket
from epochbank.augment.store.objects.cache import ShardCache
from epochbank.augment.store.objects.faults import CacheFull, DamagedObject
from epochbank.augment.store.objects.layout import shard_object
from epochbank.augment.store.objects.locking import exclusive
from epochbank.augment.store.objects.remote_sets import open_mirror
from epochbank.train.cli import main
from epochbank.train.reading.chunk_table import ChunkTable
from epochbank.train.reading.shard_feed import Group, ShardFeed
from epochbank.train.streaming import order
from epochbank.train.streaming.batches import TrainingBatches
from epochbank.train.streaming.shard_groups import bytes_needed, check_cache, processes_here
from object_server import ObjectServer

pytest.importorskip("obstore")
pytestmark = pytest.mark.timeout(240)


def shard_bytes(stored: str) -> int:
    """Return the bytes of the largest shard of the originals."""
    return max(entry.bytes for entry in read_manifest(open_mirror(stored)) if entry.split == "train")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of 320 training images and three epochs, each in 32 shards of 10 images."""
    directory = tmp_path_factory.mktemp("sound")
    np.savez(directory / "a.npz", images=glyphs(400, (8, 8, 1)), labels=np.arange(400) % 4)
    return epochbank.generate(
        directory / "a.npz", epochs=3, sets=directory / "sets", jobs=1, shard_size=10, chunk_size=5, codec="none"
    ).path


@pytest.fixture(scope="module")
def stored(sound: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a copy of the set in a directory."""
    url = f"file://{tmp_path_factory.mktemp('store')}/{sound.name}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EPOCHBANK_CACHE", str(tmp_path_factory.mktemp("copying")))
        epochbank.copy_set(sound, url)
    return url


@pytest.fixture(autouse=True)
def default_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EPOCHBANK_CACHE", str(tmp_path / "default"))


def batches(data: epochbank.AugmentedSet, epochs: int = 3, batch_size: int = 64, **options: Any) -> list[np.ndarray]:
    return [images for images, _ in data.batches(batch_size, seed=1, epochs=epochs, threads=2, **options)]


def equal(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def bytes_in(cache: Path) -> int:
    """Return the bytes of all shards, finished or not, while nothing is evicted or begun."""
    if not (cache / ".lock").exists():
        return 0
    found = {}
    with exclusive(cache / ".lock"):
        for path in cache.rglob("*.h5"):
            with suppress(FileNotFoundError):
                if path.name != "split.h5":
                    found[path.stat().st_ino] = path.stat().st_size
    return sum(found.values())


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of 20 images, two shards, of which a pass has sixteen, as one of a large set has many."""
    monkeypatch.setattr(order, "WINDOW_IMAGES", 20)


@pytest.mark.parametrize("shuffle", ["images", "chunks", "shards"])
def test_batches_are_those_of_a_local_set(sound: Path, stored: str, tmp_path: Path, shuffle: Any) -> None:
    """Every order is a pure function of the set and the seed, wherever the set is."""
    local, remote = epochbank.open_set(sound), epochbank.open_set(stored, cache=tmp_path / "cache")
    assert remote.name == stored
    assert equal(batches(local, shuffle=shuffle), batches(remote, shuffle=shuffle))
    for split in ("validation", "test"):
        ours, theirs = local.split(split, 16), remote.split(split, 16)
        assert all(np.array_equal(ours[at][0], theirs[at][0]) for at in range(len(ours)))


def test_torch_reads_from_a_store(sound: Path, stored: str, tmp_path: Path) -> None:
    """`to_torch` gives the batches of the local set."""
    pytest.importorskip("torch")
    local, remote = (
        [images.numpy() for images, _ in data.to_torch(64)]
        for data in (epochbank.open_set(sound), epochbank.open_set(stored, cache=tmp_path / "shards"))
    )
    assert equal(remote, local)


def test_the_cache_is_checked_for_the_part_of_a_worker(stored: str, tmp_path: Path) -> None:
    """Workers of a `DataLoader` read parts of the batches; the size of the cache is checked for the whole."""
    data = epochbank.open_set(stored, cache=tmp_path / "shards", cache_size=20_000)
    whole = TrainingBatches(data.num_images["train"], data.epochs, 64, 0.5)
    with pytest.raises(EpochbankError, match="a smaller cache would fetch"):
        check_cache(data, cast(Any, SimpleNamespace(whole=whole, batch_size=64)), "images", 8)


def needed(stored: str, shuffle: Any = "images", originals: float = 0.5) -> int:
    entries = read_manifest(open_mirror(stored))
    return bytes_needed(entries, range(3), originals, shuffle, 9 * 16)


def test_a_cache_of_the_needed_size_fetches_each_shard_once_a_pass(
    sound: Path, stored: str, tmp_path: Path, small_windows: None
) -> None:
    """Two of three epochs fit; each shard is fetched once, and the bound is kept all the time."""
    size = needed(stored)
    data = epochbank.open_set(stored, cache=tmp_path / "cache", cache_size=size)
    most, ends = [0], threading.Event()

    def watch() -> None:
        while not ends.is_set():
            most[0] = max(most[0], bytes_in(tmp_path / "cache"))
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        found = batches(data, epochs=3)
    finally:
        ends.set()
        watcher.join()
    assert equal(found, batches(epochbank.open_set(sound), epochs=3))
    shown = [entry.bytes for entry in read_manifest(sound) if entry.split in ("epoch", "train")]
    assert sum(shown) > size
    assert most[0] <= size
    assert data.remote is not None
    # Beside each shard once, at most the epoch that follows the last one.
    assert sum(shown) <= data.remote.cache.fetched_bytes <= sum(shown) + max(shown) * 33


def test_nodes_fetch_an_epoch_once_among_them(sound: Path, stored: str, tmp_path: Path, small_windows: None) -> None:
    """Each of two nodes has a cache for half an epoch and half of the next one."""
    entries = read_manifest(sound)
    distorted = [entry.bytes for entry in entries if entry.split == "epoch"]
    size, whole = (bytes_needed(entries, range(3), 0, "images", 9 * 16, 1, world_size) for world_size in (2, 1))
    assert size < whole
    fetched, shown = 0, []
    for rank in range(2):
        data = epochbank.open_set(stored, cache=tmp_path / f"node-{rank}", cache_size=size)
        options = {"batch_size": 16, "originals": 0, "world_size": 2}
        shown += [image.tobytes() for batch in batches(data, rank=rank, **options) for image in batch]
        assert data.remote is not None
        fetched += data.remote.cache.fetched_bytes
    expected = batches(epochbank.open_set(sound), originals=0)
    assert sorted(shown) == sorted(image.tobytes() for batch in expected for image in batch)
    # Beside all epochs once: the one that follows the last one, and the shards at the border of each pass.
    assert fetched <= sum(distorted) * 4 / 3 + 2 * 4 * 2 * max(distorted) < 2 * sum(distorted)


def test_a_cache_that_is_too_small_is_refused_with_the_fix(stored: str, tmp_path: Path, small_windows: None) -> None:
    """The message has the bytes that are needed; `shuffle="shards"` needs fewer, and is refused below these."""
    size = needed(stored) - 1
    data = epochbank.open_set(stored, cache=tmp_path / "cache", cache_size=size)
    with pytest.raises(
        EpochbankError, match=r"a stored epoch, the next one and the originals of file.*Use --cache-siz"
    ):
        batches(data, batch_size=16)
    less = needed(stored, "shards")
    assert less < size
    data = epochbank.open_set(stored, cache=tmp_path / "cache", cache_size=less)
    assert len(batches(data, batch_size=16, shuffle="shards")) == 120
    assert bytes_in(tmp_path / "cache") <= less
    data = epochbank.open_set(stored, cache=tmp_path / "cache", cache_size=less - 1)
    with pytest.raises(EpochbankError, match="a few shards at a time"):
        batches(data, batch_size=16, shuffle="shards")


@pytest.mark.parametrize(
    ("environment", "world_size", "processes"),
    [
        ({}, 8, 1), ({"LOCAL_WORLD_SIZE": "4"}, 8, 4), ({"LOCAL_WORLD_SIZE": "4"}, 1, 1),
        ({"SLURM_STEP_TASKS_PER_NODE": "3(x2),2"}, 8, 3), ({"SLURM_STEP_TASKS_PER_NODE": "2"}, 2, 2),
        ({"LOCAL_WORLD_SIZE": "2", "SLURM_STEP_TASKS_PER_NODE": "1"}, 8, 2),
    ],
)  # fmt: skip
def test_the_launcher_says_how_many_ranks_a_machine_has(
    environment: dict[str, str], world_size: int, processes: int
) -> None:
    assert processes_here(environment, world_size) == processes


def test_the_cache_is_checked_for_all_ranks_of_the_machine(
    stored: str, tmp_path: Path, small_windows: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rank is in another part of an epoch, and needs a few shards of its own; never more than the whole set."""
    entries = read_manifest(open_mirror(stored))
    one, two, many = (bytes_needed(entries, range(3), 0.5, "shards", 16, count) for count in (1, 2, 100))
    assert one < two < many == needed(stored)
    distorted = [entry for entry in entries if entry.split == "epoch"]
    one_rank, two_ranks = (bytes_needed(distorted, range(3), 0, "shards", 16, count) for count in (1, 2))
    assert two_ranks == 2 * one_rank
    # Two groups of shards are more than the sixteenth part of an epoch, and are needed as a whole.
    assert bytes_needed(entries, range(3), 0.5, "shards", 16, 1, 16) == one
    assert bytes_needed(entries, range(3), 0.5, "shards", 16, 1, 1, 2) > one
    data = epochbank.open_set(stored, cache=tmp_path / "cache", cache_size=one + 1000)
    ranks = TrainingBatches(data.num_images["train"], data.epochs, 4, 0.5, rank=0, world_size=2)
    check_cache(data, ranks, "shards", 3)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(EpochbankError, match="a few shards at a time for each of the 2 processes of this machine"):
        check_cache(data, ranks, "shards", 3)


def test_shards_shuffles_images_and_shows_each_once(stored: str, tmp_path: Path) -> None:
    """An epoch shows every image once, in another order in each pass."""
    data = epochbank.open_set(stored, cache=tmp_path / "cache")
    passes = [
        np.concatenate(batches(data, epochs=1, first_epoch=epoch, originals=1, shuffle="shards")) for epoch in (0, 1)
    ]
    assert not np.array_equal(passes[0], passes[1])
    one, other = (np.unique(each.reshape(len(each), -1), axis=0, return_counts=True) for each in passes)
    assert np.array_equal(one[0], other[0])
    assert np.array_equal(one[1], other[1])


def test_nothing_is_fetched_twice_by_a_second_training(stored: str, tmp_path: Path) -> None:
    """A warm cache needs the store only for the manifest."""
    first = epochbank.open_set(stored, cache=tmp_path / "cache")
    batches(first, epochs=3)
    second = epochbank.open_set(stored, cache=tmp_path / "cache")
    batches(second, epochs=3)
    assert first.remote is not None
    assert second.remote is not None
    assert first.remote.cache.fetched_bytes > 0
    assert second.remote.cache.fetched_bytes == 0


def test_damaged_files_in_the_cache_are_fetched_again(sound: Path, stored: str, tmp_path: Path) -> None:
    """Shards that somebody changed or removed are replaced, and training does not end."""
    data = epochbank.open_set(stored, cache=tmp_path / "cache")
    batches(data, epochs=1)
    files = sorted((tmp_path / "cache").rglob("epoch-0000/[0-9]*.h5"))
    files[0].write_bytes(bytes(files[0].stat().st_size))
    files[1].unlink()
    content = bytearray(files[2].read_bytes())
    content[len(content) // 2] ^= 1
    files[2].write_bytes(content)
    again = epochbank.open_set(stored, cache=tmp_path / "cache")
    assert equal(batches(again, epochs=1), batches(epochbank.open_set(sound), epochs=1))


def _stream(url: str, cache: Path, size: int, first_epoch: int, results: Any) -> None:
    data = epochbank.open_set(url, cache=cache, cache_size=size)
    stream = data.batches(64, seed=1, epochs=3, first_epoch=first_epoch, threads=1)
    count = sum(len(images) for images, _ in stream)
    assert data.remote is not None
    results.put((count, data.remote.cache.fetched_bytes))


@pytest.mark.parametrize("damage", ["removed", "changed"])
def test_two_threads_that_meet_a_damaged_file_fetch_it_once(
    stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """Both have failed before the first one fetches it; the second one uses what the first one has fetched."""
    data = epochbank.open_set(stored, cache=tmp_path / "cache")
    table, remote = data.table("train", 0), data.remote
    assert remote is not None
    entry = table.shards[0]
    chunks = [(np.empty((5, 8, 8, 1), np.uint8), np.empty(5, np.int32)) for _ in range(2)]
    table.read(0, *chunks[0])
    path = data.path / entry.file
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(bytes(entry.bytes))
    read, both, failed = ChunkTable._read_chunk, threading.Barrier(2), []

    def fail_together(self: ChunkTable, *given: Any) -> None:
        try:
            read(self, *given)
        except EpochbankError as error:
            failed.append(error)
            both.wait(30)
            raise

    monkeypatch.setattr(ChunkTable, "_read_chunk", fail_together)
    before = remote.cache.fetched_bytes
    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(table.read, number, *chunks[number]) for number in (0, 1)]:
            done.result(60)
    assert len(failed) == 2
    assert remote.cache.fetched_bytes - before == entry.bytes


def test_a_shard_is_read_while_the_process_that_fetched_it_still_locks_it(stored: str, tmp_path: Path) -> None:
    """The lock is released after the file has its name."""
    data = epochbank.open_set(stored, cache=tmp_path / "cache")
    entry = data.table("train", 0).shards[0]
    assert data.remote is not None
    data.remote.fetch(entry)
    with exclusive(data.path / entry.file):
        data.table("train", 0).read(0, np.empty((5, 8, 8, 1), np.uint8), np.empty(5, np.int32))


def test_only_a_damaged_file_is_dropped(stored: str, tmp_path: Path) -> None:
    """Another process may have fetched it again in the meantime."""
    cache = ShardCache(tmp_path / "cache")
    directory, bucket = open_mirror(stored, cache), Bucket(stored)
    entry = read_manifest(directory)[0]
    path = directory / entry.file
    cache.drop(directory, entry)
    cache.fetch(directory, bucket, entry)
    cache.drop(directory, entry)
    assert path.exists()
    path.write_bytes(bytes(entry.bytes))
    cache.drop(directory, entry)
    assert not path.exists()


@pytest.mark.long
@pytest.mark.parametrize("apart", [0, 1])
def test_processes_share_a_cache(stored: str, tmp_path: Path, apart: int) -> None:
    """Three processes keep the bound together, and fetch little more than one.

    If they are an epoch apart, all their epochs do not fit into the cache, so that one waits for the others.
    """
    size = needed(stored) * 5 // 4
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [
        context.Process(target=_stream, args=(stored, tmp_path / "cache", size, apart * number, results))
        for number in range(3)
    ]
    for process in processes:
        process.start()
    most = 0
    while any(process.is_alive() for process in processes):
        most = max(most, bytes_in(tmp_path / "cache"))
        time.sleep(0.01)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    found = [results.get(timeout=5) for _ in processes]
    assert {count for count, _ in found} == {3 * 2 * 320}
    assert 0 < most <= size
    assert not list((tmp_path / "cache/claims").iterdir())
    shown = [entry.bytes for entry in read_manifest(open_mirror(stored)) if entry.split in ("epoch", "train")]
    assert apart or sum(fetched for _, fetched in found) <= 2 * sum(shown)


def test_a_forked_process_reads_through_another_one(stored: str, tmp_path: Path) -> None:
    """obstore's threads are not forked: a call in the child would wait forever."""
    data = epochbank.open_set(stored, cache=tmp_path / "cache")
    process = os.fork()
    if not process:
        code = 1
        try:
            next(iter(data.batches(64, epochs=1, threads=1)))
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


def test_a_pickled_set_reads_from_the_same_cache(sound: Path, stored: str, tmp_path: Path) -> None:
    data = epochbank.open_set(stored, cache=tmp_path / "cache", cache_size=10**9)
    copy = pickle.loads(pickle.dumps(data))
    assert copy.remote.cache.root == tmp_path / "cache"
    assert equal(batches(copy, epochs=1), batches(epochbank.open_set(sound), epochs=1))


def test_shards_in_use_are_not_evicted(stored: str, tmp_path: Path) -> None:
    """The least recently used one goes first; if all are in use, the message says so."""
    directory, bucket = open_mirror(stored), Bucket(stored)
    entries = [entry for entry in read_manifest(directory) if entry.split == "epoch"][:4]
    size = sum(entry.bytes for entry in entries) - 1
    cache = ShardCache(tmp_path / "cache", size)
    directory = open_mirror(stored, cache)
    cache.claim(directory, entries[:1])
    for entry in entries:
        cache.fetch(directory, bucket, entry)
        time.sleep(0.01)
    assert [(directory / entry.file).exists() for entry in entries] == [True, False, True, True]
    other = ShardCache(tmp_path / "cache", size)
    other.claim(directory, entries[2:])
    with pytest.raises(CacheFull, match="are in use"):
        cache.fetch(directory, bucket, entries[1])
    del other
    cache.fetch(directory, bucket, entries[1])


def claimed_pair(stored: str, tmp_path: Path) -> tuple[list[ShardCache], Path, list[list[Entry]]]:
    """Two processes' views of a cache of three shards, of which each needs two others at the same time."""
    caches = [ShardCache(tmp_path / "cache", 3 * shard_bytes(stored)) for _ in range(2)]
    directory = open_mirror(stored, caches[0])
    entries = [entry for entry in read_manifest(directory) if entry.split == "train"][:4]
    groups = [entries[:2], entries[2:]]
    for cache, group in zip(caches, groups, strict=True):
        cache.claim(directory, group)
    return caches, directory, groups


def test_two_processes_do_not_wait_for_each_other_forever(stored: str, tmp_path: Path) -> None:
    """If each had a part of what it needs, none could continue: the second one begins once there is room for all."""
    (one, other), directory, (first, second) = claimed_pair(stored, tmp_path)
    bucket = Bucket(stored)
    one.fetch(directory, bucket, first[0])
    used, all_bytes = size(sum(entry.bytes for entry in first)), size(one.size)
    with pytest.raises(CacheFull, match=rf"that are needed together with train.* {used} of {all_bytes} are in use"):
        other.fetch(directory, bucket, second[0])
    one.fetch(directory, bucket, first[1])
    one.release(directory, first)
    for entry in second:
        other.fetch(directory, bucket, entry)
    assert all((directory / entry.file).exists() for entry in second)
    other.release(directory, second)
    other.claim(directory, first)
    one.claim(directory, first)  # What another process uses, too, needs no more room.
    for cache in (one, other):
        cache.fetch(directory, bucket, first[1])


def test_a_process_that_waits_for_room_says_so(
    stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cache_module, "_SECONDS_OF_SILENCE", 0.2)
    (one, other), directory, (first, second) = claimed_pair(stored, tmp_path)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(other.fetch_needed, directory, Bucket(stored), second[0])
        errors = ""
        while "waiting until other shards are released: the cache" not in errors:  # The test has a time limit.
            time.sleep(0.05)
            errors += capfd.readouterr().err
        time.sleep(0.3)
        assert not waiting.done()
        one.release(directory, first)
        waiting.result(30)
    assert (errors + capfd.readouterr().err).count("waiting until") == 1


def test_a_shard_that_another_group_has_already_does_not_wait(stored: str, tmp_path: Path) -> None:
    """Two passes overlap: the second one needs a shard of the first one, and others, for which there is no room yet."""
    cache = ShardCache(tmp_path / "cache", 2 * shard_bytes(stored))
    directory, bucket = open_mirror(stored, cache), Bucket(stored)
    entries = [entry for entry in read_manifest(directory) if entry.split == "train"][:3]
    cache.claim(directory, entries[:2])
    cache.claim(directory, entries[1:])
    cache.fetch(directory, bucket, entries[1])
    with pytest.raises(CacheFull):
        cache.fetch(directory, bucket, entries[2])


def test_a_group_that_waits_for_room_is_fetched_in_advance_afterwards(stored: str, tmp_path: Path) -> None:
    """Nothing asks for its shards in the meantime."""
    (one, other), directory, (first, second) = claimed_pair(stored, tmp_path)
    other.release(directory, second)
    feed = ShardFeed(RemoteShards(directory, Bucket(stored), other), lambda: None)
    try:
        feed.use(Group((("train", 0, 0, 0), 0), second), None)
        time.sleep(0.5)
        assert not any((directory / entry.file).exists() for entry in second)
        one.release(directory, first)
        while not all((directory / entry.file).exists() for entry in second):  # The test has a time limit.
            time.sleep(0.05)
    finally:
        feed.close()


def test_what_is_fetched_again_before_it_was_used_is_reported_once(
    stored: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two trainings that evict each other's shards; the next pass over the same shards is no repetition."""
    caches = [ShardCache(tmp_path / "cache", 3 * shard_bytes(stored)) for _ in range(2)]
    directory, bucket = open_mirror(stored, caches[0]), Bucket(stored)
    entries = [entry for entry in read_manifest(directory) if entry.split == "train"][:6]
    for cache, group in ((caches[0], entries[:3]), (caches[1], entries[3:]), (caches[0], entries[:3])):
        for entry in group:  # In advance, so it is not claimed.
            cache.fetch(directory, bucket, entry)
    twice = sum(entry.bytes for entry in entries[:3])
    assert [cache.refetched_bytes for cache in caches] == [twice, 0]
    for _ in range(2):
        for cache in caches:
            cache.claim(directory, entries[:3])
            for entry in entries[:3]:
                cache.fetch(directory, bucket, entry)
            cache.release(directory, entries[:3])
    errors = capfd.readouterr().err
    assert errors.count("were fetched again, because they were evicted from the cache") == 1
    assert f"{size(twice)} of shards" in errors
    larger = f"Use a larger --cache-size than {size(caches[0].size)}, or another --cache directory for each training"
    assert larger in errors
    for group in (entries[3:], entries[:3]):
        for entry in group:
            caches[0].fetch(directory, bucket, entry)
    assert caches[0].refetched_bytes == twice


def in_fork(call: Callable[[], None]) -> str:
    """Return class and text of what `call` raises in a forked process; '' if nothing."""
    reader, writer = os.pipe()
    process = os.fork()
    if not process:
        with suppress(BaseException):
            try:
                call()
            except BaseException as error:
                os.write(writer, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as found:
        text = found.read()
    os.waitpid(process, 0)
    return text


@pytest.mark.long
def test_errors_in_a_forked_process_are_those_of_a_single_one(
    stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full cache, and a shard that is damaged in the store: the same class and the same text."""
    monkeypatch.setenv("EPOCHBANK_OBJECTS_TIMEOUT", "1")
    cache = ShardCache(tmp_path / "cache", 2 * shard_bytes(stored))
    directory, bucket = open_mirror(stored, cache), Bucket(stored)
    entries = [entry for entry in read_manifest(directory) if entry.split == "train"][:3]
    damaged = dataclasses.replace(entries[0], checksum="0" * 32)
    with pytest.raises(DamagedObject) as missing:
        cache.fetch(directory, bucket, damaged)
    cache.claim(directory, entries[:2])
    for entry in entries[:2]:
        cache.fetch(directory, bucket, entry)
    with pytest.raises(CacheFull) as full:
        cache.fetch_needed(directory, bucket, entries[2])
    assert in_fork(lambda: cache.fetch_needed(directory, bucket, entries[2])) == f"CacheFull: {full.value}"
    cache.release(directory, entries[:2])
    assert in_fork(lambda: cache.fetch(directory, bucket, entries[2])) == ""
    assert (directory / entries[2].file).exists()
    lost = Path(bucket.url.removeprefix("file://"), shard_object(entries[0]))
    content = lost.read_bytes()
    (directory / entries[0].file).unlink(missing_ok=True)
    try:
        lost.unlink()
        assert in_fork(lambda: cache.fetch(directory, bucket, entries[0])) == str(
            f"DamagedObject: {missing.value}".replace(shard_object(damaged), shard_object(entries[0]))
        )
    finally:
        lost.write_bytes(content)


@pytest.mark.long
def test_a_forked_process_can_release_shards_while_it_waits_for_room(
    stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread of it waits in the helper process, and another thread makes the room."""
    monkeypatch.setenv("EPOCHBANK_OBJECTS_TIMEOUT", "20")
    cache = ShardCache(tmp_path / "cache", 2 * shard_bytes(stored))
    directory, bucket = open_mirror(stored, cache), Bucket(stored)
    entries = [entry for entry in read_manifest(directory) if entry.split == "train"][:3]

    def wait_and_release() -> None:
        cache.claim(directory, entries[:2])
        for entry in entries[:2]:
            cache.fetch(directory, bucket, entry)
        begun = time.monotonic()
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(cache.fetch_needed, directory, bucket, entries[2])
            time.sleep(1)
            cache.release(directory, entries[:2])
            waiting.result()
        assert time.monotonic() - begun < 10

    assert in_fork(wait_and_release) == ""


def test_a_transfer_that_was_cut_off_leaves_nothing_visible(
    sound: Path, server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is closed in the middle is continued; wrong bytes are refused, twice."""
    url = f"s3://bucket/{sound.name}"
    epochbank.copy_set(sound, url)
    cache = ShardCache(tmp_path / "cache")
    directory, entry = open_mirror(url, cache), read_manifest(sound)[0]
    server.cut_off = 2
    cache.fetch(directory, Bucket(url), entry)
    assert (directory / entry.file).read_bytes() == (sound / entry.file).read_bytes()
    (directory / entry.file).unlink()
    (name,) = server.names(entry.checksum)
    server.objects[name] = b"x" * entry.bytes
    with pytest.raises(EpochbankError, match="was changed: its checksum or size is wrong"):
        cache.fetch(directory, Bucket(url), entry)
    assert not list((directory / entry.file).parent.iterdir())
    del server.objects[name]
    with pytest.raises(EpochbankError, match="does not exist, but the manifest lists it"):
        cache.fetch(directory, Bucket(url), entry)


@pytest.mark.long
def test_the_first_batch_needs_few_shards(sound: Path, server: ObjectServer, tmp_path: Path) -> None:
    """Training begins before an epoch is fetched; a store that dies then ends in one sentence."""
    url = f"s3://bucket/{sound.name}"
    epochbank.copy_set(sound, url)
    data = epochbank.open_set(url, cache=tmp_path / "cache")
    before = server.sent
    next(iter(data.batches(32, epochs=1, threads=1)))
    assert server.sent > before
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EPOCHBANK_OBJECTS_TIMEOUT", "1")
        again = epochbank.open_set(url, cache=tmp_path / "another")
        server.errors = 10**6
        with pytest.raises(EpochbankError, match=r"reading s3://.* failed"):
            batches(again)


def test_bench_of_a_url(stored: str, tmp_path: Path) -> None:
    """`train bench URL` streams through the cache, and refuses one that is too small."""
    words = ["bench", stored, "--seconds", "0.1", "--batch-size", "64", "--cache", str(tmp_path / "cache")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(main, [*words, "--cache-size", "100kB"])
    assert done.exit_code == 1
    assert "Use --cache-size" in done.output


@pytest.mark.long
def test_fit_and_evaluate(sound: Path, stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run names its set by the URL, and is evaluated from there after the cache was removed."""
    monkeypatch.chdir(tmp_path)
    words = ["fit", stored, "--epochs", "2", "--cache", "cache", "--run", "run", "--cache-size", "1GB"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    summary = json.loads(Path("run/summary.json").read_text())
    assert summary["set"]["url"] == stored
    assert summary["data"]["fetched_bytes"] > 0
    cache_module.shutil.rmtree("cache")
    done = CliRunner().invoke(main, ["evaluate", "run", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["accuracy"] == pytest.approx(summary["test"]["accuracy"])


def test_a_program_that_ends_early_does_not_fetch_the_rest(sound: Path, server: ObjectServer, tmp_path: Path) -> None:
    """Python waits for threads when it ends, which must not fetch a whole epoch before that."""
    url = f"s3://bucket/{sound.name}"
    epochbank.copy_set(sound, url)
    code = (
        "import sys, epochbank\n"
        "from epochbank.train.streaming import order\n"
        "order.WINDOW_IMAGES = 20\n"
        "data = epochbank.open_set(sys.argv[1], cache=sys.argv[2])\n"
        "stream = data.batches(2, threads=1, originals=1)\n"
        "next(stream)\n"
    )
    server.seconds = 0.05
    subprocess.run([sys.executable, "-c", code, url, str(tmp_path / "cache")], check=True, timeout=120)
    fetched = sum(count for name, count in server.requests.items() if name.startswith("GET ") and "/shards/" in name)
    assert 0 < fetched < 30  # Of 32 in the pass.
