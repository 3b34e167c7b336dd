"""Generation on a Dask cluster of this machine, compared with the local worker processes, in one run.

    python benchmarks/cluster.py                       # two workers with one thread each, about five minutes
    python benchmarks/cluster.py --workers 1 --threads 2 --epochs 20

Both generate the same epochs of gray glyphs of 64 x 64 with the recipe `kanji`, including the calibration run, and on
the cluster the connection and the handshake. They take turns in each round, so that other load on the machine affects
both; ratios are medians of the ratios within a round. CPU time is that of all processes: command, workers, and on the
cluster scheduler and nannies. It depends less than the rate on what else the machine does.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

import checkout  # noqa: F401
from scripts import import_glyphs, run

_SECONDS_TO_START = 120.0


@click.command()
@click.option("--images", "num_images", default=100_000, help="Number of glyphs in an epoch.")
@click.option("--epochs", default=10, help="Stored epochs to time.")
@click.option("--rounds", default=5, help="Number of measurements of each.")
@click.option("--workers", default=2, help="Dask worker processes; as many local ones as they have threads.")
@click.option("--threads", default=1, help="Threads of a Dask worker process.")
def main(num_images: int, epochs: int, rounds: int, workers: int, threads: int) -> None:
    with tempfile.TemporaryDirectory(prefix="epochbank-bench-") as folder:
        source = import_glyphs(Path(folder), num_images)
        with _cluster(Path(folder), workers, threads) as (scheduler, processes):
            words = {
                "local": ["--jobs", str(workers * threads)],
                "dask": ["--jobs", "1", "--scheduler", str(scheduler)],
            }
            words["dask"] += [f"--process={process}" for process in processes]
            measured: dict[str, list[dict[str, float]]] = {name: [] for name in words}
            for number in range(1, rounds + 1):
                for name, options in words.items():
                    output = run("whole.py", str(source), "--epochs", str(epochs), *options)
                    measured[name].append(json.loads(output.splitlines()[-1]))
                last = {name: each[-1] for name, each in measured.items()}
                texts = [
                    f"{name} {one['images_per_second']:,.0f}/s, {one['cpu_microseconds']:.1f} us CPU per image"
                    for name, one in last.items()
                ]
                click.echo(f"round {number}: {'; '.join(texts)}")
    rate, cpu = (_ratio(measured, key) for key in ("images_per_second", "cpu_microseconds"))
    click.echo(
        f"{workers} Dask workers with {threads} threads each: {rate:.2f} of the rate of {workers * threads} local "
        f"jobs, with {cpu:.2f} times their CPU time"
    )


def _ratio(measured: dict[str, list[dict[str, float]]], key: str) -> float:
    """Return the median of the ratios of the cluster to the local workers within a round."""
    rounds = zip(measured["dask"], measured["local"], strict=True)
    return statistics.median(dask[key] / local[key] for dask, local in rounds)


@contextmanager
def _cluster(folder: Path, workers: int, threads: int) -> Iterator[tuple[Path, list[int]]]:
    """Yield the file of a scheduler that has the workers, each in another working directory, and all processes."""
    file = folder / "scheduler.json"
    commands = [["scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file)]]
    commands += [["worker", "--scheduler-file", str(file), "--nthreads", str(threads)] for _ in range(workers)]
    started = []
    try:
        for number, words in enumerate(commands):
            place = folder / f"process-{number}"
            place.mkdir()
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "dask", *words, "--no-dashboard"],
                    cwd=place,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
            _wait_for(file)
        _wait_for_workers(file, workers)
        yield file, [each.pid for process in started for each in _with_children(process.pid)]
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(_SECONDS_TO_START)


def _with_children(process: int) -> list[Any]:
    import psutil  # type: ignore[import-untyped]

    parent = psutil.Process(process)
    return [parent, *parent.children(recursive=True)]


def _wait_for(file: Path) -> None:
    end = time.monotonic() + _SECONDS_TO_START
    while not file.exists():
        if time.monotonic() > end:
            raise click.ClickException("the Dask scheduler did not start")
        time.sleep(0.1)


def _wait_for_workers(file: Path, workers: int) -> None:
    from distributed import Client

    with Client(json.loads(file.read_text())["address"], set_as_default=False) as client:
        client.wait_for_workers(workers, timeout=_SECONDS_TO_START)


if __name__ == "__main__":
    main()
