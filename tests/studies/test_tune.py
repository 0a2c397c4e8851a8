"""The command `tune` from outside: what is trained, what a kill leaves, what is kept, and what it refuses."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kerascli.studies.folder import TrialFacts, find_study
from kerascli.workflow.bases import open_config
from kerascli.workflow.tuning.study_config import reopened
from tests.support.needs import library
from tests.support.processes import forked_kerascli
from tests.support.runs_harness import command

CONFIG = """\
# a comment
seed: 3
data:
  source: {blobs: {rows: 400, features: 8, classes: 3, spread: 3.0}}
  inputs: {x: []}
  targets: {y: []}
flags: {units: 16}                    # searched
model:
  layers:
    - dense: {units: $units, activation: relu}
    - dropout: 0.2
    - dense: {units: 3, activation: softmax}
compile:
  loss: sparse_categorical_crossentropy
  optimizer: {adam: {learning_rate: 0.01}}   # searched, too
  metrics: [accuracy]
fit: {epochs: EPOCHS, validation_split: 0.2, batch_size: 32}
tune:
  objective: val_loss
  trials: TRIALS
  sampler: SAMPLER
  flags: {units: {int: {range: [4, 64], log: true, steps: 3}}}
  set:
    compile.optimizer.adam.learning_rate: {float: {range: [1e-3, 1e-1], log: true, steps: 2}}
