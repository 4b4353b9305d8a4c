"""The engine beside a viewer, without widgets: train, predict, and show the labels.

python examples/engine_in_napari.py runs/engine
"""

import sys
from pathlib import Path

import pixelwise as pw


def main(run: Path) -> None:
    """Train a small U-Net in this process, then add its labels to a viewer."""
    config = pw.TrainConfig.create(
        data={"path": pw.samples_path(), "classes": {"0": "background", "255": "nucleus"}},
        patches={"size": 128},
        model={"name": "unet", "options": {"base_channels": 8, "depth": 3}},
        training={"epochs": 1, "learning_rate": 3e-3},
        run=run,
    )
    for event in pw.fit(config):
        print(event.kind)
    model = pw.load_model(run / "model.safetensors")
    test = pw.load_dataset(config.data).select("test")
    labels = pw.predict(model, test.samples[0].image_path)
    pw.predict(model, test.samples[0].image_path, out=run / "labels.tif")
    print(f"Dice {pw.evaluate(model, test).total.per_class()['nucleus'].dice:.3f}")

    import napari  # after torch, which some Qt bindings cannot bear to be loaded late

    viewer = napari.Viewer(show=False)
    viewer.open(test.samples[0].image_path)
    layer = viewer.add_labels(labels, name="nuclei")
    print(f"{layer.name}: {layer.data.shape}")
    viewer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
