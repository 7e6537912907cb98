"""Training a classifier: one loop for every method, with augmentation, batches, optimisation and checkpoints; methods found by name."""
