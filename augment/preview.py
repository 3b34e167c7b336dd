"""A contact sheet that a person can judge a recipe by: originals beside their distortions."""

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from augment.console import say
from augment.content import order_at, part_of, position_of
from augment.draw import draw_positions
from augment.errors import EpochbankError
from augment.explain import explain, original, stage_facts, stage_text
from augment.importing import ImportOptions, import_source, selection
from augment.recipe import Recipe, check_shape
from augment.request import FoundSource, recipe_of
from augment.safety import applied_at, distort_safely
from augment.sheet import Cell, contact_sheet
from augment.source_file import SourceFile, open_source_file
from augment.store.description import read_description
from augment.store.manifest import published_epochs, read_manifest
from augment.store.shard import read_run

ORIGINALS = 8
DISTORTIONS = 8


def preview_source(found: FoundSource, recipe: Recipe, options: ImportOptions, seed: int) -> Image.Image:
    """A few pictures of a source, evenly spaced over it, each with distortions by `recipe`."""
    if found.file is not None:
        return sheet_of(found.file, recipe, seed)
    assert found.source is not None
    few = replace(options, limit=ORIGINALS, on_bad="skip")
    with tempfile.TemporaryDirectory(prefix="epochbank-") as workspace:
        path = Path(workspace) / "sample.h5"
        for note in import_source(found.source, path, few, jobs=1, quiet=True):
            say(note)
        return sheet_of(open_source_file(path), recipe, seed)


def sheet_of(sample: SourceFile, recipe: Recipe, seed: int) -> Image.Image:
    """A few pictures of a source file with distortions by `recipe`."""
    check_shape(recipe, sample.shape)
    labels = sample.column("label")
    rows = selection(sample.images, ORIGINALS)
    grid = []
    for number, picture in enumerate(sample.read(rows)):
        draws = partial(draw_positions, recipe, sample.shape, f"preview/{seed}", number)
        made = distort_safely(np.repeat(picture[None], DISTORTIONS, 0), np.arange(DISTORTIONS), recipe, draws)
        done = [applied_at(recipe, draws, at, attempt) or [] for at, attempt in enumerate(made.attempt.tolist())]
        name = sample.class_names[labels[rows[number]]]
        grid.append(
            [Cell(picture, ["original", name], marked=True)]
            + [
                Cell(distorted, [stage_text(stage_facts(one)) for one in applied])
                for distorted, applied in zip(made.pictures, done, strict=True)
            ]
        )
    return contact_sheet(f"{sample.name}, recipe {recipe.name}", grid)


def preview_set(directory: Path) -> Image.Image:
    """A few pictures of a set, each with what stands for it in the stored epochs."""
    description, entries = read_description(directory), read_manifest(directory)
    count = description.images["train"]
    epochs = [epoch.epoch for epoch in published_epochs(entries, count)][:DISTORTIONS]
    if not epochs:
        raise EpochbankError(f"{directory} has no published epoch to show. Give its `augment run` again.")
    recipe = recipe_of(description)
    grid = []
    spaced = np.unique(np.linspace(0, count - 1, ORIGINALS).astype(int))
    if description.per_class is not None:  # Not every picture is in the first epoch; and those of a class lie together.
        spaced = np.unique(order_at(directory, description, "epoch", epochs[0], spaced))
    for picture in spaced.tolist():
        row = int(part_of(directory, "train").row[picture])
        cells = []
        for epoch in epochs:
            position = position_of(directory, description, "epoch", epoch, picture)
            if position is None:
                cells.append(Cell(np.zeros(description.shape, np.uint8), [f"epoch {epoch}", "has it not"]))
                continue
            facts = explain(directory, epoch, position)
            (entry,) = (
                entry
                for entry in entries
                if entry.part == "epoch" and entry.epoch == epoch and entry.start <= position < entry.stop
            )
            stored = read_run(directory, entry, position, position + 1)[0][0]
            cells.append(Cell(stored, [f"epoch {epoch}", *(stage_text(stage) for stage in facts["stages"])]))
        before = original(directory, description, row)
        grid.append([Cell(before, ["original", str(facts["class"])], marked=True), *cells])
    return contact_sheet(f"{description.name}, recipe {recipe.name}", grid)
