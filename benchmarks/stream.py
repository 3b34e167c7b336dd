"""The speed of stage 2, compared with other libraries: 100,000 glyphs of 64 x 64 in batches of 256, warm page cache.

    python benchmarks/stream.py --json stream.json             # about ten minutes on two cores, 6 GB of temporary disk
    python benchmarks/stream.py --images 20000 --rounds 1 --peer ffcv --peer grain

Measures epochbank through `AugmentedSequence.__getitem__` with each codec and `originals=0`. The peers read the same
images from files in their own formats. Each has two threads or worker processes, or none if that is faster. Each peer
runs in a separate process. Peers take turns in each round, and every other round reverses the order, so that other load
on the machine affects all of them. A turn is an untimed epoch, whose images are checked, and then whole epochs for at
least a second; an epoch is stopped after 4 s, and then counts from its first batch. Ratios to FFCV RANDOM are medians
of the ratios within a round.

Install the peers with the extra `peers`; those that are not installed are listed and skipped. FFCV is built from
source: see `peers/ffcv.py`. At the end, the script measures the latency of epochbank: first batch, intervals, slow
disks.

The script measures the checkout that it is in, even if another one is installed. To compare two checkouts, run the
scripts of both with the same Python and the same options, alternately and at least twice. A checkout from before `src/`
existed needs its folder in PYTHONPATH:

    PYTHONPATH=OLD python OLD/benchmarks/stream.py --peer epochbank --rounds 3
    python NEW/benchmarks/stream.py --peer epochbank --rounds 3
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

import checkout  # noqa: F401
from latency import measure_latency
from machine import machine
from peers import BATCH, PEERS, Images, requires
from stream_sets import make_images

REFERENCE = "FFCV RANDOM"
_HERE = Path(__file__).resolve().parent
_TIMEOUT = 900
"""Seconds that a peer may take for one turn."""


@click.command()
@click.option("--images", "num_images", default=100_000, type=click.IntRange(min=1000), help="Number of images.")
@click.option("--rounds", default=5, type=click.IntRange(min=1), help="Number of measurements of each.")
@click.option(
    "--peer", "names", multiple=True, type=click.Choice(PEERS), help="Measure only these; epochbank is one of them."
)
@click.option("--folder", type=click.Path(path_type=Path), help="Keep the prepared files here, and reuse them.")
@click.option(
    "--json", "output", type=click.Path(path_type=Path, dir_okay=False), help="Write all numbers to this file."
)
def main(num_images: int, rounds: int, names: tuple[str, ...], folder: Path | None, output: Path | None) -> None:
    """Measure the speed of stage 2, compared with other libraries."""
    place = tempfile.TemporaryDirectory(prefix="epochbank-bench-") if folder is None else nullcontext(folder)
    with place as root:
        images = make_images(Path(root).resolve() / str(num_images), num_images)
        missing = {}
        for name in names or PEERS:
            if reason := _prepare(name, images):
                missing[name] = reason
                click.echo(f"{name} is skipped: {reason}", err=True)
        measured = [name for name in names or PEERS if name not in missing]
        turns = [_round(number, measured, images) for number in range(1, rounds + 1)]
        contenders = _summary(turns, images.images.nbytes)
        click.echo("\n" + "\n".join(_table(contenders)))
        result = {
            "machine": machine(),
            "images": num_images,
            "shape": images.images.shape[1:],
            "batch_size": BATCH,
            "rounds": rounds,
            "contenders": contenders,
            "missing": missing,
            "epochbank": measure_latency(images) if "epochbank" in measured else {},
        }
    if output is not None:
        output.write_text(json.dumps(result, indent=1) + "\n")


def _prepare(name: str, images: Images) -> str | None:
    """Write the peer's files; return the reason if it cannot be measured."""
    absent = [module for module in requires(name) if find_spec(module) is None]
    if absent:
        return f"{', '.join(absent)} not installed"
    return _run(name, "prepare", images)


def _run(name: str, command: str, images: Images, *arguments: str) -> str | None:
    """Run a peer's command in a separate process; return its last line of output if it fails."""
    process = [sys.executable, "-m", "peers", command, name, str(images.folder), *arguments]
    with tempfile.TemporaryDirectory(prefix="epochbank-", ignore_cleanup_errors=True) as temporary:
        # Some peers leave locks and caches behind.
        environment = {**os.environ, "TMPDIR": temporary}
        try:
            done = subprocess.run(process, cwd=_HERE, env=environment, capture_output=True, text=True, timeout=_TIMEOUT)
        except subprocess.TimeoutExpired:
            return f"{command} took more than {_TIMEOUT} s"
    output = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()
    return output[-1] if done.returncode else None


def _round(number: int, names: list[str], images: Images) -> list[dict[str, Any]]:
    """Measure every peer; return name, variant, rate and other facts of each of its contenders."""
    rows = []
    for name in names if number % 2 else names[::-1]:
        with tempfile.TemporaryDirectory(prefix="epochbank-bench-") as folder:
            result = Path(folder) / "result.json"
            reason = _run(name, "measure", images, str(result))
            if reason is not None:
                click.echo(f"round {number}: {name} failed: {reason}", err=True)
                continue
            found = json.loads(result.read_text())
        rates = ", ".join(f"{row['name']} ({row['variant']}) {row['rate']:,.0f}" for row in found)
        click.echo(f"round {number}: {rates} images/s")
        rows += [{**row, "peer": name} for row in found]
    return rows


def _summary(turns: list[list[dict[str, Any]]], raw: int) -> list[dict[str, Any]]:
    """Return each contender's rates by round (None if it failed), median, best, ratio and bytes; the fastest first."""
    known = {(row["name"], row["variant"]): row for turn in turns for row in turn}
    rates = [{(row["name"], row["variant"]): row["rate"] for row in turn} for turn in turns]
    reference = [next((row["rate"] for row in turn if row["name"] == REFERENCE), None) for turn in turns]
    summary = []
    for key, row in known.items():
        own = [turn.get(key) for turn in rates]
        measured = [rate for rate in own if rate is not None]
        ratios = [rate / other for rate, other in zip(own, reference, strict=True) if rate and other]
        facts = {name: row[name] for name in ("peer", "name", "variant", "shuffled", "bytes")}
        summary.append(
            {
                **facts,
                "bytes_ratio": row["bytes"] / raw,
                "rates": own,
                "median": statistics.median(measured),
                "best": max(measured),
                "ratio": statistics.median(ratios) if ratios else None,
            }
        )
    summary.sort(key=lambda row: -row["median"])
    names = [row["name"] for row in summary]
    return [{**row, "reported": row["name"] not in names[:at]} for at, row in enumerate(summary)]


def _table(contenders: list[dict[str, Any]]) -> list[str]:
    """Return the table that is printed, with the fastest variant of each name."""
    lines = [f"{'images/s':44}{'median':>11}{'best':>11}  {'of ' + REFERENCE:>14}  {'bytes':>6}  shuffled"]
    for row in contenders:
        if row["reported"]:
            label = f"{row['name']}, {row['variant']}"
            ratio = "-" if row["ratio"] is None else f"{row['ratio']:.3f}"
            lines.append(
                f"{label:44}{row['median']:>11,.0f}{row['best']:>11,.0f}  {ratio:>14}  {row['bytes_ratio']:>6.2f}  "
                f"{row['shuffled']}"
            )
    return lines


if __name__ == "__main__":
    main()
