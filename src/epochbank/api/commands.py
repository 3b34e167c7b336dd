"""The command that generates a set, to be pasted into a shell."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..augment.distortion.recipe import Recipe, built_in_names
from ..augment.generation.options import GenerationOptions
from ..augment.ingest.importer import ImportOptions
from ..augment.shared.backend import PATIENCE
from ..augment.shared.command_words import option_words
from ..augment.sources import SourceOptions
from ..augment.split.holdout import HeldOut
from .values import DEFAULT_RECIPE, DEFAULT_SETS


def run_command(
    source: str | Path, recipe: str | Path | Recipe, epochs: int, given: Mapping[str, Any], suggested: Mapping[str, str]
) -> str:
    """Return the `augment run` command for these arguments of `generate`, to be pasted into a shell.

    Options that are not given, or have their defaults, are taken from `suggested`.
    """
    defaults = {
        "recipe": DEFAULT_RECIPE,
        "epochs": GenerationOptions.epochs,
        "seed": 0,
        **asdict(SourceOptions()),
        **asdict(ImportOptions()),
        **asdict(HeldOut()),
        "engine": GenerationOptions.engine,
        "patience": PATIENCE,
        "sets": DEFAULT_SETS,
    }
    recipe = recipe.name if isinstance(recipe, Recipe) else str(recipe)
    values = {"recipe": recipe, "epochs": epochs, **given, "wait": None}
    for name, value in suggested.items():
        if values.get(name, defaults[name]) == defaults[name]:
            values[name] = value
    return shlex.join(["augment", "run", str(source), *option_words(values, defaults)])


def stored_run_command(facts: Mapping[str, Any]) -> str:
    """Return the `augment run` command for a set that exists, from the result of `info`, to be pasted into a shell.

    Options that select images, groups and splits of the source are not stored in a set.
    """
    given = {
        name: value for name, value in facts["split"].items() if name in ("validation", "test") and value != "source"
    }
    given |= {"seed": facts["seed"], "per_class": tuple(facts["per_class"]) if facts["per_class"] else None}
    if facts["source"]["path"].startswith("../"):  # Otherwise SOURCE is a source file, which is imported already.
        preprocessing = facts["source"].get("preprocessing") or {}
        height, width, channels = facts["shape"]
        given |= {"size": (height, width), "color": "gray" if channels == 1 else "rgb"}
        given |= {"invert": "yes" if preprocessing["invert"] else "no"} if "invert" in preprocessing else {}
        given |= {"fit": preprocessing.get("fit", ImportOptions.fit)}
        if preprocessing.get("pad_color"):
            color = preprocessing["pad_color"] * (3 if channels == 1 else 1)
            given["pad_color"] = "#" + "".join(f"{value:02x}" for value in color)
    built_in = facts["recipe"] in built_in_names()
    epochs = max((epoch["epoch"] + 1 for epoch in facts["epochs"]), default=GenerationOptions.epochs)
    recipe = facts["recipe"] if built_in else f"{facts['recipe']}.toml"
    return run_command(facts["source"]["spec"], recipe, epochs, given, {})
