"""The speed of importing sources: ETL Character Database records, and a folder of small PNG files.

    python benchmarks/imports.py                       # about ten minutes on two cores, and 10 GB of temporary disk
    python benchmarks/imports.py --source 9B --rounds 5

Images become 64 x 64; `9G-native` keeps the 127 x 128 of ETL9G, for its memory. Measures `augment import` including
its start-up, with one worker and with two, alternately; sources are in the page cache. Ratios are medians of the ratios
within a round. Each round also measures how long the system takes to write the same number of zero bytes, 4 MB at a
time, and to sync them: no import can be faster. The peaks of anonymous memory are those of the main process and of the
largest worker, sampled every 20 ms.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

import checkout  # noqa: F401
from etl_files import write_etl
from glyphs import blocks_of_glyphs
from memory import peak_memory

_PNGS, _CLASSES = 70_000, 1000


def _write_pngs(folder: Path, count: int) -> None:
    """Write `count` PNG files of 28 x 28, in a folder for each of a thousand classes."""
    written = 0
    for block in blocks_of_glyphs(count, 28):
        for image in block:
            path = folder / f"{written % _CLASSES:04d}" / f"{written:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.ascontiguousarray(image)).save(path)
            written += 1


_NATIVE = "9G-native"

SOURCES: dict[str, tuple[int, Callable[[Path, int], Any]]] = {
    "9G": (607_200, lambda folder, count: write_etl(folder, "9G", count)),
    _NATIVE: (60_720, lambda folder, count: write_etl(folder, "9G", count)),
    "9B": (607_200, lambda folder, count: write_etl(folder, "9B", count)),
    "8B": (152_000, lambda folder, count: write_etl(folder, "8B", count)),
    "png": (_PNGS, _write_pngs),
}
"""Number of images of each source, and the function that writes them into a folder."""


@click.command()
@click.option("--source", "only", multiple=True, type=click.Choice(list(SOURCES)), help="Measure only these sources.")
@click.option("--rounds", default=3, help="Number of measurements of each source.")
@click.option("--share", default=1.0, help="Share of each source's images; less than 1 for a quick run.")
def main(only: tuple[str, ...], rounds: int, share: float) -> None:
    jobs = [count for count in (1, 2) if count <= len(os.sched_getaffinity(0))]
    for name in only or SOURCES:
        count, write = SOURCES[name]
        count = int(count * share)
        with tempfile.TemporaryDirectory(prefix="epochbank-bench-") as folder:
            write(Path(folder) / "source", count)
            height, width = (127, 128) if name == _NATIVE else (64, 64)
            seconds: dict[int, list[float]] = {job: [] for job in jobs}
            floor = []
            for _ in range(rounds):
                floor.append(_seconds_to_write(Path(folder) / "zeros", height * width * count))
                for job in jobs:
                    seconds[job].append(_seconds(folder, f"{height}x{width}", job))
            rate = count / statistics.median(seconds[1])
            click.echo(
                f"{name}: {count:,} images; one worker {rate:,.0f} images/s ({_each(seconds[1], count)} us per image)"
            )
            click.echo(f"{'':4}of that, writing alone: {_each(floor, count)} us per image")
            if 2 in seconds:
                ratios = [one / two for one, two in zip(seconds[1], seconds[2], strict=True)]
                shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
                rate = count / statistics.median(seconds[2])
                click.echo(
                    f"{'':4}two workers {rate:,.0f} images/s, {statistics.median(ratios):.2f} times one ({shown})"
                )
            first, worker = peak_memory(
                [sys.executable, "-m", "epochbank.augment", *_arguments(f"{height}x{width}", 2)], folder
            )
            workers = f"; largest worker {worker[0]:.0f} MB ({worker[1]:.0f} MB)" if worker else ""
            click.echo(
                f"{'':4}peak anonymous memory (and mapped files): "
                f"main process {first[0]:.0f} MB ({first[1]:.0f} MB){workers}"
            )


def _each(seconds: list[float], count: int) -> str:
    return ", ".join(f"{1e6 * one / count:.1f}" for one in seconds)


def _seconds_to_write(path: Path, size: int) -> float:
    block = bytes(4 << 20)
    started = time.perf_counter()
    with open(path, "wb", buffering=0) as file:
        for start in range(0, size, len(block)):
            file.write(block[: size - start])
        os.fsync(file.fileno())
    seconds = time.perf_counter() - started
    path.unlink()
    return seconds


def _arguments(size: str, jobs: int) -> list[str]:
    return ["import", "source", f"imported-{time.monotonic_ns()}.h5", "--size", size, "--jobs", str(jobs)]


def _seconds(folder: str, size: str, jobs: int) -> float:
    arguments = _arguments(size, jobs)
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "epochbank.augment", *arguments], cwd=folder, check=True, capture_output=True)
    seconds = time.perf_counter() - started
    (Path(folder) / arguments[2]).unlink()
    return seconds


if __name__ == "__main__":
    main()
