"""A request: a source file, a recipe and what else changes a pixel; and the set that answers it."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import augment.source_file as source_file
import augment.store.description as store
import augment.store.split_file as split_file
from augment.console import say
from augment.errors import EpochbankError
from augment.importing import ImportOptions, import_source
from augment.recipe import Recipe, Safety, check_shape, recipe_from_settings
from augment.source_file import SourceFile, is_source_file, open_source_file
from augment.sources import Source, open_source
from augment.split import HeldOut, split_key, split_rows
from augment.store.atomic import make_directory, sweep
from augment.store.description import PARTS, Description, fingerprint_of, read_description, write_description
from augment.store.digest import file_checksum
from augment.store.lock import writing
from augment.store.split_file import PartRows, write_split

SOURCES = "sources"
"""Where source files are kept among the sets."""


@dataclass(frozen=True)
class Request:
    """What a set is asked to be; the number of epochs, the codec and the workers are not part of it."""

    source: SourceFile
    spec: str
    """The source as the user named it."""
    recipe: Recipe
    seed: int = 0
    held_out: HeldOut = field(default_factory=HeldOut)

    def __post_init__(self) -> None:
        check_shape(self.recipe, self.source.shape)

    @property
    def identity(self) -> dict[str, Any]:
        """Whatever changes a pixel, as JSON values: what the fingerprint covers."""
        return {
            "format": store.FORMAT,
            "source": self.source.digest,
            "split": {"validation": float(self.held_out.validation), "test": float(self.held_out.test)},
            "recipe": self.recipe.settings(),
            "seed": self.seed,
            "shape": list(self.source.shape),
        }

    def directory(self, sets: Path) -> Path:
        """Where the set stands, or will; a set of this fingerprint is found under any name."""
        fingerprint = fingerprint_of(self.identity)
        for found in sorted(sets.glob(f"*-{fingerprint[:8]}/set.json")):
            return found.parent
        return sets / f"{self.source.name}-{self.recipe.name}-{fingerprint[:8]}"

    def as_stored(self, sets: Path) -> "Request":
        """This request, without label safety where just such a set is there, from before there was any.

        It is continued as it was made: the same request finds the same set.
        """
        before = replace(self, recipe=replace(self.recipe, safety=None))
        if self.recipe.safety == Safety() and not self.existing(sets) and before.existing(sets):
            return before
        return self

    def existing(self, sets: Path) -> Description | None:
        """The set's description where it has been made already."""
        directory = self.directory(sets)
        if not (directory / "set.json").exists():
            return None
        description = read_description(directory)
        if description.identity != self.identity:
            raise EpochbankError(
                f"{directory} holds another set, with the fingerprint {description.fingerprint}. Move it away."
            )
        return description

    def split(self) -> dict[str, PartRows]:
        """Rows, labels and groups of each part."""
        labels = self.source.column("label")
        groups = self.source.column("group") if self.source.group_names else None
        rows = split_rows(
            labels,
            groups,
            self.held_out,
            key=split_key(self.source.digest),
            class_names=self.source.class_names,
        )
        return {
            part: PartRows(rows[part], labels[rows[part]], None if groups is None else groups[rows[part]])
            for part in PARTS
        }

    def make(self, sets: Path, parts: dict[str, PartRows]) -> Description:
        """Write `split.h5` and `set.json` for the split `parts` into the set's directory, which the caller locked."""
        directory = self.directory(sets)
        write_split(directory, parts, self.source.group_names)
        description = Description(
            fingerprint=fingerprint_of(self.identity),
            identity=self.identity,
            source={"name": self.source.name, "spec": self.spec, "path": self._source_path(sets)},
            recipe=self.recipe.name,
            class_names=self.source.class_names,
            images={part: len(rows.row) for part, rows in parts.items()},
            split_checksum=file_checksum(directory / split_file.NAME),
        )
        write_description(directory, description)
        return description

    def _source_path(self, sets: Path) -> str:
        sources = (sets / SOURCES).resolve()
        inside = self.source.path.parent == sources
        return f"../{SOURCES}/{self.source.path.name}" if inside else str(self.source.path)


@dataclass(frozen=True)
class FoundSource:
    """What the user named as SOURCE, and the source file that stands for it."""

    source: Source | None
    """None where the user named a source file."""
    path: Path
    """Where the source file is, or will be."""

    @property
    def file(self) -> SourceFile | None:
        """The source file, where it exists."""
        return open_source_file(self.path) if self.path.exists() else None


def find_source(spec: str, sets: Path, options: ImportOptions) -> FoundSource:
    """`spec` itself if it is a source file, else the place of one in `sets/sources/`.

    The place is the same as long as the source's files keep their names, sizes and times, and the
    options stay the same.
    """
    if is_source_file(Path(spec)):
        return FoundSource(None, _own_source_file(Path(spec), options))
    source = open_source(spec, options.source)
    key = json.dumps([source_file.FORMAT, source.identity(), options.settings()], sort_keys=True)
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    return FoundSource(source, sets / SOURCES / f"{source.name}-{digest}.h5")


def prepare_source(spec: str, sets: Path, options: ImportOptions, jobs: int) -> SourceFile:
    """The source file of `spec`, imported first where that has not been done yet."""
    found = find_source(spec, sets, options)
    if found.source is not None and not found.path.exists():
        make_directory(found.path.parent)
        with writing(found.path.parent, wait=True):
            if not found.path.exists():
                sweep(found.path.parent)
                for note in import_source(found.source, found.path, options, jobs):
                    say(note)
    return open_source_file(found.path)


def _own_source_file(path: Path, options: ImportOptions) -> Path:
    source = open_source_file(path)
    same = replace(options, on_bad="refuse", size=None if options.size == source.shape[:2] else options.size)
    if same != ImportOptions():
        raise EpochbankError(
            f"{path} is a source file of {source.images:,} pictures of {source.shape[0]} x {source.shape[1]}; --size, "
            "--limit, --invert, --colour and --group-pattern act when a source is imported. Leave them out, or name "
            "the original source.",
            words=True,
        )
    return path


def recipe_of(description: Description) -> Recipe:
    """The recipe that a set was made with; `EpochbankError` where an operation's source or version has changed."""
    try:
        return recipe_from_settings(description.recipe, description.identity["recipe"])
    except ValueError as error:
        raise EpochbankError(
            f"the recipe of {description.name} cannot be had again: {error}. Restore what it was made with."
        ) from error
