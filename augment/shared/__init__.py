"""Helpers that both stages share: files, locks, progress, workers, types."""
