"""What a set is and holds, as plain JSON values, and as a few lines for people."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..generation.run_log import read_log
from ..shared.progress import size
from ..split.balance import PerClass
from ..split.report import PartFacts, balance_lines, part_lines, parts_of_set
from ..store.description import Description, read_description
from ..store.manifest import Entry, published_epochs, read_manifest
from ..store.shard import read_rejected


def info(directory: Path) -> dict[str, Any]:
    """The keys that `augment info --json` promises; `EpochbankError` for no set or a damaged one."""
    description, entries = read_description(directory), read_manifest(directory)
    epochs = published_epochs(entries, description.images["train"])
    stored = _published(entries, description)
    return {
        "path": str(directory),
        "name": description.name,
        "fingerprint": description.fingerprint,
        "source": description.source,
        "recipe": description.recipe,
        "seed": description.identity["seed"],
        "split": description.identity["split"],
        "images": description.images,
        "parts": {part: asdict(facts) for part, facts in parts_of_set(directory, description).items()},
        "per_class": description.per_class,
        "warnings": description.warnings,
        "classes": len(description.class_names),
        "shape": list(description.shape),
        "codec": "+".join(sorted({entry.codec for entry in entries})),
        "bytes": sum(entry.bytes for entry in entries),
        "shards": len(entries),
        "epochs": [asdict(epoch) for epoch in epochs],
        "redrawn": _redrawn(description, stored),
        "runs": read_log(directory),
    }


def _redrawn(description: Description, stored: list[Entry]) -> dict[str, int] | None:
    """Pictures of the published epochs that label safety drew again, and those that it left undistorted."""
    if "safety" not in description.identity["recipe"]:
        return None
    return {
        "images": sum(entry.redrawn for entry in stored),
        "undistorted": sum(entry.undistorted for entry in stored),
    }


def rejections(directory: Path) -> dict[str, Any]:
    """What label safety rejected in the published epochs: `attempts`, `by_operation`, and `by_class` and operation.

    It reads the shards that have any. `EpochbankError` where one cannot be read.
    """
    description, entries = read_description(directory), read_manifest(directory)
    classes: dict[str, Counter[str]] = {}
    for entry in _published(entries, description):
        if entry.redrawn:
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
    """The shards of published epochs."""
    whole = {epoch.epoch for epoch in published_epochs(entries, description.images["train"])}
    return [entry for entry in entries if entry.part == "epoch" and entry.epoch in whole]


def split_lines(facts: dict[str, Any]) -> list[str]:
    """What `info()` says of the split, for people."""
    parts = {part: PartFacts(**one) for part, one in facts["parts"].items()}
    per_class = PerClass(*facts["per_class"]) if facts["per_class"] else None
    return [
        *part_lines(parts, facts["classes"]),
        *(f"             {warning}" for warning in facts["warnings"]),
        *balance_lines("balance      ", per_class, facts["images"]["train"], parts["train"]),
    ]


def info_lines(facts: dict[str, Any], *, notes: bool = True) -> list[str]:
    """`info()` for people; with the `notes` of the import, or without."""
    height, width, channels = facts["shape"]
    epochs = facts["epochs"]
    lines = [
        f"set          {facts['path']}",
        f"fingerprint  {facts['fingerprint']}",
        f"source       {facts['source']['spec']} ({facts['source']['name']})",
        *(f"             {note}" for note in (facts["source"].get("notes", []) if notes else [])),
        f"recipe       {facts['recipe']}, seed {facts['seed']}",
        f"pictures     {height} x {width} {'grey' if channels == 1 else 'RGB'}, {facts['classes']:,} classes",
        *split_lines(facts),
        f"stored       {size(facts['bytes'])} in {facts['shards']} shards, codec {facts['codec'] or '-'}",
        f"epochs       {len(epochs)} published",
    ]
    lines += [f"  {epoch['epoch']:4d}       {size(epoch['bytes']):>9}  digest {epoch['digest']}" for epoch in epochs]
    redrawn = facts["redrawn"]
    if redrawn is None:
        return [*lines, "redrawn      none: this set has no label safety"]
    count = sum(epoch["images"] for epoch in epochs)
    told = f"redrawn      {redrawn['images']:,} of {count:,} distorted pictures, to keep their labels"
    if redrawn["undistorted"]:
        share = 100 * redrawn["undistorted"] / count
        told += f"; {redrawn['undistorted']:,} of them ({share:.1f} %) left undistorted: no draw was safe"
    return [*lines, told]


def rejections_lines(rejected: dict[str, Any]) -> list[str]:
    """`rejections()` for people."""
    lines = [f"  rejected   {rejected['attempts']:,} draws: {_counts(rejected['by_operation'])}"]
    classes = list(rejected["by_class"].items())
    lines += [f"    class {name}: {_counts(counts)}" for name, counts in classes[:_CLASSES]]
    if len(classes) > _CLASSES:
        lines.append(f"    and {len(classes) - _CLASSES:,} more classes: --json lists them")
    return lines


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


_CLASSES = 5
"""Classes listed, those with the most rejected attempts."""
