"""Training a model: `train fit`."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ...augment.errors import EpochbankError
from ...augment.shared.progress import counted
from .group import main
from .options import (
    cache_option,
    cache_size_option,
    coordinator_option,
    final_option,
    learning_rate_option,
    model_option,
    precision_option,
    schedule_option,
    sets_option,
    shuffle_option,
    threads_option,
    training_batch_size_option,
    trust_option,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..training.finish import FitResult
    from ..training.processes import Processes
    from ..training.ranks import Ranks

    Train = Callable[[Ranks], FitResult | None]


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
    from ..training.processes import find_processes

    processes = find_processes(os.environ, rank, world_size, coordinator)
    if resume is not None:
        train = _continued(resume, trust)
    else:
        options["follow"] = options["follow"] or wait
        train = _begun(name, sets, run, processes, wait, options, {"cache": cache, "cache_size": cache_size})
    result = _train_together(processes, train)
    if result is not None:
        _print_result(result)


def _begun(
    name: str | None,
    sets: Path,
    run: Path | None,
    processes: "Processes | None",
    wait: bool,
    options: dict[str, object],
    cache: dict[str, Any],
) -> "Train":
    """Check the options, open the set, and return the training of a new run."""
    from ...augment.store.catalog import choose_set
    from ...augment.store.objects.urls import url_of
    from ..feeding.augmented_set import open_set
    from ..feeding.wait import wait_for_epoch
    from ..streaming.final import load_final
    from ..streaming.follow import check_follow
    from ..training.fit_options import FitOptions, check_options
    from ..training.model_names import check_model_name
    from ..training.run_directory import check_new
    from ..training.tracker_names import check_installed

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
    stored_set = open_set(place, wait=wait and url is not None, **cache)
    check_options(fit_options, stored_set)

    def train(ranks: "Ranks") -> "FitResult | None":
        from ...api import contents
        from ..training.fit import fit as fit_model

        ranks.say(
            f"{stored_set.name}: {stored_set.num_images['train']:,} training images, "
            f"{counted(len(stored_set.epochs), 'stored epoch')}, {counted(len(stored_set.class_names), 'class')}"
        )
        return fit_model(stored_set, fit_options, run, origins=contents.origins, ranks=ranks)

    return train


def _continued(resume: Path, trust: bool) -> "Train":
    """Check the options and the run, and return the training that continues it."""
    from ..training.run_directory import check_trust, find_run, find_unfinished

    changes = _options_allowed_with_resume(resume)
    given = changes.pop("model", None)
    run = find_run(resume)
    check_trust(run, find_unfinished(run), trust, given)

    def train(ranks: "Ranks") -> "FitResult | None":
        from ...api import contents
        from ..training.resume import resume as resume_fit

        return resume_fit(run, trust=trust, model_name=given, origins=contents.origins, ranks=ranks, **changes)

    return train


def _train_together(processes: "Processes | None", train: "Train") -> "FitResult | None":
    """Start Keras, connect the processes that train one model, and train."""
    from ..training.backend import start_backend

    connected: list[Ranks] = []

    def connect() -> None:
        from ..training.ranks import start_ranks

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
