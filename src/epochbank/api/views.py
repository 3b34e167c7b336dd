"""Look at sources and sets: contact sheets, the distortion of an image, and the report."""

import reprlib
from pathlib import Path
from typing import Any, Unpack

from PIL import Image

from ..augment.distortion.recipe import Recipe
from ..augment.errors import EpochbankError
from ..augment.ingest.resolve import resolve_source
from ..augment.store.catalog import named_set, sets_path
from ..augment.views import explain as explanation
from ..augment.views import preview as previews
from ..augment.views.set_report import WrittenReport
from ..augment.views.set_report import report as report_set
from ..train.feeding.augmented_set import AugmentedSet
from .arguments import import_options, load_any_recipe
from .commands import stored_run_command
from .directories import directory_of, optional_path
from .keywords import ImportKeywords
from .values import DEFAULT_RECIPE, DEFAULT_SETS, check_numbers


def preview(
    source: str | Path | AugmentedSet,
    recipe: str | Path | Recipe = DEFAULT_RECIPE,
    *,
    seed: int = 0,
    sets: str | Path = DEFAULT_SETS,
    trust: bool = False,
    **keywords: Unpack[ImportKeywords],
) -> Image.Image:
    """Return a contact sheet (RGB) of originals with their distortions: of a source by `recipe`, or of a stored set.

    Parameters
    ----------
    source
        A source, as on the command line, or an open set, its path or its name in `sets`.
    recipe
        A built-in recipe's name, the path of a TOML file, or a recipe. A stored set has its own.
    seed
        Seed of the distortions of a source.
    sets
        Directory of the sets.
    trust
        Execute the code that the recipe of a stored set names; without it, such a set is refused.
    **keywords
        See `ImportKeywords`.
    """
    check_numbers(seed=seed)
    if isinstance(source, AugmentedSet):
        return previews.preview_set(source.path, trust)
    if not isinstance(source, str | Path):
        raise EpochbankError(
            f"{reprlib.repr(source)} is of type {type(source).__name__}; expected a source, an open set, the path of a "
            f"set, or its name in {sets}/.",
            usage=True,
        )
    is_source = str(source) == "digits" or (Path(source).exists() and not (Path(source) / "set.json").exists())
    directory = None if is_source else named_set(source, sets_path(sets))
    if directory is not None:
        return previews.preview_set(directory, trust)
    options = import_options(keywords)
    resolved = resolve_source(str(source), sets_path(sets), options)
    return previews.preview_source(resolved, load_any_recipe(recipe), options, seed)


def explain(
    name: str | Path | AugmentedSet, epoch: int, position: int, *, sets: str | Path = DEFAULT_SETS, trust: bool = False
) -> dict[str, Any]:
    """Return where the image at `position` of stored epoch `epoch` comes from, and every parameter of its distortion.

    The keys are those of `augment explain --json`. The epoch need not be generated yet. `trust` executes the code that
    the set's recipe names; without it, such a set is refused.
    """
    return explanation.explain(directory_of(name, sets), epoch, position, trust)


def explain_image(
    name: str | Path | AugmentedSet, epoch: int, position: int, *, sets: str | Path = DEFAULT_SETS, trust: bool = False
) -> Image.Image:
    """Return a contact sheet (RGB) of that image before and after its distortion."""
    directory = directory_of(name, sets)
    return explanation.explain_sheet(directory, explanation.explain(directory, epoch, position, trust), trust)


def report(
    name: str | Path | AugmentedSet | None = None,
    out: str | Path | None = None,
    *,
    sets: str | Path = DEFAULT_SETS,
) -> WrittenReport:
    """Write the report on a set, one HTML file that needs no other file and no network, and return its path and faults.

    `out` None stands for `reports/` and the set's name. A page that epochbank wrote is replaced; any other file is not.
    Shards that cannot be read are faults, and the report says what it lacks.
    """
    return report_set(directory_of(name, sets), optional_path(out), stored_run_command)
