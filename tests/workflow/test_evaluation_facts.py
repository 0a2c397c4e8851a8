"""Results of evaluations that a run keeps as numbers: beside scikit-learn's, after a resume, on the page."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kerascli.foundation.disk import locks
from kerascli.foundation.errors import FileRefused
from kerascli.model.runtime.graph import GraphOutcome
from kerascli.report.page.run_page import RunPage
from kerascli.runs.evaluations import StoredEvaluation, evaluation_name, evaluations, write_evaluation
from kerascli.runs.record import RunRecord
from kerascli.training.objectives.train_step import GraphStep
from kerascli.workflow.evaluation import last_evaluation
from tests.support.needs import library
from tests.support.runs_harness import TWO_CLASSES, command, go_on, train, write

NUMBERS = """
seed: 3
data:
  source: {csv: {path: t.csv}}
  split: {test: 0.3, seed: 1}
  inputs: {x: [{columns: [x]}]}
  targets: {y: [normalization]}
model: {layers: [{dense: 1}]}
compile: {loss: mse, optimizer: {adam: 0.05}, metrics: [mae]}
fit: {epochs: 2, batch_size: 16}
"""


def kept(run: RunRecord, name: str) -> StoredEvaluation:
    [found] = [each for each in evaluations(run) if each.name == name]
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("two")
    return train(write(folder, TWO_CLASSES), folder / "runs")[0]


@pytest.fixture(scope="module")
def predictions(run: RunRecord) -> tuple[np.ndarray, np.ndarray]:
    """True classes and probabilities of the test rows, as `predict` prints them."""
    file = run.path.parent / "p.csv"
    command("predict", run.path, "test", "--keep", "y", "-o", file)
    rows = np.genfromtxt(file, delimiter=",", names=True)
    names = [*(rows.dtype.names or ())]
    return rows[names[0]].astype(int), rows[names[-1]].astype(np.float32)


def test_training_keeps_both_splits(run: RunRecord) -> None:
    assert [each.name for each in evaluations(run)] == ["test", "validation"]
    assert all(each.is_current for each in evaluations(run))
    assert kept(run, "test").facts["logs"] == run.facts()["results"]["test"]
    last = run.history()[-1]
    assert kept(run, "validation").facts["logs"]["loss"] == pytest.approx(last["val_loss"], rel=1e-6)


def test_thresholds_are_those_of_scikit_learn(run: RunRecord, predictions: tuple[np.ndarray, np.ndarray]) -> None:
    metrics = library("sklearn.metrics")
    truth, probability = predictions
    output: dict[str, Any] = kept(run, "test").facts["outputs"]["out"]
    assert output["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth, probability), abs=1e-9)
    assert output["average_precision"] == pytest.approx(metrics.average_precision_score(truth, probability), abs=1e-9)
    assert output["matrix"] == metrics.confusion_matrix(truth, probability > 0.5).tolist()
    assert output["negatives_positives"] == [(truth == 0).sum(), truth.sum()]
    for cut, hits, alarms in output["cuts"]:
        at = metrics.confusion_matrix(truth, probability > np.float32(cut), labels=[0, 1])
        assert (hits, alarms) == (at[1, 1], at[0, 1])


def test_a_cut_is_what_evaluate_says_of_this_threshold(run: RunRecord) -> None:
    cuts = kept(run, "test").facts["outputs"]["out"]["cuts"]
    for cut, hits, alarms in cuts[:: len(cuts) // 5]:
        facts = json.loads(command("evaluate", run.path, "test", "--threshold", repr(cut), "--json"))
        positives = facts["chosen"]["out"]["positives"]
        assert positives == hits + alarms


def test_an_interval_holds_its_metric(run: RunRecord) -> None:
    facts = kept(run, "test").facts
    assert facts["intervals"].keys() == {"accuracy", "auc"}
    for name, (low, high) in facts["intervals"].items():
        assert low < facts["logs"][name] < high
    # the normal approximation of a binomial; 200 resamples of 100 rows leave about a tenth of its width
    share, rows = facts["logs"]["accuracy"], facts["rows"]
    half = 1.96 * np.sqrt(share * (1 - share) / rows)
    assert facts["intervals"]["accuracy"] == pytest.approx([share - half, share + half], abs=0.35 * half)


def test_the_worst_rows_have_the_largest_losses(run: RunRecord, predictions: tuple[np.ndarray, np.ndarray]) -> None:
    truth, probability = predictions
    losses = -np.where(truth == 1, np.log(probability), np.log(1 - probability))
    worst = kept(run, "test").facts["worst"]
    assert [row["row"] for row in worst] == (np.argsort(-losses, kind="stable")[:20] + 1).tolist()
    assert [row["true"] for row in worst] == [str(truth[row["row"] - 1]) for row in worst]


def test_numbers_are_in_the_units_of_the_data(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = [f"{x:.4f},{1000 + 300 * x + 10 * noise:.4f}" for x, noise in random.normal(size=(200, 2))]
    write(tmp_path, "\n".join(["x,y", *rows, ""]), "t.csv")
    run, _ = train(write(tmp_path, NUMBERS), tmp_path / "runs")
    facts = kept(run, "test").facts
    [output] = facts["outputs"].values()
    points = np.array(output["points"])
    assert len(points) == facts["rows"] == 60
    assert np.abs(points[:, 1] - points[:, 0]).mean() == pytest.approx(facts["in_units"]["y"]["mae"], rel=1e-5)
    assert sum(output["residuals"]["counts"]) == 60


def test_a_resume_makes_them_out_of_date_until_the_next_evaluation(tmp_path: Path) -> None:
    run, _ = train(write(tmp_path, TWO_CLASSES), tmp_path / "runs")
    (run.path / "evaluations" / "old.json").write_bytes((run.path / "evaluations" / "test.json").read_bytes())
    go_on(run, ["fit.epochs=4"])
    assert [each.is_current for each in evaluations(run)] == [True, True, False]
    assert "Out of date" in RunPage(run).html()


def test_evaluations_of_files_and_checkpoints_have_names_of_their_own(run: RunRecord, tmp_path: Path) -> None:
    command("evaluate", run.path, "test", "--checkpoint", "best")
    assert kept(run, "test@best").facts["checkpoint"] == "best"
    assert evaluation_name("test", None) == "test"
    assert evaluation_name("/home/ann/my data/new rows.csv, b.csv", "0123456789") == "new_rows-01234567"
    assert evaluation_name("-", "0123456789") == "--01234567"


def test_numbers_that_cannot_be_kept_are_said(run: RunRecord) -> None:
    before = (run.path / "evaluations" / "validation.json").read_bytes()
    from typer.testing import CliRunner

    from kerascli.cli.commands import app

    with locks.lock(run.path):
        result = CliRunner().invoke(app, ["evaluate", str(run.path), "validation"])
    assert result.exit_code == 0
    assert "are not kept" in result.stderr
    assert (run.path / "evaluations" / "validation.json").read_bytes() == before


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    run, _ = train(write(tmp_path, TWO_CLASSES), tmp_path / "runs")
    file = run.path / "evaluations" / "test.json"
    file.write_bytes(file.read_bytes().replace(b'"rows": 100', b'"rows": 101'))
    with pytest.raises(FileRefused, match=r"test\.json"):
        RunPage(run).html()


@pytest.mark.parametrize(
    "changes",
    [
        {"logs": None}, {"rows": "many"}, {"outputs": {"out": {"cuts": []}}}, {"outputs": {"out": {"matrix": [[1]]}}},
        {"outputs": {"out": {"points": [[1]], "residuals": {}}}}, {"groups": [1]}, {"worst": [{"loss": 1.0}]},
        {"intervals": 1}, {"split": 3},
    ],
)  # fmt: skip
def test_a_file_of_somebody_else_with_other_values_is_refused(
    run: RunRecord, tmp_path: Path, changes: dict[str, Any]
) -> None:
    copied = RunRecord(Path(shutil.copytree(run.path, tmp_path / run.folder_name)))
    write_evaluation(copied, "test", {**kept(run, "test").facts, **changes})
    with pytest.raises(FileRefused, match="'test' in evaluations/ is damaged"):
        RunPage(copied).html()


def test_the_page_has_the_numbers(run: RunRecord) -> None:
    facts, text = kept(run, "test").facts, RunPage(run).html()
    assert f"Evaluation: test, {facts['rows']} rows" in text
    for row in facts["outputs"]["out"]["classes"]:
        assert f"{row['precision']:.4f}" in text
    cuts = re.search(r'data-cuts="([^"]*)"', text)
    assert cuts is not None
    assert [each.split(",") for each in cuts[1].split()] == [
        [repr(cut), str(hits), str(alarms)] for cut, hits, alarms in facts["outputs"]["out"]["cuts"]
    ]


def test_the_end_of_a_training_takes_one_pass_over_each_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated, run_model = list[int](), GraphStep.run

    def counted(self: GraphStep, inputs: Mapping[str, torch.Tensor], *targets: Any) -> GraphOutcome:
        evaluated.append(len(inputs["x"]) if torch.is_inference_mode_enabled() else 0)
        return run_model(self, inputs, *targets)

    monkeypatch.setattr(GraphStep, "run", counted)
    run, _ = train(write(tmp_path, TWO_CLASSES), tmp_path / "runs")
    validation = kept(run, "validation").facts["rows"]
    assert sum(evaluated) == (len(run.history()) + 1) * validation + kept(run, "test").facts["rows"]


def test_no_more_than_a_bound_is_held_at_the_end_of_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_evaluation, "_MOST_VALUES", 99)
    run, _ = train(write(tmp_path, TWO_CLASSES), tmp_path / "runs")
    facts = kept(run, "test").facts
    assert facts["rows"] == 100
    assert facts["logs"] == run.facts()["results"]["test"]
    assert (facts["outputs"], facts["worst"], facts["intervals"]) == ({}, [], {})
