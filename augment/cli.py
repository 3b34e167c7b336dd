"""The command line of stage 1. It translates words into calls and results into text; nothing else.

Modules are imported by the command that needs them: `--help` needs none.
"""

import json
from pathlib import Path
from typing import Any

import click

from .. import __version__
from .console import HELP, Commands, say
from .options import (
    balance_of,
    execution_of,
    import_options,
    import_settings,
    jobs_option,
    json_option,
    recipe_option,
    run_options,
    seed_option,
    sets_option,
    source_options,
    source_settings,
)


@click.group(cls=Commands, context_settings=HELP)
@click.version_option(__version__, prog_name="epochbank")
def main() -> None:
    """Distort a labelled image set once, overnight, on all cores; train from it as often as you like.

    \b
    Start here:
      augment preview digits --out preview.png
      augment run digits --epochs 5
      train fit
    """


@main.command()
@click.argument("source")
@run_options
@click.option("--profile", is_flag=True, help="Say where the time went, by step and operation.")
@click.option("--print-path", is_flag=True, help="Print nothing but the set's path, for scripts.")
def run(source: str, recipe: str, seed: int, sets: Path, profile: bool, print_path: bool, **words: Any) -> None:
    """Make a set, or what is missing of it.

    The set holds SOURCE, split, and its training part distorted by a recipe, epoch after epoch.

    SOURCE is `digits`, a folder with a folder per class, a .zip of one, an .npz or HDF5 file (`images`,
    `labels`, optional `groups`, `parts`, `class_names`), a .csv (path, label, group, part), a folder of IDX
    files (MNIST), files of the ETL Character Database or their archives, `python:module:function`, or a
    file that `augment import` made. Interrupted, the same command goes on where it was; with more
    --epochs it adds only those.

    \b
    Examples:
      augment run digits --epochs 5
      augment run photos/ --recipe my.toml --size 64x64 --epochs 20
      augment run omniglot.zip --group-pattern '_(\\d+)\\.png$'
      augment run etl/ --etl-sets 8G,9G --characters kanji
      augment run letters/ --per-class 200:2000
      augment run digits --epochs 7 --profile
    """
    from .distortion.recipe import load_recipe
    from .generation.generate import generate
    from .generation.request import Request, prepare_source
    from .split.holdout import HeldOut
    from .views.info import info, info_lines, split_lines

    loaded, execution, balance = load_recipe(recipe), execution_of(words), balance_of(words)
    held_out = HeldOut(words["validation"], words["test"])
    file = prepare_source(source, sets, import_settings(words), execution.jobs)
    request = Request(file, source, loaded, seed, held_out, balance, words["split"] == "source")
    outcome = generate(request, sets, execution)
    if print_path:
        for line in split_lines(info(outcome.directory)) if outcome.log is not None else []:
            say(line.strip())
        click.echo(outcome.directory)
        return
    if outcome.log is None:
        click.echo(f"{outcome.directory} holds all of it already: nothing to do.")
        return
    click.echo("\n".join([*info_lines(info(outcome.directory), notes=False), *outcome.log.lines()]))
    if profile:
        click.echo("\n" + "\n".join(outcome.log.profile.lines()))
    click.echo(f"\nNext: train fit {outcome.directory}    (look at it: augment preview {outcome.directory})")


@main.command()
@click.argument("source")
@run_options
def plan(source: str, recipe: str, seed: int, sets: Path, **words: Any) -> None:
    """Forecast pictures, bytes and hours.

    It says what `augment run` with the same words would write, how long it would take on this machine and
    on more cores, from a trial with a sample, and whether the disk can hold it; it writes nothing.

    \b
    Example:
      augment plan digits --epochs 20
    """
    from .distortion.recipe import load_recipe
    from .generation.forecast import forecast, refuse_what_the_disk_cannot_hold
    from .generation.request import Request, find_source
    from .split.holdout import HeldOut

    options, execution, loaded = import_settings(words), execution_of(words), load_recipe(recipe)
    held_out = HeldOut(words["validation"], words["test"])
    found = find_source(source, sets, options)
    request = None
    if found.file is not None:
        obey = words["split"] == "source"
        request = Request(found.file, source, loaded, seed, held_out, balance_of(words), obey).as_stored(sets)
    reckoned = forecast(
        found,
        source,
        request.recipe if request is not None else loaded,
        options,
        execution,
        held_out,
        balance_of(words),
        stored=request.directory(sets) if request is not None and request.existing(sets) else None,
    )
    click.echo(f"set       {request.directory(sets) if request else 'its name is known once the source is imported'}")
    click.echo("\n".join(reckoned.lines()))
    refuse_what_the_disk_cannot_hold(reckoned, sets)


