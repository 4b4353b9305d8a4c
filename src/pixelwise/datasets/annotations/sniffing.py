"""Detects which tool wrote an annotation file, by its suffix and by words its format always has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pixelwise.parsing import open_regular

_START_BYTES: Final = 1 << 16
_LINES: Final = 20


@dataclass(frozen=True)
class AnnotationFormat:
    """An annotation format.

    Attributes
    ----------
    name : str
        Tool and format, for messages.
    suffixes : tuple of str
        Endings of its files' names, in lower case.
    words : tuple of str
        Patterns that all occur in the first 64 KiB of every such file.
    export : str
        What to export instead; empty for supported formats.
    """

    name: str
    suffixes: tuple[str, ...]
    words: tuple[str, ...]
    export: str = ""


_JSON: Final = (".json",)
_XML: Final = (".xml",)
_MASKS_OR_COCO: Final = "export COCO JSON, or masks as PNG files"

COCO: Final = AnnotationFormat(
    "COCO JSON", _JSON, (r'"(?:images|annotations)"\s*:\s*\[', r'"(?:file_name|image_id)"')
)
LABELME: Final = AnnotationFormat(
    "LabelMe JSON", (".json", ".xml"), (r'"shapes"\s*:\s*\[', r'"(?:imagePath|version|flags)"')
)
GEOJSON: Final = AnnotationFormat(
    "QuPath GeoJSON",
    (".geojson", ".json"),
    (r'"type"\s*:\s*"Feature(?:Collection)?"',),
)

FORMATS: Final = (
    AnnotationFormat(
        "VGG Image Annotator (VIA) JSON",
        _JSON,
        (r'"_via_(?:settings|img_metadata)"|"shape_attributes"|"file_attributes"',),
        "in VIA choose Annotation > Export Annotations (COCO format); polygons only",
    ),
    AnnotationFormat(
        "VGG Image Annotator (VIA) CSV",
        (".csv",),
        (r"region_shape_attributes",),
        "in VIA choose Annotation > Export Annotations (COCO format); polygons only",
    ),
    LABELME,
    GEOJSON,
    AnnotationFormat(
        "Label Studio JSON",
        _JSON,
        (r'"(?:annotations|completions)"\s*:\s*\[', r'"(?:original_width|from_name)"'),
        "in Label Studio choose Export > COCO (polygons), or Brush labels to PNG (masks)",
    ),
    AnnotationFormat(
        "Supervisely JSON",
        _JSON,
        (r'"(?:classTitle|geometryType)"',),
        "in Supervisely run the app Export as masks (human masks or machine masks) or "
        "Export to COCO",
    ),
    AnnotationFormat(
        "Datumaro JSON",
        _JSON,
        (r'"categories"\s*:\s*\{', r'"items"\s*:\s*\['),
        "convert it (pip install 'datumaro[cli]'): datum convert -i FOLDER -if datumaro "
        "-f coco_instances -o OUT -- --save-media",
    ),
    AnnotationFormat(
        "Labelbox JSON",
        (".json", ".ndjson"),
        (r'"(?:Labeled Data|DataRow ID|data_row)"',),
        "export it to COCO with Labelbox's own converter (labelbox.data.serialization)",
    ),
    AnnotationFormat(
        "V7 Darwin JSON",
        _JSON,
        (r'"(?:annotation_format_version|darwin[^"]*)"|"schema_ref"\s*:\s*"[^"]*darwin',),
        "in V7 export the data set as COCO or Semantic mask",
    ),
    AnnotationFormat(
        "SuperAnnotate JSON",
        _JSON,
        (r'"instances"\s*:\s*\[', r'"className"'),
        "in SuperAnnotate's SDK run sa.export_annotation(..., 'COCO', ...)",
    ),
    AnnotationFormat(
        "CreateML JSON",
        _JSON,
        (r'"annotations"\s*:\s*\[', r'"coordinates"\s*:\s*\{'),
        f"it holds boxes only; {_MASKS_OR_COCO} from the tool that wrote it",
    ),
    AnnotationFormat(
        "Cityscapes polygons JSON",
        _JSON,
        (r'"imgHeight"', r'"objects"\s*:\s*\['),
        "write its masks: csCreateTrainIdLabelImgs of the package cityscapesscripts",
    ),
    COCO,
    AnnotationFormat(
        'CVAT XML ("CVAT for images 1.1" or "CVAT for video 1.1")',
        _XML,
        ("<annotations", r"<(?:image\s|track\s|meta>|version>)"),
        'in CVAT choose Export task dataset > "Segmentation mask 1.1" (with Save images) or '
        '"COCO 1.0"',
    ),
    AnnotationFormat(
        "PAGE XML",
        _XML,
        (r"<(?:\w+:)?PcGts",),
        f"{_MASKS_OR_COCO} (eScriptorium, Transkribus and kraken draw masks of regions and lines)",
    ),
    AnnotationFormat(
        "ALTO XML", _XML, (r"<alto[\s>]",), f"{_MASKS_OR_COCO} from the tool that wrote it"
    ),
    AnnotationFormat(
        "ASAP XML",
        _XML,
        (r"<ASAP_Annotations",),
        "open it in QuPath or convert it to GeoJSON, and export GeoJSON",
    ),
    AnnotationFormat(
        "LabelMe's old XML (its web tool)",
        _XML,
        ("<annotation>", "<polygon>|<segm>|<scribbles>"),
        "open the images in current LabelMe and save JSON, or convert the XML (pip install "
        "'datumaro[cli]'): datum convert -i FOLDER -if label_me -f coco_instances -o OUT "
        "-- --save-media",
    ),
    AnnotationFormat(
        "Pascal VOC XML (boxes)",
        _XML,
        (r"<annotation[ >]", r"<(?:bndbox|object|filename)>"),
        "it holds boxes only; export the segmentation: SegmentationClass with its PNG files",
    ),
    AnnotationFormat(
        "Hamamatsu NDPA",
        (".ndpa",),
        (r"<ndpviewstate",),
        "open the slide in QuPath and export GeoJSON",
    ),
    AnnotationFormat(
        "Cellpose's _seg.npy (a pickle, which can run code when it is read)",
        ("_seg.npy",),
        (r"^\x93NUMPY",),
        "in Cellpose choose File > Save masks as PNG/TIF, which writes NAME_cp_masks.png or .tif",
    ),
    AnnotationFormat(
        "MATLAB .mat",
        (".mat",),
        (r"",),
        "in MATLAB run imwrite(uint8(labels), 'NAME.png') for each, with the variable's own name",
    ),
    AnnotationFormat(
        "CSV with run lengths (Kaggle)",
        (".csv",),
        (r"EncodedPixels|rle_mask",),
        "decode it to one PNG file per image first",
    ),
    AnnotationFormat(
        "YOLO txt",
        (".txt",),
        (),
        "it holds boxes or polygons in fractions of the image; export COCO JSON or masks as PNG "
        "files from the tool that wrote it (CVAT, Roboflow and Label Studio all can)",
    ),
    AnnotationFormat(
        "ImageJ ROI",
        (".roi",),
        (r"^Iout",),
    ),
)
"""All known formats, the most specific first; those without `export` are supported."""


def sniff(path: Path) -> AnnotationFormat | None:
    """Format of a file, by its first 64 KiB; None if unknown or unreadable."""
    name = path.name.lower()
    chosen = [item for item in FORMATS if name.endswith(item.suffixes)]
    if not chosen:
        return None
    try:
        with open_regular(path) as file:
            start = file.read(_START_BYTES)
    except OSError:
        return None
    return next((item for item in chosen if _matches(item, start)), None)


def _matches(item: AnnotationFormat, start: bytes) -> bool:
    """Whether the start of a file matches a format."""
    if not item.words:
        return _is_yolo(start)
    return all(re.search(word.encode(), start) for word in item.words)


def _is_yolo(start: bytes) -> bool:
    """Whether every line is a class number and at least four numbers: a box or an outline."""
    lines = [line.split() for line in start.splitlines()[:_LINES] if line.strip()]
    try:
        return bool(lines) and all(
            len(line) > 4 and line[0].isdigit() and [float(word) for word in line] for line in lines
        )
    except ValueError:
        return False
