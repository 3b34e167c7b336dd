"""How fast stage 2 is, beside its peers: 100,000 glyphs of 64 x 64 with labels in batches of 256, warm cache.

    python benchmarks/stream.py --json stream.json             # some ten minutes on two cores, 6 GB of temporary disk
    python benchmarks/stream.py --images 20000 --rounds 1 --peer ffcv --peer grain

epochbank is measured through `AugmentedSequence.__getitem__`, once for each codec, at mix 0; its peers are given
the same pictures in files of their own. Two threads or worker processes each, or none where that is faster. Every
peer runs in a process of its own; all take turns, round by round, and the order turns round too, so that what else
the machine does falls on all of them. A turn is an untimed epoch, checked against the pictures, and then whole
epochs for at least a second; an epoch of more than 4 s is broken off, and counts from its first batch on. Ratios
to FFCV RANDOM are taken within a round, and then their median.

The peers are the extra `peers`; one that is not installed is named and left out. FFCV is built from source:
see `peers/ffcv.py`. At last come epochbank's own manners: first batch, evenness, slow disks.
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

from machine import machine
from manners import manners
from material import make_pictures
from peers import BATCH, PEERS, Pictures, requires

REFERENCE = "FFCV RANDOM"
_PATIENCE = 900
"""Seconds that a peer may take for one turn."""


@click.command()
@click.option("--images", default=100_000, type=click.IntRange(min=1000), help="Pictures.")
@click.option("--rounds", default=5, type=click.IntRange(min=1), help="How often each is measured.")
@click.option("--peer", "names", multiple=True, type=click.Choice(PEERS), help="Only these; epochbank is one of them.")
@click.option("--folder", type=click.Path(path_type=Path), help="Keep what is prepared here, and use it again.")
@click.option("--json", "output", type=click.Path(path_type=Path, dir_okay=False), help="Write all numbers there.")
def main(images: int, rounds: int, names: tuple[str, ...], folder: Path | None, output: Path | None) -> None:
    """How fast stage 2 is, beside its peers."""
    place = tempfile.TemporaryDirectory(prefix="epochbank-bench-") if folder is None else nullcontext(folder)
    with place as root:
        pictures = make_pictures(Path(root).resolve() / str(images), images)
        missing = {}
        for name in names or PEERS:
            if trouble := _prepare(name, pictures):
                missing[name] = trouble
                click.echo(f"{name} is left out: {trouble}", err=True)
        taking_part = [name for name in names or PEERS if name not in missing]
        turns = [_round(number, taking_part, pictures) for number in range(1, rounds + 1)]
        contenders = _summary(turns, pictures.images.nbytes)
        click.echo("\n" + "\n".join(_table(contenders)))
        result = {
            "machine": machine(),
            "images": images,
            "shape": pictures.images.shape[1:],
            "batch_size": BATCH,
            "rounds": rounds,
            "contenders": contenders,
            "missing": missing,
            "epochbank": manners(pictures) if "epochbank" in taking_part else {},
        }
    if output is not None:
        output.write_text(json.dumps(result, indent=1) + "\n")


def _prepare(name: str, pictures: Pictures) -> str | None:
    """Write the peer's files; what hinders it, in words, where it cannot be measured."""
    absent = [module for module in requires(name) if find_spec(module) is None]
    if absent:
        return f"{', '.join(absent)} not installed"
    return _run(name, "prepare", pictures)


def _run(name: str, command: str, pictures: Pictures, *arguments: str) -> str | None:
    """Run a peer's command in a process of its own; what it said last where it failed."""
    process = [sys.executable, "-m", "peers", command, name, str(pictures.folder), *arguments]
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory(prefix="epochbank-", ignore_cleanup_errors=True) as litter:
        # Some leave locks and caches behind.
        environment = {**os.environ, "TMPDIR": litter}
        try:
            done = subprocess.run(process, cwd=here, env=environment, capture_output=True, text=True, timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            return f"{command} took more than {_PATIENCE} s"
    said = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()
    return said[-1] if done.returncode else None


def _round(number: int, names: list[str], pictures: Pictures) -> list[dict[str, Any]]:
    """Every peer's turn: name, variant, rate and what else is known of each of its contenders."""
    rows = []
    for name in names if number % 2 else names[::-1]:
        with tempfile.TemporaryDirectory(prefix="epochbank-bench-") as folder:
            result = Path(folder) / "result.json"
            trouble = _run(name, "measure", pictures, str(result))
            if trouble is not None:
                click.echo(f"round {number}: {name} failed: {trouble}", err=True)
                continue
            found = json.loads(result.read_text())
        told = ", ".join(f"{row['name']} ({row['variant']}) {row['rate']:,.0f}" for row in found)
        click.echo(f"round {number}: {told} images/s")
        rows += [{**row, "peer": name} for row in found]
    return rows


def _summary(turns: list[list[dict[str, Any]]], raw: int) -> list[dict[str, Any]]:
    """Each contender's rates by round (None where it failed), median, best, ratio and bytes; the fastest first."""
    known = {(row["name"], row["variant"]): row for turn in turns for row in turn}
    rates = [{(row["name"], row["variant"]): row["rate"] for row in turn} for turn in turns]
    reference = [next((row["rate"] for row in turn if row["name"] == REFERENCE), None) for turn in turns]
    summary = []
    for key, row in known.items():
        own = [turn.get(key) for turn in rates]
        measured = [rate for rate in own if rate is not None]
        ratios = [rate / beside for rate, beside in zip(own, reference, strict=True) if rate and beside]
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
    """For people: of each name the fastest variant."""
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
