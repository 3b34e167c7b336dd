"""The quality of the shuffle, compared with a perfect one: classes per batch, and pairs that are repeated.

A pair of images is repeated if both are in the same batch in two successive passes.

    python benchmarks/shuffle.py

A stored epoch is in random order. In each pass over it, the chunks come in a new order, and the images within a window
of chunks are shuffled. With `shards`, these are the chunks of eight shards. The figures are computed from the orders;
no set is read.
"""

import itertools

import click
import numpy as np

from epochbank.train.streaming.order import Shuffle, key_of, windows, within

SHUFFLES: tuple[Shuffle, ...] = ("images", "chunks", "shards")
SHARD_IMAGES = 16384
"""Images of 64 x 64 in a shard of the default size."""


def batch_of_each(
    num_images: int, chunk: int, image_bytes: int, batch: int, seed: int, pass_number: int, shuffle: Shuffle
) -> np.ndarray:
    """Return the batch of each position of a stored epoch in pass `pass_number`, int64 (num_images,)."""
    starts = np.arange(0, num_images, chunk)
    counts = np.minimum(chunk, num_images - starts)
    key = key_of("order", seed, "epoch", 0, pass_number)
    divided = windows(counts, chunk * image_bytes, key, np.bincount(starts // SHARD_IMAGES), shuffle=shuffle)
    place = np.empty(num_images, np.int64)
    for number, first in enumerate(divided.starts[:-1]):
        chunks = divided.chunks_of(number)
        positions = np.concatenate([np.arange(starts[at], starts[at] + counts[at]) for at in chunks])
        slots = within(number, len(positions), key) if shuffle != "chunks" else np.arange(len(positions))
        place[positions] = first + slots
    return place // batch


def met_again(first: np.ndarray, second: np.ndarray) -> float:
    """Return the share of the pairs of images in one batch of `first` that are also in one batch of `second`."""
    _, sizes = np.unique(first, return_counts=True)
    _, both = np.unique(first * (second.max() + 1) + second, return_counts=True)
    return float((both * (both - 1)).sum() / (sizes * (sizes - 1)).sum())


def classes_in_a_batch(batches: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean number of different labels in a batch."""
    pairs = np.unique(batches * (labels.max() + 1) + labels)
    return len(pairs) / (batches.max() + 1)


def quality(
    num_images: int, chunk: int, image_bytes: int, batch: int, classes: int, shuffle: Shuffle = "images"
) -> dict[str, tuple[float, float]]:
    """Return each figure as (ours, of a perfect shuffle), averaged over several passes."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(num_images) % classes)  # A stored epoch is in random order.
    ours = [batch_of_each(num_images, chunk, image_bytes, batch, 0, number, shuffle) for number in range(6)]
    perfect = [rng.permutation(num_images) // batch for _ in range(6)]
    return {
        "classes in a batch": (_classes(ours, labels), _classes(perfect, labels)),
        "pairs that meet again": (_met_again(ours), _met_again(perfect)),
    }


def _classes(passes: list[np.ndarray], labels: np.ndarray) -> float:
    return float(np.mean([classes_in_a_batch(one, labels) for one in passes]))


def _met_again(passes: list[np.ndarray]) -> float:
    return float(np.mean([met_again(*pair) for pair in itertools.pairwise(passes)]))


@click.command()
@click.option("--images", "num_images", default=100_000, help="Images of an epoch.")
@click.option("--classes", default=3000, help="Number of classes.")
@click.option("--batch", default=256, help="Images per batch.")
def main(num_images: int, classes: int, batch: int) -> None:
    modes = [quality(num_images, 128, 64 * 64, batch, classes, shuffle) for shuffle in SHUFFLES]
    click.echo(f"{num_images:,} images of 64 x 64, {classes:,} classes, batches of {batch}, an epoch reused:\n")
    click.echo(f"{'':24}" + "".join(f"{name:>12}" for name in ("perfect", *SHUFFLES)))
    for name, factor, unit in (("classes in a batch", 1, ""), ("pairs that meet again", 100, " %")):
        values = [modes[0][name][1], *(mode[name][0] for mode in modes)]
        click.echo(f"{name:24}" + "".join(f"{f'{factor * value:.2f}{unit}':>12}" for value in values))


if __name__ == "__main__":
    main()
