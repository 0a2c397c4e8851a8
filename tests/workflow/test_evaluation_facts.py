"""Results of evaluations that a run keeps as numbers: beside scikit-learn's, after a resume, on the page."""

import json
import re
import shutil
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kerascli.foundation.disk import locks
from kerascli.foundation.errors import ConfigError, FileRefused
from kerascli.model.runtime.graph import GraphOutcome
from kerascli.report.page.run_page import RunPage
from kerascli.runs.checksums import sealed
from kerascli.runs.evaluations import FORMAT, StoredEvaluation, evaluation_name, evaluations
from kerascli.runs.record import RunRecord
from kerascli.training.objectives.train_step import GraphStep
from kerascli.workflow import run_loop
from kerascli.workflow.evaluation.cells import _text
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
        {"intervals": 1}, {"split": 3}, {"worst": [{"row": "../x", "pictures": {"image": "0"}}]},
    ],
)  # fmt: skip
def test_a_file_of_somebody_else_with_other_values_is_refused(
    run: RunRecord, tmp_path: Path, changes: dict[str, Any]
) -> None:
    copied = RunRecord(Path(shutil.copytree(run.path, tmp_path / run.folder_name)))
    facts = {"format": FORMAT, **kept(run, "test").facts, **changes}
    (copied.path / "evaluations" / "test.json").write_bytes(sealed(facts))
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
    monkeypatch.setattr(run_loop, "_MOST_VALUES", 99)
    run, _ = train(write(tmp_path, TWO_CLASSES), tmp_path / "runs")
    facts = kept(run, "test").facts
    assert facts["rows"] == 100
    assert facts["logs"] == run.facts()["results"]["test"]
    assert (facts["outputs"], facts["worst"], facts["intervals"]) == ({}, [], {})


TABLE = """
seed: 3
data:
  source: {csv: {path: t.csv}}
  split: {test: 0.5, seed: 1}
  inputs: {x: [{columns: [a]}]}
  targets: {y: [string_lookup]}
model: {layers: [{dense: {units: 1, activation: sigmoid, name: out}}]}
compile: {loss: binary_crossentropy, optimizer: {adam: 0.05}}
fit: {epochs: 1, batch_size: 8, callbacks: [{model_checkpoint: {monitor: loss, save_best_only: true}}]}
"""


@pytest.fixture
def table(tmp_path: Path) -> RunRecord:
    random = np.random.default_rng(0)
    rows = [f"{a:.4f},{'yes' if a + noise > 0 else 'no'},ann {n},{'NS'[n % 2]}"
            for n, (a, noise) in enumerate(random.normal(size=(80, 2)))]  # fmt: skip
    write(tmp_path, "\n".join(["a,y,who,region", *rows, ""]), "t.csv")
    return train(write(tmp_path, TABLE), tmp_path / "runs")[0]


def test_cells_of_the_worst_rows_are_kept_only_where_they_are_asked_for(table: RunRecord) -> None:
    assert "ann" not in RunPage(table).html()
    command("evaluate", table.path, "test", "--worst", "30")
    worst = kept(table, "test").facts["worst"]
    assert len(worst) == 30
    assert worst[0].keys() == {"row", "loss", "true", "predicted"}
    printed = json.loads(command("evaluate", table.path, "test", "--worst", "25", "--cells", "--json"))["worst"]
    worst = kept(table, "test").facts["worst"]
    assert [{**row, "loss": pytest.approx(row["loss"], rel=1e-5)} for row in printed] == worst
    lines = (table.path.parent.parent / "t.csv").read_text(encoding="utf-8").splitlines()
    assert len(worst) == 25
    for row in worst:
        cells = row["cells"]
        assert cells["y"] == row["true"]
        assert f"{float(cells['a']):.4f},{cells['y']},{cells['who']},{cells['region']}" in lines
        assert cells["who"] in RunPage(table).html()
    command("evaluate", table.path, "test", "--worst", "20")
    assert "ann" not in RunPage(table).html()
    with pytest.raises(ConfigError, match="--cells goes with --worst N"):
        command("evaluate", table.path, "--cells")


def test_groups_and_worst_rows_are_added_to_what_is_kept_and_thresholds_replace_it(table: RunRecord) -> None:
    command("evaluate", table.path, "test", "--worst", "25", "--cells")
    command("evaluate", table.path, "test", "--by", "region")
    command("evaluate", table.path, "test", "--by", "who", "--threshold", "0.3")
    facts = kept(table, "test").facts
    assert facts["groups"].keys() == {"region", "who"}
    assert facts["outputs"]["out"]["threshold"] == 0.3
    assert len(facts["worst"]) == 25
    assert all(row["cells"]["who"].startswith("ann") for row in facts["worst"])
    labels = {row["row"]: row["predicted"] for row in facts["worst"]}
    command("evaluate", table.path, "test", "--threshold", "0.99")
    facts = kept(table, "test").facts
    assert {row["row"]: row["predicted"] for row in facts["worst"]} == dict.fromkeys(labels, "no") != labels
    go_on(table, ["fit.epochs=2"])  # other weights: nothing is left of the old ones
    facts = kept(table, "test").facts
    assert (facts["groups"], len(facts["worst"])) == ({}, 20)
    assert "cells" not in facts["worst"][0]


