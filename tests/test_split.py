"""The split: by whole groups or class by class, with splits of the source and duplicates; a pure function."""

import os
import random
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from epochbank.augment.errors import EpochbankError
from epochbank.augment.ingest.source_file import SourceFile
from epochbank.augment.shared.types import NO_PAIRS
from epochbank.augment.split.holdout import HeldOut, SplitInput, split_key, split_rows
from epochbank.augment.split.report import split_facts, split_table, split_warnings

few = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])

SPLITS = ("train", "validation", "test")
keys = st.integers(0, 2**60 - 1)
fractions = st.sampled_from([0.0, 0.01, 0.1, 0.15, 0.2, 1 / 3, 0.45])
seeds = st.integers(0, 2**32 - 1)


def names_of(count: int) -> list[str]:
    return [f"class {number}" for number in range(count)]


def make_split(labels: np.ndarray, groups: np.ndarray | None = None, **arguments: Any) -> dict[str, np.ndarray]:
    arguments = {"validation": 0.1, "test": 0.1, "key": 1, "class_names": names_of(int(labels.max()) + 1), **arguments}
    held_out = HeldOut(arguments.pop("validation"), arguments.pop("test"))
    key = arguments.pop("key")
    return split_rows(SplitInput(labels, groups=groups, **arguments), held_out, key=key)


def assert_every_row_once(splits: dict[str, np.ndarray], count: int) -> None:
    assert tuple(splits) == SPLITS
    for rows in splits.values():
        assert rows.dtype == np.int64
        assert np.all(np.diff(rows) > 0)
    assert np.array_equal(np.sort(np.concatenate(list(splits.values()))), np.arange(count))


def sizes(splits: dict[str, np.ndarray]) -> dict[str, int]:
    return {split: len(rows) for split, rows in splits.items()}


# --- Class by class -----------------------------------------------------------------------------------


@few
@given(
    counts=st.lists(st.integers(3, 60), min_size=1, max_size=12),
    validation=fractions,
    test=fractions,
    key=keys,
    seed=seeds,
)
def test_each_class_is_split_by_its_fractions(
    counts: list[int], validation: float, test: float, key: int, seed: int
) -> None:
    """Every row is in one split; each split gets its fraction of every class to within half an image, at least one."""
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    splits = make_split(labels, validation=validation, test=test, key=key)
    assert_every_row_once(splits, len(labels))
    for label, count in enumerate(counts):
        got = {split: int((labels[rows] == label).sum()) for split, rows in splits.items()}
        assert got["train"] >= 1
        for split, fraction in (("validation", validation), ("test", test)):
            if fraction == 0:
                assert got[split] == 0
            else:
                # Within a half, unless a split has its only image or leaves the last one to others.
                assert got[split] == 1 or got["train"] == 1 or abs(got[split] - fraction * count) <= 0.5
                assert got[split] >= 1


def test_many_classes_keep_their_fractions() -> None:
    """Of 100 classes of 50 images, a tenth of each class is in each held-out split."""
    labels = np.tile(np.arange(100), 50)
    splits = make_split(labels)
    for split, each in (("train", 40), ("validation", 5), ("test", 5)):
        assert np.array_equal(np.bincount(labels[splits[split]], minlength=100), np.full(100, each))


def test_smallest_classes_have_one_image_in_each_split() -> None:
    """A class of three images has one in each split; of four, one split has two; for any fraction."""
    labels = np.array([0] * 3 + [1] * 4)
    for fraction in (0.01, 0.4):
        splits = make_split(labels, validation=fraction, test=fraction)
        assert np.bincount(labels[splits["test"]]).tolist() in ([1, 1], [1, 2])
        assert all(set(labels[rows]) == {0, 1} for rows in splits.values())
        assert [int((labels[splits[split]] == 0).sum()) for split in SPLITS] == [1, 1, 1]


