"""Values of the wrong type in Python: each is named, with what is expected, and never a bare TypeError."""

from typing import Any

import pytest

import epochbank
from epochbank import EpochbankError


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"validation": "a"}, "validation='a' is invalid; expected a number"),
        ({"test": None}, "test=None is invalid; expected a number"),
        ({"validation": True}, "validation=True is invalid; expected a number"),
        ({"sets": 5}, "sets=5 is invalid; expected a str or a Path"),
        ({"recipe": 5}, "recipe=5 is invalid; expected a name, the path of a TOML file, or a Recipe"),
        ({"group_pattern": 5}, "group_pattern=5 is invalid; expected a str or None"),
        ({"pad_color": 7}, "pad_color=7 is invalid; expected a str or None"),
        ({"value_range": 4095}, "value_range=4095 is invalid; expected a str"),
        ({"seed": "a"}, "seed='a' is invalid; expected an int of at least 0"),
        ({"size": 64}, r"size=64 is invalid; expected \(H, W\) in pixels"),
        ({"per_class": 5}, r"per_class=5 is invalid; expected \(least, most\)"),
    ],
    ids=str,
)
def test_an_invalid_keyword_is_named(keywords: dict[str, Any], message: str) -> None:
    for function in (epochbank.plan, epochbank.generate):
        with pytest.raises(EpochbankError, match=message) as caught:
            function("digits", **keywords)
        assert caught.value.exit_code == 2


@pytest.mark.parametrize("given", [42, ["sets"], b"set"], ids=lambda given: type(given).__name__)
def test_what_is_no_set_is_named(given: Any) -> None:
    """Every function that takes a set says what it was given instead."""
    functions = {
        "open_set": lambda: epochbank.open_set(given),
        "info": lambda: epochbank.info(given),
        "verify": lambda: epochbank.verify(given),
        "explain": lambda: epochbank.explain(given, 0, 0),
        "preview": lambda: epochbank.preview(given),
    }
    for name, function in functions.items():
        with pytest.raises(
            EpochbankError, match=f"is of type {type(given).__name__}; expected .*an open set"
        ) as caught:
            function()
        assert caught.value.exit_code == 2, name


def test_what_is_no_directory_of_sets_is_named() -> None:
    for function in (lambda: epochbank.open_set("a", sets=5), lambda: epochbank.list_sets(5)):  # type: ignore[arg-type]
        with pytest.raises(EpochbankError, match="sets=5 is of type int; expected the path of a directory"):
            function()
