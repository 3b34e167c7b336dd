"""One peer in a process of its own, run by `stream.py`.

    python -m peers prepare NAME FOLDER
    python -m peers measure NAME FOLDER RESULT

RESULT is the JSON file that `measure` writes: facts and rate of each of the peer's contenders.
"""

import importlib
import json
import time
from pathlib import Path

import click
import numpy as np

from peers import PEERS, Contender, Pictures

AT_LEAST = 1.0
"""Whole epochs are read until so many seconds have passed."""
AT_MOST = 4.0
"""An epoch that is slower is broken off."""


@click.group()
def cli() -> None:
    """One peer, in a process of its own."""


@cli.command()
@click.argument("name", type=click.Choice(PEERS))
@click.argument("folder", type=click.Path(path_type=Path))
def prepare(name: str, folder: Path) -> None:
    """Write the peer's files, once; a broken attempt leaves nothing that counts."""
    done, making = folder / name, folder / f"{name}.{time.time_ns()}.tmp"
    if not done.exists():
        making.mkdir()
        importlib.import_module(f"peers.{name}").prepare(Pictures(folder), making)
        making.rename(done)


@cli.command()
@click.argument("name", type=click.Choice(PEERS))
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("result", type=click.Path(path_type=Path))
def measure(name: str, folder: Path, result: Path) -> None:
    """Images per second of each of the peer's contenders."""
    pictures = Pictures(folder)
    expected = int(pictures.labels.sum()), int(pictures.images.sum(dtype=np.int64))
    rows = []
    for contender in importlib.import_module(f"peers.{name}").contenders(pictures, folder / name):
        check(contender, len(pictures.labels), expected)
        facts = {key: getattr(contender, key) for key in ("name", "variant", "shuffled", "bytes")}
        rows.append({**facts, "rate": rate(contender)})
        contender.close()
    result.write_text(json.dumps(rows))


def check(contender: Contender, images: int, expected: tuple[int, int]) -> None:
    """The warm-up: an epoch, untimed, and whether it held every picture with its pixels. Slow ones get no further."""
    shown, labels, pixels, begun = 0, 0, 0, time.perf_counter()
    for batch_pixels, batch_labels in contender.batches(0):
        batch_pixels = np.asarray(batch_pixels)
        shown += len(batch_labels)
        labels += int(np.asarray(batch_labels, np.int64).sum())
        pixels += int(batch_pixels.sum(dtype=np.int64))
        if batch_pixels.dtype != np.uint8:
            raise SystemExit(f"{contender.name} gives pictures of {batch_pixels.dtype}; expected uint8")
        if time.perf_counter() - begun > AT_MOST:
            return
    if (shown, labels, pixels) != (images, *expected):
        raise SystemExit(f"{contender.name} gave {shown} pictures, or other ones; expected the {images} of the set")


def rate(contender: Contender) -> float:
    """Images per second over whole epochs; of an epoch that is broken off, from its first batch on."""
    images, epoch, begun = 0, 0, time.perf_counter()
    first: tuple[float, int] | None = None
    while (seconds := time.perf_counter() - begun) < AT_LEAST:
        epoch += 1
        for _, labels in contender.batches(epoch):
            images += len(labels)
            now = time.perf_counter()
            first = first or (now, images)
            if now - begun > AT_MOST:
                return (images - first[1]) / (now - first[0])
    return images / seconds


if __name__ == "__main__":
    cli()
