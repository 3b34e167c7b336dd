"""Run commands on failing disks, and with few descriptors, little memory and small files: no set may become wrong.

python faults/disk.py                              # everything, in about ten minutes
python faults/disk.py --only full,stalls --tries 5

Each try runs a command in a forked process. It is good if the command ends with exit code 1 and a message that names a
path or what ran out, or succeeds; if what can be read in between is right; and if the same command, once the disk works
again, arrives at the undisturbed result with no temporary file left. Small and read-only file systems are mounted in a
namespace of the user; where that is not allowed, these two scenarios are omitted.
"""

import errno
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from attempt import afterwards, in_child, judge, run_here, state_or_fault, summary
from common import RESULTS, Tries
from shim import STALL, NoCompiler, Shim, build
from small_set import Stage, published, stages

_MEBIBYTE = 1 << 20
_DISK = 48 * _MEBIBYTE
"""Size of the small file system. A run requires 16 MiB of spare space to begin."""
_STALL = 1.5
"""Seconds that a call takes on a stalling mount."""
_CALLS = ("open", "create", "read", "write", "sync", "rename", "stat")

SCENARIOS = ("full", "read-only", "vanishes", "stalls", "stalls and Ctrl-C", "descriptors", "memory", "file size")


@click.command()
@click.option("--only", default="", metavar="SCENARIO,...", help=f"Of: {', '.join(SCENARIOS)}.")
@click.option("--stages", "stage_names", default="", metavar="STAGE,...", help="Stages; all by default.")
@click.option("--tries", type=click.IntRange(1), default=8, show_default=True, help="Tries per stage and scenario.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the random moments.")
@click.option("--inside", is_flag=True, hidden=True, help="Run in this process, which has the namespace and the shim.")
@click.option("--mounts", is_flag=True, hidden=True, help="This process may mount file systems.")
def main(only: str, stage_names: str, tries: int, seed: int, inside: bool, mounts: bool) -> None:
    """Run commands on disks and in environments that fail, and check what is left."""
    scenarios = [one for one in SCENARIOS if not only or one in only.split(",")]
    if inside:
        _Campaign(mounts, tries, random.Random(seed), [one for one in stage_names.split(",") if one]).run(scenarios)
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            library = build(Path(folder))
        except NoCompiler as error:
            raise click.ClickException(str(error)) from error
        mounts = subprocess.run(
            ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False
        ).returncode == 0 if shutil.which("unshare") else False  # fmt: skip
        if not mounts:
            click.echo("file systems cannot be mounted here; omitted: full, read-only", err=True)
        words = [sys.executable, __file__, *sys.argv[1:], "--inside"]
        if mounts:
            words = ["unshare", "-rm", *words, "--mounts"]
        environment = {**os.environ, "LD_PRELOAD": str(library), "NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        environment["JOBLIB_TEMP_FOLDER"] = folder  # Forked processes end without removing it.
        records, found = Tries(RESULTS / "disk.jsonl"), []
        with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                one = json.loads(line)
                records.add(**one)
                found.append(one)
                if one["faults"]:
                    click.echo(f"{one['stage']}, {one['fault']}: {one['faults']} | {one['text']}", err=True)
    click.echo(summary(found))
    if process.returncode or any(one["faults"] for one in found):
        sys.exit(1)


class _Campaign:
    """All tries, in one process that forks for each."""

    def __init__(self, mounts: bool, tries: int, chance: random.Random, only: list[str]):
        self._mounts, self._tries, self._random, self._only = mounts, tries, chance, only
        self._base = Path(tempfile.mkdtemp(prefix="epochbank-disk-"))
        self._work = self._base / "disk" / "work"
        self._shim = Shim()

    def run(self, scenarios: list[str]) -> None:
        """Run the tries, and print each as a line of JSON."""
        disk = self._base / "disk"
        disk.mkdir()
        try:
            if self._mounts:
                subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(disk)], check=True)
            self._expected = published(self._base / "reference")
            for stage in stages():
                if not self._only or stage.name in self._only:
                    self._run_stage(stage, scenarios)
        finally:
            if self._mounts:
                subprocess.run(["umount", "-l", str(disk)], check=False)
            shutil.rmtree(self._base, ignore_errors=True)

    def _run_stage(self, stage: Stage, scenarios: list[str]) -> None:
        template = self._base / f"template-{stage.name.replace(' ', '-')}"
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir(parents=True)
        stage.prepare(self._work)
        shutil.copytree(self._work, template)
        self._shim.watch(self._work)
        begun = time.perf_counter()
        first = self._command(stage, template, [])
        self._seconds = time.perf_counter() - begun
        if first.get("code") != 0:
            raise RuntimeError(f"{stage.name} fails without a fault: {first}")
        done, calls = (first["state"], first["output"]), sum(first["counts"][kind] for kind in _CALLS)
        for scenario in scenarios:
            if scenario in ("full", "read-only") and not (self._mounts and stage.writes):
                continue
            for number in range(self._tries):
                self._try(stage, template, scenario, number, calls, done)
        shutil.rmtree(template)

    def _try(self, stage: Stage, template: Path, scenario: str, number: int, calls: int, done: tuple[Any, str]) -> None:
        when = self._random.random() * self._seconds
        at = self._random.randrange(1, calls + 1)
        outside, inside = self._disturbances(scenario, number, when, at)
        begun = time.perf_counter()
        ended = self._command(stage, template, inside, outside)
        seconds = time.perf_counter() - begun
        faults = judge(stage, ended, done, self._work)
        if "nothing to remove" in ended.get("output", ""):  # What `gc` prints for a directory that is not there.
            faults = []
        if scenario == "stalls and Ctrl-C" and ended.get("code") == 130:
            faults = ["Ctrl-C: more than 3 s after the stall"] if seconds > self._seconds + _STALL + 3 else []
        after = in_child(lambda: afterwards(stage, ended, done, self._work, self._expected))
        record = {
            "stage": stage.name, "fault": scenario, "number": number, "path": f"{when:.3f} s, call {at}",
            "code": ended.get("code"), "text": ended.get("text", "")[-500:], "seconds": round(seconds, 3),
            "faults": faults + after.get("faults", [f"crash: the check ended with {after}"]),
        }  # fmt: skip
        print(json.dumps(record), flush=True)

    def _command(
        self,
        stage: Stage,
        template: Path,
        inside: list[Callable[[], None]],
        outside: Callable[[], Any] | None = None,
    ) -> dict[str, Any]:
        shutil.rmtree(self._work, ignore_errors=True)
        shutil.copytree(template, self._work)
        words = stage.words(self._work)

        def work() -> dict[str, Any]:
            self._shim.arm(("open",), 1 << 40, 0)
            for disturb in inside:
                disturb()
            ended = run_here(words)
            self._shim.disarm()
            limit = resource.RLIM_INFINITY
            for kind in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE):
                resource.setrlimit(kind, (limit, limit))
            resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
            ended |= {"counts": self._shim.counts()}
            return ended

        with outside() if outside else ExitStack():
            ended = in_child(work)
        if ended.get("code") == 0:  # The disk works again.
            ended |= in_child(lambda: {"state": state_or_fault(self._work)})
        return ended

    def _disturbances(
        self, scenario: str, number: int, when: float, at: int
    ) -> tuple[Callable[[], Any] | None, list[Callable[[], None]]]:
        """Return what happens outside the command (a context manager), and in its process before it begins."""
        shim = self._shim
        if scenario == "full":
            return lambda: _later(when, self._fill, self._empty), []
        if scenario == "read-only":
            return lambda: _later(when, self._remount("ro"), self._remount("rw")), []
        if scenario == "vanishes":
            away = self._work.with_name("away")
            return lambda: _later(when, lambda: self._work.rename(away), lambda: _back(away, self._work)), []
        if scenario == "stalls":
            code = (errno.EIO, 0, errno.ETIMEDOUT)[number % 3]
            return None, [lambda: shim.arm(_CALLS, at, code, STALL, _STALL)]
        if scenario == "stalls and Ctrl-C":

            def stall() -> None:
                shim.arm(_CALLS, at, errno.EIO, STALL, _STALL)
                threading.Thread(target=self._interrupt_stall, args=(os.getpid(),), daemon=True).start()

            return None, [stall]
        if scenario == "descriptors":
            return None, [lambda: _limit(resource.RLIMIT_NOFILE, _open_files() + 3 + 2 * number)]
        if scenario == "memory":
            # Most of a small run's memory is taken already; the steps are what it still needs: 1, 2, 5, 10 MiB...
            # With less, a Python thread may die before it begins, and whoever starts it waits for it forever.
            more = (1 + number * number) * _MEBIBYTE
            return None, [lambda: _limit(resource.RLIMIT_AS, _address_space() + more)]
        assert scenario == "file size"
        return None, [lambda: _limit(resource.RLIMIT_FSIZE, 1 << (number + 8))]

    def _interrupt_stall(self, process: int) -> None:
        while not self._shim.hits():
            time.sleep(0.02)
        time.sleep(0.2)
        os.kill(process, signal.SIGINT)

    def _fill(self) -> None:
        with suppress(OSError), open(self._work.parent / "filler", "wb", buffering=0) as file:
            while True:
                file.write(bytes(_MEBIBYTE))
        with suppress(OSError), open(self._work.parent / "filler", "ab", buffering=0) as file:
            while file.write(bytes(512)):
                pass

    def _empty(self) -> None:
        (self._work.parent / "filler").unlink(missing_ok=True)

    def _remount(self, how: str) -> Callable[[], None]:
        def remount() -> None:
            words = ["mount", "-o", f"remount,{how}", str(self._work.parent)]
            for _ in range(200):  # Not while a file is open for writing.
                if subprocess.run(words, capture_output=True, check=False).returncode == 0:
                    return

        return remount


@contextmanager
def _later(seconds: float, act: Callable[[], Any], undo: Callable[[], Any]) -> Iterator[None]:
    """Call `act` after some seconds in a thread, and `undo` at the end of the block."""
    ended = threading.Event()

    def wait() -> None:
        if not ended.wait(seconds):
            act()

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        undo()


def _back(away: Path, work: Path) -> None:
    """Give the directory its name back; what the command made in its place in between goes into it."""
    if away.exists():
        if work.exists():
            shutil.copytree(work, away, dirs_exist_ok=True)
            shutil.rmtree(work)
        away.rename(work)


def _limit(kind: int, value: int) -> None:
    resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))


def _open_files() -> int:
    return max(int(one.name) for one in Path("/proc/self/fd").iterdir()) + 1


def _address_space() -> int:
    """Return the bytes of this process's address space."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    main()
