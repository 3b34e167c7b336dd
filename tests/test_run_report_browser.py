"""The report of a run and the comparison of runs in a browser: mouse, keyboard, phone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import epochbank
from browser import PHONE, browser, controls_without_names, open_page, scrolls_sideways  # noqa: F401
from conftest import glyphs
from epochbank.train.training.run_report.page import write_run_report
from finished_run import finished_run

CLASSES = 3000


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run with 3,000 classes, long names, and a mistake in every twentieth image."""
    labels = (np.arange(2 * CLASSES) % CLASSES).astype(np.int32)
    predicted = labels.copy()
    predicted[::20] = (labels[::20] + 1) % CLASSES
    predicted[[0, CLASSES]] = 1
    names = [f"Alphabet_{label // 40:02}/character{label % 40:02}" for label in range(CLASSES)]
    names[:2] = ["亜", "<i>唖</i>"]
    run = finished_run(
        tmp_path_factory.mktemp("runs") / "many", names, labels, predicted, np.resize(glyphs(50), (6000, 20, 16, 1))
    )
    return write_run_report(run)


def test_a_cell_shows_its_images(report: Path, open_page: Callable[..., Any]) -> None:  # noqa: F811
    """By mouse and by keyboard; the arrow keys move to the next cell."""
    page = open_page(report)
    cell = page.get_by_role("button", name="亜 classified as <i>唖</i>: 2")
    cell.click()
    assert page.locator("#pair-status").inner_text() == "2 x 亜 classified as <i>唖</i>"
    assert page.locator("#pair-images img").count() == 2
    assert (
        page.locator("#pair-images img").first.evaluate("image => image.decode().then(() => image.naturalWidth)") == 16
    )
    assert cell.get_attribute("aria-pressed") == "true"
    page.locator(".matrix button").last.focus()
    before = page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    after = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert before != after
    assert page.locator("#pair-status").inner_text().split(" x ")[1].startswith(after.split(":")[0])
    assert page.locator(".matrix button[aria-pressed=true]").count() == 1
    for key in ("ArrowRight", "ArrowDown"):
        page.locator(".matrix button").first.focus()
        seen = set()
        for _ in range(page.locator(".matrix button").count()):
            seen.add(page.evaluate("document.activeElement.getAttribute('aria-label')"))
            page.keyboard.press(key)
        assert len(seen) == page.locator(".matrix button").count(), key


def test_classes_are_sorted_searched_and_shown(report: Path, open_page: Callable[..., Any]) -> None:  # noqa: F811
    """Twenty rows at first, the worst class on top; all on demand; a mistake of the table leads to its images."""
    page = open_page(report)
    table = page.locator("#class-table")
    assert table.locator("tbody tr").count() == 20
    assert table.locator("tbody tr").first.inner_text().split("\t")[:4] == ["亜", "2", "0", "0.0 %"]
    table.get_by_role("button", name="accuracy").press("Enter")
    assert table.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    assert "100.0 %" in table.locator("tbody tr").first.inner_text()
    table.get_by_role("searchbox").fill("alphabet_74/character3")
    assert table.locator("tbody tr").count() == 10
    table.get_by_role("searchbox").fill("")
    table.get_by_role("button", name="Show all 3,000").click()
    assert table.locator("tbody tr").count() == CLASSES
    table.get_by_role("button", name="Show images of 亜 classified as").click()
    assert page.locator("#pair-images img").count() == 2


def test_the_worst_mistakes_have_their_probabilities(report: Path, open_page: Callable[..., Any]) -> None:  # noqa: F811
    page = open_page(report)
    cards = page.locator("#worst > li")
    assert cards.count() == 12
    assert "亜" in cards.first.inner_text()
    assert cards.first.locator("ol li").count() == 5
    page.get_by_role("button", name="Show 12 more of 36").click()
    assert cards.count() == 24


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_is_readable_on_a_phone(report: Path, open_page: Callable[..., Any], scheme: str) -> None:  # noqa: F811
    """The body does not scroll sideways, every control has a name, and the text differs from the background."""
    page = open_page(report, viewport=PHONE, color_scheme=scheme)
    page.locator(".matrix button").first.click()
    page.locator("#pair-images .tip").first.focus()
    assert not scrolls_sideways(page)
    assert not controls_without_names(page)
    body = page.evaluate("(({color, backgroundColor}) => [color, backgroundColor])(getComputedStyle(document.body))")
    light = [sum(map(int, one[4:-1].split(","))) > 380 for one in body]
    assert light == [scheme == "dark", scheme == "light"]


def test_a_comparison_shows_the_classes_of_each_run(tmp_path: Path, open_page: Callable[..., Any]) -> None:  # noqa: F811
    """The list chooses the run; tables are sorted; the page is readable on a phone."""
    names, labels = ["亜", "唖", "c"], (np.arange(60) % 3).astype(np.int32)
    runs = []
    for name, wrong in (("first", [0, 1]), ("second", [1]), ("third", [0, 3, 6])):
        predicted = labels.copy()
        predicted[wrong] = 2
        runs.append(finished_run(tmp_path / name, names, labels, predicted, seed=len(runs)))
    epochbank.compare(runs, tmp_path / "compared.html")
    page = open_page(tmp_path / "compared.html", viewport=PHONE)
    rows = page.locator("#change-table tbody tr")
    assert [row.split("\t")[:5] for row in rows.all_inner_texts()] == [["亜", "20", "19", "20", "+1"]]
    page.get_by_label("Compare").select_option(label="third with first")
    assert "third" in page.locator("#change-status").inner_text()
    assert [row.split("\t")[0] for row in rows.all_inner_texts()] == ["亜", "唖"]
    results = page.locator("table.sortable").first
    results.get_by_role("button", name="test accuracy").press("Enter")
    assert [row.split("\t")[0] for row in results.locator("tbody tr").all_inner_texts()] == ["third", "first", "second"]
    assert not scrolls_sideways(page)
    assert not controls_without_names(page)
