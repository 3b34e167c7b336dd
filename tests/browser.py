"""Headless Chromium for tests of HTML pages. A test module imports the fixtures `browser` and `open_page`.

Chromium is that of the distribution (Debian: `apt install chromium`); Playwright drives it. Where one of them is
missing, the tests are skipped, unless the environment variable EPOCHBANK_REQUIRE_BROWSER is set.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_SECONDS = 60
"""Time limit of an action of a test, which is long on a machine that is busy."""

PHONE = {"width": 390, "height": 844}
"""Pixels of a phone."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A `playwright.sync_api.Browser`. It ends with the module, and its event loop with it."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        _skip("Chromium is not installed; on Debian: apt install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        _skip("Playwright is not installed: pip install playwright")
    with sync_playwright() as playwright:
        # As root, Chromium starts without its sandbox only, which is Playwright's default.
        running = playwright.chromium.launch(executable_path=path, timeout=1000 * _SECONDS)
        yield running
        running.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """A function that opens an HTML file in a window of its own, and returns the `playwright.sync_api.Page`.

    Its parameters are the path and options of `Browser.new_context`, such as `viewport=PHONE` and
    `color_scheme="dark"`. At the end, the test fails if a page wrote to the console, if a script raised an error, or if
    a page requested anything except its own file.
    """
    contexts, faults = [], []

    def open_file(path: Path, **options: Any) -> Any:
        url = path.resolve().as_uri()
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        contexts.append(context)
        context.set_default_timeout(1000 * _SECONDS)
        page = context.new_page()

        def requested(request: Any) -> None:
            if request.url.split("#")[0] != url and not request.url.startswith("data:"):
                faults.append(f"request of {request.url}")

        page.on("console", lambda message: faults.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("request", requested)
        page.goto(url)
        return page

    yield open_file
    for context in contexts:
        context.close()
    if faults:
        pytest.fail("\n".join(faults))


def scrolls_sideways(page: Any) -> bool:
    """Return whether the page as a whole is wider than its window."""
    root = "document.documentElement"
    return page.evaluate(f"{root}.scrollWidth > {root}.clientWidth")


def controls_without_names(page: Any) -> list[str]:
    """Return the HTML of each button, link, field and image that a screen reader can only call by its kind."""
    return page.evaluate("""() => {
      const named = (element) => element.getAttribute("aria-label") || element.textContent.trim() || element.alt
        || element.labels?.length || document.getElementById(element.getAttribute("aria-labelledby"));
      // An image with an empty text is a decoration.
      const kinds = "button, a, input, select, summary, img:not([alt]), [role=button], [role=img]";
      return [...document.querySelectorAll(kinds)]
        .filter((element) => !named(element) && element.closest("[aria-hidden=true]") === null
          && !element.parentElement.closest("[role=img]"))
        .map((element) => element.outerHTML.slice(0, 200));
    }""")


def _skip(reason: str) -> None:
    if os.environ.get("EPOCHBANK_REQUIRE_BROWSER"):
        pytest.fail(f"EPOCHBANK_REQUIRE_BROWSER is set, but {reason}")
    pytest.skip(reason)
