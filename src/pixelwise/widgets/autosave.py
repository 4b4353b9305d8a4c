"""Autosave: annotations are kept while they are drawn, and offered again after a crash."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer

from pixelwise.errors import DataError, PixelwiseError
from pixelwise.widgets.annotation_files import (
    Annotation,
    AnnotationFile,
    create_key,
    hearers,
    list_left,
    read_file,
    remove_file,
    remove_old,
)
from pixelwise.widgets.connections import Connections
from pixelwise.widgets.layers import (
    AXES_KEY,
    FILE,
    MODEL,
    PREDICTED,
    SOURCE,
    SPARSE,
    Array,
    color_labels,
    find_layers,
    image_shape,
    layer_array,
    pair_layers,
    placement,
    read_axes,
)
from pixelwise.widgets.panel import Panel
from pixelwise.widgets.readers import list_classes
from pixelwise.widgets.threads import run_in_thread

if TYPE_CHECKING:
    from napari.layers import Image, Labels

_PAUSE_MS = 1000  # without a stroke, until it is saved
_AGAIN_MS = 20_000  # after the disk was full
_EVENTS = ("paint", "data", "set_data")


@dataclass
class _Kept:
    """A layer and the file that keeps it."""

    layer: Labels
    file: AnnotationFile
    digest: bytes | None = None
    replaces: tuple[Path, ...] = ()
    is_saved: bool = False  # by the user, since the last stroke

    def remove(self) -> None:
        """Remove what is kept, also in the files that it was restored from."""
        self.file.remove()
        for path in self.replaces:
            remove_file(path)

    def save(self, about: Annotation) -> bool:
        """Write what is drawn, unless nothing has changed; nothing drawn needs no file."""
        pixels = np.array(layer_array(self.layer))
        digest = blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest()
        if digest == self.digest:
            return False
        if pixels.any():
            self.file.write(pixels, about)
        else:
            self.file.remove()
        self.digest = digest
        for path in self.replaces:
            remove_file(path)
        self.replaces = ()
        return True


class Autosave(QObject):
    """Keeps every labels layer that is annotated in a window.

    Parameters
    ----------
    panel : Panel
        Says what is wrong.
    folder : Path
        Where the files lie.
    """

    def __init__(self, panel: Panel, folder: Path) -> None:
        super().__init__(panel)
        self._panel, self._viewer, self._folder = panel, panel.viewer, folder
        self._kept: dict[int, _Kept] = {}
        self._due: list[Labels] = []
        self._is_saving = self._has_failed = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._save_next)
        self._heard, self._heard_layers = Connections(), dict[int, Connections]()
        events = self._viewer.layers.events
        self._heard.make(events.inserted, lambda event: self._hear_layer(event.value))
        self._heard.make(events.removed, lambda event: self.discard(event.value))
        for layer in self._viewer.layers:
            self._hear_layer(layer)
        panel.destroyed.connect(self._heard.end)
        panel.destroyed.connect(partial(_end_all, self._heard_layers))
        hearers.add(self)
        remove_old(folder)

    @property
    def is_busy(self) -> bool:
        """Whether something is to be saved."""
        return self._is_saving or bool(self._due)

    def find_left(self, image: Image) -> list[Path]:
        """Files that a window left which ended before its annotations of this image were saved."""
        return list_left(self._folder, _find_key(image))

    def restore(self, image: Image, paths: list[Path]) -> list[Labels]:
        """Add what the files hold as layers; they are removed when the layers are kept themselves.

        Raises
        ------
        DataError
            A file is damaged; the others are added.
        """
        added, damaged = [], []
        for path in paths:
            found = read_file(path)
            if found is None or found[0].shape != image_shape(image):
                damaged.append(path)
                continue
            layer = self._add(image, *found)
            added.append(layer)
            self._keep(layer, image).replaces = (path,)
            self._due.append(layer)
        self._timer.start(0)
        if damaged:
            raise DataError(f"{damaged[0]} cannot be read; it was left as it is.")
        return added

    def discard(self, layer: Any) -> None:
        """Remove what is kept of a layer: it was closed."""
        layer = _unwrap(layer)
        self._due = [due for due in self._due if due is not layer]
        if (heard := self._heard_layers.pop(id(layer), None)) is not None:
            heard.end()
        if (kept := self._kept.pop(id(layer), None)) is not None:
            kept.is_saved = True  # also if a thread is writing it now
            kept.remove()

    def hear_saved(self, pixels: Any) -> None:
        """Remove what is kept of the layer with these pixels: the user has saved them."""
        self._due = [layer for layer in self._due if layer_array(layer) is not pixels]
        for kept in self._kept.values():
            if layer_array(kept.layer) is pixels:
                kept.is_saved = True
                kept.remove()

    def _add(self, image: Image, pixels: Array, about: Annotation) -> Labels:
        axes = read_axes(image).names
        where = placement(image, axes, axes.replace("C", ""))
        layer: Labels = _unwrap(self._viewer.add_labels(pixels, name=about.name, **where))
        if classes := about.list_classes():
            color_labels(layer, classes, first=int(about.sparse))
        known = {MODEL: about.model} if about.model else {}
        metadata = {SPARSE: about.sparse, SOURCE: image.name, AXES_KEY: axes.replace("C", "")}
        layer.metadata = {**layer.metadata, **metadata, **known}
        return layer

    def _hear_layer(self, layer: Any) -> None:
        layer = _unwrap(layer)
        if layer._type_string == "labels":
            heard = self._heard_layers.setdefault(id(layer), Connections())
            for name in _EVENTS:
                heard.make(getattr(layer.events, name), partial(self._hear_stroke, layer))

    def _hear_stroke(self, layer: Labels, *_: object) -> None:
        """Save soon, unless the labels are a prediction or a preview."""
        is_annotated = SPARSE in layer.metadata and not layer.metadata.get(PREDICTED)
        if is_annotated and layer in find_layers(self._viewer, "labels"):
            if (kept := self._kept.get(id(layer))) is not None:
                kept.is_saved = False
            if not any(due is layer for due in self._due):
                self._due.append(layer)
            self._timer.start(_AGAIN_MS if self._has_failed else _PAUSE_MS)

    def _keep(self, layer: Labels, image: Image) -> _Kept:
        file = AnnotationFile(self._folder, _find_key(image))
        return self._kept.setdefault(id(layer), _Kept(layer, file))

    def _save_next(self) -> None:
        """Save the layers that are due, one after another, in a thread."""
        if self._is_saving or not self._due:
            return
        layer = self._due.pop(0)
        image = self._find_image(layer)
        if image is None:
            self._save_next()
            return
        self._is_saving = True
        kept = self._keep(layer, image)
        run_in_thread(
            partial(kept.save, _describe(layer, image)),
            self,
            then=lambda _: self._end_save(kept),
            failed=partial(self._fail, layer),
        )

    def _end_save(self, kept: _Kept) -> None:
        self._is_saving = False
        if kept.is_saved:
            kept.remove()
        if self._has_failed:
            self._has_failed = False
            self._panel.say("The strokes are saved again.")
        self._save_next()

    def _fail(self, layer: Labels, error: Exception) -> None:
        """Say once that the strokes are in the window only, and try again later."""
        self._is_saving = False
        if not self._has_failed:
            self._panel.complain(
                f"The strokes stay in the window, but cannot be kept on the disk: {error} It is "
                "tried again."
            )
        self._has_failed = True
        self._due.append(layer)
        self._timer.start(_AGAIN_MS)

    def _find_image(self, layer: Labels) -> Image | None:
        """Find the image that labels are drawn on: by its name, or by what fits."""
        images = find_layers(self._viewer, "image")
        named = [image for image in images if image.name == layer.metadata.get(SOURCE)]
        pairs = [(image, layer) for image in named] or pair_layers(images, [layer])
        return pairs[0][0] if pairs else None


def _unwrap(layer: Any) -> Any:
    """Give the layer itself: napari hands out proxies, a new one each time."""
    return getattr(layer, "__wrapped__", layer)


def _find_key(image: Image) -> str:
    return create_key(image.name, _find_path(image), image_shape(image))


def _find_path(image: Image) -> str:
    path = image.metadata.get(FILE) or getattr(image.source, "path", None)
    return str(Path(path).absolute()) if path else ""


def _describe(layer: Labels, image: Image) -> Annotation:
    sparse = bool(layer.metadata.get(SPARSE))
    try:
        axes = read_axes(image).names
    except PixelwiseError:
        axes = ""
    classes = list_classes(layer.as_layer_data_tuple()[1], first=int(sparse))
    return Annotation(
        image=image.name,
        path=_find_path(image),
        name=layer.name,
        axes=axes,
        sparse=sparse,
        model=str(layer.metadata.get(MODEL, "")),
        classes=[(item.name, item.color) for item in classes],
    )


def _end_all(heard: dict[int, Connections], *_: object) -> None:
    """Hear no layer any more; also works after the widget is gone."""
    while heard:
        heard.popitem()[1].end()
