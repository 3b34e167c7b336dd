"""The command line of stage 2: it translates arguments into calls, and results into text.

Each command imports the modules that it needs, so that `--help` is fast.
"""

import json
import os
import shlex
import sys
from contextlib import nullcontext, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from .. import __version__
from ..augment.console import HELP, Choice, Commands, notify
from ..augment.errors import EpochbankError
from ..augment.shared.progress import counted
from .options import (
    batch_size_option,
    cache_option,
    cache_size_option,
    coordinator_option,
    final_option,
    json_option,
    learning_rate_option,
    model_option,
    originals_option,
    precision_option,
    rank_option,
    schedule_option,
    sets_option,
    shuffle_option,
    threads_option,
    training_batch_size_option,
    trust_option,
    world_size_option,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from .streaming.order import Shuffle
    from .training.finish import FitResult
    from .training.processes import Processes
    from .training.ranks import Ranks


@click.group(cls=Commands, context_settings=HELP)
@click.version_option(__version__, prog_name="epochbank")
def main() -> None:
    """Train on a set that `augment run` generated, at the speed of the GPU.

    \b
    Start here:
      augment run digits --epochs 5
      train fit
      train evaluate
    """


@main.command()
@click.argument("name", metavar="[SET]", required=False, type=click.Path())
@model_option
@click.option("--epochs", type=click.IntRange(1), default=30, help="Number of training epochs.")
@training_batch_size_option
@schedule_option
@click.option("--finish-on-originals", type=click.IntRange(0), default=0, metavar="N",
              help="Show only originals in the last N epochs.")  # fmt: skip
@final_option
@click.option("--mixup", type=click.FloatRange(0, 100), default=0.0, metavar="ALPHA",
              help="MixUp: blend each image and its label with another of the batch, with a weight drawn from "
              "Beta(ALPHA, ALPHA); 0 for none.")  # fmt: skip
@click.option("--cutmix", type=click.FloatRange(0, 100), default=0.0, metavar="ALPHA",
              help="CutMix: paste a box of another image of the batch; 0 for none. With --mixup, each image gets one "
              "of the two.")  # fmt: skip
@click.option("--label-smoothing", type=click.FloatRange(0, 1, max_open=True), default=0.0, metavar="E",
              help="Share of each target that is divided among all classes.")  # fmt: skip
@click.option("--views", type=click.IntRange(1), default=1,
              help="Number of views of each image in a batch, which differ in their final augmentation.")  # fmt: skip
@click.option("--teacher", metavar="NAME",
              help="Also train on the labels of this teacher of the set, which `augment teach` wrote.")  # fmt: skip
@click.option("--distill", metavar="A:T",
              help="Share of the teacher in the loss, 0 to 1, and temperature, 1 or more.  "
              "[default: 0.5:1]")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, help="Seed of the weights, dropout and shuffling.")
@learning_rate_option
@click.option("--patience", type=click.IntRange(0), default=10,
              help="Epochs without a higher validation accuracy before training stops; 0 disables "
              "early stopping.")  # fmt: skip
@precision_option
@threads_option
@click.option("--rank", type=click.IntRange(0),
              help="Number of this process, from 0, among --world-size processes that train one model.  "
              "[default: set by torchrun or srun]")  # fmt: skip
@click.option("--world-size", type=click.IntRange(1),
              help="Number of processes that train one model. Each streams its own part of the training images.  "
              "[default: set by torchrun or srun; otherwise 1]")  # fmt: skip
@coordinator_option
@shuffle_option
@click.option("--follow", is_flag=True,
              help="At the beginning of each training epoch, pick up stored epochs that were published since, and drop "
              "retired ones.")  # fmt: skip
@click.option("--wait", is_flag=True,
              help="Wait until the first epoch of SET is published, then train as with --follow. Without SET, wait for "
              "the set that a run is generating; if there is no run, use the newest set.")  # fmt: skip
@click.option(
    "--deterministic",
    is_flag=True,
    help="Compute deterministically: two runs on the same machine give equal metrics. Slower.",
)
@click.option("--checkpoint-minutes", type=click.FloatRange(0), default=5.0,
              help="Minutes between checkpoints; 0 disables time-based checkpoints.")  # fmt: skip
