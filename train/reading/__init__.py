"""Reading: what is published of a set, and its chunks, read and decoded in threads."""
