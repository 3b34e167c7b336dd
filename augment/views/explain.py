"""Explanation of one stored image: its origin and its distortion, recomputed without generating anything else."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..distortion.draw import Applied
from ..distortion.label_check import applied_at
from ..distortion.operations import CustomOperation
from ..distortion.operations.fill import fill_name
from ..distortion.recipe import Recipe
from ..errors import EpochbankError
from ..generation.epoch_content import distorted_at, draw_at
from ..generation.spec import recipe_of
from ..ingest.source_file import open_source_file
from ..shared.contact_sheet import Cell, contact_sheet
from ..store.description import Description, read_description
from ..store.manifest import read_manifest
from ..store.order import order_at, position_of, rows_of_split
from ..store.shard_read import read_run
from ..store.split_file import check_split, group_name


def explain(directory: Path, epoch: int, position: int, trust: bool = False) -> dict[str, Any]:
    """Return the JSON values of `augment explain --json` for the image at `position` of stored epoch `epoch`.

    Each of `stages` is `{"op": name, ...}` with the parameters under Pillow's names, which suffice to make the image
    from the original. `attempt` is the number of the draw that the label check accepted, after those in `rejected`;
    `undistorted` is true if it accepted none. The epoch need not be generated yet; `stored` is true if the image is in
    the set. Raises `EpochbankError` if the position does not exist, if the recipe names code and `trust` is False, or
    if the original, which the label check needs, is neither in the set nor in its source file.
    """
    description = read_description(directory)
    check_split(directory, description.split_checksum)
    count = description.num_images["train"]
    if not 0 <= position < count or epoch < 0:
        raise EpochbankError(
            f"epoch {epoch} of {directory} has no position {position}; expected an epoch of 0 or more and a position "
            f"from 0 to {count - 1}.",
            usage=True,
        )
    facts = explain_position(directory, description, epoch, position, trust)
    held = (one for one in read_manifest(directory) if one.split == "epoch" and one.epoch == epoch)
    return {**facts, "stored": any(one.start <= position < one.stop for one in held)}


def explain_position(
    directory: Path, description: Description, epoch: int, position: int, trust: bool = False
) -> dict[str, Any]:
    """Like `explain`, for the set with this description, whose `split.h5` is checked, and a valid position."""
    rows = rows_of_split(directory, "epoch")
    image = int(order_at(directory, description, "epoch", epoch, np.array([position]))[0])
    row, label = int(rows.row[image]), int(rows.label[image])
    recipe = recipe_of(description, trust)
    attempt, rejected = _attempts(directory, description, recipe, epoch, position, row)
    applied = applied_at(recipe, partial(draw_at, description, recipe, epoch), position, attempt)
    return {
        "set": str(directory),
        "epoch": epoch,
        "position": position,
        "row": row,
        "label": label,
        "class": description.class_names[label],
        "group": None if rows.group is None else group_name(directory, int(rows.group[image])),
        "origin": _origin(description.source_path(directory), row),
        "attempt": attempt,
        "rejected": rejected,
        "undistorted": applied is None,
        "stages": [stage_facts(stage) for stage in applied or []],
    }


def _attempts(
    directory: Path, description: Description, recipe: Recipe, epoch: int, position: int, row: int
) -> tuple[int, list[dict[str, Any]]]:
    """Return the number of the accepted draw, and the rejected draws, each with the operation that caused it."""
    if recipe.label_check is None:
        return 0, []
    before = original(directory, description, row)[None]
    distorted = distorted_at(description, recipe, epoch, np.array([position]), before)
    return int(distorted.attempt[0]), [
        {
            "attempt": int(one["attempt"]),
            "op": one["operation"].decode(errors="replace"),
            "lost": round(float(one["lost"]), 4),
        }
        for one in distorted.rejected
    ]


def stage_facts(applied: Applied) -> dict[str, Any]:
    """Return `{"op": name, ...}` with the parameters as JSON values; for a custom operation, its source's digest."""
    if isinstance(applied.operation, CustomOperation):
        return {"op": applied.op, **applied.operation.settings()}
    facts = {
        key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in applied.parameters.items()
    }
    return {"op": applied.op, **facts} | ({"fill": fill_name(facts["fill"])} if "fill" in facts else {})


