from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pixelwise.config import DataConfig
from pixelwise.datasets import load_dataset
from pixelwise.datasets.layouts.monuseg import read, recognise
from pixelwise.datasets.readers import FileMask, PolygonMask
from pixelwise.errors import ReadError
from pixelwise.images import write_picture, write_tiff

XML = """<Annotations MicronsPerPixel="0.25"><Annotation><Regions><Region><Vertices>
<Vertex X="1" Y="1"/><Vertex X="5" Y="1"/><Vertex X="5" Y="3"/><Vertex X="1" Y="3"/>
</Vertices></Region></Regions></Annotation></Annotations>"""


def fill(images: Path, xml: Path | None = None, masks: Path | None = None) -> None:
    images.mkdir(parents=True, exist_ok=True)
    write_tiff(images / "TCGA-1.tif", np.zeros((8, 9, 3), np.uint8), axes="YXC")
    if xml is not None:
        xml.mkdir(parents=True, exist_ok=True)
        (xml / "TCGA-1.xml").write_text(XML)
    if masks is not None:
        masks.mkdir(parents=True, exist_ok=True)
        write_picture(masks / "TCGA-1.png", np.eye(8, 9, dtype=np.uint8))


@pytest.mark.parametrize(
    ("images", "xml", "masks", "kind"),
    [
        ("Tissue Images", "Annotations", None, PolygonMask),
        ("Tissue_Images", "Annotations", "Binary_masks", FileMask),
        ("tissue-images", None, "binary masks", FileMask),
        (".", ".", None, PolygonMask),
    ],
    ids=["official", "copy", "binary-only", "official-test"],
)
def test_arrangements(
    tmp_path: Path, images: str, xml: str | None, masks: str | None, kind: type
) -> None:
    fill(tmp_path / images, xml and tmp_path / xml, masks and tmp_path / masks)  # type: ignore[arg-type]
    assert recognise(tmp_path)
    data = load_dataset(tmp_path)
    assert data.layout == "monuseg"
    assert [item.name for item in data.classes] == ["background", "nucleus"]
    assert isinstance(data.samples[0].mask, kind)
    mask = data.samples[0].read_mask()
    assert mask.shape == (1, 8, 9)
    assert mask.sum() == (15 if kind is PolygonMask else 8)


def test_polygons_on_request(tmp_path: Path) -> None:
    fill(tmp_path / "Tissue Images", tmp_path / "Annotations", tmp_path / "Binary_masks")
    data = load_dataset(tmp_path, masks="Annotations")
    assert data.samples[0].read_mask().sum() == 15
    with pytest.raises(ReadError, match="check 'masks'"):
        load_dataset(tmp_path, masks="nowhere")


def test_unpaired(tmp_path: Path) -> None:
    fill(tmp_path / "Tissue Images", tmp_path / "Annotations")
    (tmp_path / "Annotations" / "TCGA-2.xml").write_text(XML)
    write_tiff(tmp_path / "Tissue Images" / "TCGA-3.tif", np.zeros((4, 4), np.uint8), axes="YX")
    listing = read(DataConfig(path=tmp_path))
    assert [(p.kind, Path(p.where).name) for p in listing.problems] == [
        ("unpaired", "TCGA-3.tif"),
        ("unpaired", "TCGA-2.xml"),
    ]


def test_other_xml_is_not_taken_for_annotations(tmp_path: Path) -> None:
    (tmp_path / "settings.xml").write_text("<Annotations/>")
    assert recognise(tmp_path) is None


def test_the_real_set(data_dir: Path) -> None:
    data = load_dataset(data_dir / "monuseg2018")
    assert len(data.samples) == 30
    assert {sample.shape for sample in data.samples} == {(1, 3, 1000, 1000)}
    assert not data.problems
    train, validation = data.split(0.2, 0)
    assert (len(train.samples), len(validation.samples)) == (24, 6)
    polygons = load_dataset(data_dir / "monuseg2018", masks="Annotations")
    assert len(polygons.samples) == 13
