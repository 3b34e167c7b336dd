"""Measure one peer in this process, on one core. Run it in `benchmarks/`:

    python -m distorters NAME --images 4096

The first pass over the images is checked and not timed; `--passes` timed passes follow. The last line of output is
JSON: `name`, `kind` (`glyphs` or `photos`), `images`, `images_per_second` (of the median pass), `seconds` (of each
pass), `cpu_seconds` (of all passes and threads), `wall_seconds` (of all passes), `core`, and `versions` of what the
peer requires. If a peer is not installed, the exit code is 1 and the message has the command that installs it.
"""

import importlib
import json
import os
import statistics
import time
from importlib.metadata import version
from typing import Any

import click

from distorters import PEERS, missing

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_CLOCK_TOLERANCE = 1.05
"""CPU time divided by wall time can exceed 1 by this factor on one core, because of the resolution of the clocks."""


@click.command()
@click.argument("name", type=click.Choice(PEERS))
@click.option(
    "--images", "num_images", type=click.IntRange(min=1), help="Number of images.  [default: 4096 glyphs, 256 photos]"
)
@click.option(
    "--passes",
    default=5,
    show_default=True,
    type=click.IntRange(min=1),
    help="Number of timed passes.",
)
@click.option("--core", type=int, help="Core to run on.  [default: the last available one]")
def main(name: str, num_images: int | None, passes: int, core: int | None) -> None:
    """Measure the peer NAME on one core, and print JSON."""
    core = _bind_to_core(core)
    if reason := missing(name):
        raise click.ClickException(f"{name}: {reason}")
    from distorters.check import check
    from distorters.sample_images import sample_images

    peer = importlib.import_module(f"distorters.{name}")
    images = sample_images(peer.KIND, num_images)
    distort = peer.distorter(images)
    check(distort, images)
    seconds, cpu = [], time.process_time()
    for _ in range(passes):
        start = time.perf_counter()
        for _ in distort():
            pass
        seconds.append(time.perf_counter() - start)
    cpu = time.process_time() - cpu
    if cpu > _CLOCK_TOLERANCE * sum(seconds):
        raise click.ClickException(f"{name} took {cpu:.2f} s of CPU in {sum(seconds):.2f} s; expected one core")
    result: dict[str, Any] = {
        "name": name,
        "kind": peer.KIND,
        "images": len(images),
        "images_per_second": len(images) / statistics.median(seconds),
        "seconds": seconds,
        "cpu_seconds": cpu,
        "wall_seconds": sum(seconds),
        "core": core,
        "versions": {package: version(package) for package in peer.REQUIRES.values()},
    }
    click.echo(json.dumps(result))


def _bind_to_core(core: int | None) -> int:
    """Bind this process and its future threads to one core, and limit libraries to one thread each.

    Call this before NumPy or any peer is imported: it does not affect running threads.
    """
    core = max(os.sched_getaffinity(0)) if core is None else core
    os.sched_setaffinity(0, {core})
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"), CUDA_VISIBLE_DEVICES="")
    return core


if __name__ == "__main__":
    main()
