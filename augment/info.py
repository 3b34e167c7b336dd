"""What a set is and holds, as plain JSON values, and as a few lines for people."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from augment.progress import size
from augment.store.description import read_description
from augment.store.manifest import published_epochs, read_manifest


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
    return lines
