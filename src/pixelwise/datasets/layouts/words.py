"""Words in file and folder names that identify images, masks and results."""

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
"""Words that identify images."""

MASK_WORDS: Final = frozenset(
    (
        *("mask", "masks", "label", "labels", "lbl", "lbls", "annotation", "annotations", "annot"),
        *("gt", "gts", "groundtruth", "groundtruths", "target", "targets", "seg", "segs", "segm"),
        *("segmentation", "segmentations", "manual", "manuals", "binarymask", "binarymasks"),
        *("newmask", "newmasks", "truth", "scribble", "scribbles"),
    )
)
"""Words that identify masks."""

RESULT_WORDS: Final = frozenset(
    (
        *("predict", "predicts", "predicted", "prediction", "predictions", "pred", "preds"),
        *("result", "results", "inference", "overlay", "overlays", "visualization"),
        *("visualizations", "visualisation", "vis", "flow", "flows", "probability"),
        *("probabilities", "outline", "outlines", "aug", "augmented", "imagej"),
    )
)
"""Words that identify results of programs, which are neither image nor truth by default."""

PART: Final = re.compile(r"\d+|[^\W\d_]+")
"""Words and numbers."""

PIECE: Final = re.compile(r"[^\W_]+")
"""Pieces between separators: words including digits, such as ids."""

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
    """Those of `words` that occur in a name, separated by anything but letters."""
    return tuple(part for part in map(str.lower, PART.findall(text)) if part in words)


def number_parts(parts: Iterable[str]) -> Parts:
    """Parts with numbers as numbers and words in lower case."""
    return tuple(int(part) if part.isdecimal() else part.casefold() for part in parts)


def is_lossy(file: Path) -> bool:
    """Whether a file's suffix means a format that is, or can be, lossy."""
    return file.suffix.lower() in _LOSSY
