"""Image folders as tensors: one decoder, labels from `metadata.jsonl` or folder names, filters by a column of scores."""
