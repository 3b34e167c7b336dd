"""Balance: how often each picture is in an epoch, and that a set holds just that."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import numbered, numbers
from epochbank import AugmentedSequence, open_set
from epochbank.augment.distortion.recipe import load_recipe
from epochbank.augment.errors import EpochbankError
from epochbank.augment.generation.generate import Execution, generate
from epochbank.augment.generation.request import Request, prepare_source
from epochbank.augment.ingest.importer import ImportOptions
from epochbank.augment.shared.permutation import order_key, permute_within
from epochbank.augment.split.balance import Deal, PerClass
from epochbank.augment.store.verify import verify
from epochbank.augment.views.explain import explain
from epochbank.augment.views.info import info
from epochbank.augment.views.preview import preview_set

few = settings(deadline=None, max_examples=100)


def deal_of(sizes: list[int], least: int, most: int, key: int = 0) -> tuple[Deal, np.ndarray]:
    """A deal of classes of these sizes whose pictures stand mixed, and the pictures' labels."""
    labels = np.random.default_rng(key).permutation(np.repeat(np.arange(len(sizes)), sizes))
    by_class = np.argsort(labels, kind="stable")
    return Deal(PerClass(least, most), np.array(sizes), by_class, order_key("test", key)), labels


@few
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=8).filter(any),
    bounds=st.tuples(st.integers(1, 50), st.integers(0, 50)),
    key=st.integers(0, 1000),
)
def test_every_picture_gets_its_turn(sizes: list[int], bounds: tuple[int, int], key: int) -> None:
    """Every epoch has the bounded number of each class; over any epochs no picture is ahead of another of its class
    by more than one."""
    least, most = bounds[0], sum(bounds)
    deal, labels = deal_of(sizes, least, most, key)
    counts = [min(max(size, least), most) if size else 0 for size in sizes]
    assert deal.per_class.counts(np.array(sizes)).tolist() == counts
    shown = np.zeros(len(labels), np.int64)
    for epoch in range(4):
        pictures = deal.pictures(epoch, np.arange(sum(counts)))
        assert np.bincount(labels[pictures], minlength=len(sizes)).tolist() == counts
        once = np.bincount(pictures, minlength=len(labels))
        shown += once
        for count, seen in ((once, "in an epoch"), (shown, "so far")):
            assert all(np.ptp(count[labels == label]) <= 1 + (seen == "in an epoch") for label in set(labels.tolist()))


@few
@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=6), key=st.integers(0, 100), data=st.data())
def test_slots_are_known_one_by_one(sizes: list[int], key: int, data: st.DataObject) -> None:
    """What a slot shows does not depend on what else is asked; and a picture's slots are just those that show it."""
    deal, labels = deal_of(sizes, 5, 20, key)
    slots = np.arange(deal.per_class.images(np.array(sizes)))
    epoch = data.draw(st.integers(0, 50))
    pictures = deal.pictures(epoch, slots)
    some = np.array(sorted(data.draw(st.sets(st.sampled_from(slots.tolist())))), np.int64)
    assert np.array_equal(deal.pictures(epoch, some), pictures[some])
    picture = data.draw(st.integers(0, len(labels) - 1))
    assert np.array_equal(deal.slots_of(epoch, int(labels[picture]), picture), slots[pictures == picture])


def test_epochs_differ() -> None:
    """Of a class beyond the most, an epoch has others than the one before, and all in turn."""
    deal, _ = deal_of([1000], 1, 100)
    epochs = [set(deal.pictures(epoch, np.arange(100)).tolist()) for epoch in range(10)]
    assert set.union(*epochs) == set(range(1000))
    assert epochs[0] != set(deal.pictures(10, np.arange(100)).tolist())