def test_evaluations_of_a_checkpoint_are_added_until_it_has_other_weights(table: RunRecord) -> None:
    with locks.lock(table.path):  # as while it trains
        command("evaluate", table.path, "test", "--checkpoint", "best", "--by", "region")
        command("evaluate", table.path, "test", "--checkpoint", "best", "--worst", "3")
    facts = kept(table, "test@best").facts
    assert facts["groups"].keys() == {"region"}
    assert len(facts["worst"]) == 3
    go_on(table, ["fit.epochs=2"])
    command("evaluate", table.path, "test", "--checkpoint", "best")
    facts = kept(table, "test@best").facts
    assert (facts["groups"], len(facts["worst"])) == ({}, 20)


PICTURES = """
seed: 3
data:
  source: {npz: {path: t.npz}}
  split: {test: 0.5, seed: 1}
  inputs: {image: [{rescaling: $(1/255)}]}
  targets: {y: []}
model: {layers: [flatten, {dense: {units: 3, activation: softmax}}]}
compile: {loss: sparse_categorical_crossentropy, optimizer: adam}
fit: {epochs: 1, batch_size: 8}
"""


def test_pictures_of_the_worst_rows_are_those_of_the_data(tmp_path: Path) -> None:
    from PIL import Image

    random = np.random.default_rng(0)
    images = random.integers(0, 256, (40, 9, 12, 3), np.uint8)
    np.savez(tmp_path / "t.npz", image=images, y=random.integers(0, 3, 40))
    run, _ = train(write(tmp_path, PICTURES), tmp_path / "runs")
    command("evaluate", run.path, "test", "--worst", "20", "--cells")
    command("evaluate", run.path, "test", "--worst", "2", "--cells")
    files = sorted((run.path / "evaluations").glob("*.png"))
    assert {file.name for file in files} == {f"test@{row['row']}-0.png" for row in kept(run, "test").facts["worst"]}
    for file in files:
        assert (images == np.asarray(Image.open(file))).all((1, 2, 3)).sum() == 1
    text = RunPage(run).html()
    assert all(b64encode(file.read_bytes()).decode() in text for file in files)
    files[0].unlink()
    assert "data:image/png" in RunPage(run).html()
    files[1].write_bytes(b"other")
    with pytest.raises(FileRefused, match=r"\.png' is damaged"):
        RunPage(run).html()


