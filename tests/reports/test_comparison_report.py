from __future__ import annotations

from pathlib import Path

import pytest

from pixelwise.comparison.compare import compare
from pixelwise.comparison.counts import read_counts
from pixelwise.config.comparison import ComparisonConfig
from pixelwise.errors import ReadError
from pixelwise.events import EpochEnded
from pixelwise.reports.comparison_report import is_comparison, report_comparison
from pixelwise.reports.page import Code, Figure, Table
from tests.comparison.test_compare import create_comparison, discs, done

__all__ = ["discs", "done"]


def test_the_report_holds_the_tables_the_figures_and_the_command(done: ComparisonConfig) -> None:
    report = report_comparison(done.out)
    titles = [section.title for section in report.sections]
    assert titles == [
        "Trained on", "Scores", "Dice of each class", "Dice of each fold", "Differences of Dice",
        "Costs", "Curves", "Predictions", "Each image, the worst first", "Definitions",
        "Environment", "Repeat it",
    ]  # fmt: skip
    blocks = {section.title: section.blocks for section in report.sections}
    scores = blocks["Scores"][0]
    assert isinstance(scores, Table)
    assert report.headline.startswith(f"Best: {scores.rows[0][0]}, mean Dice")
    figures = [blocks[title][0] for title in ("Curves", "Predictions")]
    assert all(isinstance(f, Figure) and f.source.startswith("data:image/png") for f in figures)
    command = blocks["Repeat it"][0]
    assert isinstance(command, Code)
    assert command.text == f"pixelwise compare {done.out / 'comparison.yaml'} --out again"


def test_each_image_has_the_dice_of_its_own_counts(done: ComparisonConfig) -> None:
    table = next(s for s in report_comparison(done.out).sections if "worst" in s.title).blocks[0]
    assert isinstance(table, Table)
    counts = read_counts(done.out / "counts.csv")
    model = table.columns[1]
    for image, *cells in table.rows:
        tp, fp, fn, _ = counts[model].values[counts[model].images.index(image)][1]
        assert cells[0] == f"{2 * tp / (2 * tp + fp + fn):.3f}"
    means = [sum(map(float, cells)) for _, *cells in table.rows]
    assert means == sorted(means)


def test_results_of_another_version_are_written_anew(done: ComparisonConfig) -> None:
    file = done.out / "comparison.json"
    text = file.read_text()
    file.write_text(text.replace('"sources"', '"origins"'))
    with pytest.raises(ReadError, match="Delete it, and run the same 'pixelwise compare' again"):
        report_comparison(done.out)
    file.unlink()
    events = list(compare(done))
    assert not any(isinstance(event, EpochEnded) for event in events)
    assert file.read_text() == text


def test_a_comparison_that_is_not_over_says_how_to_continue(discs: Path, tmp_path: Path) -> None:
    config = create_comparison(discs, tmp_path / "out")
    config.out.mkdir()
    (config.out / "comparison.yaml").write_text(config.to_yaml())
    assert is_comparison(config.out)
    with pytest.raises(ReadError, match=r"not over: continue it with 'pixelwise compare .*yaml'"):
        report_comparison(config.out)
