from __future__ import annotations

from pathlib import Path

from pixelwise.prediction.post_processing import name_table
from pixelwise.prediction.predict import predict
from tests.prediction.conftest import create_stack
from tests.prediction.test_pipeline import noise, write_image


def test_objects_are_listed_in_a_table(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.tif", noise(2, 150, 80))
    options = {"axes": "ZYX", "tile": 48, "table": True, "smallest_object": 3}
    predict(create_stack(3), path, out=tmp_path / "b_labels.tif", **options)
    lines = (tmp_path / "b_objects.csv").read_text().splitlines()
    assert lines[0].startswith("plane,object,class,area_px,area_um2,centroid_y,centroid_x,top,left")
    numbers = predict(create_stack(3), path, instances=True, axes="ZYX", tile=48, smallest_object=3)
    assert len(lines) - 1 == numbers[0].max() + numbers[1].max()
    labels = predict(create_stack(3), path, axes="ZYX", tile=48, smallest_object=3)
    for line in (lines[1], lines[-1]):
        plane, number, name, area = line.split(",")[:4]
        where = numbers[int(plane)] == int(number)
        assert where.sum() == int(area)
        assert set(labels[int(plane)][where]) == {int(name.removeprefix("class "))}
    assert name_table(tmp_path / "b.ome.tif").name == "b_objects.csv"
    twice = tmp_path / "cell_instances_labels.tif"
    assert name_table(twice).name == "cell_instances_objects.csv"
