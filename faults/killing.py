"""One driver of the campaign of kills: it prepares folders, kills commands in them, and checks what is left."""

import argparse
import contextlib
import importlib
import json
import os
import random
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import stages as all_stages
from common import Tries
from processes import Started, answer_of, left, start, workers
from stages import Stage

WORKERS = 2
_LIMIT = 90.0
"""Seconds after which a command counts as hanging."""
_VICTIMS = {
    True: {"KILL parent": 25, "KILL worker": 35, "KILL group": 22, "INT group": 6, "INT parent": 3, "TERM parent": 6,
           "TERM group": 3},
    False: {"KILL parent": 86, "INT group": 5, "TERM parent": 9},
}  # fmt: skip
"""What is killed and how often: with and without workers."""
_MODES = {"fork": 82, "fork, workers": 12, "program, workers": 6}
_EXIT_CODES = {"KILL": -signal.SIGKILL, "INT": 130, "TERM": 143}
_LOOK = 0.002
"""Seconds between looks at what a command does."""
_RECALIBRATE = 40
"""Tries after which an undisturbed command is measured again, because the load of the machine changes."""


@dataclass
class _Rhythm:
    """What an undisturbed command does: when it first changes a file, how often it does so, and when it ends."""

    first: float
    """Seconds since its start."""
    changes: int
    end: float
    uses: int = 0


