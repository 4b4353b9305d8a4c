"""Masks drawn from annotation files with outlines or run lengths.

One module per format; each provides a `MaskReader` whose raw values are the class indices of a
`Legend`. Files are untrusted: the result is always pixels, or one error that names file and place.
"""
