"""The same in napari, scripted: open layers, train on them, predict one, and score the labels.

python examples/napari_session.py runs/session
"""

import sys
from pathlib import Path

import napari


def main(run: Path) -> None:
    """Drive the widgets as a user would; the window stays free while child processes work."""
    viewer = napari.Viewer(show=False)
    viewer.open_sample("napari-pixelwise", "nuclei")
    image, truth = viewer.layers[0], viewer.layers[1]

    _, train = viewer.window.add_plugin_dock_widget("napari-pixelwise", "Train")
    train.place["folder"].value, train.place["name"].value = run.parent, run.name
    train.model.name.value = "unet"
    train.model.options.fill({"base_channels": 8, "depth": 3})
    train.patches["size"].value = "128"
    train.training["epochs"].value = 2
    train.start()
    train.wait()
    print(train.status.text.text())

    _, predict = viewer.window.add_plugin_dock_widget("napari-pixelwise", "Predict")
    predict.model.value = train.run.model
    predict.choose(image.name)
    predict.predict()
    predict.wait()
    labels = predict.results[0]
    labels.save(str(run / "labels.tif"))

    _, evaluate = viewer.window.add_plugin_dock_widget("napari-pixelwise", "Evaluate")
    evaluate.layers["prediction"].value = labels.name
    evaluate.layers["truth"].value = truth.name
    evaluate.evaluate()
    evaluate.wait()
    print(f"Dice {evaluate.scores.micro(foreground=True).dice:.3f}")
    viewer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
