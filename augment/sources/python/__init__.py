"""Python iterables and datasets of other libraries."""
