"""Mutate JSON as a tree: a fuzzer that changes bytes mostly gives what is no JSON."""

import json
from random import Random
from typing import Any

_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 1 << 31, 1 << 62, 1 << 63, -(1 << 63), 10**30, 0.5, -0.0, 1e308, float("nan"),
    float("inf"), "", "x", "\0", "\ud800", "../x", "0", "train", "epoch", [], {}, [0], [[]], {"": 0}, ["x", 1],
    [8, 8, 1], [1 << 40, 1, 1], "0" * 32, "epoch-0000/0000000000.h5",
]  # fmt: skip


def mutated(data: bytes, random: Random) -> bytes | None:
    """Return JSON, or one line of JSON Lines, with one value changed, perhaps after a byte that is kept; None if the
    input has no JSON."""
    for kept in (0, 1):
        found = _whole_or_line(data[kept:], random)
        if found is not None:
            before, document, after = found
            changed = json.dumps(_changed(document, random), ensure_ascii=random.random() < 0.9)
            return data[:kept] + before + changed.encode(errors="surrogatepass") + after
    return None


def _whole_or_line(data: bytes, random: Random) -> tuple[bytes, Any, bytes] | None:
    """Return what precedes a document, the document, and what follows it."""
    lines = data.splitlines(keepends=True)
    at = random.randrange(len(lines)) if lines else 0
    for first, last in ((0, len(lines)), (at, at + 1)):
        try:
            document = json.loads(b"".join(lines[first:last]))
        except (ValueError, RecursionError):
            continue
        if isinstance(document, dict | list):
            return b"".join(lines[:first]), document, b"" if last == len(lines) else b"\n" + b"".join(lines[last:])
    return None


def _changed(document: Any, random: Random) -> Any:
    """Replace, remove, double or exchange one value of a document, which is a dict or a list."""
    places = list(_places(document))
    if not places:
        return random.choice(_VALUES)
    owner, key = random.choice(places)
    match random.randrange(6):
        case 0:
            del owner[key]
        case 1:
            other, place = random.choice(places)
            owner[key] = json.loads(json.dumps(other[place]))
        case 2 if isinstance(owner, list):
            owner.insert(key, json.loads(json.dumps(owner[key])))
        case 3 if isinstance(owner, dict):
            owner[random.choice([place for _, place in places if isinstance(place, str)])] = owner.pop(key)
        case 4 if isinstance(owner[key], int | float):
            owner[key] += random.choice([1, -1, 0.5])
        case _:
            owner[key] = random.choice(_VALUES)
    return document


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Return (dict or list, key or index) of every value in a document."""
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    return [place for key in keys for place in ((node, key), *_places(node[key]))]
