"""The spec of a set that exists: its source file and recipe, as they are needed to generate further shards."""

from pathlib import Path

from ..errors import EpochbankError
from ..ingest.check_source import WITHOUT_SOURCE
from ..ingest.source_file import SourceFile, open_source_file
from ..store.balance import PerClass
from ..store.description import Description, read_description
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
        stored_source(directory, description),
        recipe_of(description, trust),
        description.identity["seed"],
        per_class=None if limits is None else PerClass(*limits),
    )
    return SetLocation(spec, directory, description)


def stored_source(directory: Path, description: Description) -> SourceFile:
    """Return the source file of the set in `directory`.

    Raises `EpochbankError` if it does not exist or is a different file, and `DamagedSource` if it is damaged.
    """
    path, digest = description.source_path(directory), description.identity["source"]
    if not path.exists():
        raise EpochbankError(
            f"the source file of {directory}, {path}, does not exist, so no shard can be generated; restore it from a "
            f"copy, or run the same `augment run` again (SOURCE was {description.source['spec']!r}). "
            f"{WITHOUT_SOURCE}."
        )
    source = open_source_file(path)
    if source.digest != digest:
        raise EpochbankError(
            f"{path} (digest {source.digest[:12]}) is not the source file that {directory} was made from "
            f"(digest {digest[:12]}); restore that file to generate shards. {WITHOUT_SOURCE}."
        )
    if source.shape != description.shape:
        raise EpochbankError(
            f"set.json of {directory} says that images have shape {description.shape}; expected {source.shape}, as in "
            "its source file. Restore the set from a copy, or generate it again."
        )
    return source
