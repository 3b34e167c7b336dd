"""Take the screenshots of reports in the documentation, with `python docs/make_screenshots.py` or `make docs`.

A set of handwritten digits is generated, and a model is trained on it for a minute. docs/report-set.png is the
beginning of the set's report, docs/report-run.png the confusions and the worst mistakes of the run. Needs Chromium, and
Playwright of the extra `dev`.
"""

import io
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

import epochbank

_HERE = Path(__file__).parent
_WIDTH = 1000
"""Width of the window, in pixels."""


def reports(folder: Path) -> tuple[Path, Path]:
    """Generate a set, train on it, and return the paths of both reports."""
    stored_set = epochbank.generate("digits", "handwriting", epochs=5, sets=folder / "sets", test=0.4)
    epochbank.fit(stored_set, run=folder / "run", epochs=3)
    written = epochbank.report(stored_set, folder / "set.html")
    return written.path, folder / "run/report.html"


def save(page: Page, report: Path, first: str, last: str, out: Path) -> None:
    """Save the part of `report` from the top of the element `first` to the top of `last`, both CSS selectors."""
    page.goto(report.as_uri())
    page.wait_for_timeout(1000)
    top, bottom = (page.locator(one).first.evaluate("one => one.getBoundingClientRect().top") for one in (first, last))
    part = {"x": 0, "y": top, "width": _WIDTH, "height": bottom - top - 16}
    image = Image.open(io.BytesIO(page.screenshot(full_page=True, clip=part)))
    image.convert("RGB").quantize(128).save(out, optimize=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        of_set, of_run = reports(Path(folder))
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page(viewport={"width": _WIDTH, "height": 900})
        save(page, of_set, "body", "#class-order", _HERE / "report-set.png")
        save(page, of_run, "#confusions", "#classes", _HERE / "report-run.png")
        browser.close()
