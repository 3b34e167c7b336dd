"""A request: a source file, a recipe and what else changes a pixel; and the set that answers it."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..console import say
from ..distortion.recipe import Recipe, Safety, check_shape, recipe_from_settings
from ..errors import EpochbankError
from ..ingest import source_file
from ..ingest.importer import ImportOptions, import_source
from ..ingest.source_file import SourceFile, is_source_file, open_source_file
from ..shared.atomic import make_directory, sweep
from ..shared.lock import writing
from ..sources import Source, open_source
from ..split.balance import PerClass
from ..split.holdout import HeldOut, Pictures, split_key, split_rows
from ..split.report import split_warnings
from ..store import description as store
from ..store import split_file
from ..store.description import PARTS, Description, fingerprint_of, read_description, write_description
from ..store.digest import file_checksum
from ..store.split_file import PartRows, write_split

SOURCES = "sources"
"""Where source files are kept among the sets."""


@dataclass(frozen=True)
class Split:
    """A source's pictures, parted."""

    parts: dict[str, PartRows]
    """By name."""
    warnings: list[str]
    """What people should know of it, one sentence each."""


def pictures_of(source: SourceFile, obey_parts: bool = True) -> Pictures:
    """What a source file says of its pictures, for the split; without parts of its own unless these are obeyed."""
    return Pictures(
        labels=source.column("label"),
        class_names=source.class_names,
        groups=source.column("group") if source.group_names else None,
        parts=source.column("part") if source.parts and obey_parts else None,
        copies=source.column("copy"),
    )


@dataclass(frozen=True)
class Request:
    """What a set is asked to be; the number of epochs, the codec and the workers are not part of it."""

    source: SourceFile
    spec: str
    """The source as the user named it."""
    recipe: Recipe
    seed: int = 0
    held_out: HeldOut = field(default_factory=HeldOut)
    per_class: PerClass | None = None
    """How many pictures of each class an epoch has; None for all of them, once."""
    obey_parts: bool = True
    """Whether parts that the source names are taken as they are."""
    split_rule: int = 2
    """1 is what sets of the first development versions were split by, which are continued as they were made."""

    def __post_init__(self) -> None:
        check_shape(self.recipe, self.source.shape)

    @property
    def identity(self) -> dict[str, Any]:
        """Whatever changes a pixel, as JSON values: what the fingerprint covers."""
        balance = {"per_class": [self.per_class.least, self.per_class.most]} if self.per_class else {}
        return {
            "format": store.FORMAT,
            "source": self.source.digest,
            "split": self._split_identity(),
            "recipe": self.recipe.settings(),
            "seed": self.seed,
            "shape": list(self.source.shape),
            **balance,
        }

    def _split_identity(self) -> dict[str, Any]:
        """The fractions, or that a part is the source's own; and the rule, where another one would split otherwise."""
        fractions = {"validation": float(self.held_out.validation) + 0.0, "test": float(self.held_out.test) + 0.0}
        source, own = self.source, self.source.parts if self.obey_parts else ()
        if self.split_rule == 1 or not (source.group_names or own or source.copies != 0):
            return fractions
        named = dict.fromkeys((part for part in own if part in fractions), "source")
        unknown = {"copies": "unknown"} if source.copies is None else {}
        return fractions | named | {"rule": self.split_rule} | unknown

    def directory(self, sets: Path) -> Path:
        """Where the set stands, or will; a set of this fingerprint is found under any name."""
        fingerprint = fingerprint_of(self.identity)
        for found in sorted(sets.glob(f"*-{fingerprint[:8]}/set.json")):
            return found.parent
        return sets / f"{self.source.name}-{self.recipe.name}-{fingerprint[:8]}"

    def as_stored(self, sets: Path) -> "Request":
        """This request, or what stood for it in earlier versions where just such a set is there.

        It is continued as it was made: the same request finds the same set. Those versions had no label safety, and
        another rule to split by groups.
        """
        if self.existing(sets):
            return self
        rules = (
            [self.split_rule, 1]
            if self.per_class is None and not (self.obey_parts and self.source.parts)
            else [self.split_rule]
        )
        recipes = [self.recipe, replace(self.recipe, safety=None)] if self.recipe.safety == Safety() else [self.recipe]
        before = (replace(self, split_rule=rule, recipe=recipe) for rule in rules for recipe in recipes)
        return next((request for request in before if request.existing(sets)), self)

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

    def split(self) -> Split:
        """Rows, labels and groups of each part, and what people should know of them."""
        pictures = pictures_of(self.source, self.obey_parts)
        rows = split_rows(pictures, self.held_out, key=split_key(self.source.digest))
        labels, groups = pictures.labels, pictures.groups
        parts = {
            part: PartRows(rows[part], labels[rows[part]], None if groups is None else groups[rows[part]])
            for part in PARTS
        }
        return Split(parts, split_warnings(self.source, pictures, rows, self.held_out))

    def images(self, parts: dict[str, PartRows]) -> dict[str, int]:
        """Pictures that the set has of each part."""
        sizes = np.bincount(parts["train"].label)
        balanced = {"train": self.per_class.images(sizes)} if self.per_class else {}
        return {part: len(rows.row) for part, rows in parts.items()} | balanced

    def make(self, sets: Path, split: Split) -> Description:
        """Write `split.h5` and `set.json` for `split` into the set's directory, which the caller locked."""
        directory = self.directory(sets)
        write_split(directory, split.parts, self.source.group_names, by_class=self.per_class is not None)
        description = Description(
            fingerprint=fingerprint_of(self.identity),
            identity=self.identity,
            source={
                "name": self.source.name,
                "spec": self.spec,
                "path": self._source_path(sets),
                "notes": self.source.notes,
            },
            recipe=self.recipe.name,
            class_names=self.source.class_names,
            images=self.images(split.parts),
            split_checksum=file_checksum(directory / split_file.NAME),
            warnings=split.warnings,
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
    named = replace(options.source, split="source")
    size = None if options.size == source.shape[:2] else options.size
    same = replace(options, on_bad="refuse", size=size, source=named)
    if same != ImportOptions():
        raise EpochbankError(
            f"{path} is a source file of {source.images:,} pictures of {source.shape[0]} x {source.shape[1]}; --size, "
            "--limit, --invert, --colour, --group-pattern, --etl-sets and --characters act when a source is imported. "
            "Leave them out, or name the original source.",
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
