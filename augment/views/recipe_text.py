"""The settings of a recipe as text. Pure functions."""

from typing import Any


def recipe_lines(settings: dict[str, Any]) -> list[str]:
    """Return a line for each stage and operation of a recipe's settings, as a set stores them, and the label check."""
    lines = []
    for number, stage in enumerate(settings["stages"], 1):
        probability, operations = stage["probability"], stage["operations"]
        chance = "always" if probability == 1 else f"with probability {probability:g}"
        lines.append(f"  stage {number}    {chance}{', one of' if len(operations) > 1 else ''}")
        total = sum(one["weight"] for one in operations)
        for one in operations:
            share = f"{100 * one['weight'] / total:3.0f} %  " if len(operations) > 1 else ""
            op = {"colour": "color"}.get(one["op"], one["op"])  # The name in format 1.
            settings_of_op = {key: value for key, value in one.items() if key not in ("op", "weight")}
            values = ", ".join(f"{key} {value_text(value)}" for key, value in settings_of_op.items())
            lines.append(f"             {share}{op}{': ' if values else ''}{values}")
    check = settings.get("safety")
    if check is None:
        return [*lines, "  check      no label check"]
    lost = f"up to {100 * check['lost']:g} % of the ink may be lost"
    return [*lines, f"  check      {lost}, {check['attempts']} attempts"]


def value_text(value: Any) -> str:
    """Return `[low, high]` as `low to high`, and other values as they are."""
    if isinstance(value, list) and len(value) == 2 and all(isinstance(one, int | float) for one in value):
        return f"{_number(value[0])} to {_number(value[1])}"
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else _number(value)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
