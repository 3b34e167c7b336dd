"""A training run in one line, and as HTML for notebooks."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...augment.shared.html.card import Card, some
from ...augment.shared.html.curve import curves
from ...augment.shared.progress import counted, duration
from .fit_options import FitOptions

if TYPE_CHECKING:
    from .run import Run

_LEFT_OUT = ("model", "epochs", "rank", "world_size", "threads", "checkpoint_steps", "checkpoint_minutes")
"""Fields of `FitOptions` that the card does not list as settings."""


def run_text(run: "Run") -> str:
    """Return a run in one line."""
    if run.summary is None:
        state = f"unfinished, {run.num_epochs} of {run.settings.epochs} epochs"
    else:
        state = f"epochs={run.num_epochs}, " + (
            "not evaluated" if run.accuracy is None else f"accuracy={100 * run.accuracy:.2f} %"
        )
    return f"Run({str(run.path)!r}, model={run.settings.model!r}, {state})"


def run_card(run: "Run") -> Card:
    """Return settings, results and learning curves of a run."""
    summary, history = run.summary or {}, run.history
    best = run.best_epoch
    trained = f"{run.num_epochs:,} of {run.settings.epochs:,}" + (
        f", the best is {best + 1}" if best is not None else ""
    )
    names = run.config.get("class_names")
    stored = run.config["set"]
    data = summary.get("data")
    return Card(
        "Run",
        str(run.path),
        [
            *((split, _result(summary.get(split))) for split in ("test", "validation")),
            ("epochs", trained),
            ("model", f"{run.settings.model}, {_parameters(run.config.get('parameters'))}"),
            ("set", f"{Path(stored['path']).name}, fingerprint {stored['fingerprint'][:16]}"),
            ("classes", some(map(str, names), len(names)) if isinstance(names, list) else ""),
            ("settings", _changed(run.settings)),
            ("time", _time(summary)),
            ("data", str(data.get("advice", "")) if isinstance(data, dict) else ""),
        ],
        chart=_chart(history) if run.num_epochs else "",
        notes=[]
        if run.summary
        else [f"The run is not finished. If it was interrupted, continue it: epochbank.resume({str(run.path)!r})"],
    )


def _result(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    accuracy, images = f"{100 * found['accuracy']:.2f} %", counted(int(found["images"]), "image")
    return f"accuracy {accuracy}, loss {found['loss']:.4f}, {images}"


def _parameters(count: Any) -> str:
    return f"{count:,} parameters" if isinstance(count, int) else "parameters unknown"


def _time(summary: dict[str, Any]) -> str:
    if not summary:
        return ""
    rate = summary.get("images_per_second")
    return duration(summary["seconds"]) + (f", {rate:,} images/s" if isinstance(rate, int) else "")


def _changed(settings: FitOptions) -> str:
    """Return the settings that differ from the defaults."""
    given = {field.name: getattr(settings, field.name) for field in fields(FitOptions) if field.name not in _LEFT_OUT}
    default = FitOptions()
    changed = [f"{name}={value!r}" for name, value in given.items() if value != getattr(default, name)]
    return ", ".join(changed) or "the defaults"


def _chart(history: dict[str, list[float]]) -> str:
    """Return the curves of loss and accuracy: training solid, validation dashed."""
    drawn = []
    for name in ("loss", "accuracy"):
        series = [history[key] for key in (name, f"val_{name}") if key in history]
        label = f"{name} by epoch: training {_last(name, series[0])}"
        label += f" (solid), validation {_last(name, series[1])} (dashed)" if len(series) > 1 else ""
        finite = [value for values in series for value in values if abs(value) != float("inf") and value == value]
        drawn.append(
            f"<figure>{curves(label, series, min(finite, default=0.0), max(finite, default=1.0))}"
            f'<figcaption style="max-width:none">{label}</figcaption></figure>'
        )
    return f"<div>{''.join(drawn)}</div>"


def _last(name: str, values: list[float]) -> str:
    return f"{100 * values[-1]:.2f} %" if name == "accuracy" else f"{values[-1]:.4f}"
