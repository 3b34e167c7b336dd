"""Sources: labeled images in their original files. One module per kind.

`open_source` of the module `find` chooses the kind. It loads all kinds, so it is imported where it is called.
"""

from .base import Decoded, Reader, Scan, Source, SourceOptions

__all__ = ["Decoded", "Reader", "Scan", "Source", "SourceOptions"]
