"""What a warm child process is asked: one JSON line each on its standard input.

``pixelwise serve`` answers with events, the last of which is `RequestEnded`. Arrays travel as
NumPy files, never through the pipe.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from pixelwise.config import ModelConfig, PredictConfig
from pixelwise.errors import ConfigError
from pixelwise.frozen import Config, Size, describe_invalid


class PredictRequest(Config):
    """Predict one image.

    Attributes
    ----------
    number : int
        Comes back in the answer.
    model : Path
        Model file; it stays loaded for the next request.
    source : Path
        NumPy file, which needs `axes`, or an image file.
    axes : str or None
        Axes of the source; from the file's metadata if not given.
    output : Path
        NumPy file to write the planes of the result to.
    cancel : Path
        The prediction ends as soon as this file exists.
    settings : PredictConfig
    """

    job: Literal["predict"] = "predict"
    number: int
    model: Path
    source: Path
    axes: str | None = None
    output: Path
    cancel: Path
    settings: PredictConfig = PredictConfig()


class DescribeRequest(Config):
    """Describe a network: parameters, memory, receptive field, layers."""

    job: Literal["describe"] = "describe"
    number: int
    model: ModelConfig
    in_channels: int = Field(default=3, ge=1)
    classes: int = Field(default=2, ge=2)
    size: Size = (256, 256)
    batch_size: int = Field(default=8, ge=1)


Request = PredictRequest | DescribeRequest
_ADAPTER: TypeAdapter[Any] = TypeAdapter(Annotated[Request, Field(discriminator="job")])


def parse_request(line: str) -> Request:
    """Read one line.

    Raises
    ------
    ConfigError
        The line is not a request.
    """
    try:
        request: Request = _ADAPTER.validate_json(line)
    except ValidationError as error:
        raise ConfigError(f"No request: {describe_invalid(error, 'the line')}") from error
    return request
