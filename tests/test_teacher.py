"""Teacher labels: those of the model for each stored image, with it in every batch, and never damaged ones."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  registers the filters
import keras
import numpy as np
import pytest
from click.testing import CliRunner

import epochbank
from conftest import NOTHING, numbered, numbers
from epochbank.augment.cli import main as augment
from epochbank.augment.errors import EpochbankError
from epochbank.augment.store.digest import file_checksum
from epochbank.train.cli import main as train
from epochbank.train.feeding.augmented_set import AugmentedSet, open_set
from epochbank.train.feeding.sequence import AugmentedSequence
from epochbank.train.streaming.batches import TrainingBatches
from epochbank.train.streaming.distill import parse_distill, softened
from epochbank.train.streaming.mixing import Mixing
from epochbank.train.training import teach as teach_module
from epochbank.train.training.checkpoint import Checkpoint
from epochbank.train.training.soft_loss import SparseSoftAccuracy, SparseSoftCrossentropy
from test_stream import make

CLASSES = 5


def linear(path: Path, seed: int = 0, classes: int = CLASSES, *, softmax: bool = False) -> Path:
    """Save a model whose outputs depend on the number of a `numbered` image."""
    keras.utils.set_random_seed(seed)
    layers = [keras.Input((4, 4, 1), dtype="uint8"), keras.layers.Rescaling(1 / 60), keras.layers.Flatten()]
    layers.append(keras.layers.Dense(classes, activation="softmax" if softmax else None))
    model = keras.Sequential(layers)
    model.layers[-1].kernel.assign(np.random.default_rng(seed).normal(size=(16, classes)))
    model.save(path)
    return path


def probabilities(model: Path, images: np.ndarray) -> np.ndarray:
    """Return the probabilities of all classes, (n, classes), by Keras' own `predict` and softmax."""
    loaded = keras.saving.load_model(model, compile=False)
    outputs = loaded.predict(images, verbose=0).astype(np.float64)
    return np.asarray(keras.ops.softmax(outputs))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a set of 1,000 numbered images, two stored epochs, the model `model.keras`, and its labels `all`
    (every class) and `top` (the top 2)."""
    folder = tmp_path_factory.mktemp("teacher")
    np.savez(folder / "numbered.npz", images=numbered(1000), labels=np.arange(1000) % CLASSES)
    (folder / "nothing.toml").write_text(NOTHING)
    stored_set = make(folder / "numbered.npz", folder / "nothing.toml", folder / "sets")
    linear(folder / "model.keras")
    epochbank.teach(stored_set, folder / "model.keras", teacher="all")
    epochbank.teach(stored_set, folder / "model.keras", teacher="top", top=2, batch_size=10)
    return folder


@pytest.fixture
def stored_set(made: Path) -> AugmentedSet:
    return open_set(None, made / "sets")


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> AugmentedSet:
    """A copy that a test may change."""
    shutil.copytree(made / "sets", tmp_path / "sets")
    return open_set(None, tmp_path / "sets")


def shards(stored_set: AugmentedSet, name: str) -> list[Path]:
    return sorted((stored_set.path / "teachers" / name).glob("*/*.h5"))


@lru_cache
def taught(model: Path) -> np.ndarray:
    """Return the probabilities of all classes of the image with each number, rounded to float16."""
    return probabilities(model, numbered(1000)).astype(np.float16).astype(np.float64)


def test_labels_are_those_of_an_independent_prediction(made: Path, stored_set: AugmentedSet) -> None:
    """Each shard of the training split and of each epoch has the top classes of the images read with h5py."""
    files = shards(stored_set, "top")
    assert {path.parent.name for path in files} == {"train", "epoch-0000", "epoch-0001"}
    count = 0
    for path in files:
        with h5py.File(stored_set.path / path.parent.name / path.name) as images, h5py.File(path) as labels:
            expected = probabilities(made / "model.keras", images["image"][:])
            order = np.argsort(-expected, 1)[:, :2]
            assert np.array_equal(labels["class"][:], order)
            stored = labels["probability"][:]
            assert (labels["class"].dtype, stored.dtype, labels["class"].nbytes) == ("uint16", "f2", 4 * len(stored))
            assert np.allclose(stored, np.take_along_axis(expected, order, 1), rtol=1e-3, atol=1e-6)
            count += len(stored)
    assert count == 3 * stored_set.num_images["train"]


@pytest.mark.parametrize("size", [1, 64, 100, 10_000])
def test_labels_do_not_depend_on_the_batch_size(made: Path, copy: AugmentedSet, size: int) -> None:
    """All shards and the manifest have the same bytes."""
    epochbank.teach(copy, made / "model.keras", teacher="again", batch_size=size)
    for path in [*shards(copy, "all"), copy.path / "teachers/all/manifest.jsonl"]:
        assert path.read_bytes() == Path(str(path).replace("/all/", "/again/")).read_bytes()


def test_probabilities_are_not_softened_twice(made: Path, tmp_path: Path, copy: AugmentedSet) -> None:
    """A model that ends in a softmax gives the labels of the same model without it."""
    linear(tmp_path / "softmax.keras", softmax=True)
    epochbank.teach(copy, tmp_path / "softmax.keras", teacher="softmax")
    for path, other in zip(shards(copy, "all"), shards(copy, "softmax"), strict=True):
        with h5py.File(path) as a, h5py.File(other) as b:
            assert np.allclose(a["probability"][:], b["probability"][:], atol=1e-3)


def test_a_killed_run_is_continued(made: Path, copy: AugmentedSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each of several interruptions, what is published stays; in the end all is as without them."""
    shutil.rmtree(copy.path / "teachers/all")
    label = teach_module._labels
    for allowed in (0, 1, 4):
        calls = iter(range(allowed))

        def stop(*arguments: Any, calls: Any = calls) -> Any:
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return label(*arguments)

        monkeypatch.setattr(teach_module, "_labels", stop)
        with pytest.raises(KeyboardInterrupt, match="Run the same command to continue"):
            epochbank.teach(copy, made / "model.keras", teacher="all")
        monkeypatch.setattr(teach_module, "_labels", label)
    with pytest.raises(EpochbankError, match="has no labels for"):
        copy.batches(64, teacher="all")
    assert len(shards(copy, "all")) == 5
    (copy.path / "teachers/all/.tmp-123-left").write_bytes(b"half a shard")
    result = epochbank.teach(copy, made / "model.keras", teacher="all")
    assert result.shards == len(shards(copy, "all")) - 5
    original = open_set(None, made / "sets")
    for path, other in zip(shards(original, "all"), shards(copy, "all"), strict=True):
        assert path.read_bytes() == other.read_bytes()
    assert not list(copy.path.rglob(".tmp-*"))
    assert epochbank.teach(copy, made / "model.keras", teacher="all").images == 0


