"""Information on a set: what it is and what it holds, as JSON values and as text."""

import shlex
from collections import Counter
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from ..generation.run_log import read_log
from ..ingest.check_source import WITHOUT_SOURCE
from ..shared.lock import LOCK, holder_of
from ..shared.progress import counted, size
from ..shared.renamed import rename_keys
from ..split.report import SplitFacts, balance_lines, split_table, splits_of_set
from ..store.balance import PerClass
from ..store.catalog import written_ns
from ..store.description import Description, read_description
from ..store.manifest import Entry, first_epoch, published_epochs, read_manifest
from ..store.objects.mirror import shown
from ..store.presence import lost_shards
from ..store.refresh_goal import NAME as GOAL
from ..store.refresh_goal import read_goal
from ..store.shard_read import read_rejected
from ..store.split_file import check_split
from ..store.tags import read_tags
from ..store.teachers import teacher_facts
from ..store.usage import last_used
from .recipe_text import recipe_lines

_CLASSES = 5
"""Number of classes that are listed, those with the most rejected draws."""


def info(directory: Path) -> dict[str, Any]:
    """Return the JSON values of `augment info --json`. Raises `EpochbankError` if there is no set or it is damaged."""
    description, entries = read_description(directory), read_manifest(directory)
    check_split(directory, description.split_checksum)
    written = datetime.fromtimestamp(written_ns(directory) / 1e9).astimezone()
    used = last_used(directory)
    epochs = published_epochs(entries, description.num_images["train"])
    stored = _published(entries, description)
    return {
        "path": shown(directory),
        "name": description.name,
        "fingerprint": description.fingerprint,
        "source": description.source,
        "source_file": str(description.source_path(directory)),
        "source_exists": description.source_path(directory).exists(),
        "recipe": description.recipe,
        "recipe_settings": description.identity["recipe"],
        "seed": description.identity["seed"],
        "split": description.identity["split"],
        "images": description.num_images,
        "splits": {split: facts.to_json() for split, facts in splits_of_set(directory, description).items()},
        "per_class": description.per_class,
        "warnings": description.warnings,
        "classes": len(description.class_names),
        "shape": list(description.shape),
        "codec": "+".join(sorted({entry.codec for entry in entries})),
        "bytes": sum(entry.bytes for entry in entries),
        "shards": len(entries),
        "lost_shards": len(lost_shards(directory, entries)),
        "written": written.isoformat(timespec="seconds"),
        "last_used": None if used is None else used.astimezone().isoformat(timespec="seconds"),
        "tags": read_tags(directory),
        "epochs": [rename_keys(asdict(epoch), {"num_images": "images"}) for epoch in epochs],
        "teachers": teacher_facts(directory, description),
        "refresh": _refresh(directory, [epoch.epoch for epoch in epochs]),
        "resampled": _resampled(description, stored),
        "runs": read_log(directory),
    }


def _refresh(directory: Path, stored: list[int]) -> dict[str, Any] | None:
    """Return what an unfinished refresh of a set with the published epochs `stored` has left to do; None without one.

    `first` and `stop` are the goal: the epochs from `first` to `stop` - 1. `to_publish` and `to_retire` are numbers of
    epochs, and `writer` says which process writes the set now.
    """
    if not (directory / GOAL).exists():  # Without a refresh, the manifest is not read again.
        return None
    goal = read_goal(directory, stored, first_epoch(directory))
    if goal is None:
        return None
    return {
        **asdict(goal),
        "to_publish": sorted({*range(goal.first, goal.stop)} - {*stored}),
        "to_retire": [epoch for epoch in stored if epoch < goal.first],
        "writer": holder_of(directory / LOCK),
    }


def _resampled(description: Description, stored: list[Entry]) -> dict[str, int] | None:
    """Return how many images of the published epochs are resampled, and undistorted; None without a label check."""
    if "safety" not in description.identity["recipe"]:
        return None
    return {
        "images": sum(entry.resampled for entry in stored),
        "undistorted": sum(entry.undistorted for entry in stored),
    }


def rejections(directory: Path) -> dict[str, Any]:
    """Return what the label check rejected in the published epochs: `attempts`, `by_operation`, `by_class`.

    This reads all shards with rejected attempts. Raises `EpochbankError` if one cannot be read.
    """
    description, entries = read_description(directory), read_manifest(directory)
    classes: dict[str, Counter[str]] = {}
    for entry in _published(entries, description):
        if entry.resampled:
            table, labels = read_rejected(directory, entry)
            for label, operation in zip(labels.tolist(), table["operation"].tolist(), strict=True):
                classes.setdefault(description.class_names[label], Counter())[operation.decode(errors="replace")] += 1
    operations: Counter[str] = sum(classes.values(), Counter())
    return {
        "attempts": operations.total(),
        "by_operation": dict(operations.most_common()),
        "by_class": {name: dict(counts) for name, counts in sorted(classes.items(), key=lambda one: -one[1].total())},
    }


