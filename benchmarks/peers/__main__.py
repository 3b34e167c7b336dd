"""Prepare or measure one peer in this process; `stream.py` runs it in `benchmarks/`.

    python -m peers prepare NAME FOLDER
    python -m peers measure NAME FOLDER RESULT

`measure` writes the facts and the rate of each contender of the peer to the JSON file RESULT.
"""

import importlib
import json
import time
from pathlib import Path

import click
import numpy as np

from peers import PEERS, Contender, Images

AT_LEAST = 1.0
"""Seconds for which whole epochs are read, at least."""
AT_MOST = 4.0
"""Seconds after which an epoch is stopped."""


@click.group()
def cli() -> None:
    """Prepare or measure one peer in this process."""


@cli.command()
@click.argument("name", type=click.Choice(PEERS))
@click.argument("folder", type=click.Path(path_type=Path))
def prepare(name: str, folder: Path) -> None:
    """Write the files of the peer, once; a failed attempt is not used."""
    done, temporary = folder / name, folder / f"{name}.{time.time_ns()}.tmp"
    if not done.exists():
        temporary.mkdir()
        importlib.import_module(f"peers.{name}").prepare(Images(folder), temporary)
        temporary.rename(done)


@cli.command()
@click.argument("name", type=click.Choice(PEERS))
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("result", type=click.Path(path_type=Path))
def measure(name: str, folder: Path, result: Path) -> None:
    """Measure images per second of each contender of the peer."""
    images = Images(folder)
    expected = int(images.labels.sum()), int(images.images.sum(dtype=np.int64))
    rows = []
    for contender in importlib.import_module(f"peers.{name}").contenders(images, folder / name):
        check(contender, len(images.labels), expected)
        facts = {key: getattr(contender, key) for key in ("name", "variant", "shuffled", "bytes")}
        rows.append({**facts, "rate": rate(contender)})
        contender.close()
    result.write_text(json.dumps(rows))


def check(contender: Contender, num_images: int, expected: tuple[int, int]) -> None:
    """Warm up with an untimed epoch, and check the sums of its labels and pixels unless it is stopped.

    Of augmented batches, only the number of images is checked.
    """
    shown, labels, pixels, start = 0, 0, 0, time.perf_counter()
    for batch_pixels, batch_labels in contender.batches(0):
        batch_pixels = np.asarray(batch_pixels)
        shown += len(batch_labels)
        labels += 0 if contender.augmented else int(np.asarray(batch_labels, np.int64).sum())
        pixels += int(batch_pixels.sum(dtype=np.int64))
        if batch_pixels.dtype != np.uint8:
            raise SystemExit(f"{contender.name} returns images of {batch_pixels.dtype}; expected uint8")
        if time.perf_counter() - start > AT_MOST:
            return
    found = expected if contender.augmented else (labels, pixels)
    if (shown, *found) != (num_images, *expected):
        raise SystemExit(
            f"{contender.name} returned {shown} images, or other ones; expected the {num_images} of the set"
        )


def rate(contender: Contender) -> float:
    """Return images per second over whole epochs, or in a stopped epoch from its first batch."""
    num_images, epoch, start = 0, 0, time.perf_counter()
    first: tuple[float, int] | None = None
    while (seconds := time.perf_counter() - start) < AT_LEAST:
        epoch += 1
        for _, labels in contender.batches(epoch):
            num_images += len(labels)
            now = time.perf_counter()
            first = first or (now, num_images)
            if now - start > AT_MOST:
                return (num_images - first[1]) / (now - first[0])
    return num_images / seconds


if __name__ == "__main__":
    cli()
