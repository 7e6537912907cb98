"""The pocket world: a procedurally rendered, captioned world of digits and letters, and the small models trained on it."""
