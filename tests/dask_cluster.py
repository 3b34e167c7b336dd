"""A Dask cluster of real processes for the tests: a scheduler, and workers in other working directories."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from conftest import glyphs

OPERATIONS = """
import os, signal, time


def slow(image, generator):
    time.sleep(0.005)
    return 255 - image


def deadly(image, generator):
    if "DEADLY" in os.environ and image[0, 0, 0] == 201:
        os.kill(os.getpid(), signal.SIGKILL)
    return 255 - image
"""
"""A module of custom operations; `deadly` ends a worker that makes the image with the value 201 in its corner."""
MARKED = 150
"""Number of the image that ends a worker."""
SECONDS = 120.0
"""Time limit of every wait."""


def wait_for(condition: Callable[[], Any], what: str, seconds: float = SECONDS) -> Any:
    """Return the value of `condition` once it is true; fail after `seconds`."""
    end = time.monotonic() + seconds
    while not (met := condition()):
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.05)
    return met


class Cluster:
    """A scheduler and its workers. Everything is below `folder`, where `ops.py` has the custom operations."""

    def __init__(self, folder: Path):
        self.folder, self.file = folder, folder / "scheduler.json"
        self._processes: dict[str, subprocess.Popen] = {}
        (folder / "ops.py").write_text(OPERATIONS)
        images = glyphs(300)
        images[:, 0, 0], images[MARKED, 0, 0] = 0, 201
        np.savez(folder / "glyphs.npz", images=images, labels=np.arange(300) % 6)
        for name in ("slow", "deadly"):
            (folder / f"{name}.toml").write_text(
                f'name = "{name}"\nlabel_check = false\n[[stage]]\noperation = [{{ op = "ops:{name}" }}]\n'
            )

    def start(self, name: str, *words: str, python_path: Path | None = None, **environment: str) -> None:
        """Start `dask WORDS`, in the new working directory `name`."""
        place = self.folder / name
        place.mkdir(exist_ok=True)
        with open(place / "log", "ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "dask", *words], cwd=place, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=self._environment(python_path) | environment, start_new_session=True,
            )  # fmt: skip

    def start_scheduler(self, *words: str, **environment: str) -> None:
        """Start the scheduler, and wait until it can be reached."""
        self.start("scheduler", "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                   "--scheduler-file", str(self.file), *words, **environment)  # fmt: skip
        wait_for(self.file.exists, "the scheduler")

    def start_worker(self, name: str, threads: int = 1, **keywords: Any) -> None:
        """Start a worker with a nanny, which starts it again if it is killed."""
        self.start(name, "worker", "--scheduler-file", str(self.file), "--nthreads", str(threads), "--no-dashboard",
                   "--host", "127.0.0.1", "--name", name, **keywords)  # fmt: skip

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a scheduler, or to the worker process of a nanny."""
        process = self._processes[name].pid
        os.kill(process if name == "scheduler" else self.worker_process(name), number)

    def worker_process(self, name: str) -> int:
        """Return the worker process of the nanny `name`, which is its child with the most threads."""
        nanny = self._processes[name].pid

        def found() -> list[int]:
            children = Path(f"/proc/{nanny}/task/{nanny}/children")
            every = [int(one) for path in children.parents[1].glob("*/children") for one in path.read_text().split()]
            return [one for one in every if b"resource_tracker" not in _command(one)]

        return wait_for(found, f"the process of {name}")[0]

    def stop(self, name: str) -> None:
        """End a process that `start` started, with its children."""
        process = self._processes.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(SECONDS)

    def stop_workers(self) -> None:
        """End all workers."""
        for name in [one for one in self._processes if one != "scheduler"]:
            self.stop(name)

    def stop_all(self) -> None:
        """End everything."""
        for name in list(self._processes):
            self.stop(name)

    def command(self, *words: str, epochs: int = 2, recipe: str = "slow", sets: str = "sets") -> list[str]:
        """Return `augment run` of the glyphs, with small shards and further words."""
        return [
            sys.executable, "-m", "epochbank.augment", "run", "glyphs.npz", "--recipe", f"{recipe}.toml",
            "--epochs", str(epochs), "--shard-size", "32", "--chunk-size", "16", "--sets", sets, *words,
        ]  # fmt: skip

    def begin(self, *words: str, **keywords: Any) -> subprocess.Popen:
        """Begin `augment run` on this cluster; its messages go to a pipe."""
        return subprocess.Popen(
            self.command("--scheduler", str(self.file), *words, **keywords), cwd=self.folder, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, env=self._environment(), start_new_session=True,
        )  # fmt: skip

    def local(self, *words: str, **keywords: Any) -> str:
        """Do the same on this machine; return what it printed."""
        done = subprocess.run(
            self.command("--jobs", "1", *words, **keywords), cwd=self.folder, capture_output=True, text=True,
            check=False, env=self._environment(), timeout=SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stderr

    def _environment(self, python_path: Path | None = None) -> dict[str, str]:
        paths = (python_path, self.folder, os.environ.get("PYTHONPATH"))
        path = os.pathsep.join(str(one) for one in paths if one)
        return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}

    def digests(self, sets: str = "sets") -> list[str]:
        """Return the digests of all published shards of the one set in `sets`, in order."""
        (manifest,) = (self.folder / sets).glob("*/manifest.jsonl")
        lines = [json.loads(line) for line in manifest.read_text().splitlines()]
        return [f"{line['file']} {line['digest']}" for line in sorted(lines, key=lambda one: one["file"])]

    def published(self, sets: str = "sets") -> int:
        """Return the number of shards that are published so far."""
        return sum(path.read_text().count("\n") for path in (self.folder / sets).glob("*/manifest.jsonl"))

    def temporary(self) -> list[Path]:
        """Return the unfinished files below the sets."""
        return [path for sets in self.folder.glob("sets*") for path in sets.rglob(".tmp-*")]


def _command(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b"resource_tracker"


def finish(process: subprocess.Popen, seconds: float = SECONDS) -> str:
    """Wait for a command; return what it printed."""
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        raise AssertionError(f"the command did not end within {seconds:.0f} s: {output}") from None
    assert "Traceback" not in (output or ""), output
    return output


@contextmanager
def cluster(folder: Path, *words: str, **environment: str) -> Iterator[Cluster]:
    """Yield a cluster with a scheduler, started with further words and environment, and no workers."""
    made = Cluster(folder)
    try:
        made.start_scheduler(*words, **environment)
        yield made
    finally:
        made.stop_all()
