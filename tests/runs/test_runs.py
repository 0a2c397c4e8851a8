"""Run folders: damaged checkpoints, exact histories, records; finding, comparing and removing runs."""

import json
import math
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from kerascli.cli.commands import app
from kerascli.foundation.disk import storage
from kerascli.foundation.disk.temporary import machine, temporary_path
from kerascli.foundation.errors import ConfigError, FileRefused, KerasCliError, StorageError
from kerascli.foundation.user_code import UserCode
from kerascli.report.tables import ABSENT, compare
from kerascli.runs import environment, history, index, record
from kerascli.runs.checkpoint_manifest import read_manifest, sealed_manifest
from kerascli.runs.checkpoints import Checkpoints
from kerascli.runs.checksums import sealed
from kerascli.runs.record import RunRecord
from kerascli.studies.folder import Study
from tests.support.runs_harness import edit_facts, write_rows

# Checkpoints


@pytest.fixture
def two(tmp_path: Path) -> Checkpoints:
    """A run with checkpoints of steps 700 and 800, and `best` at 700."""
    found = Checkpoints(tmp_path / "run" / "checkpoints")
    found.save(700, {"training": b"seven" * 40}, {"epoch": 7}, slots=("best",))
    found.save(800, {"training": b"eight" * 40}, {"epoch": 8})
    return found


def files_of_newest(found: Checkpoints) -> list[Path]:
    return sorted(found.folder.glob("step-00000800*"))


def test_a_checkpoint_comes_back_as_it_was_saved(two: Checkpoints) -> None:
    facts = {"epoch": 9, "history": [{"loss": 0.1 + 0.2, "odd": math.inf}], "text": "é\n"}
    two.save(900, {"training": b"", "slot-best.safetensors": bytes(range(256))}, facts)
    found = two.newest()
    assert (found.step, found.facts, found.warnings) == (900, facts, ())
    assert found.blobs == {"training": b"", "slot-best.safetensors": bytes(range(256))}
    assert two.named("best").blobs == {"training": b"seven" * 40}
    assert two.steps() == [800, 900]
    assert two.slots() == ["best"]


def test_every_flipped_bit_of_every_byte_is_found_and_the_one_before_is_used(two: Checkpoints) -> None:
    checked = 0
    for path in files_of_newest(two):
        good = path.read_bytes()
        for at in range(len(good)):
            bad = bytearray(good)
            bad[at] ^= 1 << at % 8
            path.write_bytes(bad)
            found = two.newest()
            assert found.step == 700
            assert found.blobs == {"training": b"seven" * 40}
            assert len(found.warnings) == 1
            checked += 1
        path.write_bytes(good)
    assert checked > 400
    assert two.newest().step == 800


def test_random_flips_cuts_and_zeroed_blocks_of_a_large_file_are_found(two: Checkpoints) -> None:
    numbers = random.Random(1)
    large = numbers.randbytes(300_000)
    two.save(800, {"training": large}, {})
    (path,) = [p for p in files_of_newest(two) if p.stat().st_size == len(large)]
    for trial in range(300):
        bad = bytearray(large)
        at = numbers.randrange(len(large))
        match trial % 3:
            case 0:
                bad[at] ^= 1 << numbers.randrange(8)
            case 1:
                del bad[at:]
            case _:
                bad[at : at + 4096] = bytes(len(bad[at : at + 4096]))
        path.write_bytes(bad)
        assert two.newest().step == 700
    path.write_bytes(large)
    assert two.newest().step == 800


@pytest.mark.parametrize("harm", ["cut", "longer", "empty", "missing", "folder", "fifo"])
@pytest.mark.parametrize("which", [0, 1], ids=["the file", "the manifest"])
def test_a_harmed_file_means_the_checkpoint_before_with_a_warning(two: Checkpoints, which: int, harm: str) -> None:
    path = files_of_newest(two)[which]
    good = path.read_bytes()
    path.unlink()
    match harm:
        case "cut":
            path.write_bytes(good[:-1])
        case "longer":
            path.write_bytes(good + b"\n")
        case "empty":
            path.touch()
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
    found = two.newest()
    assert found.step == 700
    # Without its manifest a checkpoint is one that was never finished: nothing to warn of.
    assert len(found.warnings) == (0 if (which, harm) == (1, "missing") else 1)
    assert all(
        text.endswith("; using step 700") and "damaged checkpoint, step 800: " in text for text in found.warnings
    )


def test_with_no_intact_checkpoint_the_refusal_lists_what_was_tried(two: Checkpoints) -> None:
    for path in two.folder.glob("step-*.training"):
        data = bytearray(path.read_bytes())
        data[0] ^= 1
        path.write_bytes(data)
    tried = "step 800: sha256 of 'training' differs; step 700: sha256 of 'training' differs"
    with pytest.raises(FileRefused) as caught:
        two.newest()
    assert str(caught.value) == f"'{two.folder.parent}' has no intact checkpoint (2 tried: {tried})"
    assert caught.value.exit_code == 4
    with pytest.raises(FileRefused, match=r"checkpoint 'best' of '.*' is damaged: sha256 of 'training' differs"):
        two.named("best")


