"""Explaining one stored picture: where it came from and what was done, without generating anything else."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..distortion.draw import Applied
from ..distortion.label_check import applied_at
from ..distortion.operations import OwnOperation
from ..distortion.recipe import Recipe
from ..errors import EpochbankError
from ..generation.epoch_content import distorted_at, draw_at, order_at, part_of, position_of
from ..generation.request import recipe_of
from ..ingest.source_file import open_source_file
from ..store.description import Description, read_description
from ..store.manifest import read_manifest
from ..store.shard import read_run
from ..store.split_file import group_name
from .contact_sheet import Cell, contact_sheet


def explain(directory: Path, epoch: int, position: int) -> dict[str, Any]:
    """`row`, `label`, `class`, `group`, `stages` and more of the picture at `position` of stored epoch `epoch`.

    Each stage is `{"op": name, ...}` with the parameters under Pillow's names, which suffice to make
    the picture again from the original; `attempt` is the number of the draw that label safety took, after those in
    `rejected`, and `undistorted` is true where none was safe. The epoch need not be generated yet, but the original is
    needed to judge a draw: `EpochbankError` where neither set nor source file has it.
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
    picture = int(order_at(directory, description, "epoch", epoch, np.array([position]))[0])
    row, label = int(rows.row[picture]), int(rows.label[picture])
    recipe = recipe_of(description)
    attempt, rejected = _attempts(directory, description, recipe, epoch, position, row)
    applied = applied_at(recipe, partial(draw_at, description, recipe, epoch), position, attempt)
    return {
        "set": str(directory),
        "epoch": epoch,
        "position": position,
        "row": row,
        "label": label,
        "class": description.class_names[label],
        "group": None if rows.group is None else group_name(directory, int(rows.group[picture])),
        "origin": _origin(description.source_path(directory), row),
        "attempt": attempt,
        "rejected": rejected,
        "undistorted": applied is None,
        "stages": [stage_facts(stage) for stage in applied or []],
    }


def _attempts(
    directory: Path, description: Description, recipe: Recipe, epoch: int, position: int, row: int
) -> tuple[int, list[dict[str, Any]]]:
    """The number of the draw that was taken, and those that label safety rejected, each with what is to blame."""
    if recipe.safety is None:
        return 0, []
    before = original(directory, description, row)[None]
    done = distorted_at(description, recipe, epoch, np.array([position]), before)
    return int(done.attempt[0]), [
        {
            "attempt": int(one["attempt"]),
            "op": one["operation"].decode(errors="replace"),
            "lost": round(float(one["lost"]), 4),
        }
        for one in done.rejected
    ]


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
    for one in facts["rejected"]:
        ink = f"{100 * one['lost']:.0f} % of the ink lost, most of it by {one['op']}"
        why = ink if one["lost"] else f"blank after {one['op']}"
        lines.append(f"again  attempt {one['attempt']} was not taken: {why}")
    nothing = f"done   nothing: {'no attempt was safe' if facts['undistorted'] else 'no stage applied'}"
    lines += [f"done   {stage_text(stage)}" for stage in facts["stages"]] or [nothing]
    return lines


_IN_WORDS = {
    "rotate": "rotate {degrees:+.1f}\N{DEGREE SIGN}",
    "shear": "shear {x:+.2f} {y:+.2f}",
    "scale": "scale {width}x{height} +{left}+{top}",
    "blur": "blur {radius:.2f}",
    "affine": "affine {degrees:+.1f}\N{DEGREE SIGN} x{scale:.2f}",
    "crop": "crop {width}x{height} +{left}+{top}",
    "elastic": "elastic {alpha:.0f}/{sigma:.1f}",
    "stroke": "stroke {strength:+.2f}",
    "contrast": "contrast {contrast:.1f} {brightness:+.1f} ^{gamma:.1f}",
    "noise": "noise {amount:.1f}",
    "colour": "colour {brightness:.1f} {saturation:.1f} {hue:+.2f}",
    "albumentations": "albumentations {seed}",
}


def stage_text(stage: dict[str, Any]) -> str:
    """One stage in a few words: `rotate -3.2\N{DEGREE SIGN}`."""
    op = stage["op"]
    if op == "sine":
        return f"sine {min(stage['shift'])} to {max(stage['shift'])} rows"
    if op == "erase":
        return f"erase {sum(width > 0 for _, _, width, _ in stage['boxes'])}"
    return _IN_WORDS[op].format(**stage) if op in _IN_WORDS else op


def explain_sheet(directory: Path, facts: dict[str, Any]) -> Image.Image:
    """The picture before and after, side by side, with what was done."""
    description = read_description(directory)
    before = original(directory, description, facts["row"])
    position = np.array([facts["position"]])
    after = distorted_at(description, recipe_of(description), facts["epoch"], position, before[None]).pictures[0]
    done = [stage_text(stage) for stage in facts["stages"]]
    title = f"epoch {facts['epoch']}, position {facts['position']}: {facts['class']}"
    caption = ["before", f"row {facts['row']}"]
    return contact_sheet(title, [[Cell(before, caption, marked=True), Cell(after, ["after", *done])]])


def original(directory: Path, description: Description, row: int) -> np.ndarray:
    """The undistorted training picture of `row`, uint8 (H, W, C), from the set itself, or else from its source file."""
    picture = int(np.searchsorted(part_of(directory, "train").row, row))
    position = position_of(directory, description, "train", 0, picture)
    for entry in read_manifest(directory):
        if position is not None and entry.part == "train" and entry.start <= position < entry.stop:
            return read_run(directory, entry, position, position + 1)[0][0]
    source = description.source_path(directory)
    if source.exists():
        return open_source_file(source).read(np.array([row]))[0]
    raise EpochbankError(
        f"{directory} does not hold the original of row {row}: its training part is unfinished or, balanced by "
        f"--per-class, has other pictures of the class; and its source file {source} is gone. Restore the file, or "
        "import the source again; the same `augment run` completes an unfinished part."
    )


def _origin(path: Path, row: int) -> str | None:
    return open_source_file(path).origin(row) if path.exists() else None