@click.option("--checkpoint-steps", type=click.IntRange(1),
              help="Steps between checkpoints, in addition to --checkpoint-minutes.")  # fmt: skip
@click.option("--log", metavar="NAME,NAME,...",
              help="Experiment trackers that receive the metrics: tensorboard, mlflow, wandb.  "
              "[default: none]")  # fmt: skip
@click.option("--run", type=click.Path(path_type=Path), help="New run directory.  [default: a new one in runs/]")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN",
              help="Continue this interrupted run, a path or a name in runs/, from its last checkpoint, with its "
              "original settings.")  # fmt: skip
@cache_option
@cache_size_option
@trust_option
@sets_option
def fit(name: str | None, run: Path | None, resume: Path | None, wait: bool, cache: Path | None, cache_size: int | None,
        trust: bool, sets: Path, rank: int | None, world_size: int | None, coordinator: str | None,
        **options: object) -> None:  # fmt: skip
    """Train a model on a set and evaluate it.

    SET is a path, a URL such as s3://bucket/sets/NAME, or a name in --sets; the default is the set that was written
    last. The run directory contains the best model, the metrics and the plots. `train fit --resume RUN` continues an
    interrupted run with its original settings. Started by torchrun (Keras on torch) or srun (Keras on JAX or torch),
    several processes train one model.

    \b
    Examples:
      train fit
      train fit sets/digits-kanji-1f2e3d4c --model cnn --epochs 50 --batch-size 512
      train fit --model my_models:wide --originals 0.25
      train fit --final characters --mixup 0.2 --label-smoothing 0.1
      train fit --teacher cnn --distill 0.7:2
      train fit --wait
      train fit --log tensorboard,mlflow
      train fit --resume runs/digits-kanji-1f2e3d4c-20260101-120000
    """
    from .training.processes import find_processes

    processes = find_processes(os.environ, rank, world_size, coordinator)
    if resume is not None:
        from .training.run_directory import check_trust, find_run, find_unfinished

        changes = _options_allowed_with_resume(resume)
        given = changes.pop("model", None)
        run = find_run(resume)
        check_trust(run, find_unfinished(run), trust, given)

        def train(ranks: "Ranks") -> "FitResult | None":
            from ..api import contents
            from .training.resume import resume as resume_fit

            return resume_fit(run, trust=trust, model_name=given, origins=contents.origins, ranks=ranks, **changes)
    else:
        from ..augment.store.catalog import choose_set
        from ..augment.store.objects.urls import url_of
        from .feeding.augmented_set import open_set
        from .feeding.wait import wait_for_epoch
        from .streaming.final import load_final
        from .streaming.follow import check_follow
        from .training.fit_options import FitOptions, check_options
        from .training.model_names import check_model_name
        from .training.run_directory import check_new
        from .training.tracker_names import check_installed

        options["follow"] = options["follow"] or wait
        if options["final"] is not None:
            options["final"] = load_final(str(options["final"]))
        process = {} if processes is None else {"rank": processes.rank, "world_size": processes.world_size}
        fit_options = FitOptions(**options, **process)  # type: ignore[arg-type]
        check_model_name(fit_options.model)
        check_installed(fit_options.trackers)
        check_follow(fit_options.follow, fit_options.world_size or 1)
        if run is not None and processes is None:  # With several, rank 0 checks it once they are connected.
            check_new(run)
        url = url_of(name)
        place = url or (wait_for_epoch(name, sets) if wait else choose_set(name, sets))
        stored_set = open_set(place, wait=wait and url is not None, cache=cache, cache_size=cache_size)
        check_options(fit_options, stored_set)

        def train(ranks: "Ranks") -> "FitResult | None":
            from ..api import contents
            from .training.fit import fit as fit_model

            ranks.say(
                f"{stored_set.name}: {stored_set.num_images['train']:,} training images, "
                f"{counted(len(stored_set.epochs), 'stored epoch')}, {counted(len(stored_set.class_names), 'class')}"
            )
            return fit_model(stored_set, fit_options, run, origins=contents.origins, ranks=ranks)

    result = _train_together(processes, train)
    if result is not None:
        _print_result(result)


