"""The command line of stage 1. It parses arguments, calls the functions of `epochbank.api`, and prints the results.

Each command imports what it needs, so that `--help` is fast.
"""

import json
import os
from pathlib import Path
from typing import Any

import click

from .. import __version__
from .console import HELP, Choice, Commands, ask, notify
from .options import (
    backend_options,
    engine_option,
    import_options,
    jobs_option,
    json_option,
    limit_options,
    recipe_option,
    run_options,
    runs_option,
    seed_option,
    sets_option,
    shard_options,
    source_options,
    status_option,
    trust_option,
    wait_option,
    yes_option,
)


@click.group(cls=Commands, context_settings=HELP)
@click.version_option(__version__, prog_name="epochbank")
def main() -> None:
    """Augment a labeled image set once, overnight, on all cores; train on it as often as you like.

    \b
    Start here:
      augment preview digits --out preview.png
      augment run digits --epochs 5
      train fit
    """


@main.command()
@click.argument("source", type=click.Path())
@run_options
@click.option("--profile", is_flag=True, help="Print where the time went, by step and operation.")
@click.option("--print-path", is_flag=True, help="Print only the set's path, for scripts.")
def run(source: str, profile: bool, print_path: bool, **keywords: Any) -> None:
    """Generate a set, or complete it.

    The set contains the training, validation and test splits of SOURCE, and distorted epochs of the training split.

    SOURCE is `digits`, a folder with one folder per class, a .zip of one, arrays (.npz, .npy, .mat, HDF5), a list
    of images and labels (.csv, .tsv, .jsonl, .json), pixels in columns (.csv), .parquet, WebDataset (.tar) or
    TFRecord files, a folder of IDX files (MNIST), files of the ETL Character Database or of CASIA-HWDB (.gnt),
    `python:module:function`, or what `augment import` or `augment export` wrote. If the command is interrupted,
    run it again to continue. With a larger --epochs it generates only the new epochs.

    \b
    Examples:
      augment run digits --epochs 5
      augment run photos/ --recipe my.toml --size 64x64 --epochs 20
      augment run omniglot.zip --group-pattern '_(\\d+)\\.png$'
      augment run etl/ --etl-sets 8G,9G --characters kanji
      augment run letters/ --per-class 200:2000
      augment run digits --epochs 7 --profile
    """
    from ..api import contents, generation
    from .store.objects.mirror import shown
    from .views.info import info_lines, split_lines

    result = generation.run(source, **keywords)
    place = shown(result.directory)
    if print_path:
        for line in split_lines(contents.info(result.directory)) if result.log is not None else []:
            notify(line.strip())
        click.echo(os.fsencode(place))
        return
    if result.log is None:
        click.echo(f"{place} is complete: nothing to do.\n\nNext: train fit {place}")
        return
    click.echo("\n".join([*info_lines(contents.info(result.directory), details=False), *result.log.lines()]))
    if profile:
        click.echo("\n" + "\n".join(result.log.profile.lines()))
    click.echo(f"\nNext: train fit {place}    (to look at it: augment preview {place})")


@main.command()
@click.argument("source", type=click.Path())
@run_options
@json_option
def plan(source: str, as_json: bool, sets: Path, **keywords: Any) -> None:
    """Estimate images, bytes and hours of a run.

    Print what `augment run` with the same arguments would write, how long it would take on this machine and
    with more cores, measured by a calibration run with a sample of the images, and whether the disk can hold it.
    Nothing is written.

    \b
    Examples:
      augment plan digits --epochs 20
      augment plan digits --epochs 20 --json
    """
    from ..api import generation
    from .shared.disk_space import check_disk_space
    from .store.objects.urls import url_of

    planned = generation.plan(source, sets=sets, **keywords)
    click.echo(json.dumps(planned.to_json(), indent=2) if as_json else "\n".join(planned.lines()))
    if url_of(sets) is None:
        check_disk_space(sets, planned.bytes, "the set and its source file" if planned.import_estimate else "the set")


