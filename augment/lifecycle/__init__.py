"""The life of a set after it is made: compared, refreshed, repaired, limited, and removed."""
