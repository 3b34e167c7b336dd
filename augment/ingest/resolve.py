"""Resolving SOURCE, as a user names it, to a source file, which is imported if it does not exist yet."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..console import notify
from ..errors import EpochbankError
from ..shared.atomic import make_directory, sweep
from ..shared.command_words import option_words
from ..shared.lock import writing
from ..sources import Scan, Source, SourceOptions, open_source
from ..sources.base import size_and_mtime
from .importer import ImportOptions, import_source
from .source_file import FORMAT, SourceFile, is_source_file, open_source_file

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
        """The source file, if it exists."""
        return open_source_file(self.path) if self.path.exists() else None


def resolve_source(name: str, sets: Path, options: ImportOptions) -> ResolvedSource:
    """Resolve `name` to itself if it is a source file, else to a source file in `sets/sources/`.

    The path stays the same as long as the source's files keep their names, sizes and times, and `options` are equal.
    Raises `EpochbankError` for a source that does not exist, and for options that do not fit it.
    """
    if is_source_file(Path(name)):
        return ResolvedSource(None, _checked_source_file(Path(name), options))
    source = open_source(name, options.source)
    named = options.source.class_names
    names = [] if named is None else [size_and_mtime(Path(named).expanduser())]
    key = json.dumps([FORMAT, source.identity(), options.settings(), *names], sort_keys=True)
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    return ResolvedSource(source, sets / SOURCES / f"{source.name}-{digest}.h5")


def prepare_source(
    name: str, sets: Path, options: ImportOptions, jobs: int, check: Callable[[Scan], None] = lambda scan: None
) -> SourceFile:
    """Return the source file of the source `name`, and import the source first if that file does not exist.

    `check` is that of `import_source`.
    """
    resolved = resolve_source(name, sets, options)
    if resolved.source is not None and not resolved.path.exists():
        make_directory(resolved.path.parent)
        with writing(resolved.path.parent, wait=True):
            if not resolved.path.exists():
                sweep(resolved.path.parent)
                for note in import_source(resolved.source, resolved.path, options, jobs, check=check):
                    notify(note)
    return open_source_file(resolved.path)


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
