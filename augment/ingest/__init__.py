"""Ingest: a source is imported once, into a source file."""
