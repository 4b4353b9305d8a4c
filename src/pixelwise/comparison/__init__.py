"""Comparison of networks: the same data, split and budget for each, scored and judged alike."""
