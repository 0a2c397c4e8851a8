"""Runs on a series whose gaps `timeseries` fills, beside runs and files that were filled by hand."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerascli.workflow.evaluate import evaluate_rows
from kerascli.workflow.forecasting.forecast import forecast_run
from kerascli.workflow.forecasting.picture import forecast_picture
from kerascli.workflow.loaded import LoadedRun, open_run
from kerascli.workflow.predict import predict_run
from kerascli.workflow.rows.command_rows import rows_of
from tests.support.runs_harness import train, write

CONFIG = """
seed: 3
data:
  source: {timeseries: {source: {csv: {path: series.csv}}, sequence_length: 4, group: shop, fill: FILL}}
  split: {test: 0.2, order: date_next}
  inputs:
    past: [{columns: [value, price]}, normalization]
    plan: [{string_lookup: {vocabulary: [a, b], num_oov_indices: 0, output_mode: one_hot}}]
    when: [{columns: date_next}, {datetime: {parts: [weekday, day]}}]
  targets: {value_next: []}
model:
  layers:
    - concatenate: [past, plan]
    - flatten
    - concatenate: [prev, when]
    - dense: {units: 1, name: out, kernel_initializer: {random_normal: {stddev: 0.03}}}
compile: {loss: mse, optimizer: {sgd: 1e-5}, metrics: [mae]}
fit: {epochs: 2}
"""
FILL = "{value: linear, price: 2.5, plan: forward}"
HEADER = "date,shop,value,price,plan"
ROWS, LATER = 60, 6
Row = dict[str, Any]


def series(shop: str, seed: int) -> list[Row]:
    random = np.random.default_rng(seed)
    first = date(2024, 1, 30)
    return [
        {"date": first + timedelta(row), "shop": shop, "value": float(random.integers(20, 90)),
         "price": float(random.integers(1, 9)), "plan": "ab"[row // 9 % 2]}
        for row in range(ROWS + LATER)
    ]  # fmt: skip


def with_gaps(rows: list[Row], gaps: dict[str, list[int]], no_rows: list[int]) -> list[Row]:
    holes = [
        {name: None if row in gaps.get(name, ()) else value for name, value in each.items()}
        for row, each in enumerate(rows)
    ]
    return [each for row, each in enumerate(holes) if row not in no_rows]


def by_hand(rows: list[Row], gaps: dict[str, list[int]], no_rows: list[int]) -> list[Row]:
    """Return the rows with the line through the values, the price 2.5, and the plan of the row before."""
    made = [dict(each) for each in rows]
    values = [row for row in range(ROWS) if row not in no_rows and row not in gaps["value"]]
    line = np.interp(range(ROWS + LATER), values, [rows[row]["value"] for row in values])
    for row, each in enumerate(made):
        if row in no_rows or row in gaps["value"]:
            each["value"] = float(line[row])
        if row in no_rows or row in gaps["price"]:
            each["price"] = 2.5
        if row in no_rows or row in gaps["plan"]:
            each["plan"] = made[row - 1]["plan"]
    return made


def text(all_rows: list[list[Row]], columns: str = HEADER) -> str:
    names = columns.split(",")
    lines = [
        ",".join("" if each[name] is None else str(each[name]) for name in names) for rows in all_rows for each in rows
    ]
    return "\n".join([columns, *lines, ""])


GAPS = {"value": [11, 12, 40], "price": [5, 59, 61, 63], "plan": [9, 27, 60, 64]}
NO_ROWS = [20, 21, 45, 62]
"""Also of the future, which begins with row 60, whose plan is that of the last row of the series."""
KNOWN = "date,shop,price,plan"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedRun, LoadedRun]:
    """Two runs: on a table with gaps, and on one without."""
    shops = [series("north", 1), series("south", 2)]
    opened = []
    for name, change, fill in (("gaps", with_gaps, FILL), ("whole", by_hand, "null")):
        folder = tmp_path_factory.mktemp(name)
        rows = [change(shop, GAPS, NO_ROWS) if shop[0]["shop"] == "north" else shop for shop in shops]
        last = shops[0][ROWS]["date"]
        write(folder, text([[each for each in shop if each["date"] < last] for shop in rows]), "series.csv")
        write(folder, text([[each for each in shop if each["date"] >= last] for shop in rows], KNOWN), "future.csv")
        config = write(folder, CONFIG.replace("FILL", fill))
        opened.append(open_run(train(config, folder / "runs")[0]))
    return opened[0], opened[1]


def file(run: LoadedRun, name: str) -> Path:
    return run.record.path.parent.parent / name


def test_a_run_learns_what_it_learns_from_a_filled_file(runs: tuple[LoadedRun, LoadedRun]) -> None:
    gaps, whole = runs
    assert gaps.record.weights() == whole.record.weights()
    gaps_lines, whole_lines = ((run.record.path / "history.csv").read_text().splitlines() for run in runs)
    names = gaps_lines[0].split(",")
    kept = [index for index, name in enumerate(names) if "seconds" not in name]
    assert len(kept) > 3
    for one, other in zip(gaps_lines, whole_lines, strict=True):
        assert [one.split(",")[index] for index in kept] == [other.split(",")[index] for index in kept]


def test_split_and_file_are_evaluated_and_predicted_alike(runs: tuple[LoadedRun, LoadedRun]) -> None:
    for what in ("test", "series.csv"):
        found, expected = ([r, what if what == "test" else str(file(r, what))] for r in runs)
        one, other = (evaluate_rows(run, rows_of(run, name, targets=True), name) for run, name in (found, expected))
        assert one.result.logs == other.result.logs
        one, other = predict_run(*found), predict_run(*expected)
        for name in other.columns:
            np.testing.assert_array_equal(one.columns[name], other.columns[name])


def test_forecasts_go_on_alike_over_a_future_with_gaps(runs: tuple[LoadedRun, LoadedRun]) -> None:
    gaps = runs[0]
    gaps.warnings.clear()
    found, expected = (
        forecast_run(
            each,
            str(file(each, "series.csv")),
            LATER,
            file(each, "future.csv"),
            keep=["date", "plan", "price"],
        )
        for each in runs
    )
    for name in ("shop", "date", "plan", "price"):
        assert found.kept[name].tolist() == expected.kept[name].tolist()
    np.testing.assert_array_equal(found.columns["value"], expected.columns["value"])
    said = [fault.text for fault in gaps.warnings]
    assert len(said) == len(set(said)) == 2
    assert "3 missing dates added, the first after 2024-02-18; values filled: 5 of 'plan' by forward, " in said[0]
    assert (
        "1 missing date added, the first after 2024-03-31; values filled: 3 of 'plan' by forward, 3 of 'price' by 2.5"
        in said[1]
    )


def test_the_picture_has_the_filled_history(runs: tuple[LoadedRun, LoadedRun]) -> None:
    found, expected = (forecast_picture(each).panels for each in runs)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.history, other.history)
        np.testing.assert_array_equal(one.positions, other.positions)
        np.testing.assert_array_equal(one.forecast, other.forecast)


def test_a_command_reports_the_gaps_of_its_file_once(runs: tuple[LoadedRun, LoadedRun]) -> None:
    runs[0].warnings.clear()
    found = predict_run(runs[0], str(file(runs[0], "series.csv")), keep=["plan"])
    assert found.rows == 2 * (ROWS - 4)
    (said,) = [fault.text for fault in runs[0].warnings]
    assert "3 missing dates added" in said
