"""Run `augment` and `train` of this checkout, each on one core. Also finds Omniglot in ../shared/data."""

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
WRITER = r"_(\d+)\.png$"
"""Regular expression for the writer in the name of a file of Omniglot."""


def command(name: str, *arguments: str, cwd: Path) -> str:
    """Run `augment` or `train` in the directory `cwd`; return what it prints to standard output."""
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ["PYTHONPATH"]])
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": paths}
    words = [sys.executable, "-m", f"epochbank.{name}", *arguments]
    done = subprocess.run(words, cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise click.ClickException(f"{name} {' '.join(arguments)} ended with exit status {done.returncode}.")
    return done.stdout


def on_each_core(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return `function(item)` for each item, one at a time on each core, also of the processes that it starts."""
    cores = sorted(os.sched_getaffinity(0))
    free: SimpleQueue[int] = SimpleQueue()
    for core in cores:
        free.put(core)
    # A process has the affinity of the thread that starts it.
    with ThreadPoolExecutor(len(cores), initializer=lambda: os.sched_setaffinity(0, [free.get()])) as pool:
        return list(pool.map(function, items))


def part_of_omniglot(directory: Path, every: int) -> Path:
    """Write one of `every` classes of Omniglot as a zip file into `directory`, unless it is there; return its path."""
    path = directory / f"omniglot-{every}.zip"
    if not path.exists():
        partial = path.with_suffix(".partial")
        with zipfile.ZipFile(OMNIGLOT) as whole, zipfile.ZipFile(partial, "w") as part:
            images = [name for name in whole.namelist() if name.endswith(".png")]
            kept = set(sorted({PurePosixPath(name).parent for name in images})[::every])
            for name in images:
                if PurePosixPath(name).parent in kept:
                    part.writestr(name, whole.read(name))
        partial.rename(path)
    return path
