"""What predictions are worth: with labels (`scoring`), without them (`without_labels`), and taught by the target's own (`oracle`)."""
