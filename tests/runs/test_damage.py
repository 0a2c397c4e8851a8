"""Damaged files of a run are always detected."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kerascli.foundation.errors import FileRefused
from kerascli.foundation.events import Note
from kerascli.runs import index
from kerascli.runs.record import RunRecord
from kerascli.workflow.evaluate import evaluate_rows
from kerascli.workflow.loaded import open_run
from kerascli.workflow.rows.command_rows import rows_of
from tests.runs.test_crashes import CONFIG
from tests.support.runs_harness import edit_facts, go_on, train, write

Harm = Callable[[Path, random.Random], None]


def flip(path: Path, luck: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[luck.randrange(len(data))] ^= 1 << luck.randrange(8)
    path.write_bytes(data)


def cut(path: Path, luck: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: luck.randrange(path.stat().st_size)])


def zero(path: Path, luck: random.Random) -> None:
    data = path.read_bytes()
    start = luck.randrange(len(data))
    block = data[start : start + 64]
    zeroed = data[:start] + bytes(len(block)) + data[start + 64 :]
    path.write_bytes(zeroed if zeroed != data else bytes(len(data)))


def remove(path: Path, luck: random.Random) -> None:
    path.unlink()


HARMS: list[Harm] = [flip, cut, zero, remove]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a finished run."""
    folder = tmp_path_factory.mktemp("made")
    write(folder, "MINE = 1\n", "mine.py")
    train(write(folder, CONFIG), folder / "runs")
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> RunRecord:
    shutil.copytree(made / "runs", tmp_path / "runs")
    return index.find_run("latest", tmp_path / "runs")


def results(run: RunRecord) -> list[Any]:
    """Return everything that commands read: history, and metrics with the final and the `best` weights."""
    found: list[Any] = [run.history(), run.config(), run.summary(), run.diagram()]
    for checkpoint in (None, "best"):
        opened = open_run(run, checkpoint=checkpoint)
        found.append(dict(evaluate_rows(opened, rows_of(opened, "validation", targets=True), "x").result.logs))
    return found


def files_of(run: RunRecord) -> Iterator[Path]:
    """Return all files that are read, except the checkpoints for resuming, which `test_runs.py` damages."""
    best = json.loads((run.path / "checkpoints" / "best.json").read_bytes())["checkpoint"]["step"]
    for path in sorted(run.path.rglob("*")):
        others = path.name.startswith("step-") and not path.name.startswith(f"step-{best:08d}")
        if (
            path.is_file()
            and path.name not in {".lock", "log.csv"}
            and path.parent.name != "evaluations"
            and not others
        ):
            yield path


def test_no_damage_to_a_file_that_commands_read_is_accepted_in_silence(run: RunRecord) -> None:
    luck = random.Random(1)
    good = results(run)
    accepted = []
    for path in files_of(run):
        whole = path.read_bytes()
        for number, harm in enumerate(HARMS * 2):
            harm(path, luck)
            try:
                found = results(RunRecord(run.path))
                if found != good or path.parent.name != "checkpoints":  # a manifest can have an intact copy
                    accepted.append(f"{path.name}: {harm.__name__} {number}")
            except FileRefused as error:
                if path.name not in str(error) and "best" not in str(error):
                    accepted.append(f"{path.name}: {harm.__name__}: not named: {error}")
            path.write_bytes(whole)
    assert accepted == []
    assert results(run) == good


def test_a_damaged_copy_of_a_slots_manifest_is_warned_of_and_made_good(run: RunRecord) -> None:
    luck = random.Random(2)
    path = run.path / "checkpoints" / "best.json"
    whole = path.read_bytes()
    good = run.checkpoints.named("best")
    assert run.checkpoints.doubts() == []
    for harm in (flip, cut, zero):
        harm(path, luck)
        found = RunRecord(run.path)
        (doubt,) = found.checkpoints.doubts()
        assert "damaged checkpoint, 'best': " in doubt
        assert dict(found.checkpoints.named("best").blobs) == dict(good.blobs)
        notes = [event.text for event in go_on(found) if isinstance(event, Note) and event.level == "warning"]
        assert notes == [doubt]
        assert path.read_bytes() == whole


@pytest.mark.parametrize("harm", [flip, cut, zero])
def test_a_damaged_manifest_of_a_step_is_warned_of(harm: Harm, run: RunRecord) -> None:
    older = sorted((run.path / "checkpoints").glob("step-*.json"))[-2]
    harm(older, random.Random(3))
    doubts = RunRecord(run.path).checkpoints.doubts()
    assert any(f"step {int(older.stem.removeprefix('step-'))}: " in text for text in doubts)


def test_a_checkpoint_whose_file_is_gone_or_whose_manifest_is_anothers_is_warned_of(run: RunRecord) -> None:
    newest = sorted((run.path / "checkpoints").glob("step-*.training.safetensors"))[-1]
    newest.rename(newest.with_name("elsewhere"))
    assert [text for text in run.checkpoints.doubts() if "a file of it is missing" in text]


def test_a_file_more_among_what_transforms_learned_is_refused(run: RunRecord) -> None:
    (run.path / "preprocessing" / "more.json").write_text("{}")
    with pytest.raises(FileRefused, match=r"more\.json' is not a file that the run wrote"):
        open_run(run)


def test_a_changed_history_is_refused_and_rows_after_the_checkpoint_are_dropped(run: RunRecord) -> None:
    path = run.path / "history.csv"
    good = path.read_bytes()
    for bad in (good.replace(b"0.5", b"0.6", 1), good[:-1], good[: good.rfind(b"\n", 0, -1) + 1], b""):
        path.write_bytes(bad)
        with pytest.raises(FileRefused, match=r"history\.csv' is damaged"):
            go_on(run)
        assert (run.status(), path.read_bytes()) == ("completed", bad)
    path.write_bytes(good + b"5,0.1,0.")
    assert len(run.history()) == 4
    path.write_bytes(good + b"5,0.1,0.1,0.1,0.1\n")
    with pytest.raises(FileRefused, match=r"it has rows that the run did not write"):
        run.history()
    go_on(run)
    assert path.read_bytes() == good


def test_a_later_format_is_refused_by_its_number(run: RunRecord) -> None:
    edit_facts(run.path, format=3)
    with pytest.raises(FileRefused, match="is of format 3: a later version of kerascli made the run"):
        run.facts()


def test_a_run_json_without_its_checksum_is_damaged_or_of_another_version(run: RunRecord) -> None:
    path = run.path / "run.json"
    facts = json.loads(path.read_bytes())
    for taken in (["sha256"], ["sha256", "format"], ["format"]):
        path.write_text(json.dumps({name: value for name, value in facts.items() if name not in taken}))
        with pytest.raises(FileRefused, match=r"run\.json' is damaged"):
            run.facts()
