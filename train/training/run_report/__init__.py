"""The report of a run as one HTML page, from what its directory records."""
