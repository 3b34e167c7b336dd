"""A million pictures of 64 x 64 through import, one epoch and a pass of streaming, within 2 GB of memory; and the plan
for thirteen million.

    sudo python benchmarks/scale.py                   # some minutes, and 16 GB of temporary disk
    python benchmarks/scale.py --memory 0             # without the limit, as any user

All processes of a step are in a memory control group together: what they allocate and what the system caches of files
for them may not pass the limit, or the system ends one of them. To make such a group takes root. The
pictures are strokes, in 3,000 classes by 200 writers. Thirteen million are the same ones thirteen times, by way of a
virtual dataset.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import h5py
import numpy as np

from glyphs import blocks_of_glyphs

CLASSES, WRITERS, TIMES = 3000, 200, 13


@click.command()
@click.option("--images", default=1_000_000, help="Pictures of the source.")
@click.option("--memory", default=2000, help="Limit in MB for all processes of a step together; 0 for none.")
@click.option("--stream", "streamed", type=Path, hidden=True, help="Stream one epoch of a set, and say how long.")
def main(images: int, memory: int, streamed: Path | None) -> None:
    if streamed is not None:
        click.echo(json.dumps(_stream(streamed)))
        return
    with tempfile.TemporaryDirectory(prefix="epochbank-bench-") as folder:
        source = Path(folder) / "pictures.h5"
        _write(source, images)
        augment = [sys.executable, "-m", "epochbank.augment"]
        common = ["--jobs", "2"]
        _step("import", [*augment, "import", source.name, "imported.h5", *common], folder, memory)
        _step("one epoch", [*augment, "run", "imported.h5", "--epochs", "1", *common], folder, memory)
        (made,) = Path(folder).glob("sets/*/set.json")
        said = _step(
            "open, and stream it once", [sys.executable, __file__, "--stream", str(made.parent)], folder, memory
        )
        facts = json.loads(said.splitlines()[-1])
        click.echo(
            f"{'':28}opened in {facts['open']:.3f} s, first batch after {facts['first']:.3f} s more; "
            f"{facts['images']:,} pictures in {facts['seconds']:.1f} s: {facts['images'] / facts['seconds']:,.0f}/s"
        )
        many = Path(folder) / "many.h5"
        _repeat(source, many)
        words = ["--epochs", "10", "--sets", "elsewhere"]
        click.echo(f"\naugment plan of {TIMES * images:,} pictures, ten epochs:\n")
        # Where the disk is too small for it, the plan says so at the end, and fails.
        click.echo(_step("plan", [*augment, "plan", many.name, *words, *common], folder, memory, may_fail=True))


def _write(path: Path, images: int) -> None:
    """An HDF5 source, its pictures in one piece, written block by block."""
    with h5py.File(path, "w") as file:
        image = file.create_dataset("images", (images, 64, 64), np.uint8)
        start = 0
        for block in blocks_of_glyphs(images):
            image[start : start + len(block)] = block
            start += len(block)
        number = np.arange(images)
        file["labels"], file["groups"] = (
            (number % CLASSES).astype(np.int32),
            (number // CLASSES % WRITERS).astype(np.int32),
        )


def _repeat(source: Path, path: Path) -> None:
    """A source that has each picture of `source` so many times, and takes no room."""
    with h5py.File(source) as file, h5py.File(path, "w") as many:
        count, *shape = file["images"].shape
        layout = h5py.VirtualLayout((TIMES * count, *shape), np.uint8)
        for turn in range(TIMES):
            layout[turn * count : (turn + 1) * count] = h5py.VirtualSource(file["images"])
        many.create_virtual_dataset("images", layout)
        for name in ("labels", "groups"):
            many[name] = np.tile(file[name][()], TIMES)


def _step(name: str, command: list[str], folder: str, memory: int, *, may_fail: bool = False) -> str:
    """Run a command in a group of its own; its standard output. Its time and its peaks of memory are told."""
    with _group(memory) as group, open(Path(folder) / "said", "w+") as said:
        begun, own = time.perf_counter(), 0
        process = subprocess.Popen(
            command, cwd=folder, stdout=said, stderr=subprocess.STDOUT, preexec_fn=group.join if group else None
        )
        while process.poll() is None:
            own = max(own, group.own() if group else 0)
            time.sleep(0.02)
        seconds = time.perf_counter() - begun
        said.seek(0)
        if process.returncode and not may_fail:
            raise SystemExit(f"{' '.join(command)} failed ({process.returncode}):\n{said.read()}")
        used = f"; {own / 1e6:,.0f} MB of its own at most, {group.most() / 1e6:,.0f} with files' pages" if group else ""
        click.echo(f"{name:28}{seconds:8.1f} s{used}")
        return said.read()


@dataclass(frozen=True)
class Group:
    """A memory control group of Linux, version 1 or 2."""

    path: Path
    peak: str

    def join(self) -> None:
        """Put this process, and all that it starts, into the group."""
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def most(self) -> int:
        """The most bytes that the group has used, pages of files included."""
        return int((self.path / self.peak).read_text())

    def own(self) -> int:
        """Bytes that its processes have allocated now: what the system cannot drop."""
        stat = dict(line.split() for line in (self.path / "memory.stat").read_text().splitlines())
        return int(stat.get("anon") or stat["rss"])


@contextmanager
def _group(memory: int) -> Iterator[Group | None]:
    """A new group with a limit in MB; None where there shall be none."""
    if not memory:
        yield None
        return
    version_1 = Path("/sys/fs/cgroup/memory")
    where, limit, peak = (
        (version_1, "memory.limit_in_bytes", "memory.max_usage_in_bytes")
        if version_1.exists()
        else (Path("/sys/fs/cgroup"), "memory.max", "memory.peak")
    )
    group = Group(where / f"epochbank-{os.getpid()}", peak)
    try:
        group.path.mkdir()
        (group.path / limit).write_text(str(memory * 1_000_000))
    except OSError as error:
        raise SystemExit(f"no memory control group could be made ({error}): run as root, or with --memory 0") from error
    try:
        yield group
    finally:
        while (group.path / "cgroup.procs").read_text():  # What a library started may be a little late.
            time.sleep(0.05)
        group.path.rmdir()


def _stream(path: Path) -> dict[str, float]:
    from epochbank import open_set

    begun = time.perf_counter()
    bank = open_set(path)
    opened = time.perf_counter()
    batches = iter(bank.batches(256, mix=0.5, epochs=1, threads=2))
    images = len(next(batches)[1])
    first = time.perf_counter()
    images += sum(len(labels) for _, labels in batches)
    return {
        "open": opened - begun,
        "first": first - opened,
        "images": images,
        "seconds": time.perf_counter() - opened,
    }


if __name__ == "__main__":
    main()
