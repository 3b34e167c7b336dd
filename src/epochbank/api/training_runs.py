"""List, compare and report runs, and use their models."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from ..augment.console import notify
from ..augment.errors import EpochbankError
from ..augment.ingest.preprocess import Preprocessing
from ..augment.ingest.stored_preprocessing import image_files, prepared, stored_preprocessing
from ..augment.shared.html.page import check_page
from ..train.training import run_list
from ..train.training.backend import start_backend
from ..train.training.compare.comparison import Comparison, compare_runs
from ..train.training.compare.page import write_comparison
from ..train.training.export import check_export, export_run
from ..train.training.image_arguments import check_image_paths
from ..train.training.run_directory import (
    check_evaluation,
    check_model,
    check_shape,
    check_trust,
    find_run,
    open_set_of,
    read_config,
)
from ..train.training.run_report.page import REPORT, write_run_report
from .directories import optional_path
from .values import DEFAULT_RUNS, check_numbers


def list_runs(runs: str | Path = DEFAULT_RUNS) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the training runs in the directory `runs`, the newest last, and a sentence for each that is unreadable.

    The keys are those of `train runs --json`: `path`, `set`, `fingerprint`, `model`, `accuracy`, `epochs`, `finished`,
    `started`.
    """
    facts, faults = run_list.list_runs(Path(runs))
    return run_list.to_json(facts), faults


def predict(
    run: str | os.PathLike[str] | None,
    images: Iterable[str | Path | Image.Image],
    *,
    top: int = 5,
    batch_size: int = 256,
    trust: bool = False,
) -> Iterator[dict[str, Any]]:
    """Classify images with the best model of a run, and yield the likeliest classes of each, in order.

    The images are prepared exactly as those of the set were. The set is not needed.

    Parameters
    ----------
    run
        The run directory, or an open run; None for the newest one in `runs/`.
    images
        Files, folders of images, or Pillow images.
    top
        Number of classes to yield for each image.
    batch_size
        Images per batch.
    trust
        Import the module of the run's model, if that is a function; without it, such a run is refused.

    Yields
    ------
    dict
        `image`, the path, or the number of a Pillow image; and either `classes`, a list of
        `{"class": str, "probability": float}`, the likeliest first, or `error`, why the image cannot be read.

    Raises
    ------
    EpochbankError
        If there is no such run or image, or the run has no model yet.
    """
    check_numbers(top=top, batch_size=batch_size)
    directory = find_run(optional_path(run))
    config, preprocessing = _prepared_run(directory, trust)
    check_model(directory, config)
    start_backend()
    from ..train.training.predict import classify, load_run

    model, class_names = load_run(directory, config, trust)

    items = ((name, prepared(image, preprocessing)) for name, image in _each(images))
    return classify(model, class_names, items, top, batch_size)


def _each(images: Iterable[str | Path | Image.Image]) -> Iterator[tuple[str | int, Path | Image.Image]]:
    """Yield the name of each image and the image; a Pillow image is named by its number, from 0."""
    for number, image in enumerate(images):
        if isinstance(image, Image.Image):
            yield number, image
        else:
            check_image_paths([image])
            yield from ((str(file), file) for file in image_files([Path(image)]))


def export(
    run: str | os.PathLike[str] | None, out: str | Path, format: str = "savedmodel", *, trust: bool = False
) -> list[Path]:
    """Export the best model of a run by Keras' `export`, and write `classes.json` beside it; return both paths.

    Parameters
    ----------
    run
        The run directory; None for the newest one in `runs/`.
    out
        The new file, or the new directory of a SavedModel.
    format
        "savedmodel", "onnx" or "tflite".
    trust
        Import the module of the run's model, if that is a function; without it, such a run is refused.

    Raises
    ------
    EpochbankError
        If `out` exists, the run has no model yet, or a module that Keras needs is not installed.
    """
    check_export(format, Path(out))
    directory = find_run(optional_path(run))
    config, preprocessing = _prepared_run(directory, trust)
    return export_run(directory, config, format, Path(out), asdict(preprocessing), trust)


def report_run(
    run: str | Path | None = None,
    out: str | Path | None = None,
    *,
    evaluate: bool = False,
    batch_size: int = 256,
    trust: bool = False,
) -> Path:
    """Write the report of a run as one HTML file, and return its path. Neither Keras nor the set is needed.

    Parameters
    ----------
    run
        The run directory; None for the newest one in `runs/`.
    out
        The file; None for `report.html` in the run directory. A page that epochbank wrote is replaced.
    evaluate
        First evaluate the model again, and store its predictions in the run directory. This is for runs of earlier
        versions of epochbank, which stored none, and needs Keras and the set.
    batch_size
        Images per batch of this evaluation.
    trust
        Import the module of the run's model for this evaluation, if that is a function; without it, such a run is
        refused.

    Raises
    ------
    EpochbankError
        If there is no such run, it is damaged, Jinja2 is not installed, or `out` is another file.
    """
    check_numbers(batch_size=batch_size)
    directory = find_run(optional_path(run))
    page = directory / REPORT if out is None else Path(out)
    check_page(page)
    if evaluate:
        check_trust(directory, read_config(directory), trust)
        check_evaluation(directory)
        notify(start_backend())
        from ..train.training.store_evaluation import evaluate_again
        from .contents import origins

        evaluate_again(directory, batch_size, trust, origins)
    return write_run_report(directory, page)


def compare(runs: Sequence[str | Path], html: str | Path | None = None, *, split: str | None = None) -> dict[str, Any]:
    """Compare two or more runs, and return the JSON values of `train compare --json`; write a page to `html`.

    Neither Keras nor the sets are needed. McNemar's test and the classes are those of runs that were tested on the same
    images; `notes` says which runs were not.

    Parameters
    ----------
    runs
        Run directories, or names of runs in `runs/`. The first one is what the classes of the others are compared with.
    html
        The HTML file; None for none. A page that epochbank wrote is replaced.
    split
        "test" or "validation"; None for the test split if all runs were evaluated on it, else the validation split.

    Raises
    ------
    EpochbankError
        If a run does not exist, is not finished or is damaged, if there are fewer than two, if no split was evaluated
        in all of them, or if `html` cannot be written.
    """
    return comparison(runs, html, split=split).to_json()


def comparison(runs: Sequence[str | Path], html: str | Path | None = None, *, split: str | None = None) -> Comparison:
    """Compare runs as `compare` does, and return the whole comparison."""
    if split not in (None, "test", "validation"):
        raise EpochbankError(f"split={split!r} is unknown; expected 'test' or 'validation'.", usage=True)
    if html is not None:
        check_page(Path(html))
    found = compare_runs([find_run(Path(run)) for run in runs], split)
    if html is not None:
        write_comparison(found, Path(html))
    return found


def _prepared_run(run: Path, trust: bool) -> tuple[dict[str, Any], Preprocessing]:
    """Return config.json of a run, and how the images of its set were prepared; older runs need the set for that."""
    config = read_config(run)
    check_trust(run, config, trust)
    check_shape(run, config)
    source = config if config.get("preprocessing") else open_set_of(run, config).description.source
    return config, stored_preprocessing(source, tuple(config["shape"]))