@main.command()
@click.argument("source", metavar="SOURCE|SET", type=click.Path())
@click.option("--out", type=click.Path(path_type=Path), default="preview.png", help="Path of the PNG to write.")
@recipe_option
@seed_option
@import_options
@sets_option
@trust_option
def preview(source: str, out: Path, **keywords: Any) -> None:
    """Draw originals with their distortions.

    Write a contact sheet (PNG) with the distortion under each image. For a SET it shows stored images, one column
    per epoch, up to eight.

    \b
    Examples:
      augment preview digits --out preview.png
      augment preview sets/digits-kanji-1f2e3d4c --out stored.png
    """
    from ..api import views
    from .views.png_file import save

    save(views.preview(source, **keywords), out)


@main.command("import")
@click.argument("source", type=click.Path())
@click.argument("file", type=click.Path(path_type=Path))
@import_options
@jobs_option
@wait_option
def import_(source: str, file: Path, **keywords: Any) -> None:
    """Import a source once, into a source file.

    `augment run` takes FILE as its SOURCE, on any machine. Without this command, `augment run` imports the source
    itself, into sets/sources/.

    \b
    Example:
      augment import omniglot.zip omniglot.h5 --size 64x64 --group-pattern '_(\\d+)\\.png$'
    """
    from ..api import sources
    from .ingest.importer import listed
    from .shared.progress import counted

    imported = sources.import_source(source, file, **keywords)
    for note in [*imported.notes, *([f"left out:{listed(imported.skipped_names())}"] if imported.skipped else [])]:
        notify(note)
    click.echo(
        f"{file}: {counted(imported.num_images, 'image')}, {counted(len(imported.class_names), 'class')}, "
        f"digest {imported.digest[:16]}"
    )
    click.echo(f"\nNext: augment run {file}")


@main.command()
@click.argument("source", type=click.Path())
@click.option("--out", type=click.Path(path_type=Path),
              help="Directory for the results.  [default: inspect/ and the source's name]")  # fmt: skip
@click.option("--html", type=click.Path(path_type=Path),
              help="HTML file to write, too, with the images that look wrong and samples by class.")  # fmt: skip
@click.option("--limit", type=click.IntRange(1),
              help="Inspect only this many images, the same share of every class. All images are counted.")  # fmt: skip
@source_options
@click.option("--font", type=click.Path(path_type=Path),
              help="Font file for class names.  [default: a font that has the characters]")  # fmt: skip
@jobs_option
@json_option
def inspect(source: str, out: Path | None, as_json: bool, **keywords: Any) -> None:
    """Show what is in a source and what looks wrong.

    Count images, classes, groups, splits and sizes, and report what looks wrong: unreadable, blank, inverted and
    constant images, duplicates and near-duplicates. SOURCE is what `augment run` takes; it is not imported.

    The results are sheet.png, a contact sheet by class; classes.png and classes.csv, the number of images per
    class; suspects.csv, every image that looks wrong; and report.json.

    \b
    Examples:
      augment inspect digits --html digits.html
      augment inspect omniglot.zip --group-pattern '_(\\d+)\\.png$' --limit 5000
    """
    from ..api import sources
    from .views.inspection.text import report_lines

    facts = sources.inspect(source, out, **keywords)
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else "\n".join(report_lines(facts)))


@main.command("list")
@sets_option
@runs_option
@json_option
def list_(sets: Path, runs: Path, as_json: bool) -> None:
    """List the sets, the newest last.

    The age is that of the last shard, `used` the time since the last training began, and `runs` the number of runs in
    --runs. Tags are in brackets. Sets whose shards are missing or incomplete are marked, and so are unfinished
    refreshes; `augment info SET` says how to continue.

    \b
    Example:
      augment list
    """
    from datetime import datetime

    from ..api import contents
    from .errors import EpochbankError
    from .views.list_table import list_lines

    facts, faults = contents.list_sets(sets, runs=runs)
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
    elif facts:
        click.echo("\n".join(list_lines(facts, datetime.now().astimezone())))
    elif not faults:
        click.echo(f"There is no set in {sets}/. Generate one: augment run digits")
    if faults:
        raise EpochbankError("\n".join(faults))


