"""Which shards a set still lacks, from sizes and the manifest alone."""

import itertools
import math
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epochbank.augment.generation.missing import chunk_images, missing_shards, shard_images, uncovered
from epochbank.augment.generation.options import GenerationOptions
from epochbank.augment.store.manifest import Entry
from epochbank.augment.store.shard import ShardTask

few = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])

shapes = st.tuples(st.integers(1, 600), st.integers(1, 600), st.sampled_from([1, 3]))
SplitEpoch = tuple[str, int]


def published(task: ShardTask) -> Entry:
    """The manifest entry that `task` is published with."""
    return Entry(task.split, task.epoch, task.start, task.num_images, task.chunk, task.codec, task.file, 1, "0", "0")


def entry(split: str, epoch: int, start: int, stop: int, chunk: int = 8) -> Entry:
    return published(ShardTask(split, epoch, start, stop - start, chunk, "gzip"))


def missing(
    entries: list[Entry], num_images: dict[str, int], epochs: int, shard: int = 100, chunk: int = 10
) -> list[ShardTask]:
    return uncovered(entries, num_images, epochs, shard=shard, chunk=chunk, codec="zstd")


def sizes_of(num_images: dict[str, int], epochs: int) -> dict[SplitEpoch, int]:
    """Number of positions of each split and stored epoch."""
    return {(split, 0): count for split, count in num_images.items()} | {
        ("epoch", epoch): num_images["train"] for epoch in range(epochs)
    }


def assert_covered_once(runs: list[ShardTask | Entry], num_images: dict[str, int], epochs: int) -> None:
    """Assert that `runs` cover every position of every split and stored epoch exactly once."""
    for split_epoch, count in sizes_of(num_images, epochs).items():
        covered = np.zeros(count, int)
        for run in runs:
            if (run.split, run.epoch) == split_epoch:
                assert 0 <= run.start < run.stop <= count
                covered[run.start : run.stop] += 1
        assert np.all(covered == 1), split_epoch


split_sizes = st.fixed_dictionaries(
    {"train": st.integers(1, 400), "validation": st.integers(0, 60), "test": st.integers(0, 60)}
)


@st.composite
def manifests(draw: st.DrawFn) -> tuple[list[Entry], dict[str, int], int]:
    """A manifest with random gaps, in random order; the size of each split; the number of epochs that are requested."""
    num_images, stored = draw(split_sizes), draw(st.integers(0, 3))
    entries = []
    for (split, epoch), count in sizes_of(num_images, stored).items():
        edges = sorted({0, count, *draw(st.lists(st.integers(0, count), max_size=6))})
        for low, high in itertools.pairwise(edges):
            if draw(st.booleans()):
                entries.append(entry(split, epoch, low, high, draw(st.sampled_from([1, 8, 64]))))
    return draw(st.permutations(entries)), num_images, draw(st.integers(0, 4))


def of_requested_epochs(entries: list[Entry], epochs: int) -> list[Entry]:
    return [one for one in entries if one.split != "epoch" or one.epoch < epochs]


@few
@given(manifests(), st.integers(1, 120), st.integers(1, 64))
def test_tasks_cover_exactly_what_is_missing(
    manifest: tuple[list[Entry], dict[str, int], int], shard: int, chunk: int
) -> None:
    """Published shards of any size and the tasks together cover every position once."""
    entries, num_images, epochs = manifest
    tasks = missing(entries, num_images, epochs, shard, chunk)
    requested = of_requested_epochs(entries, epochs)
    assert_covered_once([*requested, *tasks], num_images, epochs)
    assert {(task.split, task.epoch) for task in tasks} <= sizes_of(num_images, epochs).keys()
    for task in tasks:
        assert 1 <= task.num_images <= shard
        assert (task.chunk, task.codec) == (chunk, "zstd")
    assert len({task.file for task in tasks} | {one.file for one in requested}) == len(tasks) + len(requested)