@pytest.mark.long
def test_after_sigkill_the_same_command_continues(made: Path, copy: AugmentedSet) -> None:
    """A shard that was renamed, but is not in the manifest yet, does not exist; it is written again."""
    shutil.rmtree(copy.path / "teachers/all")
    code = f"""
import itertools, os, signal, epochbank
from epochbank.train.training import teach
move, count = teach.move, itertools.count()
def killed(*words):
    move(*words)
    if next(count) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
teach.move = killed
epochbank.teach({str(copy.path)!r}, {str(made / "model.keras")!r}, teacher="all")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120)
    assert done.returncode == -9
    assert len(shards(copy, "all")) == 4
    assert len((copy.path / "teachers/all/manifest.jsonl").read_text().splitlines()) == 3
    epochbank.teach(copy, made / "model.keras", teacher="all")
    for path, other in zip(shards(open_set(None, made / "sets"), "all"), shards(copy, "all"), strict=True):
        assert path.read_bytes() == other.read_bytes()
    assert epochbank.verify(copy, jobs=1) == []


def test_epochs_that_are_added_later(made: Path, copy: AugmentedSet) -> None:
    """A sequence refuses a new epoch until the same command has added its labels; earlier shards stay."""
    before = {path: path.stat().st_mtime_ns for path in shards(copy, "all")}
    epochbank.generate(made / "numbered.npz", made / "nothing.toml", 3, sets=copy.path.parent, jobs=1)
    longer = open_set(copy.path)
    assert longer.epochs == (0, 1, 2)
    with pytest.raises(EpochbankError, match=r"no labels for stored epoch 2\. Add them: augment teach .* --name all"):
        AugmentedSequence(longer, 64, teacher="all")
    result = epochbank.teach(longer, made / "model.keras", teacher="all")
    assert (result.images, result.epochs) == (longer.num_images["train"], [0, 1, 2])
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert len(list(longer.batches(64, teacher="all", epochs=3))) > 0


def test_a_followed_set_refuses_an_epoch_without_labels(made: Path, copy: AugmentedSet) -> None:
    """Training shows the epochs that have labels, and then names the command; with the labels it continues."""
    data = AugmentedSequence(copy.path, 64, originals=0, follow=True, teacher="all", prefetch=1)
    _ = data[0]
    epochbank.generate(made / "numbered.npz", made / "nothing.toml", 3, sets=copy.path.parent, jobs=1)
    data.show(1)
    data.show(2)
    with pytest.raises(EpochbankError, match="no labels for stored epoch 2"):
        _ = data[0]
    assert "augment teach" in str(data.fault)
    epochbank.teach(copy.path, made / "model.keras", teacher="all")
    images, targets = data[0]
    expected = taught(made / "model.keras")[numbers(images)]
    own = np.eye(CLASSES)[numbers(images) % CLASSES]
    assert np.allclose(targets, (own + expected) / 2, atol=1e-3)
    data.close()


def expected_targets(model: Path, images: np.ndarray, share: float, top: int) -> np.ndarray:
    """Return the soft targets of numbered images, (n, classes), from the model and the labels, by their definition."""
    rows = taught(model)[numbers(images)]
    order = np.argsort(-rows, 1)
    left = np.maximum(1 - np.take_along_axis(rows, order[:, :top], 1).sum(1, keepdims=True), 0)
    others = CLASSES - top
    targets = np.tile(left / others if others else 0 * left, CLASSES)
    np.put_along_axis(targets, order[:, :top], np.take_along_axis(rows, order[:, :top], 1), 1)
    targets /= targets.sum(1, keepdims=True)
    return (1 - share) * np.eye(CLASSES)[numbers(images) % CLASSES] + share * targets


@pytest.mark.parametrize(("name", "top"), [("all", 5), ("top", 2)])
@pytest.mark.parametrize(
    "options",
    [
        {"originals": 0.5},
        {"originals": 0, "shuffle": "chunks"},
        {"originals": 1, "threads": 1},
        {"originals": 0.3, "rank": 1, "world_size": 3},
        {"originals": 0.25, "drop_last": True, "distill": (0.9, 1)},
    ],
)
def test_labels_stay_with_their_images(
    made: Path, stored_set: AugmentedSet, name: str, top: int, options: dict[str, Any]
) -> None:
    """In three epochs of shuffled batches each image has its own labels."""
    share = options.get("distill", (0.5, 1))[0]
    count = 0
    for images, targets in stored_set.batches(37, seed=3, epochs=3, teacher=name, **options):
        assert targets.dtype == np.float32
        assert np.allclose(targets.sum(1), 1, atol=1e-5)
        expected = expected_targets(made / "model.keras", images, share, top)
        # float16 leaves errors of the sum, which the other classes get.
        assert np.allclose(targets, expected, atol=2e-3)
        count += len(images)
    assert count >= 3 * stored_set.num_images["train"] // options.get("world_size", 1) - 3 * 37


def test_final_augmentation_views_and_mixing_keep_the_labels(made: Path, stored_set: AugmentedSet) -> None:
    """Views repeat the labels, and MixUp and CutMix mix them as they mix the images."""
    plain = stored_set.batches(30, seed=1, epochs=1, teacher="top")
    views = stored_set.batches(60, seed=1, epochs=1, teacher="top", final="characters", views=2)
    split = stored_set.batches(60, seed=1, epochs=1, teacher="top", final="characters", views=2, split_views=True)
    batches = TrainingBatches(stored_set.num_images["train"], stored_set.epochs, 30, 0.5)
    mixed = stored_set.batches(30, seed=1, epochs=1, teacher="top", mixup=0.4, cutmix=1)
    for number, one in enumerate(zip(plain, views, split, mixed, strict=True)):
        (images, targets), (_, twice), (both, once), (blended, soft) = one
        assert np.array_equal(twice, np.tile(targets, (2, 1)))
        assert np.array_equal(once, targets)
        assert len(both) == 2
        drawn = Mixing(0.4, 1, 1).draw(batches.segments(0, number), images.shape)
        own = drawn.kept[:, None]
        assert np.allclose(soft, targets * own + targets[drawn.partner] * (1 - own), atol=1e-6)
        assert np.array_equal(blended, drawn.images(images, np.empty_like(images)))


def test_the_same_everywhere_and_when_continued(stored_set: AugmentedSet) -> None:
    """`AugmentedSequence`, `batches` from the middle, and `to_tf_dataset` deliver the same batches; so does torch."""
    pytest.importorskip("tensorflow")
    options: dict[str, Any] = {"teacher": "top", "distill": (0.7, 1), "label_smoothing": 0.1}
    expected = list(stored_set.batches(64, seed=2, epochs=2, **options))
    data = AugmentedSequence(stored_set, 64, seed=2, **options)
    half = len(data)
    for epoch in range(2):
        data.show(epoch)
        for number in reversed(range(half)):
            for a, b in zip(data[number], expected[epoch * half + number], strict=True):
                assert np.array_equal(a, b)
    data.close()
    later = stored_set.batches(64, seed=2, first_epoch=1, first_batch=3, epochs=1, **options)
    for (_, a), (_, b) in zip(later, expected[half + 3 :], strict=True):
        assert np.array_equal(a, b)
    for (_, a), (_, b) in zip(stored_set.to_tf_dataset(64, seed=2, **options), expected[:half], strict=True):
        assert np.array_equal(a.numpy(), b)


def test_the_same_in_torch(stored_set: AugmentedSet) -> None:
    """PyTorch's batches are those of `batches`."""
    pytest.importorskip("torch")
    options: dict[str, Any] = {"teacher": "top", "distill": (0.7, 1), "label_smoothing": 0.1}
    expected = stored_set.batches(64, seed=2, epochs=1, **options)
    for (_, a), (_, b) in zip(stored_set.to_torch(64, seed=2, **options), expected, strict=True):
        assert np.array_equal(a.numpy(), b)