@main.command()
@click.argument("name", metavar="[SET]", required=False, type=click.Path())
@click.option("--digests", is_flag=True, help="Print the fingerprint, and the digest of each epoch.")
@sets_option
@json_option
def info(name: str | None, digests: bool, sets: Path, as_json: bool) -> None:
    """Show the contents of a set, and the parameters of its recipe.

    Without SET, the set that was written last.

    \b
    Examples:
      augment info
      augment info sets/digits-kanji-1f2e3d4c --json
    """
    from ..api import contents
    from .store.catalog import choose_set
    from .views.info import info_lines, rejections_lines

    facts = contents.info(choose_set(name, sets))
    resampled = facts["resampled"]
    lines = rejections_lines(resampled) if resampled and "attempts" in resampled else []
    click.echo(
        json.dumps(facts, indent=2, ensure_ascii=False)
        if as_json
        else "\n".join(info_lines(facts, digests=digests) + lines)
    )


@main.command()
@click.argument("name", metavar="[SET]", required=False, type=click.Path())
@click.option("--out", type=click.Path(path_type=Path),
              help="HTML file to write.  [default: reports/ and the set's name]")  # fmt: skip
@click.option("--open", "open_it", is_flag=True, help="Show the report in the web browser.")
@sets_option
def report(name: str | None, out: Path | None, open_it: bool, sets: Path) -> None:
    """Write a report on a set: one HTML file to look at and to share.

    It shows the recipe with stored images, samples of every class, splits and groups, near-duplicates, the label check,
    sizes, and where the set comes from. The file needs no other file and no network. Without SET, the set that was
    written last. If shards cannot be read, the report says so, and the exit code is 1.

    \b
    Examples:
      augment report
      augment report --open
      augment report sets/digits-kanji-1f2e3d4c --out digits.html
    """
    from ..api import views
    from .errors import EpochbankError
    from .shared.html.page import show_page
    from .shared.progress import size
    from .store.catalog import choose_set

    written = views.report(choose_set(name, sets), out)
    click.echo(f"{written.path}: {size(written.bytes)}")
    if open_it:
        show_page(written.path)
    if written.faults:
        raise EpochbankError("\n".join(["the report is incomplete:", *written.faults]))


@main.command()
@click.argument("name", metavar="[SET]", required=False, type=click.Path())
@click.option("--source/--no-source", default=True, help="Also check the source file.")
@click.option("--deep", is_flag=True, help="Recompute a sample of the images, and compare them with the stored ones.")
@click.option("--share", type=click.FloatRange(0, 1, min_open=True),
              help="Share of the images that --deep recomputes; 1 for all.  [default: 0.01]")  # fmt: skip
@click.option("--seed", type=click.IntRange(0),
              help="Seed of the sample of --deep.  [default: a new sample each time]")  # fmt: skip
@sets_option
@jobs_option
@backend_options
@trust_option
@json_option
def verify(name: str | None, sets: Path, as_json: bool, **keywords: Any) -> None:
    """Check a set, down to each image.

    Compare everything on disk with what the set records: its splits and epochs, split.h5, the manifest, every
    published shard, and the source file. Without SET, the set that was written last. Each fault is printed on one
    line; if there is any, the exit code is 1.

    --deep recomputes images from source, recipe and seed. This finds shards that were changed together with their
    checksums, or that were generated by code that computed different images.

    \b
    Examples:
      augment verify
      augment verify baseline --deep
      augment verify baseline --deep --share 1
    """
    from ..api import verification
    from .errors import EpochbankError
    from .lifecycle.verify import report, sound_lines
    from .store.catalog import choose_set

    directory = choose_set(name, sets)
    try:
        result = verification.verified(directory, **keywords)
    except EpochbankError as error:
        if as_json and error.exit_code == 1:
            click.echo(json.dumps({"path": str(directory), "sound": False, "faults": [str(error)]}, indent=2))
        raise
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2, ensure_ascii=False))
    if result.faults:
        raise EpochbankError(report(result))
    if not as_json:
        click.echo("\n".join(sound_lines(result)))


@main.command()
@click.argument("a", metavar="A", type=click.Path())
@click.argument("b", metavar="B", type=click.Path())
@sets_option
@json_option
def diff(a: str, b: str, sets: Path, as_json: bool) -> None:
    """Show what differs between two sets.

    Compare source, split, shape, balance, seed, and the recipe operation by operation. A and B are paths, directory
    names, tags, or the first digits of fingerprints.

    \b
    Example:
      augment diff baseline digits-kanji-1f2e3d4c
    """
    from ..api import set_differences
    from .lifecycle.diff import differences
    from .lifecycle.diff_text import diff_lines

    if as_json:
        click.echo(json.dumps(set_differences.diff(a, b, sets=sets), indent=2, ensure_ascii=False))
        return
    one, other = set_differences.content(a, sets=sets), set_differences.content(b, sets=sets)
    click.echo("\n".join(diff_lines(one, other, differences(one, other))))


