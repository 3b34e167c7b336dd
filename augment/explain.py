"""Explaining one stored picture: where it came from and what was done, without generating anything else."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from augment.content import draw_at, order_at, part_of, position_of
from augment.distort import distort
from augment.draw import Applied
from augment.errors import EpochbankError
from augment.operations import OwnOperation
from augment.request import recipe_of
from augment.sheet import Cell, contact_sheet
from augment.source_file import open_source_file
from augment.store.description import Description, read_description
from augment.store.manifest import read_manifest
from augment.store.shard import read_run
from augment.store.split_file import group_name


def explain(directory: Path, epoch: int, position: int) -> dict[str, Any]:
    """`row`, `label`, `class`, `group`, `stages` and more of the picture at `position` of stored epoch `epoch`.

    Each stage is `{"op": name, ...}` with the parameters under Pillow's names, which suffice to make
    the picture again from the original. The epoch need not be generated yet.
    """
    description = read_description(directory)
    count = description.images["train"]
    if not 0 <= position < count or epoch < 0:
        raise EpochbankError(
            f"there is no position {position} in epoch {epoch} of {directory}; "
            f"expected an epoch of 0 or more and a position from 0 to {count - 1}.",
            words=True,
        )
    rows = part_of(directory, "epoch")
    picture = int(order_at(description, "epoch", epoch, np.array([position]))[0])
    row, label = int(rows.row[picture]), int(rows.label[picture])
    recipe = recipe_of(description)
    (applied,) = draw_at(description, recipe, epoch, position, position + 1).applied(recipe)
    return {
        "set": str(directory),
        "epoch": epoch,
        "position": position,
        "row": row,
        "label": label,
        "class": description.class_names[label],
        "group": None if rows.group is None else group_name(directory, int(rows.group[picture])),
        "origin": _origin(description.source_path(directory), row),
        "stages": [stage_facts(stage) for stage in applied],
    }


def stage_facts(applied: Applied) -> dict[str, Any]:
    """`{"op": name, ...}` with the parameters as JSON values, or the digest of an own operation's source."""
    if isinstance(applied.operation, OwnOperation):
        return {"op": applied.op, **applied.operation.settings()}
    plain = {
        key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in applied.parameters.items()
    }
    return {"op": applied.op, **plain}


def explain_lines(facts: dict[str, Any]) -> list[str]:
    """`explain()` for people."""
    lines = [
        f"{facts['set']}, epoch {facts['epoch']}, position {facts['position']}",
        f"from   row {facts['row']} of the source: {facts['origin'] or 'the source file is gone'}",
        f"class  {facts['class']} (label {facts['label']})"
        + (f", group {facts['group']}" if facts["group"] is not None else ""),
    ]
    lines += [f"done   {stage_text(stage)}" for stage in facts["stages"]] or ["done   nothing: no stage applied"]
    return lines


_IN_WORDS = {
    "rotate": "rotate {degrees:+.1f}\N{DEGREE SIGN}",
    "shear": "shear {x:+.2f} {y:+.2f}",
    "scale": "scale {width}x{height} +{left}+{top}",
    "blur": "blur {radius:.2f}",
}


def stage_text(stage: dict[str, Any]) -> str:
    """One stage in a few words: `rotate -3.2\N{DEGREE SIGN}`."""
    op = stage["op"]
    if op == "sine":
        return f"sine {min(stage['shift'])} to {max(stage['shift'])} rows"
    return _IN_WORDS[op].format(**stage) if op in _IN_WORDS else op


def explain_sheet(directory: Path, facts: dict[str, Any]) -> Image.Image:
    """The picture before and after, side by side, with what was done."""
    description = read_description(directory)
    recipe = recipe_of(description)
    before = original(directory, description, facts["row"])
    drawn = draw_at(description, recipe, facts["epoch"], facts["position"], facts["position"] + 1)
    after = distort(before[None], recipe, drawn)[0]
    done = [stage_text(stage) for stage in facts["stages"]]
    title = f"epoch {facts['epoch']}, position {facts['position']}: {facts['class']}"
    caption = ["before", f"row {facts['row']}"]
    return contact_sheet(title, [[Cell(before, caption, marked=True), Cell(after, ["after", *done])]])


def original(directory: Path, description: Description, row: int) -> np.ndarray:
    """The undistorted training picture of `row`, uint8 (H, W, C), from the set itself."""
    picture = int(np.searchsorted(part_of(directory, "train").row, row))
    position = position_of(description, "train", 0, picture)
    for entry in read_manifest(directory):
        if entry.part == "train" and entry.start <= position < entry.stop:
            return read_run(directory, entry, position, position + 1)[0][0]
    raise EpochbankError(
        f"{directory} does not hold the original of row {row} yet: its training part is unfinished. "
        "Give the same `augment run` again, which completes it."
    )


def _origin(path: Path, row: int) -> str | None:
    return open_source_file(path).origin(row) if path.exists() else None
