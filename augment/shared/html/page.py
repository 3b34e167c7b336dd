"""Render a page from a Jinja2 template: one HTML file that needs no network, no server and no other file."""

import base64
import hashlib
import webbrowser
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .... import __version__
from ...console import notify
from ...errors import EpochbankError
from ..atomic import check_name, make_directory, write_text

if TYPE_CHECKING:
    import jinja2

_SHARED = Path(__file__).parent
_MARK, _HEAD = b'<meta name="generator" content="epochbank ', 2048
"""What every page has in this number of its first bytes."""


def write_page(
    path: Path, directory: Path, template: str, context: Mapping[str, Any], scripts: Sequence[str] = ()
) -> None:
    """Render a template and write the page as `path`, replacing an earlier page.

    Parameters
    ----------
    path
        The HTML file.
    directory
        Directory of the template and the scripts. The template extends `base.html.j2`, which is found beside this
        module; it may include templates of a directory beside its own as `NAME/FILE`.
    template
        File name of the template.
    context
        Variables of the template. Text is escaped unless it is `markupsafe.Markup`.
    scripts
        Paths, relative to `directory`, of JavaScript files that follow `page.js`.

    Raises
    ------
    EpochbankError
        See `check_page`.
    """
    check_page(path)
    page = render_page(directory, template, context, scripts)
    make_directory(path.parent)
    write_text(path, page)


def check_page(path: Path) -> None:
    """Raise `EpochbankError` if no page can be written as `path`, before anything is computed for it.

    That is so if Jinja2 is not installed, or if `path` is a directory, or a file that epochbank did not write.
    """
    _import_jinja2()
    if path.is_dir():
        raise EpochbankError(f"{path} is a directory; expected the path of an HTML file to write.", usage=True)
    check_name(path)
    if path.exists() and not _is_page(path):
        raise EpochbankError(
            f"{path} exists and is not a page that epochbank wrote; expected a new file. Choose another one, or remove "
            "it."
        )


def _is_page(path: Path) -> bool:
    """Return whether a file begins like `base.html.j2`."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return _MARK in file.read(_HEAD)


def show_page(path: Path) -> None:
    """Show a page in the user's web browser; print a note if this machine has none, as most servers do."""
    if not webbrowser.open(path.resolve().as_uri()):
        notify(f"there is no web browser on this machine: copy {path} to one that has, and open it there")


def render_page(directory: Path, template: str, context: Mapping[str, Any], scripts: Sequence[str] = ()) -> str:
    """Return the page as HTML; the parameters are those of `write_page`.

    The browser executes only these scripts, and loads nothing from anywhere: the page has a content security policy
    with the digest of its script. So a class name with HTML in it does no harm even if a template does not escape it.
    """
    script = "\n".join(_read(path) for path in (_SHARED / "page.js", *(directory / name for name in scripts)))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    _import_jinja2()
    from markupsafe import Markup

    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    shared = {
        "policy": policy,
        "style": Markup(_read(_SHARED / "page.css")),
        "script": Markup(script),
        "version": __version__,
    }
    return _environment(directory).get_template(template).render(**shared, **context)


def _import_jinja2() -> Any:
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise EpochbankError(
            "HTML reports need Jinja2, which is not installed. Install it: pip install 'epochbank[report]'"
        ) from error
    return jinja2


@cache
def _environment(directory: Path) -> "jinja2.Environment":
    jinja = _import_jinja2()
    environment = jinja.Environment(
        loader=jinja.FileSystemLoader([directory, directory.parent, _SHARED]),
        autoescape=True,
        undefined=jinja.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    environment.filters["count"] = lambda number: f"{number:,}"
    environment.filters["percent"] = lambda share: f"{100 * share:.2f} %"
    return environment


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
