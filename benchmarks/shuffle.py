"""How good the shuffle is, beside a perfect one: classes in a batch, and how often two pictures meet again.

    python benchmarks/shuffle.py

A stored epoch is in random order. Each time that it is gone through, whole chunks come in a new order and the
pictures of a window of chunks are shuffled among themselves. Computed from the orders alone: no set is read.
"""

import itertools

import click
import numpy as np

from epochbank.train.streaming.order import key_of, windows, within


def batch_of_each(
    images: int, chunk: int, picture_bytes: int, batch: int, seed: int, passing: int, shuffle: str
) -> np.ndarray:
    """int64 (images,): in which batch each position of a stored epoch comes, the `passing`-th time."""
    starts = np.arange(0, images, chunk)
    counts = np.minimum(chunk, images - starts)
    key = key_of("order", seed, "epoch", 0, passing)
    parted = windows(counts, chunk * picture_bytes, key)
    place = np.empty(images, np.int64)
    for number, first in enumerate(parted.starts[:-1]):
        chunks = parted.chunks_of(number)
        positions = np.concatenate([np.arange(starts[at], starts[at] + counts[at]) for at in chunks])
        slots = within(number, len(positions), key) if shuffle == "pictures" else np.arange(len(positions))
        place[positions] = first + slots
    return place // batch


def met_again(first: np.ndarray, second: np.ndarray) -> float:
    """Of the pairs of pictures that share a batch in `first`, the share that share one in `second`, too."""
    _, sizes = np.unique(first, return_counts=True)
    _, both = np.unique(first * (second.max() + 1) + second, return_counts=True)
    return float((both * (both - 1)).sum() / (sizes * (sizes - 1)).sum())


def classes_in_a_batch(batches: np.ndarray, labels: np.ndarray) -> float:
    """Mean number of different labels in a batch."""
    pairs = np.unique(batches * (labels.max() + 1) + labels)
    return len(pairs) / (batches.max() + 1)


def quality(
    images: int, chunk: int, picture_bytes: int, batch: int, classes: int, shuffle: str = "pictures"
) -> dict[str, tuple[float, float]]:
    """(ours, a perfect shuffle's) of what is measured, as means over several passes."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(images) % classes)  # A stored epoch is in random order.
    ours = [batch_of_each(images, chunk, picture_bytes, batch, 0, passing, shuffle) for passing in range(6)]
    perfect = [rng.permutation(images) // batch for _ in range(6)]
    return {
        "classes in a batch": tuple(
            np.mean([classes_in_a_batch(one, labels) for one in all_]) for all_ in (ours, perfect)
        ),
        "pairs that meet again": tuple(
            np.mean([met_again(*pair) for pair in itertools.pairwise(all_)]) for all_ in (ours, perfect)
        ),
    }  # type: ignore[return-value]


@click.command()
@click.option("--images", default=100_000, help="Pictures of an epoch.")
@click.option("--classes", default=3000)
@click.option("--batch", default=256, help="Pictures in a batch.")
def main(images: int, classes: int, batch: int) -> None:
    modes = [quality(images, 128, 64 * 64, batch, classes, shuffle) for shuffle in ("pictures", "chunks")]
    click.echo(f"{images:,} pictures of 64 x 64, {classes:,} classes, batches of {batch}, an epoch reused:\n")
    click.echo(f"{'':24}{'perfect':>12}{'pictures':>12}{'chunks':>12}")
    for name, factor, unit in (("classes in a batch", 1, ""), ("pairs that meet again", 100, " %")):
        values = [modes[0][name][1], *(mode[name][0] for mode in modes)]
        click.echo(f"{name:24}" + "".join(f"{f'{factor * value:.2f}{unit}':>12}" for value in values))


if __name__ == "__main__":
    main()