def test_images_of_a_batch_may_be_changed(stored_set: AugmentedSet) -> None:
    """Batches are not views of memory that another batch uses."""
    data = AugmentedSequence(stored_set, 16, originals=0, teacher="all", shuffle="chunks")
    before = data[0][0].copy()
    data[0][0][:] = 0
    assert np.array_equal(data[0][0], before)
    data.close()


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


@pytest.mark.parametrize(("share", "temperature"), [(0.5, 1), (0.3, 2), (1, 4), (0, 3)])
@pytest.mark.parametrize("mixup", [0, 0.5])
@pytest.mark.parametrize("smoothing", [0, 0.2])
def test_the_loss_is_that_of_the_formula(
    made: Path, stored_set: AugmentedSet, share: float, temperature: float, mixup: float, smoothing: float
) -> None:
    """(1 - A) CE(label) + A T^2 CE(teacher at T, student at T), for logits and for probabilities."""
    options: dict[str, Any] = {"seed": 4, "label_smoothing": smoothing}
    data = AugmentedSequence(
        stored_set, 32, teacher="all", distill=(share, temperature), mixup=mixup, sparse_targets=True, **options
    )
    targets = data[0][1]
    images = AugmentedSequence(stored_set, 32, seed=4)[0][0]
    rows = taught(made / "model.keras")[numbers(images)] ** (1 / temperature)
    rows /= rows.sum(1, keepdims=True)
    own = np.eye(CLASSES)[numbers(images) % CLASSES] * (1 - smoothing) + smoothing / CLASSES
    if mixup:
        segments = data.stream.batches.segments(0, 0)
        drawn = Mixing(mixup, 0, 4).draw(segments, images.shape)
        kept = drawn.kept[:, None]
        rows, own = (one * kept + one[drawn.partner] * (1 - kept) for one in (rows, own))
    logits = np.random.default_rng(0).normal(size=(32, CLASSES)) * 3
    student, cold = log_softmax(logits / temperature), log_softmax(logits)
    expected = -(1 - share) * (own * cold).sum(1) - share * temperature**2 * (rows * student).sum(1)
    loss = SparseSoftCrossentropy(True, smoothing, temperature)
    got = np.asarray(loss.call(targets, keras.ops.convert_to_tensor(logits, "float32")))
    assert np.allclose(got, expected, rtol=2e-3, atol=2e-3)
    again = SparseSoftCrossentropy.from_config({**loss.get_config(), "from_logits": False})
    assert np.allclose(np.asarray(again.call(targets, np.exp(cold).astype("float32"))), got, rtol=1e-3, atol=1e-3)
    if temperature == 1:  # One soft target, dense or sparse.
        dense = AugmentedSequence(stored_set, 32, teacher="all", distill=(share, 1), mixup=mixup, **options)
        categorical = keras.losses.CategoricalCrossentropy(from_logits=True, reduction=None)
        assert np.allclose(np.asarray(categorical(dense[0][1], logits.astype("float32"))), got, atol=1e-4)
        dense.close()
    accuracy = SparseSoftAccuracy()
    accuracy.update_state(targets, logits)
    assert mixup or float(accuracy.result()) == np.mean(logits.argmax(1) == numbers(images) % CLASSES)
    data.close()


