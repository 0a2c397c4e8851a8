"""A run is trained on in a new run: with its weights and its preprocessing, on its rows or on others."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from kerascli.cli.commands import app
from kerascli.config.data import load_config_data
from kerascli.config.load import open_config
from kerascli.data.pipeline.learned_state import load_learned
from kerascli.foundation.errors import ConfigError, DataError, FileRefused, KerasCliError
from kerascli.foundation.events import BatchEnd, Event, Note
from kerascli.runs.index import find_run
from kerascli.runs.record import RunRecord
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.further_training import further_config, train_further
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from kerascli.workflow.rows.command_rows import rows_of
from tests.support.processes import forked_kerascli, run_on
from tests.support.runs_harness import command, edit_facts, go_on, outcome, train, write

CONFIG = """
name: january
data:
  source: {csv: {path: january.csv}}
  split: {validation: 0.2, test: 0.2}
  inputs:
    numbers: [{columns: [area, age]}, {impute: median}, normalization]
    town: [{string_lookup: {output_mode: one_hot}}]
    note: [{text_vectorization: {output_sequence_length: 4}}]
  targets: {price: [log, normalization]}
model:
  layers:
    - embedding: {inputs: note, input_dim: 20, output_dim: 3, name: words}
    - flatten
    - concatenate: [numbers, town, flatten]
    - dense: {units: 5, activation: tanh}
    - dense: 1
