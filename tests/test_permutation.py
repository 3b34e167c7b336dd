"""The keyed permutation that orders an epoch and can be computed for single positions."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epochbank.augment.shared.permutation import mix64, order_key, permute, unpermute

few = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
sizes = st.integers(1, 5000)
names = st.text("0123456789abcdef", min_size=1, max_size=64)


def whole(n: int, *parts: str | int) -> np.ndarray:
    return permute(np.arange(n), n, order_key(*parts))


@few
@given(n=sizes, name=names, epoch=st.integers(0, 10**6))
def test_is_a_permutation(n: int, name: str, epoch: int) -> None:
    """For any n and key, every number from 0 to n - 1 occurs exactly once."""
    values = whole(n, name, epoch)
    assert values.dtype == np.int64
    assert np.array_equal(np.sort(values), np.arange(n))


def test_is_a_permutation_for_every_small_size() -> None:
    """This also holds for every small n, where the domain fits worst, and around squares."""
    for n in [*range(1, 200), 1023, 1024, 1025, 3599, 3600, 3601]:
        assert np.array_equal(np.sort(whole(n, "small")), np.arange(n)), n


@few
@given(n=sizes, name=names)
def test_inverse_undoes_it(n: int, name: str) -> None:
    """`unpermute` is the inverse of `permute`, in both directions."""
    index, key = np.arange(n), order_key(name)
    assert np.array_equal(unpermute(permute(index, n, key), n, key), index)
    assert np.array_equal(permute(unpermute(index, n, key), n, key), index)


@few
@given(n=sizes, name=names, data=st.data())
def test_single_positions_agree_with_the_whole_permutation(n: int, name: str, data: st.DataObject) -> None:
    """Positions that are computed alone, repeated, in any order or shape have the values of the whole permutation."""
    chosen = np.array(data.draw(st.lists(st.integers(0, n - 1), max_size=12)), np.int64)
    values = whole(n, name)
    assert np.array_equal(permute(chosen, n, order_key(name)), values[chosen])
    assert np.array_equal(permute(chosen.reshape(-1, 1), n, order_key(name)), values[chosen].reshape(-1, 1))
    for one in chosen.tolist():
        assert int(permute(np.array([one]), n, order_key(name))[0]) == values[one]


@pytest.mark.parametrize("n", [10**9 + 7, 2**40, 10**15])
def test_large_sizes_are_invertible_pointwise(n: int) -> None:
    """For sizes far larger than memory, values are in range, distinct and invertible."""
    key = order_key("large", n)
    index = np.unique(np.random.default_rng(1).integers(0, n, 2000))
    values = permute(index, n, key)
    assert values.min() >= 0
    assert values.max() < n
    assert len(np.unique(values)) == len(index)
    assert np.array_equal(unpermute(values, n, key), index)
    # The values cover the whole range: their mean is within six standard errors of the middle.
    assert abs(values.mean() / n - 0.5) < 6 * np.sqrt(1 / 12 / len(index))


def test_input_is_not_changed() -> None:
    """The array of indices is not modified."""
    index = np.arange(100)
    permute(index, 100, order_key("a"))
    unpermute(index, 100, order_key("a"))
    assert np.array_equal(index, np.arange(100))


def test_different_keys_give_different_orders() -> None:
    """Different epochs, splits and fingerprints give orders that agree in no more places than by chance."""
    n = 1000
    orders = [whole(n, name, split, epoch) for name in "ab" for split in ("train", "epoch") for epoch in range(12)]
    for number, one in enumerate(orders):
        for other in orders[:number]:
            # Two random permutations agree in one place on average (Poisson): 12 is out of reach.
            assert int((one == other).sum()) < 12


def test_same_key_gives_the_same_order() -> None:
    """Two calls with the same key give the same order."""
    assert np.array_equal(whole(777, "a", 3), whole(777, "a", 3))


def test_every_place_is_equally_likely() -> None:
    """Over many keys, every index is mapped to every place about equally often, also for small n."""
    for n in (2, 3, 7, 10):
        keys, table = 2000, np.zeros((n, n))
        for epoch in range(keys):
            table[np.arange(n), whole(n, "even", epoch)] += 1
        expected = keys / n
        spread = ((table - expected) ** 2 / expected).sum()
        freedom = (n - 1) ** 2
        assert spread < freedom + 6 * np.sqrt(2 * freedom), n


@pytest.mark.parametrize("n", [4096, 5000, 99_999])
def test_no_fixed_structure(n: int) -> None:
    """Displacement, neighbors, fixed points and runs are those of a random shuffle."""
    index = np.arange(n)
    for epoch in range(5):
        values = whole(n, "structure", epoch)
        # |i - p(i)| has mean (n^2 - 1) / 3n, and standard error about n sqrt(1 / 18 / n).
        assert abs(np.abs(values - index).mean() - n / 3) < 6 * n * np.sqrt(1 / 18 / n)
        for lag in (1, 2, 3, int(np.sqrt(n)), int(np.sqrt(n)) + 1):
            assert abs(np.corrcoef(values[:-lag], values[lag:])[0, 1]) < 6 / np.sqrt(n), lag
        assert abs(np.corrcoef(index, values)[0, 1]) < 6 / np.sqrt(n)
        assert int((values == index).sum()) < 12
        assert int((np.abs(np.diff(values)) == 1).sum()) < 18
        # No difference between neighbors is frequent, as it would be with a stride or a rotation.
        assert np.unique(np.diff(values) % n, return_counts=True)[1].max() < 15
        ascents = int((np.diff(values) > 0).sum())
        assert abs(ascents - n / 2) < 6 * np.sqrt(n / 12)


def test_any_run_has_images_from_the_whole_source() -> None:
    """A run of positions, such as a shard, contains images from all parts of the source."""
    n = 20_000
    values = whole(n, "runs")
    for start in range(0, n, 1000):
        counts = np.bincount(values[start : start + 1000] * 10 // n, minlength=10)
        # Hypergeometric: 100 on average, with a standard deviation of 9.
        assert counts.min() > 100 - 55
        assert counts.max() < 100 + 55


@pytest.mark.parametrize("bad", [[-1], [10], [3, 11], [-5, 3]])
@pytest.mark.parametrize("function", [permute, unpermute])
def test_index_outside_is_refused(function, bad: list[int]) -> None:
    """An index outside 0 to n - 1 raises an error with the received and the expected range."""
    with pytest.raises(ValueError, match=rf"{min(bad)} to {max(bad)}; expected 0 to 9"):
        function(np.array(bad), 10, order_key("a"))


def test_no_indices_give_no_values() -> None:
    """An empty array of indices gives an empty result, even for n = 0."""
    for n in (0, 1, 10):
        assert permute(np.empty(0, np.int64), n, order_key("a")).shape == (0,)


def test_golden() -> None:
    """The orders of stored sets must never change: these values are literals."""
    assert whole(10, "golden", 1).tolist() == [8, 0, 3, 2, 7, 6, 1, 9, 4, 5]
    some = permute(np.array([0, 1, 2, 999_999]), 1_000_000, order_key("golden", "epoch", 7))
    assert some.tolist() == [478440, 306795, 102634, 375041]
    assert [hex(word) for word in order_key("golden", 1)[:2].tolist()] == ["0x61562566b344343", "0x86fee362fbeb364c"]


def test_mix64_is_splitmix64() -> None:
    """`mix64` gives the published first outputs of SplitMix64 with seed 1234567."""
    # State k of the generator is seed + k * gamma, and mix64 adds one gamma itself.
    gamma = 0x9E3779B97F4A7C15
    states = np.array([(1234567 + k * gamma) % 2**64 for k in range(3)], np.uint64)
    assert mix64(states).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]
