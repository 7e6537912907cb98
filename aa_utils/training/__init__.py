"""Training a classifier: one loop for every method, with augmentation, batches, optimization and checkpoints; methods found by name."""
