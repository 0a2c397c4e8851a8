"""Predictions and metrics in the units of a target's column: its transforms are undone, step by step."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_tensors

from kerascli.data.base import NO_STATE, TRANSFORMS, Field
from kerascli.data.storage.table import BadRow
from kerascli.runs.record import RunRecord
from kerascli.workflow.evaluate import evaluate_rows
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import Form, predict_run
from kerascli.workflow.rows.command_rows import rows_of
from tests.support.runs_harness import command, train, write
from tests.support.transform_harness import transformed

ROWS = 60
CONFIG = """
seed: 2
data: {{source: {{npz: {{path: data.npz}}}}, inputs: {{x: []}}, targets: {{price: {steps}}}}}
model: {{layers: [{{dense: {{units: 1, name: out, kernel_initializer: glorot_uniform}}}}]}}
compile: {{loss: {loss}, optimizer: {{adam: 0.01}}, metrics: {metrics}}}
fit: {{epochs: 2, batch_size: 16}}
"""


def data(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    x = random.normal(size=(ROWS, 3)).astype(np.float32)
    price = np.exp(12 + x @ np.array([0.4, -0.2, 0.1]) + random.normal(0, 0.1, ROWS))
    np.savez(folder / "data.npz", x=x, price=price)
    return x, price


def trained(folder: Path, steps: str, *, loss: str = "mse", metrics: str = "[mae]") -> RunRecord:
    text = CONFIG.format(steps=steps, loss=loss, metrics=metrics)
    return train(write(folder, text), folder / "runs")[0]


def computed(run: RunRecord, x: np.ndarray) -> np.ndarray:
    """Outputs (rows,) of the linear model, by hand in float64."""
    weights = load_tensors(run.weights())
    return (torch.from_numpy(x).double() @ weights["out/kernel"].double() + weights["out/bias"].double())[:, 0].numpy()


def scaled(price: np.ndarray) -> tuple[float, float]:
    return float(price.mean()), float(price.std())


UNDONE: list[tuple[str, Any]] = [
    ("[normalization]", lambda z, price: z * scaled(price)[1] + scaled(price)[0]),
    ("[{rescaling: {scale: 0.001, offset: -3}}]", lambda z, price: (z + 3) / 0.001),
    ("[log]", lambda z, price: np.exp(z)),
    ("[log1p, normalization]", lambda z, price: np.expm1(z * scaled(np.log1p(price))[1] + scaled(np.log1p(price))[0])),
    ("[sqrt, {rescaling: 0.1}]", lambda z, price: np.square(z / 0.1)),
    ("[{impute: mean}, {cast: float64}, log, {reshape: [1]}]", lambda z, price: np.exp(z)),
]


@pytest.mark.parametrize(("steps", "undone"), UNDONE, ids=[steps for steps, _ in UNDONE])
def test_predictions_and_metrics_are_in_the_units_of_the_column(tmp_path: Path, steps: str, undone: Any) -> None:
    x, price = data(tmp_path)
    run = trained(tmp_path, steps, metrics="[mae, root_mean_squared_error]")
    raw, expected = computed(run, x), undone(computed(run, x), price)
    found = predict_run(open_run(run), "train")
    # The model computes in float32: sums whose parts cancel, exponents of some 12.
    np.testing.assert_allclose(found.columns["price"], expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    np.testing.assert_allclose(found.columns["price"], found.outputs["out"][:, 0], rtol=1e-8)  # to nine digits
    left = predict_run(open_run(run), "train", form=Form(raw=True))
    np.testing.assert_allclose(left.columns["price"], raw, rtol=1e-5, atol=1e-6)
    opened = open_run(run)
    evaluation = evaluate_rows(opened, rows_of(opened, "train", targets=True), "train")
    error = expected - price
    assert evaluation.in_units == {
        "price": {
            "mae": pytest.approx(np.abs(error).mean(), rel=1e-5),
            "root_mean_squared_error": pytest.approx(np.sqrt(np.square(error).mean()), rel=1e-5),
        }
    }


def test_steps_before_one_that_cannot_be_undone_stay(tmp_path: Path) -> None:
    """Bins have no numbers to go back to; what stands after them is undone."""
    x, _ = data(tmp_path)
    run = trained(tmp_path, "[{discretization: {bin_boundaries: [1e5, 2e5]}}, {rescaling: 0.5}]")
    np.testing.assert_allclose(predict_run(open_run(run), "train").columns["price"], computed(run, x) / 0.5, rtol=1e-5)


@pytest.mark.parametrize("steps", ["[]", "[{cast: float32}, {reshape: [1]}]", "[{rescaling: 0}]"])
def test_there_are_no_other_units_where_no_number_changes_or_none_comes_back(tmp_path: Path, steps: str) -> None:
    data(tmp_path)
    opened = open_run(trained(tmp_path, steps))
    assert not evaluate_rows(opened, rows_of(opened, "train", targets=True), "train").in_units
    assert predict_run(opened, "train").columns["price"].dtype == np.float32


def test_an_output_without_metrics_is_measured_by_its_mean_absolute_error(tmp_path: Path) -> None:
    x, price = data(tmp_path)
    run = trained(tmp_path, "[log]", metrics="[]")
    opened = open_run(run)
    found = evaluate_rows(opened, rows_of(opened, "train", targets=True), "train").in_units
    expected = np.abs(np.exp(computed(run, x)) - price).mean()
    assert found == {"price": {"mean_absolute_error": pytest.approx(expected, rel=1e-5)}}


def test_evaluate_prints_metrics_in_units_too_and_predict_writes_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data(tmp_path)
    trained(tmp_path, "[log, normalization]")
    monkeypatch.chdir(tmp_path)
    text = command("evaluate", "latest", "train")
    assert text.splitlines()[2].startswith("  price in its units  mae ")
    facts = json.loads(command("evaluate", "latest", "train", "--json"))
    assert facts["in_units"]["price"]["mae"] > 100 * facts["results"]["mae"]
    rows = command("predict", "latest", "train").splitlines()[1:]
    assert all(1e4 < float(row) < 1e7 for row in rows)
    raw = command("predict", "latest", "train", "--raw").splitlines()[1:]
    assert all(abs(float(row)) < 20 for row in raw)


@pytest.mark.parametrize(
    ("name", "function", "bad", "text"),
    [
        ("log", np.log, 0.0, "log of 0: expected numbers above 0"),
        ("log1p", np.log1p, -1.0, "log1p of -1: expected numbers above -1"),
        ("sqrt", np.sqrt, -4.0, "sqrt of -4: expected numbers from 0 on"),
    ],
)
def test_functions_of_each_value(name: str, function: Any, bad: float, text: str) -> None:
    step = TRANSFORMS.parse(name)
    values = np.array([[1, 4], [9, 250]], np.uint8)  # whose logarithm numpy takes in float16
    made = transformed(step, values, NO_STATE, target=True)
    np.testing.assert_array_almost_equal_nulp(made, function(values.astype(np.float64)), 1)
    undo = step.inverse(Field((2,), "uint8"), NO_STATE)
    assert undo is not None
    np.testing.assert_allclose(undo(torch.from_numpy(made)).numpy(), values, rtol=1e-14)
    with pytest.raises(BadRow, match=text) as error:
        transformed(step, np.array([[1.0, np.nan], [2.0, bad]]), NO_STATE, target=True)
    assert (error.value.row, error.value.at) == (1, (1, 2))


def test_groups_have_their_errors_in_units_of_the_column(tmp_path: Path) -> None:
    x, price = data(tmp_path)
    np.savez(tmp_path / "data.npz", x=x, price=price, town=np.arange(ROWS) % 3)
    run = trained(tmp_path, "[log, normalization]", metrics="[mae, r2_score]")
    arguments = ("evaluate", run.path, "train", "--by", "town")
    mean, deviation = scaled(np.log(price))
    errors = np.abs(np.exp(computed(run, x) * deviation + mean) - price)
    facts = json.loads(command(*arguments, "--json"))["groups"]["town"]
    for town in range(3):
        assert facts[str(town)]["in_units"]["price"]["mae"] == pytest.approx(errors[town::3].mean(), rel=1e-4)
        assert facts[str(town)]["results"]["mae"] != pytest.approx(errors[town::3].mean(), rel=1e-2)
    heading, names, first, *_ = command(*arguments).partition("\n\n")[2].splitlines()
    assert heading == "mae, r2_score of 'price' in its units"
    assert names.split() == ["town", "rows", "loss", "mae", "r2_score"]
    assert first.split()[:2] == ["0", "20"]
    assert float(first.split()[3].replace(",", "")) == pytest.approx(errors[::3].mean(), rel=1e-4)
