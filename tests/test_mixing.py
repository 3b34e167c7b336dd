"""MixUp, CutMix and label smoothing, compared with NumPy, SciPy and Keras."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from conftest import images_of
from epochbank.augment.errors import EpochbankError
from epochbank.train.feeding.augmented_set import AugmentedSet
from epochbank.train.feeding.batch_options import dense_targets, sparse_targets
from epochbank.train.feeding.sequence import AugmentedSequence
from epochbank.train.streaming.batches import Segment
from epochbank.train.streaming.mixing import Mixing, SoftLabels
from epochbank.train.training.soft_loss import SparseSoftAccuracy, SparseSoftCrossentropy
from test_stream import make

SEGMENTS = [Segment("epoch", 2, 1, 64, 96), Segment("train", 0, 0, 5, 37)]


@pytest.fixture
def stored_set(npz: Path, nothing_recipe: Path, tmp_path: Path) -> AugmentedSet:
    return make(npz, nothing_recipe, tmp_path / "sets")


@pytest.mark.parametrize("shape", [(64, 64, 1), (17, 5, 3), (1, 1, 1)], ids=str)
@pytest.mark.parametrize(("mixup", "cutmix"), [(0.3, 0), (0, 1), (0.3, 1)])
def test_images_and_labels_are_mixed_as_drawn(shape: tuple[int, int, int], mixup: float, cutmix: float) -> None:
    """An independent implementation makes the same images, and the label weights are the shares of the images."""
    images, labels = images_of(shape, 64, seed=1), np.arange(64, dtype=np.int32) % 7
    drawn = Mixing(mixup, cutmix, 5).draw(SEGMENTS, images.shape)
    mixed, targets = drawn.images(images, np.empty_like(images)), dense_targets(drawn.labels(labels), 7, 0)
    assert sorted(drawn.partner) == list(range(64))
    for number, partner in enumerate(drawn.partner):
        own, other, weight = images[number].astype(int), images[partner].astype(int), drawn.weights[number]
        expected = np.floor((own * weight + other * (256 - weight)) / 256 + 0.5)
        left, top, width, height = drawn.boxes[number]
        expected[top : top + height, left : left + width] = other[top : top + height, left : left + width]
        assert np.array_equal(mixed[number], expected)
        share = weight / 256 * (1 - width * height / (shape[0] * shape[1]))
        row = np.zeros(7)
        row[labels[number]] += share
        row[labels[partner]] += 1 - share
        assert np.allclose(targets[number], row, atol=1e-6)
    assert not mixup or not cutmix or 0 < (drawn.boxes[:, 2] > 0).mean() < 1 or shape == (1, 1, 1)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_weights_are_beta_distributed(alpha: float) -> None:
    """MixUp's weights and CutMix's shares before clipping follow Beta(alpha, alpha)."""
    draws = [
        Mixing(alpha, 0, 0).draw([Segment("epoch", 0, 0, start, start + 500)], (500, 8, 8, 1)).weights
        for start in range(0, 10_000, 500)
    ]
    weights = np.concatenate(draws) / 256
    # Weights are rounded to 1/256, so compare the distribution at the edges between them.
    edges = np.arange(0.5, 256) / 256
    empirical = np.searchsorted(np.sort(weights), edges) / len(weights)
    assert abs(empirical - stats.beta(alpha, alpha).cdf(edges)).max() < 0.02


def test_boxes_have_the_expected_size() -> None:
    """Without clipping, a CutMix box covers 1 - w of the image; its centers are uniform."""
    boxes = np.concatenate(
        [
            Mixing(0, 1, 0).draw([Segment("epoch", 0, 0, start, start + 500)], (500, 200, 100, 1)).boxes
            for start in range(0, 5000, 500)
        ]
    )
    inside = (boxes[:, :2] > 0).all(1) & (boxes[:, :2] + boxes[:, 2:] < [100, 200]).all(1) & (boxes[:, 2] > 20)
    assert inside.sum() > 100
    assert np.allclose(boxes[inside, 3] / boxes[inside, 2], 2, rtol=0.1)
    # On average 1 - w is 0.5 for alpha 1, of which clipping removes a part.
    assert 0.25 < (boxes[:, 2] * boxes[:, 3] / 20_000).mean() < 0.5


def test_a_batch_is_always_mixed_in_the_same_way(stored_set: AugmentedSet) -> None:
    """Another batch, epoch or seed is mixed differently; the same one is not, whatever came before."""

    def weights(seed: int, epoch: int, number: int) -> bytes:
        data = AugmentedSequence(stored_set, 64, seed=seed, mixup=0.5, cutmix=0.5)
        data.show(epoch)
        images, targets = data[number]
        data.close()
        return images.tobytes() + targets.tobytes()

    assert weights(0, 1, 2) == weights(0, 1, 2)
    assert len({weights(*at) for at in ((0, 1, 2), (1, 1, 2), (0, 3, 2), (0, 1, 3))}) == 4


def test_every_image_is_still_shown_once(numbered_npz: Path, nothing_recipe: Path, tmp_path: Path) -> None:
    """Each training image is the first part of exactly one mixed image per epoch."""
    stored_set = make(numbered_npz, nothing_recipe, tmp_path / "sets")
    plain = list(stored_set.batches(64, 0, epochs=1))
    mixed = list(stored_set.batches(64, 0, epochs=1, cutmix=1))
    assert [len(images) for images, _ in mixed] == [len(images) for images, _ in plain]
    for (_, labels), (_, targets) in zip(plain, mixed, strict=True):
        assert (targets[np.arange(len(labels)), labels] > 0).mean() > 0.9
        assert np.allclose(targets.sum(1), 1)


soft_labels = st.integers(1, 4).flatmap(
    lambda columns: st.tuples(
        st.lists(st.lists(st.integers(0, 8), min_size=columns, max_size=columns), min_size=1, max_size=6),
        st.integers(0, 2**31),
    )
)


@settings(max_examples=40, deadline=None)
@given(soft_labels, st.sampled_from([0.0, 0.1, 0.5]), st.booleans())
def test_sparse_loss_equals_keras_loss_of_dense_targets(
    drawn: tuple[list[list[int]], int], smoothing: float, from_logits: bool
) -> None:
    """`SparseSoftCrossentropy` is `CategoricalCrossentropy`, for soft labels; for labels it is the sparse one."""
    classes, random = np.array(drawn[0], np.int32), np.random.default_rng(drawn[1])
    weights = random.dirichlet(np.ones(classes.shape[1]), len(classes)).astype(np.float32)
    soft, outputs = SoftLabels(classes, weights), random.normal(0, 3, (len(classes), 9)).astype(np.float32)
    if not from_logits:
        outputs = np.asarray(keras.ops.softmax(outputs))
    ours = SparseSoftCrossentropy(from_logits, smoothing)
    theirs = keras.losses.CategoricalCrossentropy(from_logits)
    assert np.isclose(
        ours(sparse_targets(soft), outputs), theirs(dense_targets(soft, 9, smoothing), outputs), rtol=1e-4
    )
    built_in = keras.losses.CategoricalCrossentropy(from_logits, label_smoothing=smoothing)
    assert np.isclose(ours(sparse_targets(soft), outputs), built_in(dense_targets(soft, 9, 0), outputs), rtol=1e-4)
    plain = keras.losses.SparseCategoricalCrossentropy(from_logits)
    assert np.isclose(ours(classes[:, 0], outputs), plain(classes[:, 0], outputs), rtol=1e-4)


def test_sparse_accuracy() -> None:
    """The class with the largest weight counts, or the label."""
    outputs = np.eye(3, dtype=np.float32)
    metric = SparseSoftAccuracy()
    metric.update_state(np.array([[0, 1, 0.6, 0.4], [0, 1, 0.6, 0.4], [2, 0, 0.9, 0.1]], np.float32), outputs)
    assert float(metric.result()) == pytest.approx(2 / 3)
    metric.reset_state()
    metric.update_state(np.array([0, 1, 1]), outputs)
    assert float(metric.result()) == pytest.approx(2 / 3)
    assert metric.name == "accuracy"


@pytest.mark.parametrize("options", [{"mixup": 0.2}, {"cutmix": 1.0}, {"label_smoothing": 0.1}])
def test_dense_targets_have_keras_form(stored_set: AugmentedSet, options: dict[str, Any]) -> None:
    """Targets are float32 (B, classes), rows sum to 1, and `CategoricalCrossentropy` trains on them."""
    data = AugmentedSequence(stored_set, 32, **options)
    images, targets = data[0]
    assert (targets.dtype, targets.shape) == (np.float32, (32, 6))
    assert np.allclose(targets.sum(1), 1)
    model = keras.Sequential([keras.Input(images.shape[1:]), keras.layers.Flatten(), keras.layers.Dense(6)])
    model.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    history = model.fit(data, epochs=1, shuffle=False, verbose=0, callbacks=[data.callback()])
    assert np.isfinite(history.history["loss"][0])


@pytest.mark.parametrize(
    "loss", ["categorical_crossentropy", keras.losses.CategoricalCrossentropy(), keras.losses.categorical_crossentropy]
)
def test_a_loss_of_keras_is_refused_for_sparse_targets(stored_set: AugmentedSet, loss: Any) -> None:
    """The message says what the targets look like; epochbank's loss, and one of the user, are accepted."""
    data = AugmentedSequence(stored_set, 32, mixup=0.2, sparse_targets=True)
    model = keras.Sequential([keras.Input(stored_set.shape), keras.layers.Flatten(), keras.layers.Dense(6)])
    model.compile("sgd", loss)
    with pytest.raises(EpochbankError, match=r"with sparse_targets=True the targets are float32 \(B, 2 m\)"):
        model.fit(data, epochs=1, shuffle=False, verbose=0, callbacks=[data.callback()])
    for accepted in (SparseSoftCrossentropy(), lambda targets, logits: keras.ops.mean(logits**2, axis=1)):
        model.compile("sgd", accepted)
        model.fit(data, epochs=1, shuffle=False, verbose=0, callbacks=[data.callback()])
    data.close()


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", keras.losses.SparseCategoricalCrossentropy()])
@pytest.mark.parametrize("again", [False, True])
def test_a_sparse_loss_is_refused(stored_set: AugmentedSet, loss: Any, again: bool) -> None:
    """The message says what the targets look like, also if the sequence was used before."""
    data = AugmentedSequence(stored_set, 32, mixup=0.2)
    if again:
        data[0]
    model = keras.Sequential([keras.Input(stored_set.shape), keras.layers.Flatten(), keras.layers.Dense(6)])
    model.compile("sgd", loss)
    with pytest.raises(EpochbankError, match=r"expects labels int32 \(B,\), but .* are float32 \(B, 6\)"):
        model.fit(data, epochs=1, shuffle=False, verbose=0, callbacks=[data.callback()])
    data.close()
