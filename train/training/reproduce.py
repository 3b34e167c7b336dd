"""The command that trains a run again, and its settings by option."""

import json
import shlex
from dataclasses import fields
from typing import Any

from ..streaming.batches import suitable_batch_size
from ..streaming.final import built_in_names, load_final
from ..streaming.schedule import OriginalsSchedule
from .fit_options import FitOptions
from .run_record import RunRecord

_OF_PROCESSES = ("rank", "world_size")
"""Options that the processes of a run differ in, or that their launcher sets."""


def settings(options: FitOptions) -> list[tuple[str, Any, bool]]:
    """Return every setting: its option, its value, and whether that is the default."""
    found = []
    for field in fields(FitOptions):
        value = getattr(options, field.name)
        is_default = value == field.default
        if field.name == "final" and value is not None:
            value = value["name"]
        if field.name == "world_size":
            value, is_default = value or 1, (value or 1) == 1
        if field.name != "rank":
            found.append((option(field.name), value, is_default))
    return found


def option(name: str) -> str:
    """Return the option of `train fit` for a field of `FitOptions`."""
    return "--" + name.replace("_", "-")


def command(record: RunRecord) -> str:
    """Return the `train fit` command with the settings of a run that are not defaults.

    The batch size is omitted if it is the one that `train fit` chooses for the set.
    """
    words = ["train", "fit", str(record.config["set"].get("url") or record.config["set"]["path"])]
    for field in fields(FitOptions):
        value = getattr(record.options, field.name)
        if value == field.default or field.name in _OF_PROCESSES:
            continue
        if field.name == "batch_size" and value == _usual_batch_size(record):
            continue
        if field.name == "final":
            value = final_argument(value)
        words += [option(field.name)] if value is True else [option(field.name), _text(value)]
    backend = record.config.get("backend", "tensorflow")
    before = "" if backend == "tensorflow" else f"KERAS_BACKEND={shlex.quote(str(backend))} "
    return before + shlex.join(words)


def final_argument(final: dict[str, Any]) -> str:
    """Return the argument of `--final` for a final recipe: its name if it is built in, or that of a file."""
    name = str(final["name"])
    return name if name in built_in_names() and load_final(name) == final else f"{name}.toml"


def _usual_batch_size(record: RunRecord) -> int | None:
    images = record.facts.get("num_images")
    count = images.get("train") if isinstance(images, dict) else None
    if not isinstance(count, int):
        return None
    share = record.options.share_of_originals
    return suitable_batch_size(count, share.first if isinstance(share, OriginalsSchedule) else share)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
