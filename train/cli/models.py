"""Commands that use the model of a run: `train evaluate`, `predict` and `export`."""

import json
from pathlib import Path
from typing import Any

import click

from ...augment.console import Choice
from ...augment.errors import EpochbankError
from ...augment.shared.progress import counted
from .group import main
from .options import batch_size_option, json_option, trust_option


@main.command()
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option("--split", type=Choice(["validation", "test"]), default="test", help="Split to evaluate on.")
@batch_size_option
@trust_option
@json_option
def evaluate(run: Path | None, split: str, batch_size: int, trust: bool, as_json: bool) -> None:
    """Evaluate the best model of a run on a held-out split.

    RUN is a run directory or its name in runs/; the default is the newest run in runs/.

    \b
    Examples:
      train evaluate
      train evaluate runs/digits-kanji-1f2e3d4c-20260101-120000 --split validation --json
    """
    from ..training.backend import start_backend
    from ..training.run_directory import check_evaluation, check_trust, choose_run, read_config

    directory = choose_run(run)
    check_trust(directory, read_config(directory), trust)
    check_evaluation(directory, split)
    start_backend()
    from ..training.evaluate import evaluate_run

    stored_set, evaluation = evaluate_run(directory, split, batch_size, trust)
    if as_json:
        click.echo(json.dumps({"run": str(directory), "split": split, **evaluation.summary()}))
        return
    click.echo(
        f"{directory}, {split}: accuracy {100 * evaluation.accuracy:.2f} %, loss {evaluation.loss:.4f}, "
        f"{evaluation.num_images:,} images"
    )
    for (true, predicted), count in evaluation.confusions.most_common(5):
        click.echo(f"  {count} x {stored_set.class_names[true]} classified as {stored_set.class_names[predicted]}")


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", metavar="IMAGES...", nargs=-1, required=True, type=click.Path())
@click.option("--top", type=click.IntRange(1), default=5, help="Number of classes to print for each image.")
@batch_size_option
@trust_option
@json_option
def predict(run: Path, images: tuple[str, ...], top: int, batch_size: int, trust: bool, as_json: bool) -> None:
    """Classify images with the best model of a run.

    RUN is a run directory or its name in runs/. IMAGES are files, or folders that are searched for images; unpack
    archives first. They are prepared exactly like those of the set: size, fit, color, inversion and value range. Print
    the likeliest classes of each image with their probabilities; --json prints one JSON object per line.

    \b
    Examples:
      train predict runs/digits-kanji-1f2e3d4c-20260101-120000 scan.png
      train predict runs/mine scans/ --top 1 --json
    """
    from ...api import training_runs
    from ..training.image_arguments import check_image_paths
    from ..training.run_directory import check_trust, find_run, read_config

    check_image_paths(images)
    directory = find_run(run)
    check_trust(directory, read_config(directory), trust)
    unreadable = 0
    for found in training_runs.predict(run, images, top=top, batch_size=batch_size, trust=trust):
        unreadable += "error" in found
        click.echo(json.dumps(found, ensure_ascii=False) if as_json else "\n".join(_prediction_lines(found)))
    if unreadable:
        raise EpochbankError(f"{counted(unreadable, 'image')} cannot be used; expected files that Pillow opens.")


def _prediction_lines(found: dict[str, Any]) -> list[str]:
    """Return one prediction as text."""
    if "error" in found:
        return [f"{found['image']}: {found['error']}"]
    return [str(found["image"]), *(f"  {100 * one['probability']:6.2f} %  {one['class']}" for one in found["classes"])]


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--format", "format_name", type=Choice(["savedmodel", "onnx", "tflite"]), default="savedmodel",
              help="`savedmodel` is a directory of TensorFlow, `tflite` a file of LiteRT; `onnx` needs "
              "epochbank[export].")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="PATH", help="New path of the model.")
@trust_option
def export(run: Path, format_name: str, out: Path, trust: bool) -> None:
    """Export the best model of a run, for use without epochbank.

    RUN is a run directory or its name in runs/. Keras writes the model. classes.json beside it has the class names, by
    label, and how the images were prepared.

    \b
    Examples:
      train export runs/mine --out exported/digits
      train export runs/mine --format tflite --out exported/digits.tflite
    """
    from ...api import training_runs

    for path in training_runs.export(run, out, format_name, trust=trust):
        click.echo(f"{path} written")
