"""Targets of one value per row in whole runs: metrics agree with scikit-learn and the confusion matrix."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import fbeta_score

from kerascli.foundation.errors import ConfigError
from kerascli.workflow.check import check
from kerascli.workflow.evaluate import evaluate_rows
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from kerascli.workflow.rows.command_rows import rows_of
from tests.support.runs_harness import train, write

YES_NO = """
data:
  source: {npz: yes_no.npz}
  inputs: {x: []}
  targets: {y: []}
  sample_weight: {y: {columns: w}}
model: {layers: [dense: {units: 1, activation: sigmoid}]}
compile:
  loss: binary_crossentropy
  metrics: [f1_score: {average: micro, threshold: 0.5}, fbeta_score: {average: macro, beta: 2.0, threshold: 0.5}]
  weighted_metrics: [f1_score: {average: weighted, threshold: 0.5, name: weighted}]
fit: {epochs: 2, batch_size: 32, validation_data: test}
"""


@pytest.mark.parametrize("columns", [(), (1,)])
def test_f_scores_of_one_unit_are_scikit_learn_s(tmp_path: Path, columns: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    x, y, w = random.normal(size=(142, 3)), random.integers(0, 2, size=(142, *columns)), random.uniform(size=142)
    arrays = {f"{name}_{split}": part for name, values in (("x", x), ("y", y), ("w", w))
              for split, part in zip(("train", "test"), np.split(values, 2), strict=True)}  # fmt: skip
    np.savez(tmp_path / "yes_no.npz", allow_pickle=False, **arrays)  # pyright: ignore[reportArgumentType]
    run, _ = train(write(tmp_path, YES_NO), tmp_path / "runs")
    opened = open_run(run)
    evaluation = evaluate_rows(opened, rows_of(opened, "test", targets=True), "test")
    (outputs,) = predict_run(opened, "test").outputs.values()
    guesses = outputs.reshape(-1) > 0.5
    truth, weights = arrays["y_test"].reshape(-1), arrays["w_test"]
    wanted = {
        "f1_score": fbeta_score(truth, guesses, beta=1.0),
        "fbeta_score": fbeta_score(truth, guesses, beta=2.0),
        "weighted": fbeta_score(truth, guesses, beta=1.0, sample_weight=weights),
    }
    figures = evaluation.result.logs
    assert {name: figures[name] for name in wanted} == pytest.approx(wanted, abs=1e-6)  # Keras adds 1e-7 below
    table = evaluation.class_scores[0].matrix
    by_table = 2 * table[1, 1] / (2 * table[1, 1] + table[0, 1] + table[1, 0])
    assert figures["f1_score"] == pytest.approx(by_table, abs=1e-6)
    assert run.history()[-1]["val_f1_score"] == pytest.approx(wanted["f1_score"], abs=1e-6)


TAGGING = """
data:
  source: {npz: tags.npz}
  inputs: {x: []}
  targets: {y: []}
model:
  layers:
    - embedding: {input_dim: 5, output_dim: 3, mask_zero: true}
    - lstm: {units: 4, return_sequences: true}
    - dense: {units: 1, activation: sigmoid}
compile: {loss: LOSS, metrics: [accuracy, auc, mse]}
fit: {epochs: 1}
"""


@pytest.mark.parametrize("loss", ["binary_crossentropy", "crossentropy"])
def test_masked_steps_of_a_target_without_a_last_axis_do_not_count(tmp_path: Path, loss: str) -> None:
    random = np.random.default_rng(0)
    x, y = random.integers(0, 5, (70, 6)), random.integers(0, 2, (70, 6))
    np.savez(tmp_path / "tags.npz", x=x, y=y)
    run, _ = train(write(tmp_path, TAGGING.replace("LOSS", loss)), tmp_path / "runs")
    opened = open_run(run)
    figures = evaluate_rows(opened, rows_of(opened, "train", targets=True), "train").result.logs
    (outputs,) = predict_run(opened, "train").outputs.values()
    p, counts = outputs[..., 0].astype(np.float64), x != 0
    assert figures["mse"] == pytest.approx(np.mean((p - y)[counts] ** 2), abs=1e-6)
    assert figures["accuracy"] == pytest.approx(np.mean(((p > 0.5) == y)[counts]), abs=1e-6)
    losses = -np.log(np.where(y == 1, p, 1 - p))
    batches = [slice(start, start + 32) for start in range(0, 70, 32)]
    wanted = sum(losses[rows][counts[rows]].mean() * len(losses[rows]) for rows in batches) / 70
    assert figures["loss"] == pytest.approx(wanted, abs=1e-6)


def test_weights_of_samples_and_a_loss_along_the_rows_do_not_go_together(tmp_path: Path) -> None:
    np.savez(tmp_path / "yes_no.npz", x=np.zeros((9, 3)), y=np.zeros(9), w=np.ones(9))
    config = YES_NO.replace("binary_crossentropy", "{dice: {axis: 0}}").replace(", validation_data: test", "")
    with pytest.raises(ConfigError, match="'dice' along axis 0 reduces over the rows of a batch"):
        check(write(tmp_path, config), sets=(), flags=())
