"""How busy NVIDIA GPUs are while something runs, as their driver says."""

import shutil
import subprocess
from types import TracebackType

_COMMAND = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=100"]


class GpuLoad:
    """A context manager; afterwards `percent` is the mean load of the busiest GPU, None where there is none."""

    def __init__(self) -> None:
        self.percent: float | None = None
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "GpuLoad":
        if shutil.which(_COMMAND[0]):
            self._process = subprocess.Popen(
                _COMMAND, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        self._process.terminate()
        said, _ = self._process.communicate()
        self.percent = mean_load(said, _gpus())


def _gpus() -> int:
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=False)
    return len(listed.stdout.splitlines())


def mean_load(said: str, gpus: int) -> float | None:
    """Of the lines that the driver's tool prints, one for each of `gpus` in turn: the mean of the busiest one."""
    loads = [float(line) for line in said.splitlines() if line.strip().isdigit()]
    if not gpus or not loads:
        return None
    return max(sum(loads[gpu::gpus]) / len(loads[gpu::gpus]) for gpu in range(min(gpus, len(loads))))