def _train_together(processes: "Processes | None", train: "Callable[[Ranks], FitResult | None]") -> "FitResult | None":
    """Start Keras, connect the processes that train one model, and train."""
    from .training.backend import start_backend

    connected: list[Ranks] = []

    def connect() -> None:
        from .training.ranks import start_ranks

        connected.append(start_ranks(processes))

    started = start_backend(connect)
    (ranks,) = connected
    with ranks.together():
        ranks.say(started)
        return train(ranks)


def _print_result(result: "FitResult") -> None:
    for split, evaluation in result.evaluations.items():
        click.echo(
            f"{split:10} accuracy {100 * evaluation.accuracy:.2f} %  loss {evaluation.loss:.4f}  "
            f"({evaluation.num_images:,} images)"
        )
    click.echo(f"data       {result.advice}")
    click.echo(f"seen       {result.summary['data'].get('exposure', 'unknown')}")
    click.echo(f"model      {result.run / 'model.keras'}")
    click.echo("report     " + "\n           ".join(map(str, result.files)))
    shown = next(iter(result.evaluations), "")
    if shown and not result.evaluations[shown].confusions:
        click.echo(f"           no mistakes on the {shown} split, so there is no image of them")
    click.echo(f"\nNext: train predict {shlex.quote(str(result.run))} IMAGE...")


def _options_allowed_with_resume(resume: Path) -> dict[str, Any]:
    """Return the options given with `--resume`; refuse those that would change the training."""
    context = click.get_current_context()
    given = [param for param in context.command.params
             if context.get_parameter_source(param.name or "") is not ParameterSource.DEFAULT]  # fmt: skip
    allowed = {"checkpoint_minutes", "checkpoint_steps", "threads", "follow", "model", "log"}
    placing = {"rank", "world_size", "coordinator"}
    refused = [param.opts[0] if isinstance(param, click.Option) else "SET"
               for param in given if param.name not in {"resume", "trust", *placing, *allowed}]  # fmt: skip
    if refused:
        raise EpochbankError(
            f"{', '.join(refused)} cannot be combined with --resume, which continues {resume} with the settings in its "
            "config.json; expected no other option than --checkpoint-minutes, --checkpoint-steps, --threads, --follow, "
            "--log, --trust, --rank, --world-size, --coordinator and the run's own --model. "
            "Remove the others, or start a new run without --resume.",
            usage=True,
        )
    return {param.name: context.params[param.name] for param in given if param.name in allowed}


@main.command()
@click.argument("source", metavar="SET|SOURCE", type=click.Path())
@click.option("--epochs-stored", default="1,2,4,8,16", metavar="N,N,...",
              help="Numbers of stored epochs to compare; 0 for originals only.")  # fmt: skip
@click.option("--fresh/--no-fresh", default=True,
              help="Also train with another stored epoch in each training epoch, as if images were distorted while "
              "training.")  # fmt: skip
@final_option
@click.option("--seeds", type=click.IntRange(1), default=3,
              help="Number of training runs, with seeds 0, 1, and so on, for each number of stored "
              "epochs.")  # fmt: skip
@click.option("--tolerance", type=click.FloatRange(0), default=0.2,
              help="Difference in accuracy that does not matter, in percentage points.")  # fmt: skip
@model_option
@click.option("--epochs", type=click.IntRange(1), default=30, help="Number of training epochs.")
@training_batch_size_option
@originals_option
@learning_rate_option
@precision_option
@threads_option
@click.option("--recipe", default="kanji", metavar="NAME|FILE", help="Recipe, if a SOURCE is given.")
@click.option("--jobs", type=click.IntRange(1), help="Worker processes that generate.  [default: one per core]")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR",
              help="Directory of the study.  [default: studies/SET]")  # fmt: skip
@click.option("--trust", is_flag=True,
              help="Execute the code that the set's recipe names. Only for sets that you trust.")  # fmt: skip
