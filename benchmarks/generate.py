"""How fast stage 1 is, beside the loop that it replaces and beside its peers, in one run.

    python benchmarks/generate.py                        # some five minutes on two cores
    python benchmarks/generate.py --peer dali --rounds 2

Whole generation (draw, distort, encode with zstd, write, sync, manifest) of the recipe `kanji` on 64 x 64 grey
glyphs, on one core and on more, beside the distortion alone of the plain loop and of the peers in `distorters/`; then
224 x 224 RGB photos: affine, blur and contrast, no writing, beside Pillow and Albumentations. Each contender runs in a
process of its own, on the same one core where not said otherwise; they take turns, round by round, so that what else
the machine does falls on all; ratios are medians of those within a round. Peers that are not installed are named.
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

from distorters import PEERS, missing
from glyphs import write_npz

_HERE = Path(__file__).parent
_OURS = {"glyphs": "epochbank, whole generation", "photos": "epochbank_photos"}
_PHOTOS = ("epochbank_photos", "pillow_photos", "albumentations_photos")


@click.command()
@click.option("--images", default=100_000, help="Glyphs of an epoch.")
@click.option("--rounds", default=5, help="How often each is measured.")
@click.option("--peer", "only", multiple=True, type=click.Choice(PEERS), help="Only these peers.")
@click.option("--out", type=click.Path(path_type=Path), help="Write every rate as JSON.")
def main(images: int, rounds: int, only: tuple[str, ...], out: Path | None) -> None:
    peers = [peer for peer in PEERS if (not only or peer in only) and not _named_as_missing(peer)]
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="epochbank-bench-") as folder:
        source = Path(folder) / "glyphs.h5"
        write_npz(Path(folder) / "glyphs.npz", images)
        _run("-m", "epochbank.augment", "import", str(Path(folder) / "glyphs.npz"), str(source))
        core = str(max(os.sched_getaffinity(0)))
        contenders = {_OURS["glyphs"]: ["whole.py", str(source), "--core", core]}
        contenders |= {
            f"the same, {jobs} workers": ["whole.py", str(source), "--jobs", str(jobs)] for jobs in _jobs(cores)
        }
        contenders["the same, one worker of these"] = ["whole.py", str(source)]
        contenders |= {peer: ["-m", "distorters", peer, "--core", core] for peer in peers}
        rounds_of: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
        for number in range(1, rounds + 1):
            for name, words in contenders.items():
                rounds_of[name].append(_measured(words))
            rates = ", ".join(f"{name} {results[-1]['images_per_second']:,.0f}" for name, results in rounds_of.items())
            click.echo(f"round {number}: {rates}")
        starts = [_first_shard_after(source, Path(folder) / f"start-{number}") for number in range(rounds)]
    _report(rounds_of, [peer for peer in peers if peer not in _PHOTOS], _OURS["glyphs"], "whole generation")
    _report(rounds_of, [peer for peer in peers if peer in _PHOTOS[1:]], _OURS["photos"], "distortion alone")
    for jobs in _jobs(cores):
        ratio = _ratio(rounds_of[f"the same, {jobs} workers"], rounds_of["the same, one worker of these"])
        click.echo(f"{jobs} workers: {ratio:.2f} times one")
    click.echo(f"first shard published {statistics.median(starts):.2f} s after `augment run` began")
    parts = rounds_of[_OURS["glyphs"]][-1]["microseconds"]
    click.echo("parts, us a picture: " + ", ".join(f"{name} {each:.2f}" for name, each in parts.items()))
    if out is not None:
        out.write_text(json.dumps({"rounds": rounds_of, "starts": starts}, indent=1) + "\n")


def _named_as_missing(peer: str) -> bool:
    trouble = missing(peer)
    if trouble:
        click.echo(f"{peer} left out: {trouble}")
    return trouble is not None


def _jobs(cores: int) -> list[int]:
    """Numbers of workers to measure: powers of two up to all cores."""
    return [jobs for jobs in (2, 4, 8, 16, 32) if jobs <= cores]


def _run(*words: str) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(_HERE.parent), str(_HERE)])}
    command = [sys.executable, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=_HERE, env=environment)
    if done.returncode:
        raise click.ClickException(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def _measured(words: list[str]) -> dict[str, Any]:
    return json.loads(_run(*words).splitlines()[-1])


def _ratio(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> float:
    """The median of the rounds' ratios."""
    pairs = zip(ours, theirs, strict=True)
    return statistics.median(one["images_per_second"] / other["images_per_second"] for one, other in pairs)


def _report(rounds_of: dict[str, list[dict[str, Any]]], peers: list[str], ours: str, what: str) -> None:
    if ours not in rounds_of:
        return
    click.echo(f"\n{'us a picture, one core':34}{'median':>9}   {what} of epochbank is")
    for name in (ours, *peers):
        each = statistics.median(1e6 / result["images_per_second"] for result in rounds_of[name])
        times = "" if name == ours else f"   {_ratio(rounds_of[ours], rounds_of[name]):.2f} times as fast"
        click.echo(f"{name:34}{each:>9.1f}{times}")


def _first_shard_after(source: Path, sets: Path) -> float:
    """Seconds from the start of `augment run` until a shard is published; the compile cache is warm by now."""
    command = [sys.executable, "-m", "epochbank.augment", "run", str(source), "--epochs", "1", "--sets", str(sets)]
    begun = time.perf_counter()
    process = subprocess.Popen(command, cwd=_HERE.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not any(path.stat().st_size for path in sets.glob("*/manifest.jsonl")):
        time.sleep(0.005)
    seconds = time.perf_counter() - begun
    process.terminate()
    process.wait()
    return seconds


if __name__ == "__main__":
    main()
