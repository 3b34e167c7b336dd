"""A set whose set.json was crafted, with a right checksum: what opens it answers, or refuses it in a sentence."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import epochbank
from conftest import glyphs
from epochbank import EpochbankError, open_set
from epochbank.api import contents
from epochbank.augment.cli import main
from epochbank.augment.ingest.stored_preprocessing import stored_preprocessing
from epochbank.augment.store.description import fingerprint_of

Place = tuple[str | int, ...]
"""Keys and indices that lead to a value in a JSON document."""


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the set of one balanced epoch, `original`."""
    folder = tmp_path_factory.mktemp("crafted")
    make_original(folder)
    return folder / "sets"


def make_original(folder: Path) -> None:
    np.savez(folder / "a.npz", images=glyphs(40, (8, 8, 1)), labels=np.arange(40) % 2, groups=np.arange(40) // 4)
    words = ["run", folder / "a.npz", "--epochs", 1, "--jobs", 1, "--per-class", "2:12", "--sets", folder / "sets"]
    made = CliRunner().invoke(main, [*map(str, words)])
    assert made.exit_code == 0, made.output
    next((folder / "sets").glob("a-*")).rename(folder / "sets" / "original")


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 10**9, 2**31, 2**63, 2**64, 10**400, 0.5, -0.0, 1e308, float("nan"),
    float("inf"), "", "a", "\0", "\ud800", "あ", "../../..", "/", "/dev/zero", "a" * 5000, "%s{0}[red]\x1b[31m\n", [],
    {}, [1], [[]], {"a": 1}, [0, 0, 0], [8, 8, 1], [1, 1, 1], [8, 8, 3], [1 << 20, 1 << 20, 1], [16, 4, 1], nested(200),
    [None], ["a"], {"op": "rotate"}, "rotate", "os:system", "kanji",
]  # fmt: skip


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Yield the path of every value in a JSON document."""
    if at:
        yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in items:
        yield from places(one, (*at, key))


def changed(document: Any, at: Place, what: str, value: Any) -> None:
    """Replace, remove or add a value, in place."""
    parent = document
    for key in at[:-1]:
        if not (isinstance(parent, dict | list)) or (isinstance(parent, list) and not isinstance(key, int)):
            return
        try:
            parent = parent[key]
        except LookupError:
            return
    key = at[-1]
    if isinstance(parent, dict):
        if what == "remove":
            parent.pop(key, None)
        else:
            parent[f"{key}x" if what == "add" else key] = value
    elif isinstance(parent, list) and isinstance(key, int) and key < len(parent):
        if what == "remove":
            del parent[key]
        elif what == "add":
            parent.insert(key, value)
        else:
            parent[key] = value


@contextmanager
def copy_with(sets: Path, document: dict[str, Any]) -> Iterator[Path]:
    """Yield the directory of a copy of the original with this set.json, whose checksum and fingerprint are right.

    Each copy has another path, because a process remembers which files it has checked.
    """
    document.pop("checksum", None)
    if "fingerprint" in document:
        document["fingerprint"] = fingerprint_of(document.get("identity", {}))
    document["checksum"] = fingerprint_of(document)
    with tempfile.TemporaryDirectory(dir=sets, prefix="x") as folder:
        directory = Path(shutil.copytree(sets / "original", Path(folder) / "sets" / "a"))
        (directory / "set.json").write_text(json.dumps(document), encoding="utf-8")
        shutil.copytree(sets / "sources", Path(folder) / "sets" / "sources")
        yield directory


def answers(directory: Path) -> None:
    """Everything that opens a set returns, or raises `EpochbankError`."""
    for words in (
        ("info", directory), ("info", directory, "--json"), ("list", "--sets", directory.parent),
        ("verify", directory, "--jobs", 1), ("verify", directory, "--jobs", 1, "--deep"),
        ("preview", directory, "--out", directory.parent / "p.png"), ("explain", directory, 0, 3),
        ("diff", directory, directory), ("repair", directory, "--jobs", 1, "--engine", "pillow"),
    ):  # fmt: skip
        result = CliRunner().invoke(main, [str(word) for word in words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise AssertionError(words[0]) from result.exception
        assert result.exit_code in (0, 1, 2)
        if "--json" in words and result.exit_code == 0:
            json.loads(result.stdout)
    try:
        opened = open_set(directory)
    except EpochbankError:
        return
    opened._repr_html_().encode()  # Notebooks show an open set even if its shards cannot be read.
    with suppress(EpochbankError):
        opened.show(n=4)
    with suppress(EpochbankError):
        opened.show_class(opened.class_names[0], 2)
    with suppress(EpochbankError):
        for images, _ in opened.batches(8, epochs=1, originals=0.5):
            assert images.dtype == np.uint8
        stored_preprocessing(opened.description.source, opened.description.shape)
        contents.origins(opened, "validation", np.arange(2))


def original(sets: Path) -> dict[str, Any]:
    return json.loads((sets / "original" / "set.json").read_text(encoding="utf-8"))


def test_the_original_is_sound(sets: Path) -> None:
    """Otherwise the tests below would try nothing."""
    with copy_with(sets, original(sets)) as directory:
        assert epochbank.verify(directory, jobs=1, deep=True) == []


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
@pytest.mark.long
def test_a_crafted_set_gives_no_traceback(sets: Path, data: st.DataObject) -> None:
    """One to three values are replaced by odd ones, removed or added."""
    check(sets, data)


@pytest.mark.long
@settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_many_crafted_sets_give_no_traceback(sets: Path, data: st.DataObject) -> None:
    """The same with more tries, which differ each time."""
    check(sets, data)


def check(sets: Path, data: st.DataObject) -> None:
    document = original(sets)
    everywhere = sorted(places(document), key=str)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(everywhere))
        what = data.draw(st.sampled_from(["replace", "replace", "replace", "remove", "add"]))
        changed(document, at, what, data.draw(st.sampled_from(ODD)))
    with copy_with(sets, document) as directory:
        answers(directory)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (("source", "notes"), 2), (("class_names", 1), "a" * 5000), (("images", "train"), 3),
        (("images", "train"), 10**9), (("identity", "per_class", 1), 3), (("source", "preprocessing", "fit"), "none"),
        (("source", "preprocessing", "pad_color"), float("inf")), (("source", "preprocessing", "values"), "a=b"),
        (("identity", "recipe", "stages", 1, "probability"), 10**400), (("identity", "source"), 1),
        (("identity", "shape"), [16, 4, 1]),
    ],
)  # fmt: skip
def test_crafted_values_that_once_failed(sets: Path, at: Place, value: Any) -> None:
    """Tracebacks, and a class name that `preview` measured for minutes."""
    document = original(sets)
    changed(document, at, "replace", value)
    with copy_with(sets, document) as directory:
        answers(directory)
