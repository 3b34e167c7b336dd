"""How fast sources are imported to 64 x 64: records of the ETL Character Database, and a folder of small PNG files.

    python benchmarks/imports.py                       # some ten minutes on two cores, and 10 GB of temporary disk
    python benchmarks/imports.py --source 9B --rounds 5

`augment import` as a whole, its start included, with one worker and with two, in turn; sources are read from the
system's cache. Ratios are medians of those within a round. Beside them, in each round, what the system takes to write
as many bytes of nothing, 4 MB at a time, and sync them: no import can be faster. The peak of anonymous memory is that
of the first process and of the largest worker, by a look every 20 ms.
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

from etl_material import write_etl
from glyphs import blocks_of_glyphs
from memory import watch

_PNGS, _CLASSES = 70_000, 1000


def _write_pngs(folder: Path, count: int) -> None:
    """So many PNG files of 28 x 28, in a folder for each of a thousand classes."""
    written = 0
    for block in blocks_of_glyphs(count, 28):
        for picture in block:
            path = folder / f"{written % _CLASSES:04d}" / f"{written:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.ascontiguousarray(picture)).save(path)
            written += 1


SOURCES: dict[str, tuple[int, Callable[[Path, int], Any]]] = {
    "9G": (607_200, lambda folder, count: write_etl(folder, "9G", count)),
    "9B": (607_200, lambda folder, count: write_etl(folder, "9B", count)),
    "8B": (152_000, lambda folder, count: write_etl(folder, "8B", count)),
    "png": (_PNGS, _write_pngs),
}
"""Pictures of each source, and what writes them into a folder."""


@click.command()
@click.option("--source", "only", multiple=True, type=click.Choice(list(SOURCES)), help="Only these sources.")
@click.option("--rounds", default=3, help="How often each is measured.")
@click.option("--share", default=1.0, help="Of each source's pictures: a quick look.")
def main(only: tuple[str, ...], rounds: int, share: float) -> None:
    jobs = [count for count in (1, 2) if count <= len(os.sched_getaffinity(0))]
    for name in only or SOURCES:
        count, write = SOURCES[name]
        count = int(count * share)
        with tempfile.TemporaryDirectory(prefix="epochbank-bench-") as folder:
            write(Path(folder) / "source", count)
            seconds: dict[int, list[float]] = {job: [] for job in jobs}
            floor = []
            for _ in range(rounds):
                floor.append(_seconds_of_writing(Path(folder) / "nothing", 64 * 64 * count))
                for job in jobs:
                    seconds[job].append(_seconds(folder, job))
            rate = count / statistics.median(seconds[1])
            click.echo(
                f"{name}: {count:,} pictures; one worker {rate:,.0f} pictures/s ({_each(seconds[1], count)} us each)"
            )
            click.echo(f"{'':4}of that, writing alone: {_each(floor, count)} us each")
            if 2 in seconds:
                ratios = [one / two for one, two in zip(seconds[1], seconds[2], strict=True)]
                shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
                rate = count / statistics.median(seconds[2])
                click.echo(
                    f"{'':4}two workers {rate:,.0f} pictures/s, {statistics.median(ratios):.2f} times one ({shown})"
                )
            first, worker = watch([sys.executable, "-m", "epochbank.augment", *_words(2)], folder)
            workers = f"; largest worker {worker[0]:.0f} MB ({worker[1]:.0f} MB)" if worker else ""
            click.echo(
                f"{'':4}peak memory of its own (and of mapped files): "
                f"first process {first[0]:.0f} MB ({first[1]:.0f} MB){workers}"
            )


def _each(seconds: list[float], count: int) -> str:
    return ", ".join(f"{1e6 * one / count:.1f}" for one in seconds)


def _seconds_of_writing(path: Path, size: int) -> float:
    block = bytes(4 << 20)
    begun = time.perf_counter()
    with open(path, "wb", buffering=0) as file:
        for start in range(0, size, len(block)):
            file.write(block[: size - start])
        os.fsync(file.fileno())
    seconds = time.perf_counter() - begun
    path.unlink()
    return seconds


def _words(jobs: int) -> list[str]:
    return ["import", "source", f"imported-{time.monotonic_ns()}.h5", "--size", "64x64", "--jobs", str(jobs)]


def _seconds(folder: str, jobs: int) -> float:
    words = _words(jobs)
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "epochbank.augment", *words], cwd=folder, check=True, capture_output=True)
    seconds = time.perf_counter() - begun
    (Path(folder) / words[2]).unlink()
    return seconds


if __name__ == "__main__":
    main()