@sets_option
@json_option
def study(source: str, epochs_stored: str, as_json: bool, **options: Any) -> None:
    """Find out how many stored epochs suffice.

    Generate the stored epochs that are missing, train a model on each number of them, and compare the accuracies with
    those of fresh distortion in each training epoch. All training runs have the same number of steps. If the command is
    interrupted, run it again to continue. DIR gets a directory for each run, results.json and results.png.

    \b
    Examples:
      train study digits --epochs-stored 1,2 --epochs 4 --seeds 2
      train study sets/digits-kanji-1f2e3d4c --final characters
    """
    from ..api import studies

    try:
        numbers = [int(number) for number in epochs_stored.split(",")]
    except ValueError:
        raise EpochbankError(
            f"--epochs-stored {epochs_stored}; expected whole numbers separated by commas, such as 1,2,4.", usage=True
        ) from None
    with redirect_stdout(sys.stderr) if as_json else nullcontext():  # Standard output is for the JSON.
        result = studies.study(source, numbers, **options)
    if as_json:
        click.echo((result.directory / "results.json").read_text(encoding="utf-8"), nl=False)
        return
    click.echo("\n".join(result.table))
    click.echo("\n" + " ".join([result.verdict, *result.caveats]))
    click.echo(f"plot       {result.directory / 'results.png'}")


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
    from .training.backend import start_backend
    from .training.run_directory import check_evaluation, check_trust, choose_run, read_config

    directory = choose_run(run)
    check_trust(directory, read_config(directory), trust)
    check_evaluation(directory, split)
    start_backend()
    from .training.evaluate import evaluate_run

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
@click.option("--runs", type=click.Path(path_type=Path), default="runs", help="Directory of the runs.")
@json_option
def runs(runs: Path, as_json: bool) -> None:
    """List the runs, the newest last.

    Print the set, model, accuracy on the test split (or validation, if there is no test split), number of epochs, and
    start time of each run.

    \b
    Example:
      train runs
    """
    from .training.run_list import list_runs, run_lines, to_json

    facts, faults = list_runs(runs)
    if as_json:
        click.echo(json.dumps(to_json(facts), indent=2, ensure_ascii=False))
    elif facts:
        click.echo("\n".join(run_lines(facts)))
    elif not faults:
        click.echo(f"There is no run in {runs}/. Create one: train fit")
    if faults:
        raise EpochbankError("\n".join(faults))


@main.command()
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE",
              help="Path of the HTML file.  [default: report.html in the run directory]")  # fmt: skip
@click.option("--evaluate", is_flag=True,
              help="First evaluate the model again and store its predictions in the run directory, for runs of earlier "
              "versions of epochbank. This needs the set.")  # fmt: skip
@click.option("--open", "open_it", is_flag=True, help="Show the report in the web browser.")
@batch_size_option
@trust_option
def report(run: Path | None, out: Path | None, open_it: bool, **options: Any) -> None:
    """Write the report of a run as one HTML file.

    RUN is a run directory or its name in runs/; the default is the newest run in runs/. `train fit` writes this report,
    too. It has the learning curves, the confusions and worst mistakes with their images, the accuracy of each class,
    the set, the settings, the machine, and the command that repeats the training.

    \b
    Examples:
      train report
      train report --open
      train report runs/digits-kanji-1f2e3d4c-20260101-120000 --out report.html
      train report runs/old --evaluate
    """
    from ..api import training_runs
    from ..augment.shared.html.page import show_page
    from .training.run_directory import choose_run

    written = training_runs.report_run(choose_run(run), out, **options)
    click.echo(f"{written} written")
    if open_it:
        show_page(written)


