"""Time and memory of opening, planning and extending a set of 100,000 shards, each in a fresh process.

The set is that of `digits` with four images a shard; all epochs but the first are sparse files of the right size with
lines in the manifest. A plan is timed after another one, of a small set, has loaded the modules and compiled code, and
without the calibration run: these do not depend on the number of shards. The memory is the growth of the process by a
step, and its peak with all modules that the step needs.
"""

import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

_SHARD = 4
"""Images of a shard."""
_STEPS = ("open", "extend", "new", "publish")


@click.command(help=__doc__)
@click.option("--shards", default=100_000, show_default=True, help="Shards of the set, rounded to whole epochs.")
@click.option("--rounds", default=3, show_default=True, help="Measurements of each step; the shortest is printed.")
@click.option("--step", type=click.Choice(_STEPS), hidden=True)
@click.option("--sets", type=click.Path(path_type=Path), hidden=True)
def main(shards: int, rounds: int, step: str | None, sets: Path | None) -> None:
    """Measure each step in separate processes, or one step in this process."""
    if step is not None:
        assert sets is not None
        click.echo(json.dumps(_measured(step, sets, shards)))
        return
    with tempfile.TemporaryDirectory(prefix="epochbank-bench-") as folder:
        _make(Path(folder), shards)
        click.echo(f"{'':44}{'seconds':>10}{'CPU, s':>8}{'growth, MB':>12}{'peak, MB':>10}")
        for name in _STEPS:
            command = [sys.executable, __file__, "--step", name, "--sets", folder, "--shards", str(shards)]
            tries = [
                json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                for _ in range(rounds)
            ]
            for lines in zip(*tries, strict=True):
                best = min(lines, key=lambda one: one["seconds"])
                click.echo(
                    f"{best['what']:44}{best['seconds']:>10.3f}{best['cpu']:>8.3f}{best['growth']:>12.1f}"
                    f"{best['peak']:>10.1f}"
                )


def _options(sets: Path, epochs: int) -> dict[str, Any]:
    return {"epochs": epochs, "sets": sets, "shard_size": _SHARD, "chunk_size": _SHARD}


def _make(sets: Path, shards: int) -> None:
    """Make the set: a real first epoch, and others whose files are sparse."""
    from epochbank.api import generation
    from epochbank.augment.store.manifest import read_manifest, shard_file, write_manifest

    directory = generation.run("digits", jobs=1, **_options(sets, 1)).directory
    entries = read_manifest(directory)
    first = [entry for entry in entries if entry.split == "epoch"]
    for epoch in range(1, _epochs(shards, len(first))):
        (directory / shard_file("epoch", epoch, 0)).parent.mkdir()
        for entry in first:
            one = replace(entry, epoch=epoch, file=shard_file("epoch", epoch, entry.start))
            with open(directory / one.file, "wb") as file:
                file.truncate(one.bytes)
            entries.append(one)
    write_manifest(directory, entries)
    generation.run("digits", jobs=1, **_options(sets, _epochs(shards, len(first))))  # Adds the virtual datasets.


def _epochs(shards: int, each: int) -> int:
    return max(1, round(shards / each))


def _measured(step: str, sets: Path, shards: int) -> list[dict[str, Any]]:
    """Return what each part of a step takes: seconds, growth and peak of the memory in MB."""
    parts: list[dict[str, Any]] = []

    def timed(what: str, call: Callable[[], Any]) -> Any:
        before, begun, used = _memory("VmRSS"), time.perf_counter(), time.process_time()
        result = call()
        seconds = time.perf_counter() - begun
        parts.append({"what": what, "seconds": seconds, "cpu": time.process_time() - used})
        parts[-1] |= {"growth": _memory("VmRSS") - before, "peak": _memory("VmHWM")}
        return result

    {"open": _open, "extend": _extend, "new": _new, "publish": _publish}[step](sets, shards, timed)
    return parts


def _open(sets: Path, _: int, timed: Callable[..., Any]) -> None:
    from epochbank.train.feeding.augmented_set import open_set

    directory = next(sets.glob("*/set.json")).parent
    opened = timed("open_set", lambda: open_set(directory))
    epochs = opened.epochs
    timed(f"chunk tables of {len(epochs)} epochs", lambda: [opened.table("epoch", one) for one in epochs])
    pickled = timed("pickle the open set", lambda: pickle.dumps(opened))
    timed(f"unpickle it ({len(pickled):,} bytes)", lambda: pickle.loads(pickled))


