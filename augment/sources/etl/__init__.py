"""The ETL Character Database, read straight from its files as users have them."""

from .places import holds_etl
from .source import EtlSource

__all__ = ["EtlSource", "holds_etl"]
