"""Commands that show images: `augment preview`, `report` and `explain`."""

import json
from pathlib import Path
from typing import Any

import click

from ..console import notify
from .group import main
from .options import import_options, json_option, recipe_option, seed_option, sets_option, trust_option


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
    from ...api import views
    from ..views.png_file import save

    save(views.preview(source, **keywords), out)


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
    from ...api import views
    from ..errors import EpochbankError
    from ..shared.html.page import show_page
    from ..shared.progress import size
    from ..store.catalog import choose_set

    written = views.report(choose_set(name, sets), out)
    click.echo(f"{written.path}: {size(written.bytes)}")
    if open_it:
        show_page(written.path)
    if written.faults:
        raise EpochbankError("\n".join(["the report is incomplete:", *written.faults]))


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
    from ...api import views
    from ..views.explain import explain_lines
    from ..views.png_file import save

    facts = views.explain(name, epoch, position, sets=sets, trust=trust)
    if not facts["stored"]:
        notify(f"epoch {epoch}, position {position}, is not stored in {facts['set']}; this is what it would contain")
    click.echo(json.dumps(facts, ensure_ascii=False) if as_json else "\n".join(explain_lines(facts)))
    if out is not None:
        save(views.explain_image(name, epoch, position, sets=sets, trust=trust), out)
