"""Which share of the shards of a stored epoch each of several processes opens, if the set is in an object store.

It is computed from the order of training.

python benchmarks/shards_of_ranks.py
"""

import click
import numpy as np

import checkout  # noqa: F401
from epochbank.augment.generation.missing import chunk_images, shard_images
from epochbank.train.streaming.order import key_of, windows

SHAPES = ((64, 64, 1), (224, 224, 3))


def share(num_images: int, shape: tuple[int, int, int], world_size: int, seed: int) -> tuple[float, int]:
    """Return the mean share of shards that a rank opens in a pass, and the number of shards."""
    chunk = chunk_images(shape)
    shard = shard_images(num_images, shape, chunk)
    shard_starts = range(0, num_images, shard)
    sizes, shard_of = [], []
    for number, start in enumerate(shard_starts):
        for at in range(start, min(start + shard, num_images), chunk):
            sizes.append(min(chunk, min(start + shard, num_images) - at))
            shard_of.append(number)
    key = key_of(seed, "shards of ranks")
    order = windows(np.array(sizes), chunk * int(np.prod(shape)), key, np.bincount(shard_of), world_size=world_size)
    opened = []
    for rank in range(world_size):
        first, last = rank * num_images // world_size, (rank + 1) * num_images // world_size
        chunks = np.concatenate([order.chunks_of(window) for window in order.covering(first, last)])
        opened.append(len(np.unique(np.array(shard_of)[chunks])) / len(shard_starts))
    return float(np.mean(opened)), len(shard_starts)


@click.command(help=__doc__)
@click.option("--images", "num_images", default=1_000_000, show_default=True, help="Images of an epoch.")
@click.option("--seeds", default=3, show_default=True, help="Number of orders.")
def main(num_images: int, seeds: int) -> None:
    for shape in SHAPES:
        for world_size in (2, 4, 16, 64):
            found = [share(num_images, shape, world_size, seed) for seed in range(seeds)]
            mean = np.mean([one for one, _ in found])
            click.echo(f"{shape}, {found[0][1]:,} shards, {world_size} processes: each opens {mean:.1%}")


if __name__ == "__main__":
    main()
