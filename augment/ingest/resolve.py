"""Resolving SOURCE, as a user names it, to a source file, which is imported if it does not exist yet."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..console import notify
from ..errors import EpochbankError
from ..shared.atomic import make_directory, move, naming
from ..shared.command_words import option_words
from ..shared.lock import writing
from ..sources import Scan, Source, SourceOptions
from ..sources.base import size_and_mtime
from .importer import ImportOptions, import_source
from .source_file import (
    FORMAT,
    DamagedSource,
    SourceFile,
    StoredFacts,
    is_source_file,
    open_source_file,
    stored_facts,
)
from .workspace import sweep_workspaces, sweep_workspaces_of

SOURCES = "sources"
"""Directory of the source files in `sets/`."""


@dataclass(frozen=True)
class ResolvedSource:
    """The source that a user named, and the source file that it is imported into."""

    source: Source | None
    """None if the user named a source file."""
    path: Path
    """Path of the source file, which may not exist yet."""

    @property
    def file(self) -> SourceFile | None:
        """The source file, if it exists. Raises `DamagedSource` if it is damaged."""
        return open_source_file(self.path) if self.path.exists() else None


def resolve_source(name: str, sets: Path, options: ImportOptions) -> ResolvedSource:
    """Resolve `name` to itself if it is a source file, else to a source file in `sets/sources/`.

    The path stays the same as long as the source's files keep their names, sizes and times, and `options` are equal.
    Raises `EpochbankError` for a source that does not exist, and for options that do not fit it.
    """
    if is_source_file(Path(name)):
        return ResolvedSource(None, _checked_source_file(Path(name), options))
    from ..sources.find import open_source

    source = open_source(name, options.source)
    with naming(name):
        identity = source.identity()
    return ResolvedSource(source, sets / SOURCES / source_file_name(source.name, identity, options))


def source_file_name(name: str, identity: Any, options: ImportOptions) -> str:
    """Return the file name in `sets/sources/` of a source with this name and identity, imported with `options`."""
    named = options.source.class_names
    names = [] if named is None else [size_and_mtime(Path(named).expanduser())]
    key = json.dumps([FORMAT, identity, options.settings(), *names], sort_keys=True)
    return f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.h5"


def prepare_source(
    name: str, sets: Path, options: ImportOptions, jobs: int, check: Callable[[Scan], None] = lambda scan: None
) -> SourceFile:
    """Return the source file of the source `name`, and import the source first if that file does not exist.

    A damaged file in `sets/sources/` is imported again. `check` is that of `import_source`.
    """
    resolved = resolve_source(name, sets, options)
    if resolved.source is None:
        return open_source_file(resolved.path)
    if resolved.path.exists():
        sweep_workspaces_of(resolved.path)
        try:
            return open_source_file(resolved.path)
        except DamagedSource as damage:
            return _import_again(resolved, options, jobs, damage)
    make_directory(resolved.path.parent)
    with writing(resolved.path.parent, wait=True):
        if not resolved.path.exists():
            sweep_workspaces(resolved.path.parent)
            for note in import_source(resolved.source, resolved.path, options, jobs, check=check):
                notify(note)
    return open_source_file(resolved.path)


def restore_source(name: str, sets: Path, options: ImportOptions, jobs: int, damage: DamagedSource) -> SourceFile:
    """Import the source `name` again, in which `damage` was found after its source file had been opened.

    Raises `damage` if the user named a source file, which is never replaced, and `EpochbankError` if the source has
    other contents now.
    """
    resolved = resolve_source(name, sets, options)
    if resolved.source is None:
        raise damage
    return _import_again(resolved, options, jobs, damage)


def _import_again(resolved: ResolvedSource, options: ImportOptions, jobs: int, damage: DamagedSource) -> SourceFile:
    """Replace a damaged source file in `sets/sources/` by a new import with the same contents."""
    assert resolved.source is not None
    path, again = resolved.path, resolved.path.with_name(f"again-{resolved.path.name}")
    with writing(path.parent, wait=True):
        sweep_workspaces(path.parent)
        notify(f"{str(damage).partition('. ')[0]}; the source is imported again")
        import_source(resolved.source, again, options, jobs, replace=True)
        try:
            new = open_source_file(again)
            difference = _difference(stored_facts(path), new)
            if difference:
                raise EpochbankError(
                    f"{path} is damaged, and importing the source again gives another file: {difference}. Restore "
                    f"{path.name} from a copy, or remove it to begin a new set."
                ) from damage
            move(again, path)
        finally:
            again.unlink(missing_ok=True)
    return open_source_file(path)


def _difference(stored: StoredFacts, new: SourceFile) -> str:
    """Return what differs between a damaged file and a new import; '' if they have the same contents, or it is unknown.

    If one of the digests is damaged, the other one shows that the contents are the same.
    """
    if stored.digest in (None, new.digest) or (new.columns is not None and stored.columns == new.columns):
        return ""
    if stored.shape is not None and stored.shape != (new.num_images, *new.shape):
        before, now = (" x ".join(map(str, shape)) for shape in (stored.shape, (new.num_images, *new.shape)))
        return f"images of the shape {now} instead of {before}"
    return f"other pixels, labels, groups or names (digest {new.digest[:16]} instead of {str(stored.digest)[:16]})"


def _checked_source_file(path: Path, options: ImportOptions) -> Path:
    """Return `path`; raise `EpochbankError` if `options` would have to change what was imported into it."""
    source = open_source_file(path)
    size = None if options.size == source.shape[:2] else options.size
    harmless = replace(options, on_bad="refuse", size=size, source=replace(options.source, split="source"))
    given = option_words(
        {**asdict(harmless), **asdict(harmless.source), "source": None},
        {**asdict(ImportOptions()), **asdict(SourceOptions())},
    )[::2]
    if given:
        raise EpochbankError(
            f"{path} is a source file of {source.num_images:,} images of {source.shape[0]} x {source.shape[1]}, but "
            f"{' and '.join(given)} apply only when a source is imported. Omit them, or name the original source.",
            usage=True,
        )
    return path
