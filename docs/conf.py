"""Configuration of the documentation site, which `make site` builds with Sphinx."""

import os
import re

from sphinx.application import Sphinx

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Keras loads its backend when autodoc imports AugmentedSequence.

import epochbank

project = "epochbank"
author = "epochbank contributors"
copyright = author
version = release = epochbank.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["*.py"]
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!epochbank\.).*"),  # Other packages: their sites cannot be reached from every machine.
    ("py:.*", r"epochbank\.(augment|train)\..*"),  # Internal types in signatures.
]

highlight_language = "text"
myst_heading_anchors = 3
autoclass_content = "both"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
add_module_names = False
napoleon_google_docstring = False
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = "epochbank"
html_copy_source = False
html_show_sourcelink = False
copybutton_selector = "div.highlight-sh pre, div.highlight-python pre, div.highlight-toml pre"


def link_code(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Make code of text in single backticks, and links of the public names, as docstrings are not reStructuredText."""

    def role(match: re.Match[str]) -> str:
        if match[1] in epochbank.__all__:
            return f":py:obj:`~epochbank.{match[1]}`"
        keywords = match[1] in ("GenerationKeywords", "ImportKeywords", "SourceKeywords", "RefreshKeywords")
        return f":py:obj:`~epochbank.api.keywords.{match[1]}`" if keywords else f"``{match[1]}``"

    text = re.sub(r"(?<![`:])`([^`]+)`(?!`)", role, "\n".join(lines))
    lines[:] = text.split("\n")


def setup(app: Sphinx) -> None:
    """Register `link_code`, which has to come before Napoleon, whose roles have backticks, too."""
    app.connect("autodoc-process-docstring", link_code, priority=100)
