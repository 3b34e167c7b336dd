"""Sources: labelled pictures as they come. One module a kind; `open_source` finds the kind."""

from augment.sources.base import Reader, Scan, Source
from augment.sources.find import open_source

__all__ = ["Reader", "Scan", "Source", "open_source"]
