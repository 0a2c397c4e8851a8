"""Commands that read a finished run's data again report if it differs from the training data."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from kerascli.cli.commands import app
from tests.support.runs_harness import edit_facts, train, write
from tests.workflow.test_workflow import FLOWERS, write_flowers

ONE_EPOCH = FLOWERS.replace("epochs: 4", "epochs: 1")
PHASES = ONE_EPOCH.replace(
    "validation_split: 0.2}",
    "validation_split: 0.2, phases: [{}, {data: {source: {csv: {path: more.csv, test: others.csv}}}}]}",
)


@pytest.fixture(scope="module")
def garden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs, one of them in phases with their own data, to be copied."""
    folder = tmp_path_factory.mktemp("garden")
    for name, seed in (("flowers.csv", 1), ("others.csv", 2), ("more.csv", 3)):
        write_flowers(folder / name, 60, seed)
    train(write(folder, ONE_EPOCH), folder / "runs", name="one")
    train(write(folder, PHASES), folder / "runs", name="phases")
    return folder


@pytest.fixture
def here(garden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    shutil.copytree(garden, folder)
    monkeypatch.chdir(folder)
    return folder


def called(*arguments: str) -> Result:
    done = CliRunner().invoke(app, [*arguments])
    assert done.exit_code == 0, done.exception
    return done


def digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]


@pytest.mark.parametrize("command", [["evaluate"], ["predict"]])
def test_a_file_that_was_changed_is_named_with_both_digests(command: list[str], here: Path) -> None:
    before = digest("others.csv")
    write_flowers(here / "others.csv", 60, 9)
    done = called(*command, "one", "test")
    assert done.stderr.splitlines()[0] == (
        "warning: the data has changed since the run was trained: the SHA-256 of 'others.csv' is "
        f"{digest('others.csv')}, it was {before}"
    )
    assert "flowers.csv" not in done.stderr
    assert "warning" not in done.stdout


def test_the_split_that_evaluate_chooses_is_looked_at_as_one_that_is_named(here: Path) -> None:
    write_flowers(here / "others.csv", 60, 9)
    done = called("evaluate", "one", "--json")
    assert done.stderr.count("warning: the data has changed") == 1
    assert set(json.loads(done.stdout)["results"]) == {"loss", "accuracy"}


def test_data_that_is_the_same_and_a_file_of_its_own_are_no_matter(here: Path) -> None:
    write_flowers(here / "flowers.csv", 60, 9)
    assert "warning" not in called("evaluate", "one", "others.csv").stderr
    shutil.copy(here / "more.csv", here / "flowers.csv")
    write_flowers(here / "flowers.csv", 60, 1)
    assert "warning" not in called("evaluate", "one", "test").stderr


def test_data_that_was_moved_along_is_the_same(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = here.rename(here.with_name("there"))
    monkeypatch.chdir(there)
    assert "warning" not in called("evaluate", "one", "test").stderr


def test_of_a_run_in_phases_the_last_phase_counts(here: Path) -> None:
    before = digest("more.csv")
    assert "warning" not in called("evaluate", "phases", "train").stderr
    write_flowers(here / "flowers.csv", 60, 9)  # of the first phase alone
    assert "warning" not in called("evaluate", "phases", "train").stderr
    write_flowers(here / "more.csv", 60, 9)
    said = called("evaluate", "phases", "train").stderr
    assert f"the SHA-256 of 'more.csv' is {digest('more.csv')}, it was {before}" in said


def test_a_run_that_recorded_no_digest_is_not_evaluated(here: Path) -> None:
    [run] = (here / "runs").glob("*-one")
    edit_facts(run, data={})
    assert "warning" not in called("evaluate", "one", "test").stderr
