from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pixelwise import runs
from pixelwise.config import TrainConfig
from pixelwise.errors import ReadError, RunError, WriteError
from pixelwise.events import Warned
from pixelwise.runs import (
    RunFolder,
    create_run,
    is_training,
    iter_events,
    iter_lines,
    lock_run,
    open_run,
    request_stop,
    require_new_run,
)
from tests.test_events import EVENTS


def config_of(run: Path) -> TrainConfig:
    return TrainConfig.create(data={"path": run.parent / "images"}, run=run)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return create_run(config_of(tmp_path / "run"))


def test_paths_mean_the_same_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = TrainConfig.create(
        data={"path": "images", "validation": "others"},
        model={"weights": "vgg.pth", "start_from": "model.safetensors"},
        run=Path("run"),
    )
    kept = create_run(config).read_config()
    assert kept.run == tmp_path / "run"
    assert (kept.data.path, kept.data.validation) == (tmp_path / "images", tmp_path / "others")
    assert kept.model.weights == tmp_path / "vgg.pth"
    assert kept.model.start_from == tmp_path / "model.safetensors"
    assert kept.training == config.training


def test_keeps_what_was_asked(run: RunFolder) -> None:
    assert open_run(run.path).read_config() == config_of(run.path)


def test_events_are_read_in_their_order(run: RunFolder) -> None:
    for event in EVENTS.values():
        run.append(event)
    assert list(iter_events(run)) == list(EVENTS.values())


def test_a_line_being_written_is_left_out(run: RunFolder) -> None:
    run.append(Warned(message="first"))
    with run.events.open("a") as file:
        file.write('{"kind": "war')
    assert [event.message for event in iter_events(run)] == ["first"]


ZEROS = b"\0" * 40
DAMAGE = {
    "zeros in the middle": (ZEROS + b"\n", b"", 1),
    "zeros at the end": (b"", ZEROS, 0),
    "zeros over the end of a line": (b'{"kind": "war' + ZEROS + b"\n", b"", 1),
    "half an event before a whole one": (
        b'{"kind": "war' + Warned(message="glued").to_json().encode() + b"\n", b"", 1,
    ),
    "bytes that are no text": (b"\xff\xfe\n\xff\n", b"\xff", 2),
    "half a last line": (b"", b'{"kind": "war', 0),
}  # fmt: skip


@pytest.mark.parametrize(("middle", "end", "lines"), DAMAGE.values(), ids=DAMAGE)
def test_damaged_lines_are_left_out_and_mended_in_place(
    run: RunFolder, middle: bytes, end: bytes, lines: int
) -> None:
    def told() -> list[str]:
        return [event.message for event in iter_events(run) if isinstance(event, Warned)]

    run.append(Warned(message="first\u2028line"))
    with run.events.open("ab") as file:
        file.write(middle)
    run.append(Warned(message="second"))
    whole = run.events.stat().st_size
    with run.events.open("ab") as file:
        file.write(end)
    assert told() == ["first\u2028line", "second"]
    assert run.mend_events() == lines
    assert run.events.stat().st_size == whole
    assert run.mend_events() == 0
    run.append(Warned(message="third"))
    assert told() == ["first\u2028line", "second", "third"]


def test_events_of_another_version_are_kept(run: RunFolder) -> None:
    text = '{"kind": "tea_made", "time": 1.0}\n'
    run.events.write_text(text)
    assert list(iter_events(run)) == []
    assert run.mend_events() == 0
    assert run.events.read_text() == text


def test_a_story_that_has_not_begun_needs_no_mending(run: RunFolder) -> None:
    assert run.mend_events() == 0


def test_a_second_run_in_the_folder_is_refused(run: RunFolder) -> None:
    with pytest.raises(RunError, match="pixelwise resume"):
        create_run(config_of(run.path))


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(RunError, match="not empty"):
        require_new_run(tmp_path)


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="Cannot create the run folder"):
        create_run(config_of(tmp_path / "file" / "run"))


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"no config\.yaml"):
        open_run(tmp_path)


def test_a_stop_is_a_file(run: RunFolder) -> None:
    request_stop(run)
    assert run.stop_request.exists()


def test_a_run_has_one_writer(run: RunFolder) -> None:
    assert not is_training(run)
    with lock_run(run):
        assert is_training(run)
        with pytest.raises(RunError, match="Another process is training"), lock_run(run):
            pytest.fail("two writers")
    assert not is_training(run)


def test_a_killed_writer_lets_go(run: RunFolder) -> None:
    code = f"""
import time
from pathlib import Path
from pixelwise.runs import RunFolder, lock_run
with lock_run(RunFolder(Path({str(run.path)!r}))):
    print("held", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        assert is_training(run)
        child.kill()
        child.wait()
    assert not is_training(run)


def test_saved_layers_and_a_log_do_not_make_a_folder_foreign(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.data.mkdir()
    run.log.touch()
    assert require_new_run(tmp_path).path == tmp_path


def test_a_torn_last_line_is_cut_off_before_more_is_written(run: RunFolder) -> None:
    run.append(Warned(message="first"))
    with run.events.open("a") as file:
        file.write('{"kind": "war')
    run.mend_events()
    run.append(Warned(message="second"))
    assert [event.message for event in iter_events(run)] == ["first", "second"]


def test_a_start_that_was_killed_does_not_make_a_folder_foreign(tmp_path: Path) -> None:
    (tmp_path / ".config-00ff00ff.tmp.yaml").touch()
    assert require_new_run(tmp_path).path == tmp_path


def tell(run: RunFolder, count: int = 20) -> list[str]:
    """Add warnings to a run's story, and give what they say."""
    messages = [f"message {number}" for number in range(count)]
    run.append(*[Warned(message=message) for message in messages])
    return messages