def _published(entries: list[Entry], description: Description) -> list[Entry]:
    """Return the shards of published epochs."""
    complete = {epoch.epoch for epoch in published_epochs(entries, description.num_images["train"])}
    return [entry for entry in entries if entry.split == "epoch" and entry.epoch in complete]


def split_lines(facts: dict[str, Any]) -> list[str]:
    """Return the lines of `info_lines` on the splits, from the result of `info`."""
    splits = {split: SplitFacts.from_json(one) for split, one in facts["splits"].items()}
    per_class = PerClass(*facts["per_class"]) if facts["per_class"] else None
    return [
        *split_table(splits, facts["classes"]),
        *(f"             {warning}" for warning in facts["warnings"]),
        *balance_lines("balance      ", per_class, facts["images"]["train"], splits["train"]),
    ]


def info_lines(facts: dict[str, Any], *, details: bool = True, digests: bool = False) -> list[str]:
    """Return the result of `info` as text.

    `details` includes the notes of the import and the settings of the recipe; `digests` the fingerprint and the digest
    of each epoch.
    """
    height, width, channels = facts["shape"]
    epochs = facts["epochs"]
    lines = [
        f"set          {facts['path']}",
        *([f"tags         {', '.join(facts['tags'])}"] if facts["tags"] else []),
        *([f"fingerprint  {facts['fingerprint']}"] if digests else []),
        f"source       {facts['source']['spec']} ({facts['source']['name']})",
        *(f"             {note}" for note in (facts["source"].get("notes", []) if details else [])),
        *([] if facts["source_exists"] else [f"             {facts['source_file']} is missing. {WITHOUT_SOURCE}"]),
        f"recipe       {facts['recipe']}, seed {facts['seed']}",
        *(recipe_lines(facts["recipe_settings"]) if details else []),
        f"images       {height} x {width} {'gray' if channels == 1 else 'RGB'}, {counted(facts['classes'], 'class')}",
        *split_lines(facts),
        f"stored       {size(facts['bytes'])} in {counted(facts['shards'], 'shard')}, codec {facts['codec'] or '-'}",
        f"epochs       {len(epochs)} published",
    ]
    for epoch in epochs:
        digest = f"  digest {epoch['digest']}" if digests else ""
        lines.append(f"  {epoch['epoch']:4d}       {size(epoch['bytes']):>9}{digest}")
    lines += [
        f"teacher      {one['name']}: {'originals and ' if one['train'] else ''}"
        f"{counted(len(one['epochs']), 'stored epoch')}, top {one['top']}, {size(one['bytes'])}"
        for one in facts["teachers"]
    ]
    if facts["refresh"]:
        lines += _refresh_lines(facts["refresh"], facts["path"])
    if facts["lost_shards"]:
        lines.append(
            f"missing      {counted(facts['lost_shards'], 'shard')}; run the same `augment run` again to generate them "
            "again"
        )
    resampled = facts["resampled"]
    if resampled is None:
        return [*lines, "resampled    none: this set has no label check"]
    count = sum(epoch["images"] for epoch in epochs)
    line = f"resampled    {resampled['images']:,} of {count:,} distorted images, to keep their labels recognizable"
    if resampled["undistorted"]:
        share = 100 * resampled["undistorted"] / count
        line += f"; {resampled['undistorted']:,} of them ({share:.1f} %) are undistorted: all draws were rejected"
    return [*lines, line]


def _refresh_lines(refresh: dict[str, Any], path: str) -> list[str]:
    left = f"epochs to publish: {_numbers(refresh['to_publish'])}; to retire: {_numbers(refresh['to_retire'])}"
    if refresh["writer"]:
        return [f"refresh      running; {left}", f"             {refresh['writer']}"]
    return [
        f"refresh      unfinished; {left}",
        f"             `augment refresh {shlex.quote(path)}` continues it; with --cancel it is canceled",
    ]


def _numbers(epochs: list[int]) -> str:
    return ", ".join(map(str, epochs)) or "none"


def rejections_lines(rejected: dict[str, Any]) -> list[str]:
    """Return the result of `rejections` as text."""
    lines = [f"  rejected   {rejected['attempts']:,} draws: {_counts(rejected['by_operation'])}"]
    classes = list(rejected["by_class"].items())
    lines += [f"    class {name}: {_counts(counts)}" for name, counts in classes[:_CLASSES]]
    if len(classes) > _CLASSES:
        lines.append(f"    and {len(classes) - _CLASSES:,} more classes: --json lists them")
    return lines


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
