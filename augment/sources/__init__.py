"""Sources: labelled pictures as they come. One module a kind; `open_source` finds the kind."""

from .base import Decoded, Reader, Scan, Source, SourceOptions
from .find import open_source

__all__ = ["Decoded", "Reader", "Scan", "Source", "SourceOptions", "open_source"]