def explain_lines(facts: dict[str, Any]) -> list[str]:
    """Return the result of `explain` as text."""
    group = f", group {facts['group']}" if facts["group"] is not None else ""
    lines = [
        f"{facts['set']}, epoch {facts['epoch']}, position {facts['position']}",
        f"source    row {facts['row']}: {facts['origin'] or 'the source file does not exist'}",
        f"class     {facts['class']} (label {facts['label']}){group}",
    ]
    for one in facts["rejected"]:
        lost = f"{100 * one['lost']:.0f} % of the ink lost, most of it by" if one["lost"] else "blank after"
        lines.append(f"rejected  attempt {one['attempt']}: {lost} {one['op']}")
    nothing = f"applied   nothing: {'all attempts were rejected' if facts['undistorted'] else 'no stage applied'}"
    return lines + ([f"applied   {stage_text(stage)}" for stage in facts["stages"]] or [nothing])


_STAGE_TEXTS = {
    "rotate": "rotate {degrees:+z.1f}\N{DEGREE SIGN}",
    "shear": "shear x {x:+z.2f}, y {y:+z.2f}",
    "scale": "scale to {width}x{height} at {left}, {top}",
    "shift": "shift {x:+d}, {y:+d} pixels",
    "blur": "blur radius {radius:.2f}",
    "affine": "affine {degrees:+z.1f}\N{DEGREE SIGN}, scale x{scale:.2f}",
    "crop": "crop to {width}x{height} at {left}, {top}",
    "elastic": "elastic alpha {alpha:.0f}, sigma {sigma:.1f}",
    "stroke": "stroke {strength:+z.2f}",
    "contrast": "contrast x{contrast:.2f}, brightness {brightness:+z.2f}, gamma {gamma:.2f}",
    "noise": "noise {amount:.1f}",
    "color": "color: hue {hue:+z.2f}, brightness x{brightness:.2f}, saturation x{saturation:.2f}",
    "albumentations": "albumentations {seed}",
}


def stage_text(stage: dict[str, Any]) -> str:
    """Return a stage as a short text: `rotate -3.2\N{DEGREE SIGN}`."""
    op = stage["op"]
    if op == "sine":
        return f"sine {min(stage['shift'])} to {max(stage['shift'])} rows"
    if op == "erase":
        return f"erase {sum(width > 0 for _, _, width, _ in stage['boxes'])}"
    return _STAGE_TEXTS[op].format(**stage) if op in _STAGE_TEXTS else op


def explain_sheet(directory: Path, facts: dict[str, Any], trust: bool = False) -> Image.Image:
    """Draw the image before and after distortion side by side, with the operations that were applied.

    `facts` is the result of `explain`, and `trust` as there.
    """
    description = read_description(directory)
    before = original(directory, description, facts["row"])
    position = np.array([facts["position"]])
    after = distorted_at(description, recipe_of(description, trust), facts["epoch"], position, before[None]).images[0]
    applied = [stage_text(stage) for stage in facts["stages"]]
    title = f"epoch {facts['epoch']}, position {facts['position']}: {facts['class']}"
    caption = ["original", f"row {facts['row']}"]
    return contact_sheet(title, [[Cell(before, caption, marked=True), Cell(after, ["distorted", *applied])]])


def original(directory: Path, description: Description, row: int) -> np.ndarray:
    """Return the undistorted training image of `row`, uint8 (H, W, C), from the set, else from its source file."""
    image = int(np.searchsorted(rows_of_split(directory, "train").row, row))
    position = position_of(directory, description, "train", 0, image)
    for entry in read_manifest(directory):
        if position is not None and entry.split == "train" and entry.start <= position < entry.stop:
            return _of_shape(directory, description, read_run(directory, entry, position, position + 1)[0][0])
    source = description.source_path(directory)
    if source.exists():
        return _of_shape(directory, description, open_source_file(source).read(np.array([row]))[0])
    raise EpochbankError(
        f"{directory} does not contain the original of row {row}, because its training split is incomplete or balanced "
        f"by --per-class, and its source file {source} does not exist. Restore that file, or import the source again."
    )


def _of_shape(directory: Path, description: Description, image: np.ndarray) -> np.ndarray:
    """Return `image` (uint8 (H, W, C)). Raises `EpochbankError` if its shape is not that of the set."""
    if image.shape != description.shape:
        raise EpochbankError(
            f"{directory} contains images of shape {image.shape}; expected {description.shape}, as its set.json says. "
            "Restore the set from a copy, or generate it again."
        )
    return image


def _origin(path: Path, row: int) -> str | None:
    return open_source_file(path).origin(row) if path.exists() else None
