"""Where scenes and results are kept: a local folder, or S3."""
