"""The facts of the report as pairs (name, value): results, set, settings, machine."""

from collections.abc import Iterable
from typing import Any

from ....augment.shared.progress import counted, duration, size
from ..history import best_epoch
from ..reproduce import settings
from ..run_record import RunRecord
from ..statistics import wilson

Rows = list[tuple[str, Any]]


def numbers(record: RunRecord) -> Rows:
    """Return the most important numbers of a run."""
    rows: Rows = []
    results = {split: found for split in ("test", "validation") if (found := record.result(split))}
    for split, result in results.items():
        low, high = wilson(round(result["accuracy"] * result["images"]), result["images"])
        rows.append((f"{split} accuracy", f"{100 * result['accuracy']:.2f} % ({100 * low:.2f} to {100 * high:.2f})"))
    rows += [(f"{split} loss", f"{result['loss']:.4f}") for split, result in results.items()][:1]
    if record.history:
        epochs = [dict(zip(record.history, row, strict=True)) for row in zip(*record.history.values(), strict=True)]
        best = best_epoch(epochs)
        rows.append(("epochs", f"{len(epochs):,}" if best is None else f"{len(epochs):,} (best: {best + 1:,})"))
    summary = record.summary or {}
    if record.seconds is not None:
        rows.append(("training time", duration(record.seconds)))
    for key, name in (("images_per_second", "images/s"), ("parameters", "parameters")):
        if isinstance(value := summary.get(key), int):
            rows.append((name, f"{value:,}"))
    return rows


def set_rows(record: RunRecord) -> Rows:
    """Return what the set is and holds, as far as the run records it."""
    facts, named, rows = record.facts, record.config["set"], []
    shape = record.config.get("shape")
    images = facts.get("num_images")
    rows += [("set", record.set_name), ("path", named.get("url") or named["path"])]
    rows += [("fingerprint", named["fingerprint"])]
    rows += _given(("source", facts.get("source")), ("recipe", _recipe(facts)), ("seed of the set", facts.get("seed")))
    if isinstance(images, dict):
        counts = [f"{split} {count:,}" for split, count in images.items() if isinstance(count, int)]
        rows.append(("images", ", ".join(counts)))
    rows.append(("classes", f"{len(record.class_names):,}"))
    if isinstance(shape, list) and len(shape) == 3:
        rows.append(("image", f"{shape[0]} x {shape[1]} {'gray' if shape[2] == 1 else 'RGB'}"))
    epochs = record.config.get("stored_epochs")
    if isinstance(epochs, list):
        rows.append(("stored epochs", f"{len(epochs)}{f' ({_ranges(epochs)})' if epochs else ''}, when the run began"))
    if isinstance(stored := facts.get("bytes"), int):
        rows.append(("size", f"{size(stored)}, codec {facts.get('codec')}"))
    return rows


def setting_rows(record: RunRecord) -> tuple[Rows, Rows]:
    """Return the settings that are not defaults, and the others."""
    changed: Rows = []
    defaults: Rows = []
    for name, value, is_default in settings(record.options):
        (defaults if is_default else changed).append((name, shown(value)))
    return changed, defaults


def machine_rows(record: RunRecord) -> Rows:
    """Return the machine, as far as the run records it."""
    machine = record.machine
    memory, gpus = machine.get("memory_bytes"), machine.get("gpus")
    version = f"{machine.get('backend', record.config.get('backend'))} {machine.get('backend_version', '')}".strip()
    rows = _given(
        ("processor", machine.get("processor")),
        ("cores", machine.get("cores")),
        ("memory", size(memory) if isinstance(memory, int) else None),
        ("GPUs", ", ".join(map(str, gpus)) or "none" if isinstance(gpus, list) else None),
        ("system", machine.get("system")),
        ("Python", machine.get("python")),
        ("Keras", machine.get("keras") or record.config.get("keras")),
        ("backend", version),
        ("epochbank", machine.get("epochbank")),
    )
    started = record.config.get("machine")
    if isinstance(started, dict) and (other := [key for key in machine if machine[key] != started.get(key)]):
        rows.append(("when it began", ", ".join(f"{key} {started.get(key)}" for key in other)))
    return rows


def data_rows(record: RunRecord) -> Rows:
    """Return what the run measured of its data, and what it showed."""
    data = (record.summary or {}).get("data")
    data = data if isinstance(data, dict) else {}
    read = data.get("disk_bytes")
    return _given(
        ("data wait", data.get("advice")),
        ("images shown", data.get("exposure")),
        ("read from the disk", f"{size(read)}; the rest came from the page cache" if isinstance(read, int) else None),
    )


def shown(value: Any) -> str:
    """Return the value of a setting as text."""
    return "none" if value is None else {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _given(*rows: tuple[str, Any]) -> Rows:
    """Return the rows that have a value."""
    return [(name, value) for name, value in rows if value not in (None, "")]


def _recipe(facts: dict[str, Any]) -> str | None:
    """Return the name of a recipe and the operations of its stages."""
    if not isinstance(name := facts.get("recipe"), str):
        return None
    settings = facts.get("recipe_settings")
    stages = settings.get("stages") if isinstance(settings, dict) else None
    operations = [
        " or ".join(str(one.get("op")) for one in stage["operations"] if isinstance(one, dict))
        for stage in (stages if isinstance(stages, list) else ())
        if isinstance(stage, dict) and isinstance(stage.get("operations"), list)
    ]
    return f"{name}: {counted(len(operations), 'stage')} ({', '.join(operations)})" if operations else name


def _ranges(numbers: Iterable[Any]) -> str:
    """Return numbers as ranges: `0 to 4, 7`."""
    found: list[list[int]] = []
    for number in sorted(one for one in numbers if isinstance(one, int)):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(low) if low == high else f"{low} to {high}" for low, high in found)
