"""Semantic segmentation where your images are."""
