"""Runs whose data has moved (`--data`), and runs that were killed: their last checkpoint is used, and said so."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from kerascli.cli.commands import app
from kerascli.config.load import open_config
from kerascli.data.moved import moved
from kerascli.data.section import parse_data
from kerascli.foundation.errors import ConfigError
from kerascli.foundation.events import BatchEnd, EpochEnd
from kerascli.runs.index import find_run
from kerascli.workflow.fitting import saver
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.train import start
from tests.support.runs_harness import edit_facts, train, write
from tests.workflow.test_workflow import FLOWERS, write_flowers


@pytest.fixture(scope="module")
def garden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("garden")
    for name, seed in (("flowers.csv", 1), ("others.csv", 2)):
        write_flowers(folder / name, 60, seed)
    train(write(folder, FLOWERS.replace("epochs: 4", "epochs: 2")), folder / "runs", name="one")
    return folder


@pytest.fixture
def here(garden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the runs alone: the data is in 'elsewhere'."""
    shutil.copytree(garden / "runs", tmp_path / "here/runs")
    shutil.copytree(garden, tmp_path / "elsewhere", ignore=shutil.ignore_patterns("runs"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def called(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments])


def failed(*arguments: str) -> str:
    error = called(*arguments).exception
    assert error is not None
    faults = getattr(error, "faults", ())
    return "\n".join(line for fault in faults for line in fault.lines())


@pytest.mark.parametrize("command", [["evaluate", "one"], ["predict", "one", "test"], ["train", "--resume", "one"]])
def test_missing_data_of_a_copied_run_says_how_to_name_its_place(command: list[str], here: Path) -> None:
    said = failed(*command)
    assert "no such file" in said
    assert "--data PATH" in said


def test_data_at_another_place_gives_the_same_results(
    garden: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = called("evaluate", "one", "--json", "--data", "../elsewhere")
    rows = called("predict", "one", "test", "--data", "../elsewhere")
    monkeypatch.chdir(garden)
    expected, known = called("evaluate", "one", "--json"), called("predict", "one", "test")
    assert found.exit_code == rows.exit_code == 0
    assert found.stdout == expected.stdout
    assert rows.stdout == known.stdout
    assert "has changed" not in found.stderr


def test_digests_are_compared_wherever_the_data_is(here: Path) -> None:
    write_flowers(here / "elsewhere/others.csv", 60, 9)
    assert "the SHA-256 of 'others.csv' is" in called("evaluate", "one", "--data", "../elsewhere").stderr
    assert "the data has changed since the run began" in failed("train", "--resume", "one", "--data", "../elsewhere")


def test_a_resumed_run_remembers_the_new_place(here: Path) -> None:
    done = called("train", "--resume", "one", "--data", "../elsewhere", "--set", "fit.epochs=3")
    assert done.exit_code == 0, done.exception
    assert called("evaluate", "one").exit_code == 0
    assert len(find_run("one", Path("runs")).history()) == 3


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["evaluate", "one", "--data", "nowhere"], "--data nowhere: there is no such file or folder"),
        (["evaluate", "one", "--data", "runs"], "--data runs: there is no 'flowers.csv' in it"),
        (["evaluate", "one", "--data", "../elsewhere/flowers.csv"], "there is no 'flowers.csv' in it"),
        (["predict", "one", "../elsewhere/others.csv", "--data", "../elsewhere"], "--data has no effect"),
        (["train", "x.yaml", "--data", "../elsewhere"], "--data cannot be used with a config"),
    ],
)
def test_a_place_without_the_data_is_refused(arguments: list[str], text: str, here: Path) -> None:
    assert text in failed(*arguments)


def test_the_place_is_the_folder_of_the_files_or_the_only_one_itself(tmp_path: Path) -> None:
    for name in ("new/a/x.csv", "new/b/x.csv", "pets/cat/1.png", "kept/pets/cat/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x\n1\n")

    def paths(source: Mapping[str, object], place: str) -> object:
        spec = parse_data({"source": source, "inputs": {"x": []}})
        found = moved(spec.source, tmp_path / place, tmp_path / "runs/one").dump()
        assert isinstance(found, dict)
        (settings,) = found.values()
        return {key: value for key, value in settings.items() if isinstance(value, str) and value.startswith("..")}

    both = {"csv": {"path": "../../old/a/x.csv", "test": "../../old/b/x.csv"}}
    assert paths(both, "new") == {"path": "../../new/a/x.csv", "test": "../../new/b/x.csv"}
    assert (
        paths({"csv": "d/x.csv"}, "new/a/x.csv") == paths({"csv": "d/x.csv"}, "new/a") == {"path": "../../new/a/x.csv"}
    )
    folder = {"image_folder": "../pets"}
    assert paths(folder, "pets") == {"directory": "../../pets"}
    assert paths(folder, "kept") == {"directory": "../../kept/pets"}
    with pytest.raises(ConfigError, match="the source 'blobs' has no files"):
        moved(parse_data({"source": "blobs", "inputs": {"x": []}}).source, tmp_path, tmp_path)


# Killed runs


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that was abandoned in its second epoch, like a kill."""
    folder = tmp_path_factory.mktemp("killed")
    for name, seed in (("flowers.csv", 1), ("others.csv", 2)):
        write_flowers(folder / name, 60, seed)
    config = write(folder, FLOWERS)
    events = start(open_config(config), Options(runs_dir=folder / "runs", name="killed"))
    epochs = 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(saver, "FIRST_SECONDS", -1.0)
        for event in events:
            epochs += isinstance(event, EpochEnd)
            if epochs == 1 and isinstance(event, BatchEnd):
                break
        events.close()  # type: ignore[attr-defined]
    assert find_run("killed", folder / "runs").status() == "killed"
    return folder


SAID = "is not finished (killed): these are the weights of its last checkpoint, after epoch 1"


def test_a_killed_run_is_used_by_its_last_checkpoint(killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(killed)
    evaluated = called("evaluate", "killed")
    assert evaluated.exit_code == 0, evaluated.exception
    assert [line for line in evaluated.stderr.splitlines() if SAID in line] == [
        f"warning: the training of 'runs/{find_run('killed', Path('runs')).folder_name}' {SAID}"
    ]
    predicted = called("predict", "killed", "test")
    assert predicted.exit_code == 0
    assert len(predicted.stdout.splitlines()) == 61
    exported = called("export", "killed", "--format", "safetensors", "-o", "w.safetensors")
    assert exported.exit_code == 0, exported.exception
    assert SAID in exported.stderr


def test_the_weights_are_those_after_the_epoch(killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same training, stopped after an epoch, gives the same predictions."""
    monkeypatch.chdir(killed)
    train(write(killed, FLOWERS.replace("epochs: 4", "epochs: 1")), killed / "whole", name="whole")
    one, other = (
        called("predict", name, "others.csv", "-o", f"{name}.npy", "--runs-dir", folder)
        for name, folder in (("killed", "runs"), ("whole", "whole"))
    )
    assert one.exit_code == other.exit_code == 0
    np.testing.assert_array_equal(np.load("killed.npy"), np.load("whole.npy"))


def test_a_run_killed_before_its_first_checkpoint_says_so(here: Path) -> None:
    run = find_run("one", Path("runs"))
    shutil.rmtree(run.path / "checkpoints")
    edit_facts(run.path, status="running")
    assert "it has no checkpoint; resume it: kerascli train --resume" in failed("evaluate", "one")