def test_a_run_without_checkpoints_says_so(tmp_path: Path) -> None:
    found = Checkpoints(tmp_path / "run" / "checkpoints")
    assert found.steps() == []
    with pytest.raises(FileRefused, match=r"run' has no checkpoint$"):
        found.newest()
    for slot in ("best", "../best", "step-00000700"):
        with pytest.raises(FileRefused, match="has no checkpoint '"):
            found.named(slot)


def test_the_newest_is_the_highest_step_whatever_the_clock_says(two: Checkpoints) -> None:
    for path in two.folder.iterdir():
        os.utime(path, (0, 0) if "800" in path.name else (2e9, 2e9))
    assert two.newest().step == 800


def test_a_manifest_under_another_step_is_not_believed(two: Checkpoints) -> None:
    shutil.copy(two.folder / "step-00000700.json", two.folder / "step-00000900.json")
    found = two.newest()
    assert found.step == 800
    assert "step 900: it says step 700" in found.warnings[0]


def test_two_are_kept_and_every_slot(two: Checkpoints) -> None:
    for step in (900, 1000):
        two.save(step, {"training": b"x"}, {})
    assert two.steps() == [900, 1000]
    assert two.named("best").step == 700
    two.save(1100, {"training": b"y"}, {}, slots=("best",))
    assert not list(two.folder.glob("step-00000700*"))


def test_going_on_from_an_earlier_checkpoint_drops_the_later_ones(two: Checkpoints) -> None:
    files_of_newest(two)[0].write_bytes(b"damaged")
    two.save(750, {"training": b"x"}, {})
    assert two.steps() == [700, 750]
    assert two.newest().step == 750


def test_a_foreign_file_beside_the_checkpoints_is_left_alone(two: Checkpoints) -> None:
    others = [two.folder / name for name in ("notes.txt", "step-1.json", "step-00000001.training", ".lock")]
    for path in others:
        path.touch()
    two.save(900, {"training": b"x"}, {})
    assert all(path.exists() for path in others)


@pytest.mark.parametrize(
    "change",
    [
        {"files": {"training": {"bytes": 1, "sha256": "../../../../../etc"}}},
        {"files": {"../x": {"bytes": 1, "sha256": "0" * 64}}},
        {"files": {"training": {"bytes": -1, "sha256": "0" * 64}}},
        {"step": "800"},
        {"format": 3},
        {"more": 1},
    ],
)
def test_a_manifest_by_a_stranger_is_refused_even_with_the_right_sum(two: Checkpoints, change: dict[str, Any]) -> None:
    import hashlib

    path = two.folder / "step-00000800.json"
    body = json.dumps({**json.loads(path.read_bytes())["checkpoint"], **change}).encode()
    path.write_bytes(b'{"sha256": "%s", "checkpoint": %s}\n' % (hashlib.sha256(body).hexdigest().encode(), body))
    assert two.newest().step == 700
    assert "not in the form" in two.newest().warnings[0]


@pytest.mark.parametrize("slot", ["../best", "step-00000001", "", "Best"])
def test_a_slot_that_is_no_name_is_a_mistake_of_the_caller(two: Checkpoints, slot: str) -> None:
    with pytest.raises(ValueError, match="slot: expected"):
        two.save(900, {}, {}, slots=(slot,))
    assert two.steps() == [700, 800]


# history.csv


def table(rows: Sequence[history.Row]) -> bytes:
    """Return the history file of a run with these rows."""
    names = history.ordered(name for row in rows for name in row)
    return "".join([history.header(names), *(history.line(row, names) for row in rows)]).encode()


def test_the_history_comes_back_number_for_number(tmp_path: Path) -> None:
    numbers = random.Random(2)
    rows: list[dict[str, int | float]] = [
        {"epoch": epoch, "loss": numbers.random() * 10 ** numbers.randint(-300, 300), "count": epoch * 10**12}
        for epoch in range(1, 200)
    ]
    rows[3] |= {"val_loss": math.inf, "a, \"b\"\n'c'": -0.0}
    rows[4] |= {"val_loss": -math.inf, "loss": 5e-324}
    path = tmp_path / "history.csv"
    back = history.parse(table(rows), path)
    assert back == rows
    assert [{name: type(value) for name, value in row.items()} for row in back] == [
        {name: type(value) for name, value in row.items()} for row in rows
    ]
    assert math.copysign(1, back[3]["a, \"b\"\n'c'"]) == -1


