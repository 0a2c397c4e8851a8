"""Runs that earlier versions made are read, evaluated and predicted as then; most of format 2 are resumed exactly."""

import csv
import importlib.util
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kerascli.cli import app as program
from kerascli.config.composition import plugins
from kerascli.foundation.disk import storage
from kerascli.foundation.errors import KerasCliError
from kerascli.runs.record import RunRecord
from tests.support.kept_runs import DIVIDED, FORMAT_2, PLUGIN, Kept, signalled, store
from tests.support.processes import Launched, run_on
from tests.support.runs_harness import go_on
from tests.training.distributed.ended_runs import bits, run_of, succeeded

TOLERANCE = 1e-5
"""Relative, and absolute below 1: float32 has 1.2e-7, and other processors and versions add in other orders."""
COMPARED = ("split", "rows", "results", "classes", "in_units")
"""Parts of an evaluation that are compared; later versions may add others."""


def names(run: Kept) -> str:
    return f"{run.format}-{run.name}"


def numbers(value: Any, number: Callable[[float], Any] = float) -> Any:
    """Return JSON, or rows of a CSV, with `number` of each number that it holds."""
    if isinstance(value, dict):
        return {key: numbers(each, number) for key, each in value.items()}
    if isinstance(value, list):
        return [numbers(each, number) for each in value]
    try:
        return number(float(value))
    except ValueError:
        return value


def nearly(value: float) -> Any:
    return pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE)


def stored(run: Kept, folder: Path) -> list[Any]:
    """Return the rows of the predictions and the evaluation that are stored in a folder."""
    predictions = (folder / f"{run.name}.predictions.csv").read_text().splitlines()
    evaluation = json.loads((folder / f"{run.name}.evaluation.json").read_text())
    return [list(csv.reader(predictions)), {name: evaluation[name] for name in COMPARED}]


@pytest.mark.parametrize("run", FORMAT_2, ids=names)
def test_predictions_and_evaluations_are_those_of_the_version_that_made_the_run(run: Kept, tmp_path: Path) -> None:
    folder = run.copied(tmp_path / "copy")
    before = stored(run, folder)
    store(run, folder)
    assert numbers(stored(run, folder)) == numbers(before, nearly)


@pytest.mark.parametrize("run", [run for run in FORMAT_2 if run != DIVIDED], ids=names)
def test_a_resume_that_is_killed_once_ends_with_the_bits_of_one_left_alone(run: Kept, tmp_path: Path) -> None:
    killed, alone = (run_of(run.copied(tmp_path / name), run.name) for name in ("killed", "alone"))
    assert {RunRecord(each).status() for each in (killed, alone)} == {"interrupted"}
    resume = ("train", "--resume")
    launched = Launched([(*resume, str(alone))], run.processes, tmp_path)
    ended = signalled(run, tmp_path, signal.SIGKILL, 3, *resume, str(killed))
    assert set(ended.codes) == {-signal.SIGKILL}, ended.text
    assert RunRecord(killed).status() == "killed"
    succeeded(run_on(run.processes, tmp_path, (*resume, str(killed))))
    succeeded(launched.wait())
    assert {RunRecord(each).status() for each in (killed, alone)} == {"completed"}
    assert len(RunRecord(alone).history()) == 4
    assert bits(killed) == bits(alone)


# A run whose processes divided the optimizer's state


def test_a_run_with_a_divided_optimizer_state_is_not_resumed_and_the_setting_is_said(tmp_path: Path) -> None:
    run = RunRecord(run_of(DIVIDED.copied(tmp_path / "copy"), DIVIDED.name))
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    with pytest.raises(KerasCliError, match="divided the optimizer's state by shard_optimizer_state") as caught:
        go_on(run)
    assert caught.value.exit_code == 4
    assert caught.value.faults[0].hint == (
        "start a new run; this one is still there for evaluate, predict, export and plot"
    )
    assert all(path.read_bytes() == contents for path, contents in before.items())


def test_a_run_with_a_divided_optimizer_state_is_exported_plotted_and_summarized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its state is in two parts of the checkpoint, which has the whole weights."""
    monkeypatch.chdir(DIVIDED.copied(tmp_path / "copy"))
    monkeypatch.setattr(storage, "_fsync", lambda descriptor: None)
    for line in ("export divided --format safetensors", "plot divided", "summary divided", "runs show divided"):
        monkeypatch.setattr("sys.argv", ["kerascli", *line.split()])
        with pytest.raises(SystemExit) as end:
            program.main()
        assert end.value.code == 0, f"{line}: {capsys.readouterr().err}"


# A run whose plugins import names that have changed


@pytest.mark.parametrize("line", ["evaluate plugin validation", "train --resume plugin", "train plugin.yaml"])
def test_a_plugin_of_an_earlier_version_ends_with_an_error_that_has_the_new_name(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(PLUGIN.copied(tmp_path / "copy"))
    monkeypatch.setattr("sys.argv", ["kerascli", *line.split()])
    with pytest.raises(SystemExit) as end:
        program.main()
    assert end.value.code == 2
    assert "hint: kerascli.shapes is now kerascli.foundation.shapes" in capsys.readouterr().err


def test_the_new_names_of_what_plugins_import_are_there() -> None:
    assert {name: new for name, new in plugins.RENAMED.items() if not is_there(new)} == {}


def is_there(name: str) -> bool:
    """Return True if a dotted name is a module, or is defined in one."""
    module, _, last = name.rpartition(".")
    if importlib.util.find_spec(module) is None:
        return False
    return hasattr(importlib.import_module(module), last) or importlib.util.find_spec(name) is not None
