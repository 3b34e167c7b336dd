"""Commands on sources: `augment import` and `inspect`."""

import json
from pathlib import Path
from typing import Any

import click

from ..console import notify
from .group import main
from .options import import_options, jobs_option, json_option, source_options, wait_option


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
    from ...api import sources
    from ..ingest.importer import listed
    from ..shared.progress import counted

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
    from ...api import sources
    from ..views.inspection.text import report_lines

    facts = sources.inspect(source, out, **keywords)
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else "\n".join(report_lines(facts)))
