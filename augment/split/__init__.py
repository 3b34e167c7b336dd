"""The split into training, validation and test, by whole groups and by class; balanced epochs."""
