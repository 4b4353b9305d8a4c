"""A data set: samples, classes, and how they are split."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pixelwise.classes import SegmentationClass
from pixelwise.config import DataConfig
from pixelwise.datasets.holdout import hold_out_part
from pixelwise.datasets.problems import Problem
from pixelwise.datasets.sample import Sample, Split
from pixelwise.errors import ConfigError, DataError


@dataclass(frozen=True)
class Dataset:
    """Images with masks that share a set of classes.

    Attributes
    ----------
    root : Path
        Folder.
    layout, reason : str
        Layout of the folder, and why it was chosen.
    samples : tuple of Sample
        In the order of the layout.
    classes : tuple of SegmentationClass
        Index 0, 1, ... of the class masks.
    mapping : str
        How mask values become classes, in words.
    in_channels : int
        Channels of every image, after repeating grey ones.
    dtypes : tuple of str
        Number formats that occur.
    background : int or None
        Class that is not foreground, if any: that of value 0, of black, or named background.
    seen : tuple of int or None
        Values in the masks (colours as 0xRRGGBB), if the classes were inferred from them; None if
        the user or the layout defines them.
    unclear : str
        Why the masks could not be interpreted (also among the problems); empty if they could.
    problems : tuple of Problem
        Omissions, errors and notes.
    """

    root: Path
    layout: str
    reason: str
    samples: tuple[Sample, ...]
    classes: tuple[SegmentationClass, ...]
    mapping: str
    in_channels: int
    dtypes: tuple[str, ...]
    background: int | None = 0
    seen: tuple[int, ...] | None = None
    unclear: str = ""
    problems: tuple[Problem, ...] = field(default=())

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups (source images), sorted."""
        return tuple(sorted({sample.group for sample in self.samples}))

    def select(self, split: Split) -> Dataset:
        """Select the samples that the layout assigns to `split`; may be empty."""
        return replace(self, samples=tuple(s for s in self.samples if s.split == split))

    def split(self, fraction: float = 0.2, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Split into training and validation sets; each source image is in only one.

        Validation samples from the layout or the config's validation folder are used if there are
        any. Otherwise `fraction` of the training images is drawn, at least one and never all; a
        seed draws the same images on every machine. If there is only one image, a part of it is
        held out, see `hold_out_part`. Test images are used only if there are no others.

        Parameters
        ----------
        fraction : float
            Fraction of the groups to validate on, between 0 and 1.
        seed : int
            Seed of the draw.

        Raises
        ------
        DataError
            There is only one source image, and no part of it can be held out.
        ConfigError
            `fraction` is not between 0 and 1.
        """
        if not 0 < fraction < 1:
            raise ConfigError(f"The validation fraction must lie between 0 and 1, got {fraction}.")
        validation = self.select("validation")
        pool = [s for s in self.samples if s.split not in ("validation", "test")]
        if validation.samples and pool:
            return replace(self, samples=tuple(pool)), validation
        pool = pool or list(validation.samples) or list(self.samples)
        groups = {sample.group for sample in pool}
        if len(groups) < 2:
            return self._hold_out_part(pool, fraction, seed=seed)
        held = _draw_groups(groups, fraction, seed=seed)
        train = tuple(s for s in pool if s.group not in held)
        return replace(self, samples=train), replace(
            self, samples=tuple(s for s in pool if s.group in held)
        )

    def split_by(self, config: DataConfig) -> tuple[Dataset, Dataset]:
        """Split into training and validation sets as a config says: by a fold, or at random.

        Raises
        ------
        DataError, ConfigError
            As `split` and `split_fold`.
        """
        if config.folds is None:
            return self.split(config.validation_fraction, seed=config.split_seed)
        if config.fold is None:
            raise ConfigError(
                f"There are {config.folds} folds: name the one to validate on as fold, or train "
                "all of them with 'pixelwise train' or 'pixelwise compare'."
            )
        return self.split_fold(config.fold, config.folds, seed=config.split_seed)

    def split_fold(self, fold: int, folds: int, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Split for cross-validation: one fold to validate on, the others to train on.

        The source images are shared out among the folds at random, as evenly as possible; a seed
        draws the same folds on every machine. Test images belong to none.

        Parameters
        ----------
        fold : int
            Fold to validate on, 1 to `folds`.
        folds : int
            Number of folds, 2 or more.
        seed : int
            Seed of the draw.

        Raises
        ------
        DataError
            There are fewer source images than folds.
        """
        pool = [s for s in self.samples if s.split != "test"]
        names = sorted({sample.group for sample in pool})
        if len(names) < folds:
            raise DataError(
                f"{self.root} has {len(names)} source images for {folds} folds; expected one or "
                "more for each. Take fewer folds, or add images."
            )
        order = np.random.default_rng(seed).permutation(len(names))
        held = {names[i] for i in order[fold - 1 :: folds]}
        train = tuple(sample for sample in pool if sample.group not in held)
        return replace(self, samples=train), replace(
            self, samples=tuple(sample for sample in pool if sample.group in held)
        )

    def _hold_out_part(
        self, pool: list[Sample], fraction: float, *, seed: int
    ) -> tuple[Dataset, Dataset]:
        """Share out the pixels of an only image."""
        parts = hold_out_part(pool[0], fraction, seed=seed) if len(pool) == 1 else None
        if parts is None:
            why = (
                "it is too small, or annotated in one place, to hold a part of it out"
                if len(pool) == 1
                else f"its {len(pool)} patches may overlap: train on the image itself"
            )
            raise DataError(
                f"{self.root} has one image to learn from and none to validate on, and {why}. Add "
                "an image with its mask, annotate more of this one, or name a folder of "
                "validation images (--validation)."
            )
        train, validation = (replace(self, samples=(part,)) for part in parts)
        return train, validation

    def require_sound(self) -> Dataset:
        """Return the data set if nothing fatal was found.

        Raises
        ------
        DataError
            The message lists the problems to fix.
        """
        fatal = [problem for problem in self.problems if problem.fatal]
        if fatal:
            shown = "\n  ".join(str(problem) for problem in fatal[:5])
            more = f"\n  and {len(fatal) - 5} more" if len(fatal) > 5 else ""
            raise DataError(
                f"{self.root} cannot be used ('pixelwise inspect' lists all problems):\n"
                f"  {shown}{more}"
            )
        return self

    def summary(self) -> str:
        """Describe the data set in a few lines."""
        channels = f"{self.in_channels} channel{'s' * (self.in_channels > 1)}"
        pixels = f"{self._sizes()}, {channels}, {' and '.join(self.dtypes)}"
        return "\n".join(
            [
                f"{self.root}",
                f"layout: {self.layout} ({self.reason})",
                f"images: {len(self.samples)} from {len(self.groups)} sources, {pixels}",
                f"classes: {', '.join(c.name for c in self.classes)}",
                f"masks: {self.mapping}",
                f"splits: {self._splits()}",
                *(f"note: {problem}" for problem in self.problems[:10]),
                *([f"and {len(self.problems) - 10} more notes"] if len(self.problems) > 10 else []),
            ]
        )

    def _sizes(self) -> str:
        """Sizes that occur, most frequent first."""
        sizes = Counter(sample.shape[2:] for sample in self.samples).most_common()
        shown = ", ".join(f"{height} x {width} px" for (height, width), _ in sizes[:3])
        return shown + (f" and {len(sizes) - 3} other sizes" if len(sizes) > 3 else "")

    def _splits(self) -> str:
        """How many samples each split has."""
        counts = Counter(sample.split for sample in self.samples)
        if set(counts) == {None}:
            return "none given; validation images are drawn"
        return ", ".join(f"{count} {split or 'not assigned'}" for split, count in counts.items())


def _draw_groups(groups: set[str], fraction: float, *, seed: int) -> set[str]:
    """Draw the groups to validate on."""
    count = min(max(round(len(groups) * fraction), 1), len(groups) - 1)
    names = sorted(groups)
    order = np.random.default_rng(seed).permutation(len(names))
    return {names[i] for i in order[:count]}
