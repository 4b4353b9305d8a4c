"""Words of file and folder names: which tell that something is an image, a mask, or a result."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

IMAGE_WORDS: Final = frozenset(
    (
        *("image", "images", "img", "imgs", "im", "ims", "input", "inputs", "raw", "raws"),
        *("original", "originals", "picture", "pictures", "photo", "photos", "rgb", "sat"),
        *("volume", "volumes", "tissueimages", "fram", "frame", "frames"),
    )
)
"""Words that a name has because it is an image's."""

MASK_WORDS: Final = frozenset(
    (
        *("mask", "masks", "label", "labels", "lbl", "lbls", "annotation", "annotations", "annot"),
        *("gt", "gts", "groundtruth", "groundtruths", "target", "targets", "seg", "segs", "segm"),
        *("segmentation", "segmentations", "manual", "manuals", "binarymask", "binarymasks"),
        *("newmask", "newmasks", "truth", "scribble", "scribbles"),
    )
)
"""Words that a name has because it is a mask's."""

RESULT_WORDS: Final = frozenset(
    (
        *("predict", "predicts", "predicted", "prediction", "predictions", "pred", "preds"),
        *("result", "results", "inference", "overlay", "overlays", "visualization"),
        *("visualizations", "visualisation", "vis", "flow", "flows", "probability"),
        *("probabilities", "outline", "outlines", "aug", "augmented", "imagej"),
    )
)
"""Words of what a program made: it is neither image nor truth, unless somebody says so."""

PART: Final = re.compile(r"\d+|[^\W\d_]+")
"""Words and numbers."""

PIECE: Final = re.compile(r"[^\W_]+")
"""Pieces between separators: words with the digits in them, such as the ids of many data sets."""

_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_ONE_WORD: Final = re.compile(r"ground[_\- ]?truth|imagej", re.IGNORECASE)
_SEVERAL_SUFFIXES: Final = re.compile(r"\.(ome|nii|seq)$", re.IGNORECASE)

_LOSSY: Final = (".jpg", ".jpeg", ".webp")

Part = str | int
Parts = tuple[Part, ...]


def cut_suffix(file_name: str) -> str:
    """File name without its suffix: `a` for a.png, a.ome.tif and a.nii.gz."""
    stem = file_name.rpartition(".")[0] or file_name
    return _SEVERAL_SUFFIXES.sub("", stem)


def split_words(text: str) -> tuple[str, ...]:
    """Words and numbers of a folder's name, in lower case: JPEGImages -> jpeg, images."""
    joined = _ONE_WORD.sub(lambda m: "_groundtruth_" if m[0][0] in "gG" else "_imagej_", text)
    return tuple(part.lower() for part in PART.findall(_CAMEL.sub("_", joined)))


def find_words(text: str, words: frozenset[str]) -> tuple[str, ...]:
    """Those of `words` that stand in a name, set off by anything but letters."""
    return tuple(part for part in map(str.lower, PART.findall(text)) if part in words)


def number_parts(parts: Iterable[str]) -> Parts:
    """Parts with numbers as numbers and words in lower case."""
    return tuple(int(part) if part.isdecimal() else part.casefold() for part in parts)


def is_lossy(file: Path) -> bool:
    """Whether the format that a file's name tells changes pixels, or can."""
    return file.suffix.lower() in _LOSSY
