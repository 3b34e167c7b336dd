"""feeding."""
