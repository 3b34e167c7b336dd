"""The documentation: every code block of its pages runs, and what it quotes is what the code says.

The pages that take longer are marked `long`; `make test-docs` runs all of them.
"""

import ast
import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import epochbank
from doc_pages import DATA, DOCS, ROOT, RUN, Block, Session, blocks, check_toml, forget_modules, pages
from doc_sources import SETUP
from object_server import ObjectServer

FAST = {
    "docs/how-to/custom-operation.md",
    "docs/gallery.md",
    "docs/sources.md#casia-hwdb",
    "docs/sources.md#csv-of-pixels",
    "docs/sources.md#python",
}
"""Pages and sections that take a few seconds, for every run of the tests."""
BY_SECTION = ("docs/sources.md",)
"""Pages whose sections are independent of each other: each has a working directory of its own."""


def runnable(block: Block) -> bool:
    """Return whether a block is run: it is not marked, and what it needs is installed."""
    return block.language in RUN and not block.reason and all(map(importlib.util.find_spec, block.needs))


def cases() -> Iterator[object]:
    """Yield a parameter for every page with code, and for every section of the pages in `BY_SECTION`."""
    for page in pages():
        names = {f"{page}#{one.section}" if page in BY_SECTION else page for one in blocks(page) if runnable(one)}
        for name in sorted(names):
            yield pytest.param(
                name, id=name, marks=() if name in FAST else (pytest.mark.long, pytest.mark.timeout(1800))
            )


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory, whose modules are forgotten at the end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    forget_modules(tmp_path)
    yield tmp_path
    forget_modules(tmp_path)


@pytest.mark.parametrize("name", list(cases()))
def test_the_code_of_a_page_runs(name: str, here: Path, server: ObjectServer) -> None:
    """All blocks of a page, or of a section, run in order, on small data."""
    page, _, section = name.partition("#")
    SETUP.get(name, lambda: None)()
    session = Session()
    chosen = [one for one in blocks(page) if runnable(one) and section in ("", one.section)]
    for block in chosen:
        if block.file:
            session.save(block)
    for block in chosen:
        session.run(block)


def test_every_block_is_run_or_says_why_not() -> None:
    """Blocks have a language that the tests know, and those that are not run have a reason of several words."""
    found = [one for page in pages() for one in blocks(page)]
    assert not [str(one) for one in found if one.language not in RUN | DATA]
    marked = [one for one in found if one.reason or one.needs]
    assert len(marked) < len([one for one in found if one.language in RUN]) / 4
    assert not [str(one) for one in marked if one.reason and len(one.reason.split()) < 3]
    named = {path for one in marked for path in re.findall(r"tests/\w+\.py", one.reason)}
    assert not [path for path in named if not (ROOT / path).exists()]
    assert all(one.language in RUN for one in marked)
    # A comment in another form would not be found, and the block would run.
    comments = sum(len(re.findall(r"<!-- (?:not run|needs): ", (ROOT / page).read_text())) for page in pages())
    assert comments == len(marked)


def test_every_setup_belongs_to_a_page() -> None:
    """`SETUP` and `FAST` name only pages and sections with code that runs."""
    known = {case.values[0] for case in cases()}
    assert set(SETUP) | FAST <= known


def test_every_toml_block_is_a_recipe(here: Path) -> None:
    """Recipes on all pages load, with the custom operations that the pages define."""
    found = [one for page in pages() for one in blocks(page)]
    for one in found:
        if one.language == "python" and one.file == "my_module.py":
            Path(one.file).write_text(one.text)
    recipes = [one for one in found if one.language == "toml"]
    assert len(recipes) >= 4
    for one in recipes:
        check_toml(one.text)


# --- What the pages quote ---------------------------------------------------------------------------------------


@cache
def texts() -> list[str]:
    """Return all strings of the package; the expressions of f-strings are `{}`."""
    found = []
    for package in ("augment", "train", "src/epochbank"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
                    found.append("".join(map(str, parts)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return found


def test_every_message_of_the_troubleshooting_page_occurs_in_the_code() -> None:
    """Each heading in backticks is a message; `...` stands for what the code inserts."""
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^### `(.*)`$", page, re.MULTILINE)
    assert len(messages) >= 40
    for message in messages:
        parts = [part.strip() for part in message.split("...") if part.strip(" ;,:()")]
        pattern = re.compile(".*".join(map(re.escape, parts)), re.DOTALL)
        candidates = [text for text in texts() if all(part in text for part in parts)]
        assert any(map(pattern.search, candidates)), message


def test_the_rates_of_the_comparison_are_those_of_the_benchmark() -> None:
    """Each row of the table of rates has the median and the bytes in benchmarks/results/streaming.json."""
    page = (DOCS / "comparison.md").read_text(encoding="utf-8").replace("**", "")
    table = page.split("| tool | order |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| ([\d,]+) \| ([\d.]+) \|$", table, re.MULTILINE)
    results = json.loads((ROOT / "benchmarks/results/streaming.json").read_text())["contenders"]
    measured = {
        (one["name"].replace("pictures", "images"), f"{one['median']:,.0f}", f"{one['bytes_ratio']:.2f}")
        for one in results
    }
    assert len(rows) >= 15
    assert set(rows) <= measured


def test_the_api_pages_document_every_public_name() -> None:
    """Each name in `epochbank.__all__` has a directive on one page."""
    pages = "".join(path.read_text() for path in (DOCS / "api").glob("*.md"))
    documented = re.findall(r"^\.\. auto(?:function|class|exception):: (\w+)", pages, re.MULTILINE)
    assert set(epochbank.__all__) <= set(documented)
    assert len(documented) == len(set(documented))


def test_every_picture_is_made_by_a_script() -> None:
    """Each image file in docs/ is named by a script that writes it."""
    scripts = [*DOCS.glob("make_*.py"), *(ROOT / "benchmarks").glob("*.py")]
    code = "".join(path.read_text() for path in scripts)
    images = [path for path in DOCS.rglob("*") if path.suffix in (".png", ".svg")]
    assert len(images) > 10
    assert not [path.name for path in images if path.name not in code and f'"{path.stem}"' not in code]