def test_held_out_rows_are_scattered() -> None:
    """Held-out rows are spread over a whole class, not at its beginning."""
    labels = np.zeros(10_000, np.int64)
    for split in ("validation", "test"):
        rows = make_split(labels)[split]
        assert len(rows) == 1000
        counts = np.bincount(rows // 1000, minlength=10)
        assert counts.min() > 50
        assert counts.max() < 150


def test_classes_in_any_order_and_type() -> None:
    """Labels may be in any order and of any integer type."""
    for labels in (np.repeat(np.arange(5), 20), np.tile(np.arange(5), 20)):
        for kind in (np.int32, np.int64, np.int8):
            splits = make_split(labels.astype(kind))
            assert_every_row_once(splits, 100)
            assert sizes(splits) == {"train": 80, "validation": 10, "test": 10}


@pytest.mark.parametrize("zero", [{"validation": 0.0}, {"test": 0.0}, {"validation": 0.0, "test": 0.0}])
def test_a_fraction_of_0_leaves_the_split_empty(zero: dict[str, float]) -> None:
    """A split with fraction 0 is empty, with and without groups, and no image is lost."""
    labels = np.tile(np.arange(4), 30)
    for groups in (None, np.arange(120) // 12):
        splits = make_split(labels, groups, **zero)
        assert_every_row_once(splits, 120)
        for split in ("validation", "test"):
            assert len(splits[split]) == (0 if split in zero else 12)


def test_a_class_of_one_image_stays_in_training() -> None:
    """Without held-out splits, a class may have a single image."""
    splits = make_split(np.array([0, 1, 1]), validation=0, test=0)
    assert splits["train"].tolist() == [0, 1, 2]


def test_too_few_images_are_refused() -> None:
    """Classes that are too small for the requested splits are refused by name, with the numbers and the fix."""
    labels = np.array([0] * 10 + [1] * 2 + [2] * 5 + [3])
    with pytest.raises(EpochbankError) as caught:
        make_split(labels, class_names=["many", "two", "five", "one"])
    message = str(caught.value)
    assert message.startswith("2 of 4 classes have fewer than 3 images")
    assert "one per split (training, test, validation): two, one." in message
    assert "--validation 0" in message
    assert "--test 0" in message
    with pytest.raises(EpochbankError, match=r"1 of 4 classes has fewer than 2 .* \(training, validation\): one\."):
        make_split(labels, test=0, class_names=["many", "two", "five", "one"])
    splits = make_split(labels[:-1], test=0, class_names=["many", "two", "five"])
    assert np.bincount(labels[splits["validation"]]).tolist() == [1, 1, 1]


def test_too_few_images_of_many_classes_are_reported_briefly() -> None:
    """Of thousands of classes that are too small, ten are named and the rest are counted."""
    with pytest.raises(
        EpochbankError, match=r"^3,000 of 3,000 classes .*class 0, .*class 9 and 2,990 more\. Add images"
    ):
        make_split(np.arange(3000))


# --- Whole groups ----------------------------------------------------------------------------------------


@few
@given(
    counts=st.lists(st.integers(1, 40), min_size=3, max_size=40),
    validation=fractions,
    test=fractions,
    key=keys,
    seed=seeds,
)
def test_no_group_is_divided(counts: list[int], validation: float, test: float, key: int, seed: int) -> None:
    """Every row is in one split, no group is in two, and each requested split has at least one group."""
    groups = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int32)
    splits = make_split(np.zeros(len(groups), np.int64), groups, validation=validation, test=test, key=key)
    assert_every_row_once(splits, len(groups))
    within = {split: set(groups[rows].tolist()) for split, rows in splits.items()}
    assert sum(len(held) for held in within.values()) == len(counts)
    assert within["train"]
    assert bool(within["validation"]) == (validation > 0)
    assert bool(within["test"]) == (test > 0)


@few
@given(
    counts=st.lists(st.integers(1, 30), min_size=25, max_size=60),
    validation=st.sampled_from([0.1, 0.2, 1 / 3]),
    test=st.sampled_from([0.1, 0.2, 1 / 3]),
    key=keys,
)
def test_splits_by_group_get_close_to_their_fractions(
    counts: list[int], validation: float, test: float, key: int
) -> None:
    """With many groups, a split misses its fraction by less than the largest group."""
    groups = np.repeat(np.arange(len(counts)), counts)
    splits = make_split(np.zeros(len(groups), np.int64), groups, validation=validation, test=test, key=key)
    for split, fraction in (("validation", validation), ("test", test)):
        assert abs(len(splits[split]) - fraction * len(groups)) < max(counts)


@pytest.mark.parametrize("key", range(20))
def test_groups_of_one_size_meet_the_fraction(key: int) -> None:
    """If all groups have one size, each split gets the nearest number of groups, and at least one."""
    groups = np.repeat(np.arange(50), 7)
    for fraction, expected in ((0.1, 5), (0.12, 6), (0.09, 4.5), (0.2, 10), (0.005, 1)):
        splits = make_split(np.zeros(350, np.int64), groups, validation=fraction, test=fraction, key=key)
        assert abs(sizes(splits)["validation"] / 7 - expected) <= 0.5
        assert abs(sizes(splits)["test"] / 7 - expected) <= 0.5


def test_one_huge_group_stays_in_training() -> None:
    """A huge group among small ones stays in training, so that each split gets close to its fraction."""
    groups = np.concatenate([np.zeros(900, np.int64), np.repeat(np.arange(1, 101), 10)])
    for key in range(200):
        splits = make_split(np.zeros(len(groups), np.int64), groups, key=key)
        assert abs(len(splits["test"]) - 190) <= 10, key
        assert abs(len(splits["validation"]) - 190) <= 10, key


def test_group_numbers_may_have_gaps() -> None:
    """Group numbers may have gaps, as they do after images were left out."""
    groups = np.array([5, 5, 900, 7, 900, 7, 31, 31], np.int32)
    splits = make_split(np.zeros(8, np.int64), groups, validation=0.25, test=0.25)
    assert_every_row_once(splits, 8)
    assert sizes(splits) == {"train": 4, "validation": 2, "test": 2}


def test_as_many_groups_as_splits() -> None:
    """Of three groups each split gets one, of any size."""
    for key in range(10):
        groups = np.array([0] * 100 + [1] + [2])
        splits = make_split(np.zeros(102, np.int64), groups, key=key)
        assert sorted(len(set(groups[rows].tolist())) for rows in splits.values()) == [1, 1, 1]


def test_too_few_groups_are_refused() -> None:
    """Fewer groups than requested splits are refused, with the numbers and the fix."""
    groups = np.array([0, 0, 1, 1])
    with pytest.raises(EpochbankError) as caught:
        make_split(np.zeros(4, np.int64), groups)
    message = str(caught.value)
    assert message.startswith("the source has 2 groups; expected at least 3")
    assert "each of test and validation" in message
    assert "--validation 0 or --test 0" in message
    with pytest.raises(EpochbankError, match=r"has 1 group; expected at least 2.*each of validation"):
        make_split(np.zeros(4, np.int64), np.zeros(4, np.int64), test=0)
    assert sizes(make_split(np.zeros(4, np.int64), groups, test=0)) == {"train": 2, "validation": 2, "test": 0}


def test_the_key_decides_which_groups_are_held_out() -> None:
    """Over many keys, all groups are held out about equally often."""
    groups = np.repeat(np.arange(10), 4)
    counts = np.zeros(10)
    for key in range(1000):
        held = make_split(np.zeros(40, np.int64), groups, validation=0, test=0.2, key=split_key(f"{key:064x}"[::-1]))
        counts += np.bincount(groups[held["test"]], minlength=10) / 4
    assert counts.sum() == 2000
    # 200 each, with a standard deviation of 12.6.
    assert counts.min() > 130
    assert counts.max() < 270


# --- Dependence on the arguments ---------------------------------------------------------------------------------


@few
@given(key=keys, seed=seeds, grouped=st.booleans())
def test_the_split_is_a_pure_function(key: int, seed: int, grouped: bool) -> None:
    """The result does not depend on global random state, and the arguments are not modified."""
    labels = np.random.default_rng(seed).integers(0, 4, 200)
    assume(np.bincount(labels, minlength=4).min() >= 3)
    groups = np.arange(200) // 5 if grouped else None
    before = labels.copy(), None if groups is None else groups.copy()
    state = random.getstate(), np.random.get_state()
    first = make_split(labels, groups, key=key)
    random.seed(seed)
    np.random.seed(seed)
    second = make_split(labels.astype(np.int32), groups, key=key)
    random.setstate(state[0])
    np.random.set_state(state[1])
    assert all(np.array_equal(first[split], second[split]) for split in SPLITS)
    assert np.array_equal(labels, before[0])
    assert groups is None or np.array_equal(groups, before[1])


@pytest.mark.parametrize("grouped", [False, True])
def test_another_key_makes_another_split(grouped: bool) -> None:
    """Sources with different digests are split differently."""
    labels, groups = np.zeros(500, np.int64), np.arange(500) // 5 if grouped else None
    held = {make_split(labels, groups, key=key)["test"].tobytes() for key in range(50)}
    assert len(held) == 50


def test_the_key_is_the_start_of_the_digest() -> None:
    """The key is the first 15 hexadecimal digits of the digest, below 2^60."""
    assert split_key("ff" * 32) == 2**60 - 1
    assert split_key("00" * 32) == 0
    assert split_key("123456789abcdef0" + "0" * 48) == 0x123456789ABCDEF


def test_golden_split() -> None:
    """Splits of stored sets must never change: these values are literals."""
    labels = np.tile(np.arange(2), 10)
    splits = make_split(labels, validation=0.2, test=0.1, key=0xABCDEF)
    assert (splits["validation"].tolist(), splits["test"].tolist()) == ([5, 6, 7, 8], [0, 17])
    splits = make_split(labels, np.arange(20) // 2, validation=0.2, test=0.1, key=0xABCDEF)
    assert (splits["validation"].tolist(), splits["test"].tolist()) == ([4, 5, 12, 13], [18, 19])


# --- Stratified groups ----------------------------------------------------------------------------


def share_errors(labels: np.ndarray, splits: dict[str, np.ndarray]) -> dict[str, float]:
    """Return for each held-out split the weighted mean over classes of the error of its share."""
    total = np.bincount(labels)
    return {
        split: float(np.abs(np.bincount(labels[splits[split]], minlength=len(total)) - 0.1 * total).sum() / len(labels))
        for split in ("validation", "test")
    }


def skewed(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and groups of 6,000 images by 120 writers with preferred classes; some of 40 classes are rare."""
    rng = np.random.default_rng(seed)
    popularity = 1 / np.arange(1, 41)
    groups = rng.choice(120, 6000, p=rng.dirichlet(np.full(120, 2.0)))
    preferences = rng.dirichlet(20 * popularity / popularity.sum(), 120)
    labels = np.array([rng.choice(40, p=preferences[group]) for group in groups])
    return np.unique(labels, return_inverse=True)[1], groups


def test_groups_are_stratified_as_well_as_by_scikit_learn() -> None:
    """If writers prefer different classes, the shares of classes are as close to the fractions as in a fold of
    scikit-learn's StratifiedGroupKFold, on average over sources, and no group is divided."""
    from sklearn.model_selection import StratifiedGroupKFold

    ours, theirs = [], []
    for seed in range(8):
        labels, groups = skewed(seed)
        splits = make_split(labels, groups, key=seed)
        ours += share_errors(labels, splits).values()
        folds = StratifiedGroupKFold(10, shuffle=True, random_state=seed).split(labels, labels, groups)
        held = [rows for _, rows in folds][:2]
        theirs += share_errors(labels, dict(zip(("validation", "test"), held, strict=True))).values()
        assert not set(groups[splits["test"]]) & set(groups[np.concatenate([splits["train"], splits["validation"]])])
    assert np.mean(ours) <= 1.05 * np.mean(theirs), (np.mean(ours), np.mean(theirs))


def test_every_class_is_in_every_split_if_groups_allow_it() -> None:
    """Of classes with three writers each, each split gets one writer."""
    labels = np.concatenate([np.repeat(np.arange(30), 3), np.full(200, 30)])
    groups = np.arange(len(labels))
    for key in range(20):
        splits = make_split(labels, groups, validation=0.2, test=0.2, key=key)
        for split in SPLITS:
            assert len(set(labels[splits[split]])) == 31, (key, split)
        assert abs(len(splits["test"]) - 0.2 * len(labels)) < 0.1 * len(labels)


def test_the_split_is_the_same_on_every_processor() -> None:
    """Writers of the same characters make ties, which a processor's floating-point rounding must not decide."""
    code = (
        "import numpy as np; from epochbank.augment.split.holdout import *; import hashlib\n"
        "digest = hashlib.sha256()\n"
        "for writers in range(4, 30):\n"
        "    for characters in (3, 13, 40):\n"
        "        labels, groups = np.tile(np.arange(characters), writers), np.repeat(np.arange(writers), characters)\n"
        "        rows = split_rows(SplitInput(labels, ['c'] * characters, groups), HeldOut(0.2, 0.1), key=writers)\n"
        "        digest.update(rows['test'].tobytes() + rows['validation'].tobytes())\n"
        "print(digest.hexdigest()[:16])"
    )
    for processor in ("", "Prescott", "Haswell"):
        environment = os.environ | ({"OPENBLAS_CORETYPE": processor} if processor else {})
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "40c6d101ceb7d914"


def test_training_has_every_class_if_possible() -> None:
    """Training has all classes, even those of a single writer."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(60), rng.integers(5, 80, 60))
        labels = np.unique(np.minimum(rng.zipf(1.3, len(groups)), 400), return_inverse=True)[1]
        splits = make_split(labels, groups, key=seed)
        assert len(set(labels[splits["train"]])) == labels.max() + 1, seed


def test_a_class_of_one_group_stays_in_training() -> None:
    """A class that only one group has stays in training: it cannot be tested without being learned."""
    labels = np.concatenate([np.zeros(100, np.int64), np.arange(1, 21)])
    groups = np.concatenate([np.repeat(np.arange(20), 5), np.arange(20, 40)])
    for key in range(20):
        splits = make_split(labels, groups, key=key)
        assert set(labels[splits["train"]]) == set(range(21)), key


# --- Splits that the source defines ---------------------------------------------------------------------------


@few
@given(key=keys, seed=seeds, grouped=st.booleans(), named=st.sets(st.sampled_from([1, 2])))
def test_splits_that_the_source_names_are_used(key: int, seed: int, grouped: bool, named: set[int]) -> None:
    """A split that the source defines is used as it is; the others are drawn from the rest."""
    rng = np.random.default_rng(seed)
    labels, stated = np.tile(np.arange(4), 75), np.full(300, -1, np.int8)
    stated[rng.choice(300, 120, replace=False)] = rng.choice([0, *named], 120)
    groups = np.arange(300) // 5 if grouped else None
    assume(np.bincount(labels[stated <= 0], minlength=4).min() >= 3)
    splits = make_split(labels, groups, key=key, splits=stated)
    assert_every_row_once(splits, 300)
    for number, split in ((1, "validation"), (2, "test")):
        if np.any(stated == number):
            assert np.array_equal(splits[split], np.flatnonzero(stated == number))
        else:
            assert 0 < len(splits[split]) <= 0.2 * 300
            assert not np.any(stated[splits[split]] > 0)
    assert not np.any(stated[splits["train"]] > 0)


def test_a_source_that_names_all_splits() -> None:
    """If the source defines both held-out splits, nothing is drawn, even if classes have few images."""
    stated = np.array([0, 0, 1, 2, -1], np.int8)
    for groups in (None, np.zeros(5, np.int32)):
        splits = make_split(np.array([0, 1, 0, 1, 2]), groups, splits=stated)
        assert {split: rows.tolist() for split, rows in splits.items()} == {
            "train": [0, 1, 4], "validation": [2], "test": [3]
        }  # fmt: skip


# --- Duplicates -----------------------------------------------------------------------------------------------


def duplicates_of(kinds: np.ndarray) -> np.ndarray:
    """Return pairs (row, first row of its kind), as an import finds them for images that a number stands for."""
    first = {kind: row for row, kind in reversed(list(enumerate(kinds.tolist())))}
    pairs = [(row, first[kind]) for row, kind in enumerate(kinds.tolist()) if first[kind] != row]
    return np.array(pairs, np.int64).reshape(-1, 2)


def kinds_in_several_splits(kinds: np.ndarray, splits: dict[str, np.ndarray]) -> int:
    """Return the number of kinds of images that are in more than one split."""
    held = [set(kinds[rows].tolist()) for rows in splits.values()]
    return len((held[0] & held[1]) | (held[0] & held[2]) | (held[1] & held[2]))


@few
@given(key=keys, seed=seeds, kinds=st.integers(30, 280))
def test_duplicates_are_in_one_split(key: int, seed: int, kinds: int) -> None:
    """Without groups, duplicates stay together in one split, and no image is lost."""
    rng = np.random.default_rng(seed)
    labels, kind = np.tile(np.arange(3), 100), rng.integers(0, kinds, 300)
    splits = make_split(labels, key=key, duplicates=duplicates_of(kind))
    assert_every_row_once(splits, 300)
    assert kinds_in_several_splits(kind, splits) == 0


@few
@given(key=keys, seed=seeds, kinds=st.integers(200, 2000), named=st.booleans(), grouped=st.booleans())
def test_duplicates_of_held_out_images_are_left_out(
    key: int, seed: int, kinds: int, named: bool, grouped: bool
) -> None:
    """With groups, or splits that the source defines, duplicates in a less strictly held-out split are left out."""
    rng = np.random.default_rng(seed)
    labels, kind, groups = np.tile(np.arange(3), 100), rng.integers(0, kinds, 300), np.arange(300) // 10
    stated = rng.choice([0, 1, 2], 300).astype(np.int8) if named else None
    arguments = {"key": key, "splits": stated}
    without = make_split(labels, groups if grouped else None, **arguments)
    splits = make_split(labels, groups if grouped else None, **arguments, duplicates=duplicates_of(kind))
    assert kinds_in_several_splits(kind, splits) == 0
    if named or grouped:
        assert np.array_equal(splits["test"], without["test"])
        assert set(splits["validation"]) == {
            row for row in without["validation"] if kind[row] not in kind[without["test"]]
        }
        held = np.concatenate([kind[without["test"]], kind[without["validation"]]])
        assert set(splits["train"]) == {row for row in without["train"] if kind[row] not in held}


def test_oversampled_classes_are_in_every_split() -> None:
    """Ten rare classes of eight images, repeated 25 times each: no class is missing in any split."""
    kind = np.concatenate([np.repeat(np.arange(80), 25), np.arange(80, 2080)])
    labels = np.where(kind < 80, kind // 8, 10 + kind % 10)
    for key in range(20):
        splits = make_split(labels, key=key, duplicates=duplicates_of(kind))
        assert_every_row_once(splits, len(kind))
        assert kinds_in_several_splits(kind, splits) == 0
        for split in SPLITS:
            assert len(set(labels[splits[split]])) == 20, (key, split)
        rare = labels[splits["test"]] < 10
        assert 25 <= rare.sum() / 10 <= 50
        assert abs((~rare).sum() - 200) <= 5


def test_no_training_images_are_refused() -> None:
    """A split without training images is refused: all are in the test split, or duplicates of held-out ones."""
    labels = np.tile(np.arange(2), 20)
    with pytest.raises(
        EpochbankError, match="no training images are left: 40 images are held out, and 0 are duplicates"
    ):
        make_split(labels, splits=np.full(40, 2, np.int8))
    same = np.array([[row, 0] for row in range(1, 40)])
    with pytest.raises(EpochbankError, match="no training images are left"):
        make_split(labels, np.arange(40) // 4, duplicates=same)


def test_no_duplicates_change_nothing() -> None:
    """An empty list of duplicates gives the same split as none."""
    labels = np.tile(np.arange(5), 40)
    before, after = make_split(labels), make_split(labels, duplicates=NO_PAIRS, splits=None)
    assert all(np.array_equal(before[split], after[split]) for split in SPLITS)


# --- Report and warnings ----------------------------------------------------------------------------------


def test_split_facts() -> None:
    """The facts count images, classes and groups, and name missing classes; an empty split has none missing."""
    facts = split_facts(np.array([0, 1, 1, 7]), np.array([3, 3, 9, 9]), names_of(8))
    assert (facts.num_images, facts.classes, facts.groups) == (4, 3, 2)
    assert facts.missing == [f"class {number}" for number in (2, 3, 4, 5, 6)]
    empty = split_facts(np.empty(0, np.int64), None, names_of(8))
    assert (empty.num_images, empty.classes, empty.groups, empty.missing) == (0, 0, None, [])
    lines = split_table({"train": facts, "test": empty}, 8)
    assert "4 images (100.0 %), 3 of 8 classes, 2 groups; lacks class 2, class 3, class 4, ..." in lines[0]
    assert "0 images (0.0 %), 0 of 8 classes" in lines[1]


@dataclass(frozen=True)
class Pairs:
    """The duplicates of a source file, for the warnings."""

    near_duplicates: list[list[int]]
    duplicates: int | None = 0
    near_duplicates_complete: bool = True

    def column(self, name: str) -> np.ndarray:
        assert name == "near_duplicates"
        return np.array(self.near_duplicates, np.int64).reshape(-1, 2)


def warnings_of(
    split: dict[str, list[int]],
    source: Pairs = Pairs([]),
    held_out: HeldOut = HeldOut(0.1, 0.3),  # noqa: B008  frozen
    **arguments: Any,
) -> list[str]:
    rows = {name: np.array(some, np.int64) for name, some in split.items()}
    images = SplitInput(np.array([0, 1, 0, 1, 0, 1]), names_of(2), **arguments)
    return split_warnings(cast(SourceFile, source), images, rows, held_out)


def test_warnings_on_missed_fractions() -> None:
    """Splits by group that miss their fraction warn; those that the source defines, or without groups, do not."""
    groups, splits = np.arange(6), {"train": [0, 1, 3], "validation": [2, 4], "test": [5]}
    (warning,) = warnings_of(splits, groups=groups)
    assert warning.startswith("the validation split has 33.3 % of the images instead of 10 %")
    assert warnings_of(splits) == []
    assert warnings_of(splits, groups=groups, splits=np.array([0, 0, 1, 0, 1, 0], np.int8)) == [
        "the source defines the validation split, so --validation has no effect"
    ]


def test_few_large_groups_among_many_small_ones() -> None:
    """Of four writers with 300 classes each and 20 with four, validation gets one of the four."""
    by_writer = [np.arange(300)] * 4 + [np.arange(180)] + [np.arange(4 * n, 4 * n + 4) for n in range(20)]
    groups = np.repeat(np.arange(25), [len(one) for one in by_writer])
    labels = np.concatenate(by_writer)
    for key in range(10):
        splits = make_split(labels, groups, key=key)
        assert len(set(labels[splits["validation"]])) == 300
        assert len(set(labels[splits["train"]])) == 300
        assert len(set(labels[splits["test"]])) >= 180


def test_duplicates_of_test_images_are_not_drawn() -> None:
    """Validation is drawn without duplicates of test images, so that no class loses its images afterwards."""
    labels, stated = np.tile(np.arange(3), 20), np.where(np.arange(60) < 30, -1, 2).astype(np.int8)
    duplicates = np.array([[row + 30, row] for row in range(24)])
    splits = make_split(labels, splits=stated, duplicates=duplicates, validation=0.34)
    assert sorted(labels[splits["validation"]].tolist()) == [0, 1, 2]
    assert len(splits["train"]) == 3


def test_warnings_on_duplicates_and_groups() -> None:
    """Warnings count duplicates, those left out, those of another class, divided groups, and near-duplicates."""
    split = {"train": [0, 1, 2], "validation": [], "test": [3, 4]}
    arguments = {
        "duplicates": np.array([[5, 4], [2, 0]]),
        "groups": np.array([1, 1, 2, 1, 3, 3]),
        "splits": np.array([0, 0, 0, 2, 2, 0], np.int8),
    }
    pairs = [[3, 0], [2, 1], [5, 3], [4, 1]]
    assert warnings_of(split, Pairs(pairs), HeldOut(0, 0.3), **arguments) == [
        "the source defines the test split, so --test has no effect",
        "exact duplicates of other images: 2; none is in another split",
        "duplicates in no split, because the image that they duplicate is held out: 1",
        "duplicates with another class than the image that they duplicate: 1",
        "groups in several splits, as the source defines them: 1; --split fractions keeps groups together",
        "2 pairs of near-duplicates are in different splits",
    ]
    incomplete = Pairs(pairs[:1], near_duplicates_complete=False)
    assert warnings_of(split, incomplete)[-1] == "at least 1 pair of near-duplicates is in different splits"
    assert "import the source again" in warnings_of(split, Pairs([], duplicates=None))[0]
