"""The plan: which shards a request still lacks, from sizes and the manifest alone."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epochbank.augment.generation.plan import chunk_images, left_to_do, shard_images
from epochbank.augment.store.manifest import Entry
from epochbank.augment.store.shard import ShardTask

few = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])

shapes = st.tuples(st.integers(1, 600), st.integers(1, 600), st.sampled_from([1, 3]))
Place = tuple[str, int]


def published(task: ShardTask) -> Entry:
    """The entry that `task` is published with."""
    return Entry(task.part, task.epoch, task.start, task.images, task.chunk, task.codec, task.file, 1, "0", "0")


def entry(part: str, epoch: int, start: int, stop: int, chunk: int = 8) -> Entry:
    return published(ShardTask(part, epoch, start, stop - start, chunk, "gzip"))


def lacking(
    entries: list[Entry], images: dict[str, int], epochs: int, shard: int = 100, chunk: int = 10
) -> list[ShardTask]:
    return left_to_do(entries, images, epochs, shard=shard, chunk=chunk, codec="zstd")


def wanted(images: dict[str, int], epochs: int) -> dict[Place, int]:
    """How many positions every part and stored epoch has."""
    return {(part, 0): count for part, count in images.items()} | {
        ("epoch", number): images["train"] for number in range(epochs)
    }


def assert_whole(runs: list[ShardTask | Entry], images: dict[str, int], epochs: int) -> None:
    """`runs` cover every position of every part and stored epoch exactly once."""
    for place, count in wanted(images, epochs).items():
        covered = np.zeros(count, int)
        for run in runs:
            if (run.part, run.epoch) == place:
                assert 0 <= run.start < run.stop <= count
                covered[run.start : run.stop] += 1
        assert np.all(covered == 1), place


images_of = st.fixed_dictionaries(
    {"train": st.integers(1, 400), "validation": st.integers(0, 60), "test": st.integers(0, 60)}
)


@st.composite
def manifests(draw: st.DrawFn) -> tuple[list[Entry], dict[str, int], int]:
    """Some of the runs of a random cut of every part and epoch, in any order; what they belong to; and epochs asked."""
    images, stored = draw(images_of), draw(st.integers(0, 3))
    entries = []
    for (part, number), count in wanted(images, stored).items():
        edges = sorted({0, count, *draw(st.lists(st.integers(0, count), max_size=6))})
        for low, high in itertools.pairwise(edges):
            if draw(st.booleans()):
                entries.append(entry(part, number, low, high, draw(st.sampled_from([1, 8, 64]))))
    return draw(st.permutations(entries)), images, draw(st.integers(0, 4))


@few
@given(manifests(), st.integers(1, 120), st.integers(1, 64))
def test_covers_exactly_what_is_missing(
    manifest: tuple[list[Entry], dict[str, int], int], shard: int, chunk: int
) -> None:
    """Whatever is published, in runs of whatever size, the tasks cover all else once, and nothing twice."""
    entries, images, epochs = manifest
    tasks = lacking(entries, images, epochs, shard, chunk)
    asked = [one for one in entries if one.part != "epoch" or one.epoch < epochs]
    assert_whole([*asked, *tasks], images, epochs)
    assert {(task.part, task.epoch) for task in tasks} <= wanted(images, epochs).keys()
    for task in tasks:
        assert 1 <= task.images <= shard
        assert (task.chunk, task.codec) == (chunk, "zstd")
    assert len({task.file for task in tasks} | {one.file for one in asked}) == len(tasks) + len(asked)


@few
@given(manifests(), st.integers(1, 120), st.integers(1, 120), st.integers(0, 500))
def test_killed_anywhere_it_goes_on(
    manifest: tuple[list[Entry], dict[str, int], int], first: int, second: int, killed: int
) -> None:
    """After any number of its tasks are published, a plan with another shard size asks for just the rest."""
    entries, images, epochs = manifest
    done = [published(task) for task in lacking(entries, images, epochs, first)[:killed]]
    rest = lacking([*entries, *done], images, epochs, second)
    asked = [one for one in [*entries, *done] if one.part != "epoch" or one.epoch < epochs]
    assert_whole([*asked, *rest], images, epochs)
    assert lacking([*entries, *done, *(published(task) for task in rest)], images, epochs, first) == []


@few
@given(images_of, st.integers(0, 4), st.integers(1, 120), st.integers(1, 120))
def test_nothing_is_left_when_complete(images: dict[str, int], epochs: int, shard: int, other: int) -> None:
    """Once all is published, nothing is left to do, for any shard size and for fewer epochs."""
    done = [published(task) for task in lacking([], images, epochs, shard)]
    for fewer in range(epochs + 1):
        assert lacking(done, images, fewer, other) == []


@few
@given(images_of, st.integers(0, 3), st.integers(1, 4), st.integers(1, 120))
def test_more_epochs_add_only_themselves(images: dict[str, int], epochs: int, more: int, shard: int) -> None:
    """Asking for more epochs asks for just these, as a plan of all of them at once would have."""
    done = [published(task) for task in lacking([], images, epochs, shard)]
    added = lacking(done, images, epochs + more, shard)
    assert {(task.part, task.epoch) for task in added} == {("epoch", epochs + number) for number in range(more)}
    assert added == lacking([], images, epochs + more, shard)[len(done) :]


@few
@given(images_of, st.integers(0, 3), st.integers(1, 120), st.randoms(use_true_random=False))
def test_plan_depends_on_what_is_published_alone(images: dict[str, int], epochs: int, shard: int, random) -> None:
    """Neither the order of the manifest nor the chunks and codecs in it change the plan."""
    done = [published(task) for task in lacking([], images, epochs, shard)]
    kept = [one for one in done if random.random() < 0.5]
    shuffled = [entry(one.part, one.epoch, one.start, one.stop, 3) for one in kept]
    random.shuffle(shuffled)
    assert lacking(shuffled, images, epochs, shard) == lacking(kept, images, epochs, shard)


def test_of_a_fresh_set() -> None:
    """A fresh set is cut at multiples of the shard size: undistorted parts first, then epoch by epoch."""
    tasks = lacking([], {"train": 250, "validation": 100, "test": 30}, 2)
    assert [(task.part, task.epoch, task.start, task.stop) for task in tasks] == [
        ("test", 0, 0, 30),
        ("validation", 0, 0, 100),
        *[
            (part, epoch, start, min(start + 100, 250))
            for part, epoch in (("train", 0), ("epoch", 0), ("epoch", 1))
            for start in (0, 100, 200)
        ],
    ]


def test_gaps_are_cut_at_multiples_of_the_shard_size() -> None:
    """A gap that another shard size left is cut where shards of this size would be."""
    entries = [entry("train", 0, 0, 130), entry("train", 0, 190, 240)]
    tasks = lacking(entries, {"train": 420, "validation": 0, "test": 0}, 0)
    assert [(task.start, task.stop) for task in tasks] == [(130, 190), (240, 300), (300, 400), (400, 420)]


def test_runs_within_runs_leave_no_gap() -> None:
    """Published runs that lie within another, which never should be, do not make it plan what is there already."""
    entries = [entry("train", 0, 0, 200), entry("train", 0, 50, 60), entry("train", 0, 0, 200)]
    tasks = lacking(entries, {"train": 250, "validation": 0, "test": 0}, 0)
    assert [(task.start, task.stop) for task in tasks] == [(200, 250)]


def test_parts_without_pictures_take_no_shard() -> None:
    """A part without pictures has no shard, and a set of no epochs has its undistorted parts alone."""
    tasks = lacking([], {"train": 5, "validation": 0, "test": 0}, 0)
    assert [(task.part, task.images) for task in tasks] == [("train", 5)]


def test_parts_and_epochs_do_not_stand_for_one_another() -> None:
    """The undistorted training part is not epoch 0, and one epoch is not another."""
    images = {"train": 50, "validation": 0, "test": 0}
    assert [(one.part, one.epoch) for one in lacking([entry("train", 0, 0, 50)], images, 1)] == [("epoch", 0)]
    assert [(one.part, one.epoch) for one in lacking([entry("epoch", 0, 0, 50)], images, 1)] == [("train", 0)]
    done = [entry("train", 0, 0, 50), entry("epoch", 1, 0, 50)]
    assert [(one.part, one.epoch) for one in lacking(done, images, 2)] == [("epoch", 0)]


# --- Sizes ----------------------------------------------------------------------------------------------------


@few
@given(shapes)
def test_chunks_are_a_power_of_two_and_small(shape: tuple[int, int, int]) -> None:
    """A chunk holds 1 to 256 pictures, a power of two, the largest that decodes to no more than 512 KiB."""
    chunk, each = chunk_images(shape), math.prod(shape)
    assert 1 <= chunk <= 256
    assert chunk & (chunk - 1) == 0
    assert chunk == 1 or chunk * each <= 512 << 10
    assert chunk == 256 or 2 * chunk * each > 512 << 10


@pytest.mark.parametrize(
    ("shape", "chunk"),
    [((64, 64, 1), 128), ((64, 64, 3), 32), ((28, 28, 1), 256), ((105, 105, 1), 32), ((1, 1, 1), 256)],
)
def test_chunks_of_usual_pictures(shape: tuple[int, int, int], chunk: int) -> None:
    """128 kanji of 64 x 64 make a chunk, a divisor of the usual batch of 256."""
    assert chunk_images(shape) == chunk


@few
@given(st.integers(1, 30_000_000), shapes)
def test_shards_are_whole_chunks_of_bounded_size(images: int, shape: tuple[int, int, int]) -> None:
    """To within a chunk, a shard is 64 MiB decoded at most, and a sixteenth of the epoch or 1024 pictures."""
    chunk, each = chunk_images(shape), math.prod(shape)
    shard = shard_images(images, shape, chunk)
    assert shard % chunk == 0
    assert (shard - chunk) * each < 64 << 20
    assert shard - chunk < max(1024, math.ceil(images / 16))
    assert shard >= max(1, min(1024, (64 << 20) // each))


def test_shards_of_usual_sets() -> None:
    """A hundred thousand kanji make sixteen shards an epoch; ten million make shards of 64 MiB; few make one."""
    assert math.ceil(100_000 / shard_images(100_000, (64, 64, 1), 64)) == 16
    assert shard_images(10_000_000, (64, 64, 1), 64) == (64 << 20) // 4096
    assert shard_images(500, (64, 64, 1), 64) >= 500
    assert shard_images(10, (64, 64, 1), 7) % 7 == 0