@few
@given(manifests(), st.integers(1, 120), st.integers(1, 120), st.integers(0, 500))
def test_a_killed_run_continues_with_another_shard_size(
    manifest: tuple[list[Entry], dict[str, int], int], first: int, second: int, killed_after: int
) -> None:
    """After any number of published tasks, the tasks for another shard size are exactly the rest."""
    entries, num_images, epochs = manifest
    done = [published(task) for task in missing(entries, num_images, epochs, first)[:killed_after]]
    rest = missing([*entries, *done], num_images, epochs, second)
    assert_covered_once([*of_requested_epochs([*entries, *done], epochs), *rest], num_images, epochs)
    assert missing([*entries, *done, *(published(task) for task in rest)], num_images, epochs, first) == []


@few
@given(split_sizes, st.integers(0, 4), st.integers(1, 120), st.integers(1, 120))
def test_a_complete_set_lacks_nothing(num_images: dict[str, int], epochs: int, shard: int, other: int) -> None:
    """Once all shards are published, none is missing, for any shard size and for fewer epochs."""
    done = [published(task) for task in missing([], num_images, epochs, shard)]
    for fewer in range(epochs + 1):
        assert missing(done, num_images, fewer, other) == []


@few
@given(split_sizes, st.integers(0, 3), st.integers(1, 4), st.integers(1, 120))
def test_more_epochs_add_only_themselves(num_images: dict[str, int], epochs: int, more: int, shard: int) -> None:
    """A request for more epochs adds the same shards that one request for all epochs would have."""
    done = [published(task) for task in missing([], num_images, epochs, shard)]
    added = missing(done, num_images, epochs + more, shard)
    assert {(task.split, task.epoch) for task in added} == {("epoch", epochs + number) for number in range(more)}
    assert added == missing([], num_images, epochs + more, shard)[len(done) :]


@few
@given(split_sizes, st.integers(0, 3), st.integers(1, 120), st.randoms(use_true_random=False))
def test_only_the_published_positions_matter(
    num_images: dict[str, int], epochs: int, shard: int, random: Random
) -> None:
    """Neither the order of the manifest nor the chunk sizes and codecs in it change the tasks."""
    done = [published(task) for task in missing([], num_images, epochs, shard)]
    kept = [one for one in done if random.random() < 0.5]
    shuffled = [entry(one.split, one.epoch, one.start, one.stop, 3) for one in kept]
    random.shuffle(shuffled)
    assert missing(shuffled, num_images, epochs, shard) == missing(kept, num_images, epochs, shard)


def test_a_new_set_is_divided_at_multiples_of_the_shard_size() -> None:
    """The undistorted splits come first, then epoch after epoch."""
    tasks = missing([], {"train": 250, "validation": 100, "test": 30}, 2)
    assert [(task.split, task.epoch, task.start, task.stop) for task in tasks] == [
        ("test", 0, 0, 30),
        ("validation", 0, 0, 100),
        *[
            (split, epoch, start, min(start + 100, 250))
            for split, epoch in (("train", 0), ("epoch", 0), ("epoch", 1))
            for start in (0, 100, 200)
        ],
    ]


def test_gaps_are_divided_at_multiples_of_the_shard_size() -> None:
    """A gap that another shard size left is divided where shards of this size would begin."""
    entries = [entry("train", 0, 0, 130), entry("train", 0, 190, 240)]
    tasks = missing(entries, {"train": 420, "validation": 0, "test": 0}, 0)
    assert [(task.start, task.stop) for task in tasks] == [(130, 190), (240, 300), (300, 400), (400, 420)]


def test_overlapping_shards_leave_no_gap() -> None:
    """Published shards that lie within another, which should never happen, do not hide what is published."""
    entries = [entry("train", 0, 0, 200), entry("train", 0, 50, 60), entry("train", 0, 0, 200)]
    tasks = missing(entries, {"train": 250, "validation": 0, "test": 0}, 0)
    assert [(task.start, task.stop) for task in tasks] == [(200, 250)]