@few
@given(sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=6), key=st.integers(0, 1000))
def test_permutation_within_each(sizes: list[int], key: int) -> None:
    """`permute_within` permutes each run by itself, whatever the others are."""
    n, tweak = np.repeat(sizes, sizes), np.repeat(np.arange(len(sizes)), sizes).astype(np.uint64)
    index = np.concatenate([np.arange(size) for size in sizes])
    permuted = permute_within(index, n, order_key(key), tweak)
    for number, size in enumerate(sizes):
        assert np.array_equal(np.sort(permuted[tweak == number]), np.arange(size))
        alone = permute_within(np.arange(size), np.full(size, size), order_key(key), np.full(size, number, np.uint64))
        assert np.array_equal(alone, permuted[tweak == number])


def test_bounds_that_are_none() -> None:
    """A least of 0, or above the most, is refused with an example."""
    for bounds in ((0, 5), (6, 5), (1, 10**20)):
        with pytest.raises(EpochbankError, match=r"expected MIN:MAX .* such as 100:1000"):
            PerClass(*bounds)


@pytest.fixture
def unbalanced(tmp_path: Path) -> Path:
    """1,000 pictures that say which they are: 700, 250, 40 and 10 of four classes."""
    path = tmp_path / "unbalanced.npz"
    np.savez(path, images=numbered(1000), labels=np.repeat(np.arange(4), [700, 250, 40, 10]))
    return path


def made(source: Path, sets: Path, recipe: Path, epochs: int, jobs: int = 1, shard: int = 64) -> Path:
    file = prepare_source(str(source), sets, ImportOptions(), 1)
    request = Request(file, str(source), load_recipe(str(recipe)), per_class=PerClass(50, 200))
    return generate(request, sets, Execution(epochs, jobs=jobs, shard=shard, chunk=32), quiet=True).directory


def test_a_balanced_set(unbalanced: Path, nothing_recipe: Path, tmp_path: Path) -> None:
    """Stored epochs hold each class within bounds, are the same whatever made them, grow by more epochs, stream, and
    every picture of them is explained."""
    directory = made(unbalanced, tmp_path / "sets", nothing_recipe, 2)
    other = made(unbalanced, tmp_path / "other", nothing_recipe, 3, jobs=2, shard=100)
    assert made(unbalanced, tmp_path / "sets", nothing_recipe, 3) == directory
    facts, others = info(directory), info(other)
    assert [epoch["digest"] for epoch in facts["epochs"]] == [epoch["digest"] for epoch in others["epochs"]]
    assert facts["images"] == {"train": 200 + 200 + 50 + 50, "validation": 100, "test": 100}
    assert facts["parts"]["train"]["images"] == 800
    assert facts["per_class"] == (50, 200)
    assert verify(directory, 1) == []
    bank = open_set(directory)
    for mix in (0, 0.5, 1):
        data, shown = AugmentedSequence(bank, 50, mix=mix, seed=1), []
        for pictures, labels in (data[number] for number in range(len(data))):
            assert np.array_equal(np.searchsorted([700, 950, 990], numbers(pictures), side="right"), labels)
            shown += labels.tolist()
        counts = np.bincount(shown, minlength=4)
        np.testing.assert_allclose(counts / counts.sum(), [0.4, 0.4, 0.1, 0.1], atol=0.02)
    seen = [explain(directory, 2, position)["row"] for position in range(500)]
    pictures = next(bank.batches(500, mix=0, first_epoch=2, epochs=1))[0]
    assert sorted(seen) == sorted(numbers(pictures).tolist())
    assert preview_set(directory).width > 0
    assert str(directory) != str(prepare_source(str(unbalanced), tmp_path / "sets", ImportOptions(), 1).path)


def test_another_balance_is_another_set(unbalanced: Path, nothing_recipe: Path, tmp_path: Path) -> None:
    """The bounds are in the fingerprint; without any it is what it always was."""
    file = prepare_source(str(unbalanced), tmp_path / "sets", ImportOptions(), 1)
    recipe = load_recipe(str(nothing_recipe))
    requests = [Request(file, "s", recipe, per_class=bounds) for bounds in (None, PerClass(1, 9), PerClass(2, 9))]
    assert len({request.directory(tmp_path / "sets") for request in requests}) == 3
    assert "per_class" not in requests[0].identity
