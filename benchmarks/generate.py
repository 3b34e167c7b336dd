"""How fast stage 1 is, beside the loop that it replaces, in one run.

    python benchmarks/generate.py            # a minute on two cores
    python benchmarks/generate.py --images 8000 --rounds 1

Whole generation (draw, distort, encode with zstd, write, sync, manifest) of the recipe `kanji` on
64 x 64 grey glyphs, on one core and on two, against the plain loop's distortion alone. The three take
turns, round by round, so that what else the machine does falls on all of them; the medians count.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from glyphs import glyphs
from plain_loop import distort_plainly

from augment.distort import distort
from augment.draw import draw
from augment.generate import Execution, generate
from augment.importing import ImportOptions, import_source
from augment.order import order_key, permute
from augment.recipe import load_recipe
from augment.request import Request
from augment.source_file import SourceFile, open_source_file
from augment.sources import open_source
from augment.split import HeldOut
from augment.store.codec import encode
from augment.store.digest import digest_of


@click.command()
@click.option("--images", default=40_000, help="Pictures of the source.")
@click.option("--rounds", default=5, help="How often each is measured.")
def main(images: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="epochbank-bench-") as folder:
        source = _source(Path(folder), images)
        _generated(source, Path(folder) / "warm-up", 2, seed=0)  # imports, and the worker processes
        plain, one, two = [], [], []
        for number in range(1, rounds + 1):
            plain.append(_plain(images // 20))
            one.append(_generated(source, Path(folder) / f"one-{number}", 1, seed=number))
            two.append(_generated(source, Path(folder) / f"two-{number}", 2, seed=number))
            click.echo(
                f"round {number}: plain loop {plain[-1]:,.0f}, one core {one[-1]:,.0f}, "
                f"two cores {two[-1]:,.0f} pictures/s"
            )
        parts = _parts(source)
    rate, single, double = map(statistics.median, (plain, one, two))
    click.echo(f"\nplain loop, distortion alone   {1e6 / rate:6.1f} us a picture")
    click.echo(f"whole generation, one core     {1e6 / single:6.1f} us a picture: {single / rate:.2f} times the loop")
    click.echo(f"whole generation, two cores    {1e6 / double:6.1f} us a picture: {double / single:.2f} times one core")
    click.echo("\nparts, one core: " + ", ".join(f"{name} {micros:.1f}" for name, micros in parts.items()) + " us")


def _source(folder: Path, images: int) -> SourceFile:
    pictures, labels = glyphs(images)
    np.savez(folder / "glyphs.npz", images=pictures, labels=labels)
    import_source(open_source(str(folder / "glyphs.npz")), folder / "glyphs.h5", ImportOptions(), 2, quiet=True)
    return open_source_file(folder / "glyphs.h5")


def _parts(source: SourceFile) -> dict[str, float]:
    """Microseconds a picture of each part alone, over 8,192 pictures in blocks of 512, median of three."""
    recipe, shape = load_recipe("kanji"), source.shape
    blocks = [np.arange(start, start + 512) for start in range(0, 8192, 512)]
    pictures = [source.read(block) for block in blocks]
    drawn = [draw(recipe, shape, "parts", 0, int(block[0]), int(block[0]) + 512) for block in blocks]
    rows, labels = blocks[0], blocks[0].astype(np.int32)
    parts = {
        "order": lambda: [permute(block, source.images, order_key("parts")) for block in blocks],
        "read": lambda: [source.read(block) for block in blocks],
        "draw": lambda: [draw(recipe, shape, "parts", 0, int(block[0]), int(block[0]) + 512) for block in blocks],
        "distort": lambda: [distort(block, recipe, one) for block, one in zip(pictures, drawn, strict=True)],
        "digest": lambda: [digest_of(0, block, labels, rows) for block in pictures],
        "zstd": lambda: [encode("zstd", block[at : at + 64]) for block in pictures for at in range(0, 512, 64)],
    }
    return {name: 1e6 * _median_seconds(part) / 8192 for name, part in parts.items()}


def _median_seconds(part: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        part()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def _plain(count: int) -> float:
    """Pictures per second of the plain loop."""
    pictures = (glyphs(count)[0] / 255).astype(np.float16)
    begun = time.perf_counter()
    for picture in pictures:
        distort_plainly(picture)
    return count / (time.perf_counter() - begun)


def _generated(source: SourceFile, sets: Path, jobs: int, seed: int) -> float:
    """Pictures per second of one distorted epoch; the undistorted parts are made before the clock starts."""
    request = Request(source, "glyphs", load_recipe("kanji"), seed, HeldOut(0, 0))
    generate(request, sets, Execution(1, jobs=jobs), quiet=True)
    begun = time.perf_counter()
    outcome = generate(request, sets, Execution(2, jobs=jobs), quiet=True)
    return outcome.description.images["train"] / (time.perf_counter() - begun)


if __name__ == "__main__":
    main()