compile: {loss: mse, optimizer: {adam: 0.01}}
fit: {epochs: 3, batch_size: 8, validation_data: validation}
"""
TOWNS, NOTES = ("Altdorf", "Burgau", "Celle"), ("old house", "new house garden", "garage", "house by the lake")


def rows(folder: Path, name: str, seed: int, towns: Sequence[str] = TOWNS) -> Path:
    """Write a table of sixty sales; those of a later seed are of larger houses."""
    random = np.random.default_rng(seed)
    lines = ["area,age,town,note,price"]
    for number in range(60):
        area, age = random.integers(50, 150) + 40 * seed, random.integers(0, 80)
        town, note = towns[number % len(towns)], NOTES[number % len(NOTES)]
        lines.append(f"{area},{'' if number == 7 else age},{town},{note},{area * 2000 - age * 300}")
    return write(folder, "\n".join([*lines, ""]), name)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("months")
    rows(folder, "january.csv", 0)
    return train(write(folder, CONFIG), folder / "runs", ["seed=4"])[0]


@pytest.fixture
def january(trained: RunRecord, tmp_path: Path) -> RunRecord:
    """The run in a folder of its own, with its rows and those of the next month."""
    shutil.copytree(trained.path.parents[1], tmp_path / "here")
    rows(tmp_path / "here", "february.csv", 1)
    return RunRecord.open(tmp_path / "here" / "runs" / trained.folder_name)


def further(run: RunRecord, *sets: str, **options: Any) -> tuple[RunRecord, list[Event]]:
    """Train a run on to the end; return the new run and its events."""
    events = list(train_further(run, Options(runs_dir=run.path.parent, **options), sets, None))
    return find_run("latest", run.path.parent), events


def february(run: RunRecord) -> Path:
    return run.path.parents[1] / "february.csv"


def notes(events: Sequence[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Note)]


def test_what_was_fitted_is_kept_to_the_bit_on_other_rows(january: RunRecord) -> None:
    run, events = further(january, "fit.epochs=2", data=february(january))
    assert run.preprocessing() == january.preprocessing()
    assert len(run.history()) == 2
    assert list(run.facts()["data"]) == ["february.csv"]
    assert notes(events)[:2] == [
        f"new run with the config and the weights of {january.path}; the optimizer starts anew",
        "preprocessing: vocabularies, means and the like are kept; --relearn fits them to the rows",
    ]


def test_relearned_preprocessing_is_that_of_a_new_training_on_the_rows(january: RunRecord) -> None:
    run, events = further(january, data=february(january), relearn=True)
    config = write(january.path.parents[1], CONFIG.replace("january.csv", "february.csv"), "february.yaml")
    expected, learned = (
        load_config_data(open_config(config, sets=["seed=4"])).learned,
        load_learned(run.preprocessing()),
    )
    assert expected.keys() == learned.keys()
    for key, state in expected.items():
        assert state.facts == learned[key].facts or key == "columns"
        for name, values in state.arrays.items():
            assert values.tobytes() == learned[key].arrays[name].tobytes(), key
    assert run.preprocessing() != january.preprocessing()
    assert notes(events)[1] == "preprocessing: fitted to the training rows anew (--relearn), not that of the weights"


def test_without_a_learning_rate_predictions_stay_as_they_were(january: RunRecord) -> None:
    run, _ = further(january, "compile.optimizer.adam.learning_rate=1e-30", data=february(january))
    assert outcome(run)[1] == outcome(january)[1]
    before, after = (predict_run(open_run(each), str(february(january))).outputs["dense_1"] for each in (january, run))
    np.testing.assert_array_equal(before, after)


def test_two_runs_of_plain_gradient_descent_are_one(january: RunRecord) -> None:
    """It has no optimizer state, and the rows are in the order of the file: the second run does what one run would."""
    config, runs = january.path.parents[1] / "config.yaml", january.path.parents[1] / "plain"
    sets = ["seed=4", "compile.optimizer={sgd: 0.01}", "fit.shuffle=false"]
    whole, _ = train(config, runs, [*sets, "fit.epochs=5"])
    half, _ = train(config, runs, [*sets, "fit.epochs=2"])
    run, _ = further(half, "fit.epochs=3")
    assert outcome(run)[1] == outcome(whole)[1]
    losses = [row["loss"] for row in (*half.history(), *run.history())]
    assert losses == [row["loss"] for row in whole.history()]


def test_the_run_records_where_it_is_from_and_stands_alone(january: RunRecord, capfd: pytest.CaptureFixture) -> None:
    run, _ = further(january, data=february(january))
    assert run.name == "january"
    assert run.facts()["init_from"]["source"] == str(january.path)
    assert run.facts()["init_from"]["sha256"] == january.facts()["files"]["model.safetensors"]
    assert yaml.safe_load(run.resolved())["model"]["init_from"]["run"] == f"../{january.folder_name}"
    assert f"init_from.source {january.path}" in " ".join(command("runs", "show", run.path).split())
    again, _ = further(run, "fit.epochs=1")
    assert again.facts()["init_from"]["source"] == str(run.path)
    shutil.rmtree(january.path)
    shutil.rmtree(run.path)
    go_on(again, ["fit.epochs=2"])
    assert len(again.history()) == 2
    assert rows_of(open_run(again), "test", targets=True).rows == 12


@pytest.mark.parametrize("seed", [[], ["seed=9"]])
def test_rows_are_split_as_they_were_whatever_the_seed(january: RunRecord, seed: list[str]) -> None:
    run, _ = further(january, *seed)
    assert run.facts()["seed"] == (9 if seed else 4)
    tests = [
        rows_of(open_run(each), "test", targets=True).read(slice(0, 12)).targets["price"] for each in (january, run)
    ]
    np.testing.assert_array_equal(tests[0], tests[1])


def test_settings_are_those_of_the_run_and_of_the_command(january: RunRecord) -> None:
    run, _ = further(january, "fit.batch_size=16", name="next")
    old, new = (yaml.safe_load(each.resolved()) for each in (january, run))
    assert new["fit"] == {**old["fit"], "batch_size": 16}
    assert new["compile"] == old["compile"]
    assert run.name == "next"
    assert run.facts()["warnings"] == january.facts()["warnings"]


@pytest.mark.parametrize(
    ("edit", "error", "text"),
    [
        (("area,", "size,"), DataError, "february.csv: error: there is no column 'area'"),
        (("Altdorf", "Altdorf,x"), DataError, "february.csv:2"),
        (("0\n", "cheap\n"), DataError, "cheap' is not a number"),
    ],
)
def test_other_columns_are_an_error_at_their_place(
    january: RunRecord, edit: tuple[str, str], error: type[KerasCliError], text: str
) -> None:
    file = february(january)
    file.write_text(file.read_text(encoding="utf-8").replace(*edit), encoding="utf-8")
    with pytest.raises(error) as caught:
        further(january, data=file)
    assert text in "\n".join(line for fault in caught.value.faults for line in fault.lines())
    assert find_run("latest", january.path.parent).path == january.path


def test_rows_that_have_moved_are_named_by_the_same_option(january: RunRecord) -> None:
    january.path.parents[1].joinpath("january.csv").unlink()
    with pytest.raises(DataError, match=r"no such file '.*january\.csv'") as caught:
        further(january)
    assert "train take --data PATH" in str(caught.value.faults[0].hint)


def test_a_vocabulary_of_another_size_does_not_fit_the_weights(january: RunRecord) -> None:
    rows(january.path.parents[1], "february.csv", 1, [*TOWNS, "Dahlem"])
    with pytest.raises(ConfigError, match=r"input 'town': declared shape \[4\], but the data has \[5\]"):
        further(january, data=february(january), relearn=True)
    run, _ = further(january, data=february(january))  # kept, it is a vocabulary of three towns
    assert run.preprocessing() == january.preprocessing()
    [warning] = run.facts()["warnings"][len(january.facts()["warnings"]) :]
    assert warning.startswith("19% of the values in column 'town' are not in the vocabulary of training")


@pytest.mark.parametrize(
    "assignment", ["data.inputs.town=[{hashing: 3}]", "data={inputs: {town: [{hashing: 3}]}}", "data.shared={}"]
)
def test_kept_preprocessing_cannot_be_changed(january: RunRecord, assignment: str) -> None:
    with pytest.raises(ConfigError, match="changes pipelines, whose fitted state is kept"):
        further(january, assignment)


@pytest.mark.parametrize(("status", "hint"), [("killed", "--resume continues it"), ("interrupted", "--resume")])
def test_an_unfinished_run_is_to_be_resumed(january: RunRecord, status: str, hint: str) -> None:
    edit_facts(january.path, status="running" if status == "killed" else status)
    with pytest.raises(ConfigError, match=rf"has not ended \(it is {status}\)") as caught:
        further(january)
    assert hint in str(caught.value.faults[0].hint)
    with january.locked():
        edit_facts(january.path, status="running")
        with pytest.raises(ConfigError, match=r"has not ended \(it is running\)") as caught:
            further(january)
    assert caught.value.faults[0].hint == "wait until it ends"


def test_a_run_killed_before_its_first_checkpoint_begins_with_the_same_weights(january: RunRecord) -> None:
    whole, _ = further(january)
    events = train_further(january, Options(runs_dir=january.path.parent), [], None)
    next(event for event in events if isinstance(event, BatchEnd))
    events.close()  # type: ignore[attr-defined]
    left = find_run("latest", january.path.parent)
    assert not left.checkpoints.steps()
    go_on(left)
    assert outcome(left) == outcome(whole)


def test_a_run_whose_first_weights_are_others_now_cannot_begin_again(january: RunRecord) -> None:
    events = train_further(january, Options(runs_dir=january.path.parent), [], None)
    next(event for event in events if isinstance(event, BatchEnd))
    events.close()  # type: ignore[attr-defined]
    left = find_run("latest", january.path.parent)
    go_on(january, ["fit.epochs=4"])
    with pytest.raises(FileRefused, match="have changed since the run began"):
        go_on(left)


def test_a_run_with_plugins_uses_its_own_copies(tmp_path: Path) -> None:
    plugin = write(
        tmp_path,
        "from kerascli.layers.base import Example, Layer, layer\nfrom torch import nn\n"
        "from kerascli.foundation.shapes import TensorSpec\n\n\n"
        '@layer(Example(input=(2, 3), output=(2, 3)))\nclass Passing(Layer):\n    """Return the input."""\n\n'
        "    def build(self, x: TensorSpec) -> nn.Module:\n        return nn.Identity()\n",
        "passing.py",
    )
    text = "plugins: [passing.py]\n" + CONFIG.replace("    - dense: 1\n", "    - passing\n    - dense: 1\n")
    rows(tmp_path, "january.csv", 0)
    write(tmp_path, text)
    assert forked_kerascli("train", "config.yaml", "-q", cwd=tmp_path).returncode == 0
    plugin.unlink()
    run = find_run("latest", tmp_path / "runs")
    assert forked_kerascli("train", "latest", "-q", cwd=tmp_path).returncode == 0
    new = find_run("latest", tmp_path / "runs")
    assert [code.source for code in new.plugins()] == [code.source for code in run.plugins()]
    (run.path / "plugins" / "passing.py").write_text("raise SystemExit\n", encoding="utf-8")
    refused = forked_kerascli("train", str(run.path), cwd=tmp_path)
    assert refused.returncode == FileRefused.exit_code
    assert "passing.py' is damaged" in refused.stderr


def test_phases_are_trained_again(january: RunRecord) -> None:
    config, runs = january.path.parents[1] / "config.yaml", january.path.parents[1] / "phases"
    phases = (
        "fit={epochs: null, phases: [{epochs: 1, trainable: {words: false}}, {epochs: 2, trainable: {words: true}}]}"
    )
    first, _ = train(config, runs, ["seed=4", "fit.epochs=null", phases.replace("epochs: null, ", "")])
    run, _ = further(first, data=february(january))
    assert len(run.history()) == 3
    assert run.preprocessing() == first.preprocessing()


def refusal(*arguments: object) -> tuple[str, str | None]:
    with pytest.raises(KerasCliError) as caught:
        command(*arguments)
    return caught.value.faults[0].text, caught.value.faults[0].hint


def test_the_command_tells_configs_and_runs_apart(january: RunRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(january.path.parents[1])
    said = CliRunner().invoke(app, ["train", "latest", "--data", "february.csv", "--epochs", "1", "--seed", "3"])
    assert said.exit_code == 0, said.output
    assert f"run: {Path('runs') / january.folder_name} (the latest)\nnew run with the config" in said.stderr
    assert refusal("train", "january") == (
        f"'january' means 2 runs: {january.folder_name}, {find_run('latest', Path('runs')).folder_name}",
        f"the newest is {find_run('latest', Path('runs')).folder_name}",
    )
    assert refusal("train", "config") == (
        "'config' is no file: is it the config config.yaml, or a run?",
        "write config.yaml, or the path of the run's folder",
    )  # fmt: skip
    assert refusal("train", "latset")[0] == "no run 'latset' in 'runs'; did you mean 'latest'?"
    assert "there is no file 'absent/x'" in refusal("train", "absent/x")[0]
    assert refusal("train", "latest", "--flag", "a=1")[0].startswith("--flag cannot be used with a run")
    assert refusal("train", "config.yaml", "--relearn")[0].startswith("--relearn cannot be used with a config")
    assert refusal("train", "latest", "--resume", "latest")[0].startswith("a config or a run cannot be used with")
    assert refusal("train", "--resume", "latest", "--relearn")[0].startswith("--relearn cannot be used with --resume")
    assert refusal("train", "latest", "--data", "march.csv")[0] == "--data march.csv: there is no such file or folder"
    assert refusal("train", "latest", "--smoke")[0] == "--smoke takes a config"
    shutil.copy("config.yaml", "latest")
    assert command("train", "latest", "--epochs", "1").startswith("test ")
    assert "init_from" not in find_run("latest", Path("runs")).facts()


def test_two_processes_train_a_run_on_as_one_does(january: RunRecord) -> None:
    folder, shards = january.path.parents[1], ["--set", "fit.shards=2", "-q"]
    for processes, name in (1, "one"), (2, "two"):
        ended = run_on(processes, folder, ("train", str(january.path), "--name", name, *shards))
        assert set(ended.codes) == {0}, ended.text
    one, two = (find_run(name, folder / "runs") for name in ("one", "two"))
    assert outcome(one) == outcome(two)
    assert len(two.facts()["processes"]) == 2


def test_the_config_of_the_new_run_is_checked_before_anything_is_written(january: RunRecord) -> None:
    config = further_config(january, Options(runs_dir=january.path.parent), [], None)
    assert config.init_folder(("model", "init_from")) / "x" == january.path / "x"
    assert config.learned is not None
    assert os.listdir(january.path.parent).count(january.folder_name) == 1