def test_the_rest_is_at_most_the_least_stored_probability() -> None:
    """Rounding to float16 leaves no weight to other classes that a high temperature would blow up."""
    stored = np.array([[0.9996, 1e-6, 1e-7]], np.float16)
    top, other = softened(stored, 1000, 4)
    assert np.isclose(top.sum() + 997 * other[0], 1)
    assert other[0] <= top[0, 2] < top[0, 1] < top[0, 0]
    top, other = softened(np.array([[0.5, 0.25]], np.float16), 7, 1)
    assert np.allclose([*top[0], *other], [0.5, 0.25, 0.05])


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def test_a_flipped_byte_is_refused(made: Path, copy: AugmentedSet) -> None:
    """A damaged class or probability is named when it is read and by `augment verify`, and can be written again."""
    path = copy.path / "teachers/all/epoch-0001/0000000150.h5"
    whole = path.read_bytes()
    for dataset in ("class", "probability", "checksum"):
        with h5py.File(path) as file:
            offset = file[dataset].id.get_offset() + 33 % file[dataset].nbytes
        flip(path, offset)
        with pytest.raises(EpochbankError, match="labels of a teacher for positions") as caught:
            list(copy.batches(64, originals=0, epochs=2, teacher="all"))
        assert str(path) in str(caught.value)
        (fault,) = epochbank.verify(copy, jobs=1)
        assert str(path) in fault
        assert "`augment teach`" in fault
        path.write_bytes(whole)
    assert epochbank.verify(copy, jobs=1) == []
    path.unlink()
    with pytest.raises(EpochbankError, match="the file is missing"):
        copy.batches(64, teacher="all")
    assert epochbank.teach(copy, made / "model.keras", teacher="all").shards == 1
    assert path.read_bytes() == whole
    assert epochbank.verify(copy, jobs=1) == []


