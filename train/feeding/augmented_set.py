"""A set that is open for training, and the ways to iterate over it."""

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from ...augment.errors import EpochbankError
from ...augment.shared.renamed import accepts_old_names
from ...augment.store.catalog import find_set, sets_path
from ...augment.store.objects.cache import ShardCache, default_cache
from ...augment.store.objects.mirror import remote_url
from ...augment.store.objects.remote_sets import open_mirror
from ...augment.store.objects.urls import url_of
from ..reading.stored_set import StoredSet, read_stored_set
from ..streaming.order import Shuffle
from ..streaming.schedule import Originals
from .batch_options import BatchArguments, BatchOptions, training_batches
from .ranks import process_here
from .transform import Transform, check_transform
from .wait import wait_for_epoch

if TYPE_CHECKING:
    import tensorflow as tf
    from PIL import Image

    from ..streaming.stream import Stream
    from .iterators import BatchIterator
    from .sequence import EvaluationSequence
    from .torch_batches import TorchBatches


_OLD_NAMES = {"mix": "originals", "reader": "rank", "readers": "world_size"}


class AugmentedSet(StoredSet):
    """A set that is open for training; `open_set` opens one.

    It contains what was published when it was opened. Epochs that are published later appear in the next `open_set`,
    and in an `AugmentedSequence` with `follow=True`.
    """

    def _repr_html_(self) -> str:
        from .set_card import set_card

        return set_card(self).to_html()

    def show(self, epoch: int | None = None, n: int = 16, *, split: str | None = None) -> "Image.Image":
        """Draw images with their classes: a contact sheet, which notebooks display.

        Parameters
        ----------
        epoch
            Number of a stored epoch; None for the first one.
        n
            Number of images, 1 to 1,000: the first of the epoch, whose order is random.
        split
            `train`, `validation` or `test`, to draw undistorted images of a split instead.

        Raises
        ------
        EpochbankError
            If the epoch is not stored, the split is unknown or empty, or a shard is damaged.
        """
        from .set_sheets import images_sheet

        return images_sheet(self, epoch, n, split)

    def show_class(self, name: str, n: int = 4) -> "Image.Image":
        """Draw training images of the class `name`, each beside its distortions in up to eight stored epochs.

        Parameters
        ----------
        name
            Name of the class, one of `class_names`.
        n
            Number of training images, 1 to 111, evenly spaced among those of the class.

        Raises
        ------
        EpochbankError
            If there is no such class, it has no training images, or a shard or the file of splits is damaged.
        """
        from .set_sheets import class_sheet

        return class_sheet(self, name, n)

    def validation(self, batch_size: int = 256, *, transform: Transform | None = None) -> "EvaluationSequence":
        """Return the validation split for Keras: undistorted, in its stored order.

        `transform` is that of `AugmentedSequence`.
        """
        return self.split("validation", batch_size, transform=transform)

    def test(self, batch_size: int = 256, *, transform: Transform | None = None) -> "EvaluationSequence":
        """Return the test split for Keras: undistorted, in its stored order.

        `transform` is that of `AugmentedSequence`.
        """
        return self.split("test", batch_size, transform=transform)

    @accepts_old_names(part="split")
    def split(self, split: str, batch_size: int = 256, *, transform: Transform | None = None) -> "EvaluationSequence":
        """Return a split for Keras: undistorted, in its stored order.

        `transform` is that of `AugmentedSequence`. Raises `EpochbankError` if the split is unknown or empty.
        """
        from .sequence import EvaluationSequence

        return EvaluationSequence(self, split, batch_size, transform=transform)

    @accepts_old_names(**_OLD_NAMES)
    def batches(
        self,
        batch_size: int = 256,
        originals: Originals = 0.5,
        seed: int = 0,
        *,
        first_epoch: int = 0,
        epochs: int | None = None,
        first_batch: int = 0,
        threads: int | None = None,
        shuffle: Shuffle = "images",
        rank: int | None = None,
        world_size: int | None = None,
        drop_last: bool = False,
        transform: Transform | None = None,
        **augmentation: Unpack[BatchArguments],
    ) -> "BatchIterator":
        """Iterate over training batches as NumPy arrays: images uint8 (B, H, W, C) and labels int32 (B,).

        The batches are those of `AugmentedSequence` with the same arguments. The iterator's `position` is the
        (`first_epoch`, `first_batch`) from which a later call continues.

        Parameters
        ----------
        batch_size
            Number of images in a full batch.
        originals
            Share of originals in each batch, 0 to 1; at 1 an epoch shows the originals only. Or an `OriginalsSchedule`.
        seed
            Seed of the order.
        first_epoch, first_batch
            Where to start.
        epochs
            Number of epochs; None for no limit.
        threads
            Number of decoding threads; None for one per core, up to 4.
        shuffle
            `images`; or `chunks` to shuffle whole chunks only, which is faster; or `shards` to shuffle within a few
            shards at a time, for a set in an object store whose epochs do not fit in the cache.
        rank, world_size
            Number of this process, and of all processes that train one model: each streams its own images. If both are
            None, they are those of `torch.distributed`, `jax.distributed` or `keras.distribution` if initialized.
        drop_last
            Omit the last batch of an epoch if it is not full.
        transform
            Function of (images, labels) of a batch; the iterator returns its results instead.
        augmentation
            `final`, `mixup`, `cutmix`, `label_smoothing`, `views`, `split_views`, `sparse_targets`, `teacher` and
            `distill` of `AugmentedSequence`.

        Raises
        ------
        EpochbankError
            If an argument is out of range or no batch can be formed. The iterator raises it if a chunk is damaged.
        """
        from .iterators import BatchIterator

        options = BatchOptions(**augmentation)
        process = process_here(rank, world_size)
        stream = self._stream(options, batch_size, originals, seed, threads, shuffle, process, drop_last)
        return BatchIterator(stream, first_epoch, epochs, first_batch, options, check_transform(transform))

    def _stream(
        self,
        options: BatchOptions,
        batch_size: int,
        originals: Originals,
        seed: int,
        threads: int | None,
        shuffle: Shuffle,
        process: tuple[int, int],
        drop_last: bool,
    ) -> "Stream":
        from ..streaming.stream import Stream

        batches = training_batches(self, options, batch_size, originals, *process, drop_last)
        return Stream(self, batches, seed=seed, threads=threads, shuffle=shuffle, **options.stream_options(self, seed))

    @accepts_old_names(**_OLD_NAMES)
    def to_tf_dataset(
        self,
        batch_size: int = 256,
        originals: Originals = 0.5,
        seed: int = 0,
        *,
        first_epoch: int = 0,
        epochs: int | None = 1,
        threads: int | None = None,
        shuffle: Shuffle = "images",
        rank: int | None = None,
        world_size: int | None = None,
        drop_last: bool = False,
        **augmentation: Unpack[BatchArguments],
    ) -> "tf.data.Dataset":
        """Return training batches as a `tf.data.Dataset`: images uint8 (B, H, W, C) and labels int32 (B,).

        Each iteration over the dataset shows the next `epochs` epochs, the first one from `first_epoch` on, as
        `reshuffle_each_iteration` would. An iteration that is not finished counts as well; so does the one with which
        Keras inspects the dataset under a `tf.distribute` strategy. The threads end when the dataset is dropped.

        With `world_size` above 1 the dataset is already sharded, for `strategy.distribute_datasets_from_function`,
        whose input context has both numbers. With `drop_last` the batch size is static. The other arguments are those
        of `batches`, with the same forms of images and targets; instead of `transform`, use `map` of the dataset.

        Raises
        ------
        EpochbankError
            If an argument is out of range, no batch can be formed, or TensorFlow is not installed. A damaged chunk is a
            `tf.errors.UnknownError` that contains the message.
        """
        from .iterators import tf_dataset

        options = BatchOptions(**augmentation)
        process = process_here(rank, world_size)
        stream = self._stream(options, batch_size, originals, seed, threads, shuffle, process, drop_last)
        return tf_dataset(stream, options, first_epoch, epochs)

    @accepts_old_names(**_OLD_NAMES)
    def to_torch(
        self,
        batch_size: int = 256,
        originals: Originals = 0.5,
        seed: int = 0,
        *,
        first_epoch: int = 0,
        epochs: int | None = 1,
        threads: int | None = None,
        shuffle: Shuffle = "images",
        rank: int | None = None,
        world_size: int | None = None,
        drop_last: bool = False,
        **augmentation: Unpack[BatchArguments],
    ) -> "TorchBatches":
        """Return training batches as a PyTorch `IterableDataset`, for `DataLoader(dataset, batch_size=None)`.

        An item is a whole batch: images uint8 (B, H, W, C) and labels int64 (B,), or float32 (B, classes) with MixUp,
        CutMix, label smoothing or a teacher, as `cross_entropy` expects.
        `images.permute(0, 3, 1, 2)` is (B, C, H, W) in channels-last memory, without a copy.

        Each iteration shows the next `epochs` epochs; `set_epoch` selects the next one. `DataLoader` workers, of any
        number, persistent or not, divide the batches among them. If `rank` and `world_size` are None, they are those of
        `torch.distributed` or `jax.distributed` at the time of an iteration, if initialized. The other arguments are
        those of `batches`, without `transform`.

        Raises
        ------
        EpochbankError
            If an argument is out of range, no batch can be formed, or PyTorch is not installed.
        """
        from .torch_batches import TorchBatches

        options = BatchOptions(**augmentation)
        process = None if world_size is None and rank is None else process_here(rank, world_size)
        batches = training_batches(self, options, batch_size, originals, *(process or (0, 1)), drop_last)
        return TorchBatches(self, batches, options, seed, first_epoch, epochs, threads, shuffle, process)


