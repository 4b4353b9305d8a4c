"""Commands about networks and models: architectures, info."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from pixelwise.architectures import Architecture, list_architectures
from pixelwise.cards import Card, read_card
from pixelwise.cli.console import create_table, out, say, write_json
from pixelwise.cli.options import config_options, given_values
from pixelwise.cli.predict import find_model
from pixelwise.comparison_summary import ENSEMBLE_FILE
from pixelwise.config import ModelConfig, PatchConfig
from pixelwise.errors import ConfigError
from pixelwise.jobs import DescribeJob
from pixelwise.runs import open_run
from pixelwise.summaries import summarize_run

if TYPE_CHECKING:
    from pixelwise.models.summary import Summary

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON")


@click.command()
@_json
def architectures(as_json: bool) -> None:
    """List the networks that can be trained, with their options."""
    if as_json:
        write_json([asdict(item) for item in list_architectures()])
        return
    for item in list_architectures():
        words = f"  {item.title}: {item.sentence} ({item.source})"
        out.print(Text.assemble((item.name, "bold"), words))
        for line in _describe_options(item):
            say(f"    {line}")


@click.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--channels", type=click.IntRange(1), default=3, help="Channels of the images [3]")
@click.option("--classes", type=click.IntRange(2), default=2, help="Classes, with background [2]")
@click.option("--batch-size", type=click.IntRange(1), default=8, help="Patches per step [8]")
@click.option("--layers", is_flag=True, help="Print every layer")
@_json
@config_options(PatchConfig, skip=["step", "edge", "min_foreground"])
@config_options(ModelConfig, skip=["pretrained", "weights", "start_from", "freeze_encoder"])
def info(
    path: Path | None,
    *,
    channels: int,
    classes: int,
    batch_size: int,
    layers: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Describe a network (--model NAME), a model file or a run folder (PATH).

    A network: parameters, multiply-adds, memory while training, receptive field.
    """
    given = given_values(ModelConfig, values)
    if path is not None and given:
        raise ConfigError("Give a model file or run as PATH, or a network by --model, not both.")
    if path is not None and path.is_dir() and not (path / ENSEMBLE_FILE).is_file():
        _show_run(path, as_json=as_json)
    elif path is not None:
        file = find_model(path)
        _show_card(file, read_card(file), as_json=as_json)
    elif "name" in given:
        size = PatchConfig.create(**given_values(PatchConfig, values)).size_px
        model = ModelConfig.create(**given)
        job = DescribeJob.create(
            model=model, in_channels=channels, classes=classes, size=size, batch_size=batch_size
        )
        _show_network(job, layers=layers, as_json=as_json)
    else:
        raise ConfigError("Give a model file or a run folder, or a network by --model, e.g. unet.")


def _describe_options(item: Architecture) -> list[str]:
    """Options of an architecture, a line each."""
    lines = [
        f"{option.name}={option.default}: {option.help} ({option.expectation})"
        for option in item.options
    ]
    if item.takes_encoder:
        default = item.default_encoder or "none"
        lines.append(f"encoder: {', '.join(item.encoders)}, or any of smp and timm [{default}]")
    return lines


def _show_run(path: Path, *, as_json: bool) -> None:
    """Print the status of a run, and its model."""
    run = open_run(path)
    summary = summarize_run(run)
    if as_json:
        write_json(summary.to_dict())
        return
    best = "-" if summary.best_score is None else f"{summary.best_score:.4f}"
    say(
        f"{path}: {summary.state}, epoch {summary.epoch} of {summary.epochs}, best "
        f"{summary.monitor} {best}"
    )
    if run.model.exists():
        _show_card(run.model, read_card(run.model), as_json=False)


def _describe_architecture(card: Card) -> str:
    """Name the network of a card with its options, or the members of an ensemble."""
    if card.is_ensemble:
        counted = Counter(str(member["architecture"]) for member in card.options["members"])
        listed = (f"{count} x {name}" for name, count in counted.items())
        return f"{card.architecture} of {', '.join(listed)}"
    encoder = f" with {card.encoder}" if card.encoder else ""
    options = ", ".join(f"{name}={value}" for name, value in card.options.items())
    return f"{card.architecture}{encoder} ({options})"


def _show_card(path: Path, card: Card, *, as_json: bool) -> None:
    """Print a model's card."""
    if as_json:
        write_json(card.model_dump(mode="json"))
        return
    say(f"{path}: {_describe_architecture(card)}")
    say(
        f"input: {card.in_channels} channels, {card.dtype}, normalised by "
        f"{card.normalization.source}"
    )
    say(f"classes: {', '.join(f'{i} = {c.name}' for i, c in enumerate(card.classes))}")
    say(f"patch size: {card.patch_size[0]} x {card.patch_size[1]} px")
    if card.training is not None:
        scores = ", ".join(f"{k} {v:.4f}" for k, v in card.training.scores.items() if v is not None)
        say(
            f"trained on {card.training.data}, {card.training.images} images, "
            f"{card.training.epochs} epochs; validation {scores or 'not done'}"
        )
    say("written with " + ", ".join(f"{k} {v}" for k, v in card.versions.items()))


def summarize_network(job: DescribeJob) -> Summary:
    """Build the network of a job and summarise it."""
    from pixelwise.models.registry import create_model
    from pixelwise.models.summary import summarize

    model = job.model
    network = create_model(
        model.name, job.in_channels, classes=job.classes, encoder=model.encoder, **model.options
    )
    return summarize(network, job.size, batch_size=job.batch_size)


def _show_network(job: DescribeJob, *, layers: bool, as_json: bool) -> None:
    """Build a network and print its summary."""
    summary = summarize_network(job)
    if as_json:
        write_json(asdict(summary))
        return
    if layers:
        _show_layers(summary)
    field = summary.receptive_field_px
    height, width = job.size
    say(f"{job.model.name} on patches of {height} x {width} px, {job.batch_size} per step")
    say(f"parameters: {summary.parameters:,} ({summary.trainable_parameters:,} trainable)")
    say(f"multiply-adds per patch: {summary.multiply_adds / 1e9:.2f} G")
    say(f"activation memory of a training step: {summary.activation_bytes / 2**20:.0f} MiB")
    say(f"receptive field: {'the whole image' if field is None else f'{field} px'}")


def _show_layers(summary: Summary) -> None:
    """Print a line per layer."""
    table = create_table("", ["layer", "type", "output", "parameters"])
    for layer in summary.layers:
        shape = " x ".join(map(str, layer.output_shape))
        table.add_row(layer.name, layer.kind, shape, f"{layer.parameters:,}")
    out.print(table)
