"""The speed of `augment verify`, in decoded pixels: glyphs of 64 x 64 with each codec, from a warm page cache.

    python benchmarks/verify.py --json verify.json          # 250,000 images, about five minutes, 6 GB of temporary disk
    python benchmarks/verify.py --images 60000 --rounds 3 --codec zstd

Each set has the undistorted training split and one stored epoch. In each round, the codecs take turns, and each is
measured in three ways: verification of the shards in this process; plain decoding of the same chunks, without any
check, with the same threads; and the whole command, with its start-up and the source file. Figures are medians, and
medians of the ratios within a round. `per CPU-second` is what one core verifies, and does not depend on other load on
the machine.
"""

import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import numpy as np

import checkout  # noqa: F401
from epochbank.augment.ingest.check_source import check_source
from epochbank.augment.ingest.source_file import open_source_file
from epochbank.augment.shared.pool import LocalPool
from epochbank.augment.shared.progress import quiet_progress
from epochbank.augment.shared.threads import read_on_all_cores
from epochbank.augment.store.codec import decode
from epochbank.augment.store.description import read_description
from epochbank.augment.store.manifest import read_manifest
from epochbank.augment.store.shard_index import read_index
from epochbank.augment.store.verify import Check, shard_faults
from machine import machine
from peers.epochbank import CODECS
from stream_sets import make_images

CONTENDERS = ("verify", "decode", "source", "command")


@click.command()
@click.option("--images", "num_images", default=250_000, type=click.IntRange(min=1000), help="Number of images.")
@click.option("--rounds", default=5, type=click.IntRange(min=1), help="Number of measurements of each.")
@click.option("--jobs", default=2, type=click.IntRange(min=1), help="Threads.")
@click.option("--codec", "codecs", multiple=True, type=click.Choice(CODECS), help="Measure only these.")
@click.option("--folder", type=click.Path(path_type=Path), help="Keep the prepared sets here, and reuse them.")
@click.option(
    "--json", "output", type=click.Path(path_type=Path, dir_okay=False), help="Write all numbers to this file."
)
def main(
    num_images: int, rounds: int, jobs: int, codecs: tuple[str, ...], folder: Path | None, output: Path | None
) -> None:
    """Measure the speed of `augment verify`."""
    place = tempfile.TemporaryDirectory(prefix="epochbank-bench-") if folder is None else nullcontext(folder)
    with place as root, quiet_progress(True):
        images = make_images(Path(root).resolve() / str(num_images), num_images)
        sets = {codec: next(images.sets_of(codec).glob("*/set.json")).parent for codec in codecs or CODECS}
        for directory in sets.values():
            _measure(directory, jobs, "verify")  # Warms the page cache and the imports.
        turns: dict[str, list[dict[str, Any]]] = {codec: [] for codec in sets}
        for number in range(rounds):
            for codec, directory in sets.items():
                names = CONTENDERS if number % 2 else CONTENDERS[::-1]
                turns[codec].append({name: _measure(directory, jobs, name) for name in names})
    summary = {codec: _summary(found) for codec, found in turns.items()}
    click.echo(f"GB/s of decoded pixels, {jobs} threads    verify  per CPU-second  of plain decoding  command  source")
    for codec, row in summary.items():
        click.echo(
            f"{codec:36}{row['verify']:>8.2f}{row['per_cpu_second']:>16.2f}{row['of_decoding']:>19.2f}"
            f"{row['command']:>9.2f}{row['source']:>8.2f}"
        )
    if output is not None:
        facts = {"machine": machine(), "images": num_images, "jobs": jobs, "rounds": rounds}
        output.write_text(json.dumps({**facts, "summary": summary, "turns": turns}, indent=1) + "\n")


def _measure(directory: Path, jobs: int, name: str) -> tuple[float, float]:
    """Return GB of decoded pixels per second, and per CPU-second, of one of `CONTENDERS`."""
    description, entries = read_description(directory), read_manifest(directory)
    size = sum(entry.num_images for entry in entries) * math.prod(description.shape)
    if name == "verify":
        return _timed(lambda: shard_faults(directory, entries, description, LocalPool(jobs)), size)
    if name == "decode":
        checks = [Check(directory, entry, description.fingerprint, description.shape) for entry in entries]
        return _timed(lambda: list(read_on_all_cores(_decode, checks, len(checks), jobs, size)), size)
    file = open_source_file(description.source_path(directory))
    source = file.num_images * math.prod(file.shape)
    if name == "source":
        return _timed(lambda: check_source(file, jobs), source)
    words = [sys.executable, "-m", "epochbank.augment", "verify", str(directory), "--jobs", str(jobs)]
    return _timed(lambda: subprocess.run(words, check=True, capture_output=True), size + source)


def _decode(check: Check) -> None:
    """Read and decode the chunks of a shard, without any check."""
    index = read_index(check.directory, check.entry)
    images = np.empty((check.entry.chunk, *index.shape), np.uint8)
    with open(check.directory / check.entry.file, "rb") as file:
        for offset, stored in zip(index.offsets.tolist(), index.sizes.tolist(), strict=True):
            file.seek(offset)
            decode(check.entry.codec, file.read(stored), images)


def _timed(work: Callable[[], Any], size: int) -> tuple[float, float]:
    begun, before = time.perf_counter(), _cpu_seconds()
    faults = work()
    seconds, cpu = time.perf_counter() - begun, _cpu_seconds() - before
    assert not isinstance(faults, dict) or not faults, faults
    return size / seconds / 1e9, size / cpu / 1e9


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _summary(turns: list[dict[str, tuple[float, float]]]) -> dict[str, float]:
    medians = {name: statistics.median(turn[name][0] for turn in turns) for name in CONTENDERS}
    return {
        **medians,
        "per_cpu_second": statistics.median(turn["verify"][1] for turn in turns),
        "of_decoding": statistics.median(turn["verify"][0] / turn["decode"][0] for turn in turns),
        "of_decoding_cpu": statistics.median(turn["verify"][1] / turn["decode"][1] for turn in turns),
    }


if __name__ == "__main__":
    main()
