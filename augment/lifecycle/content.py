"""What two sets are compared by: the content that their fingerprints cover, and the names that people know."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..generation.spec import SetSpec
from ..store.description import Description, read_description


@dataclass(frozen=True)
class SetContent:
    """The content of a set that exists or is about to be generated."""

    label: str
    """The set's path, or its name if it does not exist yet."""
    identity: dict[str, Any]
    """The document that the fingerprint covers (`store.description.Description.identity`)."""
    fingerprint: str
    source: str
    """Name of the source."""
    preprocessing: dict[str, Any]
    """How the import prepared the images; empty if the set does not record it."""
    recipe: str
    """Name of the recipe."""
    num_classes: int


def stored_content(directory: Path) -> SetContent:
    """Return the content of the set in `directory`. Raises `EpochbankError` if there is no set or it is damaged."""
    description: Description = read_description(directory)
    return SetContent(
        str(directory),
        description.identity,
        description.fingerprint,
        description.source["name"],
        description.source.get("preprocessing") or {},
        description.recipe,
        len(description.class_names),
    )


def content_of_spec(spec: SetSpec) -> SetContent:
    """Return the content of the set that `spec` identifies."""
    return SetContent(
        spec.name,
        spec.identity,
        spec.fingerprint,
        spec.source.name,
        spec.source.preprocessing or {},
        spec.recipe.name,
        len(spec.source.class_names),
    )