"""
COMMAND = [sys.executable, "-P", "-m", "kerascli"]


def _config(tmp_path: Path, *, sampler: str = "random", trials: int = 4, epochs: int = 3, more: str = "") -> Path:
    text = CONFIG.replace("SAMPLER", sampler).replace("TRIALS", str(trials)).replace("EPOCHS", str(epochs))
    path = tmp_path / "c.yaml"
    path.write_text(text + more)
    return path


def _run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    run = forked_kerascli(*map(str, arguments), cwd=Path.cwd())
    assert run.returncode == code, run.stderr
    return run


def _tune(config: Path, *arguments: object, code: int = 0) -> tuple[Path, str]:
    runs = config.parent / "runs"
    run = _run("tune", config, "--threads", 1, "--runs-dir", runs, *arguments, code=code)
    return next(iter(sorted(runs.glob("2*")))), run.stdout + run.stderr


def _table(study: Path) -> list[Any]:
    """Return what trials have recorded, without clocks."""
    rows = []
    for folder in sorted((study / "trials").iterdir()):
        facts = json.loads((folder / "trial.json").read_text())
        with (folder / "history.csv").open() as file:
            history = [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in csv.DictReader(file)]
        rows.append([facts[key] for key in ("number", "status", "point", "values", "epochs", "reason")] + [history])
    return rows


def test_a_study_keeps_the_weights_of_the_best_trial_which_other_commands_use(tmp_path: Path) -> None:
    study, said = _tune(_config(tmp_path), "--workers", 2)
    table = _table(study)
    assert [row[1] for row in table] == ["completed"] * 4
    assert table[0][2] == {"units": 16, "compile.optimizer.adam.learning_rate": 0.01}
    best = min(table, key=lambda row: row[3][0])
    assert f"best   trial {best[0]}: val_loss {best[3][0]:.5g}" in said
    assert best[3][0] == min(float(row["val_loss"]) for row in best[6])
    assert [path.parent.name for path in (study / "trials").glob("*/model.safetensors")] == [f"{best[0]:04}"]
    run = _run("predict", study, "validation", "-o", tmp_path / "p.csv")
    assert f"{best[0]:04} (the best trial)" in run.stderr
    shown = json.loads(_run("studies", "show", study, "--json").stdout)
    assert shown["best"] == [best[0]]
    assert [each["values"]["val_loss"] for each in shown["trials"]] == [row[3][0] for row in table]
    assert "--csv cannot be used with --json" in _run("studies", "show", study, "--json", "--csv", code=2).stderr
    _run("report", study, "-o", tmp_path / "study.html")
    assert "Parallel coordinates" in (tmp_path / "study.html").read_text()
    text = _run("studies", "best", study).stdout
    units, rate = best[2]["units"], best[2]["compile.optimizer.adam.learning_rate"]
    expected = (tmp_path / "c.yaml").read_text().replace("{units: 16}", f"{{units: {units}}}")
    assert text == expected.replace("learning_rate: 0.01", f"learning_rate: {rate!r}")
    assert _run("runs", "show", f"{study}/2", "--json").stdout


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe"])
def test_a_study_whose_processes_are_killed_ends_as_one_that_was_not(tmp_path: Path, sampler: str) -> None:
    if sampler == "tpe":
        library("optuna")
    workers = 1 if sampler == "tpe" else 2
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    config = {"sampler": sampler, "trials": 6, "epochs": 20}
    undisturbed, _ = _tune(_config(tmp_path / "a", **config), "--workers", workers)
    study, _ = _tune(_config(tmp_path / "b", **config), "--workers", 0)
    draw = random.Random(1)
    again = [*COMMAND, "tune", "--resume", str(study), "--workers", str(workers)]
    for _ in range(5):
        process = subprocess.Popen(again, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        _wait(lambda: any(path.stat().st_size > 200 for path in study.glob("trials/*/history.csv")), process)
        time.sleep(draw.uniform(0.0, 2.0))
        workers_of = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
        target = draw.choice([process.pid, *map(int, workers_of.stdout.split())])
        with_signal = draw.choice([signal.SIGKILL, signal.SIGINT])
        if process.poll() is None:
            os.kill(target, with_signal)
        if target != process.pid:
            process.kill()
        process.communicate(timeout=60)
    subprocess.run(again, check=True, capture_output=True, timeout=200)
    assert _table(study) == _table(undisturbed)


def _wait(is_so: Any, process: subprocess.Popen[Any]) -> None:
    end = time.monotonic() + 100
    while not is_so() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)


def test_three_failed_trials_in_a_row_stop_the_study(tmp_path: Path) -> None:
    more = "    model.layers[1].dropout: [0.3]\n"
    config = _config(tmp_path, trials=8, more=more.replace("[0.3]", "[0.3, 0.4]"))
    text = config.read_text().replace("learning_rate: {float: {range: [1e-3, 1e-1], log: true, steps: 2}}",
                                      "learning_rate: [1.0e+30, 1.0e+31]")  # fmt: skip
    config.write_text(text)
    study, said = _tune(config, code=5)
    assert "3 trials in a row have failed" in said
    assert [row[1] for row in _table(study)][:4] == ["completed", "failed", "failed", "failed"]
    assert len(_table(study)) == 4


def test_a_changed_config_is_refused_with_the_difference(tmp_path: Path) -> None:
    config = _config(tmp_path, trials=1)
    study, _ = _tune(config)
    config.write_text(config.read_text().replace("batch_size: 32", "batch_size: 64"))
    said = _run("tune", "--resume", study, code=2).stderr
    assert "the config has changed since the study began: -  batch_size: 32; +  batch_size: 64" in said
    config.write_text(config.read_text().replace("batch_size: 64", "batch_size: 32"))
    _run("tune", "--resume", study, "--trials", 2)
    assert len(_table(study)) == 2


def test_relative_paths_of_set_are_those_of_the_folder_in_which_the_study_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.csv").write_text("a,y\n" + "1,0\n2,1\n" * 20)
    config = _config(tmp_path)
    text = config.read_text().replace("blobs: {rows: 400, features: 8, classes: 3, spread: 3.0}", "csv: y.csv")
    config.write_text(text.replace("{x: []}", "{x: [{columns: [a]}]}"))
    for folder in ("here", "far/away"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    command("tune", config, "--workers", 0, "--runs-dir", tmp_path / "runs", "--set", "data.source.csv=../x.csv")
    monkeypatch.chdir(tmp_path / "far/away")
    study = find_study("latest", tmp_path / "runs")
    source = open_config(reopened(study), fold=1, runs_dir=tmp_path / "runs")
    assert source.data is not None
    assert source.data_folder / source.data.source.path == tmp_path / "here/../x.csv"  # type: ignore[attr-defined]
    member = study.member(1)
    member.path.mkdir()
    member.write_trial(TrialFacts(number=1, status="completed", values=[0.5]))
    assert f"csv: {tmp_path}/x.csv" in command("studies", "best", study.path)


def test_pruned_trials_can_go_on(tmp_path: Path) -> None:
    config = _config(tmp_path, trials=7, epochs=9)
    text = config.read_text().replace("  trials: 7\n", "  trials: 7\n  keep: all\n  pruner: {asha: {factor: 3}}\n")
    config.write_text(text)
    study, _ = _tune(config)
    pruned = [row for row in _table(study) if row[1] == "pruned"]
    assert pruned
    assert all(row[4] in (1, 3) and row[5] == f"pruned after epoch {row[4]}" for row in pruned)
    number = pruned[0][0]
    _run("train", "--resume", f"{study}/{number}")
    assert len(_table(study)[number - 1][6]) == 9


def test_what_tune_refuses(tmp_path: Path) -> None:
    config = _config(tmp_path)
    config.write_text(config.read_text().replace("batch_size: 32", "batch_size: 32, distribute: ddp"))
    said = _run("tune", config, "--runs-dir", tmp_path / "runs", code=2).stderr
    assert "distribute: a trial is trained by one process" in said
    config.write_text(config.read_text().partition("tune:")[0].replace(", distribute: ddp", ""))
    assert "no 'tune' section" in _run("tune", config, "--runs-dir", tmp_path / "runs", code=2).stderr
    assert "there is no study 'x'" in _run("tune", "--resume", "x", code=2).stderr


def test_an_interrupted_command_alone_says_how_to_go_on(tmp_path: Path) -> None:
    config = _config(tmp_path, trials=2, epochs=2000)
    again = [*COMMAND, "tune", str(config), "--workers", "2", "--threads", "1", "--runs-dir", str(tmp_path / "runs")]
    process = subprocess.Popen(again, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    _wait(lambda: len([*tmp_path.glob("runs/*/trials/*/history.csv")]) == 2, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=100)
    assert process.returncode == 130, said
    (study,) = (tmp_path / "runs").glob("2*")
    assert said.splitlines()[1:] == [
        "error: interrupted; 0 of 2 trials are done, and those that were trained are saved",
        f"  hint: go on: kerascli tune --resume {study}",
    ]
