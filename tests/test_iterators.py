"""Streaming without Keras' `fit`: the same batches as NumPy arrays, in a `tf.data.Dataset`, for PyTorch."""

import gc
import pickle
import subprocess
import sys
import threading
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from conftest import numbers
from epochbank.augment.errors import EpochbankError
from epochbank.train.feeding.augmented_set import AugmentedSet
from epochbank.train.streaming.stream import Stream
from test_stream import make, train_numbers, training

Pairs = list[tuple[np.ndarray, np.ndarray]]


@pytest.fixture
def bank(numbered_npz: Path, nothing_recipe: Path, tmp_path: Path) -> AugmentedSet:
    return make(numbered_npz, nothing_recipe, tmp_path / "sets")


def epoch_of(bank: AugmentedSet, epoch: int, mix: float = 0.5, seed: int = 0) -> Pairs:
    """What the stream gives."""
    stream = Stream(bank, training(bank, mix), seed=seed)
    pairs = [stream.batch(epoch, number) for number in range(len(stream.batches))]
    stream.close()
    return pairs


def same(given: list, expected: Pairs) -> bool:
    """Whether batches of NumPy arrays or tensors are these, in this order."""
    return len(given) == len(expected) and all(
        np.array_equal(np.asarray(a), b)
        for pair in zip(given, expected, strict=True)
        for a, b in zip(*pair, strict=True)
    )


def shown(batches: list) -> list[int]:
    """The numbers of the pictures, in order."""
    return np.concatenate([numbers(np.asarray(pictures)) for pictures, _ in batches]).tolist()


def threads_end(before: set[threading.Thread]) -> bool:
    """Whether the decoding threads that began since `before` end, some of which there were."""
    gc.collect()
    started = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("epochbank")]
    for thread in started:
        thread.join(10)
    return not any(thread.is_alive() for thread in started)


@pytest.mark.parametrize("mix", [0, 0.5, 1])
def test_batches_are_the_streams(bank: AugmentedSet, mix: float) -> None:
    """Every training picture once an epoch (twice at 0.5), epochs in orders of their own."""
    given = list(bank.batches(64, mix, 3, epochs=3))
    expected = [epoch_of(bank, epoch, mix, 3) for epoch in range(3)]
    assert same(given, [pair for epoch in expected for pair in epoch])
    assert sorted(shown(expected[0])) == sorted(train_numbers(bank) * (2 if mix == 0.5 else 1))
    assert len({tuple(shown(epoch)) for epoch in expected}) == 3
    assert given[0][0].dtype == np.uint8
    assert given[0][1].dtype == np.int32


def test_batches_without_end_go_on(bank: AugmentedSet) -> None:
    """`epochs=None`, which is what one gets unasked, streams epoch after epoch."""
    with bank.batches(64) as batches:
        given = list(islice(batches, 2 * batches.per_epoch + 3))
    assert same(given, epoch_of(bank, 0) + epoch_of(bank, 1) + epoch_of(bank, 2)[:3])
    with pytest.raises(StopIteration):
        next(batches)