def test_outputs_with_axes_have_metrics_and_worst_rows_alone(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    images = random.random((40, 8, 8, 1))
    np.savez(tmp_path / "t.npz", image=images, y=(images > 0.5).astype(np.float32))
    text = PICTURES.replace(
        "flatten, {dense: {units: 3, activation: softmax}}",
        "{conv_2d: {filters: 1, kernel_size: 1, activation: sigmoid}}",
    )
    run, _ = train(write(tmp_path, text.replace("sparse_categorical", "binary")), tmp_path / "runs")
    facts = kept(run, "test").facts
    assert facts["logs"].keys() == {"loss"}
    assert facts["outputs"] == {}
    assert len(facts["worst"]) == 20
    assert facts["worst"][0].keys() == {"row", "loss"}


SERIES = """
seed: 3
data:
  source: {timeseries: {source: {csv: {path: t.csv}}, sequence_length: 4, horizon: HORIZON}}
  split: {test: 0.3, order: day_next}
  inputs: {sold: [normalization]}
  targets: {sold_next: [normalization]}
model: {layers: [flatten, {dense: HORIZON}, LAST]}
compile: {loss: mse, optimizer: {adam: 0.05}, metrics: [mae]}
fit: {epochs: 1, batch_size: 16}
"""


@pytest.mark.parametrize(("horizon", "last"), [(1, "{reshape: [1]}"), (3, "{reshape: [3, 1]}")])
def test_a_forecast_is_what_predict_says_beside_the_truth(tmp_path: Path, horizon: int, last: str) -> None:
    random = np.random.default_rng(0)
    sold = np.round(100 + 20 * random.normal(size=400), 3)
    write(tmp_path, "\n".join(["day,sold", *(f"{day},{value}" for day, value in enumerate(sold)), ""]), "t.csv")
    run, _ = train(write(tmp_path, SERIES.replace("HORIZON", str(horizon)).replace("LAST", last)), tmp_path / "runs")
    [output] = kept(run, "test").facts["outputs"].values()
    points = np.array(output["forecast"]["points"])
    command("predict", run.path, "test", "-o", tmp_path / "p.csv")
    predicted = np.genfromtxt(tmp_path / "p.csv", delimiter=",", skip_header=1).reshape(-1, horizon)
    expected = (predicted[:, 0], sold[-len(predicted) :]) if horizon == 1 else (predicted[-1], sold[-horizon:])
    assert output["forecast"]["axis"] == ("row" if horizon == 1 else "step")
    assert points[:, 0].tolist() == list(range(1, 1 + len(expected[0])))
    assert points[:, 1] == pytest.approx(expected[1], rel=1e-5)
    assert points[:, 2] == pytest.approx(expected[0], rel=1e-5)
    assert "forecast (dashed)" in RunPage(run).html()


def test_a_missing_cell_is_empty_as_in_the_file() -> None:
    assert [_text(value) for value in (None, float("nan"), 0, "a")] == ["", "nan", "0", "a"]


ARRAYS = """
seed: 3
data: {source: {npz: rows.npz}, split: {test: 0.4, seed: 1}, inputs: {x: []}, targets: {y: []}}
model: {layers: [{dense: {units: %d, activation: %s}}]}
compile: {loss: {%s}, optimizer: sgd}
fit: {epochs: 1}
"""


def of_arrays(folder: Path, y: np.ndarray, units: int, activation: str, loss: str) -> RunRecord:
    random = np.random.default_rng(0)
    np.savez(folder / "rows.npz", x=random.normal(size=(len(y), 3)).astype(np.float32), y=y)
    return train(write(folder, ARRAYS % (units, activation, loss)), folder / "runs")[0]


@pytest.mark.parametrize("ignored", [255, -1])
def test_a_label_that_the_loss_ignores_is_shown_as_it_is(tmp_path: Path, ignored: int) -> None:
    loss = f"sparse_categorical_crossentropy: {{ignore_class: {ignored}}}"
    run = of_arrays(tmp_path, np.array([0, ignored, 1, ignored] * 3), 3, "softmax", loss)
    worst = kept(run, "test").facts["worst"]
    assert {row["true"] for row in worst} <= {"0", "1", str(ignored)}
    assert any(row["true"] == str(ignored) and row["loss"] == 0 for row in worst)


def test_many_classes_are_counted_without_a_matrix_of_all(tmp_path: Path) -> None:
    classes = 70_000  # a matrix of all would take 39 GB
    run = of_arrays(tmp_path, np.arange(20) + classes - 20, classes, "softmax", "sparse_categorical_crossentropy: {}")
    output = kept(run, "test").facts["outputs"]["dense"]
    assert sum(row["support"] for row in output["classes"]) == 8
    assert sum(count for _, _, count in output["confusions"]) == sum(
        1 for row in kept(run, "test").facts["worst"] if row["true"] != row["predicted"]
    )


def test_residuals_closer_than_their_rounding_are_one_bar(tmp_path: Path) -> None:
    run = of_arrays(tmp_path, np.full(20, 1.7e18, np.float32), 1, "linear", "mse: {}")
    assert sum(kept(run, "test").facts["outputs"]["dense"]["residuals"]["counts"]) == 8


def test_the_loss_of_a_masked_row_is_the_mean_of_its_steps(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x, y = random.integers(1, 9, (40, 6)), random.integers(0, 4, (40, 6))
    lengths = random.integers(1, 7, 40)
    x[np.arange(6) >= lengths[:, None]] = 0
    np.savez(tmp_path / "rows.npz", x=x, y=y)
    layers = "{embedding: {input_dim: 9, output_dim: 4, mask_zero: true}}, {lstm: {units: 4, return_sequences: true}}, "
    loss = "sparse_categorical_crossentropy: {}"
    text = (ARRAYS % (4, "softmax", loss)).replace("layers: [", f"layers: [{layers}")
    run, _ = train(write(tmp_path, text), tmp_path / "runs")
    command("evaluate", run.path, tmp_path / "rows.npz")
    command("predict", run.path, tmp_path / "rows.npz", "-o", tmp_path / "p.npy")
    probabilities = np.take_along_axis(np.load(tmp_path / "p.npy"), y[:, :, None], 2)[:, :, 0]
    expected = {row + 1: float(-np.log(probabilities[row, :length]).mean()) for row, length in enumerate(lengths)}
    [worst] = [each.facts["worst"] for each in evaluations(run) if each.facts["split"].endswith("rows.npz")]
    assert [row["loss"] for row in worst] == pytest.approx(sorted(expected.values(), reverse=True)[:20], rel=1e-5)
    assert [expected[row["row"]] for row in worst] == pytest.approx([row["loss"] for row in worst], rel=1e-5)
