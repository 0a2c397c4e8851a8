"""Options of `train` that are short for `--set`, and the one for silence."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from kerascli.cli.commands import app
from kerascli.foundation.errors import ConfigError
from kerascli.runs.index import find_run
from tests.support.runs_harness import command, outcome, write

CONFIG = """
data: {source: {blobs: {rows: 40, features: 2, classes: 2}}, inputs: {x: []}, targets: {y: []}}
model: {layers: [{dense: {units: 2, activation: softmax}}]}
compile: {loss: sparse_categorical_crossentropy}
fit: {epochs: 3, batch_size: 8}
"""


def test_they_do_what_set_does(tmp_path: Path) -> None:
    config = write(tmp_path, CONFIG)
    short = ["--epochs", "2", "--batch-size", "16", "--seed", "7"]
    command("train", config, "--runs-dir", tmp_path / "short", *short)
    long = ["--set", "fit.epochs=2", "--set", "fit.batch_size=16", "--set", "seed=7"]
    command("train", config, "--runs-dir", tmp_path / "long", *long)
    first, second = (find_run("latest", tmp_path / name) for name in ("short", "long"))
    assert outcome(first) == outcome(second)
    resolved = yaml.safe_load(first.resolved())
    assert (resolved["seed"], resolved["fit"]["epochs"], resolved["fit"]["batch_size"]) == (7, 2, 16)


def test_a_resumed_run_takes_epochs_alone(tmp_path: Path) -> None:
    config, runs = write(tmp_path, CONFIG), ["--runs-dir", tmp_path / "runs"]
    command("train", config, "--seed", 1, "--epochs", 1, *runs)
    command("train", "--resume", "latest", "--epochs", 2, *runs)
    assert len(find_run("latest", tmp_path / "runs").history()) == 2
    with pytest.raises(ConfigError, match="a resumed run keeps its settings"):
        command("train", "--resume", "latest", "--seed", 2, *runs)


def test_quiet_prints_results_alone(tmp_path: Path) -> None:
    arguments = ["train", str(write(tmp_path, CONFIG)), "--seed", "1", "-q", "--runs-dir", str(tmp_path / "runs")]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.stdout.startswith("run   ")
    assert not result.stderr


def test_verbose_prints_choices_checkpoints_and_times(tmp_path: Path) -> None:
    arguments = ["train", str(write(tmp_path, CONFIG)), "--seed", "1", "-v", "--runs-dir", str(tmp_path / "runs")]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    said = result.stderr
    for words in ("device: ", "threads: ", "execution mode: ", "checkpoint: step 15 (the last epoch)\n"):
        assert words in said, words
    command("train", "--resume", "latest", "--epochs", 4, "-v", "--runs-dir", tmp_path / "runs")
    for option in ("-q", "--json"):
        with pytest.raises(ConfigError, match="cannot be used with --verbose"):
            command("train", tmp_path / "config.yaml", "-v", option)


def test_details_are_for_verbose_alone(tmp_path: Path) -> None:
    arguments = ["train", str(write(tmp_path, CONFIG)), "--seed", "1", "--runs-dir", str(tmp_path / "runs")]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert not any(word in result.stderr for word in ("threads: ", "checkpoint"))


def test_a_smoke_test_of_a_later_epoch_trains_that_one_alone(tmp_path: Path) -> None:
    config = write(tmp_path, CONFIG.replace("epochs: 3", "epochs: 9, initial_epoch: 4"))
    result = CliRunner().invoke(app, ["train", str(config), "--smoke"], catch_exceptions=False)
    assert result.stderr.count("fit: 2 steps") == 1


def test_a_smoke_test_has_no_progress_to_leave_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--quiet cannot be used with --smoke"):
        command("train", write(tmp_path, CONFIG), "--smoke", "-q")


def test_what_is_printed_is_kept_in_the_run_also_of_a_resume(tmp_path: Path) -> None:
    config, runs = write(tmp_path, CONFIG), ["--runs-dir", str(tmp_path / "runs")]
    printed = []
    for arguments in (["train", str(config), *runs], ["train", "--resume", "latest", "--set", "fit.epochs=4", *runs]):
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0
        printed.append(result.stderr + result.stdout)
    assert find_run("latest", tmp_path / "runs").printed() == {"Console": "".join(printed)}


def test_nothing_that_is_printed_is_lost_to_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    config, runs = write(tmp_path, CONFIG), ["--runs-dir", str(tmp_path / "runs")]
    command("train", config, *runs)
    run = find_run("latest", tmp_path / "runs")
    (run.path / "logs" / "console.txt").unlink()
    (run.path / "logs").rmdir()
    (run.path / "logs").write_bytes(b"")
    assert str(run.path) in command("train", "--resume", "latest", "--set", "fit.epochs=4", *runs)
