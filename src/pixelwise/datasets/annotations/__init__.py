"""Masks that annotation files describe by outlines and runs, and how they are drawn.

One module per format reads its files; each gives a `MaskReader` whose raw values are the class
indices of a `Legend`. Files come from strangers: whatever they hold, the answer is pixels or one
error that names file and place.
"""
