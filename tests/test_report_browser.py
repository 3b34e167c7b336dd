"""The reports on a set and on a source in headless Chromium: filters, keyboard, themes, width, accessible names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import epochbank
from browser import PHONE, browser, controls_without_names, open_page, scrolls_sideways  # noqa: F401  fixtures
from conftest import glyphs

ATTACK = "<img src=x onerror=alert(1)>"
KANJI = ["一", "丁", "七", "万", "丈", "三", "上", "下", "不", ATTACK]
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`set.html` and `source.html` of ten classes, and `many.html` of 70 classes, of 1 to 10 images each."""
    folder = tmp_path_factory.mktemp("reports")
    images, labels = glyphs(120), np.minimum(np.arange(120) % 12, 9)
    images[3], images[24] = images[60], 200
    np.savez(folder / "few.npz", images=images, labels=labels, class_names=np.array(KANJI), groups=np.arange(120) // 6)
    counts = np.arange(70) % 10 + 1
    np.savez(folder / "many.npz", images=glyphs(counts.sum(), seed=1), labels=np.repeat(np.arange(70), counts))
    epochbank.inspect(folder / "few.npz", folder / "inspected", html=folder / "source.html", jobs=1)
    for name, out in (("few", "set"), ("many", "many")):
        made = epochbank.generate(folder / f"{name}.npz", epochs=2, sets=folder / name, jobs=1, validation=0, test=0)
        assert not epochbank.report(made, folder / f"{out}.html").faults
    return folder


def names(page: Any) -> list[str]:
    return page.locator("#class-list h3").all_text_contents()


@pytest.mark.parametrize("name", ["set.html", "source.html"])
def test_a_bar_filters_the_classes(folder: Path, open_page: Open, name: str) -> None:  # noqa: F811
    """Click it, and only its class is shown; click it again, and all are."""
    page = open_page(folder / name)
    assert names(page) == KANJI
    bar = page.get_by_role("button", name="三: 10 images")
    bar.click()
    assert names(page) == ["三"]
    assert bar.get_attribute("aria-pressed") == "true"
    assert page.locator("#class-status").inner_text() == "1 of 10 classes"
    assert page.locator("#class-list img").evaluate_all("all => all.every((one) => one.complete && one.naturalWidth)")
    bar.click()
    assert names(page) == KANJI


def test_a_bar_of_many_classes_filters_by_size(folder: Path, open_page: Open) -> None:  # noqa: F811
    """70 classes with 1 to 10 images: the bar of 7 images stands for seven classes."""
    page = open_page(folder / "many.html")
    assert len(names(page)) == 60
    page.get_by_role("button", name="Show 10 more of 10 classes").click()
    assert len(names(page)) == 70
    page.get_by_role("button", name="7 classes with 7 images").click()
    assert names(page) == [str(number) for number in range(6, 70, 10)]
    page.get_by_label("Class", exact=True).fill("1")
    assert names(page) == ["16"]
    page.get_by_role("button", name="Show all").click()
    page.get_by_label("Order").select_option("most")
    assert names(page)[:7] == [str(number) for number in range(9, 70, 10)]


def test_keyboard(folder: Path, open_page: Open) -> None:  # noqa: F811
    """Tab goes from the skip link over the bars to the images; Enter presses; Escape closes a tooltip."""
    page = open_page(folder / "set.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    focused = "document.activeElement.getAttribute('aria-label')"
    for _ in range(200):
        page.keyboard.press("Tab")
        if page.evaluate(focused) == "丁: 10 images":
            break
    page.keyboard.press("Enter")
    assert names(page) == ["丁"]
    page.keyboard.press("Space")
    assert names(page) == KANJI
    distorted = page.get_by_role("img", name="一, distorted").first
    distorted.focus()
    tooltip = distorted.get_by_role("tooltip")
    assert tooltip.is_visible()
    assert "epoch" in tooltip.inner_text()
    page.keyboard.press("Escape")
    assert not tooltip.is_visible()


def test_screen_readers_get_the_parameters(folder: Path, open_page: Open) -> None:  # noqa: F811
    """The accessible description of a distorted image is what was drawn for it."""
    page = open_page(folder / "set.html")
    described = page.locator(".tip[aria-describedby]")
    texts = described.evaluate_all(
        "all => all.map((one) => document.getElementById(one.getAttribute('aria-describedby')).textContent)"
    )
    assert len(texts) > 100
    assert all(texts)
    assert any("rotate" in text for text in texts)


@pytest.mark.parametrize("name", ["set.html", "many.html", "source.html"])
def test_phone(folder: Path, open_page: Open, name: str) -> None:  # noqa: F811
    """The page is as wide as the window, also while a tooltip at its right edge is open; all controls have names."""
    page = open_page(folder / name, viewport=PHONE)
    assert not scrolls_sideways(page)
    assert controls_without_names(page) == []
    for number in (3, 4, 5):
        page.locator(".tip").nth(number).focus()
        assert not scrolls_sideways(page)


def test_theme(folder: Path, open_page: Open) -> None:  # noqa: F811
    """The system decides, until the button is pressed; text, page and bars change together."""
    page = open_page(folder / "set.html", color_scheme="dark")
    colors = """() => ["body", "svg text", "svg path[style*=blue]"].map((one) => document.querySelector(one))
        .map((one, number) => getComputedStyle(one)[number ? "fill" : "backgroundColor"])"""
    dark = page.evaluate(colors)
    button = page.get_by_role("button", name="Color theme")
    button.click()
    assert button.inner_text() == "theme: light"
    light = page.evaluate(colors)
    assert all(one != other for one, other in zip(dark, light, strict=True))
    button.click()
    assert page.evaluate(colors) == dark


def test_names_are_text(folder: Path, open_page: Open) -> None:  # noqa: F811
    """A class name with HTML in it is shown as it is; `open_page` fails on any request or error."""
    for name in ("set.html", "source.html"):
        page = open_page(folder / name)
        assert page.locator("#class-list h3").last.inner_text() == ATTACK
        assert page.locator("img[src=x]").count() == 0