def test_batches_go_on_at_their_position(bank: AugmentedSet) -> None:
    """`position` is where to begin again: within an epoch, and after its last batch."""
    whole = epoch_of(bank, 0) + epoch_of(bank, 1)
    for count in (0, 1, len(whole) // 2 - 1, len(whole) // 2, len(whole) // 2 + 1):
        with bank.batches(64) as batches:
            before = list(islice(batches, count))
            epoch, batch = batches.position
        with bank.batches(64, first_epoch=epoch, first_batch=batch, epochs=2 - epoch) as rest:
            assert same(before + list(rest), whole)


def test_dropped_closed_and_exhausted_batches_leave_no_thread(bank: AugmentedSet) -> None:
    """However it ends, its threads end as well."""
    before = set(threading.enumerate())
    kept = bank.batches(64, epochs=1)
    list(kept)
    assert set(threading.enumerate()) <= before  # Those of earlier tests may end meanwhile.
    dropped = bank.batches(64)
    next(dropped)
    assert set(threading.enumerate()) - before
    del dropped
    assert threads_end(before)
    closed = bank.batches(64)
    next(closed)
    closed.close()
    assert set(threading.enumerate()) <= before


def test_readers_are_disjoint(bank: AugmentedSet) -> None:
    """Two readers together show an epoch once; `drop_last` leaves full batches alone."""
    parts = [shown(list(bank.batches(64, 0, epochs=1, reader=reader, readers=2))) for reader in (0, 1)]
    assert not set(parts[0]) & set(parts[1])
    assert sorted(parts[0] + parts[1]) == train_numbers(bank)
    assert {len(labels) for _, labels in bank.batches(64, epochs=1, drop_last=True)} == {64}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch size 0"),
        ({"mix": 2}, "mix 2"),
        ({"first_epoch": -1}, "epoch -1; expected 0 or more"),
        ({"epochs": 0}, "0 epochs; expected 1 or more, or None"),
        ({"reader": 2, "readers": 2}, "reader 2 of 2"),
        ({"first_batch": 1000}, "batch 1000; expected 0 to 7 of an epoch"),
    ],
)
def test_what_cannot_be_is_refused_at_once(bank: AugmentedSet, options: dict, message: str) -> None:
    """When it is asked for, not with the first batch; by all three."""
    with pytest.raises(EpochbankError, match=message):
        bank.batches(**options)
    if "first_batch" not in options:
        pytest.importorskip("tensorflow")
        with pytest.raises(EpochbankError, match=message):
            bank.to_tf_dataset(**options)


