"""S3: Parquet and CSV files."""
