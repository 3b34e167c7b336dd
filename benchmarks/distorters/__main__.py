"""One peer in a process of its own, on one core.

    python -m distorters NAME --images 4096

After a pass over the pictures that is not timed, but checked, come `--passes` timed ones. The last line printed is
JSON: `name`, `pictures` (`glyphs` or `photos`), `images`, `images_per_second` (the median pass's), `seconds` (each
pass's), `cpu_seconds` and `wall_seconds` (of all passes; the CPU's are those of all threads), `core`, and `versions`
of what it needs. A peer that is not installed ends it with exit code 1 and the command that brings it.
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
_CLOCKS = 1.05
"""So much of the wall's time one core may seem to work, by the grain of the clocks."""


@click.command()
@click.argument("name", type=click.Choice(PEERS))
@click.option("--images", type=click.IntRange(min=1), help="Pictures.  [default: 4096 glyphs, 256 photos]")
@click.option(
    "--passes",
    default=5,
    show_default=True,
    type=click.IntRange(min=1),
    help="How often they are all distorted, timed.",
)
@click.option("--core", type=int, help="The core to run on.  [default: the last that the process may use]")
def main(name: str, images: int | None, passes: int, core: int | None) -> None:
    """Measure the peer NAME on one core, and print JSON."""
    core = _hold_one_core(core)
    if trouble := missing(name):
        raise click.ClickException(f"{name}: {trouble}")
    from distorters.check import check
    from distorters.material import MATERIAL

    peer = importlib.import_module(f"distorters.{name}")
    pictures = MATERIAL[peer.PICTURES](images)
    distort = peer.distorter(pictures)
    check(distort, pictures)
    seconds, cpu = [], time.process_time()
    for _ in range(passes):
        begun = time.perf_counter()
        for _ in distort():
            pass
        seconds.append(time.perf_counter() - begun)
    cpu = time.process_time() - cpu
    if cpu > _CLOCKS * sum(seconds):
        raise click.ClickException(f"{name} took {cpu:.2f} s of CPU in {sum(seconds):.2f} s: more than one core's")
    result: dict[str, Any] = {
        "name": name,
        "pictures": peer.PICTURES,
        "images": len(pictures),
        "images_per_second": len(pictures) / statistics.median(seconds),
        "seconds": seconds,
        "cpu_seconds": cpu,
        "wall_seconds": sum(seconds),
        "core": core,
        "versions": {package: version(package) for package in peer.REQUIRES.values()},
    }
    click.echo(json.dumps(result))


def _hold_one_core(core: int | None) -> int:
    """Bind this process, and every thread that it will start, to one core; ask libraries for one thread each.

    To be called before NumPy or any peer is imported: threads that run already would stay where they are.
    """
    core = max(os.sched_getaffinity(0)) if core is None else core
    os.sched_setaffinity(0, {core})
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"), CUDA_VISIBLE_DEVICES="")
    return core


if __name__ == "__main__":
    main()
