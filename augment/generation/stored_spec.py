"""The spec of a set that exists: its source file and recipe, as they are needed to generate further shards."""

from pathlib import Path

from ..errors import EpochbankError
from ..ingest.source_file import SourceFile, open_source_file
from ..split.balance import PerClass
from ..store.description import read_description
from ..store.split_file import check_split
from .location import SetLocation
from .spec import SetSpec, recipe_of


def locate_stored(directory: Path, trust: bool = False) -> SetLocation:
    """Return the location of the set in `directory`, with the source file and the recipe that it was made from.

    The spec has the fields that generation reads: source, recipe, seed and balance. Raises `EpochbankError` if the set,
    its split or its source file is missing or damaged, its recipe names code and `trust` is False, or the code of a
    custom operation has changed.
    """
    description = read_description(directory)
    check_split(directory, description.split_checksum)
    limits = description.per_class
    spec = SetSpec(
        _source_of(directory, description.source_path(directory), description.identity["source"]),
        recipe_of(description, trust),
        description.identity["seed"],
        per_class=None if limits is None else PerClass(*limits),
    )
    return SetLocation(spec, directory, description)


def _source_of(directory: Path, path: Path, digest: str) -> SourceFile:
    what_works = "What is published stays usable: train, evaluate, list and verify do not need the source file"
    if not path.exists():
        raise EpochbankError(
            f"the source file of {directory}, {path}, does not exist, so no shard can be generated. {what_works}; run "
            "the same `augment run` again to import the source, or restore the file from a copy."
        )
    source = open_source_file(path)
    if source.digest != digest:
        raise EpochbankError(
            f"{path} is another source file (digest {source.digest[:12]}) than the one that {directory} was made from "
            f"(digest {digest[:12]}). Restore that file. {what_works}."
        )
    return source
