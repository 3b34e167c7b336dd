"""Offline characters of CASIA-HWDB in `.gnt` files."""

from .source import GntSource, holds_gnt

__all__ = ["GntSource", "holds_gnt"]
