"""Known but unsupported formats: each is refused by name, with what to export instead."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pixelwise.errors import ReadError

_BFCONVERT: Final = (
    "Open it in Fiji (File > Import > Bio-Formats) and save it as TIFF, or type: "
    "bfconvert IMAGE image.ome.tiff"
)
_WHOLE_SLIDE: Final = (
    "Open it in QuPath and export it as OME-TIFF (File > Export images), or type: "
    "bfconvert IMAGE image.ome.tiff"
)
_PICTURE: Final = "Save it as PNG or TIFF with the program that made it."
_PICKLE: Final = (
    "Unpickling runs code from the file. Save the array itself: numpy.save('a.npy', array)."
)
_ITK: Final = (
    "Save it as NIfTI (.nii.gz): SimpleITK.WriteImage(SimpleITK.ReadImage(a), 'a.nii.gz')."
)


@dataclass(frozen=True)
class ForeignFormat:
    """An unsupported image format, or one that users may take for an image format.

    Attributes
    ----------
    name : str
        Name for messages, with its article.
    suffixes : tuple of str
        File suffixes, in lower case with the dot.
    advice : str
        What to export instead, and how.
    marks : tuple of bytes
        First bytes of its files.
    inside : str
        Name of the supported format that its files look like; they are still refused, because the
        readable part is not the image.
    """

    name: str
    suffixes: tuple[str, ...]
    advice: str
    marks: tuple[bytes, ...] = ()
    inside: str = ""


FOREIGN_FORMATS: Final = (
    ForeignFormat(
        "a MATLAB file",
        (".mat",),
        'In MATLAB, imwrite(image, "image.tif") writes a picture, and h5create and h5write write '
        "more than two dimensions.",
        (b"MATLAB ",),
        "HDF5",
    ),
    ForeignFormat(
        "an ilastik project",
        (".ilp",),
        "In ilastik, export the image, the predictions or the labels as HDF5 or TIFF.",
        inside="HDF5",
    ),
    ForeignFormat("an Imaris file", (".ims", ".imaris"), _BFCONVERT, inside="HDF5"),
    ForeignFormat(
        "a pickle",
        (".pkl", ".pickle", ".joblib"),
        _PICKLE,
        (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
    ),
    ForeignFormat("an Olympus VSI file", (".vsi", ".ets"), _WHOLE_SLIDE, inside="TIFF"),
    ForeignFormat("a MIRAX slide", (".mrxs",), _WHOLE_SLIDE, inside="picture"),
    ForeignFormat(
        "an Olympus OIB or OIF or a Zeiss ZVI file",
        (".oib", ".oif", ".zvi"),
        _BFCONVERT,
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",),
    ),
    ForeignFormat(
        "a Leica file that points to others",
        (".lof", ".xlef", ".xlif", ".xlcf", ".lei"),
        "Save the project as one .lif file in LAS X, or export TIFF.",
        inside="LIF",
    ),
    ForeignFormat("an ND2 file of before 2010", (".nd2",), _BFCONVERT, inside="JPEG 2000"),
    ForeignFormat(
        "a DICOM file without its first 132 bytes",
        (".dcm", ".dicom"),
        "Write them: pydicom.dcmread('a.dcm', force=True).save_as('b.dcm', "
        "enforce_file_format=True).",
    ),
    ForeignFormat("a DeltaVision file", (".dv", ".r3d"), _BFCONVERT),
    ForeignFormat("a SlideBook file", (".sld", ".sldy"), _BFCONVERT),
    ForeignFormat(
        "an NRRD or MetaImage file", (".nrrd", ".nhdr", ".mha", ".mhd"), _ITK, (b"NRRD",)
    ),
    ForeignFormat(
        "an Analyze image or a NIfTI pair",
        (".hdr", ".img"),
        "Save it as one file: nibabel.save(nibabel.load('a.img'), 'a.nii.gz').",
    ),
    ForeignFormat("an SVG drawing", (".svg", ".svgz"), "Export it as PNG.", (b"<svg",)),
    ForeignFormat(
        "a Photoshop file",
        (".psd", ".psb"),
        "In Photoshop, File > Save a Copy as TIFF or PNG, without layers.",
        (b"8BPS",),
    ),
    ForeignFormat(
        "a GIMP file", (".xcf",), "In GIMP, File > Export As, to PNG or TIFF.", (b"gimp xcf",)
    ),
    ForeignFormat(
        "a HEIC, AVIF or JPEG XL picture",
        (".heic", ".heif", ".avif", ".jxl"),
        _PICTURE,
        (b"\xff\x0a", b"\0\0\0\x0cJXL "),
    ),
    ForeignFormat(
        "a camera's raw picture",
        (
            *(".dng", ".nef", ".nrw", ".cr2", ".cr3", ".arw", ".orf", ".rw2", ".raf", ".pef"),
            *(".srw", ".erf", ".iiq"),
        ),
        "Develop it to a 16-bit TIFF: only its preview could be read.",
        inside="TIFF",
    ),
    ForeignFormat(
        "an overview or mask beside a map",
        (".ovr", ".msk"),
        "Read the TIFF beside it.",
        inside="TIFF",
    ),
    ForeignFormat(
        "a picture in a rare format",
        (
            *(".tga", ".pcx", ".dds", ".exr", ".sgi", ".ras", ".xpm", ".xbm", ".ico", ".qoi"),
            *(".pam", ".pfm", ".fits", ".fit", ".hdp", ".jxr", ".wdp", ".emf", ".wmf", ".eps"),
        ),
        _PICTURE,
        (b"P7\n", b"Pf\n", b"PF\n", b"SIMPLE  ="),
    ),
    ForeignFormat("a PDF document", (".pdf",), "Type: pdftoppm -png -r 300 FILE page", (b"%PDF",)),
    ForeignFormat(
        "a video",
        (".avi", ".mp4", ".mov", ".mkv", ".wmv", ".webm", ".m4v"),
        "Take its frames: ffmpeg -i VIDEO frame%05d.png",
        (b"\x1aE\xdf\xa3",),
    ),
    ForeignFormat(
        "an archive",
        (".zip", ".gz", ".tar", ".tgz", ".7z", ".rar", ".bz2", ".xz"),
        "Unpack it first.",
        (b"PK\3\4", b"PK\5\6", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ"),
    ),
)
"""In the order in which they are tried."""

_BRANDS: Final = {
    b"ftypheic": ".heic", b"ftypheix": ".heic", b"ftypmif1": ".heic", b"ftypmsf1": ".heic",
    b"ftypavif": ".avif", b"ftypavis": ".avif", b"ftypcrx ": ".cr3", b"ftypqt  ": ".mov",
    b"ftypisom": ".mp4", b"ftypmp42": ".mp4", b"ftypmp41": ".mp4", b"ftypiso2": ".mp4",
}  # fmt: skip
"""Brand at byte 4 of an ISO media container, and the suffix of such files."""


def find_foreign(path: Path, mark: bytes = b"", known: str = "") -> ForeignFormat | None:
    """Find the foreign format of a file.

    Parameters
    ----------
    path : path
        Its suffix decides if the first bytes do not.
    mark : bytes
        First bytes of the file.
    known : str
        Name of the supported format that the first bytes match, if any; only foreign formats that
        look like it are then considered.
    """
    suffix = path.suffix.lower()
    if known:
        alike = (item for item in FOREIGN_FORMATS if item.inside == known)
        return next((i for i in alike if suffix in i.suffixes or mark.startswith(i.marks)), None)
    suffix = _BRANDS.get(mark[4:12], suffix)
    by_mark = (item for item in FOREIGN_FORMATS if mark.startswith(item.marks))
    by_suffix = (item for item in FOREIGN_FORMATS if suffix in item.suffixes)
    return next(by_mark, None) or next(by_suffix, None)


def refuse(path: Path, item: ForeignFormat) -> ReadError:
    """Create the error that names a foreign format and says what to do."""
    return ReadError(f"{path} is {item.name}, which is not supported. {item.advice}")
