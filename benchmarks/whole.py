"""Generation of stored epochs in one process: draw, distort, encode, write, sync, manifest.

    python benchmarks/whole.py glyphs.h5 --jobs 1 --core 1

Prints JSON with `images_per_second` of distorted epochs, and `cpu_microseconds` per image, the CPU time of all
processes. The undistorted splits and a first epoch are made before the clock starts. `generate.py` and `cluster.py` run
this script.
"""

import json
import os
import resource
import tempfile
import time
from pathlib import Path

import click

import checkout  # noqa: F401


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--jobs", default=1, help="Worker processes; 1 works in this process.")
@click.option("--core", type=int, help="Bind the process to this core.")
@click.option("--engine", default="auto", help="auto, pillow or compiled.")
@click.option("--recipe", default="kanji", help="Recipe.")
@click.option("--epochs", default=3, help="Stored epochs to time.")
@click.option("--scheduler", help="Use the workers of this Dask scheduler instead (its address or its file).")
@click.option("--process", "processes", multiple=True, type=int, help="Also count the CPU time of this process.")
def main(
    source: Path,
    jobs: int,
    core: int | None,
    engine: str,
    recipe: str,
    epochs: int,
    scheduler: str | None,
    processes: tuple[int, ...],
) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    from epochbank.augment.distortion.recipe import load_recipe
    from epochbank.augment.generation.options import GenerationOptions
    from epochbank.augment.generation.run import generate
    from epochbank.augment.generation.spec import SetSpec
    from epochbank.augment.ingest.source_file import open_source_file
    from epochbank.augment.shared.backend import Backend
    from epochbank.augment.split.holdout import HeldOut

    spec = SetSpec(open_source_file(source), load_recipe(recipe), 0, HeldOut(0, 0))
    backend = Backend(scheduler)
    first = GenerationOptions(1, jobs=jobs, backend=backend, engine=engine)  # type: ignore[arg-type]
    timed = GenerationOptions(1 + epochs, jobs=jobs, backend=backend, engine=engine)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory(prefix="epochbank-bench-", dir=source.parent) as sets:
        generate(spec, Path(sets), first, "glyphs", quiet=True)
        start, cpu_start = time.perf_counter(), _cpu_seconds(processes)
        log = generate(spec, Path(sets), timed, "glyphs", quiet=True).log
        seconds, cpu_seconds = time.perf_counter() - start, _cpu_seconds(processes) - cpu_start
    assert log is not None
    click.echo(
        json.dumps(
            {
                "images": log.num_images,
                "images_per_second": log.num_images / seconds,
                "estimated_seconds": log.estimate.seconds,
                "seconds": seconds,
                "cpu_microseconds": 1e6 * cpu_seconds / log.num_images,
                "microseconds": {name: 1e6 * spent / log.num_images for name, spent in log.profile.seconds.items()},
            }
        )
    )


def _cpu_seconds(processes: tuple[int, ...]) -> float:
    """Return the CPU time, user and system, of this process, its ended children, and `processes`."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    if processes:
        import psutil  # type: ignore[import-untyped]

        seconds += sum(sum(psutil.Process(process).cpu_times()[:2]) for process in processes)
    return seconds


if __name__ == "__main__":
    main()
