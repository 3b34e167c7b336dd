"""The split: whole groups at a time, else class by class; a function of its arguments alone."""

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
from epochbank.augment.ingest.source_file import NO_PAIRS, SourceFile
from epochbank.augment.split.holdout import HeldOut, Pictures, split_key, split_rows
from epochbank.augment.split.report import part_facts, part_lines, split_warnings

few = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])

PARTS = ("train", "validation", "test")
keys = st.integers(0, 2**60 - 1)
fractions = st.sampled_from([0.0, 0.01, 0.1, 0.15, 0.2, 1 / 3, 0.45])
seeds = st.integers(0, 2**32 - 1)


def names_of(count: int) -> list[str]:
    return [f"class {number}" for number in range(count)]


def split(labels: np.ndarray, groups: np.ndarray | None = None, **arguments: Any) -> dict[str, np.ndarray]:
    arguments = {"validation": 0.1, "test": 0.1, "key": 1, "class_names": names_of(int(labels.max()) + 1), **arguments}
    held_out = HeldOut(arguments.pop("validation"), arguments.pop("test"))
    key = arguments.pop("key")
    return split_rows(Pictures(labels, groups=groups, **arguments), held_out, key=key)


def assert_every_row_once(parts: dict[str, np.ndarray], count: int) -> None:
    assert tuple(parts) == PARTS
    for rows in parts.values():
        assert rows.dtype == np.int64
        assert np.all(np.diff(rows) > 0)
    assert np.array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(count))


def sizes(parts: dict[str, np.ndarray]) -> dict[str, int]:
    return {part: len(rows) for part, rows in parts.items()}


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
    """Every row comes once; of every class each part gets its fraction to within a half, and never none if asked."""
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    parts = split(labels, validation=validation, test=test, key=key)
    assert_every_row_once(parts, len(labels))
    for label, count in enumerate(counts):
        got = {part: int((labels[rows] == label).sum()) for part, rows in parts.items()}
        assert got["train"] >= 1
        for part, fraction in (("validation", validation), ("test", test)):
            if fraction == 0:
                assert got[part] == 0
            else:
                # A half, except where a part gets its one picture, or leaves the others theirs.
                assert got[part] == 1 or got["train"] == 1 or abs(got[part] - fraction * count) <= 0.5
                assert got[part] >= 1


def test_many_classes_keep_their_fractions() -> None:
    """Of 100 classes of 50, a tenth each is held out of every single class."""
    labels = np.tile(np.arange(100), 50)
    parts = split(labels)
    for part, each in (("train", 40), ("validation", 5), ("test", 5)):
        assert np.array_equal(np.bincount(labels[parts[part]], minlength=100), np.full(100, each))


def test_smallest_classes_give_one_to_each_part() -> None:
    """A class of three pictures gives one to each part; of four, two stay for training; however large the fraction."""
    labels = np.array([0] * 3 + [1] * 4)
    for fraction in (0.01, 0.4):
        parts = split(labels, validation=fraction, test=fraction)
        assert np.bincount(labels[parts["test"]]).tolist() in ([1, 1], [1, 2])
        assert all(set(labels[rows]) == {0, 1} for rows in parts.values())
        assert [int((labels[parts[part]] == 0).sum()) for part in PARTS] == [1, 1, 1]


