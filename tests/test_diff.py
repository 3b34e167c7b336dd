"""`augment diff`, and the note of a run that begins a set beside a similar one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import epochbank
from conftest import glyphs
from epochbank.augment.cli import main
from epochbank.augment.lifecycle.content import SetContent
from epochbank.augment.lifecycle.diff import Difference, differences
from epochbank.augment.lifecycle.diff_text import diff_lines
from epochbank.augment.lifecycle.similar import most_similar

ROTATE = {"op": "rotate", "weight": 1.0, "degrees": [-15.0, 15.0]}
BLUR = {"op": "blur", "weight": 1.0, "radius": [0.5, 1.2]}
SHARPEN = {"op": "sharpen", "weight": 1.0}


def stage(*operations: dict[str, Any], probability: float = 1.0) -> dict[str, Any]:
    return {"probability": probability, "operations": list(operations)}


def content(label: str = "a", **changes: Any) -> SetContent:
    """Content whose identity is that of a small set, with `changes`."""
    identity: dict[str, Any] = {
        "format": 1, "source": "00", "split": {"validation": 0.1, "test": 0.1}, "seed": 0, "shape": [8, 8, 1],
        "recipe": {"stages": [stage(ROTATE), stage(BLUR, SHARPEN)]},
    }  # fmt: skip
    return SetContent(label, {**identity, **changes}, "ff", "glyphs", {}, "kanji", 6)


def call(*words: object) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result


def test_equal_content_has_no_difference() -> None:
    assert differences(content(), content("b")) == []
    assert "same content" in diff_lines(content(), content("b"), [])[0]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"seed": 7}, [Difference("seed", "", 0, 7)]),
        ({"shape": [8, 8, 3]}, [Difference("shape", "", [8, 8, 1], [8, 8, 3])]),
        ({"per_class": [10, 20]}, [Difference("balance", "", None, [10, 20])]),
        ({"source": "01"}, [Difference("source", "digest", "00", "01")]),
        ({"split": {"validation": 0.2, "test": 0.1, "rule": 2}},
         [Difference("split", "validation", 0.1, 0.2), Difference("split", "rule", None, 2)]),
    ],
)  # fmt: skip
def test_each_part_is_compared(changes: dict[str, Any], expected: list[Difference]) -> None:
    assert differences(content(), content("b", **changes)) == expected


def test_recipes_are_compared_operation_by_operation() -> None:
    """A stage that was inserted does not make the stages after it differ."""
    wider = {**ROTATE, "degrees": [-30.0, 30.0]}
    inserted = {"op": "erase", "weight": 1.0}
    recipe = {
        "safety": {"lost": 0.25, "attempts": 8},
        "stages": [stage(wider), stage(inserted), stage(BLUR, SHARPEN, probability=0.5)],
    }
    assert differences(content(), content("b", recipe=recipe)) == [
        Difference("recipe", "label check", None, {"lost": 0.25, "attempts": 8}),
        Difference("recipe", "degrees", [-15.0, 15.0], [-30.0, 30.0], 1, "rotate"),
        Difference("recipe", "", None, {"weight": 1.0}, 2, "erase"),
        Difference("recipe", "probability", 1.0, 0.5, 3),
    ]


def test_operations_that_are_added_and_removed_are_named() -> None:
    """The older name of an operation in format 1 is not shown."""
    found = differences(
        content(), content("b", recipe={"stages": [stage(ROTATE), stage(BLUR, {"op": "colour", "weight": 1.0})]})
    )
    assert [(one.operation, one.a is None, one.b is None) for one in found] == [
        ("sharpen", False, True), ("color", True, False),
    ]  # fmt: skip
    lines = diff_lines(content(), content("b"), found)
    assert lines[1].split() == ["recipe", "stage", "2,", "sharpen", "removed"]


def test_differences_are_symmetric() -> None:
    """Exchanging the sets exchanges the values, and finds the same places."""
    a, b = content(), content("b", seed=3, recipe={"stages": [stage(BLUR), stage(ROTATE), stage(SHARPEN)]})
    places = {(one.part, one.setting, one.operation) for one in differences(a, b)}
    assert places == {(one.part, one.setting, one.operation) for one in differences(b, a)}


def test_the_most_similar_set_has_the_fewest_differences() -> None:
    """Sets of other sources do not count; the newest of several wins."""
    new = content("new", seed=5)
    stranger = SetContent("stranger", {**content().identity, "source": "99"}, "", "other", {}, "kanji", 6)
    far = content("far", seed=1, shape=[9, 9, 1])
    near, newer = content("near", seed=1), content("newer", seed=2)
    found = most_similar(new, [stranger, near, newer, far])
    assert found is not None
    assert (found[0].label, found[1]) == ("newer", [Difference("seed", "", 2, 5)])
    assert most_similar(new, [stranger]) is None


def test_command_and_python_compare_stored_sets(npz: Path, tmp_path: Path) -> None:
    """`--json` is what Python returns, and a run names the similar set and what differs."""
    sets = tmp_path / "sets"
    first = epochbank.generate(npz, epochs=1, jobs=1, sets=sets)
    run = call("run", npz, "--epochs", 1, "--seed", 4, "--jobs", 1, "--sets", sets)
    assert f"new set beside {first.path}; the new set differs from it in seed 0 -> 4" in run.stderr
    second = next(path for path in sets.glob("*/set.json") if path.parent != first.path).parent
    printed = json.loads(call("diff", first.path, second.name, "--sets", sets, "--json").stdout)
    assert printed == epochbank.diff(first, second, sets=sets)
    assert printed["differences"] == [{"part": "seed", "setting": "", "a": 0, "b": 4}]
    assert not printed["same"]
    lines = call("diff", first.path, second, "--sets", sets).stdout.splitlines()
    assert lines[1].split() == ["seed", "0", "->", "4"]
    again = call("run", npz, "--epochs", 2, "--seed", 4, "--jobs", 1, "--sets", sets)
    assert "beside" not in again.stderr


def test_a_changed_source_is_named(tmp_path: Path) -> None:
    """Two sources of the same name differ in their digests and numbers of classes."""
    paths = []
    for number, classes in enumerate((4, 5)):
        (tmp_path / str(number)).mkdir()
        source = tmp_path / str(number) / "a.npz"
        np.savez(source, images=glyphs(60, (8, 8, 1)), labels=np.arange(60) % classes)
        paths.append(epochbank.generate(source, epochs=1, jobs=1, sets=tmp_path / "sets").path)
    found = epochbank.diff(*paths)["differences"]
    assert [one["setting"] for one in found if one["part"] == "source"] == ["digest", "classes"]