def test_a_flipped_bit_in_the_story_is_noticed_and_left_out(run: RunFolder) -> None:
    messages = tell(run)
    content, draw = run.events.read_bytes(), random.Random(2)
    bits = draw.sample(range(len(content) * 8), 250)
    for bit in [*bits, *range(len(content) * 8 - 160, len(content) * 8)]:
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        run.events.write_bytes(changed)
        told = [event.message for event in iter_events(run) if isinstance(event, Warned)]
        assert set(told) < set(messages)
        assert len(told) >= len(messages) - 2  # two, where it is the end of a line
        assert run.mend_events() >= 1
        assert [e.message for e in iter_events(run) if isinstance(e, Warned)] == told


def test_lines_of_older_versions_have_no_checksum_and_are_read(run: RunFolder) -> None:
    run.events.write_text("".join(f"{event.to_json()}\n" for event in EVENTS.values()))
    assert list(iter_events(run)) == list(EVENTS.values())
    assert run.mend_events() == 0


def test_damaged_lines_of_another_version_are_not_kept(run: RunFolder) -> None:
    run.events.write_text('{"kind": "tea_made", "time": 1.0,"crc":"00000000"}\n')
    assert run.mend_events() == 1
    assert not run.events.read_text().strip()


ENTRIES = ["events.jsonl", "checkpoints", "previews", "model.safetensors", "stop"]
ENTRIES += ["lock", "log.txt", "tensorboard", "checkpoints/last.pt", "previews/epoch-0001.png"]


@pytest.mark.parametrize("name", ENTRIES)
def test_nothing_is_written_through_a_link_in_a_run(run: RunFolder, name: str) -> None:
    tell(run)
    place, away = run.path / name, run.path.parent / "away"
    if place.is_dir():
        place.rename(away)
    else:
        away.write_text("precious\nlines\n")
        place.unlink(missing_ok=True)
    before = away.read_bytes() if away.is_file() else None
    place.symlink_to(away)
    with pytest.raises(WriteError, match=f"{name} is a link to"), lock_run(run):
        pytest.fail("opened")
    assert not is_training(run)
    if name == "stop":
        with pytest.raises(WriteError, match="is a link to"):
            request_stop(run)
    assert place.is_symlink()
    assert before is None or away.read_bytes() == before


def test_a_run_may_be_reached_by_a_link(run: RunFolder) -> None:
    (run.path.parent / "short").symlink_to(run.path)
    with lock_run(RunFolder(run.path.parent / "short")):
        assert is_training(run)


def test_a_new_run_does_not_begin_around_a_link(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.txt").symlink_to(tmp_path / "notes")
    with pytest.raises(RunError, match="not empty"):
        require_new_run(tmp_path / "run")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_pipe_in_place_of_the_story_is_not_waited_for(run: RunFolder) -> None:
    os.mkfifo(run.events)
    assert list(iter_events(run)) == []
    with pytest.raises(WriteError, match=r"Expected a file at .*events"), lock_run(run):
        pytest.fail("opened")


def test_a_log_that_is_one_endless_line_is_not_read_through(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with run.events.open("wb") as file:
        file.truncate(2**33)  # sparse: it takes no room
    assert list(iter_lines(run, 0)) == []
    with pytest.raises(RunError, match=r"no log .+ 8,589,934,592 bytes .+another name"):
        run.mend_events()
    assert run.events.stat().st_size == 2**33


@pytest.mark.parametrize(("count", "told"), [(5, ["first", "second"]), (300, ["first"])])
def test_lines_that_are_too_long_are_skipped_while_they_are_few(
    run: RunFolder, count: int, told: list[str]
) -> None:
    run.append(Warned(message="first"))
    with run.events.open("ab") as file:
        for _ in range(count):  # parsed, 300 of them would take half a minute
            file.write(b"[" + b"1," * 2**20 + b"1]\n")
    run.append(Warned(message="second"))
    started = time.process_time()
    assert [event.message for event in iter_events(run) if isinstance(event, Warned)] == told
    assert time.process_time() - started < 2


def test_lines_that_are_no_events_are_read_while_they_are_few(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "_MOST_SKIPPED", 2**20)
    run.append(Warned(message="first"))
    with run.events.open("ab") as file:
        file.write(b"[1, 2, 3]\n" * 2**16)  # under the limit
    run.append(Warned(message="second"))
    assert [event.message for event in iter_events(run) if isinstance(event, Warned)] == [
        "first", "second",
    ]  # fmt: skip
    with run.events.open("ab") as file:
        file.write(b"[1, 2, 3]\n" * 2**17)
    run.append(Warned(message="third"))
    size = run.events.stat().st_size
    found = [event.message for event in iter_events(run) if isinstance(event, Warned)]
    assert found == ["first", "second"]
    with pytest.raises(RunError, match="give the file another name".capitalize()):
        run.mend_events()
    assert run.events.stat().st_size == size
    run.events.rename(run.path / "strange.jsonl")
    assert run.mend_events() == 0
    run.append(Warned(message="fourth"))
    assert [event.message for event in iter_events(run)] == ["fourth"]  # type: ignore[union-attr]
