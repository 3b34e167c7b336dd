"""Time, memory and size of the report on a set with 3,000 classes and 600,000 images, and when a browser can use it.

    python benchmarks/set_report.py       # some minutes, and 7 GB of temporary disk

The images are random strokes; the classes have kanji as names, and 36 to 415 images each. Each report is written in a
new process, and its time includes the start of Python. The page is interactive when its bars react and Chromium has
drawn them: from the start of the navigation to the second frame after a bar has become a button. All images are there
at the second frame after the event `load`. A click on a bar is measured from the event to the second frame after it.
Needs Chromium, and Playwright of the extra `dev`.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import checkout  # noqa: F401
from glyphs import blocks_of_glyphs

_FIRST_KANJI = 0x4E00
_UNEVEN = (50, 350)
"""Expected images of the smallest and of the largest class, if the mean is 200."""
_GROUP = 1000
"""Images of a group."""
_FRAMES = """(done) => requestAnimationFrame(() => requestAnimationFrame(done))"""
_WATCH = f"""new MutationObserver(() => {{
  if (window.interactive === undefined && document.querySelector("svg [role=button][aria-pressed]")) {{
    window.interactive = null;
    new Promise({_FRAMES}).then(() => {{ window.interactive = performance.now(); }});
  }}
}}).observe(document, {{ attributes: true, childList: true, subtree: true }})"""
_COMPLETE = f"() => new Promise({_FRAMES}).then(() => performance.now())"
_CLICK = f"""async () => {{
  const bar = document.querySelector("svg [role=button]"), start = performance.now();
  bar.dispatchEvent(new MouseEvent("click", {{ bubbles: true }}));
  await new Promise({_FRAMES});
  return performance.now() - start;
}}"""


@click.command(help=__doc__)
@click.option("--images", "num_images", default=600_000, show_default=True, help="Images of the source.")
@click.option("--classes", default=3000, show_default=True, help="Number of classes.")
@click.option("--side", default=64, show_default=True, help="Height and width of an image, in pixels.")
@click.option("--epochs", default=2, show_default=True, help="Stored epochs.")
@click.option("--rounds", default=3, show_default=True, help="Reports that are written, and pages that are opened.")
@click.option("--set", "given", type=click.Path(path_type=Path, exists=True), help="A set to report on instead.")
def main(num_images: int, classes: int, side: int, epochs: int, rounds: int, given: Path | None) -> None:
    with tempfile.TemporaryDirectory(prefix="epochbank-bench-") as folder:
        directory = given or make_set(Path(folder), num_images, classes, side, epochs)
        page = Path(folder) / "report.html"
        measured = [_write(directory, page) for _ in range(rounds)]
        click.echo(f"{'':32}{'median':>10}{'largest':>10}")
        for name, column in (("report, s", 0), ("CPU, s", 1), ("memory, MB", 2)):
            _row(name, [one[column] for one in measured])
        _row("page, MB", [page.stat().st_size / 1e6])
        for name, values in _opened(page, rounds).items():
            _row(name, values)


def _row(name: str, values: list[float]) -> None:
    click.echo(f"{name:32}{statistics.median(values):>10.2f}{max(values):>10.2f}")


def make_set(folder: Path, num_images: int, classes: int, side: int, epochs: int) -> Path:
    """Return a set of random strokes that is generated in `folder`."""
    import h5py
    import numpy as np

    rng = np.random.default_rng(0)
    weights = rng.uniform(*_UNEVEN, classes)
    source = folder / "strokes.h5"
    with h5py.File(source, "w") as file:
        images, start = file.create_dataset("images", (num_images, side, side), np.uint8), 0
        for block in blocks_of_glyphs(num_images, side):
            images[start : start + len(block)] = block
            start += len(block)
        file["labels"] = rng.choice(classes, num_images, p=weights / weights.sum()).astype(np.int32)
        file["groups"] = np.arange(num_images) // _GROUP
        file["class_names"] = [chr(_FIRST_KANJI + label) for label in range(classes)]
    words = ["run", source, "--epochs", epochs, "--recipe", "handwriting", "--sets", folder / "sets", "--print-path"]
    command = [sys.executable, "-m", "epochbank.augment", *map(str, words)]
    return Path(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip())


def _write(directory: Path, page: Path) -> tuple[float, float, float]:
    """Write the report; return seconds, seconds of CPU, and the peak of the memory in MB."""
    words = ["-m", "epochbank.augment", "report", directory, "--out", page]
    begun = time.perf_counter()
    with subprocess.Popen([sys.executable, *map(str, words)], stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise click.ClickException("augment report failed")
    return time.perf_counter() - begun, used.ru_utime + used.ru_stime, _megabytes(used)


def _megabytes(used: resource.struct_rusage) -> float:
    return used.ru_maxrss / 1024


def _opened(page: Path, rounds: int) -> dict[str, list[float]]:
    """Open the page in new windows; return seconds by name."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    found: dict[str, list[float]] = {"interactive after, s": [], "all images after, s": [], "a bar filters in, s": []}
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path)
        for number in range(rounds + 1):
            window = chromium.new_page(viewport={"width": 1280, "height": 900})
            window.add_init_script(_WATCH)
            window.goto(page.as_uri())
            complete = _seconds(window, _COMPLETE)
            measured = _seconds(window, "window.interactive"), complete, _seconds(window, _CLICK)
            if number:  # The first window waits for the start of Chromium's processes.
                for values, one in zip(found.values(), measured, strict=True):
                    values.append(one)
            window.close()
        chromium.close()
    return found


def _seconds(window: Any, script: str) -> float:
    evaluate: Callable[[str], float] = window.evaluate
    return evaluate(script) / 1000


if __name__ == "__main__":
    main()
