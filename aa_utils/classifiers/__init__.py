"""Classifiers: a backbone (timm) with a head, small networks of our own, predictions over images, CLIP by class names."""