def test_held_out_rows_are_scattered() -> None:
    """What is held out lies all over a class, not at its beginning."""
    labels = np.zeros(10_000, np.int64)
    for part in ("validation", "test"):
        rows = split(labels)[part]
        assert len(rows) == 1000
        counts = np.bincount(rows // 1000, minlength=10)
        assert counts.min() > 50
        assert counts.max() < 150


def test_sorted_or_mixed_classes_are_no_matter() -> None:
    """Classes may stand in any order and be of any integer type; an int32 column as a source file has it is fine."""
    for labels in (np.repeat(np.arange(5), 20), np.tile(np.arange(5), 20)):
        for kind in (np.int32, np.int64, np.int8):
            parts = split(labels.astype(kind))
            assert_every_row_once(parts, 100)
            assert sizes(parts) == {"train": 80, "validation": 10, "test": 10}


@pytest.mark.parametrize("zero", [{"validation": 0.0}, {"test": 0.0}, {"validation": 0.0, "test": 0.0}])
def test_fraction_of_nothing_leaves_the_part_empty(zero: dict[str, float]) -> None:
    """A part that is not asked for is empty, with groups and without, and no picture is lost by it."""
    labels = np.tile(np.arange(4), 30)
    for groups in (None, np.arange(120) // 12):
        parts = split(labels, groups, **zero)
        assert_every_row_once(parts, 120)
        for part in ("validation", "test"):
            assert len(parts[part]) == (0 if part in zero else 12)


def test_class_of_one_stays_for_training_where_nothing_is_asked() -> None:
    """Without validation and test part, a class may have a single picture."""
    parts = split(np.array([0, 1, 1]), validation=0, test=0)
    assert parts["train"].tolist() == [0, 1, 2]


def test_too_few_pictures_are_refused() -> None:
    """A class too small for the parts asked for is refused by name, with the numbers and the remedy."""
    labels = np.array([0] * 10 + [1] * 2 + [2] * 5 + [3])
    with pytest.raises(EpochbankError) as caught:
        split(labels, class_names=["many", "two", "five", "one"])
    message = str(caught.value)
    assert message.startswith("2 of 4 classes have fewer than 3 picture(s)")
    assert "test and validation: two, one." in message
    assert "--validation 0" in message
    assert "--test 0" in message
    with pytest.raises(EpochbankError, match=r"1 of 4 classes have fewer than 2 .* split off validation: one\."):
        split(labels, test=0, class_names=["many", "two", "five", "one"])
    parts = split(labels[:-1], test=0, class_names=["many", "two", "five"])
    assert np.bincount(labels[parts["validation"]]).tolist() == [1, 1, 1]


def test_too_few_pictures_of_very_many_classes_are_told_briefly() -> None:
    """Of thousands of classes too small, ten are named and the rest counted."""
    with pytest.raises(EpochbankError, match=r"^3000 of 3000 classes .*class 0, .*class 9 and 2990 more\. Give them"):
        split(np.arange(3000))


# --- Whole groups ----------------------------------------------------------------------------------------


@few
@given(
    counts=st.lists(st.integers(1, 40), min_size=3, max_size=40),
    validation=fractions,
    test=fractions,
    key=keys,
    seed=seeds,
)
def test_no_group_is_torn_apart(counts: list[int], validation: float, test: float, key: int, seed: int) -> None:
    """Every row comes once, no group is in two parts, and each part asked for has at least one."""
    groups = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int32)
    parts = split(np.zeros(len(groups), np.int64), groups, validation=validation, test=test, key=key)
    assert_every_row_once(parts, len(groups))
    within = {part: set(groups[rows].tolist()) for part, rows in parts.items()}
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
def test_parts_of_whole_groups_come_near_their_fractions(
    counts: list[int], validation: float, test: float, key: int
) -> None:
    """With plenty of groups, a part misses its fraction by less than the largest group."""
    groups = np.repeat(np.arange(len(counts)), counts)
    parts = split(np.zeros(len(groups), np.int64), groups, validation=validation, test=test, key=key)
    for part, fraction in (("validation", validation), ("test", test)):
        assert abs(len(parts[part]) - fraction * len(groups)) < max(counts)


@pytest.mark.parametrize("key", range(20))
def test_groups_of_one_size_meet_the_fraction(key: int) -> None:
    """Where all groups are of one size, each part gets the nearest number of them, and at least one."""
    groups = np.repeat(np.arange(50), 7)
    for fraction, expected in ((0.1, 5), (0.12, 6), (0.09, 4.5), (0.2, 10), (0.005, 1)):
        parts = split(np.zeros(350, np.int64), groups, validation=fraction, test=fraction, key=key)
        assert abs(sizes(parts)["validation"] / 7 - expected) <= 0.5
        assert abs(sizes(parts)["test"] / 7 - expected) <= 0.5


def test_one_huge_group_does_not_swallow_the_held_out_parts() -> None:
    """Each part comes as near its fraction as whole groups allow: a huge group among small ones stays in training."""
    groups = np.concatenate([np.zeros(900, np.int64), np.repeat(np.arange(1, 101), 10)])
    for key in range(200):
        parts = split(np.zeros(len(groups), np.int64), groups, key=key)
        assert abs(len(parts["test"]) - 190) <= 10, key
        assert abs(len(parts["validation"]) - 190) <= 10, key


def test_group_numbers_need_not_be_dense() -> None:
    """Group numbers may have gaps, as they do after some pictures were left out."""
    groups = np.array([5, 5, 900, 7, 900, 7, 31, 31], np.int32)
    parts = split(np.zeros(8, np.int64), groups, validation=0.25, test=0.25)
    assert_every_row_once(parts, 8)
    assert sizes(parts) == {"train": 4, "validation": 2, "test": 2}


def test_as_few_groups_as_parts() -> None:
    """Three groups go one to each part, however small they are."""
    for key in range(10):
        groups = np.array([0] * 100 + [1] + [2])
        parts = split(np.zeros(102, np.int64), groups, key=key)
        assert sorted(len(set(groups[rows].tolist())) for rows in parts.values()) == [1, 1, 1]


def test_too_few_groups_are_refused() -> None:
    """Fewer groups than parts asked for are refused, with the numbers and the remedy."""
    groups = np.array([0, 0, 1, 1])
    with pytest.raises(EpochbankError) as caught:
        split(np.zeros(4, np.int64), groups)
    message = str(caught.value)
    assert message.startswith("the source has 2 group(s); expected at least 3")
    assert "each of test and validation" in message
    assert "--validation 0 or --test 0" in message
    with pytest.raises(EpochbankError, match=r"has 1 group\(s\); expected at least 2.*each of validation"):
        split(np.zeros(4, np.int64), np.zeros(4, np.int64), test=0)
    assert sizes(split(np.zeros(4, np.int64), groups, test=0)) == {"train": 2, "validation": 2, "test": 0}


def test_which_groups_are_held_out_is_up_to_the_key() -> None:
    """Over many keys, every group is held out about as often as any other."""
    groups = np.repeat(np.arange(10), 4)
    counts = np.zeros(10)
    for key in range(1000):
        held = split(np.zeros(40, np.int64), groups, validation=0, test=0.2, key=split_key(f"{key:064x}"[::-1]))
        counts += np.bincount(groups[held["test"]], minlength=10) / 4
    assert counts.sum() == 2000
    # 200 each, with a standard deviation of 12.6.
    assert counts.min() > 130
    assert counts.max() < 270


# --- What it depends on ------------------------------------------------------------------------------------


@few
@given(key=keys, seed=seeds, grouped=st.booleans())
def test_depends_on_its_arguments_alone(key: int, seed: int, grouped: bool) -> None:
    """Asked twice it is the same, whatever global generators say; and the arguments are left as they were."""
    labels = np.random.default_rng(seed).integers(0, 4, 200)
    assume(np.bincount(labels, minlength=4).min() >= 3)
    groups = np.arange(200) // 5 if grouped else None
    before = labels.copy(), None if groups is None else groups.copy()
    state = random.getstate(), np.random.get_state()
    first = split(labels, groups, key=key)
    random.seed(seed)
    np.random.seed(seed)
    second = split(labels.astype(np.int32), groups, key=key)
    random.setstate(state[0])
    np.random.set_state(state[1])
    assert all(np.array_equal(first[part], second[part]) for part in PARTS)
    assert np.array_equal(labels, before[0])
    assert groups is None or np.array_equal(groups, before[1])


@pytest.mark.parametrize("grouped", [False, True])
def test_another_key_is_another_split(grouped: bool) -> None:
    """Sources with different digests are split differently."""
    labels, groups = np.zeros(500, np.int64), np.arange(500) // 5 if grouped else None
    held = {split(labels, groups, key=key)["test"].tobytes() for key in range(50)}
    assert len(held) == 50


def test_key_is_taken_from_the_digest() -> None:
    """The key is the head of the hexadecimal digest, below 2^60."""
    assert split_key("ff" * 32) == 2**60 - 1
    assert split_key("00" * 32) == 0
    assert split_key("123456789abcdef0" + "0" * 48) == 0x123456789ABCDEF


def test_golden() -> None:
    """The split of a stored set stays what it is: literals that no change may alter."""
    labels = np.tile(np.arange(2), 10)
    parts = split(labels, validation=0.2, test=0.1, key=0xABCDEF)
    assert (parts["validation"].tolist(), parts["test"].tolist()) == ([5, 6, 7, 8], [0, 17])
    parts = split(labels, np.arange(20) // 2, validation=0.2, test=0.1, key=0xABCDEF)
    assert (parts["validation"].tolist(), parts["test"].tolist()) == ([4, 5, 12, 13], [18, 19])


# --- Groups and classes at once ----------------------------------------------------------------------------


def class_shares(labels: np.ndarray, parts: dict[str, np.ndarray]) -> dict[str, float]:
    """For each held-out part, how far its share of a class is from its fraction: the mean over classes, weighted."""
    total = np.bincount(labels)
    return {
        part: float(np.abs(np.bincount(labels[parts[part]], minlength=len(total)) - 0.1 * total).sum() / len(labels))
        for part in ("validation", "test")
    }


def skewed(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and groups of 6,000 pictures: 120 writers, each with classes that he likes, 40 classes, some rare."""
    rng = np.random.default_rng(seed)
    popularity = 1 / np.arange(1, 41)
    groups = rng.choice(120, 6000, p=rng.dirichlet(np.full(120, 2.0)))
    taste = rng.dirichlet(20 * popularity / popularity.sum(), 120)
    labels = np.array([rng.choice(40, p=taste[group]) for group in groups])
    return np.unique(labels, return_inverse=True)[1], groups


def test_groups_are_stratified_as_well_as_scikit_learn_does_it() -> None:
    """Writers with tastes of their own: each part's share of every class is as near its fraction as that of a fold of
    scikit-learn's StratifiedGroupKFold, on average over sources, and no group is torn apart."""
    from sklearn.model_selection import StratifiedGroupKFold

    ours, theirs = [], []
    for seed in range(8):
        labels, groups = skewed(seed)
        parts = split(labels, groups, key=seed)
        ours += class_shares(labels, parts).values()
        folds = StratifiedGroupKFold(10, shuffle=True, random_state=seed).split(labels, labels, groups)
        held = [rows for _, rows in folds][:2]
        theirs += class_shares(labels, dict(zip(("validation", "test"), held, strict=True))).values()
        assert not set(groups[parts["test"]]) & set(groups[np.concatenate([parts["train"], parts["validation"]])])
    assert np.mean(ours) <= 1.05 * np.mean(theirs), (np.mean(ours), np.mean(theirs))


def test_every_class_is_on_every_side_where_groups_allow_it() -> None:
    """Classes of three writers each, among writers of one class: each part gets one of the three."""
    labels = np.concatenate([np.repeat(np.arange(30), 3), np.full(200, 30)])
    groups = np.arange(len(labels))
    for key in range(20):
        parts = split(labels, groups, validation=0.2, test=0.2, key=key)
        for part in PARTS:
            assert len(set(labels[parts[part]])) == 31, (key, part)
        assert abs(len(parts["test"]) - 0.2 * len(labels)) < 0.1 * len(labels)


def test_the_same_on_every_processor() -> None:
    """Writers who all wrote the same characters make ties, which no processor's way of adding may break."""
    code = (
        "import numpy as np; from epochbank.augment.split.holdout import *; import hashlib\n"
        "digest = hashlib.sha256()\n"
        "for writers in range(4, 30):\n"
        "    for characters in (3, 13, 40):\n"
        "        labels, groups = np.tile(np.arange(characters), writers), np.repeat(np.arange(writers), characters)\n"
        "        rows = split_rows(Pictures(labels, ['c'] * characters, groups), HeldOut(0.2, 0.1), key=writers)\n"
        "        digest.update(rows['test'].tobytes() + rows['validation'].tobytes())\n"
        "print(digest.hexdigest()[:16])"
    )
    for processor in ("", "Prescott", "Haswell"):
        environment = os.environ | ({"OPENBLAS_CORETYPE": processor} if processor else {})
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "40c6d101ceb7d914"


def test_training_has_every_class_that_it_can() -> None:
    """Classes of one writer each, among writers of many classes: training has them all."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(60), rng.integers(5, 80, 60))
        labels = np.unique(np.minimum(rng.zipf(1.3, len(groups)), 400), return_inverse=True)[1]
        parts = split(labels, groups, key=seed)
        assert len(set(labels[parts["train"]])) == labels.max() + 1, seed


def test_training_keeps_its_classes() -> None:
    """A class that one group alone has stays in training, rather than be tested without having been learned."""
    labels = np.concatenate([np.zeros(100, np.int64), np.arange(1, 21)])
    groups = np.concatenate([np.repeat(np.arange(20), 5), np.arange(20, 40)])
    for key in range(20):
        parts = split(labels, groups, key=key)
        assert set(labels[parts["train"]]) == set(range(21)), key


# --- Parts that the source names -----------------------------------------------------------------------------


@few
@given(key=keys, seed=seeds, grouped=st.booleans(), named=st.sets(st.sampled_from([1, 2])))
def test_named_parts_are_obeyed(key: int, seed: int, grouped: bool, named: set[int]) -> None:
    """A part that the source names is what the source says; one that it does not is drawn from what is left."""
    rng = np.random.default_rng(seed)
    labels, stated = np.tile(np.arange(4), 75), np.full(300, -1, np.int8)
    stated[rng.choice(300, 120, replace=False)] = rng.choice([0, *named], 120)
    groups = np.arange(300) // 5 if grouped else None
    assume(np.bincount(labels[stated <= 0], minlength=4).min() >= 3)
    parts = split(labels, groups, key=key, parts=stated)
    assert_every_row_once(parts, 300)
    for number, part in ((1, "validation"), (2, "test")):
        if np.any(stated == number):
            assert np.array_equal(parts[part], np.flatnonzero(stated == number))
        else:
            assert 0 < len(parts[part]) <= 0.2 * 300
            assert not np.any(stated[parts[part]] > 0)
    assert not np.any(stated[parts["train"]] > 0)


def test_all_parts_named() -> None:
    """Where the source names both held-out parts nothing is drawn, however few pictures a class has."""
    stated = np.array([0, 0, 1, 2, -1], np.int8)
    for groups in (None, np.zeros(5, np.int32)):
        parts = split(np.array([0, 1, 0, 1, 2]), groups, parts=stated)
        assert {part: rows.tolist() for part, rows in parts.items()} == {
            "train": [0, 1, 4], "validation": [2], "test": [3]
        }  # fmt: skip


# --- Copies ------------------------------------------------------------------------------------------------


def copies_of(kinds: np.ndarray) -> np.ndarray:
    """What the import finds of pictures whose pixels are told by a number: pairs (row, first row of its kind)."""
    first = {kind: row for row, kind in reversed(list(enumerate(kinds.tolist())))}
    pairs = [(row, first[kind]) for row, kind in enumerate(kinds.tolist()) if first[kind] != row]
    return np.array(pairs, np.int64).reshape(-1, 2)


def sides(kinds: np.ndarray, parts: dict[str, np.ndarray]) -> int:
    """Kinds of pictures that are in more than one part."""
    held = [set(kinds[rows].tolist()) for rows in parts.values()]
    return len((held[0] & held[1]) | (held[0] & held[2]) | (held[1] & held[2]))


@few
@given(key=keys, seed=seeds, kinds=st.integers(30, 280))
def test_copies_are_on_one_side(key: int, seed: int, kinds: int) -> None:
    """Without groups copies stay together, in one part, and no picture is lost."""
    rng = np.random.default_rng(seed)
    labels, kind = np.tile(np.arange(3), 100), rng.integers(0, kinds, 300)
    parts = split(labels, key=key, copies=copies_of(kind))
    assert_every_row_once(parts, 300)
    assert sides(kind, parts) == 0


@few
@given(key=keys, seed=seeds, kinds=st.integers(200, 2000), named=st.booleans(), grouped=st.booleans())
def test_copies_of_what_is_held_out_are_in_no_part(key: int, seed: int, kinds: int, named: bool, grouped: bool) -> None:
    """With groups, or parts of the source's own, those stay as they are: copies in the laxer part are left out."""
    rng = np.random.default_rng(seed)
    labels, kind, groups = np.tile(np.arange(3), 100), rng.integers(0, kinds, 300), np.arange(300) // 10
    stated = rng.choice([0, 1, 2], 300).astype(np.int8) if named else None
    arguments = {"key": key, "parts": stated}
    without = split(labels, groups if grouped else None, **arguments)
    parts = split(labels, groups if grouped else None, **arguments, copies=copies_of(kind))
    assert sides(kind, parts) == 0
    if named or grouped:
        assert np.array_equal(parts["test"], without["test"])
        assert set(parts["validation"]) == {
            row for row in without["validation"] if kind[row] not in kind[without["test"]]
        }
        held = np.concatenate([kind[without["test"]], kind[without["validation"]]])
        assert set(parts["train"]) == {row for row in without["train"] if kind[row] not in held}


def test_classes_oversampled_by_copying_are_on_every_side() -> None:
    """Ten rare classes of eight drawings, each 25 times, among common ones: no class is missing anywhere."""
    kind = np.concatenate([np.repeat(np.arange(80), 25), np.arange(80, 2080)])
    labels = np.where(kind < 80, kind // 8, 10 + kind % 10)
    for key in range(20):
        parts = split(labels, key=key, copies=copies_of(kind))
        assert_every_row_once(parts, len(kind))
        assert sides(kind, parts) == 0
        for part in PARTS:
            assert len(set(labels[parts[part]])) == 20, (key, part)
        rare = labels[parts["test"]] < 10
        assert 25 <= rare.sum() / 10 <= 50
        assert abs((~rare).sum() - 200) <= 5


def test_nothing_left_to_train_on_is_refused() -> None:
    """All pictures in a test part, or copies of what is held out: told, rather than a set without training part."""
    labels = np.tile(np.arange(2), 20)
    with pytest.raises(EpochbankError, match="nothing is left to train on: 40 pictures are held out, and 0 are copies"):
        split(labels, parts=np.full(40, 2, np.int8))
    same = np.array([[row, 0] for row in range(1, 40)])
    with pytest.raises(EpochbankError, match="nothing is left to train on"):
        split(labels, np.arange(40) // 4, copies=same)


def test_no_copies_change_nothing() -> None:
    """A source without copies, groups or parts of its own is split as it always was."""
    labels = np.tile(np.arange(5), 40)
    before, after = split(labels), split(labels, copies=NO_PAIRS, parts=None)
    assert all(np.array_equal(before[part], after[part]) for part in PARTS)


# --- What people are told ----------------------------------------------------------------------------------


def test_part_facts_are_told() -> None:
    """Pictures, classes and groups of a part, and the classes that it lacks; an empty part lacks none."""
    facts = part_facts(np.array([0, 1, 1, 7]), np.array([3, 3, 9, 9]), names_of(8))
    assert (facts.images, facts.classes, facts.groups) == (4, 3, 2)
    assert facts.missing == [f"class {number}" for number in (2, 3, 4, 5, 6)]
    empty = part_facts(np.empty(0, np.int64), None, names_of(8))
    assert (empty.images, empty.classes, empty.groups, empty.missing) == (0, 0, None, [])
    lines = part_lines({"train": facts, "test": empty}, 8)
    assert "4 pictures (100.0 %), 3 of 8 classes, 2 groups; lacks class 2, class 3, class 4, ..." in lines[0]
    assert "0 pictures (0.0 %), 0 of 8 classes" in lines[1]


@dataclass(frozen=True)
class Known:
    """What a source file says of its pairs, for the warnings."""

    alike: list[list[int]]
    copies: int | None = 0
    alike_complete: bool = True

    def column(self, name: str) -> np.ndarray:
        assert name == "alike"
        return np.array(self.alike, np.int64).reshape(-1, 2)


def warnings_of(
    split: dict[str, list[int]],
    source: Known = Known([]),
    held_out: HeldOut = HeldOut(0.1, 0.3),  # noqa: B008  frozen
    **known: Any,
) -> list[str]:
    rows = {part: np.array(held, np.int64) for part, held in split.items()}
    pictures = Pictures(np.array([0, 1, 0, 1, 0, 1]), names_of(2), **known)
    return split_warnings(cast(SourceFile, source), pictures, rows, held_out)


def test_missed_fractions_are_told() -> None:
    """A part drawn by whole groups that is far from its fraction; not one that the source names, nor without groups."""
    groups, parts = np.arange(6), {"train": [0, 1, 3], "validation": [2, 4], "test": [5]}
    (told,) = warnings_of(parts, groups=groups)
    assert told.startswith("the validation part has 33.3 % of the pictures, and was to have 10 %")
    assert warnings_of(parts) == []
    assert warnings_of(parts, groups=groups, parts=np.array([0, 0, 1, 0, 1, 0], np.int8)) == [
        "the validation part is the source's own: --validation does not count"
    ]


def test_few_large_groups_among_many_small_ones() -> None:
    """Four writers of 300 classes each and 20 of four: validation gets a large one rather than next to nothing."""
    written = [np.arange(300)] * 4 + [np.arange(180)] + [np.arange(4 * n, 4 * n + 4) for n in range(20)]
    groups = np.repeat(np.arange(25), [len(one) for one in written])
    labels = np.concatenate(written)
    for key in range(10):
        parts = split(labels, groups, key=key)
        assert len(set(labels[parts["validation"]])) == 300
        assert len(set(labels[parts["train"]])) == 300
        assert len(set(labels[parts["test"]])) >= 180


def test_a_copy_of_an_official_test_picture_is_not_drawn() -> None:
    """Validation is drawn from what may be in it, so that no class is lost by a copy that is left out afterwards."""
    labels, stated = np.tile(np.arange(3), 20), np.where(np.arange(60) < 30, -1, 2).astype(np.int8)
    copies = np.array([[row + 30, row] for row in range(24)])
    parts = split(labels, parts=stated, copies=copies, validation=0.34)
    assert sorted(labels[parts["validation"]].tolist()) == [0, 1, 2]
    assert len(parts["train"]) == 3


def test_copies_and_likenesses_are_told() -> None:
    """Copies, those left out, those under another class, groups torn apart, and pairs that are nearly the same."""
    split = {"train": [0, 1, 2], "validation": [], "test": [3, 4]}
    known = {
        "copies": np.array([[5, 4], [2, 0]]),
        "groups": np.array([1, 1, 2, 1, 3, 3]),
        "parts": np.array([0, 0, 0, 2, 2, 0], np.int8),
    }
    pairs = [[3, 0], [2, 1], [5, 3], [4, 1]]
    own, *told = warnings_of(split, Known(pairs), HeldOut(0, 0.3), **known)
    assert own == "the test part is the source's own: --test does not count"
    assert [sentence.split(": ", 1)[-1].split(";")[0] for sentence in told[:4]] == ["2", "1", "1", "1"]
    for sentence, word in zip(told, ("copies of other", "in no part", "another class", "several parts"), strict=False):
        assert word in sentence
    assert told[4].startswith("2 pairs of pictures on different sides of the split are nearly the same")
    assert warnings_of(split, Known(pairs[:1], alike_complete=False))[-1].startswith("at least 1 pair of pictures")
    assert "import the source again" in warnings_of(split, Known([], copies=None))[0]
