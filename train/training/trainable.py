"""What a set needs so that a model can learn from it, checked before Keras is imported, which takes seconds."""

from ...augment.errors import EpochbankError
from ..reading.stored_set import StoredSet


def check_classes(stored_set: StoredSet) -> None:
    """Raise `EpochbankError` if the set has only one class, which every model predicts without learning anything."""
    if len(stored_set.class_names) < 2:
        raise EpochbankError(
            f"{stored_set.path} has 1 class, {stored_set.class_names[0]!r}; a model needs at least 2 to tell apart. "
            "Generate a set of a source with several classes; this one serves only `augment preview` and "
            "`open_set(...).batches()`."
        )