@main.command()
@click.argument("name", metavar="SET", type=click.Path())
@click.argument("tag")
@click.option("--remove", is_flag=True, help="Remove the tag from the set.")
@sets_option
def tag(name: str, tag: str, remove: bool, sets: Path) -> None:
    """Give a set a tag, a name by which to find it.

    Every command that takes a SET takes a tag, too. A set may have several.

    \b
    Examples:
      augment tag sets/digits-kanji-1f2e3d4c baseline
      augment tag baseline baseline --remove
    """
    from ..api import lifecycle
    from .store.catalog import find_set

    directory = find_set(name, sets)
    tags = lifecycle.tag(directory, tag, remove=remove)
    click.echo(f"{directory}: {', '.join(tags) or 'no tag'}")


@main.command()
@click.argument("name", metavar="SET", type=click.Path())
@click.option("--model", required=True, metavar="RUN|FILE", type=click.Path(),
              help="The teacher: a run of `train fit`, or a model that Keras saved (.keras).")  # fmt: skip
@click.option("--name", "teacher", metavar="NAME",
              help="Name of the teacher in the set.  [default: that of the run or file]")  # fmt: skip
@click.option("--top", type=click.IntRange(1),
              help="Number of classes to store for each image, the most probable ones.  [default: 10, or as "
              "before]")  # fmt: skip
@click.option("--batch-size", type=click.IntRange(1), default=256,
              help="Images to read and classify at a time; it does not change the labels.")  # fmt: skip
@click.option("--trust", is_flag=True,
              help="Import the module of the run's model, if that is a function. Only for runs that you "
              "trust.")  # fmt: skip
@sets_option
@json_option
def teach(name: str, as_json: bool, **keywords: Any) -> None:
    """Store what a trained model predicts for every image of a set, for distillation.

    The probabilities of the most probable classes are written for the stored epochs and the undistorted training
    images, 4 bytes for each class and image (6 with more than 65,536 classes). `train fit --teacher NAME` trains on
    them. If the command is interrupted, run it again to continue; after `augment run` or `augment refresh`, run it
    again to add the labels of the new epochs.

    \b
    Examples:
      augment teach sets/digits-kanji-1f2e3d4c --model runs/digits-kanji-1f2e3d4c-20260101-120000 --name cnn
      augment teach baseline --model big.keras --top 5
    """
    from ..api.teaching import teach as write_labels

    result = write_labels(name, **keywords)
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2))
        return
    click.echo("\n".join(result.lines()))
    click.echo(f"\nNext: train fit {result.directory} --teacher {result.name}")


@main.command()
@click.argument("name", metavar="[SET]", required=False, type=click.Path())
@click.option("--epochs", type=click.IntRange(1), default=1, help="Number of new epochs.")
@click.option("--cancel", is_flag=True,
              help="Cancel an interrupted refresh: generate and retire nothing more. What is published "
              "stays.")  # fmt: skip
@shard_options
@limit_options
@status_option
@sets_option
@jobs_option
@backend_options
@wait_option
@trust_option
def refresh(name: str | None, epochs: int, cancel: bool, sets: Path, **keywords: Any) -> None:
    """Generate new epochs of a set, and retire the oldest.

    The set keeps its number of epochs. The new epochs continue the numbering, and no epoch is generated twice. Each
    new epoch is published as soon as it is complete; then the oldest one is retired. Files that a training run reads
    are kept until it ends. If the command is interrupted, run it again to continue, or with --cancel to keep the set as
    it is; `augment info` shows what is unfinished.

    \b
    Examples:
      augment refresh --epochs 2
      augment refresh baseline --epochs 5 --keep-free 50GB
      augment refresh baseline --cancel
    """
    from ..api import generation
    from .lifecycle.refresh import refresh_lines

    click.echo("\n".join(refresh_lines(generation.refresh(name, epochs, cancel=cancel, sets=sets, **keywords))))


