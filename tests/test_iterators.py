"""Batches outside Keras' `fit`: NumPy arrays, `tf.data`, PyTorch; and the old names of keywords."""

import gc
import pickle
import subprocess
import sys
import threading
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import epochbank
from conftest import numbers
from epochbank.augment.errors import EpochbankError
from epochbank.train.feeding.augmented_set import AugmentedSet
from epochbank.train.streaming.stream import Stream
from test_stream import make, train_numbers, training

Pairs = list[tuple[np.ndarray, np.ndarray]]


@pytest.fixture
def stored_set(numbered_npz: Path, nothing_recipe: Path, tmp_path: Path) -> AugmentedSet:
    return make(numbered_npz, nothing_recipe, tmp_path / "sets")


def epoch_of(stored_set: AugmentedSet, epoch: int, originals: float = 0.5, seed: int = 0) -> Pairs:
    """Return the batches of a training epoch from a stream."""
    stream = Stream(stored_set, training(stored_set, originals), seed=seed)
    pairs = [stream.batch(epoch, number) for number in range(len(stream.batches))]
    stream.close()
    return pairs


def same(received: list, expected: Pairs) -> bool:
    """Return whether batches of NumPy arrays or tensors are equal to `expected`, in order."""
    return len(received) == len(expected) and all(
        np.array_equal(np.asarray(a), b)
        for pair in zip(received, expected, strict=True)
        for a, b in zip(*pair, strict=True)
    )


def shown(batches: list) -> list[int]:
    """Return the numbers of the images, in order."""
    return np.concatenate([numbers(np.asarray(images)) for images, _ in batches]).tolist()


def threads_end(before: set[threading.Thread]) -> bool:
    """Return whether the decoding threads that started since `before` end."""
    gc.collect()
    started = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("epochbank")]
    for thread in started:
        thread.join(10)
    return not any(thread.is_alive() for thread in started)


@pytest.mark.parametrize("originals", [0, 0.5, 1])
def test_batches_are_those_of_the_stream(stored_set: AugmentedSet, originals: float) -> None:
    """An epoch shows every training image once (twice at originals=0.5), each epoch in a different order."""
    received = list(stored_set.batches(64, originals, 3, epochs=3))
    expected = [epoch_of(stored_set, epoch, originals, 3) for epoch in range(3)]
    assert same(received, [pair for epoch in expected for pair in epoch])
    assert sorted(shown(expected[0])) == sorted(train_numbers(stored_set) * (2 if originals == 0.5 else 1))
    assert len({tuple(shown(epoch)) for epoch in expected}) == 3
    assert received[0][0].dtype == np.uint8
    assert received[0][1].dtype == np.int32


def test_batches_continue_without_limit(stored_set: AugmentedSet) -> None:
    """With `epochs=None`, the default, the iterator streams epoch after epoch until it is closed."""
    with stored_set.batches(64) as batches:
        received = list(islice(batches, 2 * batches.per_epoch + 3))
    assert same(received, epoch_of(stored_set, 0) + epoch_of(stored_set, 1) + epoch_of(stored_set, 2)[:3])
    with pytest.raises(StopIteration):
        next(batches)


