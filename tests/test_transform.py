"""`transform=`: targets in another form, through Keras and without it; and what the callback prints."""

import pickle
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from conftest import NOTHING, numbered
from epochbank import AugmentedSequence, open_set
from epochbank.augment.cli import main as augment
from epochbank.augment.errors import EpochbankError
from epochbank.train.feeding.augmented_set import AugmentedSet
from epochbank.train.feeding.sequence import EvaluationSequence

TRAINING_PAGE = Path(__file__).parents[1] / "docs/training.md"


@pytest.fixture(scope="module")
def stored_set(tmp_path_factory: pytest.TempPathFactory) -> AugmentedSet:
    """A set of 160 training images, 4 x 4, in five classes."""
    directory = tmp_path_factory.mktemp("numbered")
    (directory / "nothing.toml").write_text(NOTHING)
    np.savez(directory / "a.npz", images=numbered(200), labels=np.arange(200) % 5)
    words = ["--recipe", str(directory / "nothing.toml"), "--epochs", "2", "--jobs", "1", "--sets", str(directory)]
    result = CliRunner().invoke(augment, ["run", str(directory / "a.npz"), *words])
    assert result.exit_code == 0, result.output
    return open_set(None, directory)


def one_hot(images: np.ndarray, labels: np.ndarray) -> tuple[Any, ...]:
    return images, np.eye(5, dtype="float32")[labels], labels / 4


def classifier() -> keras.Model:
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(5)])
    model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    return model


def assert_transformed(made: tuple[Any, ...], batch: tuple[np.ndarray, np.ndarray]) -> None:
    """Assert that `made` is what `one_hot` makes of `batch`."""
    assert all(np.array_equal(a, b) for a, b in zip(made, one_hot(*batch), strict=True))


def test_every_way_applies_the_transform(stored_set: AugmentedSet) -> None:
    """Training and evaluation sequences, a pickled one too, and `batches` return what the function makes."""
    plain, data = (AugmentedSequence(stored_set, 32, transform=transform) for transform in (None, one_hot))
    for epoch in (0, 3):
        plain.show(epoch)
        data.show(epoch)
        for number in range(len(data)):
            assert_transformed(data[number], plain[number])
    assert_transformed(pickle.loads(pickle.dumps(data))[1], plain[1])
    for method in ("validation", "test"):
        pairs = zip(getattr(stored_set, method)(8, transform=one_hot), getattr(stored_set, method)(8), strict=True)
        for made, batch in pairs:
            assert_transformed(made, batch)
    assert_transformed(EvaluationSequence(stored_set, "test", transform=one_hot)[0], stored_set.test()[0])
    with stored_set.batches(32, transform=one_hot, epochs=1) as made, stored_set.batches(32, epochs=1) as batches:
        for one, other in zip(made, batches, strict=True):
            assert_transformed(one, other)


def test_a_resumed_training_sees_the_same_targets(stored_set: AugmentedSet) -> None:
    """`start`, with which a resumed run skips batches, changes no target."""
    data, resumed = (AugmentedSequence(stored_set, 32, seed=7, transform=one_hot) for _ in range(2))
    data.show(2)
    resumed.show(2)
    resumed.start = 4
    for number in range(len(resumed)):
        assert all(np.array_equal(a, b) for a, b in zip(resumed[number], data[4 + number], strict=True))


def raises(images: np.ndarray, labels: np.ndarray) -> Any:
    return labels["no such column"]  # type: ignore[call-overload]


def returns_labels(images: np.ndarray, labels: np.ndarray) -> Any:
    return labels


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (raises, r"transform=raises raised IndexError on a batch of images uint8 \(32, 4, 4, 1\) and labels int32"),
        (returns_labels, r"transform=returns_labels returned ndarray; expected a tuple \(x, y\) or \(x, y, sample_w"),
        (lambda images, labels: (images,), r"transform=.*<lambda> returned 1 values; expected a tuple"),
    ],
)
def test_a_faulty_transform_is_named(stored_set: AugmentedSet, transform: Any, message: str) -> None:
    """The message has the name of the function, and what it was called with or what it returned."""
    data = AugmentedSequence(stored_set, 32, transform=transform)
    with pytest.raises(EpochbankError, match=message):
        data[0]
    with pytest.raises(Exception, match=message):
        classifier().fit(data, verbose=0, shuffle=False)
    assert isinstance(data.fault, EpochbankError)
    with pytest.raises(EpochbankError, match=message):
        next(stored_set.batches(32, transform=transform))


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (lambda x, y: (x, y[1:]), "returned 32 images in x, but y is for 31; expected the same number"),
        (lambda x, y: (x[::2], y), "returned 16 images in x, but y is for 32"),
        (lambda x, y: (x, y, np.ones(5)), "returned 32 images in x, but sample_weight is for 5"),
        (lambda x, y: (x, {"digit": y, "even": y[2:]}), r"returned 32 images in x, but y\['even'\] is for 30"),
    ],
)
def test_another_number_of_labels_or_weights_is_refused(stored_set: AugmentedSet, transform: Any, message: str) -> None:
    with pytest.raises(EpochbankError, match=message):
        AugmentedSequence(stored_set, 32, transform=transform)[0]


