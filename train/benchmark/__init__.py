"""`train bench`: how fast a set streams, and how long a training step waits for it."""
