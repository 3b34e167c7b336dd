"""The utilization of NVIDIA GPUs while a block of code runs, measured by `nvidia-smi`."""

import shutil
import subprocess
import tempfile
from types import TracebackType
from typing import IO

_COMMAND = ["nvidia-smi", "--query-gpu=index,utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=100"]


class GpuLoad:
    """A context manager; afterwards `percent` is the mean utilization of the busiest GPU, or None without a GPU."""

    def __init__(self) -> None:
        self.percent: float | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[str]

    def __enter__(self) -> "GpuLoad":
        if shutil.which(_COMMAND[0]):
            self._output = tempfile.TemporaryFile("w+")
            self._process = subprocess.Popen(
                _COMMAND, stdout=self._output, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        self._process.terminate()
        self._process.wait()
        with self._output as output:
            output.seek(0)
            self.percent = mean_load(output.read())


def mean_load(output: str) -> float | None:
    """Return the mean utilization in percent of the busiest GPU, from lines `GPU, percent`; None if there are none."""
    loads: dict[str, list[float]] = {}
    for line in output.splitlines():
        gpu, _, percent = line.partition(",")
        if percent.strip().isdigit():
            loads.setdefault(gpu, []).append(float(percent))
    return max((sum(values) / len(values) for values in loads.values()), default=None)
