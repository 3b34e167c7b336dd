"""What the user names by import path: `module:attribute`, with the module in the current directory or installed."""

import hashlib
import importlib
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def import_by_path(path: str) -> tuple[ModuleType, Any]:
    """The module and its attribute; `ValueError`, whose text begins with the path, where there is none."""
    module_name, _, name = path.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # The user's own module may raise anything.
        raise ValueError(
            f"{path!r} cannot be imported ({type(error).__name__}: {error}); expected module:function, with the "
            "module in the current directory or installed"
        ) from error
    if not hasattr(module, name):
        raise ValueError(f"{path!r}: module {module_name} has no {name!r}")
    return module, getattr(module, name)


def source_digest(module: ModuleType, attribute: Any) -> str:
    """SHA-256 of the module's source file, and of a function's where that is another.

    `ValueError` for a module that has none.
    """
    file = getattr(module, "__file__", None)
    if file is None:
        raise ValueError(f"module {module.__name__} has no source file; expected a module that is a file")
    files = {file}
    if inspect.isfunction(attribute):
        files.add(inspect.getfile(inspect.unwrap(attribute)))
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in sorted(files))).hexdigest()
