"""Sources: labeled images in their original files. One module per kind; `open_source` chooses the kind."""

from .base import Decoded, Reader, Scan, Source, SourceOptions
from .find import kind_of, open_source

__all__ = ["Decoded", "Reader", "Scan", "Source", "SourceOptions", "kind_of", "open_source"]
