from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pixelwise.cli.compare as command
from pixelwise.events import Event
from pixelwise.runs import RunFolder, request_stop

TINY = "[{name: unet, options: {base_channels: 4, depth: 2}}]"


@pytest.fixture
def config(discs: Path, tmp_path: Path) -> Path:
    (tmp_path / "c.yaml").write_text(
        f"data: {{path: {discs}}}\nmodels: {TINY}\npatches: {{size: 64}}\n"
        "training: {epochs: 1, epoch_steps: 4, batch_size: 2, device: cpu, previews: 0}\n"
    )
    return tmp_path / "c.yaml"


def test_a_comparison_from_a_config_and_of_its_runs(
    pixelwise: Callable, config: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = pixelwise("compare", config, "--out", out, "--seeds", 2)
    assert result.status == 0, result.err
    assert "unet-seed-1, 2 of 2" in result.err
    assert "Differences are not judged" in result.err
    assert f"Written to {out}" in result.out
    again = pixelwise("compare", config, "--out", out, "--seeds", 2, "--json")
    assert set(json.loads(again.out)["unet"]) >= {"dice", "iou"}
    runs = [out / "runs" / f"unet-seed-{seed}" for seed in (0, 1)]
    both = pixelwise("compare", *runs, "--out", tmp_path / "both")
    assert both.status == 0, both.err
    assert "unet-seed-0" in both.out
    refused = pixelwise("compare", *runs, "--out", tmp_path / "x", "--epochs", 3)
    assert refused.status == 2
    assert "are compared as they are: leave out the options" in refused.err
    added = pixelwise(
        "compare", *runs, "--out", tmp_path / "more", "--add", out / "counts.csv", "--json"
    )
    assert set(json.loads(added.out)) == {"unet", "unet-seed-0", "unet-seed-1"}


@pytest.mark.parametrize(
    ("arguments", "said", "status"),
    [
        (["{discs}"], "--out comparison", 2),
        (["{discs}", "{discs}", "--out", "{tmp}"], "is not a run folder", 2),
        (["{discs}", "--out", "{tmp}/o", "--models", "unet,alexnet"], "alexnet", 2),
        (["{discs}", "--out", "{tmp}/o", "--folds", "1"], "folds", 2),
        (["{discs}", "--out", "{tmp}/o", "--folds", "7", "--models", "unet"], "6 source", 1),
        (["{discs}", "--out", "{tmp}/o", "--add", "{tmp}/x.csv"], "Cannot read", 1),
    ],
)
def test_what_cannot_be_compared_is_refused(
    pixelwise: Callable, discs: Path, tmp_path: Path, arguments: list[str], said: str, status: int
) -> None:
    filled = [text.format(discs=discs, tmp=tmp_path) for text in arguments]
    result = pixelwise("compare", *filled)
    assert result.status == status
    assert said in result.err


def test_a_stop_ends_the_comparison_and_the_next_call_continues(
    pixelwise: Callable, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, show = tmp_path / "out", command.show_events

    def stop(events: Iterator[Event]) -> Iterator[Event]:
        for event in events:
            request_stop(RunFolder(out / "runs" / "unet"))
            yield event

    with monkeypatch.context() as patch:
        patch.setattr(
            command, "show_events", lambda events, **options: show(stop(events), **options)
        )
        result = pixelwise("compare", config, "--out", out)
    assert result.status == 130
    assert "the same command continues it" in result.err
    assert not (out / "comparison.md").exists()
    assert pixelwise("compare", config, "--out", out).status == 0
    assert (out / "comparison.md").exists()
