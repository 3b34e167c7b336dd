"""Old names: those that stored files keep, and those that callers may still use in this release."""

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def rename_keys(table: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return `table`, with each key that is in `names` replaced by its value there."""
    return {names.get(key, key): value for key, value in table.items()}


def warn_renamed(old: str, new: str) -> None:
    """Warn that `old` is now called `new`; the warning points to the first caller outside this package."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith("epochbank."):
        level, frame = level + 1, frame.f_back
    warnings.warn(f"{old} is now called {new}; the old name works in this release only", FutureWarning, level)


def accepts_old_names(**names: str) -> Callable[[Function], Function]:
    """Decorate a function so that it also accepts the old names of its keywords: `old="new"`.

    An old keyword warns. Given together with the new one it raises `TypeError`, as any repeated keyword does.
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def renamed(*arguments: Any, **keywords: Any) -> Any:
            for old in names.keys() & keywords.keys():
                new = names[old]
                if new in keywords:
                    raise TypeError(f"{function.__name__}() got both {new!r} and its old name {old!r}")
                warn_renamed(f"{old}=", f"{new}=")
                keywords[new] = keywords.pop(old)
            return function(*arguments, **keywords)

        return renamed  # type: ignore[return-value]

    return decorate
