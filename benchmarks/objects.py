"""Streaming from an object store: seconds to the first batch, and the rate from a warm cache relative to a local set.

    python benchmarks/objects.py

The store is a small S3 server in memory, in another process of this machine. Both sets are streamed in the same run, in
turn, because the speed of a machine changes.
"""

import importlib
import os
import sys
import tempfile
import time
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import click
import numpy as np

import epochbank


def serve(pipe: Connection) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    with importlib.import_module("object_server").object_server() as server:
        pipe.send(server.environment())
        pipe.recv()


@contextmanager
def store():
    """Run a server, and set the environment variables by which it is found."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    os.environ.update(ours.recv())
    try:
        yield
    finally:
        ours.send("end")
        process.join(10)


def rate(data: epochbank.AugmentedSet, seconds: float) -> float:
    """Return images per second, after the first batches."""
    stream = data.batches(256, seed=1)
    for _ in range(20):
        next(stream)
    begun, images = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        images += len(next(stream)[0])
    return images / (time.perf_counter() - begun)


@click.command()
@click.option("--images", default=60_000, help="Images of 64 x 64 of the source.")
@click.option("--epochs", default=3, help="Stored epochs.")
@click.option("--rounds", default=7, help="Measurements of each set.")
@click.option("--seconds", default=2.0, help="Seconds of each measurement.")
def main(images: int, epochs: int, rounds: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder, store():
        directory = Path(folder)
        os.environ["EPOCHBANK_CACHE"] = str(directory / "cache")
        rng = np.random.default_rng(0)
        pixels = np.repeat(np.repeat(rng.integers(0, 256, (images, 8, 8, 1), np.uint8), 8, 1), 8, 2)
        np.savez(directory / "a.npz", images=pixels, labels=np.arange(images) % 100)
        local = epochbank.generate(directory / "a.npz", epochs=epochs, sets=directory / "sets")
        copied = epochbank.copy_set(local, f"s3://bucket/{local.path.name}")
        begun = time.perf_counter()
        remote = epochbank.open_set(str(copied.url))
        next(remote.batches(256, seed=1))
        click.echo(f"first batch        {time.perf_counter() - begun:.2f} s after opening the set, with an empty cache")
        for _ in remote.batches(256, seed=1, epochs=epochs):  # Fills the cache.
            pass
        ratios = []
        for _ in range(rounds):
            there, here = rate(remote, seconds), rate(local, seconds)
            ratios.append(there / here)
        click.echo(f"from a warm cache  {median(ratios):.3f} of the rate of a local set (median of {rounds} rounds)")


if __name__ == "__main__":
    main()
