"""A plan as text, in one line or in several, and as HTML for notebooks."""

from typing import TYPE_CHECKING

from ..shared.html.card import Card
from ..shared.progress import counted, duration, size
from ..shared.types import shape_text
from ..split.report import balance_lines, split_table

if TYPE_CHECKING:
    from .plan import GenerationPlan

_LONG = 1800
"""Seconds from which a time is also given in hours."""


def plan_line(plan: "GenerationPlan") -> str:
    """Return a plan in one line: the set, and what is left to write."""
    name = repr(str(plan.location.directory)) if plan.location else "a new set"
    return f"GenerationPlan({name}: to write: {_to_write(plan)})"


def plan_lines(plan: "GenerationPlan") -> list[str]:
    """Return a plan as the lines of text that `augment plan` prints."""
    total = sum(split.num_images for split in plan.splits.values())
    lines = [
        f"set       {plan.location.directory if plan.location else 'named after its content, after the import'}",
        f"images    {total:,} of {shape_text(plan.shape)}, {counted(plan.num_classes, 'class')}",
        *split_table(plan.splits, plan.num_classes),
        *balance_lines("balance   ", plan.per_class, plan.num_images["train"], plan.splits["train"]),
        f"import    {plan.preprocessing}",
        *(f"          {note}" for note in plan.notes),
    ]
    if plan.estimate is None:
        return [*lines, "to write  nothing: the set is complete", *_next_lines(plan)]
    seconds, imported = plan.seconds_on(plan.jobs), plan.import_seconds(plan.jobs)
    return [
        *lines,
        f"to write  {counted(plan.images_to_write, 'image')} in {counted(len(plan.shards), 'shard')}, "
        f"{plan.engine} engine",
        *([f"          {len(plan.lost):,} of them replace missing or incomplete shards"] if plan.lost else []),
        f"bytes     {size(plan.estimate.bytes)} for the set"
        + (f", {size(plan.import_estimate.bytes)} for the source file" if plan.import_estimate else ""),
        f"time      {_hours(seconds)} with {counted(plan.jobs, 'job')} {plan.place}: "
        f"import {duration(imported)}, generation {duration(seconds - imported)}",
        "cores     " + ", ".join(f"{cores}: {duration(plan.seconds_on(cores))}" for cores in plan.cores),
        *_next_lines(plan),
    ]


def _next_lines(plan: "GenerationPlan") -> list[str]:
    if plan.refused:
        return ["", "Next: fix the labels; `augment run` refuses them as they are"]
    return ["", f"Next: {plan.next}"] if plan.next else []


def plan_card(plan: "GenerationPlan") -> Card:
    """Return what `augment plan` prints, for a notebook."""
    splits = split_table(plan.splits, plan.num_classes)
    balance = balance_lines("", plan.per_class, plan.num_images["train"], plan.splits["train"])
    seconds = [f"{cores}: {duration(plan.seconds_on(cores))}" for cores in plan.cores] if plan.estimate else []
    lost = f"{counted(len(plan.lost), 'published shard')} missing or incomplete, which the run generates again"
    return Card(
        "GenerationPlan",
        str(plan.location.directory) if plan.location else "a new set",
        [
            ("images", f"{shape_text(plan.shape)}, {counted(plan.num_classes, 'class')}"),
            *((line.split()[0], line.split(maxsplit=1)[1]) for line in splits),
            ("per epoch", "; ".join(balance)),
            ("import", plan.preprocessing),
            ("to write", _to_write(plan)),
            ("time by cores", ", ".join(seconds)),
            ("next", plan.next),
        ],
        notes=plan.notes,
        problems=[*([lost] if plan.lost else []), *([plan.refused] if plan.refused else [])],
    )


def _to_write(plan: "GenerationPlan") -> str:
    if plan.estimate is None:
        return "nothing, the set is complete"
    imported = ", and the import of the source" if plan.import_estimate else ""
    return (
        f"{counted(plan.images_to_write, 'image')} in {counted(len(plan.shards), 'shard')}{imported}, "
        f"{size(plan.bytes)}, {_hours(plan.seconds_on(plan.jobs))} with {counted(plan.jobs, 'job')}"
    )


def _hours(seconds: float) -> str:
    """Format a time in hours too, if it is long."""
    return f"{seconds / 3600:.1f} hours ({duration(seconds)})" if seconds >= _LONG else duration(seconds)
