"""The ETL Character Database, read directly from its files and archives."""

from .detect import holds_etl
from .source import EtlSource

__all__ = ["EtlSource", "holds_etl"]
