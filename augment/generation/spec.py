"""The set spec: what identifies a set. Pure."""

from dataclasses import dataclass, field, replace
from typing import Any

from ..distortion.earlier_recipes import first_photo
from ..distortion.recipe import LabelCheck, Recipe, UntrustedCode, check_shape, recipe_from_settings
from ..errors import EpochbankError
from ..ingest.source_file import SourceFile
from ..split.holdout import HeldOut
from ..store.balance import PerClass
from ..store.description import FORMAT, Description, fingerprint_of


@dataclass(frozen=True)
class SetSpec:
    """What identifies a set: everything that changes a pixel, and nothing else.

    The number of epochs, the codec and the number of workers are not part of it.
    """

    source: SourceFile
    recipe: Recipe
    seed: int = 0
    held_out: HeldOut = field(default_factory=HeldOut)
    per_class: PerClass | None = None
    """Bounds on the number of images per class in an epoch; None for every training image once."""
    use_source_splits: bool = True
    """Whether the splits that the source defines are used."""
    split_rule: int = 2
    """Version of the splitting algorithm; 1 is that of the first sets of format 1."""

    def __post_init__(self) -> None:
        check_shape(self.recipe, self.source.shape)

    @property
    def identity(self) -> dict[str, Any]:
        """The JSON document that the fingerprint covers; its keys are those of format 1."""
        balance = {"per_class": [self.per_class.least, self.per_class.most]} if self.per_class else {}
        return {
            "format": FORMAT,
            "source": self.source.digest,
            "split": self._split_identity(),
            "recipe": self.recipe.settings(),
            "seed": self.seed,
            "shape": list(self.source.shape),
            **balance,
        }

    @property
    def fingerprint(self) -> str:
        """SHA-256 of `identity`, hexadecimal."""
        return fingerprint_of(self.identity)

    @property
    def name(self) -> str:
        """Name of the set's directory: source, recipe, first eight digits of the fingerprint."""
        return f"{self.source.name}-{self.recipe.name}-{self.fingerprint[:8]}"

    def earlier_forms(self) -> "list[SetSpec]":
        """Return the specs that earlier versions had for the same arguments; their sets are found and extended."""
        photo = first_photo(self.recipe)
        forms = [self.first_form(), None if photo is None else replace(self, recipe=photo)]
        return [form for form in forms if form is not None]

    def first_form(self) -> "SetSpec | None":
        """Return the spec of a first set of format 1 made with the same arguments; None if no such set can exist.

        Those sets have no label check, and their groups were split by another rule. `tests/golden` holds one.
        """
        if self.per_class or self.recipe.label_check != LabelCheck() or (self.use_source_splits and self.source.splits):
            return None
        return replace(self, split_rule=1, recipe=replace(self.recipe, label_check=None))

    def _split_identity(self) -> dict[str, Any]:
        """Return fractions, splits that the source defines, and the rule if another one would split differently."""
        fractions = {"validation": float(self.held_out.validation) + 0.0, "test": float(self.held_out.test) + 0.0}
        source, named = self.source, self.source.splits if self.use_source_splits else ()
        if self.split_rule == 1 or not (source.group_names or named or source.duplicates != 0):
            return fractions
        from_source = dict.fromkeys((split for split in named if split in fractions), "source")
        unknown = {"copies": "unknown"} if source.duplicates is None else {}
        return fractions | from_source | {"rule": self.split_rule} | unknown


def recipe_of(description: Description, trust: bool = False) -> Recipe:
    """Return the recipe of a set.

    Raises `EpochbankError` if the recipe names code that would be executed and `trust` is False, or if the source of a
    custom operation, or the version of a library, has changed since.
    """
    try:
        return recipe_from_settings(description.recipe, description.identity["recipe"], trust=trust)
    except UntrustedCode as error:
        raise EpochbankError(
            f"the recipe of {description.name} runs code, {error}, which is not executed for a set that may be "
            "somebody else's. If you trust the set and that code, run the command again with --trust.",
            usage=True,
        ) from error
    except ValueError as error:
        raise EpochbankError(
            f"the recipe of {description.name} cannot be restored: {error}. "
            "Restore the code that the set was made with."
        ) from error
