"""Start commands in separate sessions, find their worker processes, end them, and wait for them.

A command is either a program, `python -m epochbank.augment`, or a fork of this process, which has imported the package
already and so begins to work at once. Linux only.
"""

import contextlib
import importlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = {"augment": "epochbank.augment", "train": "epochbank.train"}


@dataclass
class Started:
    """A command that was started. `process` leads its session and its process group."""

    process: int
    output: Path
    """What it prints, standard output and error."""
    code: int | None = None
    """Exit code; negative for a signal; None while it runs."""

    def __post_init__(self) -> None:
        self._descriptor = os.pidfd_open(self.process)

    def wait(self, seconds: float) -> int | None:
        """Wait up to `seconds` for the end of the command; return its exit code, None if it still runs."""
        if self.code is None and select.select([self._descriptor], [], [], max(0.0, seconds))[0]:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
            os.close(self._descriptor)
        return self.code

    def text(self) -> str:
        """Return what the command has printed."""
        return self.output.read_text(errors="replace")


def start(program: str, words: Sequence[str], folder: Path, output: Path, *, forked: bool) -> Started:
    """Start `augment` or `train` with `words` in the working directory `folder`; it prints to `output`."""
    if not forked:
        with open(output, "wb") as file:
            child = subprocess.Popen(
                [sys.executable, "-m", PROGRAMS[program], *words], cwd=folder, stdin=subprocess.DEVNULL, stdout=file,
                stderr=file, start_new_session=True,
            )  # fmt: skip
        child.returncode = 0  # `Started` waits for it.
        return Started(child.pid, output)
    process = os.fork()
    if process:
        return Started(process, output)
    _become(folder, output)
    sys.argv = [program, *words]
    _end(lambda: importlib.import_module(f"{PROGRAMS[program]}.cli").main(list(words)))


def answer_of(function: Callable[[], bytes], folder: Path, output: Path, seconds: float) -> tuple[int | None, bytes]:
    """Call `function` in a fork; return its exit code (None if it exceeds `seconds` and is killed) and its answer."""
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        os.close(reading)
        _become(folder, output)
        _end(lambda: os.write(writing, function()) and None)
    os.close(writing)
    started, answer, end = Started(process, output), bytearray(), time.monotonic() + seconds
    with open(reading, "rb", buffering=0) as pipe:
        while select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0] and (part := pipe.read(1 << 16)):
            answer += part
    if started.wait(end - time.monotonic()) is None:
        os.killpg(process, signal.SIGKILL)
        started.wait(5)
        return None, bytes(answer)
    return started.code, bytes(answer)


def _become(folder: Path, output: Path) -> None:
    """Make this fork a command, with a new session, and a separate working directory and streams."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.chdir(folder)
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (descriptor, 1), (descriptor, 2)):
        os.dup2(source, target)


def _end(work: Callable[[], None]) -> None:
    """Do the work of a fork, and end it without the handlers that the parent registered for its own end."""
    code = 1
    try:
        work()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def session(leader: int) -> list[int]:
    """Return the living processes of the session that `leader` leads or led."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = stat.read_text().rpartition(")")[2].split()
            if fields[0] not in "ZX" and int(fields[3]) == leader:
                found.append(int(stat.parent.name))
    return found


def workers(leader: int) -> list[int]:
    """Return the worker processes of the command `leader`, without joblib's resource tracker."""
    found = []
    for process in session(leader):
        with contextlib.suppress(OSError):
            if b"popen_loky_posix" in Path(f"/proc/{process}/cmdline").read_bytes():
                found.append(process)
    return found


def left(leader: int, seconds: float) -> list[int]:
    """Return the processes of the session that still live after `seconds`; return early if there are none."""
    end = time.monotonic() + seconds
    while (found := session(leader)) and time.monotonic() < end:
        time.sleep(0.02)
    return found
