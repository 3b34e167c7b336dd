"""Sets in the formats of other libraries: WebDataset, TFRecord, Parquet and NumPy."""
