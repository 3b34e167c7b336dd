"""Shards published per second, one by one and in groups, in one run: on this disk, and with a simulated slow sync.

The temporary files are empty and exist already, so this is the part of a run that one thread of one process does. The
slow disk is simulated by an `os.fsync` that sleeps and does nothing else.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

import checkout  # noqa: F401
from epochbank.augment.generation.budget import Budget
from epochbank.augment.generation.estimate import Estimate
from epochbank.augment.generation.publisher import Publisher
from epochbank.augment.generation.run_log import RunLog
from epochbank.augment.shared.disk_space import Limits
from epochbank.augment.shared.profile import Profile
from epochbank.augment.store import manifest
from epochbank.augment.store.manifest import Entry, ManifestWriter, read_manifest, shard_file

_PER_EPOCH = 1000


@click.command(help=__doc__)
@click.option("--shards", default=2000, show_default=True, help="Shards to publish.")
@click.option("--sync", default=4.0, show_default=True, help="Milliseconds of a simulated sync.")
@click.option("--rounds", default=3, show_default=True, help="Measurements of each kind, alternating.")
@click.option("--dir", "folder", default=None, help="Directory for the sets. [default: a temporary one]")
def main(shards: int, sync: float, rounds: int, folder: str | None) -> None:
    """Print the median rates and their ratio."""
    click.echo(f"{'':24}{'one by one, /s':>16}{'in groups, /s':>16}{'ratio':>8}")
    for name, delay in (("this disk", 0.0), (f"sync of {sync:g} ms", sync / 1000)):
        rates: dict[int, list[float]] = {1: [], manifest.GROUP: []}
        for _ in range(rounds):
            for group, found in rates.items():
                # One by one is slow: fewer shards give the same rate.
                found.append(_rate(shards if group > 1 else shards // 8, delay, group, folder))
        one, grouped = (sorted(found)[rounds // 2] for found in rates.values())
        click.echo(f"{name:24}{one:>16,.0f}{grouped:>16,.0f}{grouped / one:>8.1f}")


def _rate(shards: int, delay: float, group: int, folder: str | None) -> float:
    """Publish `shards` shards in groups of up to `group`; return how many a second."""
    with tempfile.TemporaryDirectory(prefix="epochbank-publish-", dir=folder) as made:
        directory = Path(made)
        log = RunLog("compiled", Estimate(1, 0.0, 0, []))
        ready = [_made(directory, number) for number in range(shards)]
        with closing(ManifestWriter(directory)) as writer, _slow_sync(delay), _limited(group):
            publisher = Publisher(directory, writer, {}, Budget(Limits(), directory, {}), log, lambda entry: None)
            for one in ready:
                publisher.add(one)
            begun = time.perf_counter()
            while publisher.publish_ready():
                pass
            seconds = time.perf_counter() - begun
        assert log.shards == shards == len(read_manifest(directory))
        return shards / seconds


def _made(directory: Path, number: int) -> tuple[Path, Entry, Profile]:
    epoch, start = number // _PER_EPOCH, number % _PER_EPOCH * 16384
    name = shard_file("epoch", epoch, start)
    temporary = (directory / name).with_name(f".tmp-{number}")
    temporary.parent.mkdir(exist_ok=True)
    temporary.touch()
    entry = Entry("epoch", epoch, start, 16384, 128, "zstd", name, 20_000_000, f"{number:032x}", f"{number:032x}")
    return temporary, entry, Profile()


@contextmanager
def _slow_sync(delay: float) -> Iterator[None]:
    real = os.fsync

    if delay:
        os.fsync = lambda fd: time.sleep(delay)
    try:
        yield
    finally:
        os.fsync = real


@contextmanager
def _limited(group: int) -> Iterator[None]:
    real = manifest.GROUP
    manifest.GROUP = group
    try:
        yield
    finally:
        manifest.GROUP = real


if __name__ == "__main__":
    main()
