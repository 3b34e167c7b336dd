"""Import what a user names by import path, `module:attribute`: an installed module or one in the working directory."""

import hashlib
import importlib
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from .closest import closest


def import_by_path(path: str) -> tuple[ModuleType, Any]:
    """Import `module:attribute`; return the module and the attribute.

    The working directory is searched last, so that no file in it replaces an installed module. Raises `ValueError`,
    whose text starts with `path`, if there is no such module or attribute.
    """
    module_name, _, name = path.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # The user's own module may raise anything.
        raise ValueError(
            f"{path!r} cannot be imported ({type(error).__name__}: {error}); expected module:function, with the "
            "module installed or in the current directory"
        ) from error
    if not hasattr(module, name):
        place = getattr(module, "__file__", None) or "built in"
        public = [one for one in dir(module) if not one.startswith("_")]
        similar = closest(name, public)
        but = f", but {similar!r}" if similar else ""
        raise ValueError(f"{path!r}: module {module_name} has no {name!r}{but} ({place})")
    return module, getattr(module, name)


def source_digest(module: ModuleType, attribute: Any) -> str:
    """Return the SHA-256 of the module's source file, and of a function's file if that is another.

    Raises `ValueError` for a module without a source file.
    """
    file = getattr(module, "__file__", None)
    if file is None:
        raise ValueError(f"module {module.__name__} has no source file; expected a module that is a file")
    files = {file}
    if inspect.isfunction(attribute):
        files.add(inspect.getfile(inspect.unwrap(attribute)))
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in sorted(files))).hexdigest()
