"""Run the scripts of this directory, and the commands of epochbank, as benchmarks do."""

import subprocess
import sys
from pathlib import Path

import click

HERE = Path(__file__).resolve().parent


def run(*words: str) -> str:
    """Run `python WORDS` in this directory; return its output. Raises `click.ClickException` if it fails."""
    command = [sys.executable, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE)
    if done.returncode:
        raise click.ClickException(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def import_glyphs(folder: Path, num_images: int) -> Path:
    """Return the source file of gray glyphs of 64 x 64, imported into `folder`."""
    from glyphs import write_npz

    source = folder / "glyphs.h5"
    write_npz(folder / "glyphs.npz", num_images)
    run("-m", "epochbank.augment", "import", str(folder / "glyphs.npz"), str(source))
    return source
