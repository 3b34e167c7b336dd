"""What 1.3 billion distorted images cost on 1, 4, 16 and 64 nodes of 16 cores: hours, bytes, and what limits.

    python benchmarks/cluster_costs.py                                  # measures the costs first: two minutes
    python benchmarks/cluster_costs.py --file-system 10 --link 10       # other hardware, in GB/s

A simulation with measured costs. `augment run` generates a small set on one core for the time and the bytes of an
image, and of its source: gray glyphs of 64 x 64 with `kanji`, and RGB photographs of 224 x 224 with `photo`. Publishing
is one process for the whole run. The rest is assumed: cores scale linearly (not measured beyond two), the nodes have
the memory and the network link that the options say, and the shared file system has one bandwidth for all of them. The
source is 13 million images. If it fits into half of a node's memory, each node reads it once; otherwise an image is
read whenever it is distorted. A core computes a shard, then writes it, then begins the next one.
"""

import heapq
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

import checkout  # noqa: F401
from distorters.sample_images import sample_images
from glyphs import write_npz

SOURCE_IMAGES, EPOCHS = 13_000_000, 100
CORES = 16
MEASURED_IMAGES = {"64 x 64, gray": 100_000, "224 x 224, RGB": 4_000}
SHARD_BYTES = 64 << 20


@dataclass(frozen=True)
class Costs:
    """What one image costs."""

    seconds: float
    """Of one core."""
    stored: float
    """Bytes in a shard."""
    read: int
    """Bytes in the source file."""

    @property
    def shard_size(self) -> int:
        """Images in a shard."""
        return max(1, int(SHARD_BYTES / self.stored))


@dataclass(frozen=True)
class Hardware:
    """What is assumed of a cluster. Bytes and bytes per second."""

    file_system: float
    link: float
    memory: float
    publish: float
    """Shards per second."""


def simulate(costs: Costs, nodes: int, hardware: Hardware) -> dict[str, float]:
    """Return the hours of a run, and the share of them in which cores, file system, link and publisher are busy."""
    shards = -(-SOURCE_IMAGES * EPOCHS // costs.shard_size)
    compute, written = costs.seconds * costs.shard_size, costs.stored * costs.shard_size
    source = SOURCE_IMAGES * costs.read
    cached = source <= hardware.memory / 2
    each = written + (0 if cached else costs.read * costs.shard_size)
    first = nodes * source if cached else 0
    cores = [(first / hardware.file_system, core) for core in range(nodes * CORES)]
    links = [0.0] * nodes
    file_system = first / hardware.file_system
    publisher = 0.0
    for _ in range(shards):
        free, core = heapq.heappop(cores)
        node = core // CORES
        ready = free + compute
        links[node] = max(ready, links[node]) + each / hardware.link
        file_system = max(ready, file_system) + each / hardware.file_system
        done = max(links[node], file_system)
        publisher = max(done, publisher) + 1 / hardware.publish
        heapq.heappush(cores, (done, core))
    total = publisher
    return {
        "hours": total / 3600,
        "cores": shards * compute / (nodes * CORES) / total,
        "file system": (shards * each + first) / hardware.file_system / total,
        "link": shards * each / nodes / hardware.link / total,
        "publishing": shards / hardware.publish / total,
    }


def measure(name: str, folder: Path) -> Costs:
    """Generate one stored epoch of a small source on one core, and return what an image costs."""
    count = MEASURED_IMAGES[name]
    npz = folder / f"{count}.npz"
    if "gray" in name:
        write_npz(npz, count)
    else:
        np.savez(npz, images=sample_images("photos", count), labels=np.arange(count) % 10)
    recipe = "kanji" if "gray" in name else "photo"
    words = ["run", str(npz), "--recipe", recipe, "--epochs", "2", "--jobs", "1", "--print-path"]
    path = _augment(folder, *words).strip()
    info = json.loads(_augment(folder, "info", path, "--json"))
    took = info["runs"][0]["took"]
    images = sum(epoch["images"] for epoch in info["epochs"]) + info["images"]["validation"] + info["images"]["test"]
    images += info["images"]["train"]
    return Costs(took["seconds"] / images, took["bytes"] / images, int(np.prod(info["shape"])))


def _augment(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "epochbank.augment", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"augment {' '.join(words)} failed:\n{done.stderr}")
    return done.stdout


@click.command()
@click.option("--file-system", default=5.0, show_default=True, help="Bandwidth of the shared file system in GB/s.")
@click.option("--link", default=3.0, show_default=True, help="Bandwidth of a node's network link in GB/s.")
@click.option("--memory", default=128.0, show_default=True, help="Memory of a node in GB.")
@click.option("--publish", default=500.0, show_default=True, help="Shards that the publisher publishes per second.")
def main(file_system: float, link: float, memory: float, publish: float) -> None:
    """Measure, simulate, and print a table as Markdown."""
    hardware = Hardware(1e9 * file_system, 1e9 * link, 1e9 * memory, publish)
    click.echo("| images | nodes | hours | core-hours | TB written | TB read | what limits (share of the time busy) |")
    click.echo("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="epochbank-bench-") as folder:
        for name in MEASURED_IMAGES:
            costs = measure(name, Path(folder))
            images = SOURCE_IMAGES * EPOCHS
            for nodes in (1, 4, 16, 64):
                found = simulate(costs, nodes, hardware)
                busiest = sorted(((share, what) for what, share in found.items() if what != "hours"), reverse=True)
                limits = ", ".join(f"{what} {share:.0%}" for share, what in busiest[:2])
                cached = SOURCE_IMAGES * costs.read <= hardware.memory / 2
                read = (nodes * SOURCE_IMAGES if cached else images) * costs.read
                click.echo(
                    f"| {name} | {nodes} | {found['hours']:.2f} | {costs.seconds * images / 3600:,.1f} | "
                    f"{costs.stored * images / 1e12:.2f} | {read / 1e12:.2f} | {limits} |"
                )
            click.echo(f"measured: {costs}, {costs.shard_size} images in a shard", err=True)


if __name__ == "__main__":
    main()
