"""Sources: labeled images in their original files. One module per kind; `open_source` chooses the kind."""

from .base import Decoded, Reader, Scan, Source, SourceOptions
from .find import open_source

__all__ = ["Decoded", "Reader", "Scan", "Source", "SourceOptions", "open_source"]
