"""How often training has shown each stored image, in one line."""

from collections import Counter

from ...augment.shared.progress import counted
from ..feeding.sequence import AugmentedSequence
from ..streaming.batches import TrainingBatches
from ..streaming.schedule import ScheduledBatches


def exposure(data: AugmentedSequence, num_epochs: int) -> str:
    """Return how often each stored image was seen in the first `num_epochs` training epochs of `data`."""
    batches = data.stream.batches
    assert isinstance(batches, TrainingBatches | ScheduledBatches)
    mixed = [epoch for epoch in range(num_epochs) if batches.of(epoch).originals < 1]
    passes = Counter(batches.shown_by(epoch)[0] for epoch in mixed)
    distorted = sum(batches.of(epoch).rank_shown for epoch in mixed)
    originals = sum(map(batches.shown, range(num_epochs))) - distorted
    parts = []
    if passes:
        kind = counted(len(passes), "stored epoch")
        parts.append(f"each image of {kind} {_times(min(passes.values()), max(passes.values()))}")
    if originals:
        times = f"{originals / batches.of(0).rank_images:.3g}"
        parts.append(f"each original {'once' if times == '1' else f'{times} times'}")
    if data.options.final is not None:
        parts.append("always with another final augmentation")
    return ", ".join(parts)


def _times(fewest: int, most: int) -> str:
    return ("once" if most == 1 else f"{most} times") if fewest == most else f"{fewest} to {most} times"