@pytest.mark.parametrize("seed", [-1, 1.5, "0"])
def test_wrong_seeds_are_refused(stored_set: AugmentedSet, seed: Any) -> None:
    for build in (AugmentedSequence, AugmentedSet.batches, AugmentedSet.to_tf_dataset):
        with pytest.raises(EpochbankError, match=rf"seed={seed!r}; expected an int of at least 0"):
            build(stored_set, 32, seed=seed)
    assert len(AugmentedSequence(stored_set, 32, seed=np.int64(3)))  # type: ignore[arg-type]


def test_sets_and_sequences_have_a_short_repr(stored_set: AugmentedSet) -> None:
    """It names the set and what it holds, or how it is divided into steps."""
    path = repr(str(stored_set.path))
    assert repr(stored_set) == f"AugmentedSet({path}, shape=(4, 4, 1), classes=5, epochs=2)"
    assert repr(AugmentedSequence(stored_set, 32)) == f"AugmentedSequence({path}, batch_size=32, steps=10)"
    assert repr(stored_set.test(8)) == f"EvaluationSequence({path}, 'test', batch_size=8, steps=3)"


def test_what_is_no_function_is_refused_at_once(stored_set: AugmentedSet) -> None:
    for build in (
        lambda: AugmentedSequence(stored_set, transform="one-hot"),  # type: ignore[arg-type]
        lambda: stored_set.test(transform="one-hot"),  # type: ignore[arg-type]
        lambda: stored_set.batches(transform="one-hot"),  # type: ignore[arg-type]
    ):
        with pytest.raises(EpochbankError, match="transform='one-hot' is of type str; expected a function of"):
            build()


@pytest.mark.long
def test_the_examples_of_the_training_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """One-hot labels, sample weights and two heads, on 200 digits."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(augment, ["run", "digits", "--limit", "200", "--epochs", "2", "--jobs", "1"])
    assert result.exit_code == 0, result.output
    text = TRAINING_PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text[text.index("## Targets in another form") :], re.DOTALL)
    names: dict[str, Any] = {}
    for block in blocks[:3]:
        exec(block, names)
    assert set(names["scores"]) >= {"digit_accuracy", "even_accuracy"}
    assert names["data"][0][1]["even"].max() == 1
    assert capsys.readouterr().err.count("waited for data") == 3


# --- The sentence on the data wait -----------------------------------------------------------------------------


def test_fit_ends_with_the_data_wait(stored_set: AugmentedSet, capsys: pytest.CaptureFixture) -> None:
    """A user's own `fit` with the callback ends with one sentence, unless it has verbose=0."""
    model, data = classifier(), AugmentedSequence(stored_set, 32, transform=one_hot)
    for verbose, sentences in ((2, 1), (2, 1), (0, 0)):
        model.fit(data, epochs=2, shuffle=False, verbose=verbose, callbacks=[data.callback()])
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Training ")]
        assert len(lines) == sentences
        assert all("waited for data" in line and "--threads" not in line for line in lines)
    model.fit(data, epochs=1, shuffle=False, verbose=2, callbacks=[data.callback(report=False)])
    assert "waited for data" not in capsys.readouterr().err


# --- A set by its path or name ---------------------------------------------------------------------------------


def test_a_path_or_a_name_stands_for_a_set(stored_set: AugmentedSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sequences take an open set, a path or a name in sets/; `open_set` returns an open set as it is."""
    expected = AugmentedSequence(stored_set, 32)[0]
    monkeypatch.chdir(stored_set.path.parent.parent)
    stored_set.path.parent.joinpath("../sets").symlink_to(stored_set.path.parent, target_is_directory=True)
    for given in (stored_set.path, str(stored_set.path), stored_set.path.name):
        data = AugmentedSequence(given, 32)
        assert all(np.array_equal(a, b) for a, b in zip(data[0], expected, strict=True))
        assert len(EvaluationSequence(given, "test")) == 1
    assert open_set(stored_set) is stored_set


@pytest.mark.parametrize("given", [42, None, ["sets"], np.zeros(9000)], ids=["int", "None", "list", "array"])
def test_what_is_no_set_is_named(given: Any) -> None:
    """The message has the value and its type, in a few words, and what is expected."""
    for build in (AugmentedSequence, lambda one: EvaluationSequence(one, "test")):
        if given is None:
            continue
        with pytest.raises(EpochbankError, match=rf"is of type {type(given).__name__}; expected an open set") as caught:
            build(given)
        assert len(str(caught.value)) < 300


def test_an_unknown_split_is_named(stored_set: AugmentedSet) -> None:
    with pytest.raises(EpochbankError, match=r"split 'tests' is unknown; expected one of .*Did you mean `test`\?"):
        stored_set.split("tests")
