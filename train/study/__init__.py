"""A study: how accuracy depends on the number of stored epochs, with and without final augmentation."""
