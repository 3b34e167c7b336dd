"""A contact sheet that a person can judge a recipe by: originals beside their distortions."""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from ..console import say
from ..distortion.draw import draw_positions
from ..distortion.label_check import applied_at, distort_safely
from ..distortion.recipe import Recipe, check_shape
from ..errors import EpochbankError
from ..generation.epoch_content import order_at, part_of, position_of
from ..generation.request import FoundSource, recipe_of
from ..ingest.block import one_by_one
from ..ingest.importer import ImportOptions, decide, selection
from ..ingest.source_file import SourceFile
from ..shared.progress import hushed
from ..sources.decode import BadPicture, fit
from ..store.description import read_description
from ..store.manifest import published_epochs, read_manifest
from ..store.shard import read_run
from .contact_sheet import Cell, contact_sheet
from .explain import explain, original, stage_facts, stage_text
from .sample import spread

ORIGINALS = 8
DISTORTIONS = 8
_SAMPLE = 1 << 16
"""Positions of a balanced epoch that originals are chosen from."""


def preview_source(found: FoundSource, recipe: Recipe, options: ImportOptions, seed: int) -> Image.Image:
    """A few pictures of a source, of as many classes as there can be, each with distortions by `recipe`.

    Raises `EpochbankError` where none of them can be used.
    """
    if found.file is not None:
        return _preview_file(found.file, recipe, seed)
    assert found.source is not None
    with tempfile.TemporaryDirectory(prefix="epochbank-") as workspace, hushed(True):
        scan = found.source.scan(Path(workspace))
        indices = selection(len(scan.labels), options.limit)
        treatment, decided = decide(scan, indices, options)
        pictures, names, bad = [], [], []
        for index in indices[spread(scan.labels[indices], ORIGINALS)].tolist():
            for item in scan.reader.read(np.array([index])):
                if isinstance(item, BadPicture):
                    bad.append(f"{scan.reader.origin(index)} {item}")
                    continue
                pictures += [fit(image, treatment) for image in one_by_one([item])]
                names.append(scan.class_names[scan.labels[index]])
    if not pictures:
        raise EpochbankError("no picture that was looked at can be used:" + "".join(f"\n  {one}" for one in bad))
    for note in [*scan.notes, decided, *bad]:
        say(note)
    return _sheet(found.source.name, np.stack(pictures), names, recipe, seed)


def _preview_file(file: SourceFile, recipe: Recipe, seed: int) -> Image.Image:
    labels = file.column("label")
    rows = spread(labels, ORIGINALS)
    return _sheet(file.name, file.read(rows), [file.class_names[label] for label in labels[rows]], recipe, seed)


def _sheet(name: str, pictures: np.ndarray, class_names: list[str], recipe: Recipe, seed: int) -> Image.Image:
    """`pictures` (uint8 (n, H, W, C)) of these classes, each with distortions by `recipe`."""
    height, width, channels = pictures.shape[1:]
    shape = height, width, channels
    check_shape(recipe, shape)
    grid = []
    for number, (picture, class_name) in enumerate(zip(pictures, class_names, strict=True)):
        draws = partial(draw_positions, recipe, shape, f"preview/{seed}", number)
        made = distort_safely(np.repeat(picture[None], DISTORTIONS, 0), np.arange(DISTORTIONS), recipe, draws)
        done = [applied_at(recipe, draws, at, attempt) or [] for at, attempt in enumerate(made.attempt.tolist())]
        grid.append(
            [Cell(picture, ["original", class_name], marked=True)]
            + [
                Cell(distorted, [stage_text(stage_facts(one)) for one in applied])
                for distorted, applied in zip(made.pictures, done, strict=True)
            ]
        )
    return contact_sheet(f"{name}, recipe {recipe.name}", grid)


def preview_set(directory: Path) -> Image.Image:
    """A few pictures of a set, each with what stands for it in the stored epochs."""
    description, entries = read_description(directory), read_manifest(directory)
    count = description.images["train"]
    epochs = [epoch.epoch for epoch in published_epochs(entries, count)][:DISTORTIONS]
    if not epochs:
        raise EpochbankError(f"{directory} has no published epoch to show. Give its `augment run` again.")
    recipe = recipe_of(description)
    grid = []
    rows = part_of(directory, "train")
    shown = np.arange(len(rows.label))
    if description.per_class is not None:  # Not every picture is in the first epoch.
        shown = np.unique(order_at(directory, description, "epoch", epochs[0], selection(count, _SAMPLE)))
    for picture in shown[spread(np.asarray(rows.label[shown]), ORIGINALS)].tolist():
        row = int(rows.row[picture])
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
