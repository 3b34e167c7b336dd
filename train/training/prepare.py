"""The compiled model and the data of a training run, before its first step."""

import keras

from ...augment.errors import EpochbankError
from ...augment.shared.progress import counted
from ..feeding.ranks import devices_here
from ..feeding.sequence import AugmentedSequence, EvaluationSequence
from ..reading.stored_set import StoredSet
from .backend import compute_deterministically
from .fit_options import FitOptions
from .models import build_model, compile_model
from .outputs import output_kind
from .ranks import Ranks, without_distribution
from .tracker_names import check_installed


def prepare(stored_set: StoredSet, options: FitOptions, ranks: Ranks) -> tuple[keras.Model, AugmentedSequence]:
    """Return the compiled model and its data; both are independent of earlier computations in this process.

    Raises `EpochbankError` if an option is out of range, a tracker is not installed, or the model does not fit the set.
    """
    check_installed(options.trackers)
    shape, classes = stored_set.shape, len(stored_set.class_names)
    keras.utils.set_random_seed(options.seed)
    if options.deterministic:
        compute_deterministically()
    keras.config.set_dtype_policy(options.precision)
    model = build_model(options.model, shape, classes)
    data = AugmentedSequence(
        stored_set,
        options.batch_size or 0,
        options.share_of_originals,
        options.seed,
        threads=options.threads,
        shuffle=options.shuffle,
        rank=ranks.rank,
        world_size=ranks.world_size,
        follow=options.follow,
        final=options.final,
        mixup=options.mixup,
        cutmix=options.cutmix,
        label_smoothing=options.label_smoothing,
        views=options.views,
        sparse_targets=True,
        teacher=options.teacher,
        distill=options.batches.distill,
    )
    inspected, images = model, data.stream.batch(0, 0)[0]
    distributed = keras.distribution.distribution() is not None
    with without_distribution():
        if distributed:  # A single process cannot call a model whose variables are those of all processes.
            inspected = build_model(options.model, shape, classes)
        output = output_kind(inspected, images)
    if distributed:
        keras.utils.set_random_seed(options.seed)
    ranks.say(f"output: {output}")
    smoothing = options.label_smoothing if options.batches.soft else None
    if ranks.on_torch and not ranks.leads:
        keras.utils.set_random_seed(options.seed + ranks.rank)  # Dropout differs between ranks.
    steps = sum(map(data.stream.batches.steps, range(options.epochs)))
    compile_model(
        model,
        output,
        learning_rate=options.learning_rate,
        steps=steps,
        smoothing=smoothing,
        temperature=options.batches.distill[1],
    )
    return model, data


def validation_of(data: AugmentedSequence, ranks: Ranks) -> EvaluationSequence | None:
    """Return this rank's part of the validation split; None if there is none.

    Under `keras.distribution` all parts have the same size, so that the devices can divide them: a few images are
    omitted. Raises `EpochbankError` if there are fewer images than ranks.
    """
    stored_set, size = data.stream.stored_set, data.stream.batches.batch_size
    num_images = stored_set.num_images["validation"]
    if not num_images:
        return None
    if ranks.several and keras.distribution.distribution() is not None:
        num_images -= num_images % (ranks.world_size * devices_here())
    if num_images < ranks.world_size:
        raise EpochbankError(
            f"{counted(stored_set.num_images['validation'], 'validation image')} of {stored_set.path} for "
            f"{ranks.world_size} processes; expected at least one for each of their devices. Use fewer processes."
        )
    start, stop = (rank * num_images // ranks.world_size for rank in (ranks.rank, ranks.rank + 1))
    return EvaluationSequence(stored_set, "validation", size, positions=range(start, stop))


def release_lock(stored_set: StoredSet, options: FitOptions) -> None:
    """Release the lock of a set that is followed: the training locks what it reads."""
    if options.follow and stored_set.lock is not None:
        stored_set.lock.close()


def teacher_model(data: AugmentedSequence) -> str | None:
    """Return the digest of the model whose labels are trained on; None without a teacher."""
    distill = data.stream.distill
    return None if distill is None else distill.labels.teacher.model
