"""Class balancing: how often each image is in an epoch, and that stored epochs contain exactly these images."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import numbered, numbers
from epochbank import AugmentedSequence, open_set
from epochbank.augment.distortion.recipe import load_recipe
from epochbank.augment.errors import EpochbankError
from epochbank.augment.generation.options import GenerationOptions
from epochbank.augment.generation.run import generate
from epochbank.augment.generation.spec import SetSpec
from epochbank.augment.ingest.importer import ImportOptions
from epochbank.augment.ingest.resolve import prepare_source
from epochbank.augment.shared.permutation import order_key, permute_within
from epochbank.augment.shared.pool import LocalPool
from epochbank.augment.store.balance import ClassSampler, PerClass
from epochbank.augment.store.verify import verify
from epochbank.augment.views.explain import explain
from epochbank.augment.views.info import info
from epochbank.augment.views.preview import preview_set

few = settings(deadline=None, max_examples=100)


def sampler_of(sizes: list[int], least: int, most: int, key: int = 0) -> tuple[ClassSampler, np.ndarray]:
    """Return a sampler for classes of these sizes, in random order, and the labels of the images."""
    labels = np.random.default_rng(key).permutation(np.repeat(np.arange(len(sizes)), sizes))
    by_class = np.argsort(labels, kind="stable")
    return ClassSampler(PerClass(least, most), np.array(sizes), by_class, order_key("test", key)), labels


@few
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=8).filter(any),
    bounds=st.tuples(st.integers(1, 50), st.integers(0, 50)),
    key=st.integers(0, 1000),
)
def test_images_of_a_class_are_sampled_equally_often(sizes: list[int], bounds: tuple[int, int], key: int) -> None:
    """Every epoch has the bounded number of images per class; the counts of images of a class differ by at most one."""
    least, most = bounds[0], sum(bounds)
    sampler, labels = sampler_of(sizes, least, most, key)
    counts = [min(max(size, least), most) if size else 0 for size in sizes]
    assert sampler.per_class.counts(np.array(sizes)).tolist() == counts
    shown = np.zeros(len(labels), np.int64)
    for epoch in range(4):
        images = sampler.images(epoch, np.arange(sum(counts)))
        assert np.bincount(labels[images], minlength=len(sizes)).tolist() == counts
        once = np.bincount(images, minlength=len(labels))
        shown += once
        for count, seen in ((once, "in an epoch"), (shown, "so far")):
            assert all(np.ptp(count[labels == label]) <= 1 + (seen == "in an epoch") for label in set(labels.tolist()))


@few
@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=6), key=st.integers(0, 100), data=st.data())
def test_slots_can_be_computed_one_by_one(sizes: list[int], key: int, data: st.DataObject) -> None:
    """The image in a slot does not depend on other slots, and `slots_of` returns exactly the slots of an image."""
    sampler, labels = sampler_of(sizes, 5, 20, key)
    slots = np.arange(sampler.per_class.num_images(np.array(sizes)))
    epoch = data.draw(st.integers(0, 50))
    images = sampler.images(epoch, slots)
    some = np.array(sorted(data.draw(st.sets(st.sampled_from(slots.tolist())))), np.int64)
    assert np.array_equal(sampler.images(epoch, some), images[some])
    image = data.draw(st.integers(0, len(labels) - 1))
    assert np.array_equal(sampler.slots_of(epoch, int(labels[image]), image), slots[images == image])


def test_epochs_differ() -> None:
    """Successive epochs show different images of a class that is larger than the maximum, and all images in turn."""
    sampler, _ = sampler_of([1000], 1, 100)
    epochs = [set(sampler.images(epoch, np.arange(100)).tolist()) for epoch in range(10)]
    assert set.union(*epochs) == set(range(1000))
    assert epochs[0] != set(sampler.images(10, np.arange(100)).tolist())


@few
@given(sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=6), key=st.integers(0, 1000))
def test_permute_within_permutes_each_range(sizes: list[int], key: int) -> None:
    """`permute_within` permutes each range, independently of the others."""
    n, tweak = np.repeat(sizes, sizes), np.repeat(np.arange(len(sizes)), sizes).astype(np.uint64)
    index = np.concatenate([np.arange(size) for size in sizes])
    permuted = permute_within(index, n, order_key(key), tweak)
    for number, size in enumerate(sizes):
        assert np.array_equal(np.sort(permuted[tweak == number]), np.arange(size))
        alone = permute_within(np.arange(size), np.full(size, size), order_key(key), np.full(size, number, np.uint64))
        assert np.array_equal(alone, permuted[tweak == number])


def test_invalid_bounds_are_refused() -> None:
    """A minimum of 0 or above the maximum is refused, with an example."""
    for bounds in ((0, 5), (6, 5), (1, 10**20)):
        with pytest.raises(EpochbankError, match=r"expected MIN:MAX .* such as --per-class 100:1000"):
            PerClass(*bounds)


@pytest.fixture
def unbalanced(tmp_path: Path) -> Path:
    """A source of 1,000 numbered images: 700, 250, 40 and 10 of four classes."""
    path = tmp_path / "unbalanced.npz"
    np.savez(path, images=numbered(1000), labels=np.repeat(np.arange(4), [700, 250, 40, 10]))
    return path


def make_set(source: Path, sets: Path, recipe: Path, epochs: int, jobs: int = 1, shard: int = 64) -> Path:
    file = prepare_source(str(source), sets, ImportOptions(), 1)
    spec = SetSpec(file, load_recipe(str(recipe)), per_class=PerClass(50, 200))
    options = GenerationOptions(epochs, jobs=jobs, shard_size=shard, chunk_size=32)
    return generate(spec, sets, options, str(source), quiet=True).directory


@pytest.mark.long
def test_a_class_balanced_set(unbalanced: Path, nothing_recipe: Path, tmp_path: Path) -> None:
    """Stored epochs have each class within bounds, for any workers and shards; they can be extended, streamed,
    explained and previewed."""
    directory = make_set(unbalanced, tmp_path / "sets", nothing_recipe, 2)
    other = make_set(unbalanced, tmp_path / "other", nothing_recipe, 3, jobs=2, shard=100)
    assert make_set(unbalanced, tmp_path / "sets", nothing_recipe, 3) == directory
    facts, others = info(directory), info(other)
    assert [epoch["digest"] for epoch in facts["epochs"]] == [epoch["digest"] for epoch in others["epochs"]]
    assert facts["images"] == {"train": 200 + 200 + 50 + 50, "validation": 100, "test": 100}
    assert facts["splits"]["train"]["images"] == 800
    assert facts["per_class"] == (50, 200)
    assert verify(directory, LocalPool(1)) == []
    stored_set = open_set(directory)
    for originals in (0, 0.5, 1):
        data, shown = AugmentedSequence(stored_set, 50, originals=originals, seed=1), []
        for images, labels in (data[number] for number in range(len(data))):
            assert np.array_equal(np.searchsorted([700, 950, 990], numbers(images), side="right"), labels)
            shown += labels.tolist()
        counts = np.bincount(shown, minlength=4)
        np.testing.assert_allclose(counts / counts.sum(), [0.4, 0.4, 0.1, 0.1], atol=0.02)
    seen = [explain(directory, 2, position)["row"] for position in range(500)]
    images = next(stored_set.batches(500, originals=0, first_epoch=2, epochs=1))[0]
    assert sorted(seen) == sorted(numbers(images).tolist())
    assert preview_set(directory).width > 0
    assert str(directory) != str(prepare_source(str(unbalanced), tmp_path / "sets", ImportOptions(), 1).path)


def test_another_balance_is_another_set(unbalanced: Path, nothing_recipe: Path, tmp_path: Path) -> None:
    """The bounds are part of the fingerprint; without them the identity has no such key."""
    file = prepare_source(str(unbalanced), tmp_path / "sets", ImportOptions(), 1)
    recipe = load_recipe(str(nothing_recipe))
    specs = [SetSpec(file, recipe, per_class=bounds) for bounds in (None, PerClass(1, 9), PerClass(2, 9))]
    assert len({spec.fingerprint for spec in specs}) == 3
    assert "per_class" not in specs[0].identity
