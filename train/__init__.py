"""Stage 2 of epochbank."""
