"""Compile, preload and control `failing_calls.c`."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

KINDS = (
    "open", "read", "write", "sync", "rename", "truncate", "mkdir", "unlink", "lock", "link", "close", "allocate",
    "stat", "list", "map", "times", "create",
)  # fmt: skip
"""Kinds of calls, in the order of `failing_calls.c`. `create` is an open that may create a file."""

ONCE, FROM_THERE, SHORT, STALL = range(4)
"""Modes: the n-th call fails; it and all later ones fail; it transfers half the bytes; it waits, then fails."""

_SOURCE = Path(__file__).with_name("failing_calls.c")


class NoCompiler(Exception):
    """There is no C compiler."""


def build(directory: Path) -> Path:
    """Compile the shim into `directory` and return the library. Raises `NoCompiler` if there is no C compiler."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoCompiler(
            "no C compiler found (cc, gcc, clang); expected one for failing_calls.c. Install one, or set CC."
        )
    library = directory / "failing_calls.so"
    words = [compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"]
    built = subprocess.run(words, capture_output=True, text=True, check=False)
    if built.returncode:
        raise NoCompiler(f"{compiler} could not compile {_SOURCE}: {built.stderr.strip()}")
    return library


class Shim:
    """The preloaded shim in this process; a forked process has its own copy."""

    def __init__(self) -> None:
        """Raises `AttributeError` if it is not preloaded."""
        self._library = ctypes.CDLL(None)
        self._library.fault_arm.argtypes = (
            ctypes.c_int, ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_double,
        )  # fmt: skip
        self._library.fault_last.restype = ctypes.c_char_p
        self._library.fault_hits.restype = self._library.fault_count.restype = ctypes.c_long

    def share(self, file: Path) -> None:
        """From now on, count no call of this process, but those of the programs that it starts, together in `file`."""
        if self._library.fault_share(os.fsencode(file)):
            raise OSError(f"{file} cannot be mapped")
        os.environ["EPOCHBANK_FAULTS"] = str(file)

    def watch(self, directory: Path) -> None:
        """Count only calls on paths in `directory`."""
        self._library.fault_directory(os.fsencode(directory))

    def arm(self, kinds: tuple[str, ...], number: int, code: int, mode: int = ONCE, seconds: float = 0) -> None:
        """Reset the counts; let call `number` (from 1) of `kinds` fail with the error `code`."""
        mask = sum(1 << KINDS.index(kind) for kind in kinds)
        self._library.fault_arm(mask, number, code, mode, seconds)

    def disarm(self) -> None:
        """Let no call fail; counts stay."""
        self._library.fault_disarm()

    def counts(self) -> dict[str, int]:
        """Return the number of calls of each kind since the last `arm`."""
        return {kind: self._library.fault_count(number) for number, kind in enumerate(KINDS)}

    def hits(self) -> int:
        """Return how many calls failed."""
        return self._library.fault_hits()

    def last(self) -> str:
        """Return the path of the first call that failed; '' for none."""
        return os.fsdecode(self._library.fault_last())
