"""Prediction: tiles, bands and blending; labels of arrays, files and folders; evaluation."""
