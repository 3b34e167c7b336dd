"""Finding the set that a spec identifies among those in `sets/`."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import EpochbankError
from ..store.catalog import all_sets
from ..store.description import Description, read_description
from .spec import SetSpec


@dataclass(frozen=True)
class SetLocation:
    """A set spec, and where its set is or will be."""

    spec: SetSpec
    directory: Path
    description: Description | None
    """None if the set does not exist yet."""


def locate(spec: SetSpec, sets: Path) -> SetLocation:
    """Find the set of `spec` in `sets` by its fingerprint; the name of its directory does not matter.

    A set of an earlier form (`SetSpec.earlier_forms`) is found too, and keeps its own spec. Raises `EpochbankError` if
    the directory of a new set holds another set.
    """
    specs = [spec, *spec.earlier_forms()]
    for one in specs:
        if (found := _named(one, sets)).description is not None:
            return found
    by_fingerprint = {one.fingerprint: one for one in specs}
    for directory in all_sets(sets):  # Somebody may have given the directory another name.
        with suppress(EpochbankError):  # Nothing is known of a damaged set; `augment list` reports it.
            description = read_description(directory)
            match = by_fingerprint.get(description.fingerprint)
            if match is not None and description.identity == match.identity:
                return SetLocation(match, directory, description)
    return _named(spec, sets)


def _named(spec: SetSpec, sets: Path) -> SetLocation:
    """Return the set of `spec` in a directory that ends in its fingerprint, or the directory of the new set."""
    fingerprint = spec.fingerprint
    named = sorted(sets.glob(f"*-{fingerprint[:8]}/set.json"))
    directory = named[0].parent if named else sets / spec.name
    if not (directory / "set.json").exists():
        return SetLocation(spec, directory, None)
    description = read_description(directory)
    if description.identity != spec.identity:
        raise EpochbankError(
            f"{directory} holds another set, with fingerprint {description.fingerprint}. Move it to another directory."
        )
    return SetLocation(spec, directory, description)
