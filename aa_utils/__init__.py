"""Adapt Anything, as a thin package under the notebooks: prompts -> images -> inter-domain -> intra-domain."""

__version__ = "0.1.0"