@main.command()
@click.argument("source", metavar="SOURCE|SET")
@click.option("--out", type=click.Path(path_type=Path), default="preview.png", help="The PNG to write.")
@recipe_option
@seed_option
@import_options
@sets_option
def preview(source: str, out: Path, recipe: str, seed: int, sets: Path, **words: Any) -> None:
    """Draw originals beside their distortions.

    The contact sheet, a PNG, says under each picture what was done. Of a SET it shows what is
    stored, in as many columns as there are epochs, up to eight.

    \b
    Examples:
      augment preview digits --out preview.png
      augment preview sets/digits-kanji-1f2e3d4c --out stored.png
    """
    from .distortion.recipe import load_recipe
    from .generation.request import find_source
    from .views.contact_sheet import save
    from .views.preview import preview_set, preview_source

    directory = next((path for path in (Path(source), sets / source) if (path / "set.json").exists()), None)
    if directory is not None:
        sheet = preview_set(directory)
    else:
        options = import_settings(words)
        found = find_source(source, sets, options)
        sheet = preview_source(found, load_recipe(recipe), options, seed)
    save(sheet, out)


@main.command("import")
@click.argument("source")
@click.argument("file", type=click.Path(path_type=Path))
@import_options
@jobs_option
def import_(source: str, file: Path, jobs: int | None, **words: Any) -> None:
    """Import a source once, into a file.

    `augment run` takes the source FILE as its SOURCE, on any machine. Without this command it imports
    by itself, into sets/sources/.

    \b
    Example:
      augment import omniglot.zip omniglot.h5 --size 64x64 --group-pattern '_(\\d+)\\.png$'
    """
    from .errors import EpochbankError
    from .ingest.importer import import_source
    from .ingest.source_file import open_source_file
    from .shared.workers import core_count
    from .sources import open_source

    if file.exists():
        raise EpochbankError(f"{file} exists; expected a new file. Remove it, or give another name.")
    if file.suffix.lower() not in (".h5", ".hdf5"):
        raise EpochbankError(f"{file}; expected a name that ends in .h5, as `augment run` knows it by.", words=True)
    options = import_settings(words)
    for note in import_source(open_source(source, options.source), file, options, jobs or core_count()):
        say(note)
    done = open_source_file(file)
    click.echo(f"{file}: {done.images:,} pictures, {len(done.class_names):,} classes, digest {done.digest[:16]}")
    click.echo(f"\nNext: augment run {file}")


@main.command()
@click.argument("source")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Directory of what is written.  [default: inspect/ and the source's name]",
)
@click.option("--limit", type=click.IntRange(1), help="Look at only so many pictures, evenly spaced; all are counted.")
@source_options
@click.option(
    "--font", type=click.Path(path_type=Path), help="Font file for class names.  [default: one that has the letters]"
)
@jobs_option
@json_option
def inspect(
    source: str, out: Path | None, limit: int | None, font: Path | None, jobs: int | None, as_json: bool, **words: Any
) -> None:
    """Look at what is in a source.

    It counts pictures, classes, groups, parts and sizes, and says what looks wrong: bad, blank, inverted and
    constant pictures, copies, pictures that are nearly alike. SOURCE is what `augment run` takes; nothing
    is made of it yet.

    Written are sheet.png, a contact sheet by class; classes.png and classes.csv, how many pictures each
    class has; suspects.csv, every picture that looks wrong; report.json.

    \b
    Examples:
      augment inspect digits
      augment inspect omniglot.zip --group-pattern '_(\\d+)\\.png$' --limit 5000
    """
    from .shared.workers import core_count
    from .views.inspection import inspect as inspect_source
    from .views.inspection.text import report_lines

    facts = inspect_source(source, out, source_settings(words), limit, font, jobs or core_count())
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else "\n".join(report_lines(facts)))


