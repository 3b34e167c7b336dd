"""The speed of stage 1, compared with the loop that it replaces and with other libraries, in one run.

    python benchmarks/generate.py                        # about five minutes on two cores
    python benchmarks/generate.py --peer dali --rounds 2

Measures the whole generation (draw, distort, encode with zstd, write, sync, manifest) with the recipe `kanji` on gray
glyphs of 64 x 64, on one core and on more; and, for comparison, the distortion alone of the plain loop and of the peers
in `distorters/`. Then RGB photos of 224 x 224: affine, blur and contrast without writing, compared with Pillow and
Albumentations. Each contender runs in a separate process, on the same single core unless stated otherwise. Contenders
take turns in each round, so that other load on the machine affects all of them; ratios are medians of the ratios within
a round. Peers that are not installed are listed and skipped.

The script measures the checkout that it is in, even if another one is installed. To compare two checkouts, run the
scripts of both with the same Python and the same options, alternately and at least twice:

    python OLD/benchmarks/generate.py --peer plain_loop --rounds 3
    python NEW/benchmarks/generate.py --peer plain_loop --rounds 3
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

import checkout  # noqa: F401
from distorters import PEERS, missing
from scripts import HERE, import_glyphs, run

_OURS = {"glyphs": "epochbank, whole generation", "photos": "epochbank_photos"}
_PHOTOS = ("epochbank_photos", "pillow_photos", "albumentations_photos")

Rounds = dict[str, list[dict[str, Any]]]
"""The results of each contender, round by round."""


@click.command()
@click.option("--images", "num_images", default=100_000, help="Number of glyphs in an epoch.")
@click.option("--rounds", default=5, help="Number of measurements of each contender.")
@click.option("--peer", "only", multiple=True, type=click.Choice(PEERS), help="Measure only these peers.")
@click.option("--out", type=click.Path(path_type=Path), help="Write every rate to this file as JSON.")
def main(num_images: int, rounds: int, only: tuple[str, ...], out: Path | None) -> None:
    peers = [peer for peer in PEERS if (not only or peer in only) and not _skipped(peer)]
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="epochbank-bench-") as folder:
        source = import_glyphs(Path(folder), num_images)
        core = str(max(os.sched_getaffinity(0)))
        contenders = {_OURS["glyphs"]: ["whole.py", str(source), "--core", core]}
        contenders |= {
            f"the same, {jobs} workers": ["whole.py", str(source), "--jobs", str(jobs)] for jobs in _jobs(cores)
        }
        contenders["the same, one worker of these"] = ["whole.py", str(source)]
        contenders |= {peer: ["-m", "distorters", peer, "--core", core] for peer in peers}
        results: Rounds = {name: [] for name in contenders}
        for number in range(1, rounds + 1):
            for name, words in contenders.items():
                results[name].append(json.loads(run(*words).splitlines()[-1]))
            rates = ", ".join(f"{name} {measured[-1]['images_per_second']:,.0f}" for name, measured in results.items())
            click.echo(f"round {number}: {rates}")
        starts = [_seconds_to_first_shard(source, Path(folder) / f"start-{number}") for number in range(rounds)]
    _report(results, [peer for peer in peers if peer not in _PHOTOS], _OURS["glyphs"], "whole generation")
    _report(results, [peer for peer in peers if peer in _PHOTOS[1:]], _OURS["photos"], "distortion alone")
    for jobs in _jobs(cores):
        ratio = _ratio(results[f"the same, {jobs} workers"], results["the same, one worker of these"])
        click.echo(f"{jobs} workers: {ratio:.2f} times one")
    click.echo(f"first shard published {statistics.median(starts):.2f} s after `augment run` began")
    steps = results[_OURS["glyphs"]][-1]["microseconds"]
    click.echo("steps, us per image: " + ", ".join(f"{name} {each:.2f}" for name, each in steps.items()))
    if out is not None:
        out.write_text(json.dumps({"rounds": results, "starts": starts}, indent=1) + "\n")


def _skipped(peer: str) -> bool:
    reason = missing(peer)
    if reason:
        click.echo(f"{peer} is skipped: {reason}")
    return reason is not None


def _jobs(cores: int) -> list[int]:
    """Return the numbers of workers to measure: powers of two up to all cores."""
    return [jobs for jobs in (2, 4, 8, 16, 32) if jobs <= cores]


def _ratio(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> float:
    """Return the median of the ratios within a round."""
    pairs = zip(ours, theirs, strict=True)
    return statistics.median(one["images_per_second"] / other["images_per_second"] for one, other in pairs)


def _report(results: Rounds, peers: list[str], ours: str, what: str) -> None:
    if ours not in results:
        return
    click.echo(f"\n{'us per image, one core':34}{'median':>9}   {what} of epochbank is")
    for name in (ours, *peers):
        each = statistics.median(1e6 / result["images_per_second"] for result in results[name])
        times = "" if name == ours else f"   {_ratio(results[ours], results[name]):.2f} times as fast"
        click.echo(f"{name:34}{each:>9.1f}{times}")


def _seconds_to_first_shard(source: Path, sets: Path) -> float:
    """Return the seconds from the start of `augment run` until a shard is published; the compile cache is warm."""
    command = [sys.executable, "-m", "epochbank.augment", "run", str(source), "--epochs", "1", "--sets", str(sets)]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=HERE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not any(path.stat().st_size for path in sets.glob("*/manifest.jsonl")):
        time.sleep(0.005)
    seconds = time.perf_counter() - start
    process.terminate()
    process.wait()
    return seconds


if __name__ == "__main__":
    main()
