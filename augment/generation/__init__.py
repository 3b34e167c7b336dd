"""Generation: the set spec, the plan, and the run that makes and publishes shards."""