def test_batches_continue_at_a_position(stored_set: AugmentedSet) -> None:
    """A new iterator that starts at `position`, within an epoch or at its end, returns the remaining batches."""
    whole = epoch_of(stored_set, 0) + epoch_of(stored_set, 1)
    for count in (0, 1, len(whole) // 2 - 1, len(whole) // 2, len(whole) // 2 + 1):
        with stored_set.batches(64) as batches:
            before = list(islice(batches, count))
            epoch, batch = batches.position
        with stored_set.batches(64, first_epoch=epoch, first_batch=batch, epochs=2 - epoch) as rest:
            assert same(before + list(rest), whole)


def test_threads_end_with_the_iterator(stored_set: AugmentedSet) -> None:
    """The threads end when the iterator is exhausted, dropped or closed."""
    before = set(threading.enumerate())
    kept = stored_set.batches(64, epochs=1)
    list(kept)
    assert set(threading.enumerate()) <= before  # Threads of earlier tests may end, too.
    dropped = stored_set.batches(64)
    next(dropped)
    assert set(threading.enumerate()) - before
    del dropped
    assert threads_end(before)
    closed = stored_set.batches(64)
    next(closed)
    closed.close()
    assert set(threading.enumerate()) <= before


def test_ranks_are_disjoint(stored_set: AugmentedSet) -> None:
    """Two ranks together show an epoch once, and `drop_last` omits batches that are not full."""
    ranks = [shown(list(stored_set.batches(64, 0, epochs=1, rank=rank, world_size=2))) for rank in (0, 1)]
    assert not set(ranks[0]) & set(ranks[1])
    assert sorted(ranks[0] + ranks[1]) == train_numbers(stored_set)
    assert {len(labels) for _, labels in stored_set.batches(64, epochs=1, drop_last=True)} == {64}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch size 0"),
        ({"originals": 2}, "originals 2; expected a share from 0 to 1"),
        ({"originals": 0.01, "batch_size": 8}, "originals 0.01 of a batch of 8 is 0 originals; expected at least one"),
        ({"first_epoch": -1}, "epoch -1; expected 0 or more"),
        ({"epochs": 0}, "0 epochs; expected 1 or more, or None"),
        ({"rank": 2, "world_size": 2}, "rank 2 with world size 2; .* `--rank 0 --world-size 4`"),
        ({"batch_size": 1, "originals": 0, "world_size": 3}, "800 training images, one per batch, .* 3 ranks"),
        ({"world_size": 900}, "800 training images divided among 900 ranks make no batch of 256"),
        ({"shuffle": "rows"}, "shuffle='rows'; expected one of images, chunks"),
        ({"first_batch": 1000}, "batch 1000; expected 0 to 7 of an epoch"),
    ],
)
@pytest.mark.parametrize("method", ["batches", "to_tf_dataset", "to_torch"])
def test_arguments_are_checked_at_once(stored_set: AugmentedSet, method: str, options: dict, message: str) -> None:
    """Each method raises for an argument out of range when it is called, not at the first batch."""
    if method != "batches":
        pytest.importorskip("tensorflow" if method == "to_tf_dataset" else "torch")
        if "first_batch" in options:
            pytest.skip(f"{method} has no first_batch")
    with pytest.raises(EpochbankError, match=message):
        getattr(stored_set, method)(**options)


