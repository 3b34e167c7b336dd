"""Preview: a contact sheet of originals next to their distortions, to judge a recipe by."""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from ..console import notify
from ..distortion.draw import draw_positions
from ..distortion.label_check import applied_at, distort_checked
from ..distortion.recipe import Recipe, check_shape
from ..errors import EpochbankError
from ..generation.advice import recipe_notes
from ..generation.spec import recipe_of
from ..ingest.block import usable_images
from ..ingest.importer import ImportOptions, decide
from ..ingest.preprocess import fit
from ..ingest.resolve import ResolvedSource
from ..ingest.source_file import SourceFile
from ..shared.contact_sheet import Cell, contact_sheet
from ..shared.progress import quiet_progress
from ..shared.spacing import evenly_spaced, limited
from ..sources.decode import BadImage
from ..sources.value_range import in_bytes
from ..store.description import read_description
from ..store.manifest import published_epochs, read_manifest
from ..store.order import order_at, position_of, rows_of_split
from ..store.presence import check_presence
from ..store.shard_read import read_run
from ..store.split_file import check_split
from .explain import explain_position, original, stage_facts, stage_text
from .sample import spread

ORIGINALS = 8
DISTORTIONS = 8
_SAMPLE = 1 << 16
"""Number of positions of a class-balanced epoch that originals are chosen from."""


def preview_source(found: ResolvedSource, recipe: Recipe, options: ImportOptions, seed: int) -> Image.Image:
    """Draw a few images of a source, from as many classes as possible, each with distortions by `recipe`.

    Raises `EpochbankError` if none of them can be used.
    """
    if found.file is not None:
        return _preview_file(found.file, recipe, seed)
    assert found.source is not None
    with tempfile.TemporaryDirectory(prefix="epochbank-") as workspace, quiet_progress(True):
        scan = found.source.scan(Path(workspace))
        indices = limited(scan.labels, options.limit)
        preprocessing, decided, _ = decide(scan, indices, options, name=found.source.name)
        images, names, bad = [], [], []
        for index in indices[spread(scan.labels[indices], ORIGINALS)].tolist():
            for item in in_bytes(scan.reader.read(np.array([index])), preprocessing.value_ranges):
                if isinstance(item, BadImage):
                    bad.append(f"{scan.reader.origin(index)} {item}")
                    continue
                images += [fit(image, preprocessing) for image in usable_images([item])]
                names.append(scan.class_names[scan.labels[index]])
    if not images:
        raise EpochbankError(
            "none of the chosen images can be used:"
            + "".join(f"\n  {one}" for one in bad)
            + "\nList all unusable images with `augment inspect`."
        )
    for note in [*scan.all_notes(), decided, *bad]:
        notify(note)
    return _sheet(found.source.name, np.stack(images), names, recipe, seed)


def _preview_file(file: SourceFile, recipe: Recipe, seed: int) -> Image.Image:
    labels = file.column("label")
    rows = spread(labels, ORIGINALS)
    return _sheet(file.name, file.read(rows), [file.class_names[label] for label in labels[rows]], recipe, seed)


def _sheet(name: str, images: np.ndarray, class_names: list[str], recipe: Recipe, seed: int) -> Image.Image:
    """Draw `images` (uint8 (n, H, W, C)) of these classes, each with distortions by `recipe`."""
    height, width, channels = images.shape[1:]
    shape = height, width, channels
    check_shape(recipe, shape)
    for note in recipe_notes(recipe, images):
        notify(note)
    grid = []
    for number, (image, class_name) in enumerate(zip(images, class_names, strict=True)):
        draws = partial(draw_positions, recipe, shape, f"preview/{seed}", number)
        distorted = distort_checked(np.repeat(image[None], DISTORTIONS, 0), np.arange(DISTORTIONS), recipe, draws)
        cells = [Cell(image, ["original", class_name], marked=True)]
        for position, (result, attempt) in enumerate(zip(distorted.images, distorted.attempt.tolist(), strict=True)):
            applied = applied_at(recipe, draws, position, attempt) or []
            cells.append(Cell(result, [stage_text(stage_facts(one)) for one in applied]))
        grid.append(cells)
    return contact_sheet(f"{name}, recipe {recipe.name}", grid)


def preview_set(directory: Path, trust: bool = False) -> Image.Image:
    """Draw a few images of a set, each with its distortions in the stored epochs, at most eight.

    Raises `EpochbankError` if its recipe names code and `trust` is False.
    """
    description, entries = read_description(directory), read_manifest(directory)
    check_split(directory, description.split_checksum)
    check_presence(directory, entries)
    count = description.num_images["train"]
    epochs = [epoch.epoch for epoch in published_epochs(entries, count)][:DISTORTIONS]
    if not epochs:
        raise EpochbankError(
            f"{directory} has no published epoch to show. Run its `augment run` command again to continue."
        )
    recipe = recipe_of(description, trust)
    grid = []
    rows = rows_of_split(directory, "train")
    shown = np.arange(len(rows.label))
    if description.per_class is not None:  # The first epoch may lack some images.
        shown = np.unique(order_at(directory, description, "epoch", epochs[0], evenly_spaced(count, _SAMPLE)))
    for image in shown[spread(np.asarray(rows.label[shown]), ORIGINALS)].tolist():
        row = int(rows.row[image])
        cells = []
        for epoch in epochs:
            position = position_of(directory, description, "epoch", epoch, image)
            if position is None:
                cells.append(Cell(np.zeros(description.shape, np.uint8), [f"epoch {epoch}", "not sampled"]))
                continue
            facts = explain_position(directory, description, epoch, position, trust)
            (entry,) = (
                entry
                for entry in entries
                if entry.split == "epoch" and entry.epoch == epoch and entry.start <= position < entry.stop
            )
            stored = read_run(directory, entry, position, position + 1)[0][0]
            cells.append(Cell(stored, [f"epoch {epoch}", *(stage_text(stage) for stage in facts["stages"])]))
        before = original(directory, description, row)
        grid.append([Cell(before, ["original", str(facts["class"])], marked=True), *cells])
    return contact_sheet(f"{description.name}, recipe {recipe.name}", grid)