def test_a_missing_framework_is_named(bank: AugmentedSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TensorFlow or PyTorch: what to install."""
    for name in ("tensorflow", "torch"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(
        sys.modules, "epochbank.train.feeding.torch_batches", None
    )  # So that it is put back as it was, or away.
    del sys.modules["epochbank.train.feeding.torch_batches"]
    with pytest.raises(EpochbankError, match=r"TensorFlow cannot be imported .*pip install 'epochbank\[train\]'"):
        bank.to_tf_dataset(64)
    with pytest.raises(EpochbankError, match=r"PyTorch cannot be imported .*pip install torch"):
        bank.to_torch(64)


def test_batches_need_no_framework(bank: AugmentedSet) -> None:
    """NumPy alone: nothing else is imported."""
    code = (
        "import sys; from epochbank import open_set; list(open_set(sys.argv[1]).batches(64, epochs=1)); "
        "print([name for name in ('keras', 'tensorflow', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(bank.path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class TestTensorFlow:
    """`AugmentedSet.to_tf_dataset`."""

    @pytest.fixture(autouse=True)
    def _tensorflow(self) -> None:
        self.tf = pytest.importorskip("tensorflow")

    def test_its_signature_and_cardinality(self, bank: AugmentedSet) -> None:
        """Shapes are known as far as they can be, and how many batches there are."""
        tf = self.tf
        pictures, labels = bank.to_tf_dataset(64).element_spec
        assert (pictures.shape.as_list(), pictures.dtype) == ([None, 4, 4, 1], tf.uint8)
        assert (labels.shape.as_list(), labels.dtype) == ([None], tf.int32)
        pictures, labels = bank.to_tf_dataset(64, drop_last=True).element_spec
        assert (pictures.shape.as_list(), labels.shape.as_list()) == ([64, 4, 4, 1], [64])
        assert len(bank.to_tf_dataset(64)) == len(training(bank))
        assert len(bank.to_tf_dataset(64, epochs=3)) == 3 * len(training(bank))
        endless = bank.to_tf_dataset(64, epochs=None)
        assert endless.cardinality() == tf.data.INFINITE_CARDINALITY
        policy = bank.to_tf_dataset(64, reader=1, readers=2).options().experimental_distribute.auto_shard_policy
        assert policy == tf.data.experimental.AutoShardPolicy.OFF

    def test_each_iteration_is_the_next_epoch(self, bank: AugmentedSet) -> None:
        """Also after one that was broken off; and all batches of an epoch may be held at once."""
        dataset = bank.to_tf_dataset(64, first_epoch=2)
        for epoch in (2, 3):
            assert same(list(dataset), epoch_of(bank, epoch))
        next(iter(dataset))
        assert same(list(dataset), epoch_of(bank, 5))

    def test_several_epochs_in_one_iteration(self, bank: AugmentedSet) -> None:
        """`epochs=2` shows two, then the next two; None goes on for ever."""
        dataset = bank.to_tf_dataset(64, epochs=2)
        assert same(list(dataset), epoch_of(bank, 0) + epoch_of(bank, 1))
        assert same(list(dataset), epoch_of(bank, 2) + epoch_of(bank, 3))
        endless = bank.to_tf_dataset(64, epochs=None)
        assert same(list(endless.take(len(training(bank)) + 1)), epoch_of(bank, 0) + epoch_of(bank, 1)[:1])

    def test_two_readers_are_disjoint(self, bank: AugmentedSet) -> None:
        """Each shows its part."""
        parts = [shown(list(bank.to_tf_dataset(64, 0, reader=reader, readers=2))) for reader in (0, 1)]
        assert sorted(parts[0] + parts[1]) == train_numbers(bank)

    @pytest.mark.parametrize("options", [{}, {"jit_compile": True}])
    def test_keras_fits_on_it(self, bank: AugmentedSet, options: dict) -> None:
        """Keras' epoch e is shown training epoch e."""
        keras = pytest.importorskip("keras")
        seen = []

        def look(pictures: np.ndarray) -> np.float32:
            seen.append(pictures)
            return np.float32(0)

        layers = [keras.Input(bank.shape), keras.layers.Flatten(), keras.layers.Dense(5)]
        model = keras.Sequential(layers)
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), **options)
        dataset = bank.to_tf_dataset(64, drop_last=bool(options))
        watched = dataset.map(
            lambda pictures, labels: (
                self.tf.cast(pictures, "float32") / 255 + self.tf.numpy_function(look, [pictures], "float32"),
                labels,
            )
        ).map(lambda pictures, labels: (self.tf.ensure_shape(pictures, (None, *bank.shape)), labels))
        history = model.fit(watched, epochs=3, verbose=0, shuffle=False).history
        assert len(history["loss"]) == 3
        per_epoch = len(dataset)
        assert len(seen) == 3 * per_epoch
        for epoch in range(3):
            expected = [pictures for pictures, _ in epoch_of(bank, epoch)][:per_epoch]
            given = seen[epoch * per_epoch : (epoch + 1) * per_epoch]
            assert all(np.array_equal(*pair) for pair in zip(given, expected, strict=True))

    def test_a_damaged_chunk_is_named(self, bank: AugmentedSet) -> None:
        """The error is TensorFlow's, the text is ours."""
        path = bank.path / bank.table("epoch", 0).shards[0].file
        path.write_bytes(path.read_bytes()[:-3000])
        with pytest.raises(self.tf.errors.UnknownError, match="cannot be read"):
            list(bank.to_tf_dataset(64))

    def test_a_dropped_dataset_leaves_no_thread(self, bank: AugmentedSet) -> None:
        """Broken off or not."""
        before = set(threading.enumerate())
        for count in (1, 100):
            dataset = bank.to_tf_dataset(64)
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

    def test_items_are_batches(self, bank: AugmentedSet) -> None:
        """Pictures as they are stored, labels as cross entropy wants them, and the memory is the caller's."""
        dataset = bank.to_torch(64)
        pictures, labels = next(iter(dataset))
        assert (pictures.dtype, tuple(pictures.shape)) == (self.torch.uint8, (64, 4, 4, 1))
        assert (labels.dtype, tuple(labels.shape)) == (self.torch.int64, (64,))
        assert pictures.permute(0, 3, 1, 2).is_contiguous(memory_format=self.torch.channels_last)
        assert len(dataset) == len(self.loader(dataset, batch_size=None)) == len(training(bank))

    def test_each_iteration_is_the_next_epoch(self, bank: AugmentedSet) -> None:
        """With a loader and without; `set_epoch` says which is next."""
        dataset = bank.to_torch(64, first_epoch=1)
        loader = self.loader(dataset, batch_size=None)
        assert same(list(dataset), epoch_of(bank, 1))
        assert same(list(loader), epoch_of(bank, 2))
        dataset.set_epoch(7)
        assert dataset.epoch == 7
        assert same(list(loader), epoch_of(bank, 7))
        assert same(list(bank.to_torch(64, epochs=2)), epoch_of(bank, 0) + epoch_of(bank, 1))
        endless = bank.to_torch(64, epochs=None)
        assert same(list(islice(endless, len(training(bank)) + 1)), epoch_of(bank, 0) + epoch_of(bank, 1)[:1])
        assert same(list(islice(endless, 1)), epoch_of(bank, 2)[:1])
        with pytest.raises(TypeError, match="without end"):
            len(endless)

    @pytest.mark.parametrize("persistent", [False, True])
    @pytest.mark.parametrize("workers", [2, 9])
    def test_workers_part_each_epoch_among_them(self, bank: AugmentedSet, workers: int, persistent: bool) -> None:
        """The batches of an epoch are the same with any number of workers, though in another order; no epoch twice."""
        dataset = bank.to_torch(64, threads=1)
        next(iter(dataset))  # Epoch 0, here: the workers are forked from a process with a stream.
        loader = self.loader(dataset, batch_size=None, num_workers=workers, persistent_workers=persistent)
        for epoch in (1, 2, 8, 9):
            if epoch == 8:
                dataset.set_epoch(8)
            given = list(loader)
            assert len(given) == len(loader)
            expected = {pictures.tobytes(): labels.tolist() for pictures, labels in epoch_of(bank, epoch)}
            assert {pictures.numpy().tobytes(): labels.tolist() for pictures, labels in given} == expected
            assert dataset.epoch == epoch + 1

    def test_iterations_broken_off_and_loaders_side_by_side(self, bank: AugmentedSet) -> None:
        """Whatever else goes on, and even with the same random numbers each time: workers agree upon the epoch."""
        dataset = bank.to_torch(64, 0, threads=1)
        epoch = 0
        for _ in range(3):
            self.torch.manual_seed(0)
            for _ in self.loader(dataset, batch_size=None, num_workers=2):
                break
            epoch += 1
            self.torch.manual_seed(0)
            given = list(self.loader(dataset, batch_size=None, num_workers=2))
            assert sorted(shown(given)) == sorted(shown(epoch_of(bank, epoch, 0))) == train_numbers(bank)
            epoch += 1
        loader = self.loader(dataset, batch_size=None, num_workers=2)
        first, second = zip(*zip(loader, loader, strict=True), strict=True)
        assert sorted(shown(list(first))) == sorted(shown(list(second))) == train_numbers(bank)
        assert shown(list(first)) != shown(list(second))

    def test_spawned_workers(self, bank: AugmentedSet) -> None:
        """Workers that share no memory with the process that made the dataset count as well."""
        dataset = bank.to_torch(64, 0, threads=1)
        loader = self.loader(dataset, batch_size=None, num_workers=2, multiprocessing_context="spawn")
        for epoch in range(2):
            given = list(loader)
            assert {p.numpy().tobytes() for p, _ in given} == {p.tobytes() for p, _ in epoch_of(bank, epoch, 0)}

    def test_ranks_read_parts_of_their_own(self, bank: AugmentedSet, monkeypatch: pytest.MonkeyPatch) -> None:
        """Disjoint, as many batches each, in workers too; what is given goes before what torch.distributed says."""
        distributed = self.torch.distributed
        monkeypatch.setattr(distributed, "is_initialized", lambda: True)
        monkeypatch.setattr(distributed, "get_world_size", lambda: 3)
        dataset = bank.to_torch(64, 0, threads=1)
        parts = []
        for rank in range(3):
            monkeypatch.setattr(distributed, "get_rank", lambda rank=rank: rank)
            dataset.set_epoch(4)
            parts.append(list(self.loader(dataset, batch_size=None, num_workers=2 if rank == 1 else 0)))
            moved = pickle.dumps(dataset)
        assert {len(part) for part in parts} == {len(dataset)}
        assert sorted(shown([pair for part in parts for pair in part])) == train_numbers(bank)
        given = bank.to_torch(64, 0, reader=0, readers=1)
        assert sorted(shown(list(given))) == train_numbers(bank)
        monkeypatch.undo()
        elsewhere = pickle.loads(moved)
        elsewhere.set_epoch(4)
        assert same(list(elsewhere), [(np.asarray(p), np.asarray(labels)) for p, labels in parts[2]])

    def test_a_dropped_dataset_leaves_no_thread(self, bank: AugmentedSet) -> None:
        """Broken off or not."""
        before = set(threading.enumerate())
        for count in (1, 100):
            dataset = bank.to_torch(64)
            list(islice(dataset, count))
            assert set(threading.enumerate()) - before
            del dataset
            assert threads_end(before)