@pytest.mark.long
def test_every_damaged_byte_of_a_shard_is_found(copy: AugmentedSet) -> None:
    """Wherever a byte of the file is changed, `verify` finds it, and nobody trains on other labels."""
    path = copy.path / "teachers/all/epoch-0001/0000000150.h5"
    whole = path.read_bytes()
    expected = [targets for _, targets in copy.batches(300, originals=0, first_epoch=1, epochs=1, teacher="all")]
    for offset in np.random.default_rng(0).integers(0, len(whole), 25).tolist():
        flip(path, offset)
        assert len(epochbank.verify(copy, jobs=1, source=False)) == 1
        try:
            batches = copy.batches(300, originals=0, first_epoch=1, epochs=1, teacher="all")
            received = [targets for _, targets in batches]
        except EpochbankError:
            received = expected
        assert all(np.array_equal(a, b) for a, b in zip(received, expected, strict=True))
        path.write_bytes(whole)


def test_lost_and_damaged_descriptions(made: Path, copy: AugmentedSet) -> None:
    """`teacher.json` and the manifest of a teacher are verified, and a fault names the way out."""
    folder = copy.path / "teachers/all"
    for name, change in (("teacher.json", b"fingerprint"), ("manifest.jsonl", b'"epoch":1')):
        text = (folder / name).read_bytes()
        assert change in text
        (folder / name).write_bytes(text.replace(change, change[:-1] + b"2", 1))
        for attempt in (lambda: copy.batches(64, teacher="all"), lambda: epochbank.info(copy)):
            with pytest.raises(EpochbankError, match="augment teach"):
                attempt()
        (fault,) = epochbank.verify(copy, jobs=1)
        assert str(folder / name) in fault
        (folder / name).write_bytes(text)
    (folder / "teacher.json").unlink()
    with pytest.raises(EpochbankError, match=r"no teacher\.json that says of which model"):
        epochbank.teach(copy, made / "model.keras", teacher="all")


