"""`tune` over folds: a trial has a run for each fold, its objective is their mean, and it is pruned between folds."""

import csv
import io
import shutil
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from kerascli.config.sections.tune import Objective
from kerascli.foundation.errors import ConfigError, StorageError
from kerascli.runs.index import find_run
from kerascli.studies.folder import Study, TrialFacts, find_study
from kerascli.studies.sampling import by_epoch, by_fold
from kerascli.workflow.tuning import worker
from kerascli.workflow.tuning.worker import Worker, run_study
from tests.support.runs_harness import command, outcome, write

CONFIG = """
seed: 2
flags: {units: 4}
data:
  source: {csv: {path: rows.csv}}
  split: {folds: 3}
  inputs: {x: [{columns: [a, b]}]}
  targets: {y: []}
model: {layers: [{dense: {units: $units, activation: relu}}, {dense: {units: 3, activation: softmax}}]}
compile: {loss: sparse_categorical_crossentropy, optimizer: {adam: 0.05}, metrics: [accuracy]}
fit: {epochs: 2, batch_size: 16, validation_data: validation}
tune:
  objective: val_loss
  trials: 3
  flags: {units: [1, 4, 16]}
  keep: all
"""
LOSS = Objective("val_loss")


def table(folder: Path) -> None:
    random = np.random.default_rng(0)
    lines = [f"{a:.4f},{b:.4f},{n % 3}" for n in range(60) for a, b in [random.normal(size=2) + n % 3]]
    (folder / "rows.csv").write_text("\n".join(["a,b,y", *lines, ""]))


def tuned(folder: Path, text: str = CONFIG) -> Study:
    table(folder)
    command("tune", write(folder, text), "--workers", 0, "--runs-dir", folder / "runs")
    (path,) = (path for path in (folder / "runs").iterdir() if (path / "study.yaml").is_file())
    return Study(path)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    found = tuned(tmp_path_factory.mktemp("tuned"))
    assert not Worker(found).work()
    return found


def trial(study: Study, number: int) -> TrialFacts:
    facts = study.member(number).trial()
    assert facts is not None
    return facts


def test_the_objective_of_a_trial_is_the_mean_of_its_folds(study: Study) -> None:
    for number in (1, 2, 3):
        assert trial(study, number).status == "completed", trial(study, number).reason
        runs = [find_run(f"{study.path.name}/{number}/fold-{fold}", study.path.parent) for fold in (1, 2, 3)]
        values = [min(row["val_loss"] for row in run.history()) for run in runs]
        assert trial(study, number).values == [pytest.approx(fmean(values), rel=1e-12)]
        assert trial(study, number).epochs == 6
    assert len({tuple(trial(study, number).values) for number in (1, 2, 3)}) > 1


def test_the_runs_of_a_trial_are_those_of_train(study: Study, tmp_path: Path) -> None:
    folder = study.path.parent.parent
    sets = ["--set", "data.split.fold=2", "--set", "tune=null", "--set", "compile.jit_compile=false"]
    command("train", folder / "config.yaml", *sets, "--runs-dir", tmp_path)
    assert outcome(find_run("latest", tmp_path)) == outcome(find_run(f"{study.path.name}/1/fold-2", study.path.parent))


def test_a_study_predicts_the_mean_of_the_folds_of_its_best_trial(study: Study) -> None:
    folder = study.path.parent.parent
    best = min((1, 2, 3), key=lambda number: trial(study, number).values)

    def read(what: object) -> np.ndarray:
        rows = csv.DictReader(io.StringIO(command("predict", what, folder / "rows.csv")))
        return np.array([[float(row[f"p({label})"]) for label in range(3)] for row in rows])

    each = [read(run.path) for run in study.member(best).runs]
    assert len(each) == 3
    np.testing.assert_allclose(read(study.path), np.mean(each, axis=0), rtol=1e-5)
    np.testing.assert_allclose(read(f"{study.path}/{best}"), np.mean(each, axis=0), rtol=1e-5)
    with pytest.raises(ConfigError, match="is a study"):
        command("evaluate", study.path)
    with pytest.raises(ConfigError, match="is a trial"):
        command("train", "--resume", f"{study.path}/{best}")


def test_commands_for_studies_take_no_trial_and_keep_those_that_have_begun(study: Study, tmp_path: Path) -> None:
    for name in ("show", "stop", "best"):
        with pytest.raises(ConfigError, match="is a trial of a study") as caught:
            command("studies", name, f"{study.path}/1")
        assert f"kerascli studies show {study.path} " in str(caught.value.faults[0].hint)
    study.stop("by hand")
    with pytest.raises(ConfigError, match="--trials 2: 3 trials of the study have begun"):
        command("tune", "--resume", study.path, "--trials", 2)
    assert study.stopped() == "by hand"  # what was refused changes nothing
    study.go_on()
    assert Study(study.path).facts.trials == 3
    command("plot", f"{study.path}", "-o", tmp_path / "curves.svg")
    assert "<!-- 0001/trials/fold-3 -->" in (tmp_path / "curves.svg").read_text()


