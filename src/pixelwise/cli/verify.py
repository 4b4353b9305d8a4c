"""The command verify: what made a file, and whether it has changed since."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pixelwise.cards import promises_checksum, read_card
from pixelwise.checksums import Checksum, check_checksum, hash_content
from pixelwise.cli.console import FAILED, say, write_json
from pixelwise.cli.predict import find_model
from pixelwise.errors import ConfigError, DataError, ReadError
from pixelwise.images import find_file
from pixelwise.marks import Mark, check_mark, read_mark

_FILE = click.Path(path_type=Path)
_STATES = {
    Checksum.RIGHT: "unchanged",
    Checksum.WRONG: "CHANGED since it was written",
    Checksum.MISSING: "without a checksum: an older version wrote it",
}


@click.command()
@click.argument("file", type=_FILE)
@click.option("--model", type=_FILE, help="Check whether this model file, or run, made it")
@click.option("--image", type=_FILE, help="Check whether it was made from this image")
@click.option("--again", is_flag=True, help="Recompute it from --model and --image, and compare")
@click.option("--json", "as_json", is_flag=True, help="Print JSON")
def verify(
    file: Path, model: Path | None, image: Path | None, *, again: bool, as_json: bool
) -> int:
    """Show which model, settings and image made FILE, and whether it has changed since.

    FILE is a result (TIFF, OME-Zarr, CSV) or a model file. The exit status is 1 if it has changed,
    was not made by that model or from that image, or differs when it is recomputed.
    """
    if again and (model is None or image is None):
        raise ConfigError("To recompute it, give both: --model MODEL --image IMAGE.")
    _require(file)
    if file.suffix.lower() == ".safetensors" or (file / "config.yaml").is_file():
        found, good = _describe_model(find_model(file))
    else:
        found, good = _describe_result(file, model, image, again=again)
    write_json(found) if as_json else _show(file, found)
    return 0 if good else FAILED


def _describe_model(file: Path) -> tuple[dict[str, Any], bool]:
    """Check whether a model file is unchanged."""
    card, state = read_card(file), check_checksum(file)
    found = {
        "kind": "model",
        "sha256": hash_content(file),
        "pixelwise": card.versions.get("napari-pixelwise"),
    }
    if state is Checksum.MISSING and promises_checksum(file):
        state = Checksum.WRONG
    return found | {"state": state.value}, state is not Checksum.WRONG


def _describe_result(
    file: Path, model: Path | None, image: Path | None, *, again: bool
) -> tuple[dict[str, Any], bool]:
    """Find out what made a result, and check it."""
    mark = read_mark(file)
    if mark is None:
        raise DataError(
            f"{file} has no mark of this program: another program or an older version wrote it, or "
            "it was saved again. What made it is unknown."
        )
    state = check_mark(file)
    found: dict[str, Any] = {"state": state.value, "kind": "result"}
    found |= mark.model_dump(mode="json", exclude={"checksum", "content"})
    checks = [state is Checksum.RIGHT]
    if model is not None:
        found["model_is_the_same"] = _is_model(find_model(model), mark)
        checks.append(found["model_is_the_same"])
    if image is not None:
        found["image_is_the_same"] = hash_content(_require(find_file(image))) == mark.image
        checks.append(found["image_is_the_same"])
    if again and model is not None and image is not None:
        from pixelwise.prediction.recompute import count_differences

        found["different"] = count_differences(mark, file, model=find_model(model), image=image)
        checks.append(found["different"] == 0)
    return found, all(checks)


def _is_model(model: Path, mark: Mark) -> bool:
    """Whether a model file made a result."""
    if hash_content(_require(model)) == mark.model:
        return True
    from pixelwise.prediction.recompute import is_model

    return is_model(model, mark.model)


def _require(path: Path) -> Path:
    """Return a path if it is a file or folder, not a pipe or device."""
    if not (path.is_file() or path.is_dir()):
        raise ReadError(f"There is no file or folder {path}.")
    return path


def _show(file: Path, found: dict[str, Any]) -> None:
    """Print what was found."""
    say(f"{file}: {found['kind']}, {_STATES[Checksum(found['state'])]}")
    if found["kind"] == "model":
        say(f"SHA-256: {found['sha256']}, written by version {found['pixelwise']}")
        return
    settings = ", ".join(f"{name}={value}" for name, value in found["settings"].items())
    say(f"model: {found['model']}{_judge(found, 'model_is_the_same')}")
    image = found["image"] or "an array, not a file"
    say(f"image: {image}, read as {found['axes']}{_judge(found, 'image_is_the_same')}")
    say(f"settings: {settings}; version {found['pixelwise']}")
    if "different" in found:
        count = found["different"]
        say("recomputed: " + (f"{count:,} values DIFFER" if count else "identical"))


def _judge(found: dict[str, Any], key: str) -> str:
    """Say whether the given model or image made the result."""
    if key not in found:
        return ""
    return " (matches)" if found[key] else " (does NOT match)"
