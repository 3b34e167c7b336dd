"""Runs functions of epochbank in processes of their own, forked from one that has imported everything and is warm.

Each command is a real process, which can be killed at any operation on files, and takes milliseconds to start. The
server reads one JSON request a line from standard input, and answers one a line.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link"}
"""Audit events that change files. An `open` for writing counts as well, and `fsync`, which is no audit event."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    killed: bool
    value: Any = None
    error: str = ""
    """Message of its `EpochbankError`."""
    trace: str = ""
    """Traceback of another exception."""

    @property
    def done(self) -> bool:
        """Whether the command ended without any error."""
        return not (self.killed or self.error or self.trace)


class CommandServer:
    """Starts commands; a context manager."""

    def __enter__(self) -> "CommandServer":
        self._process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._results = tempfile.TemporaryDirectory()
        self._started = 0
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(10)
        self._results.cleanup()

    def start(self, name: str, *arguments: Any, kill_at: int | None = None, **keywords: Any) -> Callable[[], Outcome]:
        """Start a function of `epochbank`; call the result to wait for its end.

        `kill_at` kills the process (SIGKILL) before its operation of this number that changes files.
        """
        self._started += 1
        result = Path(self._results.name) / str(self._started)
        words = {"name": name, "arguments": arguments, "keywords": keywords, "kill_at": kill_at, "result": str(result)}
        process = self._ask(words)

        def wait() -> Outcome:
            status = self._ask({"wait": process})
            if os.WIFSIGNALED(status):
                return Outcome(killed=True)
            return Outcome(killed=False, **json.loads(result.read_text()))

        return wait

    def call(self, name: str, *arguments: Any, kill_at: int | None = None, **keywords: Any) -> Outcome:
        """Run a function of `epochbank` to its end."""
        return self.start(name, *arguments, kill_at=kill_at, **keywords)()

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request, default=str).encode() + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def _serve() -> None:
    import numpy as np

    import epochbank

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory() as warm:  # Loads what is imported or compiled on first use.
        images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8)
        np.savez(f"{warm}/a.npz", images=images, labels=np.arange(20) % 2)
        stored = epochbank.generate(f"{warm}/a.npz", epochs=1, sets=f"{warm}/sets", jobs=1)
        epochbank.verify(stored.path, jobs=1)
        epochbank.repair(stored.path, jobs=1)
        del stored
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer = os.waitpid(request["wait"], 0)[1]
        else:
            answer = os.fork()
            if not answer:
                _run(request)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _run(request: dict[str, Any]) -> None:
    """Run a command in this process, which was forked for it, and end it."""
    import epochbank
    from epochbank.api import generation

    result: dict[str, Any] = {}
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    try:
        if request["kill_at"] is not None:
            _kill_at(request["kill_at"])
        function = generation.run if request["name"] == "run" else getattr(epochbank, request["name"])
        value = function(*request["arguments"], **request["keywords"])
        result["value"] = [str(one) for one in value] if isinstance(value, list) else repr(value)
    except epochbank.EpochbankError as error:
        result["error"] = str(error)
    except BaseException:
        result["trace"] = traceback.format_exc()
    finally:
        Path(request["result"]).write_text(json.dumps(result))
        os._exit(0)


def _kill_at(number: int) -> None:
    """Kill this process before its operation `number` that changes files."""
    left = number

    def count(event: str, arguments: Any) -> None:
        nonlocal left
        if event in _EVENTS or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    fsync = os.fsync

    def counted_fsync(descriptor: int) -> None:
        count("os.rename", ())
        fsync(descriptor)

    os.fsync = counted_fsync  # No audit event.
    sys.addaudithook(count)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        _serve()