@main.command()
@click.argument("name", metavar="[SET]", required=False, type=click.Path())
@engine_option
@sets_option
@jobs_option
@backend_options
@wait_option
@trust_option
def repair(name: str | None, sets: Path, **keywords: Any) -> None:
    """Repair what is damaged or missing in a set.

    Verify every published shard, and generate exactly those that are damaged or missing, in place. A shard is replaced
    only if its images have the digest in the manifest. Also restore split.h5, the source file in sets/sources/, and the
    virtual datasets. Without SET, the set that was written last.

    \b
    Example:
      augment repair sets/digits-kanji-1f2e3d4c
    """
    from ..api import verification
    from .lifecycle.repair import check_refused, repair_lines
    from .store.catalog import choose_set

    result = verification.repair(choose_set(name, sets), **keywords)
    click.echo("\n".join(repair_lines(result)))
    check_refused(result)


@main.command()
@click.argument("name", metavar="SET", type=click.Path())
@click.argument("dest", metavar="DEST", type=click.Path(path_type=Path))
@click.option("--format", type=Choice(["webdataset", "tfrecord", "parquet", "npz"]), default="webdataset",
              help="Format of the files.")  # fmt: skip
@click.option("--epochs", metavar="0,2-4",
              help="Stored epochs: numbers and ranges, or `none`.  [default: all published epochs]")  # fmt: skip
@click.option("--originals", is_flag=True, help="Add the undistorted training split, before the epochs.")
@click.option("--split", "splits", type=Choice(["train", "validation", "test"]), multiple=True,
              callback=lambda _, __, splits: splits or None,
              help="Export only this split; may be repeated.  [default: all splits]")  # fmt: skip
@sets_option
@jobs_option
def export(name: str, dest: Path, **keywords: Any) -> None:
    """Export epochs to WebDataset, TFRecord, Parquet or NumPy.

    Write the stored epochs as training images, and the undistorted validation and test splits, to the new directory
    DEST. Images are PNG files with label, class, group, row, epoch and position; `npz` has one array of images per
    split. DEST appears when the export is complete. `augment run DEST` uses it as a source.

    \b
    Examples:
      augment export baseline exported
      augment export baseline parquet/ --format parquet --epochs 0,2-4 --originals
      augment export baseline test/ --split test
    """
    from ..api import exchange
    from .exchange.export import export_lines

    click.echo("\n".join(export_lines(exchange.export_set(name, dest, **keywords))))


@main.command()
@click.argument("name", metavar="SET", type=click.Path())
@click.argument("dest", metavar="DEST", type=click.Path())
@click.option("--epochs", metavar="2-4", help="Consecutive stored epochs.  [default: all published epochs]")
@click.option("--with-source", is_flag=True, help="Also copy the source file, to sources/ beside the copy.")
@sets_option
@jobs_option
def copy(name: str, dest: str, **keywords: Any) -> None:
    """Copy a set, and verify the copy.

    Only what is published is copied. Every file is compared with its checksum as it is read, and the copy is read
    back. The copy appears at DEST when it is complete, or at DEST/NAME if DEST is a directory or ends in a slash. If
    the command is interrupted, run it again to continue. The copy needs the source file only to generate shards.

    \b
    Examples:
      augment copy baseline /mnt/backup/
      augment copy digits-kanji-1f2e3d4c other-sets/ --epochs 2-4 --with-source
    """
    from ..api import exchange
    from .exchange.copy import copy_lines

    click.echo("\n".join(copy_lines(exchange.copy_set(name, dest, **keywords))))


@main.command()
@click.argument("name", metavar="SET", type=click.Path())
@yes_option
@sets_option
def remove(name: str, yes: bool, sets: Path) -> None:
    """Remove a set.

    Its source file stays; `augment gc` removes it if no other set needs it. A set that is being written or read is
    not removed.

    \b
    Example:
      augment remove sets/digits-kanji-1f2e3d4c
    """
    from ..api import lifecycle
    from .lifecycle.remove import finish_removals
    from .shared.disk_space import bytes_below
    from .shared.progress import size
    from .store.catalog import find_set
    from .store.objects.mirror import remote_url
    from .store.objects.urls import url_of

    if url_of(sets) is None:
        finish_removals(sets)  # The set that is to be removed may be one of these.
    directory = find_set(name, sets)
    if remote_url(directory) is not None:
        lifecycle.remove(directory)  # Refuses.
    ask(f"Remove {directory} ({size(bytes_below(directory))})?", yes)
    click.echo(f"{directory} removed: {size(lifecycle.remove(directory))}")


