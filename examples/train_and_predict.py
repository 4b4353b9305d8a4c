"""From images and masks to labels and scores, in Python, on the samples that ship with the package.

python examples/train_and_predict.py runs/example
"""

import sys
from pathlib import Path

import pixelwise as pw


def main(run: Path) -> None:
    """Train a small U-Net, predict one image, and score the model on images it has not seen."""
    samples = pw.samples_path()
    config = pw.TrainConfig.create(
        data={"path": samples, "classes": {"0": "background", "255": "nucleus"}},
        patches={"size": 128},
        model={"name": "unet", "options": {"base_channels": 8, "depth": 3}},
        training={"epochs": 2, "learning_rate": 3e-3},
        run=run,
    )
    for event in pw.fit(config):
        print(event.to_json())

    model = pw.load_model(run / "model.safetensors")
    test = pw.load_dataset(config.data).select("test")
    labels = pw.predict(model, test.samples[0].image_path)
    pw.predict(model, test.samples[0].image_path, out=run / "labels.tif")
    print(f"{labels.shape} {labels.dtype}, {labels.mean():.1%} nuclei")
    print(f"Dice {pw.evaluate(model, test).total.per_class()['nucleus'].dice:.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