def test_a_killed_trial_goes_on_with_the_same_bits(study: Study, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    again = tuned(tmp_path)
    events_of = Worker._events
    for most in (5, 12, 9, 17, 30):

        def some(self, *arguments, most=most):
            for count, event in enumerate(events_of(self, *arguments)):
                if count == most:
                    raise Killed
                yield event

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(worker.Worker, "_events", some)
            with pytest.raises(Killed):
                Worker(Study(again.path)).work()
    assert not Worker(Study(again.path)).work()
    for number in (1, 2, 3):
        assert trial(again, number).values == trial(study, number).values
        for one, other in zip(again.member(number).runs, study.member(number).runs, strict=True):
            assert outcome(one) == outcome(other)


def test_a_trial_is_pruned_between_folds(tmp_path: Path) -> None:
    text = CONFIG.replace("keep: all", "pruner: {median: {min_epochs: 0, min_trials: 1}}").replace(
        "trials: 3", "trials: 6"
    )
    pruned = tuned(tmp_path, text.replace("seed: 2", "seed: 3"))
    assert not Worker(pruned).work()
    kept: list[list[float]] = []
    for number in range(1, 7):
        member, facts = pruned.member(number), trial(pruned, number)
        means = [-value for value in by_fold(member, LOSS, "min")]
        expected = next(
            (
                count
                for count in (1, 2)
                if (others := [each[count - 1] for each in kept if len(each) >= count])
                and means[count - 1] > np.median(np.array(others, float))
            ),
            3,
        )
        assert len(member.runs) == expected
        assert facts.status == ("completed" if expected == 3 else "pruned"), facts.reason
        assert facts.reason == (None if expected == 3 else f"pruned after fold {expected}")
        kept.append(means)
    assert {len(each) for each in kept} >= {1, 3}


def test_asha_is_refused_over_folds(tmp_path: Path) -> None:
    table(tmp_path)
    with pytest.raises(ConfigError, match="pruner: over folds it is median"):
        command("validate", write(tmp_path, CONFIG.replace("keep: all", "pruner: asha")))


def test_the_mean_of_the_first_folds_is_that_of_their_values(study: Study) -> None:
    values = [by_epoch(run.rows(), LOSS, "min")[-1] for run in study.member(1).runs]
    means = by_fold(study.member(1), LOSS, "min")
    assert means == [pytest.approx(np.mean(values[:count])) for count in (1, 2, 3)]  # pyright: ignore[reportArgumentType, reportCallIssue]


def test_a_full_disk_stops_claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, usage = tuned(tmp_path), shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10**7))
    with pytest.raises(StorageError, match=r"only 10 MB of disk space are left: no further trial is started"):
        Worker(study).work()
    assert study.trials() == []
    assert not any(member.is_claimed() for member in study.members())


def test_a_command_ends_when_all_its_workers_have_failed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    study = tuned(tmp_path)
    write(tmp_path, CONFIG.replace("epochs: 2", "epochs: 3"))
    assert run_study(study, 2, lambda: None) == 2
    assert capfd.readouterr().err.count("the config has changed since the study began") == 2


BASED = """
name: NAME
data: {source: {blobs: {rows: 40, features: 2, classes: 2}}, inputs: {x: []}, targets: {y: []}}
model: {shared: SHARED, layers: [FIRST, {dense: {units: 2, activation: softmax}}]}
compile: {loss: sparse_categorical_crossentropy}
fit: {epochs: 1}
tune: {objective: loss, trials: 2, set: {fit.batch_size: [8, 16]}}
"""


def test_a_base_is_a_run_in_the_folder_of_runs(tmp_path: Path) -> None:
    def config(name: str, shared: str, first: str) -> Path:
        return write(tmp_path, BASED.replace("NAME", name).replace("SHARED", shared).replace("FIRST", first))

    command("train", config("teacher", "{}", "{dense: {units: 4, name: d}}"), "--runs-dir", tmp_path / "runs")
    taught = config("taught", "{base: {run: teacher, until: d}}", "base")
    command("tune", taught, "--workers", 0, "--runs-dir", tmp_path / "runs")
    study = find_study("taught", tmp_path / "runs")
    assert not Worker(study).work()
    assert [each.status for each in study.trials()] == ["completed"] * 2
