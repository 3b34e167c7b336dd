"""Make each system call of every command fail: the command must name the path or succeed, and no set may become wrong.

python faults/syscalls.py                         # every call of every stage, on all cores
python faults/syscalls.py --stride 10 --only run  # every tenth
python faults/syscalls.py --stride 10 --only train,workers  # the calls of a training, and those of worker processes

For each stage, kind of call and error, the n-th call on a file of the set fails, for every n of an undisturbed run. A
try is good if the command ends with exit code 1 and a message that names a path, or succeeds with the same files and
digests; if what can be read in between is right; and if the same command without a fault then arrives at the
undisturbed result, with no temporary file left. Commands run in forked processes, under a shim that is preloaded.
"""

import errno
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from attempt import afterwards, in_child, judge, run_here, state_or_fault, summary
from common import RESULTS, Tries
from shim import FROM_THERE, ONCE, SHORT, NoCompiler, Shim, build
from slow_stages import SLOW_STAGES
from small_set import Stage, published, stages

_SPARSE = 10
"""A disk that stays broken breaks at every tenth call only."""

_WRITING = ("create", "write", "truncate", "mkdir", "allocate", "rename", "link", "sync")


@dataclass(frozen=True)
class Fault:
    """What happens to a call."""

    label: str
    kinds: tuple[str, ...]
    code: int
    mode: int = ONCE


def _faults() -> Iterator[Fault]:
    once = {
        "open": ("EIO", "EMFILE", "EACCES", "EINTR"),
        "create": ("ENOSPC", "EDQUOT", "EIO", "EMFILE", "EACCES", "EINTR"),
        "read": ("EIO", "EINTR"),
        "write": ("ENOSPC", "EIO", "EDQUOT", "EINTR"),
        "sync": ("EIO", "ENOSPC", "EDQUOT", "EINTR"),
        "rename": ("EIO", "ENOSPC", "EDQUOT"),
        "truncate": ("EIO", "ENOSPC"),
        "mkdir": ("ENOSPC", "EDQUOT"),
        "unlink": ("EIO", "EROFS"),
        "lock": ("ENOLCK", "EINTR"),
        "link": ("EIO", "EPERM"),
        "close": ("EIO", "EDQUOT"),
        "allocate": ("ENOSPC", "EOPNOTSUPP"),
        "stat": ("EIO", "ESTALE"),
        "list": ("EIO",),
        "map": ("ENOMEM",),
        "times": ("EIO",),
    }
    for kind, names in once.items():
        for name in names:
            yield Fault(f"{kind} {name}", (kind,), getattr(errno, name))
    yield Fault("read short", ("read",), 0, SHORT)
    yield Fault("write short", ("write",), 0, SHORT)
    yield Fault("disk stays full", _WRITING, errno.ENOSPC, FROM_THERE)
    yield Fault("quota stays exceeded", _WRITING, errno.EDQUOT, FROM_THERE)
    everything = ("open", "read", "lock", "unlink", "stat", "list", *_WRITING)
    yield Fault("disk stays broken", everything, errno.EIO, FROM_THERE)
    yield Fault("mount is gone", everything, errno.ESTALE, FROM_THERE)
    yield Fault("becomes read-only", (*_WRITING, "unlink", "times"), errno.EROFS, FROM_THERE)


FAULTS = list(_faults())


