"""Microscopes' formats: one module each, for the packages of the extra `microscopes`."""