class Driver:
    """A process that tries commands. It has imported what they need, and starts no thread."""

    def __init__(self, options: argparse.Namespace, tries: Tries):
        self._tries, self._role = tries, options.driver
        self._random = random.Random(options.seed)
        self._base: Path = options.dir
        self._end = time.monotonic() + 60 * options.minutes
        self._stages = all_stages.stages()
        self._rhythms: dict[tuple[str, str], _Rhythm] = {}
        self._references: dict[str, list[dict[str, str]]] = {}
        os.environ |= {"TMPDIR": str(self._base), "TF_CPP_MIN_LOG_LEVEL": "3", "COLUMNS": "200"}
        self._current: Started | None = None
        signal.signal(signal.SIGTERM, self._terminate)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell has its background jobs ignore it.
        names = [
            "epochbank.api.generation",
            "epochbank.augment.generation.run",
            "numba",
            "joblib",
            "rich.progress",
            "sklearn.datasets",
        ]
        for name in [*names, *(["keras", "epochbank.train.training.resume"] if self._role == "train" else [])]:
            importlib.import_module(name)

    def run(self, missing: Callable[[], dict[str, int]]) -> None:
        """Try until nothing is missing, or the time is over."""
        with open(self._base / "oracle.txt", "w") as file, contextlib.redirect_stderr(file):
            self._expected = all_stages.oracle(self._base / "oracle")
        if threading.active_count() > 1:  # A fork has none of them, but the locks that they held.
            raise RuntimeError(f"there are other threads in the driver: {threading.enumerate()}")
        while time.monotonic() < self._end:
            lacks = {
                name: number
                for name, number in missing().items()
                if (self._stages[name].program == "train") == (self._role == "train")
            }
            if not lacks:
                return
            name = self._random.choices(list(lacks), list(lacks.values()))[0]
            self._try(self._stages[name])

    def _try(self, stage: Stage) -> None:
        """Kill a command once or twice, run it again, and record what was found."""
        if stage.name not in self._references:
            self._prepare(stage)
        folder = self._copy(stage)
        modes = _MODES if stage.has_jobs else {"fork": 80, "program": 20}
        if stage.program == "train":
            modes = {"fork": 1}
        records = []
        for _ in range(2 if self._random.random() < 0.2 else 1):
            mode = self._random.choices(list(modes), list(modes.values()))[0]
            records.append(self._kill(stage, folder, mode))
            if records[-1]["faults"] or records[-1]["when"] == "after":
                break
        if not records[-1]["faults"]:
            records[-1]["faults"] = self._resume(stage, folder)
            records[-1]["resumed"] = not records[-1]["faults"]
        kept = self._keep(stage, folder) if records[-1]["faults"] else None
        for one in records:
            self._tries.add(**one, kept=kept)

    def _keep(self, stage: Stage, folder: Path) -> Path:
        """Copy the folder of a fault, and what the command printed, to where they stay; return the copy."""
        kept = self._base.parent.parent / f"epochbank-fault-{stage.name}-{time.time_ns()}"
        shutil.copytree(folder, kept, symlinks=True)
        shutil.copy(self._output, kept / "output.txt")
        return kept

    def _prepare(self, stage: Stage) -> None:
        """Make the folder that the command begins with, and read what an undisturbed one leaves in it."""
        template = self._base / f"{stage.name}-begun"
        template.mkdir()
        stage.prepare(template)
        folder = self._copy(stage)
        self._references[stage.name] = []
        for _ in range(stage.times):
            all_stages.do(folder, *stage.command(folder, 1), program=stage.program)
            self._references[stage.name].append(all_stages.contents(folder))

    def _copy(self, stage: Stage) -> Path:
        folder = self._base / "work"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._base / f"{stage.name}-begun", folder)
        return folder

    @property
    def _output(self) -> Path:
        return self._base / "output.txt"

    def _start(self, stage: Stage, folder: Path, mode: str) -> Started:
        jobs = WORKERS if "workers" in mode else 1
        forked = not mode.startswith("program")
        self._current = start(stage.program, stage.command(folder, jobs), folder, self._output, forked=forked)
        return self._current

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        """End the command that runs, and this process."""
        if self._current is not None and self._current.code is None:
            os.killpg(self._current.process, signal.SIGKILL)
        sys.exit(128 + number)

    def _rhythm(self, stage: Stage, mode: str) -> _Rhythm:
        """Measure when the undisturbed command changes files, again after some tries, as the machine's load changes."""
        known = self._rhythms.get((stage.name, mode))
        if known is None or known.uses >= _RECALIBRATE:
            folder = self._base / "measured"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(self._base / f"{stage.name}-begun", folder)
            begun, watch, first = time.monotonic(), _Watch(folder), 0.0
            started = self._start(stage, folder, mode)
            while started.wait(_LOOK) is None:
                if watch.changes() and not first:
                    first = time.monotonic() - begun
            if started.code:
                raise RuntimeError(f"{stage.name} ({mode}) ended with {started.code}: {started.text()[-2000:]}")
            known = self._rhythms[stage.name, mode] = _Rhythm(first, watch.changes(), time.monotonic() - begun)
        known.uses += 1
        return known

    def _wait(self, started: Started, folder: Path, rhythm: _Rhythm, victim: str) -> None:
        """Wait until a random moment, or the end of the command."""
        if self._random.random() < 0.5:
            started.wait(self._random.uniform(rhythm.first, rhythm.end))
        else:
            watch, wanted = _Watch(folder), self._random.randint(1, max(1, rhythm.changes))
            while started.wait(_LOOK) is None and watch.changes() < wanted:
                pass
            started.wait(self._random.uniform(0.0, 0.01))
        if "worker" in victim:
            while started.wait(_LOOK) is None and not workers(started.process):
                pass

    def _kill(self, stage: Stage, folder: Path, mode: str) -> dict[str, Any]:
        """Start the command, kill it at a random moment, and check what is left; return the record of the try."""
        victims = _VICTIMS["workers" in mode]
        victim = self._random.choices(list(victims), list(victims.values()))[0]
        rhythm, before = self._rhythm(stage, mode), _state(folder)
        begun = time.monotonic()
        started = self._start(stage, folder, mode)
        self._wait(started, folder, rhythm, victim)
        when, hit = "after", False
        if started.code is None:
            when = "working" if _state(folder) != before else "before"
            hit = self._send(started, victim)
        took = time.monotonic() - begun
        if done := started.wait(_LIMIT) == 1 and bool(stage.done and re.search(stage.done, started.text())):
            when, hit = "after", False  # The command before it, which was killed, had done all.
        elif started.code in (-signal.SIGINT, -signal.SIGTERM) and self._unequal(stage, folder) == []:
            when = "after"  # The interpreter was ending, and no handler was in place any more.
            started.code = 0
        faults = self._check_end(started, victim, when, hit, done)
        if not hit or (started.code == 0 and "worker" not in victim):
            when = "after"  # It had done its work, and was about to end.
        if "KILL" not in victim and when == "working" and not stage.keeps:
            faults += [f"left by an interrupted command: {path.name}" for path in folder.rglob(".tmp-*")]
        if stage.program != "train":
            faults += self._ask(lambda: all_stages.read_faults(folder, self._expected, damaged=stage.damaged))
        facts = {"stage": stage.name, "victim": victim, "mode": mode, "when": when, "seconds": took}
        return {**facts, "code": started.code, "faults": faults, "resumed": False}

    def _send(self, started: Started, victim: str) -> bool:
        """Send the signal; return whether a process received it."""
        name, whom = victim.split()
        number = signal.Signals[f"SIG{name}"]
        try:
            if whom == "worker":
                os.kill(self._random.choice(workers(started.process)), number)
            elif whom == "group":
                os.killpg(started.process, number)
            else:
                os.kill(started.process, number)
        except (ProcessLookupError, IndexError):
            return False
        return True

    def _check_end(self, started: Started, victim: str, when: str, hit: bool, done: bool) -> list[str]:
        """Wait for the command, and check its exit code, its message, and that no process is left."""
        name, whom = victim.split()
        if started.wait(_LIMIT) is None:
            os.killpg(started.process, signal.SIGKILL)
            started.wait(5)
            return [f"hangs: still running {_LIMIT:.0f} s after the signal: {started.text()[-500:]}"]
        faults, text, code = [], started.text(), started.code
        expected = {int(done)}
        if hit and whom == "worker":
            expected.add(1)
        elif hit:
            expected.add(_EXIT_CODES[name])
            if when == "before":  # Python itself may not have begun.
                expected.add(-signal.Signals[f"SIG{name}"])
        if code not in expected:
            faults.append(f"exit code {code}, expected {sorted(expected)}: {text[-500:]}")
        if code == 1 and not done and "was killed (SIGKILL)" not in text:
            faults.append(f"the message does not say that a worker was killed: {text[-500:]}")
        if code in (130, 143) and "Interrupted" not in text and "Resume with" not in text:
            faults.append(f"no message: {text[-500:]}")
        if "Traceback" in text and not (when == "before" and code and code < 0):
            faults.append(f"traceback: {text[-1500:]}")
        if found := left(started.process, 5.0):
            faults.append(f"{len(found)} processes are left after 5 s")
            os.killpg(started.process, signal.SIGKILL)
        return faults

    def _resume(self, stage: Stage, folder: Path) -> list[str]:
        """Run the command again, and compare everything with an undisturbed run."""
        again = self._start(
            stage, folder, "fork, workers" if self._random.random() < 0.15 and stage.has_jobs else "fork"
        )
        if again.wait(_LIMIT) is None:
            os.killpg(again.process, signal.SIGKILL)
            again.wait(5)
            return [f"the resume hangs: {again.text()[-500:]}"]
        text = again.text()
        if again.code and not (again.code == 1 and stage.done and re.search(stage.done, text)):
            return [f"the resume ends with exit code {again.code}: {text[-1500:]}"]
        faults = self._ask(lambda: all_stages.end_faults(folder, self._expected))
        return faults + [f"not as undisturbed: {one}" for one in self._unequal(stage, folder)]

    def _unequal(self, stage: Stage, folder: Path) -> list[str]:
        """Return what differs from what the undisturbed command leaves, or its nearest repetition."""
        found = all_stages.contents(folder)
        return min((all_stages.differences(found, one) for one in self._references[stage.name]), key=len)

    def _ask(self, question: Callable[[], list[str]]) -> list[str]:
        """Ask in a fork, which has no memory of the files as they were."""
        output = self._base / "reader.txt"
        code, answer = answer_of(lambda: json.dumps(question()).encode(), self._base, output, _LIMIT)
        if code != 0:
            return [f"a reader ends with {'a hang' if code is None else code}: {output.read_text()[-1500:]}"]
        return json.loads(answer)


class _Watch:
    """Counts how often the files below a folder were seen to have changed."""

    def __init__(self, folder: Path):
        self._folder, self._state, self._changes = folder, _state(folder), 0

    def changes(self) -> int:
        """Look, and return the number of changes so far."""
        if (now := _state(self._folder)) != self._state:
            self._state = now
            self._changes += 1
        return self._changes


def _state(folder: Path) -> list[tuple[str, int, int]]:
    """Return names, sizes and times of all files below `folder`: it changes when the command writes something."""
    state, folders = [], [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    facts = entry.stat(follow_symlinks=False)
                    state.append((entry.path, facts.st_size, facts.st_mtime_ns))
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except FileNotFoundError:
            continue
    return sorted(state)