def test_refusals(made: Path, copy: AugmentedSet, tmp_path: Path) -> None:
    """Another model under the same name, another --top, other classes or shapes, unknown names, impossible values."""
    model, other = made / "model.keras", linear(tmp_path / "other.keras", seed=1)
    for message, arguments in (
        (r"teacher 'all' .* is another model \(digest", {"model": other, "teacher": "all"}),
        (r"has the top 2 classes .* instead of 3", {"model": model, "teacher": "top", "top": 3}),
        (r"output of shape \(None, 4\); expected \(None, 5\)", {"model": linear(tmp_path / "four.keras", classes=4)}),
        ("teacher name '../x' is invalid", {"model": model, "teacher": "../x"}),
        ("is not a file", {"model": tmp_path / "none.keras"}),
        ("is not a run directory", {"model": tmp_path}),
        ("batch_size=0 is invalid", {"model": model, "batch_size": 0}),
    ):
        with pytest.raises(EpochbankError, match=message):
            epochbank.teach(copy, **arguments)  # type: ignore[arg-type]
    (tmp_path / "broken.keras").write_bytes(model.read_bytes()[:500])
    with pytest.raises(EpochbankError, match="cannot be loaded in Keras' safe mode"):
        epochbank.teach(copy, tmp_path / "broken.keras")
    assert sorted(path.name for path in (copy.path / "teachers").iterdir()) == ["all", "top"]
    with pytest.raises(EpochbankError, match=r"no teacher 'tpo'; expected one of all, top\. Did you mean `top`"):
        copy.batches(64, teacher="tpo")
    with pytest.raises(EpochbankError, match="temperature 2 with dense targets"):
        copy.batches(64, teacher="top", distill=(0.5, 2))
    for text in ("2:1", "0.5:0.5", "-0.1:1", "nan:1", "0.5:inf", "0.5:1:1", "half", ""):
        with pytest.raises(EpochbankError, match="distill"):
            parse_distill(text)
    assert parse_distill("0.25") == (0.25, 1)


