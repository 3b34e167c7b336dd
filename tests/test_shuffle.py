"""Quality of the shuffle compared with a perfect one, measured by the benchmark that the docs quote."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

_PATH = Path(__file__).parents[1] / "benchmarks" / "shuffle.py"
_SPEC = importlib.util.spec_from_file_location("shuffle", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
shuffle = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(shuffle)


def test_a_reused_epoch_is_shuffled_almost_perfectly() -> None:
    """A batch has as many classes as with a perfect shuffle, and about 1 % of the pairs in a batch meet again."""
    measured = shuffle.quality(100_000, 128, 64 * 64, 256, 3000)
    ours, perfect = measured["classes in a batch"]
    assert ours == pytest.approx(perfect, rel=0.005)
    ours, perfect = measured["pairs that meet again"]
    assert perfect < ours < 0.012


def test_images_of_a_chunk_meet_again_if_only_chunks_are_shuffled() -> None:
    """With shuffle="chunks", half of the pairs in a batch of two chunks meet again."""
    measured = shuffle.quality(100_000, 128, 64 * 64, 256, 3000, "chunks")
    ours, perfect = measured["classes in a batch"]
    assert ours == pytest.approx(perfect, rel=0.005)
    assert 0.4 < measured["pairs that meet again"][0] < 0.6


def test_a_small_set_is_shuffled_perfectly() -> None:
    """If an epoch fits into one window, pairs meet again no more often than by chance."""
    ours, perfect = shuffle.quality(1500, 128, 64 * 64, 64, 10)["pairs that meet again"]
    assert ours == pytest.approx(perfect, rel=0.25)


def test_the_measures_distinguish_good_from_bad_shuffling() -> None:
    """If batches are the same again, all pairs meet again; a batch of one class has one class."""
    batches = np.arange(1000) // 100
    assert shuffle.met_again(batches, batches) == 1
    assert shuffle.met_again(batches, np.arange(1000) % 10) == pytest.approx(9 / 99)
    assert shuffle.classes_in_a_batch(batches, batches) == 1
    assert shuffle.classes_in_a_batch(batches, np.arange(1000)) == 100