def test_the_columns_are_epoch_then_metrics_then_rate_and_clock() -> None:
    rows = [
        {"loss": 1.0, "learning_rate": 0.1, "epoch_seconds": 2.0, "epoch": 1},
        {"epoch": 2, "loss": 0.5, "val_loss": math.nan, "learning_rate": 0.1, "epoch_seconds": 2.5},
    ]
    assert table(rows) == b"epoch,loss,val_loss,learning_rate,epoch_seconds\n1,1.0,,0.1,2.0\n2,0.5,NaN,0.1,2.5\n"
    assert history.ordered(["epoch_seconds", "loss", "phase", "a_learning_rate", "epoch", "loss"]) == [
        "epoch", "phase", "loss", "a_learning_rate", "epoch_seconds",
    ]  # fmt: skip


def test_pandas_like_readers_see_numbers_of_numpy_as_numbers() -> None:
    import numpy as np

    assert table([{"epoch": 1, "loss": np.float64(0.5)}]) == b"epoch,loss\n1,0.5\n"


@pytest.mark.parametrize(
    "text",
    [
        "epoch,loss\n1,0.5,3\n",
        "epoch,loss\n1,0.5\n2,abc\n",
        'epoch,loss\n1,"0.5\n',
        "loss\n0.5\n",
        "epoch,loss\n1,0.5\n,0.5\n",
        "epoch,loss\nNaN,0.5\n",
    ],
)
def test_a_damaged_history_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "history.csv"
    with pytest.raises(FileRefused, match=re.escape(f"'{path}' is damaged: expected numbers in each row")):
        history.parse(text.encode(), path)


def test_a_history_of_no_epoch_has_no_rows(tmp_path: Path) -> None:
    for data in (b"", b"epoch,loss\n"):
        assert history.parse(data, tmp_path / "history.csv") == []


def test_a_line_that_is_being_written_is_not_there_yet(tmp_path: Path) -> None:
    whole = b"epoch,loss\n1,0.5\n12,0.25\n"
    for cut in range(len(whole) + 1):
        rows = history.parse(whole[:cut], tmp_path / "history.csv")
        assert rows == [{"epoch": 1, "loss": 0.5}, {"epoch": 12, "loss": 0.25}][: max(0, whole[:cut].count(b"\n") - 1)]


# Records


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def test_what_is_written_is_read_back(runs_dir: Path) -> None:
    run = RunRecord.create(runs_dir, "mnist_mlp")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ-mnist_mlp", run.path.name)
    with run.locked():
        plugin = run.write_plugin(UserCode(Path("_my layers.py"), b"x = 1\n"))
        run.write_config("a: 1\n")
        run.write_resolved("a: 1.0\n")
        run.write_summary("é")
        run.write_preprocessing("words.json", b"[]")
        run.begin({"seed": 3, "plugins": [plugin], "versions": environment.versions()})
        write_rows(run, [{"epoch": 1, "loss": 0.5}])
        run.write_weights(b"\0weights")
        run.write_log("log.csv", "a\n")
        assert run.status() == "running"
        run.finish("stopped", reason="early_stopping", results={"test": {"loss": math.nan}})
    found = RunRecord.open(run.path)
    assert (found.config(), found.resolved(), found.summary()) == ("a: 1\n", "a: 1.0\n", "é")
    assert (found.weights(), found.preprocessing()) == (b"\0weights", {"words.json": b"[]"})
    assert (found.history(), found.log("log.csv"), found.log("none.csv")) == ([{"epoch": 1, "loss": 0.5}], "a\n", None)
    assert found.plugins() == [UserCode(run.path / "plugins" / "_my layers.py", b"x = 1\n")]
    assert (found.status(), found.name) == ("stopped", "mnist_mlp")
    facts = found.facts()
    assert facts["results"] == {"test": {"loss": None}}
    assert (facts["seed"], facts["reason"], facts["pid"]) == (3, "early_stopping", os.getpid())
    assert facts["versions"]["python"] == sys.version.split()[0]


def test_a_resumed_run_keeps_its_start_and_adds_up_its_time(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 100))
    monkeypatch.setattr(record.time, "monotonic", lambda: next(clock))
    run = RunRecord.create(runs_dir, "a")  # at 0 s
    run.begin({"seed": 3})  # at 100 s, written at 200 s
    run.finish("interrupted")  # at 300 s: 200 s
    first = run.facts()
    again = RunRecord.open(run.path)
    again.begin({})  # written 100 s later
    again.finish("completed")  # and 100 s more
    facts = again.facts()
    assert first["seconds"] == 200
    assert facts["seconds"] == 400
    assert (facts["started"], facts["seed"], len(facts["resumed"])) == (first["started"], 3, 1)
    assert first["resumed"] == []


