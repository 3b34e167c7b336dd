"""From chunks to batches: which images make up a batch, in which order, and decoding them ahead."""
