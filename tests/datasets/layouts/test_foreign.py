"""What is refused by name. The files of datumaro are real; the others are written by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pixelwise.datasets import load_dataset
from pixelwise.datasets.annotations.sniffing import FORMATS
from pixelwise.datasets.layouts.foreign import describe_foreign
from pixelwise.errors import DataError
from pixelwise.images import write_picture

FILES = {
    "via.json": (
        (
            '{"a.png123": {"filename": "a.png", "size": 123, "regions": [{"shape_attributes": '
            '{"name": "polygon", "all_points_x": [1]}, "region_attributes": {}}], '
            '"file_attributes": {}}}'
        ),
        "VGG Image Annotator (VIA) JSON",
    ),
    "via_project.json": ('{"_via_settings": {}}', "VGG Image Annotator (VIA) JSON"),
    "via.csv": (
        "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes\n",
        "VGG Image Annotator (VIA) CSV",
    ),
    "annotations.xml": (
        (
            '<?xml version="1.0"?><annotations><version>1.1</version><image id="0" name="a.png"/>'
            "</annotations>"
        ),
        'CVAT XML ("CVAT for images 1.1"',
    ),
    "a.xml": (
        (
            "<annotation><filename>a.png</filename><object><name>x</name><polygon><pt/></polygon>"
            "</object></annotation>"
        ),
        "LabelMe's old XML",
    ),
    "boxes.xml": (
        "<annotation><filename>a.png</filename><object><bndbox/></object></annotation>",
        "Pascal VOC XML (boxes)",
    ),
    "page.xml": (
        '<PcGts xmlns="http://schema.primaresearch.org/PAGE"><Page imageFilename="a.png"/></PcGts>',
        "PAGE XML",
    ),
    "alto.xml": ('<alto xmlns="http://www.loc.gov/standards/alto/ns-v4#"/>', "ALTO XML"),
    "asap.xml": ("<ASAP_Annotations><Annotations/></ASAP_Annotations>", "ASAP XML"),
    "a.png.json": (
        (
            '{"size": {"height": 8, "width": 9}, "objects": [{"classTitle": "x", "geometryType": '
            '"polygon"}]}'
        ),
        "Supervisely JSON",
    ),
    "labelstudio.json": (
        (
            '[{"id": 1, "annotations": [{"result": [{"original_width": 9, "type": "polygonlabels", '
            '"from_name": "label"}]}], "data": {"image": "/data/a.png"}}]'
        ),
        "Label Studio JSON",
    ),
    "labelbox.ndjson": ('{"data_row": {"id": "x"}, "projects": {}}', "Labelbox JSON"),
    "darwin.json": ('{"version": "2.0", "schema_ref": "https://darwin.v7labs.com/x"}', "V7 Darwin"),
    "superannotate.json": (
        '{"metadata": {}, "instances": [{"type": "polygon", "className": "x"}]}',
        "SuperAnnotate JSON",
    ),
    "createml.json": (
        '[{"image": "a.png", "annotations": [{"label": "x", "coordinates": {"x": 1}}]}]',
        "CreateML JSON",
    ),
    "a_gtFine_polygons.json": (
        '{"imgHeight": 8, "imgWidth": 9, "objects": [{"label": "x", "polygon": []}]}',
        "Cityscapes polygons JSON",
    ),
    "labels/a.txt": ("0 0.5 0.5 0.1 0.1\n1 0.2 0.2 0.4 0.4 0.1 0.9\n", "YOLO txt"),
    "rle.csv": ("ImageId,EncodedPixels\na,1 2\n", "CSV with run lengths"),
    "a.mat": ("MATLAB 5.0 MAT-file", "MATLAB .mat"),
    "a.ndpi.ndpa": ("<annotations><ndpviewstate/></annotations>", "Hamamatsu NDPA"),
}


@pytest.mark.parametrize("name", FILES)
def test_formats_are_named_with_what_to_export_instead(tmp_path: Path, name: str) -> None:
    content, expected = FILES[name]
    write_picture(tmp_path / "a.png", np.zeros((8, 9), np.uint8))
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match="annotations in an unsupported format") as caught:
        load_dataset(tmp_path)
    *_, line, advice = str(caught.value).splitlines()
    assert "pixelwise inspect" in advice
    assert line.startswith(f"  {expected}")
    assert f", e.g. {name}: " in line
    assert len(str(caught.value).splitlines()) == 4


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("cvat", "CVAT XML"),
        ("datumaro", "Datumaro JSON"),
        ("label_me", "LabelMe's old XML"),
        ("voc_boxes", "Pascal VOC XML (boxes)"),
        ("yolo", "YOLO txt"),
    ],
)
def test_real_files_of_datumaro(exports: Path, folder: str, expected: str) -> None:
    with pytest.raises(DataError, match="in an unsupported format") as caught:
        load_dataset(exports / "datumaro" / "refused" / folder)
    assert f"  {expected}" in str(caught.value)


def test_they_are_no_concern_beside_good_masks(tmp_path: Path) -> None:
    for folder, value in (("images", 0), ("masks", 1)):
        (tmp_path / folder).mkdir()
        pixels = np.zeros((8, 9), np.uint8)
        pixels[:4] = value
        write_picture(tmp_path / folder / "a.png", pixels)
    for name, (content, _) in FILES.items():
        (tmp_path / "other" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "other" / name).write_text(content)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text(FILES["labels/a.txt"][0])
    data = load_dataset(tmp_path)
    assert data.layout == "pairs"
    assert data.samples[0].mask_path.parent.name == "masks"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("README.txt", "Numbers: 1 2 3 4 5\n"),
        ("train.txt", "a\nb\n"),
        ("scores.csv", "a,b\n1,2\n"),
        ("settings.json", '{"a": 1}'),
        ("note.xml", "<note/>"),
        ("values.txt", "0.5 1 2 3 4\n"),
        ("empty.txt", ""),
    ],
)
def test_other_files_are_no_annotations(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert describe_foreign(tmp_path) is None


def test_every_format_names_a_way_out_or_is_read() -> None:
    read = {item.name for item in FORMATS if not item.export}
    assert read == {"COCO JSON", "LabelMe JSON", "QuPath GeoJSON", "ImageJ ROI"}


def test_long_lines_do_not_hold_up(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0 " + "1" * 200_000)
    (tmp_path / "a.json").write_text('{"a": [' + "[" * 200_000)
    (tmp_path / "a.xml").write_text("<annotation" * 20_000)
    assert describe_foreign(tmp_path) is None
