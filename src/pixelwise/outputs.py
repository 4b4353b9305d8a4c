"""What a job may write: planned before its first byte, looked at again before each rename.

- What the job reads is never written: no image, no mask, no model, not by another name either.
- Nothing is written through a link that lies where a result is to be.
- What is there already is replaced if this program wrote it and it was not changed since (see
  `marks`), or if somebody asked for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from pixelwise.atomic import is_link
from pixelwise.checksums import Checksum
from pixelwise.errors import WriteError
from pixelwise.images import find_file, is_zarr, require_replaceable
from pixelwise.marks import check_mark

Stamp = tuple[int, ...] | None

_MOST_CONFLICTS: Final = 5
_REASONS: Final = {
    Checksum.MISSING: "is there already, and not known to be a result of this program",
    Checksum.WRONG: "has been changed since this program wrote it",
}


@dataclass(frozen=True)
class Sources:
    """What a job reads.

    Attributes
    ----------
    files : tuple of Path
        Images, masks, models: files, or folders such as an OME-Zarr. Never written to.
    folders : tuple of Path
        Folders of images and masks. New files may be put there; what is there is never replaced,
        unless it is a result.
    """

    files: tuple[Path, ...] = ()
    folders: tuple[Path, ...] = ()

    @classmethod
    def of_data(cls, files: Iterable[Path], *more: Path) -> Sources:
        """Make those of a data set with these files; `more` are files that are read beside it."""
        known = {place for file in files for place in (file, find_file(file))}
        return cls((*known, *more), tuple({file.parent for file in known}))

    @cached_property
    def _places(self) -> dict[Path, Path]:
        """Real place of each file, and the name that leads there."""
        parents = _Parents()
        found = {parents.place(file): file for file in self.files}
        return found | {file.resolve(): file for file in self.files if file.is_symlink()}

    @cached_property
    def _above(self) -> dict[Path, Path]:
        """Folders around the files."""
        return {parent: file for place, file in self._places.items() for parent in place.parents}

    @cached_property
    def _identities(self) -> dict[tuple[int, int], Path]:
        """Device and number of each file, which are those of its hard links as well."""
        found = {}
        for file in self.files:
            if file.is_file():
                stat = file.stat()
                found[stat.st_dev, stat.st_ino] = file
        return found

    @cached_property
    def _folders(self) -> dict[Path, Path]:
        """Real place of each data folder, and the name that leads there."""
        return {folder.resolve(): folder for folder in self.folders}

    def explain_conflict(self, output: Path, place: Path) -> str | None:
        """Say which source an output, whose real place is `place`, would damage; None: none."""
        found = next((self._places[p] for p in (place, *place.parents) if p in self._places), None)
        found = found or self._above.get(place)
        if found is None and output.is_file():
            stat = output.stat()
            found = self._identities.get((stat.st_dev, stat.st_ino))
        return None if found is None else f"would be in the place of {found}, which is read"

    def holds(self, place: Path) -> Path | None:
        """Give the data folder that what is at a real place lies in directly."""
        return self._folders.get(place.parent)


@dataclass(frozen=True)
class Outputs:
    """Files and folders that a job may write.

    Attributes
    ----------
    stamps : mapping of Path to Stamp
        What tells what lay there when that was decided; None where nothing did.
    """

    stamps: Mapping[Path, Stamp] = field(default_factory=dict)

    def require_unchanged(self, path: Path) -> None:
        """Raise `WriteError` if something came to lie at a path, or changed, since the plan."""
        if _stamp(path) != self.stamps[path]:
            raise WriteError(
                f"{path} came to lie there, or was changed, while the job ran. It was left as it "
                "is; move it away, and start the job again."
            )


def plan_outputs(
    outputs: Iterable[Path],
    sources: Sources = Sources(),
    *,
    root: Path | None = None,
    apart: bool = False,
    overwrite: bool = False,
) -> Outputs:
    """Decide what may be written, before anything is.

    Parameters
    ----------
    outputs : iterable of Path
        Files, and folders where the suffix is ``.zarr``.
    sources : Sources
        What the job reads.
    root : Path, optional
        Folder that was named for the outputs: it may be a link, what lies in it may not.
    apart : bool
        Whether no output may lie in a data folder, where it would be taken for an image or a mask.
    overwrite : bool
        Whether what this program did not write, or somebody changed, may be replaced.

    Raises
    ------
    WriteError
        The message names what cannot be written, why, and what to do.
    """
    stamps: dict[Path, Stamp] = {}
    refused: list[str] = []
    replaceable = 0
    parents = _Parents()
    for output in outputs:
        stamps[output] = _stamp(output)
        reason = _forbid(output, sources, root, parents=parents)
        if reason is None and apart and (folder := sources.holds(parents.place(output))):
            reason = f"would be taken for an image or a mask of the data in {folder}"
        if reason is not None:
            refused.append(f"{output} {reason}")
        elif not overwrite and (reason := _explain_stranger(output)) is not None:
            replaceable += 1
            refused.append(f"{output} {reason}")
    if refused:
        raise WriteError(_describe(refused, all_replaceable=replaceable == len(refused)))
    return Outputs(stamps)


class _Parents:
    """What is to know of the folders of many outputs, asked for once each."""

    def __init__(self) -> None:
        self._real: dict[Path, Path] = {}
        self._images: dict[Path, Path | None] = {}

    def resolve(self, folder: Path) -> Path:
        """Give the real place of a folder."""
        if folder not in self._real:
            self._real[folder] = folder.resolve()
        return self._real[folder]

    def place(self, path: Path) -> Path:
        """Give the place of a path itself, also if it is a link."""
        path = path.absolute()
        return self.resolve(path.parent) / path.name

    def find_image(self, folder: Path) -> Path | None:
        """Give the Zarr that a folder, by its real place, is or lies in."""
        if folder not in self._images:
            self._images[folder] = find_zarr(folder)
        return self._images[folder]


def find_zarr(folder: Path) -> Path | None:
    """Give the OME-Zarr or Zarr that a folder is, or lies in; None: it is in none."""
    return next((path for path in (folder, *folder.parents) if is_zarr(path)), None)


def require_outside_images(path: Path) -> None:
    """Raise `WriteError` if a new folder would be inside an image, which is a folder: a Zarr."""
    if (image := find_zarr(path.absolute().parent.resolve())) is not None:
        raise WriteError(f"{path} would be inside the image {image}: name another place.")


def _forbid(output: Path, sources: Sources, root: Path | None, *, parents: _Parents) -> str | None:
    """Say why an output is not written, whatever was asked for; None: it may be."""
    place = parents.place(output)
    if root is not None and parents.resolve(root) not in place.parents:
        return f"lies outside of {root}"
    for path in _iter_inner(output, root):
        if is_link(path):
            return "is a link" if path == output else f"is behind the link {path}"
    if (reason := sources.explain_conflict(output, place)) is not None:
        return reason
    if (image := parents.find_image(place.parent)) is not None:
        return f"would be inside the image {image}"
    if output.suffix.lower() == ".zarr":
        try:
            require_replaceable(output)
        except WriteError:
            return "is there already and is no Zarr"
    elif output.is_dir():
        return "is a folder"
    elif output.exists() and not output.is_file():
        return "is no regular file"
    elif (
        output.suffix.lower() == ".png" and _explain_stranger(output) == _REASONS[Checksum.MISSING]
    ):
        return "is there already, and may be an image or a mask of other data"
    folder = sources.holds(place)
    if folder is not None and _explain_stranger(output) is not None:
        return f"is there already, in the data folder {folder}"
    return None


def _iter_inner(output: Path, root: Path | None) -> Iterator[Path]:
    """Give an output, and the folders that lie between it and the folder that was named."""
    yield output
    if root is not None and root in output.parents:
        yield from (parent for parent in output.parents if root in parent.parents)


def _explain_stranger(output: Path) -> str | None:
    """Say why what lies at a path is not this program's any more; None: it is, or nothing does."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return None
    try:
        return _REASONS.get(check_mark(output))
    except OSError:
        return _REASONS[Checksum.MISSING]


def _describe(refused: list[str], *, all_replaceable: bool) -> str:
    """Say what cannot be written, the first ones of many, and what to do."""
    more = len(refused) - _MOST_CONFLICTS
    lines = [*refused[:_MOST_CONFLICTS], *([f"and {more} more"] if more > 0 else [])]
    advice = "Name another place for the results"
    if all_replaceable:
        advice += ", or replace what is there by --overwrite"
    return "Nothing was written:\n  " + "\n  ".join(lines) + f"\n{advice}."


def _stamp(path: Path) -> Stamp:
    """Give what changes when another file or folder comes to lie at a path, or a file in it."""
    try:
        found = path.lstat()
        inner = [file.lstat() for file in path.rglob("*")] if path.is_dir() else []
    except OSError:
        return None
    latest = max((file.st_mtime_ns for file in inner), default=0)
    return found.st_ino, found.st_size, found.st_mtime_ns, len(inner), latest