def test_a_missing_framework_is_named(stored_set: AugmentedSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TensorFlow or PyTorch, the message says what to install."""
    for name in ("tensorflow", "torch"):
        monkeypatch.setitem(sys.modules, name, None)
    # Set first, so that monkeypatch restores the module afterwards.
    monkeypatch.setitem(sys.modules, "epochbank.train.feeding.torch_batches", None)
    del sys.modules["epochbank.train.feeding.torch_batches"]
    with pytest.raises(EpochbankError, match=r"TensorFlow cannot be imported .*pip install 'epochbank\[train\]'"):
        stored_set.to_tf_dataset(64)
    with pytest.raises(EpochbankError, match=r"PyTorch cannot be imported .*pip install 'epochbank\[torch\]'"):
        stored_set.to_torch(64)


def test_batches_need_no_framework(stored_set: AugmentedSet) -> None:
    """Iterating over NumPy arrays imports no framework."""
    code = (
        "import sys; from epochbank import open_set; list(open_set(sys.argv[1]).batches(64, epochs=1)); "
        "print([name for name in ('keras', 'tensorflow', 'torch') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(stored_set.path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


class TestTensorFlow:
    """`AugmentedSet.to_tf_dataset`."""

    @pytest.fixture(autouse=True)
    def _tensorflow(self) -> None:
        self.tf = pytest.importorskip("tensorflow")

    def test_signature_and_cardinality(self, stored_set: AugmentedSet) -> None:
        """The dataset has a static shape where possible, and a known length."""
        tf = self.tf
        images, labels = stored_set.to_tf_dataset(64).element_spec
        assert (images.shape.as_list(), images.dtype) == ([None, 4, 4, 1], tf.uint8)
        assert (labels.shape.as_list(), labels.dtype) == ([None], tf.int32)
        images, labels = stored_set.to_tf_dataset(64, drop_last=True).element_spec
        assert (images.shape.as_list(), labels.shape.as_list()) == ([64, 4, 4, 1], [64])
        assert len(stored_set.to_tf_dataset(64)) == len(training(stored_set))
        assert len(stored_set.to_tf_dataset(64, epochs=3)) == 3 * len(training(stored_set))
        endless = stored_set.to_tf_dataset(64, epochs=None)
        assert endless.cardinality() == tf.data.INFINITE_CARDINALITY
        policy = stored_set.to_tf_dataset(64, rank=1, world_size=2).options().experimental_distribute.auto_shard_policy
        assert policy == tf.data.experimental.AutoShardPolicy.OFF

    def test_each_iteration_is_the_next_epoch(self, stored_set: AugmentedSet) -> None:
        """This also holds after an iteration that was not finished, and if all batches are kept."""
        dataset = stored_set.to_tf_dataset(64, first_epoch=2)
        for epoch in (2, 3):
            assert same(list(dataset), epoch_of(stored_set, epoch))
        next(iter(dataset))
        assert same(list(dataset), epoch_of(stored_set, 5))

    def test_several_epochs_in_one_iteration(self, stored_set: AugmentedSet) -> None:
        """With `epochs=2` an iteration shows two epochs, and with None it never ends."""
        dataset = stored_set.to_tf_dataset(64, epochs=2)
        assert same(list(dataset), epoch_of(stored_set, 0) + epoch_of(stored_set, 1))
        assert same(list(dataset), epoch_of(stored_set, 2) + epoch_of(stored_set, 3))
        endless = stored_set.to_tf_dataset(64, epochs=None)
        assert same(
            list(endless.take(len(training(stored_set)) + 1)), epoch_of(stored_set, 0) + epoch_of(stored_set, 1)[:1]
        )

    def test_ranks_are_disjoint(self, stored_set: AugmentedSet) -> None:
        """Two ranks together show an epoch once."""
        ranks = [shown(list(stored_set.to_tf_dataset(64, 0, rank=rank, world_size=2))) for rank in (0, 1)]
        assert sorted(ranks[0] + ranks[1]) == train_numbers(stored_set)

    @pytest.mark.parametrize("options", [{}, {"jit_compile": True}])
    def test_keras_fits_on_it(self, stored_set: AugmentedSet, options: dict) -> None:
        """Keras sees training epoch e in its epoch e."""
        keras = pytest.importorskip("keras")
        seen = []

        def record(images: np.ndarray) -> np.float32:
            seen.append(images)
            return np.float32(0)

        layers = [keras.Input(stored_set.shape), keras.layers.Flatten(), keras.layers.Dense(5)]
        model = keras.Sequential(layers)
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), **options)
        dataset = stored_set.to_tf_dataset(64, drop_last=bool(options))
        recorded = dataset.map(
            lambda images, labels: (
                self.tf.cast(images, "float32") / 255 + self.tf.numpy_function(record, [images], "float32"),
                labels,
            )
        ).map(lambda images, labels: (self.tf.ensure_shape(images, (None, *stored_set.shape)), labels))
        history = model.fit(recorded, epochs=3, verbose=0, shuffle=False).history
        assert len(history["loss"]) == 3
        per_epoch = len(dataset)
        assert len(seen) == 3 * per_epoch
        for epoch in range(3):
            expected = [images for images, _ in epoch_of(stored_set, epoch)][:per_epoch]
            received = seen[epoch * per_epoch : (epoch + 1) * per_epoch]
            assert all(np.array_equal(*pair) for pair in zip(received, expected, strict=True))

    def test_a_damaged_chunk_is_an_error(self, stored_set: AugmentedSet) -> None:
        """TensorFlow raises its own exception, which contains the message."""
        path = stored_set.path / stored_set.table("epoch", 0).shards[0].file
        path.write_bytes(path.read_bytes()[:-3000])
        with pytest.raises(self.tf.errors.UnknownError, match="cannot be read"):
            list(stored_set.to_tf_dataset(64))

    def test_threads_end_with_the_dataset(self, stored_set: AugmentedSet) -> None:
        """The threads end when the dataset is dropped, whether an iteration was finished or not."""
        before = set(threading.enumerate())
        for count in (1, 100):
            dataset = stored_set.to_tf_dataset(64)
            list(dataset.take(count))
            assert any(thread.name.startswith("epochbank") for thread in set(threading.enumerate()) - before)
            del dataset
            assert threads_end(before)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
class TestTorch:
    """`AugmentedSet.to_torch`."""

    @pytest.fixture(autouse=True)
    def _torch(self) -> None:
        self.torch = pytest.importorskip("torch")
        self.loader = self.torch.utils.data.DataLoader

    def test_items_are_batches(self, stored_set: AugmentedSet) -> None:
        """An item is a whole batch, with labels of the type that `cross_entropy` needs."""
        dataset = stored_set.to_torch(64)
        images, labels = next(iter(dataset))
        assert (images.dtype, tuple(images.shape)) == (self.torch.uint8, (64, 4, 4, 1))
        assert (labels.dtype, tuple(labels.shape)) == (self.torch.int64, (64,))
        assert images.permute(0, 3, 1, 2).is_contiguous(memory_format=self.torch.channels_last)
        assert len(dataset) == len(self.loader(dataset, batch_size=None)) == len(training(stored_set))

    def test_each_iteration_is_the_next_epoch(self, stored_set: AugmentedSet) -> None:
        """Iterations continue with the next epoch, with a loader or without, and `set_epoch` selects one."""
        dataset = stored_set.to_torch(64, first_epoch=1)
        loader = self.loader(dataset, batch_size=None)
        assert same(list(dataset), epoch_of(stored_set, 1))
        assert same(list(loader), epoch_of(stored_set, 2))
        dataset.set_epoch(7)
        assert dataset.epoch == 7
        assert same(list(loader), epoch_of(stored_set, 7))
        assert same(list(stored_set.to_torch(64, epochs=2)), epoch_of(stored_set, 0) + epoch_of(stored_set, 1))
        endless = stored_set.to_torch(64, epochs=None)
        assert same(
            list(islice(endless, len(training(stored_set)) + 1)), epoch_of(stored_set, 0) + epoch_of(stored_set, 1)[:1]
        )
        assert same(list(islice(endless, 1)), epoch_of(stored_set, 2)[:1])
        with pytest.raises(TypeError, match="no len"):
            len(endless)

    @pytest.mark.parametrize("persistent", [False, True])
    @pytest.mark.parametrize("workers", [2, 9])
    def test_workers_divide_each_epoch(self, stored_set: AugmentedSet, workers: int, persistent: bool) -> None:
        """With any number of workers an epoch has the same batches, in a different order, and no epoch is repeated."""
        dataset = stored_set.to_torch(64, threads=1)
        next(iter(dataset))  # Epoch 0, so that the workers are forked from a process with a stream.
        loader = self.loader(dataset, batch_size=None, num_workers=workers, persistent_workers=persistent)
        for epoch in (1, 2, 8, 9):
            if epoch == 8:
                dataset.set_epoch(8)
            received = list(loader)
            assert len(received) == len(loader)
            expected = {images.tobytes(): labels.tolist() for images, labels in epoch_of(stored_set, epoch)}
            assert {images.numpy().tobytes(): labels.tolist() for images, labels in received} == expected
            assert dataset.epoch == epoch + 1

    def test_unfinished_and_concurrent_iterations(self, stored_set: AugmentedSet) -> None:
        """Workers agree on the epoch, also with unfinished and concurrent iterations and equal random seeds."""
        dataset = stored_set.to_torch(64, 0, threads=1)
        epoch = 0
        for _ in range(3):
            self.torch.manual_seed(0)
            for _ in self.loader(dataset, batch_size=None, num_workers=2):
                break
            epoch += 1
            self.torch.manual_seed(0)
            received = list(self.loader(dataset, batch_size=None, num_workers=2))
            assert sorted(shown(received)) == sorted(shown(epoch_of(stored_set, epoch, 0))) == train_numbers(stored_set)
            epoch += 1
        loader = self.loader(dataset, batch_size=None, num_workers=2)
        first, second = zip(*zip(loader, loader, strict=True), strict=True)
        assert sorted(shown(list(first))) == sorted(shown(list(second))) == train_numbers(stored_set)
        assert shown(list(first)) != shown(list(second))

    def test_spawned_workers(self, stored_set: AugmentedSet) -> None:
        """Spawned workers, which do not inherit the memory of the main process, agree on the epoch, too."""
        dataset = stored_set.to_torch(64, 0, threads=1)
        loader = self.loader(dataset, batch_size=None, num_workers=2, multiprocessing_context="spawn")
        for epoch in range(2):
            received = list(loader)
            assert {p.numpy().tobytes() for p, _ in received} == {
                p.tobytes() for p, _ in epoch_of(stored_set, epoch, 0)
            }

    def test_ranks_are_disjoint(self, stored_set: AugmentedSet, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ranks of torch.distributed show different images, also in workers; explicit arguments take precedence."""
        distributed = self.torch.distributed
        monkeypatch.setattr(distributed, "is_initialized", lambda: True)
        monkeypatch.setattr(distributed, "get_world_size", lambda: 3)
        dataset = stored_set.to_torch(64, 0, threads=1)
        ranks = []
        for rank in range(3):
            monkeypatch.setattr(distributed, "get_rank", lambda rank=rank: rank)
            dataset.set_epoch(4)
            ranks.append(list(self.loader(dataset, batch_size=None, num_workers=2 if rank == 1 else 0)))
            moved = pickle.dumps(dataset)
        assert {len(batches) for batches in ranks} == {len(dataset)}
        assert sorted(shown([pair for batches in ranks for pair in batches])) == train_numbers(stored_set)
        received = stored_set.to_torch(64, 0, rank=0, world_size=1)
        assert sorted(shown(list(received))) == train_numbers(stored_set)
        monkeypatch.undo()
        elsewhere = pickle.loads(moved)
        elsewhere.set_epoch(4)
        assert same(list(elsewhere), [(np.asarray(p), np.asarray(labels)) for p, labels in ranks[2]])

    def test_threads_end_with_the_dataset(self, stored_set: AugmentedSet) -> None:
        """The threads end when the dataset is dropped, whether an iteration was finished or not."""
        before = set(threading.enumerate())
        for count in (1, 100):
            dataset = stored_set.to_torch(64)
            list(islice(dataset, count))
            assert set(threading.enumerate()) - before
            del dataset
            assert threads_end(before)


OLD_NAMES: dict[str, tuple[dict, dict]] = {
    "mix": ({"mix": 0.25}, {"originals": 0.25}),
    "reader and readers": ({"reader": 1, "readers": 2}, {"rank": 1, "world_size": 2}),
    "shuffle": ({"shuffle": "pictures"}, {"shuffle": "images"}),
    "shard": ({"shard": (1, 2)}, {"rank": 1, "world_size": 2}),
    "ahead": ({"ahead": 3}, {"prefetch": 3}),
}
"""Old keywords, and the keywords that replace them."""


@pytest.mark.parametrize(
    ("method", "name"),
    [(method, name) for method in ("batches", "to_tf_dataset", "to_torch") for name in list(OLD_NAMES)[:3]]
    + [("AugmentedSequence", name) for name in ("mix", "shuffle", "shard", "ahead")],
)
def test_old_keywords_work_with_a_warning(stored_set: AugmentedSet, method: str, name: str) -> None:
    """An old keyword gives the same batches as the new one and a `FutureWarning` here; both together are an error."""
    needed = {"to_tf_dataset": "tensorflow", "to_torch": "torch", "AugmentedSequence": "keras"}
    pytest.importorskip(needed.get(method, "numpy"))
    old, new = OLD_NAMES[name]

    def first_batches(**options: Any) -> list:
        if method == "AugmentedSequence":
            data = epochbank.AugmentedSequence(stored_set, 64, **options)
            return [data[number] for number in range(3)]
        return list(islice(getattr(stored_set, method)(64, **options), 3))

    with pytest.warns(FutureWarning, match="is now called .*; the old name works in this release only") as caught:
        received = first_batches(**old)
    assert {warning.filename for warning in caught} == {__file__}
    assert same(received, [(np.asarray(a), np.asarray(b)) for a, b in first_batches(**new)])
    if name not in ("shuffle", "shard"):
        with pytest.raises(TypeError, match="got both"):
            first_batches(**old, **new)


def test_old_names_of_set_and_split_work_with_a_warning(stored_set: AugmentedSet) -> None:
    """`bank=` and `part=` are accepted where they are now `stored_set=` and `split=`."""
    pytest.importorskip("keras")
    from epochbank.train.feeding.sequence import EvaluationSequence

    with pytest.warns(FutureWarning, match="bank= is now called stored_set="):
        data = epochbank.AugmentedSequence(bank=stored_set, batch_size=64)
    assert same([data[0]], epoch_of(stored_set, 0)[:1])
    expected = stored_set.test(64)[0]
    with pytest.warns(FutureWarning, match="part= is now called split="):
        assert same([stored_set.split(part="test", batch_size=64)[0]], [expected])
    with pytest.warns(FutureWarning, match=r"(bank|part)= is now called"):
        assert same([EvaluationSequence(bank=stored_set, part="test", batch_size=64)[0]], [expected])
