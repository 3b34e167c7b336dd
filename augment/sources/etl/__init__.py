"""The ETL Character Database, read straight from its files as users have them."""

from augment.sources.etl.places import holds_etl
from augment.sources.etl.source import EtlSource

__all__ = ["EtlSource", "holds_etl"]
