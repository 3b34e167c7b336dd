"""Sources in shards of encoded images with their labels: WebDataset's `.tar` files, and TFRecord files."""
