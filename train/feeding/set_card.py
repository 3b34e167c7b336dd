"""An open set as HTML for notebooks."""

from ...augment.errors import EpochbankError
from ...augment.shared.html.card import Card, Picture, some
from ...augment.shared.html.thumbnails import webp_data_uri
from ...augment.shared.progress import counted, size
from ...augment.shared.types import shape_text
from ..reading.images_at import named_images
from ..reading.stored_set import StoredSet

_PICTURES, _SIDE = 8, 64


def set_card(stored_set: StoredSet) -> Card:
    """Return what a set holds, with a few images of its first stored epoch. A damaged shard is a problem of the card.

    Of a set in an object store no image is shown, because that would fetch a shard.
    """
    description, epochs = stored_set.description, stored_set.epochs
    try:
        pictures, problems = _pictures(stored_set), []
    except EpochbankError as error:
        pictures, problems = [], [str(error)]
    stored = counted(len(epochs), "stored epoch")
    stored += f": {epochs[0]} to {epochs[-1]}" if len(epochs) > 1 else f": {epochs[0]}"
    splits = {"train": "training", "validation": "validation", "test": "test"}
    bytes_ = sum(entry.bytes for entry in stored_set.entries)
    return Card(
        type(stored_set).__name__,
        stored_set.name,
        [
            ("images", ", ".join(f"{stored_set.num_images[split]:,} {name}" for split, name in splits.items())),
            ("image", shape_text(stored_set.shape)),
            ("classes", some(stored_set.class_names, len(stored_set.class_names))),
            ("epochs", stored),
            ("recipe", f"{description.recipe}, seed {description.identity['seed']}"),
            ("source", description.source["spec"]),
            ("on disk", f"{size(bytes_)} in {counted(len(stored_set.entries), 'shard')}, codec {stored_set.codec}"),
            ("fingerprint", description.fingerprint[:16]),
        ],
        pictures,
        notes=description.warnings,
        problems=problems,
    )


def _pictures(stored_set: StoredSet) -> list[Picture]:
    """Return the first images of the first stored epoch. Raises `EpochbankError` if their shard is damaged."""
    if stored_set.remote is not None:
        return []
    images, names = named_images(stored_set, "epoch", stored_set.epochs[0], _PICTURES)
    return [Picture(webp_data_uri(image, side=_SIDE), name) for image, name in zip(images, names, strict=True)]
