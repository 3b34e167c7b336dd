"""Differences between sets in words. Pure functions."""

from typing import Any

from ..views.recipe_text import value_text
from .content import SetContent
from .diff import Difference

_DIGITS = 12
"""Digits of a digest that are printed."""


def diff_lines(a: SetContent, b: SetContent, found: list[Difference]) -> list[str]:
    """Return the differences between sets `a` and `b` as lines of text."""
    if not found:
        return [f"{a.label} and {b.label} have the same content: fingerprint {a.fingerprint[:_DIGITS]}"]
    wheres = [where_text(one) for one in found]
    width = max(len("set"), *map(len, wheres))
    return [
        f"{'set'.ljust(width)}  {a.label} -> {b.label}",
        *(f"{where.ljust(width)}  {change_text(one)}" for where, one in zip(wheres, found, strict=True)),
    ]


def where_text(one: Difference) -> str:
    """Return where the sets differ: `recipe stage 1, rotate, degrees`."""
    stage = "" if one.stage is None else f"stage {one.stage}"
    return " ".join(filter(None, [one.part, ", ".join(filter(None, [stage, one.operation, one.setting]))]))


def change_text(one: Difference) -> str:
    """Return the value of each set: `-15 to 15 -> -30 to 30`; `only in ...` for an operation that one set lacks."""
    if one.operation is not None and not one.setting:
        settings = one.a if one.b is None else one.b
        values = ", ".join(f"{key} {value_text(value)}" for key, value in settings.items() if key != "weight")
        return f"{'removed' if one.b is None else 'added'}{': ' if values else ''}{values}"
    return f"{_text(one, one.a)} -> {_text(one, one.b)}"


def _text(one: Difference, value: Any) -> str:
    if value is None:
        return "none" if one.part in ("balance", "recipe") else "not set"
    if one.part == "source" and one.setting == "digest":
        return str(value)[:_DIGITS]
    if one.part == "shape":
        return " x ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {value_text(single)}" for key, single in value.items())
    return value_text(value)