def open_set(
    path: AugmentedSet | str | Path | None = None,
    sets: str | Path = "sets",
    *,
    wait: bool = False,
    cache: str | Path | None = None,
    cache_size: int | None = None,
) -> AugmentedSet:
    """Open a set for training.

    Parameters
    ----------
    path
        Path of the set, or its name, a tag or at least the first four digits of its fingerprint in `sets`; None for
        the newest set in `sets`. A set that is open is returned as it is. The URL of a set in an object store, such as
        "s3://bucket/sets/NAME", opens it there: shards are fetched into `cache` ahead of their use.
    sets
        Directory of the sets.
    wait
        Wait until the first epoch of the set is published, while `augment run` generates it.
    cache
        Directory for shards of sets in object stores, which all processes of a machine share; None for
        `$EPOCHBANK_CACHE`, or `epochbank` in the user's cache directory.
    cache_size
        Largest number of bytes of shards in `cache`; None for half of the disk space that is free or cached.

    Raises
    ------
    EpochbankError
        If there is no such set, it is damaged or of a newer format, one of its shards is missing or incomplete, or no
        epoch is published. With `wait`, if no process writes the set. If it is in an object store that cannot be read,
        or with `wait`.
    """
    if isinstance(path, AugmentedSet):
        return path
    if cache_size is not None and not (isinstance(cache_size, int) and cache_size > 0):
        raise EpochbankError(f"cache_size={cache_size!r}; expected a number of bytes above 0.", usage=True)
    if wait and (url_of(path) or url_of(sets)):
        raise EpochbankError(
            f"wait=True is not available for {path or sets}, which is in an object store; expected a local set. Open "
            "the set again when its first epoch is published.",
            usage=True,
        )
    shards = None if cache is None and cache_size is None else ShardCache(Path(cache or default_cache()), cache_size)
    url = url_of(path)
    if url is None:
        directory = wait_for_epoch(path, sets_path(sets)) if wait else find_set(path, sets_path(sets))
        url = remote_url(directory)
    if url is not None:
        shards = shards or ShardCache(default_cache())
        directory = open_mirror(url, shards)
    stored = read_stored_set(directory, shards)
    return AugmentedSet(stored.path, stored.description, stored.entries, stored.lock, stored.length, stored.remote)
