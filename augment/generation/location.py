"""Finding the set that a spec identifies among those in `sets/`."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import EpochbankError
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
    """Find the set of `spec` in `sets` by its fingerprint; the name before the fingerprint does not matter.

    A set of an earlier form (`SetSpec.earlier_forms`) is found too, and keeps its own spec. Raises `EpochbankError` if
    the directory holds another set.
    """
    location = _locate(spec, sets)
    if location.description is None:
        for earlier in spec.earlier_forms():
            if (found := _locate(earlier, sets)).description is not None:
                return found
    return location


def _locate(spec: SetSpec, sets: Path) -> SetLocation:
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
