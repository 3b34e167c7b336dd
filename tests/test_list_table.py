"""`augment list` and `augment info` as text, the newest set, and the texts of progress."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import epochbank
import epochbank.augment.cli
import epochbank.train.cli
from epochbank.augment.shared.progress import age, counted, progress_text
from epochbank.augment.store.catalog import find_set
from epochbank.augment.views.list_table import list_lines
from epochbank.augment.views.recipe_text import recipe_lines

GROUPS = {"augment": epochbank.augment.cli.main, "train": epochbank.train.cli.main}


def call(group: str, *words: object) -> Result:
    result = CliRunner().invoke(GROUPS[group], list(map(str, words)))
    assert result.exit_code == 0, result.output
    return result


def fact(name: str = "digits-kanji-1f2e3d4c", **changes: Any) -> dict[str, Any]:
    """Return the facts of a set that the table shows."""
    return {
        "path": f"sets/{name}", "recipe": "kanji", "seed": 0, "shape": [64, 64, 1], "classes": 1234, "shards": 6,
        "epochs": [{}] * 20, "bytes": 1_500_000_000, "written": "2026-03-04T05:06:07+00:00", "lost_shards": 0,
        "refresh": None, "last_used": None, "tags": [], "trainings": [],
    } | changes  # fmt: skip


@pytest.fixture
def sets(npz: Path, tmp_path: Path) -> Path:
    """Two sets, the older of which is extended last."""
    sets = tmp_path / "sets"
    for seed, epochs in ((1, 1), (2, 1), (1, 2)):
        epochbank.generate(npz, epochs=epochs, seed=seed, jobs=1, sets=sets)
    return sets


def test_list_is_a_table(sets: Path) -> None:
    """Every set has a row with the columns of the head, the newest last."""
    head, *rows = call("augment", "list", "--sets", sets).stdout.splitlines()
    assert head.split() == ["name", "recipe", "seed", "size", "classes", "epochs", "bytes", "age", "used", "runs"]
    facts, _ = epochbank.list_sets(sets)
    assert [row.split()[:6] for row in rows] == [
        [Path(one["path"]).name, "kanji", str(one["seed"]), "20x16", "6", str(len(one["epochs"]))] for one in facts
    ]
    assert [row.split()[2] for row in rows] == ["2", "1"]


def test_columns_are_aligned_and_narrow() -> None:
    """No row has more than 100 columns; a name that does not fit has a line of its own."""
    long = "a-source-with-a-long-name-that-somebody-chose-for-it-kanji-strong-0a1b2c3d"
    facts = [fact(), fact(long, recipe="kanji-strong", shape=[105, 105, 3], seed=123456), fact("b", bytes=1)]
    lines = list_lines(facts, datetime(2026, 3, 16, 5, 6, 7, tzinfo=UTC))
    assert max(map(len, lines)) <= 100
    assert long in lines
    ends = {line.index("12 d") for line in lines if "12 d" in line}
    assert len(ends) == 1
    assert "105x105 RGB" in lines[lines.index(long) + 1]


def test_a_damaged_set_is_marked(sets: Path) -> None:
    """A missing shard is marked in the table, and counted in `--json` and `info`."""
    made = find_set(None, sets)
    next(path for path in sorted(made.rglob("*.h5")) if path.name != "split.h5").unlink()
    result = CliRunner().invoke(GROUPS["augment"], ["list", "--sets", str(sets)])
    assert result.exit_code == 1
    assert f"{made.name}  (damaged)" in result.stdout
    assert "Run the same `augment run` again" in result.stderr
    facts, _ = epochbank.list_sets(sets)
    assert [one["lost_shards"] for one in facts] == [0, 1]
    assert "missing      1 shard; run the same" in call("augment", "info", made).stdout


def test_the_newest_set_is_the_one_that_was_extended_last(sets: Path) -> None:
    """Neither creation nor the time of a directory counts."""
    oldest_first = sorted(path.parent for path in sets.glob("*/set.json"))
    for number, directory in enumerate(oldest_first):
        for name in ("set.json", "manifest.jsonl"):
            os.utime(directory / name, (1000 + number, 1000 + number))
    first, second = oldest_first
    assert find_set(None, sets) == second
    os.utime(first / "manifest.jsonl", (2000, 2000))
    assert find_set(None, sets) == first
    (second / "left.txt").touch()
    assert find_set(None, sets) == first
    os.utime(second / "set.json", (3000, 3000))
    assert find_set(None, sets) == second


@pytest.mark.parametrize(
    "words", [("augment", "info"), ("augment", "verify", "--jobs", 1), ("train", "bench", "--seconds", 0)]
)
def test_the_newest_set_is_named_first(sets: Path, words: tuple[object, ...]) -> None:
    """Every command that takes it says so first, on standard error."""
    result = call(str(words[0]), *words[1:], "--sets", sets)
    assert result.stderr.splitlines()[0] == f"newest set: {find_set(None, sets)}, last written just now"


def test_info_shows_the_recipe_and_digests_on_request(sets: Path) -> None:
    made = find_set(None, sets)
    facts = json.loads(call("augment", "info", made, "--json").stdout)
    digests = [facts["fingerprint"], *(epoch["digest"] for epoch in facts["epochs"])]
    plain, full = (call("augment", "info", made, *more).stdout for more in ((), ("--digests",)))
    assert "rotate: degrees -15 to 15" in plain
    assert not any(digest in plain for digest in digests)
    assert all(digest in full for digest in digests)


def test_recipe_lines() -> None:
    """Stages, shares, ranges, switches and the name that format 1 has for `color` are readable."""
    settings = {
        "safety": {"lost": 0.25, "attempts": 8},
        "stages": [
            {"probability": 0.5, "operations": [
                {"op": "rotate", "weight": 3.0, "degrees": [-15.0, 15.0]}, {"op": "colour", "weight": 1.0, "hue": 0.1},
            ]},
            {"probability": 1.0, "operations": [{"op": "sine", "weight": 1.0, "per_column": False, "fill": "edge"}]},
        ],
    }  # fmt: skip
    assert [line.strip() for line in recipe_lines(settings)] == [
        "stage 1    with probability 0.5, one of",
        "75 %  rotate: degrees -15 to 15",
        "25 %  color: hue 0.1",
        "stage 2    always",
        "sine: per_column no, fill edge",
        "check      up to 25 % of the ink may be lost, 8 attempts",
    ]
    assert recipe_lines({"stages": []}) == ["  check      no label check"]


@pytest.mark.parametrize(
    ("done", "total", "seconds", "text"),
    [
        (0, 100, 1.0, "0 of 100 images (0 %), elapsed 1.0 s"),
        (25, 100, 10.0, "25 of 100 images (25 %), 2.5/s, elapsed 10.0 s, remaining 30.0 s"),
        (100, 100, 10.0, "100 of 100 images (100 %), 10/s, elapsed 10.0 s, remaining 0.0 s"),
        (150, 100, 10.0, "150 images, 15/s, elapsed 10.0 s"),
        (7, None, 70.0, "7 images, 6/min, elapsed 1 min 10 s"),
        (0, 0, 0.0, "0 images, elapsed 0.0 s"),
    ],
)
def test_progress_text(done: int, total: int | None, seconds: float, text: str) -> None:
    """Elapsed and remaining time are named; without a total, or beyond it, there is no remaining time."""
    assert progress_text(done, total, "images", seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "just now"), (59, "just now"), (60, "1 minute ago"), (7199, "1 hour ago"), (200_000, "2 days ago")],
)
def test_age(seconds: float, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [(1, "class", "1 class"), (2, "class", "2 classes"), (0, "epoch", "0 epochs"), (1200, "batch", "1,200 batches")],
)
def test_plurals(count: int, noun: str, text: str) -> None:
    assert counted(count, noun) == text
