"""What a worker process needs to compute images of a set, loaded once per process from the set and its source file.

A task has a `SetReference` of a few hundred bytes instead of class and group names.
"""

import threading
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from ..distortion.recipe import Recipe, RecipeNames, names_in, recipe_from_settings, with_names
from ..errors import EpochbankError
from ..ingest.source_file import SourceFile, damaged, open_source_file
from ..store.description import Description, read_description
from .spec import SetSpec

_State = tuple[int, int, int, int]
_LOADING = threading.Lock()
"""Held while a process loads a set, so that its other threads wait for the result instead of loading it, too."""


@dataclass(frozen=True)
class SetReference:
    """The set and the source file of a task. Creating one means that the code that the recipe names is trusted."""

    directory: Path
    """Absolute path of the set's directory."""
    fingerprint: str
    source: Path
    """Absolute path of the source file."""
    names: RecipeNames = field(default_factory=RecipeNames)
    """The names in the recipe, for messages and reports."""


def reference_to(directory: Path, description: Description, spec: SetSpec) -> SetReference:
    """Return a reference to the set in `directory`, with the source file and the recipe of `spec`."""
    return SetReference(directory.absolute(), description.fingerprint, spec.source.path, names_in(spec.recipe))


@dataclass(frozen=True)
class SetInputs:
    """What the images of a set are computed from."""

    description: Description
    recipe: Recipe
    source: SourceFile


def load_inputs(reference: SetReference) -> SetInputs:
    """Return the description, recipe and source file of a set. Thread-safe.

    They are cached per process as long as `set.json` and the source file stay as they are.

    Raises
    ------
    EpochbankError
        If `set.json` is damaged or that of another set, the source file is a different one, or the code that the recipe
        names cannot be imported or has changed.
    DamagedSource
        If the source file does not exist or is damaged.
    """
    with _LOADING:
        return _load(reference, _state(reference.directory / "set.json"), _state_of_source(reference.source))


@lru_cache(maxsize=4)
def _load(reference: SetReference, described: _State | None, source: _State) -> SetInputs:
    directory = reference.directory
    description = read_description(directory)
    if description.fingerprint != reference.fingerprint:
        raise EpochbankError(
            f"{directory} has the fingerprint {description.fingerprint}; expected {reference.fingerprint}, as when the "
            "run began. Run the command again."
        )
    file = open_source_file(reference.source)
    if file.digest != description.identity["source"]:
        raise EpochbankError(
            f"{reference.source} has the digest {file.digest}; expected {description.identity['source']}, that of the "
            f"source file of {directory}. Run the command again."
        )
    try:
        recipe = recipe_from_settings(description.recipe, description.identity["recipe"], trust=True)
    except ValueError as error:  # Its module was importable in the main process.
        raise EpochbankError(
            f"a worker process could not load a custom operation: {error}. Fix the import, or run the same command "
            "again with --jobs 1.",
            usage=True,
        ) from error
    return SetInputs(description, with_names(recipe, reference.names), file)


def _state(path: Path) -> _State | None:
    """Return what changes when a file is replaced; None if it does not exist."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _state_of_source(path: Path) -> _State:
    try:
        state = _state(path)
    except OSError as error:
        raise damaged(path, f"cannot be opened: {error.strerror}") from error
    if state is None:
        raise damaged(path, "cannot be opened: No such file or directory")
    return state
