"""Python iterables and data sets of other libraries."""
