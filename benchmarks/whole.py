"""Whole generation of stored epochs, in a process of its own: draw, distort, encode, write, sync, manifest.

    python benchmarks/whole.py glyphs.h5 --jobs 1 --core 1

Prints JSON: `images_per_second` of distorted epochs of the recipe `kanji`; the undistorted parts and an epoch are made
before the clock starts. `generate.py` runs it.
"""

import json
import os
import tempfile
import time
from pathlib import Path

import click


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--jobs", default=1, help="Worker processes; one works in this process.")
@click.option("--core", type=int, help="Hold the process to this core.")
@click.option("--engine", default="auto", help="auto, pillow or compiled.")
@click.option("--recipe", default="kanji", help="Recipe.")
@click.option("--epochs", default=3, help="Stored epochs that are made while the clock runs.")
def main(source: Path, jobs: int, core: int | None, engine: str, recipe: str, epochs: int) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    from epochbank.augment.distortion.recipe import load_recipe
    from epochbank.augment.generation.generate import Execution, generate
    from epochbank.augment.generation.request import Request
    from epochbank.augment.ingest.source_file import open_source_file
    from epochbank.augment.split.holdout import HeldOut

    request = Request(open_source_file(source), "glyphs", load_recipe(recipe), 0, HeldOut(0, 0))
    with tempfile.TemporaryDirectory(prefix="epochbank-bench-", dir=source.parent) as sets:
        generate(request, Path(sets), Execution(1, jobs=jobs, engine=engine), quiet=True)
        begun = time.perf_counter()
        outcome = generate(request, Path(sets), Execution(1 + epochs, jobs=jobs, engine=engine), quiet=True)
        seconds = time.perf_counter() - begun
    assert outcome.log is not None
    images, profile = epochs * outcome.description.images["train"], outcome.log.profile
    click.echo(
        json.dumps(
            {
                "images": images,
                "images_per_second": images / seconds,
                "forecast_seconds": outcome.log.reckoned.seconds,
                "seconds": seconds,
                "microseconds": {name: 1e6 * spent / images for name, spent in profile.seconds.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
