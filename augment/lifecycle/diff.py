"""What differs between two sets: source, split, shape, balance, seed, and the recipe operation by operation. Pure."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from typing import Any

from .content import SetContent

_CURRENT = {"colour": "color"}
"""Operations whose name in the settings of format 1 is older than the current one."""


@dataclass(frozen=True)
class Difference:
    """One thing that differs between sets a and b."""

    part: str
    """`source`, `split`, `shape`, `balance`, `seed`, `recipe` or `format`."""
    setting: str
    """What differs within the part, such as `digest`, `validation` or `degrees`; empty if the part is one value."""
    a: Any
    """JSON value in set a; None if set a does not have it."""
    b: Any
    """JSON value in set b; None if set b does not have it."""
    stage: int | None = None
    """Of a recipe: number of the stage, from 1, in set b, or in set a if b does not have it."""
    operation: str | None = None
    """Of a recipe: name of the operation."""


def differences(a: SetContent, b: SetContent) -> list[Difference]:
    """Return what differs between two sets; an empty list if they have the same content."""
    one, other = a.identity, b.identity
    found = [*_source(a, b), *_keys("split", one["split"], other["split"])]
    for part, key in (("shape", "shape"), ("balance", "per_class"), ("seed", "seed"), ("format", "format")):
        if one.get(key) != other.get(key):
            found.append(Difference(part, "", one.get(key), other.get(key)))
    return [*found, *_recipe(one["recipe"], other["recipe"])]


def to_json(a: SetContent, b: SetContent, found: list[Difference]) -> dict[str, Any]:
    """Return the JSON values of `augment diff --json`."""
    return {
        "a": {"path": a.label, "fingerprint": a.fingerprint},
        "b": {"path": b.label, "fingerprint": b.fingerprint},
        "same": not found,
        "differences": [
            {key: value for key, value in asdict(one).items() if value is not None or key in ("a", "b")}
            for one in found
        ],
    }


def _source(a: SetContent, b: SetContent) -> Iterator[Difference]:
    if a.identity["source"] == b.identity["source"]:
        return
    if a.source != b.source:
        yield Difference("source", "name", a.source, b.source)
    yield Difference("source", "digest", a.identity["source"], b.identity["source"])
    if a.num_classes != b.num_classes:
        yield Difference("source", "classes", a.num_classes, b.num_classes)
    if a.preprocessing and b.preprocessing:
        yield from _keys("source", a.preprocessing, b.preprocessing)


def _keys(part: str, a: dict[str, Any], b: dict[str, Any], **where: Any) -> Iterator[Difference]:
    """Yield what differs between two dictionaries."""
    for key in dict.fromkeys([*a, *b]):
        if a.get(key) != b.get(key):
            yield Difference(part, key, a.get(key), b.get(key), **where)


def _recipe(a: dict[str, Any], b: dict[str, Any]) -> Iterator[Difference]:
    """Compare the settings of two recipes; stages with the same operations belong together, wherever they are."""
    if a.get("safety") != b.get("safety"):
        yield Difference("recipe", "label check", a.get("safety"), b.get("safety"))
    for number_a, number_b in _pairs(a["stages"], b["stages"]):
        stage_a = {} if number_a is None else a["stages"][number_a]
        stage_b = {} if number_b is None else b["stages"][number_b]
        number = (number_a if number_b is None else number_b) or 0
        yield from _stage(stage_a, stage_b, number + 1)


def _pairs(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> Iterator[tuple[int | None, int | None]]:
    """Yield (index in a, index in b) of stages to compare; None for a stage that the other recipe does not have."""
    names_a, names_b = ([tuple(one["op"] for one in stage["operations"]) for stage in stages] for stages in (a, b))
    for _, start_a, stop_a, start_b, stop_b in SequenceMatcher(None, names_a, names_b, autojunk=False).get_opcodes():
        for at in range(max(stop_a - start_a, stop_b - start_b)):
            yield (
                start_a + at if start_a + at < stop_a else None,
                start_b + at if start_b + at < stop_b else None,
            )


def _stage(a: dict[str, Any], b: dict[str, Any], number: int) -> Iterator[Difference]:
    if a and b and a["probability"] != b["probability"]:
        yield Difference("recipe", "probability", a["probability"], b["probability"], number)
    operations_a, operations_b = _by_name(a), _by_name(b)
    for key in dict.fromkeys([*operations_a, *operations_b]):
        name = key[0]
        one, other = operations_a.get(key), operations_b.get(key)
        if one is None or other is None:
            yield Difference("recipe", "", one, other, number, name)
        else:
            yield from _keys("recipe", one, other, stage=number, operation=name)


def _by_name(stage: dict[str, Any]) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the settings of each operation of a stage, by its name and how often the name came before."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for one in stage.get("operations", []):
        name, before = _CURRENT.get(one["op"], one["op"]), 0
        while (name, before) in found:
            before += 1
        found[name, before] = {key: value for key, value in one.items() if key != "op"}
    return found
