"""What a set is and holds, as plain JSON values, and as a few lines for people."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from augment.progress import size
from augment.run_log import read_log
from augment.store.description import Description, read_description
from augment.store.manifest import Entry, published_epochs, read_manifest
from augment.store.shard import read_rejected


def info(directory: Path) -> dict[str, Any]:
    """The keys that `augment info --json` promises; `EpochbankError` for no set or a damaged one."""
    description, entries = read_description(directory), read_manifest(directory)
    epochs = published_epochs(entries, description.images["train"])
    return {
        "path": str(directory),
        "name": description.name,
        "fingerprint": description.fingerprint,
        "source": description.source,
        "recipe": description.recipe,
        "seed": description.identity["seed"],
        "split": description.identity["split"],
        "images": description.images,
        "classes": len(description.class_names),
        "shape": list(description.shape),
        "codec": "+".join(sorted({entry.codec for entry in entries})),
        "bytes": sum(entry.bytes for entry in entries),
        "shards": len(entries),
        "epochs": [asdict(epoch) for epoch in epochs],
        "redrawn": _redrawn(directory, description, entries),
        "runs": read_log(directory),
    }


def _redrawn(directory: Path, description: Description, entries: list[Entry]) -> dict[str, Any]:
    """What label safety rejected: `images` drawn again, `attempts`, and these `by_operation` and `by_class`."""
    classes: dict[str, Counter[str]] = {}
    for entry in entries:
        if entry.redrawn:
            table, labels = read_rejected(directory, entry)
            for label, operation in zip(labels.tolist(), table["operation"].tolist(), strict=True):
                classes.setdefault(description.class_names[label], Counter())[operation.decode()] += 1
    operations: Counter[str] = sum(classes.values(), Counter())
    return {
        "images": sum(entry.redrawn for entry in entries),
        "attempts": operations.total(),
        "by_operation": dict(operations.most_common()),
        "by_class": {name: dict(counts) for name, counts in sorted(classes.items(), key=lambda one: -one[1].total())},
    }


def info_lines(facts: dict[str, Any]) -> list[str]:
    """`info()` for people."""
    images, (height, width, channels) = facts["images"], facts["shape"]
    epochs = facts["epochs"]
    lines = [
        f"set          {facts['path']}",
        f"fingerprint  {facts['fingerprint']}",
        f"source       {facts['source']['spec']} ({facts['source']['name']})",
        f"recipe       {facts['recipe']}, seed {facts['seed']}",
        f"pictures     {height} x {width} {'grey' if channels == 1 else 'RGB'}, {facts['classes']:,} classes: "
        f"{images['train']:,} training, {images['validation']:,} validation, {images['test']:,} test",
        f"stored       {size(facts['bytes'])} in {facts['shards']} shards, codec {facts['codec'] or '-'}",
        f"epochs       {len(epochs)} published",
    ]
    lines += [f"  {epoch['epoch']:4d}       {size(epoch['bytes']):>9}  digest {epoch['digest']}" for epoch in epochs]
    redrawn = facts["redrawn"]
    stored = sum(epoch["images"] for epoch in epochs)
    lines.append(f"redrawn      {redrawn['images']:,} of {stored:,} distorted pictures, to keep their labels")
    if redrawn["images"]:
        lines.append(f"  by operation  {_counts(redrawn['by_operation'])}")
        classes = list(redrawn["by_class"].items())
        lines += [f"  class {name}  {_counts(counts)}" for name, counts in classes[:_CLASSES]]
        if len(classes) > _CLASSES:
            lines.append(f"  and {len(classes) - _CLASSES:,} more classes: --json lists them")
    return lines


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


_CLASSES = 5
"""Classes listed, those with the most rejected attempts."""