@main.command()
@click.argument("runs", metavar="RUN RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--split", type=Choice(["validation", "test"]),
              help="Split to compare on.  [default: test, or validation if a run was not tested]")  # fmt: skip
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Also write the comparison as a page.")
@json_option
def compare(runs: tuple[Path, ...], split: str | None, html: Path | None, as_json: bool) -> None:
    """Compare runs: settings, accuracies, classes.

    RUN is a run directory or its name in runs/. Print the accuracies with 95 % confidence intervals (Wilson), the
    settings that differ, McNemar's exact test between runs on the same images (p-values of several pairs adjusted by
    Holm's method), and which classes each run classifies better or worse than the first one. Runs that differ in the
    seed only have a mean and a standard error. The page also has the learning curves.

    \b
    Examples:
      train compare runs/first runs/second
      train compare runs/seed-* --html compared.html
      train compare runs/first runs/second --json
    """
    from ..api import training_runs
    from .training.compare.text import lines

    comparison = training_runs.comparison(runs, html, split=split)
    for note in comparison.notes:
        notify(note)
    if as_json:
        click.echo(json.dumps(comparison.to_json(), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(lines(comparison)))
    if html is not None:
        notify(f"{html} written")


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
    from ..api import training_runs
    from .training.image_arguments import check_image_paths
    from .training.run_directory import check_trust, find_run, read_config

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
    from ..api import training_runs

    for path in training_runs.export(run, out, format_name, trust=trust):
        click.echo(f"{path} written")


@main.command()
@click.argument("name", metavar="[SET]", required=False, type=click.Path())
@training_batch_size_option
@originals_option
@click.option("--seconds", type=click.FloatRange(0), default=5.0,
              help="Minimum seconds of each measurement: streaming, and with --model up to four times as long for "
              "the rounds of training steps.")  # fmt: skip
@threads_option
@rank_option
@world_size_option
@shuffle_option
@final_option
@click.option("--model", metavar="NAME|MODULE:FUNCTION", help="Also time training steps of this model.")
@click.option("--steps", type=click.IntRange(2), default=50,
              help="Training steps in each round; a model is measured in 5 to 25 rounds.")  # fmt: skip
@precision_option
@cache_option
@cache_size_option
@sets_option
def bench(name: str | None, batch_size: int | None, originals: float, seconds: float, threads: int | None,
          rank: int | None, world_size: int | None, shuffle: "Shuffle", final: str | None, model: str | None,
          steps: int, precision: str, cache: Path | None, cache_size: int | None, sets: Path) -> None:  # fmt: skip
    """Measure how fast a set streams.

    SET is a path, a URL, or a name in --sets; the default is the set that was written last. With --model, also measure
    the headroom (the time of a training step on the stream, divided by that of a step on one cached batch) and the
    utilization of an NVIDIA GPU. This takes at least five rounds, and more if the rounds differ, for up to four times
    --seconds.

    \b
    Examples:
      train bench
      train bench --final characters
      train bench --model cnn --batch-size 1024 --precision mixed_float16
    """
    from ..augment.store.catalog import choose_set
    from ..augment.store.objects.urls import url_of
    from .benchmark.measure import step_time, stream_rate
    from .feeding.augmented_set import open_set
    from .feeding.batch_options import BatchOptions
    from .streaming.batches import TrainingBatches, suitable_batch_size
    from .streaming.stream import Stream
    from .training.backend import start_backend
    from .training.model_names import check_model_name
    from .training.trainable import check_classes

    if model is not None:
        check_model_name(model)
    stored_set = open_set(url_of(name) or choose_set(name, sets), cache=cache, cache_size=cache_size)
    num_images = stored_set.num_images["train"]
    batch_size = batch_size or suitable_batch_size(num_images, originals)
    batches = full_batches = TrainingBatches(
        num_images, stored_set.epochs, batch_size, originals, rank or 0, world_size or 1
    )
    if model is not None:
        check_classes(stored_set)
        full_batches = replace(batches, drop_last=True)
    options = BatchOptions(final).stream_options(stored_set, 0)
    stream = Stream(stored_set, batches, seed=0, threads=threads, shuffle=shuffle, **options)
    click.echo("\n".join(stream_rate(stream, seconds).lines()))
    if model is not None:
        notify(start_backend())
        stream = Stream(stored_set, full_batches, seed=0, threads=threads, shuffle=shuffle, **options)
        click.echo("\n".join(step_time(stream, model, steps, precision, 4 * seconds).lines()))
