"""Peak memory of import, generation and streaming with 20,000 and with 200,000 images of 64 x 64.

    python benchmarks/memory.py              # a few minutes, and 3 GB of temporary disk

Runs the commands as a user does, on two cores, and samples the resident memory of each of their processes every 20 ms.
The table shows anonymous memory. Pages of mapped files are listed separately: the system can drop them at any time.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

import checkout  # noqa: F401
from glyphs import write_npz

_FIELDS = ("RssAnon", "RssFile")


@click.command()
@click.option("--images", default="20000,200000", help="Numbers of images, separated by commas.")
def main(images: str) -> None:
    counts = [int(count) for count in images.split(",")]
    peaks = [_measure(count) for count in counts]
    click.echo(f"\n{'peak anonymous memory of one process, MB':42}" + "".join(f"{count:>12,}" for count in counts))
    for name in peaks[0]:
        row = [peak[name] for peak in peaks]
        cells = "".join(f"{anonymous:>12.0f}" for anonymous, _ in row)
        mapped = " / ".join(f"{shared:.0f}" for _, shared in row)
        click.echo(f"{name:42}{cells}   {row[-1][0] / row[0][0]:.3f} times   (mapped files: {mapped})")


def _measure(count: int) -> dict[str, tuple[float, float]]:
    """Return the peak (anonymous, file-backed) memory in MB of each step, for the main process and for workers."""
    with tempfile.TemporaryDirectory(prefix="epochbank-bench-") as folder:
        write_npz(Path(folder) / "glyphs.npz", count)
        augment = [sys.executable, "-m", "epochbank.augment"]
        train = [sys.executable, "-m", "epochbank.train"]
        steps = {
            "import": [*augment, "import", "glyphs.npz", "glyphs.h5", "--jobs", "2"],
            "generation": [*augment, "run", "glyphs.h5", "--epochs", "1", "--jobs", "2"],
            "streaming": [*train, "bench", "--seconds", "5", "--threads", "2"],
        }
        peaks = {}
        for name, command in steps.items():
            first, workers = peak_memory(command, folder)
            peaks[f"{name}, main process"] = first
            if workers is not None:
                peaks[f"{name}, largest worker"] = workers
        return peaks


def peak_memory(command: list[str], folder: str) -> tuple[tuple[float, float], tuple[float, float] | None]:
    """Run a command; return the peak (anonymous, file-backed) memory in MB of its main process and largest worker."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peaks: dict[int, list[float]] = {}
    while process.poll() is None:
        for pid in [process.pid, *_descendants(process.pid)]:
            now = _memory(pid)
            peaks[pid] = [max(pair) for pair in zip(peaks.get(pid, [0, 0]), now, strict=True)]
        time.sleep(0.02)
    assert process.stderr is not None
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{process.stderr.read().decode()}")
    main_peak = peaks.pop(process.pid)
    worker = max(peaks.values(), default=None)
    return (main_peak[0], main_peak[1]), None if worker is None else (worker[0], worker[1])


def _descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in task.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *_descendants(child)]
    return found


def _memory(pid: int) -> list[float]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return [0.0, 0.0]
    values = dict(line.split(":", 1) for line in lines)
    return [int(values.get(field, "0 kB").split()[0]) / 1024 for field in _FIELDS]


if __name__ == "__main__":
    main()
