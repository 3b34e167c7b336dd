"""How busy NVIDIA GPUs are while something runs, as their driver says."""

import shutil
import subprocess
import tempfile
from types import TracebackType
from typing import IO

_COMMAND = ["nvidia-smi", "--query-gpu=index,utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=100"]


class GpuLoad:
    """A context manager; afterwards `percent` is the mean load of the busiest GPU, None where there is none."""

    def __init__(self) -> None:
        self.percent: float | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[str]

    def __enter__(self) -> "GpuLoad":
        if shutil.which(_COMMAND[0]):
            self._said = tempfile.TemporaryFile("w+")
            self._process = subprocess.Popen(
                _COMMAND, stdout=self._said, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        self._process.terminate()
        self._process.wait()
        with self._said as said:
            said.seek(0)
            self.percent = mean_load(said.read())


def mean_load(said: str) -> float | None:
    """Of the lines that the driver's tool prints, `GPU, percent`, the mean of the busiest GPU."""
    loads: dict[str, list[float]] = {}
    for line in said.splitlines():
        gpu, _, percent = line.partition(",")
        if percent.strip().isdigit():
            loads.setdefault(gpu, []).append(float(percent))
    return max((sum(of_one) / len(of_one) for of_one in loads.values()), default=None)
