"""Microscope formats: one module per package of the extra `microscopes`."""