def _extend(sets: Path, shards: int, timed: Callable[..., Any]) -> None:
    with _empty(sets) as other:
        _plan(other, 1)
    directory = next(sets.glob("*/set.json")).parent
    epochs = 1 + len(list(directory.glob("epoch-*/")))
    timed(f"plan one more epoch than {epochs - 1}", lambda: _plan(sets, epochs))
    _begin(directory, timed)


def _new(sets: Path, shards: int, timed: Callable[..., Any]) -> None:
    epochs = len(list(next(sets.glob("*/set.json")).parent.glob("epoch-*/")))
    with _empty(sets) as other:
        _plan(other, 1)
        plan = timed("plan a new set", lambda: _plan(other, epochs))
    timed(f"its budget ({len(plan.shards):,} shards)", lambda: _budget(plan))
    each = len(pickle.dumps(plan.shards)) / len(plan.shards)
    timed(f"pickle its tasks ({each:.0f} bytes each)", lambda: pickle.dumps(plan.shards))


@contextmanager
def _empty(sets: Path) -> Iterator[Path]:
    """Yield a directory of sets without sets, which has the source files of `sets`."""
    with tempfile.TemporaryDirectory(prefix="epochbank-bench-") as other:
        (Path(other) / "sources").symlink_to((sets / "sources").absolute())
        yield Path(other)


def _publish(sets: Path, shards: int, timed: Callable[..., Any]) -> None:
    """Publish 640 lines, which are removed again: the cost must not depend on the lines before them."""
    from epochbank.augment.store.manifest import GROUP, ManifestWriter, read_manifest, shard_file

    directory = next(sets.glob("*/set.json")).parent
    entry = read_manifest(directory)[-1]
    kept = {path: path.stat().st_size for path in directory.glob("manifest.*")}
    starts = range(10**6, 10**6 + 640 * _SHARD, _SHARD)
    more = [replace(entry, start=start, file=shard_file("epoch", entry.epoch, start)) for start in starts]
    groups = [more[at : at + GROUP] for at in range(0, len(more), GROUP)]
    with closing(ManifestWriter(directory)) as manifest:

        def append() -> None:
            for group in groups:
                manifest.append(*group)

        timed(f"append {len(more)} lines in groups of {GROUP}", append)
    for path, size in kept.items():
        os.truncate(path, size)


def _plan(sets: Path, epochs: int) -> Any:
    import epochbank
    from epochbank.augment.generation import calibration
    from epochbank.augment.generation.estimate import Cost

    cost = Cost(seconds=1e-5, bytes=1000.0, shard_seconds=1e-3, shard_bytes=5000.0)
    vars(calibration)["on_all_cores"] = lambda work, tasks, count, jobs: enumerate([(cost, cost)] * count)
    return epochbank.plan("digits", jobs=2, **_options(sets, epochs))


def _begin(directory: Path, timed: Callable[..., Any]) -> None:
    """Do what a run does between its plan and its first shard."""
    from epochbank.augment.shared.disk_space import Limits
    from epochbank.augment.store.description import read_description
    from epochbank.augment.store.manifest import ManifestWriter, read_manifest
    from epochbank.augment.store.virtual_writer import VirtualEpochs

    entries = timed("read_manifest", lambda: read_manifest(directory))
    timed("ManifestWriter", lambda: ManifestWriter(directory).close())
    description = read_description(directory)
    virtual = timed("VirtualEpochs", lambda: VirtualEpochs(directory, description, entries, Limits()))
    timed("VirtualEpochs.update", virtual.update)


def _budget(plan: Any) -> Any:
    from epochbank.augment.generation.budget import Budget
    from epochbank.augment.shared.disk_space import Limits

    return Budget(Limits(), Path(), dict(zip(plan.shards, plan.estimate.shard_bytes, strict=True)))


def _memory(name: str) -> float:
    """Return the resident memory of this process in MB: now (VmRSS), or at most so far (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    main()
