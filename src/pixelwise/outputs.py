"""What a job may write: planned before the first byte, checked again before each rename.

- The job never writes to its inputs (images, masks, models), not through another name either.
- It never writes through a link in place of a result.
- Existing files are replaced only if this program wrote them and they are unchanged (see `marks`),
  or if the user asked for it.
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
    Checksum.MISSING: "exists already, and is not known to be a result of this program",
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
        Folders of images and masks. New files may be added; existing ones are never replaced,
        except results.
    """

    files: tuple[Path, ...] = ()
    folders: tuple[Path, ...] = ()

    @classmethod
    def of_data(cls, files: Iterable[Path], *more: Path) -> Sources:
        """Create the sources of a data set's `files`; `more` are other files that are read."""
        known = {place for file in files for place in (file, find_file(file))}
        return cls((*known, *more), tuple({file.parent for file in known}))

    @cached_property
    def _places(self) -> dict[Path, Path]:
        """Each file by its resolved path."""
        parents = _Parents()
        found = {parents.place(file): file for file in self.files}
        return found | {file.resolve(): file for file in self.files if file.is_symlink()}

    @cached_property
    def _above(self) -> dict[Path, Path]:
        """A file by each of its resolved parent folders."""
        return {parent: file for place, file in self._places.items() for parent in place.parents}

    @cached_property
    def _identities(self) -> dict[tuple[int, int], Path]:
        """Files by device and inode, which hard links share."""
        found = {}
        for file in self.files:
            if file.is_file():
                stat = file.stat()
                found[stat.st_dev, stat.st_ino] = file
        return found

    @cached_property
    def _folders(self) -> dict[Path, Path]:
        """Each data folder by its resolved path."""
        return {folder.resolve(): folder for folder in self.folders}

    def explain_conflict(self, output: Path, place: Path) -> str | None:
        """Name the source that an output, resolved to `place`, would damage; None if none."""
        found = next((self._places[p] for p in (place, *place.parents) if p in self._places), None)
        found = found or self._above.get(place)
        if found is None and output.is_file():
            stat = output.stat()
            found = self._identities.get((stat.st_dev, stat.st_ino))
        return None if found is None else f"would overwrite {found}, which is read"

    def holds(self, place: Path) -> Path | None:
        """Return the data folder that directly contains a resolved path, if any."""
        return self._folders.get(place.parent)


@dataclass(frozen=True)
class Outputs:
    """Files and folders that a job may write.

    Attributes
    ----------
    stamps : mapping of Path to Stamp
        State of each path when it was planned; None if nothing was there.
    """

    stamps: Mapping[Path, Stamp] = field(default_factory=dict)

    def require_unchanged(self, path: Path) -> None:
        """Raise `WriteError` if a path was created or changed since it was planned."""
        if _stamp(path) != self.stamps[path]:
            raise WriteError(
                f"{path} was created or changed while the job ran. It was left as it is; move it "
                "away, and start the job again."
            )


def plan_outputs(
    outputs: Iterable[Path],
    sources: Sources = Sources(),
    *,
    root: Path | None = None,
    apart: bool = False,
    overwrite: bool = False,
) -> Outputs:
    """Check what may be written, before anything is.

    Parameters
    ----------
    outputs : iterable of Path
        Files, or folders with the suffix ``.zarr``.
    sources : Sources
        What the job reads.
    root : Path, optional
        The user's output folder: it may be a link, but nothing inside it may. Through a link,
        only results of this program are replaced.
    apart : bool
        Refuse outputs in a data folder, where they would be taken for images or masks.
    overwrite : bool
        Allow replacing files that this program did not write or that were changed.

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
    """Cached facts about the folders of many outputs."""

    def __init__(self) -> None:
        self._real: dict[Path, Path] = {}
        self._images: dict[Path, Path | None] = {}

    def resolve(self, folder: Path) -> Path:
        """Resolve a folder."""
        if folder not in self._real:
            self._real[folder] = folder.resolve()
        return self._real[folder]

    def place(self, path: Path) -> Path:
        """Resolve the parent of a path; the path itself may be a link."""
        path = path.absolute()
        return self.resolve(path.parent) / path.name

    def find_image(self, folder: Path) -> Path | None:
        """Return the Zarr that a resolved folder is or lies in."""
        if folder not in self._images:
            self._images[folder] = find_zarr(folder)
        return self._images[folder]


def find_zarr(folder: Path) -> Path | None:
    """Return the OME-Zarr or Zarr that a folder is or lies in; None if there is none."""
    return next((path for path in (folder, *folder.parents) if is_zarr(path)), None)


def require_outside_images(path: Path) -> None:
    """Raise `WriteError` if a new folder would be inside a Zarr."""
    if (image := find_zarr(path.absolute().parent.resolve())) is not None:
        raise WriteError(f"{path} would be inside the image {image}: choose another folder.")


def _forbid(output: Path, sources: Sources, root: Path | None, *, parents: _Parents) -> str | None:
    """Explain why an output can never be written, even with --overwrite; None if it can."""
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
            return "exists already and is not a Zarr"
    elif output.is_dir():
        return "is a folder"
    elif output.exists() and not output.is_file():
        return "is not a regular file"
    elif (
        output.suffix.lower() == ".png" and _explain_stranger(output) == _REASONS[Checksum.MISSING]
    ):
        return "exists already, and may be an image or a mask of other data"
    folder = sources.holds(place)
    if folder is not None and _explain_stranger(output) is not None:
        return f"exists already, in the data folder {folder}"
    if root is not None and is_link(root) and _explain_stranger(output) is not None:
        return f"exists already, behind the link {root}"
    return None


def _iter_inner(output: Path, root: Path | None) -> Iterator[Path]:
    """Yield an output and the folders between it and `root`."""
    yield output
    if root is not None and root in output.parents:
        yield from (parent for parent in output.parents if root in parent.parents)


def _explain_stranger(output: Path) -> str | None:
    """Explain why an existing path is not an unchanged result; None if it is, or is missing."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return None
    try:
        return _REASONS.get(check_mark(output))
    except OSError:
        return _REASONS[Checksum.MISSING]


def _describe(refused: list[str], *, all_replaceable: bool) -> str:
    """Describe the first outputs that cannot be written, and what to do."""
    more = len(refused) - _MOST_CONFLICTS
    lines = [*refused[:_MOST_CONFLICTS], *([f"and {more} more"] if more > 0 else [])]
    advice = "Choose another folder for the results"
    if all_replaceable:
        advice += ", or replace existing files with --overwrite"
    return "Nothing was written:\n  " + "\n  ".join(lines) + f"\n{advice}."


def _stamp(path: Path) -> Stamp:
    """Return a fingerprint of a file or folder that changes when it is replaced or modified."""
    try:
        found = path.lstat()
        inner = [file.lstat() for file in path.rglob("*")] if path.is_dir() else []
    except OSError:
        return None
    latest = max((file.st_mtime_ns for file in inner), default=0)
    return found.st_ino, found.st_size, found.st_mtime_ns, len(inner), latest