@main.command()
@click.option("--unused-for", type=click.FloatRange(0), metavar="DAYS",
              help="Also remove sets that were neither trained on nor written to for this number of days.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
@yes_option
@sets_option
@json_option
def gc(unused_for: float | None, dry_run: bool, yes: bool, sets: Path, as_json: bool) -> None:
    """Remove what no set needs.

    List orphaned shards, temporary files of runs that were stopped, and source files that no set was made from, with
    their bytes; then ask, and remove them. Files that a run is writing, or that a training run is reading, are kept. If
    --sets is the URL of an object store, list shards that no manifest lists and that were uploaded more than a day ago.

    \b
    Examples:
      augment gc --dry-run
      augment gc --unused-for 90 --yes
    """
    from ..api import lifecycle
    from .lifecycle.gc import collect, gc_lines
    from .lifecycle.store_gc import collect_store_garbage
    from .shared.progress import counted, size
    from .store.objects.urls import url_of

    found: Any
    removed: Any
    found, notes = lifecycle.gc(sets, unused_for=unused_for, dry_run=True)
    if not as_json:
        click.echo("\n".join(gc_lines(found, notes)))
    removed, kept = [], notes
    if found and not dry_run:
        ask(f"Remove {counted(len(found), 'item')} ({size(sum(one.bytes for one in found))})?", yes)
        if url_of(sets) is None:
            done = collect(sets, found)
            removed, more = done.removed, done.kept
        else:
            removed, more = collect_store_garbage(found)
        kept = [*notes, *more]
        if not as_json:
            lines = [f"note: {one}" for one in more]
            freed = size(sum(one.bytes for one in removed))
            click.echo("\n".join([*lines, f"{counted(len(removed), 'item')} removed: {freed}"]))
    if as_json:
        lists = {"found": found, "removed": removed}
        document = {key: [one.to_json() for one in listed] for key, listed in lists.items()}
        click.echo(json.dumps({**document, "notes": kept}, indent=2, ensure_ascii=False))


@main.command()
@click.argument("name", metavar="SET", type=click.Path())
@click.argument("epoch", type=int)
@click.argument("position", type=int)
@click.option("--out", type=click.Path(path_type=Path), help="Write a PNG of the image before and after.")
@sets_option
@trust_option
@json_option
def explain(name: str, epoch: int, position: int, out: Path | None, sets: Path, trust: bool, as_json: bool) -> None:
    """Show how a stored image was made.

    Print where the image at POSITION of stored EPOCH comes from, and its distortions; --json has every parameter.
    The epoch need not be generated yet; a note says so, and --json has `stored`.

    \b
    Example:
      augment explain sets/digits-kanji-1f2e3d4c 0 17 --out explained.png
    """
    from ..api import views
    from .views.explain import explain_lines
    from .views.png_file import save

    facts = views.explain(name, epoch, position, sets=sets, trust=trust)
    if not facts["stored"]:
        notify(f"epoch {epoch}, position {position}, is not stored in {facts['set']}; this is what it would contain")
    click.echo(json.dumps(facts, ensure_ascii=False) if as_json else "\n".join(explain_lines(facts)))
    if out is not None:
        save(views.explain_image(name, epoch, position, sets=sets, trust=trust), out)


@main.command()
@click.argument("name", metavar="[NAME]", required=False)
def recipes(name: str | None) -> None:
    """List the built-in recipes, or print one.

    With NAME, print its TOML, as a start for a custom recipe.

    \b
    Examples:
      augment recipes
      augment recipes kanji > my.toml
    """
    from .distortion.recipe import built_in_names, load_recipe, recipe_path

    if name is not None:
        load_recipe(name)
        click.echo(recipe_path(name).read_text(encoding="utf-8"), nl=False)
        return
    for built_in in built_in_names():
        click.echo(f"{built_in:14}{load_recipe(built_in).description}")
