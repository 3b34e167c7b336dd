"""Run `augment` and `train` of this checkout, one command on each core; Omniglot, where it is beside the checkout."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from queue import SimpleQueue
from typing import TypeVar

import click

import checkout  # noqa: F401

Item = TypeVar("Item")
Result = TypeVar("Result")

OMNIGLOT = Path(__file__).parents[2] / "shared/data/omniglot-drawers-01-16.zip"
WRITERS = r"_(\d+)\.png$"
"""Pattern that finds the person who drew in the name of a file of Omniglot."""


def command(name: str, *arguments: str, core: int, cwd: Path) -> str:
    """Run `augment` or `train` on one core, in the directory `cwd`; return what it prints to standard output."""
    code = f"import os; os.sched_setaffinity(0, [{core}]); from epochbank.{name}.cli import main; main()"
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ["PYTHONPATH"]])
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise click.ClickException(f"{name} {' '.join(arguments)} ended with exit status {done.returncode}.")
    return done.stdout


def on_each_core(function: Callable[[Item, int], Result], items: Iterable[Item]) -> list[Result]:
    """Return `function(item, core)` for each item, as many at a time as there are cores."""
    cores: SimpleQueue[int] = SimpleQueue()
    for core in sorted(os.sched_getaffinity(0)):
        cores.put(core)

    def on_a_core(item: Item) -> Result:
        core = cores.get()
        try:
            return function(item, core)
        finally:
            cores.put(core)

    with ThreadPoolExecutor(cores.qsize()) as pool:
        return list(pool.map(on_a_core, items))


def part_of_omniglot(directory: Path, every: int) -> Path:
    """Write one of `every` classes of Omniglot as a zip file into `directory`, unless it is there; return its path."""
    path = directory / f"omniglot-{every}.zip"
    if not path.exists():
        with zipfile.ZipFile(OMNIGLOT) as whole, zipfile.ZipFile(path, "w") as part:
            images = [name for name in whole.namelist() if name.endswith(".png")]
            kept = set(sorted({PurePosixPath(name).parent for name in images})[::every])
            for name in images:
                if PurePosixPath(name).parent in kept:
                    part.writestr(name, whole.read(name))
    return path
