"""HTML pages: nothing from elsewhere is loaded, nothing that is data is executed, charts follow the theme."""

import base64
import hashlib
import json
import re
import sys
import webbrowser
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from epochbank import EpochbankError
from epochbank.augment.shared.html.charts import BLUE, svg
from epochbank.augment.shared.html.page import check_page, render_page, show_page, write_page

ATTACK = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
TEMPLATE = """{% extends "base.html.j2" %}{% import "macros.html.j2" as ui %}
{% block title %}{{ name }}{% endblock %}
{% block content %}{{ ui.facts([("class", name)]) }}{{ ui.numbers([("class", name)]) }}{{ ui.command(name) }}{{ chart }}
{% endblock %}
{% block data %}{{ ui.json("classes", [name]) }}{% endblock %}"""


class Tags(HTMLParser):
    """The tags of a page with their attributes, and the text within each kind of tag."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.page = page
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found:
            self.texts.setdefault(self.found[-1][0], []).append(data)

    def scripts(self) -> list[str]:
        """The text of each script element; the parser hands it over in pieces."""
        return re.findall(r"<script[^>]*>(.*?)</script>", self.page, re.S)


@pytest.fixture
def page(tmp_path: Path) -> Tags:
    (tmp_path / "mine.html.j2").write_text(TEMPLATE)
    figure = Figure()
    figure.subplots().plot([1, 2], color=BLUE)
    return Tags(render_page(tmp_path, "mine.html.j2", {"name": ATTACK, "chart": svg(figure, "loss", ATTACK)}))


def test_text_of_others_is_never_markup(page: Tags) -> None:
    """Class names come from other people's folders; as title, text, label and data they stay text."""
    assert "img" not in dict(page.found)
    assert [attributes.get("type") for tag, attributes in page.found if tag == "script"] == ["application/json", None]
    assert json.loads(page.scripts()[0]) == [ATTACK]
    assert any(attributes.get("aria-label") == ATTACK for tag, attributes in page.found if tag == "svg")
    assert all(ATTACK in page.texts[tag] for tag in ("title", "h1", "td", "dd", "code"))


def test_the_policy_allows_this_script_only(page: Tags) -> None:
    """The digest in the policy is that of the script, so that the browser executes it, and no other."""
    digest = base64.b64encode(hashlib.sha256(page.scripts()[1].encode()).digest()).decode()
    (policy,) = (attributes["content"] for tag, attributes in page.found if "http-equiv" in attributes)
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def test_nothing_is_loaded(page: Tags) -> None:
    """A page that is opened years later, without a network, is complete."""
    links = [value for _, attributes in page.found for key, value in attributes.items()
             if key in ("src", "href", "xlink:href") and value]  # fmt: skip
    assert all(link.startswith("#") for link in links)
    assert not re.search(r"@import|url\((?!#)", "".join(page.texts["style"]))


def test_a_chart_follows_the_theme() -> None:
    """Its colors are variables of the style sheet; two charts of a page share no id."""
    figure = Figure()
    axes = figure.subplots()
    axes.plot([1, 2], color=BLUE, gid="training")
    axes.grid()
    one, other = svg(figure, "loss", "Loss"), svg(figure, "accuracy", "Accuracy", interactive=True)
    assert all(text in one for text in ("var(--blue)", "font-size: 10px", 'id="loss-training"', 'role="img"'))
    assert not any(text in one for text in (BLUE, "#000000", "DejaVu"))
    assert 'role="group"' in other
    ids = [set(re.findall(r'\bid="([^"]+)"', chart)) for chart in (one, other)]
    assert not ids[0] & ids[1]
    assert set(re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', one)) <= ids[0]


def test_without_jinja2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The extra is named before anything is computed."""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(EpochbankError, match=r"pip install 'epochbank\[report\]'"):
        check_page(tmp_path / "report.html")


def test_a_directory_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(EpochbankError, match=r"is a directory; expected the path of an HTML file"):
        check_page(tmp_path)


def test_files_of_others_are_not_overwritten(tmp_path: Path) -> None:
    """A page of ours is replaced; a file that a user wrote is not."""
    (tmp_path / "mine.html.j2").write_text(TEMPLATE)
    out = tmp_path / "report.html"
    for _ in range(2):
        write_page(out, tmp_path, "mine.html.j2", {"name": "a", "chart": ""})
    out.write_text("<!DOCTYPE html><title>mine</title>")
    with pytest.raises(EpochbankError, match="is not a page that epochbank wrote"):
        write_page(out, tmp_path, "mine.html.j2", {"name": "a", "chart": ""})
    assert "mine" in out.read_text()


def test_the_browser_draws_the_text_of_a_chart() -> None:
    """Matplotlib's font has no kanji; the text is in the page nevertheless, without a warning."""
    figure = Figure()
    figure.subplots().set_title("亜")
    assert ">亜</text>" in svg(figure, "kanji", "Kanji")


@pytest.mark.parametrize("found", [True, False])
def test_a_page_is_shown(
    found: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server has no browser, which is said. The page is written, so the command has succeeded."""
    shown = []
    monkeypatch.setattr(webbrowser, "open", lambda address: shown.append(address) or found)
    show_page(tmp_path / "a b.html")
    assert ("there is no web browser on this machine" in capsys.readouterr().err) == (not found)
    assert shown == [f"file://{tmp_path}/a%20b.html"]