def test_the_time_of_a_killed_run_is_at_least_that_of_its_epochs(runs_dir: Path) -> None:
    run = RunRecord.create(runs_dir, "a")
    run.begin({"seed": 3})
    write_rows(run, [{"epoch": n, "loss": 0.5, "epoch_seconds": 30.0} for n in (1, 2)])
    edit_facts(run.path, history=run.history_writer.synced_prefix().model_dump())
    again = RunRecord.open(run.path)
    again.begin({})
    assert 60 <= again.facts()["seconds"] < 90


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"results": [1]}, "'results' cannot be the list [1]"),
        ({"results": {"test": {"loss": "\x1b"}}}, "'results.test.loss' cannot be the text '\\x1b'"),
        ({"seconds": "x"}, "'seconds' cannot be the text 'x'"),
        ({"files": {"model.safetensors": "0"}}, "'files.model.safetensors' cannot be the text '0'"),
        ({"replacing": [1]}, "'replacing' cannot be the list [1]"),
        ({"format": "2"}, "'format' cannot be the text '2'"),
        ({"history": {"size": -1}}, "'history.size' cannot be -1"),
        ({"start": {"number": 1}}, "'start.sequence' is missing"),
        ({"seconds": 10**400}, "'seconds' cannot be 1000"),
        ({"seconds": None}, "'seconds' cannot be nothing (null)"),
        ({"status": []}, "'status' cannot be the list []"),
        ({"resumed": 1}, "'resumed' cannot be 1"),
        ({"device": 1}, "'device' cannot be 1"),
        ({"threads": 0}, "'threads' cannot be 0"),
        ({"data": ["a"]}, "'data' cannot be the list [a]"),
        ({"directions": {"loss": "up"}}, "'directions.loss' cannot be the text 'up'"),
        ({"plugins": [{"file": 1, "sha256": ""}]}, "'plugins.0.file' cannot be 1"),
        ({"plugins": [{"file": "a.py"}]}, "'plugins.0.sha256' is missing"),
    ],
)
def test_a_run_json_that_says_what_cannot_be_is_refused(runs_dir: Path, said: dict[str, Any], message: str) -> None:
    run = RunRecord.create(runs_dir, "a")
    run.write_resolved("a: 1\n")
    run.begin({})
    path = run.path / "run.json"
    edit_facts(run.path, unknown=[{}], **said)
    for read in (run.facts, lambda: run.begin({}), run.plugins, lambda: compare([run])):
        with pytest.raises(FileRefused, match=re.escape(f"'{path}' is damaged: {message}")):
            read()
    assert run.status() == "unknown"
    assert [found.path for found in index.list_runs(runs_dir)] == [run.path]


def test_a_manifest_with_a_key_twice_is_refused(runs_dir: Path) -> None:
    """Parsers take the second."""
    run = RunRecord.create(runs_dir, "a")
    (run.path / "step.json").write_bytes(sealed_manifest(b'{"step": 1, "step": 2, "files": {}, "facts": {}}'))
    with pytest.raises(FileRefused, match="not in the form"):
        read_manifest(run.path / "step.json")


def test_a_run_that_says_running_and_is_held_by_nobody_was_killed(runs_dir: Path) -> None:
    run = RunRecord.create(runs_dir, "a")
    assert run.status() == "killed"  # before its first word
    run.begin({})
    assert run.status() == "killed"
    with run.locked():
        assert run.status() == "running"
    (run.path / "run.json").write_text("{")
    assert run.status() == "unknown"


