"""How close the estimates of `augment plan` and `augment run` are to the actual time and bytes.

    python benchmarks/estimates.py            # two minutes

Runs the commands on sets of 10,000 and 40,000 images, and reads the log of each run.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import numpy as np

import checkout  # noqa: F401
from distorters.sample_images import sample_images
from glyphs import write_npz

_CASES = (
    # source, recipe, epochs, jobs, more options
    ("glyphs-10000", "kanji", 1, 1, ()),
    ("glyphs-10000", "kanji", 5, 2, ()),
    ("glyphs-10000", "kanji-strong", 5, 2, ()),
    ("glyphs-10000", "kanji", 2, 2, ("--engine", "pillow")),
    ("glyphs-40000", "kanji", 5, 2, ()),
    ("glyphs-40000", "kanji", 5, 2, ("--codec", "none")),
    ("photos-10000", "photo", 1, 2, ()),
)


@click.command()
@click.option("--rounds", default=2, help="Number of times that each case is run.")
def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="epochbank-bench-") as folder:
        here = Path(folder)
        for count in (10_000, 40_000):
            write_npz(here / f"glyphs-{count}.npz", count)
        photos = sample_images("photos", 500)[:, 80:144, 80:144]
        np.savez(here / "photos-10000.npz", images=np.tile(photos, (20, 1, 1, 1)), labels=np.arange(10_000) % 10)
        for source in {case[0] for case in _CASES}:
            _augment(here, "import", f"{source}.npz", f"{source}.h5")
        click.echo(f"{'images, recipe':44}{'plan':>9}{'run':>9}{'took':>9}{'run / took':>12}{'bytes':>9}")
        for round_ in range(rounds):
            for source, recipe, epochs, jobs, more in _CASES:
                arguments = [f"{source}.h5", "--recipe", recipe, "--epochs", str(epochs), "--jobs", str(jobs), *more]
                sets = f"sets-{source}-{round_}-{jobs}-{epochs}-{len(more)}"
                arguments += ["--seed", str(round_), "--sets", sets]
                planned = _seconds_of_generation(_augment(here, "plan", *arguments))
                path = _augment(here, "run", *arguments, "--print-path").strip()
                (run,) = json.loads(_augment(here, "info", path, "--json"))["runs"]
                estimate, took = run["estimate"], run["took"]
                click.echo(
                    f"{f'{source}, {recipe}, {epochs} epochs, {jobs} jobs ' + ' '.join(more):44}"
                    f"{planned:>8.2f}s{estimate['seconds']:>8.2f}s{took['seconds']:>8.2f}s"
                    f"{estimate['seconds'] / took['seconds']:>12.2f}{estimate['bytes'] / took['bytes']:>9.3f}"
                )


def _augment(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "epochbank.augment", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise click.ClickException(f"augment {' '.join(words)} failed:\n{done.stderr}")
    return done.stdout


def _seconds_of_generation(plan: str) -> float:
    """Parse the time of generation in the output of `augment plan`."""
    (text,) = re.findall(r"generation (.*)", plan)
    parts = [float(number) for number in re.findall(r"[\d.]+", text)]
    return parts[0] if len(parts) == 1 else 60 * parts[0] + parts[1]


if __name__ == "__main__":
    main()
