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
from pixelwise.images import find_file, require_replaceable
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
        return {place: file for file in self.files for place in (_place(file), file.resolve())}

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

    def explain_conflict(self, output: Path) -> str | None:
        """Say which source an output would damage; None: none."""
        place = _place(output)
        found = next((self._places[p] for p in (place, *place.parents) if p in self._places), None)
        found = found or self._above.get(place)
        if found is None and output.is_file():
            stat = output.stat()
            found = self._identities.get((stat.st_dev, stat.st_ino))
        return None if found is None else f"would be in the place of {found}, which is read"

    def holds(self, output: Path) -> Path | None:
        """Give the data folder that an output lies in directly."""
        parent = _place(output).parent
        return next((folder for folder in self.folders if folder.resolve() == parent), None)


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
    for output in outputs:
        stamps[output] = _stamp(output)
        if (reason := _forbid(output, sources, root)) is not None:
            refused.append(f"{output} {reason}")
        elif not overwrite and (reason := _explain_stranger(output)) is not None:
            replaceable += 1
            refused.append(f"{output} {reason}")
    if refused:
        raise WriteError(_describe(refused, all_replaceable=replaceable == len(refused)))
    return Outputs(stamps)


def _forbid(output: Path, sources: Sources, root: Path | None) -> str | None:
    """Say why an output is not written, whatever was asked for; None: it may be."""
    if root is not None and root.resolve() not in _place(output).parents:
        return f"lies outside of {root}"
    for path in _iter_inner(output, root):
        if is_link(path):
            return "is a link" if path == output else f"is behind the link {path}"
    if (reason := sources.explain_conflict(output)) is not None:
        return reason
    if output.suffix.lower() == ".zarr":
        try:
            require_replaceable(output)
        except WriteError:
            return "is there already and is no Zarr"
    elif output.is_dir():
        return "is a folder"
    elif output.exists() and not output.is_file():
        return "is no regular file"
    folder = sources.holds(output)
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
    """Give what changes when another file or folder comes to lie at a path."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _place(path: Path) -> Path:
    """Place of a path itself, also if it is a link."""
    return path.absolute().parent.resolve() / path.name
