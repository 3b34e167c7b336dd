"""How long the commands take to print their help and to list sets, and how long `import epochbank` takes.

    python benchmarks/startup.py              # a few seconds

Each row is the median of 20 processes, started in rotation. The import time is the difference from an empty
Python process.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

import click

import checkout  # noqa: F401

_BIN = Path(sys.executable).parent
_COMMANDS = {
    "augment --help": [str(_BIN / "augment"), "--help"],
    "train --help": [str(_BIN / "train"), "--help"],
    "augment list": [str(_BIN / "augment"), "list"],
    "python -c pass": [sys.executable, "-c", "pass"],
    "python -c 'import epochbank'": [sys.executable, "-c", "import epochbank"],
}


@click.command()
@click.option("--rounds", default=20, help="Number of times that each command is run.")
def main(rounds: int) -> None:
    for command in _COMMANDS.values():
        _seconds(command)  # Fills the caches of Python and of the system.
    measured: dict[str, list[float]] = {name: [] for name in _COMMANDS}
    for _ in range(rounds):
        for name, command in _COMMANDS.items():
            measured[name].append(_seconds(command))
    medians = {name: statistics.median(seconds) for name, seconds in measured.items()}
    for name, seconds in medians.items():
        click.echo(f"{name:30}{1000 * seconds:8.1f} ms")
    imported = medians["python -c 'import epochbank'"] - medians["python -c pass"]
    click.echo(f"{'import epochbank':30}{1000 * imported:8.1f} ms")


def _seconds(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
