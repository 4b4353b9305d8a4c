"""COCO's run-length encoding of masks: lengths of 0, 1, 0, 1, ... down the columns.

Decoded here, not by pycocotools, which trusts its input: runs that do not fit the image can crash
the process.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pixelwise.errors import DataError

Runs = npt.NDArray[np.int64]
_LONGEST_NUMBER: Final = 7
"""Characters of one run length; more would not fit 32 bits."""
_FIRST: Final = 48
_BITS: Final = 5


def parse_runs(text: bytes) -> Runs:
    """Decode COCO's compressed run lengths; raises `DataError` if they are invalid.

    Each number is stored in characters of 5 bits, lowest first; from the third on it is the
    difference to the number two before (maskApi.c of cocoapi).
    """
    codes = np.frombuffer(text, np.uint8).astype(np.int64) - _FIRST
    if not codes.size:
        return codes
    ends = np.flatnonzero((codes & 32) == 0)
    lengths = np.diff(ends, prepend=-1)
    if codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise DataError("the compressed run lengths contain invalid characters")
    if lengths.max() > _LONGEST_NUMBER:
        raise DataError("the compressed run lengths contain a number of more than 32 bits")
    within = np.arange(len(codes)) - np.repeat(ends - lengths + 1, lengths)
    numbers = np.add.reduceat((codes & 31) << (_BITS * within), ends - lengths + 1)
    negative = (codes[ends] & 16) != 0
    numbers -= np.where(negative, 1 << (_BITS * lengths), 0)
    runs = numbers.copy()
    runs[1::2] = numbers[1::2].cumsum()
    runs[2::2] = numbers[2::2].cumsum()
    return runs


def require_runs(runs: npt.NDArray[Any], shape_yx: tuple[int, int]) -> Runs:
    """Return run lengths if they fill an image exactly; else raise `DataError`."""
    if runs.ndim != 1 or runs.dtype.kind not in "iu" or (runs.size and runs.min() < 0):
        raise DataError("run lengths must be non-negative integers")
    height, width = shape_yx
    if int(runs.sum()) != height * width:
        raise DataError(
            f"the runs cover {int(runs.sum())} pixels, the image has {height} x {width} = "
            f"{height * width}"
        )
    return runs.astype(np.int64)


def find_pixels(runs: Runs) -> Runs:
    """Find the indices of the pixels inside, counted down the columns: x * height + y."""
    ends = runs.cumsum()
    starts, lengths = (ends - runs)[1::2], runs[1::2]
    before = np.repeat(starts - (lengths.cumsum() - lengths), lengths)
    return (before + np.arange(int(lengths.sum()))).astype(np.int64)