def test_empty_splits_have_no_shard() -> None:
    """A split without images has no shard, and a set without epochs has only its undistorted splits."""
    tasks = missing([], {"train": 5, "validation": 0, "test": 0}, 0)
    assert [(task.split, task.num_images) for task in tasks] == [("train", 5)]


def test_splits_and_epochs_are_told_apart() -> None:
    """The undistorted training split is not epoch 0, and one epoch is not another."""
    num_images = {"train": 50, "validation": 0, "test": 0}
    for entries, epochs, expected in (
        ([entry("train", 0, 0, 50)], 1, ("epoch", 0)),
        ([entry("epoch", 0, 0, 50)], 1, ("train", 0)),
        ([entry("train", 0, 0, 50), entry("epoch", 1, 0, 50)], 2, ("epoch", 0)),
    ):
        assert [(task.split, task.epoch) for task in missing(entries, num_images, epochs)] == [expected]


# --- Sizes ----------------------------------------------------------------------------------------------------


@few
@given(shapes)
def test_chunks_are_a_power_of_two_and_small(shape: tuple[int, int, int]) -> None:
    """A chunk holds 1 to 256 images: the largest power of two that decodes to at most 512 KiB."""
    chunk, image_bytes = chunk_images(shape), math.prod(shape)
    assert 1 <= chunk <= 256
    assert chunk & (chunk - 1) == 0
    assert chunk == 1 or chunk * image_bytes <= 512 << 10
    assert chunk == 256 or 2 * chunk * image_bytes > 512 << 10


@pytest.mark.parametrize(
    ("shape", "chunk"),
    [((64, 64, 1), 128), ((64, 64, 3), 32), ((28, 28, 1), 256), ((105, 105, 1), 32), ((1, 1, 1), 256)],
)
def test_chunks_of_usual_images(shape: tuple[int, int, int], chunk: int) -> None:
    """A chunk of 64 x 64 kanji holds 128 images, which divides the usual batch size of 256."""
    assert chunk_images(shape) == chunk


@few
@given(st.integers(1, 30_000_000), shapes)
def test_shards_are_whole_chunks_of_bounded_size(num_images: int, shape: tuple[int, int, int]) -> None:
    """To within a chunk, a shard is at most 64 MiB decoded, and a sixteenth of the epoch or 1024 images."""
    chunk, image_bytes = chunk_images(shape), math.prod(shape)
    shard = shard_images(num_images, shape, chunk)
    assert shard % chunk == 0
    assert (shard - chunk) * image_bytes < 64 << 20
    assert shard - chunk < max(1024, math.ceil(num_images / 16))
    assert shard >= max(1, min(1024, (64 << 20) // image_bytes))


def test_shards_of_usual_sets() -> None:
    """100,000 kanji make 16 shards per epoch, ten million make shards of 64 MiB, and few make one shard."""
    assert math.ceil(100_000 / shard_images(100_000, (64, 64, 1), 64)) == 16
    assert shard_images(10_000_000, (64, 64, 1), 64) == (64 << 20) // 4096
    assert shard_images(500, (64, 64, 1), 64) >= 500
    assert shard_images(10, (64, 64, 1), 7) % 7 == 0


@pytest.mark.parametrize(("codec", "expected"), [(None, "gzip"), ("none", "none")])
def test_new_shards_get_the_codec_of_the_set(codec: str | None, expected: str) -> None:
    """Without --codec, new shards get the codec of the set's last shard, and those of a new set get zstd."""
    num_images = {"train": 50, "validation": 0, "test": 0}
    options = GenerationOptions(epochs=1, codec=codec)
    (task,) = missing_shards([entry("train", 0, 0, 50)], num_images, (8, 8, 1), options)
    assert (task.codec, task.chunk) == (expected, 256)
    assert missing_shards([], num_images, (8, 8, 1), options)[0].codec == (codec or "zstd")
