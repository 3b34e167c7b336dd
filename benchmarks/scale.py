"""Import, one epoch and one pass of streaming with a million images of 64 x 64 within 2 GB of memory; and the plan for
thirteen million.

    sudo python benchmarks/scale.py                   # a few minutes, and 16 GB of temporary disk
    python benchmarks/scale.py --memory 0             # without the limit; needs no root

All processes of a step run in one memory control group: the memory that they allocate and the page cache of their files
cannot exceed the limit, or the system kills one of them. Creating the group requires root. The images are synthetic
glyphs in 3,000 classes by 200 writers. The thirteen million images are the same ones thirteen times, in a virtual
dataset.
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

import checkout  # noqa: F401
from glyphs import blocks_of_glyphs

CLASSES, WRITERS, TIMES = 3000, 200, 13


@click.command()
@click.option("--images", "num_images", default=1_000_000, help="Images of the source.")
@click.option("--memory", default=2000, help="Limit in MB for all processes of a step together; 0 for none.")
@click.option("--stream", "streamed", type=Path, hidden=True, help="Stream one epoch of a set, and print the time.")
def main(num_images: int, memory: int, streamed: Path | None) -> None:
    if streamed is not None:
        click.echo(json.dumps(_stream(streamed)))
        return
    with tempfile.TemporaryDirectory(prefix="epochbank-bench-") as folder:
        source = Path(folder) / "images.h5"
        _write(source, num_images)
        augment = [sys.executable, "-m", "epochbank.augment"]
        common = ["--jobs", "2"]
        _step("import", [*augment, "import", source.name, "imported.h5", *common], folder, memory)
        _step("one epoch", [*augment, "run", "imported.h5", "--epochs", "1", *common], folder, memory)
        (made,) = Path(folder).glob("sets/*/set.json")
        command = [sys.executable, __file__, "--stream", str(made.parent)]
        output = _step("open, and stream it once", command, folder, memory)
        facts = json.loads(output.splitlines()[-1])
        click.echo(
            f"{'':28}opened in {facts['open']:.3f} s, first batch {facts['first']:.3f} s later; "
            f"{facts['images']:,} images in {facts['seconds']:.1f} s: {facts['images'] / facts['seconds']:,.0f}/s"
        )
        many = Path(folder) / "many.h5"
        _repeat(source, many)
        words = ["--epochs", "10", "--sets", "elsewhere"]
        click.echo(f"\naugment plan of {TIMES * num_images:,} images, ten epochs:\n")
        # If the disk is too small, the plan says so at the end and fails.
        click.echo(_step("plan", [*augment, "plan", many.name, *words, *common], folder, memory, may_fail=True))


def _write(path: Path, num_images: int) -> None:
    """Write an HDF5 source with contiguous images, block by block."""
    with h5py.File(path, "w") as file:
        image = file.create_dataset("images", (num_images, 64, 64), np.uint8)
        start = 0
        for block in blocks_of_glyphs(num_images):
            image[start : start + len(block)] = block
            start += len(block)
        number = np.arange(num_images)
        file["labels"], file["groups"] = (
            (number % CLASSES).astype(np.int32),
            (number // CLASSES % WRITERS).astype(np.int32),
        )


def _repeat(source: Path, path: Path) -> None:
    """Write a source that has each image of `source` `TIMES` times, in a virtual dataset."""
    with h5py.File(source) as file, h5py.File(path, "w") as many:
        count, *shape = file["images"].shape
        layout = h5py.VirtualLayout((TIMES * count, *shape), np.uint8)
        for turn in range(TIMES):
            layout[turn * count : (turn + 1) * count] = h5py.VirtualSource(file["images"])
        many.create_virtual_dataset("images", layout)
        for name in ("labels", "groups"):
            many[name] = np.tile(file[name][()], TIMES)


def _step(name: str, command: list[str], folder: str, memory: int, *, may_fail: bool = False) -> str:
    """Run a command in a new control group; print its time and peak memory, and return its output."""
    with _group(memory) as group, open(Path(folder) / "output", "w+") as output:
        start, peak = time.perf_counter(), 0
        process = subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, preexec_fn=group.join if group else None
        )
        while process.poll() is None:
            peak = max(peak, group.anonymous_bytes() if group else 0)
            time.sleep(0.02)
        seconds = time.perf_counter() - start
        output.seek(0)
        if process.returncode and not may_fail:
            raise SystemExit(f"{' '.join(command)} failed ({process.returncode}):\n{output.read()}")
        used = f"; peak {peak / 1e6:,.0f} MB, {group.peak_bytes() / 1e6:,.0f} with the page cache" if group else ""
        click.echo(f"{name:28}{seconds:8.1f} s{used}")
        return output.read()


@dataclass(frozen=True)
class Group:
    """A Linux memory control group, version 1 or 2."""

    path: Path
    peak: str
    """File with the peak memory."""

    def join(self) -> None:
        """Put this process and its children into the group."""
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def peak_bytes(self) -> int:
        """Return the peak memory of the group in bytes, page cache included."""
        return int((self.path / self.peak).read_text())

    def anonymous_bytes(self) -> int:
        """Return the bytes that its processes have allocated now, which the system cannot drop."""
        stat = dict(line.split() for line in (self.path / "memory.stat").read_text().splitlines())
        return int(stat.get("anon") or stat["rss"])


@contextmanager
def _group(memory: int) -> Iterator[Group | None]:
    """Create a group with a limit in MB; None without a limit."""
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
        raise SystemExit(f"cannot create a memory control group ({error}). Run as root, or with --memory 0.") from error
    try:
        yield group
    finally:
        while (group.path / "cgroup.procs").read_text():  # Helper processes of a library may end a little later.
            time.sleep(0.05)
        group.path.rmdir()


def _stream(path: Path) -> dict[str, float]:
    from epochbank import open_set

    start = time.perf_counter()
    stored_set = open_set(path)
    opened = time.perf_counter()
    batches = iter(stored_set.batches(256, originals=0.5, epochs=1, threads=2))
    num_images = len(next(batches)[1])
    first = time.perf_counter()
    num_images += sum(len(labels) for _, labels in batches)
    return {
        "open": opened - start,
        "first": first - opened,
        "images": num_images,
        "seconds": time.perf_counter() - opened,
    }


if __name__ == "__main__":
    main()