@pytest.mark.parametrize("name", ["../x", "/abs", "-rf", "a/b", "a\0", "a\n", "x" * 101, ".", "", "a b", "é"])
def test_a_name_that_cannot_be_a_folder_is_refused_before_anything_is_made(runs_dir: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot name a run"):
        RunRecord.create(runs_dir, name)
    assert not runs_dir.exists()


def test_no_run_or_study_is_made_inside_another(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outer = RunRecord.create(runs_dir, "outer").path
    monkeypatch.chdir(outer)
    for inside in (Path("runs"), outer):
        with pytest.raises(ConfigError, match="is inside a run, where no other files are written"):
            RunRecord.create(inside, "inner")
        with pytest.raises(ConfigError, match="is inside a run, where no other files are written"):
            Study.create(inside, "inner", None)  # type: ignore[arg-type]
    (runs_dir / "study").mkdir()
    (runs_dir / "study" / "study.yaml").touch()
    with pytest.raises(ConfigError, match="is inside a study, where no other files are written") as caught:
        RunRecord.create(runs_dir / "study" / "runs", "inner")
    assert caught.value.faults[0].hint == "write outside of 'study': --runs-dir FOLDER"
    assert not [*outer.iterdir()]


def test_a_runs_folder_that_is_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(StorageError, match=r"cannot create '.*runs'"):
        RunRecord.create(tmp_path / "runs", "a")


def test_a_changed_plugin_is_refused(runs_dir: Path) -> None:
    run = RunRecord.create(runs_dir, "a")
    run.begin({"plugins": [run.write_plugin(UserCode(Path("p.py"), b"x = 1\n"))]})
    (run.path / "plugins" / "p.py").write_text("x = 2\n")
    with pytest.raises(FileRefused, match=r"p\.py' is damaged: its sha256 is not the one that run\.json has"):
        run.plugins()


def test_taking_the_lock_clears_up_after_a_killed_process(runs_dir: Path) -> None:
    run = RunRecord.create(runs_dir, "a")
    (run.path / "checkpoints").mkdir()
    dead = f"tmp-{machine()}-{2**22 + 1}"
    left = [run.path / f".run.json.{dead}", run.path / "checkpoints" / f".best.json.{dead}"]
    for path in left:
        path.touch()
    with run.locked():
        assert not any(path.exists() for path in left)


@pytest.mark.parametrize("file", ["../x", "a/b", "", ".hidden", "a\nb"])
def test_no_file_name_leads_out_of_its_folder(runs_dir: Path, file: str) -> None:
    run = RunRecord.create(runs_dir, "a")
    with pytest.raises(StorageError, match="cannot name a file in logs/"):
        run.write_log(file, "x")
    with pytest.raises(StorageError, match="cannot name a file in preprocessing/"):
        run.write_preprocessing(file, b"x")


# Facts


def test_the_commit_is_what_git_says(tmp_path: Path) -> None:
    assert environment.git_commit(tmp_path) is None
    assert environment.git_commit(tmp_path / "missing") is None
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", "-C", tmp_path, *arguments], check=True)
    said = subprocess.run(["git", "-C", tmp_path, "log", "-1", "--format=%H"], capture_output=True, text=True)
    assert environment.git_commit(tmp_path) == said.stdout.strip()


# Finding and removing


def make_run(runs_dir: Path, folder: str, **facts: Any) -> RunRecord:
    run = RunRecord(runs_dir / folder)
    storage.make_folder(run.path)
    run.begin(facts)
    return run


@pytest.fixture
def three(runs_dir: Path) -> Path:
    for folder in ("2026-01-02T00-00-00Z-mlp", "2026-01-01T00-00-00Z-mlp_wide", "2026-01-03T00-00-00Z-cnn"):
        make_run(runs_dir, folder).finish("completed")
    return runs_dir


@pytest.mark.parametrize(
    ("selector", "folder"),
    [
        ("latest", "2026-01-03T00-00-00Z-cnn"),
        ("2026-01-01T00-00-00Z-mlp_wide", "2026-01-01T00-00-00Z-mlp_wide"),
        ("2026-01-01", "2026-01-01T00-00-00Z-mlp_wide"),
        ("cn", "2026-01-03T00-00-00Z-cnn"),
        ("mlp", "2026-01-02T00-00-00Z-mlp"),
        ("mlp_", "2026-01-01T00-00-00Z-mlp_wide"),
        ("{}/2026-01-03T00-00-00Z-cnn", "2026-01-03T00-00-00Z-cnn"),
        ("{}/2026-01-03T00-00-00Z-cnn/", "2026-01-03T00-00-00Z-cnn"),
    ],
)
def test_a_run_is_found_by(three: Path, selector: str, folder: str) -> None:
    assert index.find_run(selector.format(three), three).folder_name == folder


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("mlp_wode", "no run 'mlp_wode' in '{}'; did you mean 'mlp_wide'?"),
        ("lates", "no run 'lates' in '{}'; did you mean 'latest'?"),
        ("", "no run '' in '{}'"),
        (
            "2026",
            "'2026' means 3 runs: 2026-01-01T00-00-00Z-mlp_wide, 2026-01-02T00-00-00Z-mlp, 2026-01-03T00-00-00Z-cnn",
        ),
        ("\x1b[31m", "no run '\\x1b[31m' in '{}'"),
    ],
)
def test_a_selector_that_means_no_run_or_several_is_an_error(three: Path, selector: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        index.find_run(selector, three)
    assert str(caught.value) == message.format(three)


def test_inside_a_run_a_point_means_it(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(three / "2026-01-03T00-00-00Z-cnn")
    assert index.find_run(".", Path("runs")).name == "cnn"
    assert index.find_run("../2026-01-02T00-00-00Z-mlp", Path("runs")).name == "mlp"


def test_a_path_that_is_no_run_is_refused(three: Path) -> None:
    with pytest.raises(FileRefused, match=r"is not a run: it has no run\.json"):
        index.find_run(f"{three}/..", three)


def test_no_runs_at_all_says_how_to_start_one(runs_dir: Path) -> None:
    with pytest.raises(ConfigError, match="there are no runs in") as caught:
        index.find_run("latest", runs_dir)
    assert caught.value.faults[0].hint == "start one: kerascli train CONFIG"


def test_within_a_second_the_order_is_that_of_the_starts(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [RunRecord.create(runs_dir, name) for name in ("b", "a", "c", *"d" * 10)]
    frozen = "2026-01-01T00-00-00Z-"
    moved = []
    for number, run in enumerate(made):
        run.begin({"started": f"2026-01-01T00:00:00.{number:06}Z"})
        moved.append(run.path.rename(runs_dir / f"{frozen}{run.name}-{number}"))
    assert [run.path for run in index.list_runs(runs_dir)] == moved


def test_a_clock_that_goes_back_does_not_change_the_order_of_the_starts(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(datetime):
        year_now = 2031

        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            cls.year_now -= 1
            return datetime(cls.year_now, 1, 1, tzinfo=UTC)

    monkeypatch.setattr(record, "datetime", Clock)
    made = [RunRecord.create(runs_dir, name) for name in ("b", "a", "c", "b")]
    assert [run.path for run in index.list_runs(runs_dir)][-1] == made[-1].path  # which has no run.json yet
    for run in made:
        run.begin({})
    assert [run.path for run in index.list_runs(runs_dir)] == [run.path for run in made]
    assert index.find_run("latest", runs_dir).path == made[-1].path


def test_neither_a_copy_nor_a_run_from_elsewhere_is_the_latest(runs_dir: Path, tmp_path: Path) -> None:
    elsewhere = [RunRecord.create(tmp_path / "others", "z") for _ in range(5)][-1]
    elsewhere.begin({})
    first, second = (RunRecord.create(runs_dir, name) for name in ("first", "second"))
    for run in (first, second):
        run.begin({})
    shutil.copytree(elsewhere.path, runs_dir / elsewhere.folder_name)
    make_run(runs_dir, "2099-01-01T00-00-00Z-without_number")
    for run in (first, second):
        shutil.copytree(run.path, runs_dir / f"zz-copy-of-{run.name}")
    names = [run.folder_name for run in index.list_runs(runs_dir)]
    own = ["zz-copy-of-first", first.folder_name, "zz-copy-of-second", second.folder_name]
    assert names == [elsewhere.folder_name, "2099-01-01T00-00-00Z-without_number", *own]
    index.remove(second)
    third = RunRecord.create(runs_dir, "third")
    assert index.find_run("latest", runs_dir).path == third.path


@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_a_folder_that_forgot_its_starts_goes_by_time_and_begins_a_new_sequence(runs_dir: Path, harm: str) -> None:
    old = [RunRecord.create(runs_dir, name) for name in ("old", "older")]
    for run in old:
        run.begin({})
    memory = runs_dir / ".starts.json"
    memory.unlink() if harm == "missing" else memory.write_text("{")
    assert [run.path for run in index.list_runs(runs_dir)] == [run.path for run in old]
    new = RunRecord.create(runs_dir, "new")
    new.begin({})
    assert [run.path for run in index.list_runs(runs_dir)] == [run.path for run in (*old, new)]


def test_what_is_no_run_is_not_listed(three: Path, tmp_path: Path) -> None:
    (three / "notes").mkdir()
    (three / "file").touch()
    (three / "link").symlink_to(three / "2026-01-03T00-00-00Z-cnn")
    temporary_path(three / "x").mkdir()
    assert len(index.list_runs(three)) == 3


def test_removing_takes_a_run_and_nothing_else(three: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    run = index.find_run("cnn", three)
    (run.path / "link").symlink_to(precious)
    index.remove(run)
    assert sorted(os.listdir(three)) == ["2026-01-01T00-00-00Z-mlp_wide", "2026-01-02T00-00-00Z-mlp"]
    assert (precious / "file").exists()


def test_a_link_a_stranger_and_a_running_run_are_not_removed(three: Path) -> None:
    link = three / "2026-01-04T00-00-00Z-link"
    link.symlink_to(three / "2026-01-03T00-00-00Z-cnn")
    (three / "notes").mkdir()
    with pytest.raises(StorageError, match="is a link and is not removed"):
        index.remove(RunRecord(link))
    with pytest.raises(FileRefused, match="is not a run and is not removed"):
        index.remove(RunRecord(three / "notes"))
    run = index.find_run("cnn", three)
    with run.locked(), pytest.raises(StorageError, match="is in use by pid"):
        index.remove(run)
    assert len(os.listdir(three)) == 5


# Comparing

RESOLVED = """
seed: {seed}
model:
  layers:
    - dense: {{units: {units}, activation: relu}}
    {second}
compile: {{optimizer: {{adam: {{learning_rate: {rate}}}}}, betas: [1, 2]}}
"""


@pytest.fixture
def pair(runs_dir: Path) -> list[RunRecord]:
    made = []
    for number, (units, second, rate) in enumerate(((64, "- dropout: null", "1.0e-3"), (64, "", "1.0e-2"))):
        run = make_run(runs_dir, f"2026-01-0{number + 1}T00-00-00Z-r{number}", directions={"accuracy": "max"})
        run.write_resolved(RESOLVED.format(seed=number, units=units, second=second, rate=rate))
        losses = [1.0, 0.25, 0.5 + number]
        rows = [
            {"epoch": epoch, "loss": loss, "val_accuracy": 1 - loss / 2, "other": loss}
            for epoch, loss in enumerate(losses, start=1)
        ]
        write_rows(run, rows)
        run.finish("completed", results={"test": {"loss": number / 2}})
        (run.path / "run.json").write_bytes(sealed(run.facts() | {"seconds": 1.5}))  # however long this machine took
        made.append(run)
    return made


def test_a_comparison_has_the_settings_that_differ_and_the_results(pair: list[RunRecord]) -> None:
    found = compare(pair)
    assert found.settings == {
        "model.layers[1].dropout": [None, ABSENT],
        "compile.optimizer.adam.learning_rate": [1e-3, 1e-2],
    }
    results = {key: values for key, values in found.results.items() if key != "seconds"}
    expected = {
        "last val_accuracy": [0.75, 0.25], "best val_accuracy": [0.875, 0.875],
        "test loss": [0.0, 0.5],
        "epochs": [3, 3],
        "last loss": [0.5, 1.5], "best loss": [0.25, 0.25],
        "last other": [0.5, 1.5],
    }  # fmt: skip
    assert list(results.items()) == list(expected.items()), "other rows than the training's come first"
    assert found.best == {"last val_accuracy": 0.75, "best val_accuracy": 0.875, "test loss": 0.0}


def test_a_seed_is_a_setting_that_differs_only_if_no_other_does(pair: list[RunRecord], runs_dir: Path) -> None:
    again = make_run(runs_dir, "2026-01-03T00-00-00Z-r2")
    again.write_resolved(pair[1].resolved().replace("seed: 1", "seed: 2"))
    assert compare([pair[1], again]).settings == {"seed": [1, 2]}
    assert "seed" not in compare([pair[0], again]).settings


# Commands


def invoke(line: str) -> tuple[str, str]:
    """Return stdout and stderr of a successful command; otherwise raise its error."""
    result = CliRunner().invoke(app, shlex.split(line), catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result.stdout, result.stderr


@pytest.fixture
def home(tmp_path: Path, pair: list[RunRecord], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_runs_lists_a_line_a_run(home: Path) -> None:
    out, err = invoke("runs")
    assert err == ""
    assert [line.rstrip() for line in out.splitlines() if "Z-" in line] == [
        "2026-01-01T00-00-00Z-r0  completed       3  1.5 s                val_accuracy 0.75",
        "2026-01-02T00-00-00Z-r1  completed       3  1.5 s                val_accuracy 0.25",
    ]
    assert [line["run"] for line in json.loads(invoke("runs --json")[0])] == [
        "2026-01-01T00-00-00Z-r0",
        "2026-01-02T00-00-00Z-r1",
    ]


def test_a_damaged_run_does_not_spoil_the_list(home: Path) -> None:
    for file in ("run.json", "history.csv"):
        (home / "runs" / "2026-01-01T00-00-00Z-r0" / file).write_text('"{\x1b')
    out, _ = invoke("runs")
    assert re.search(r"^2026-01-01T00-00-00Z-r0 +unknown +0 +-$", out, re.MULTILINE)
    (home / "runs" / "2026-01-02T00-00-00Z-r1" / "history.csv").write_text("epoch\n1\n")
    out, _ = invoke("runs")
    assert re.search(r"^2026-01-02T00-00-00Z-r1 +completed, history damaged +0 +1.5 s$", out, re.MULTILINE)
    assert "2026-01-02T00-00-00Z-r1" in out


def test_no_runs_is_reported_and_prints_no_data(tmp_path: Path) -> None:
    assert invoke(f"runs --runs-dir {tmp_path}") == ("", f"there are no runs in '{tmp_path}'\n")
    assert invoke(f"runs --json --runs-dir {tmp_path}") == ("[]\n", "")


def test_show_prints_a_run_and_says_which_it_took(home: Path) -> None:
    out, err = invoke("runs show")
    assert err == "run: runs/2026-01-02T00-00-00Z-r1 (the latest)\n"
    assert "status                   completed\n" in out
    assert "results.test             {loss: 0.5}\n" in out
    data = json.loads(invoke("runs show r0 --json")[0])
    assert data["path"] == "runs/2026-01-01T00-00-00Z-r0"
    assert [row["epoch"] for row in data["history"]] == [1, 2, 3]


def test_compare_prints_both_runs(home: Path) -> None:
    out, err = invoke("runs compare r0 r1")
    assert err == ""
    assert re.search(r"^model\.layers\[1\]\.dropout +null +absent$", out, re.MULTILINE)
    assert re.search(r"^compile\.optimizer\.adam\.learning_rate +0\.001 +0\.01$", out, re.MULTILINE)
    assert re.search(r"^test loss +\* 0 +0\.5$", out, re.MULTILINE)
    assert re.search(r"^best val_accuracy +0\.875 +0\.875$", out, re.MULTILINE), "none is the best"
    assert json.loads(invoke("runs compare r0 r1 --json")[0])["results"]["test loss"] == [0.0, 0.5]
    assert invoke("runs compare r0 r0")[1] == "the settings do not differ\n"
    with pytest.raises(ConfigError, match="expected at least two runs, got 1"):
        invoke("runs compare r0")


def test_rm_asks_unless_told_not_to(home: Path) -> None:
    asked = CliRunner().invoke(app, ["runs", "rm", "r0"], input="n\n")
    assert (asked.exit_code, asked.stderr.endswith("nothing was removed\n")) == (0, True)
    with pytest.raises(ConfigError, match="no answer was given: nothing was removed"):
        invoke("runs rm r0")
    assert len(os.listdir("runs")) == 2
    assert invoke("runs rm r0 -y") == ("", "removed runs/2026-01-01T00-00-00Z-r0\n")
    assert os.listdir("runs") == ["2026-01-02T00-00-00Z-r1"]


def test_a_run_that_is_named_twice_is_removed_once(home: Path) -> None:
    latest = "runs/2026-01-02T00-00-00Z-r1"
    removed = f"removed {latest}\n"
    assert invoke(f"runs rm latest latest r1 ./{latest} ../{home.name}/{latest} -y") == ("", removed)
    assert os.listdir("runs") == ["2026-01-01T00-00-00Z-r0"]


def test_an_option_before_the_command_is_not_ignored(home: Path) -> None:
    with pytest.raises(KerasCliError, match="options of 'show' go after it"):
        invoke("runs --json show r0")


def test_neither_runs_nor_plot_loads_torch(home: Path) -> None:
    code = """
import sys
from kerascli.cli.commands import app
loaded = set(sys.modules) & {"torch", "matplotlib", "numpy"}
assert not loaded, f"{loaded} at import"
for line in ("runs", "runs show r0", "runs compare r0 r1", "plot r0", "runs rm r1 -y"):
    app(line.split(), standalone_mode=False)
    assert "torch" not in sys.modules, line
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=home, capture_output=True)


def test_runs_of_one_second_share_their_name(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Stopped":
            return cls(2026, 1, 2, 3, 4, 5, tzinfo=tz)

    monkeypatch.setattr(record, "datetime", Stopped)
    made = [RunRecord.create(runs_dir, "mlp") for _ in range(3)]
    assert [run.folder_name for run in made] == [f"2026-01-02T03-04-05Z-mlp{end}" for end in ("", "~2", "~3")]
    assert {run.name for run in made} == {"mlp"}
    with pytest.raises(ConfigError, match="'mlp' means 3 runs") as error:
        index.find_run("mlp", runs_dir)
    assert error.value.faults[0].hint == f"the newest is {made[2].folder_name}"
    for selector, run in ((made[0].folder_name, made[0]), (made[1].folder_name, made[1]), ("latest", made[2])):
        assert index.find_run(selector, runs_dir).path == run.path


def test_the_start_in_the_name_is_utc(runs_dir: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    stem = RunRecord.create(runs_dir, "a").path.name[:20]
    assert before <= datetime.strptime(stem, "%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=UTC) <= datetime.now(UTC)


def test_a_run_whose_process_is_gone_is_finished_by_another(tmp_path: Path) -> None:
    """Not one that a process still runs, or that has recorded its end."""
    run = RunRecord.create(tmp_path, "mine")
    with run.locked():
        run.begin({})
        left = run.path / f".step.json.tmp-{machine()}-{2**22 + 1}"
        left.touch()
        RunRecord(run.path).finish_for_another("process 0 is gone")
        assert run.facts()["status"] == "running"
    RunRecord(run.path).finish_for_another("process 0 is gone")
    assert (run.status(), run.facts()["reason"]) == ("failed", "process 0 is gone")
    assert not left.exists()
    RunRecord(run.path).finish_for_another("another reason")
    assert run.facts()["reason"] == "process 0 is gone"
    assert not run.was_cut_off
    run.checkpoints.save(1, {"training": b"x"}, {})
    assert run.was_cut_off
    run.write_weights(b"y")
    assert not run.was_cut_off
