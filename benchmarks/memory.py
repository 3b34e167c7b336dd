"""Peak memory of import, generation and streaming at 20,000 and at 200,000 pictures of 64 x 64.

    python benchmarks/memory.py              # some minutes, and 3 GB of temporary disk

The commands run as a user runs them, on two cores; every 20 ms the resident memory of each of their
processes is looked at. Anonymous memory is what counts: pages of files that the system may drop at
any moment are shown beside it.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from glyphs import write_npz

_FIELDS = ("RssAnon", "RssFile")


@click.command()
@click.option("--images", default="20000,200000", help="Numbers of pictures, with commas between.")
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
    """Peak (anonymous, file-backed) memory in MB of each step, by name, main process and workers apart."""
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
            first, workers = watch(command, folder)
            peaks[f"{name}, main process"] = first
            if workers is not None:
                peaks[f"{name}, largest worker"] = workers
        return peaks


def watch(command: list[str], folder: str) -> tuple[tuple[float, float], tuple[float, float] | None]:
    """Run a command; peak (anonymous, file-backed) memory in MB of its first process and of the largest other one."""
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