@main.command("list")
@sets_option
@json_option
def list_(sets: Path, as_json: bool) -> None:
    """List the sets, the newest last.

    \b
    Example:
      augment list
    """
    from .errors import EpochbankError
    from .shared.progress import size
    from .store.catalog import all_sets
    from .views.info import info

    facts, faults = [], []
    for directory in all_sets(sets):
        try:
            facts.append(info(directory))
        except EpochbankError as fault:
            faults.append(str(fault))
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
    elif not facts and not faults:
        click.echo(f"There is no set in {sets}/. Make one: augment run digits")
    for fact in facts if not as_json else []:
        click.echo(
            f"{fact['path']}  {fact['images']['train']:,} pictures x {len(fact['epochs'])} epochs, "
            f"{fact['classes']:,} classes, {size(fact['bytes'])}"
        )
    if faults:
        raise EpochbankError("\n".join(faults))


@main.command()
@click.argument("name", metavar="[SET]", required=False)
@sets_option
@json_option
def info(name: str | None, sets: Path, as_json: bool) -> None:
    """Say what a set is and holds.

    Without SET, the newest.

    \b
    Examples:
      augment info
      augment info sets/digits-kanji-1f2e3d4c --json
    """
    from .store.catalog import find_set
    from .views.info import info as info_of
    from .views.info import info_lines, rejections, rejections_lines

    directory = find_set(name, sets)
    facts, lines = info_of(directory), []
    if facts["redrawn"] and facts["redrawn"]["images"]:
        rejected = rejections(directory)
        facts["redrawn"] |= rejected
        lines = rejections_lines(rejected)
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else "\n".join(info_lines(facts) + lines))


@main.command()
@click.argument("name", metavar="[SET]", required=False)
@sets_option
@jobs_option
@json_option
def verify(name: str | None, sets: Path, jobs: int | None, as_json: bool) -> None:
    """Check a set, down to each picture.

    Every shard is held against the manifest. Without SET, the newest.

    \b
    Example:
      augment verify
    """
    from .errors import EpochbankError
    from .shared.workers import core_count
    from .store.catalog import find_set
    from .store.verify import verify as verify_set

    directory = find_set(name, sets)
    faults = verify_set(directory, jobs or core_count())
    if as_json:
        click.echo(json.dumps({"path": str(directory), "sound": not faults, "faults": faults}, indent=2))
    if faults:
        listed = "".join(f"\n  {fault}" for fault in faults)
        raise EpochbankError(
            f"{directory} is damaged in {len(faults)} shard(s):{listed}\nDelete these lines of manifest.jsonl, "
            "then give the same `augment run` again: it makes these shards anew, and no others."
        )
    if not as_json:
        click.echo(f"{directory} is sound.")


@main.command()
@click.argument("name", metavar="SET")
@click.argument("epoch", type=int)
@click.argument("position", type=int)
@click.option("--out", type=click.Path(path_type=Path), help="Write a PNG of the picture before and after.")
@sets_option
@json_option
def explain(name: str, epoch: int, position: int, out: Path | None, sets: Path, as_json: bool) -> None:
    """Say how a stored picture was made.

    Where the picture at POSITION of stored EPOCH came from and what was done to it, with every
    parameter. The epoch need not be generated yet.

    \b
    Example:
      augment explain sets/digits-kanji-1f2e3d4c 0 17 --out explained.png
    """
    from .store.catalog import find_set
    from .views.contact_sheet import save
    from .views.explain import explain as explain_picture
    from .views.explain import explain_lines, explain_sheet

    directory = find_set(name, sets)
    facts = explain_picture(directory, epoch, position)
    click.echo(json.dumps(facts, ensure_ascii=False) if as_json else "\n".join(explain_lines(facts)))
    if out is not None:
        save(explain_sheet(directory, facts), out)


@main.command()
@click.argument("name", metavar="[NAME]", required=False)
def recipes(name: str | None) -> None:
    """List the built-in recipes, or print one.

    With NAME its TOML is printed, to start one of your own from.

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
