"""Lists of images: CSV, JSON Lines, COCO, Parquet, and CSV files with a column per pixel."""