@click.command()
@click.option("--stride", type=click.IntRange(1), default=1, show_default=True, help="Make only every K-th call fail.")
@click.option("--offset", type=click.IntRange(0), default=0, help="Start the stride later by this many calls.")
@click.option(
    "--only",
    default="",
    metavar="STAGE,...",
    help="Stages, separated by commas; by default all but `train` and `workers`.",
)
@click.option("--faults", "labels", default="", metavar="TEXT,...", help="Only faults whose name has one of the texts.")
@click.option("--minutes", type=float, default=60.0, show_default=True, help="Stop after this time.")
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count(), help="Number of processes.")
@click.option("--part", hidden=True, help="K/N: run part K of N in this process, under the shim.")
@click.option("--show", is_flag=True, help="Print each fault that is found at once.")
def main(
    stride: int, offset: int, only: str, labels: str, minutes: float, jobs: int, part: str | None, show: bool
) -> None:
    """Make every n-th system call of every command fail, and check what is left."""
    names, texts = [one for one in only.split(",") if one], [one for one in labels.split(",") if one]
    if part is not None:
        number, _, of = part.partition("/")
        _Part(int(number), int(of), stride, offset, names, texts, time.monotonic() + 60 * minutes).run()
        return
    tries = Tries(RESULTS / "syscalls.jsonl")
    with tempfile.TemporaryDirectory() as folder:
        try:
            library = build(Path(folder))
        except NoCompiler as error:
            raise click.ClickException(str(error)) from error
        words = [sys.executable, __file__, *sys.argv[1:], "--part"]
        environment = {**os.environ, "LD_PRELOAD": str(library), "NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        environment["JOBLIB_TEMP_FOLDER"] = folder  # Forked processes end without removing it.
        running = [
            subprocess.Popen([*words, f"{number}/{jobs}"], env=environment, stdout=subprocess.PIPE, text=True)
            for number in range(jobs)
        ]
        found = list(_collect(running, tries, show))
    click.echo(summary(found))
    if any(one["faults"] for one in found) or any(process.returncode for process in running):
        sys.exit(1)


def _collect(running: list["subprocess.Popen[str]"], tries: Tries, show: bool) -> Iterator[dict[str, Any]]:
    """Yield the tries that the processes print, and add each to the file."""
    streams = {process.stdout: process for process in running if process.stdout}
    begun, count, last = time.monotonic(), 0, 0.0
    while streams:
        for stream in select.select(list(streams), [], [])[0]:
            line = stream.readline()
            if not line:
                streams.pop(stream).wait()
                continue
            one = json.loads(line)
            tries.add(**one)
            count += 1
            if show and one["faults"]:
                click.echo(json.dumps(one))
            if time.monotonic() - last > 10:
                last = time.monotonic()
                where = f"{one['stage']}, {one['fault']}"
                click.echo(f"{count:,} tries, {count / (last - begun):.0f}/s: {where}", err=True)
            yield one


class _Part:
    """The tries of one process, which has imported everything and forks for each."""

    def __init__(
        self, number: int, of: int, stride: int, offset: int, stages: list[str], texts: list[str], until: float
    ):
        self._number, self._of, self._stride, self._offset = number, of, stride, offset
        self._stages, self._texts, self._until = stages, texts, until
        self._shim = Shim()
        place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self._base = Path(tempfile.mkdtemp(prefix="epochbank-faults-", dir=place))
        self._work = self._base / "work"

    def run(self) -> None:
        """Run all tries and print each as a line of JSON."""
        try:
            self._expected = published(self._base / "reference")
            for stage in [*stages(), *SLOW_STAGES]:
                named = stage.name in self._stages or stage.name.split()[0] in self._stages
                if named or (not self._stages and stage not in SLOW_STAGES):
                    self._run_stage(stage)
        finally:
            shutil.rmtree(self._base, ignore_errors=True)

    def _run_stage(self, stage: Stage) -> None:
        template = self._base / f"template-{stage.name.replace(' ', '-')}"
        if time.monotonic() > self._until:
            return
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir()
        stage.prepare(self._work)
        self._shim.watch(self._work)
        shutil.copytree(self._work, template)  # The paths in the set are those of the working directory.
        counts = self._count(stage, template)
        first = self._command(stage, template, ("open",), 1 << 40, 0, ONCE)
        if first.get("code") != 0:
            raise RuntimeError(f"{stage.name} fails without a fault: {first}")
        done = first["state"], first["output"]
        at = 0
        for fault in FAULTS:
            if self._texts and not any(text in fault.label for text in self._texts):
                continue
            calls = sum(counts[kind] for kind in fault.kinds)
            # What stays broken from some call on differs little from one call to the next.
            stride = self._stride * (_SPARSE if fault.mode == FROM_THERE and "stat" in fault.kinds else 1)
            for number in range(1 + self._offset, calls + 1, stride):
                at += 1
                if at % self._of == self._number:
                    if time.monotonic() > self._until:
                        return
                    self._try(stage, template, fault, number, done)
        shutil.rmtree(template)
        shutil.rmtree(self._work, ignore_errors=True)

    def _count(self, stage: Stage, template: Path) -> dict[str, int]:
        return self._command(stage, template, ("open",), 1 << 40, 0, ONCE)["counts"]

    def _command(
        self, stage: Stage, template: Path, kinds: tuple[str, ...], number: int, code: int, mode: int
    ) -> dict[str, Any]:
        """Copy the template, and run the command in a forked process with a fault."""
        shutil.rmtree(self._work, ignore_errors=True)
        shutil.copytree(template, self._work)
        words = stage.words(self._work)

        def work() -> dict[str, Any]:
            if stage.workers:
                self._shim.share(self._base / "shared")
            self._shim.arm(kinds, number, code, mode)
            try:
                ended = run_here(words)
            finally:
                self._shim.disarm()
            ended |= {"counts": self._shim.counts(), "hits": self._shim.hits(), "path": self._shim.last()}
            if ended["code"] == 0:
                ended["state"] = state_or_fault(self._work)
            return ended

        return in_child(work)

    def _try(self, stage: Stage, template: Path, fault: Fault, number: int, done: tuple[Any, str]) -> None:
        begun = time.perf_counter()
        ended = self._command(stage, template, fault.kinds, number, fault.code, fault.mode)
        after = in_child(lambda: afterwards(stage, ended, done, self._work, self._expected, fault.label))
        faults = judge(stage, ended, done, self._work) + after.get("faults", [f"crash: check ended with {after}"])
        record = {
            "stage": stage.name, "fault": fault.label, "number": number, "hits": ended.get("hits"),
            "code": ended.get("code"), "path": str(ended.get("path", "")).replace(str(self._work), ""),
            "text": ended.get("text", "")[-700:] if faults else ended.get("text", "")[-200:], "faults": faults,
            "seconds": round(time.perf_counter() - begun, 3),
        }  # fmt: skip
        print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
