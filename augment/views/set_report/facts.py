"""The tables of a set's report, from the result of `info`. Pure functions."""

from typing import Any

from ...shared.progress import counted, size
from ...split.report import SplitFacts

_NAMED, _NAME = 3, 24
"""Missing classes that a table names, and characters of each name."""
_CLASSES = 12
"""Classes with the most rejected draws that are listed."""
_SPLITS = {"train": "training", "validation": "validation", "test": "test"}


def numbers(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the most important numbers with their names."""
    height, width, channels = facts["shape"]
    images = sum(split["images"] for split in facts["splits"].values())
    return [
        ("images", f"{images:,}"),
        ("classes", f"{facts['classes']:,}"),
        ("image", f"{height} x {width} {'gray' if channels == 1 else 'RGB'}"),
        ("stored epochs", f"{len(facts['epochs']):,}"),
        ("distorted images", f"{sum(epoch['images'] for epoch in facts['epochs']):,}"),
        ("on disk", size(facts["bytes"])),
    ]


def split_rows(facts: dict[str, Any]) -> list[list[str]]:
    """Return for each split: name, images, share, classes, groups, and the classes that it lacks."""
    splits = {name: SplitFacts.from_json(one) for name, one in facts["splits"].items()}
    total = max(1, sum(one.num_images for one in splits.values()))
    return [
        [
            _SPLITS[name],
            f"{one.num_images:,}",
            f"{100 * one.num_images / total:.1f} %",
            f"{one.classes:,} of {facts['classes']:,}",
            "none" if one.groups is None else f"{one.groups:,}",
            _missing(one.missing),
        ]
        for name, one in splits.items()
    ]


def _missing(names: list[str]) -> str:
    if not names:
        return "none"
    named = [name if len(name) <= _NAME else f"{name[:_NAME]}..." for name in names[:_NAMED]]
    return ", ".join(named) + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")


def label_check(facts: dict[str, Any]) -> dict[str, Any] | None:
    """Return `summary`, sentences, `operations` and `classes`, tables of rejected draws; None without a label check."""
    found = facts["resampled"]
    if found is None:
        return None
    count = sum(epoch["images"] for epoch in facts["epochs"])
    share = f" ({100 * found['images'] / count:.2f} %)" if count else ""
    summary = [
        f"{found['images']:,} of {count:,} distorted images{share} were resampled to keep their labels recognizable."
    ]
    if found["undistorted"]:
        summary.append(f"{found['undistorted']:,} of them are stored undistorted, because all draws were rejected.")
    classes = list(found.get("by_class", {}).items())
    return {
        "summary": summary,
        "attempts": found.get("attempts"),
        "operations": list(found.get("by_operation", {}).items()),
        "classes": [(name, sum(counts.values())) for name, counts in classes[:_CLASSES]],
        "more": max(0, len(classes) - _CLASSES),
    }


def storage_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what is on disk, as names and values."""
    rows = [
        ("on disk", f"{size(facts['bytes'])} in {counted(facts['shards'], 'shard')}"),
        ("codec", facts["codec"] or "none"),
    ]
    if facts["per_class"]:
        least, most = facts["per_class"]
        rows.append(
            ("class balance", f"{least:,} to {most:,} images per class: {facts['images']['train']:,} images per epoch")
        )
    for one in facts["teachers"]:
        what = f"{'originals and ' if one['train'] else ''}{counted(len(one['epochs']), 'stored epoch')}"
        rows.append((f"teacher {one['name']}", f"{one['model']}: {what}, top {one['top']}, {size(one['bytes'])}"))
    if facts["refresh"]:
        rows.append(("refresh", "unfinished; `augment info` shows what is missing"))
    return rows


def provenance_rows(facts: dict[str, Any], identity: dict[str, Any]) -> list[tuple[str, str]]:
    """Return where the set comes from, as names and values; `identity` is what its fingerprint covers."""
    split = facts["split"]
    fractions = ", ".join(
        f"{name} {'as the source defines it' if split[name] == 'source' else format(split[name], 'g')}"
        for name in ("validation", "test")
    )
    rows = [
        ("set", facts["path"]),
        ("tags", ", ".join(facts["tags"])),
        ("fingerprint", facts["fingerprint"]),
        ("source", f"{facts['source']['spec']} ({facts['source']['name']})"),
        ("source file", facts["source_file"] + ("" if facts["source_exists"] else " (missing)")),
        ("source digest", identity["source"]),
        *(("import", note) for note in facts["source"].get("notes", [])),
        ("splits", fractions),
        ("recipe", f"{facts['recipe']}, seed {facts['seed']}"),
        ("last written", facts["written"]),
        ("last used for training", facts["last_used"] or "never"),
    ]
    return [(name, value) for name, value in rows if value]


def run_rows(facts: dict[str, Any]) -> list[list[str]]:
    """Return for each run that wrote: when it ended, version, engine, jobs, images and bytes."""
    rows = []
    for run in facts["runs"]:
        took = run.get("took") if isinstance(run.get("took"), dict) else {}
        written = took.get("bytes") if took else None
        rows.append(
            [
                str(run.get("ended", "")),
                str(run.get("version", "unknown")),
                str(run.get("engine", "")),
                str(run.get("jobs", "")),
                f"{run['images']:,}" if isinstance(run.get("images"), int) else "",
                size(written) if isinstance(written, int) else "",
            ]
        )
    return rows