def test_a_model_with_code_is_not_executed(copy: AugmentedSet, tmp_path: Path) -> None:
    """A Lambda layer in a `.keras` file is refused by Keras' safe mode."""
    model = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Lambda(lambda x: x[:, :CLASSES])]
    )
    model.save(tmp_path / "code.keras")
    with pytest.raises(EpochbankError, match=r"code\.keras cannot be loaded in Keras' safe mode"):
        epochbank.teach(copy, tmp_path / "code.keras")
    assert not (copy.path / "teachers/code").exists()


def call(program: Any, *words: object) -> str:
    done = CliRunner().invoke(program, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.long
def test_from_run_to_run(npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run teaches another one: `augment teach`, `train fit --teacher`, interrupted and resumed to the bit."""
    monkeypatch.chdir(tmp_path)
    call(augment, "run", npz, "--epochs", 2, "--jobs", 1, "--name", "glyphs")
    call(train, "fit", "glyphs", "--epochs", 1, "--batch-size", 32, "--run", "runs/big")
    text = call(augment, "teach", "glyphs", "--model", "runs/big")
    assert "the top 6 of 6 classes, 24 bytes per image" in text
    facts = json.loads(call(augment, "teach", "glyphs", "--model", "big", "--name", "big", "--json"))
    assert (facts["images"], facts["epochs"], facts["bytes_per_image"]) == (0, [0, 1], 24)
    assert facts["model"] == file_checksum(Path("runs/big/model.keras"))
    options = ["--epochs", 2, "--batch-size", 32, "--teacher", "big", "--distill", "0.5:2", "--deterministic"]
    options += ["--mixup", 0.2, "--checkpoint-steps", 5]
    call(train, "fit", "glyphs", *options, "--run", "runs/whole")
    config = json.loads(Path("runs/whole/config.json").read_text())
    assert (config["teacher"], config["distill"], config["teacher_model"]) == ("big", "0.5:2", facts["model"])
    begin = Checkpoint.on_train_batch_begin

    def stop(self: Checkpoint, batch: int, logs: Any = None) -> None:
        begin(self, batch, logs)
        if self._data.epoch == 1 and batch == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "on_train_batch_begin", stop)
    assert CliRunner().invoke(train, ["fit", "glyphs", *map(str, options), "--run", "runs/part"]).exit_code == 130
    monkeypatch.setattr(Checkpoint, "on_train_batch_begin", begin)
    resume = ["fit", "--resume", "runs/part"]
    name = next(Path("sets").glob("*/teachers/big"))
    shutil.copytree(name, "kept")
    shutil.rmtree(name)
    call(augment, "teach", "glyphs", "--model", "runs/whole", "--name", "big")
    done = CliRunner().invoke(train, resume)
    assert done.exit_code == 1
    assert "teacher 'big'" in done.output
    assert "is another model than the one that runs/part was trained with" in done.output
    shutil.rmtree(name)
    Path("kept").rename(name)
    call(train, *resume)
    whole, part = (keras.saving.load_model(f"runs/{one}/model.keras", compile=False) for one in ("whole", "part"))
    for one, other in zip(whole.get_weights(), part.get_weights(), strict=True):
        assert np.array_equal(one, other)
    losses = [[row.split(",")[1] for row in Path(f"runs/{one}/metrics.csv").read_text().splitlines()]
              for one in ("whole", "part")]  # fmt: skip
    assert losses[0] == losses[1]
    Path("runs/other").mkdir()
    for name, names in (("other", list("a12345")), ("few", list("012"))):
        shutil.copytree("runs/whole", f"runs/{name}", dirs_exist_ok=True)
        Path(f"runs/{name}/config.json").write_text(json.dumps({**config, "class_names": names}))
        done = CliRunner().invoke(augment, ["teach", "glyphs", "--model", f"runs/{name}/model.keras"])
        assert done.exit_code == 1
        assert ("as class 0" if name == "other" else "has 3 classes and the set 6") in done.output


def test_info_refresh_gc_copy_and_remove(made: Path, copy: AugmentedSet, tmp_path: Path) -> None:
    """Teachers are listed; a refresh removes the labels of a retired epoch; `gc`, `copy` and `remove` work."""
    name = copy.path
    facts = epochbank.info(copy)["teachers"]
    assert [(one["name"], one["train"], one["epochs"], one["top"]) for one in facts] == [
        ("all", True, [0, 1], 5),
        ("top", True, [0, 1], 2),
    ]
    assert facts[0]["bytes"] == sum(path.stat().st_size for path in shards(copy, "all"))
    assert "teacher      top: originals and 2 stored epochs, top 2" in call(augment, "info", name)
    assert copy.lock is not None
    copy.lock.close()
    text = call(augment, "copy", name, tmp_path / "copied", "--epochs", 1)
    assert "teachers     all, top" in text
    copied = open_set(tmp_path / "copied")
    assert epochbank.verify(copied, jobs=1, source=False) == []
    assert {path.parent.name for path in shards(copied, "all")} == {"train", "epoch-0001"}
    for (_, a), (_, b) in zip(
        copied.batches(64, originals=0, epochs=1, teacher="top"),
        replace(copy, entries=copied.entries).batches(64, originals=0, epochs=1, teacher="top"),
        strict=True,
    ):
        assert np.array_equal(a, b)
    damaged = name / "teachers/top/train/0000000000.h5"
    flip(damaged, 3000)
    done = CliRunner().invoke(augment, ["copy", str(name), str(tmp_path / "again")])
    assert done.exit_code == 1
    assert str(damaged) in done.output
    assert not (tmp_path / "again").exists()
    flip(damaged, 3000)
    call(augment, "refresh", name, "--jobs", 1)
    assert not (name / "epoch-0000").exists()
    assert {path.parent.name for path in shards(copy, "all")} == {"train", "epoch-0001"}
    assert epochbank.info(name)["teachers"][0]["epochs"] == [1]
    assert epochbank.verify(name, jobs=1) == []
    result = epochbank.teach(name, made / "model.keras", teacher="all")
    assert result.epochs == [1, 2]
    stray = name / "teachers/all/epoch-0001/0000000007.h5"
    stray.write_bytes(b"stray")
    retired = name / "teachers/top/epoch-0000/0000000000.h5"
    retired.parent.mkdir()
    retired.write_bytes(b"retired")
    assert call(augment, "gc", "--sets", name.parent, "--yes")
    assert not stray.exists()
    assert not retired.exists()
    assert len(list(open_set(name).batches(64, epochs=2, teacher="all"))) > 0
    call(augment, "remove", name, "--yes")
    assert not name.exists()


def test_augment_imports_no_keras_before_it_must(stored_set: AugmentedSet) -> None:
    """An impossible request is refused before Keras is imported; so is training with an unknown teacher."""
    code = f"""
import sys, epochbank
from epochbank.train.training.fit_options import FitOptions, check_options
for attempt in (
    lambda: epochbank.teach({str(stored_set.path)!r}, "nowhere.keras"),
    lambda: check_options(FitOptions(teacher="none"), epochbank.open_set({str(stored_set.path)!r})),
):
    try:
        attempt()
    except epochbank.EpochbankError as error:
        print(type(error).__name__)
assert not [name for name in sys.modules if name.split(".")[0] in ("keras", "tensorflow")]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["EpochbankError"] * 2
