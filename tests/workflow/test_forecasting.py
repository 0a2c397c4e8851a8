"""Forecasts of series, beside recurrences in numpy: predictions fed back, several steps, known columns, dates."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as load_arrays

from kerascli.foundation.errors import ConfigError, DataError, KerasCliError
from kerascli.runs.record import RunRecord
from kerascli.workflow.forecasting.forecast import forecast_run
from kerascli.workflow.forecasting.picture import forecast_picture
from kerascli.workflow.loaded import LoadedRun, open_run
from kerascli.workflow.predict import predict_run
from tests.support.runs_harness import command, train, write

ROWS = 60
PLAIN = """
seed: 3
data:
  source: {{timeseries: {{source: {{csv: {{path: series.csv}}}}, {windows}}}}}
  inputs: {{past: [{{columns: value}}, log, normalization]}}
  targets: {{next: [{{columns: value_next}}, log, {{rescaling: 0.5}}]}}
model:
  layers:
    - reshape: [-1]
    - dense:
        units: {units}
        name: out
        kernel_initializer: {{random_normal: {{stddev: 0.2}}}}
        bias_initializer: {{constant: 2}}
compile: {{loss: mse, optimizer: {{adam: 0.01}}}}
fit: {{epochs: 2}}
"""
KNOWN = """
seed: 3
data:
  source: {timeseries: {source: {csv: {path: series.csv}}, sequence_length: 4}}
  inputs:
    past: [{columns: [value, price]}]
    plan: [{string_lookup: {vocabulary: [a, b], num_oov_indices: 0, output_mode: one_hot}}]
    when: [{columns: date_next}, {datetime: {parts: [weekday, day]}}]
  targets: {value_next: []}
model:
  layers:
    - concatenate: [past, plan]
    - flatten
    - concatenate: [prev, when]
    - dense: {units: 1, name: out, kernel_initializer: {random_normal: {stddev: 0.03}}}
compile: {loss: mse, optimizer: {sgd: 1e-6}}
fit: {epochs: 1}
"""


def days(count: int, first: date = date(2024, 1, 30)) -> list[date]:
    return [first + timedelta(day) for day in range(count)]


def weights(run: RunRecord) -> tuple[np.ndarray, np.ndarray]:
    found = load_arrays(run.weights())
    return found["out/kernel"].astype(float), found["out/bias"].astype(float)


def plain(folder: Path, windows: str, units: int = 1) -> tuple[RunRecord, np.ndarray]:
    values = np.random.default_rng(7).integers(
        20, 90, ROWS
    )  # counts: predictions between them are fed back as they are
    write(folder, "\n".join(["value,note", *(f"{value},n{i}" for i, value in enumerate(values)), ""]), "series.csv")
    return train(write(folder, PLAIN.format(windows=windows, units=units)), folder / "runs")[0], values.astype(float)


@pytest.mark.parametrize(
    ("length", "rate", "offset", "steps"),
    [(5, 1, None, 1), (4, 2, None, 1), (3, 1, 6, 1), (4, 1, None, 3), (3, 2, None, 2), (3, 1, 5, 4)],
)
def test_predictions_are_fed_back_as_the_recurrence_says(
    length: int, rate: int, offset: int | None, steps: int, tmp_path: Path
) -> None:
    """Window after window in float64: log and mean of the training windows going in, rescaling and exp coming out."""
    text = f"sequence_length: {length}, sampling_rate: {rate}, horizon: {steps}"
    text += "" if offset is None else f", offset: {offset}"
    run, values = plain(tmp_path, text, steps)
    kernel, bias = weights(run)
    first = length * rate if offset is None else offset
    starts = range(ROWS - first - (steps - 1) * rate)
    trained = np.log(np.array([values[s : s + length * rate : rate] for s in starts]))
    series = dict(enumerate(values))
    for row in range(ROWS, ROWS + 11):
        if row in series:
            continue
        start = row - first
        window = np.log([series[start + step * rate] for step in range(length)])
        output = ((window - trained.mean()) / trained.std()) @ kernel + bias
        for step, number in enumerate(output):
            series.setdefault(row + step * rate, float(np.exp(number / 0.5)))
    found = forecast_run(open_run(run), str(tmp_path / "series.csv"), 11)
    expected = [series[ROWS + step] for step in range(11)]
    np.testing.assert_allclose(found.columns["value"].astype(float), expected, rtol=2e-4)
    assert (found.rows, found.non_finite_rows, list(found.kept)) == (11, 0, [])
    raw = forecast_run(open_run(run), str(tmp_path / "series.csv"), 11, raw=True)
    np.testing.assert_allclose(raw.columns["value"], np.log(expected) * 0.5, rtol=1e-4)


def test_the_first_step_is_the_prediction_of_the_last_window(tmp_path: Path) -> None:
    run, _ = plain(tmp_path, "sequence_length: 5")
    opened, file = open_run(run), str(tmp_path / "series.csv")
    last = predict_run(opened, file).columns["next"][-1]
    np.testing.assert_allclose(forecast_run(opened, file, 1).columns["value"], [last], rtol=1e-6)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> LoadedRun:
    folder = tmp_path_factory.mktemp("known")
    random = np.random.default_rng(1)
    rows = [(day, random.normal(), round(random.normal(), 3), "ab"[i // 9 % 2]) for i, day in enumerate(days(50))]
    lines = [f"{day},{value:.6f},{price},{plan}" for day, value, price, plan in rows]
    header = "date,value,price,plan"
    write(folder, "\n".join([header, *lines[:42], ""]), "series.csv")
    write(folder, "\n".join([header, *lines[42:], ""]), "future.csv")
    return open_run(train(write(folder, KNOWN), folder / "runs")[0])


def home(run: LoadedRun) -> Path:
    return run.record.path.parent.parent


def rows_of(path: Path) -> list[list[str]]:
    return [line.split(",") for line in path.read_text().splitlines()[1:]]


def test_known_columns_come_from_the_future_and_dates_from_the_calendar(known: LoadedRun) -> None:
    kernel, bias = weights(known.record)
    rows = rows_of(home(known) / "series.csv") + rows_of(home(known) / "future.csv")
    values = [float(row[1]) for row in rows[:42]]
    for row in range(42, 50):
        steps = [[values[i], float(rows[i][2]), rows[i][3] == "a", rows[i][3] == "b"] for i in range(row - 4, row)]
        day = date.fromisoformat(rows[row][0])
        features = [*np.array(steps, float).ravel(), day.weekday(), day.day]
        values.append(float((np.array(features) @ kernel + bias)[0]))
    file, future = str(home(known) / "series.csv"), home(known) / "future.csv"
    found = forecast_run(known, file, 8, future)
    np.testing.assert_allclose(found.columns["value"], values[42:], rtol=1e-4, atol=1e-6)
    assert found.kept["date"].tolist() == [row[0] for row in rows[42:]]
    assert list(forecast_run(known, file, 3, future, keep=["plan", "price"]).kept) == ["plan", "price"]
    # One step needs no future: the window ends with the last row, and the next date follows from the step.
    alone = forecast_run(known, file, 1)
    np.testing.assert_allclose(alone.columns["value"], values[42:43], rtol=1e-4)
    assert alone.kept["date"].tolist() == [rows[42][0]]


def edited(known: LoadedRun, folder: Path, name: str, edit: Any) -> Path:
    """Write a copy of a file of the run's folder, of which `edit` has changed the rows."""
    header, *lines = (home(known) / name).read_text().splitlines()
    path = folder / name
    path.write_text("\n".join([header, *edit([line.split(",") for line in lines]), ""]))
    return path


def as_lines(rows: list[list[str]]) -> list[str]:
    return [",".join(row) for row in rows]


@pytest.mark.parametrize(
    ("horizon", "future", "text", "hint"),
    [
        (5, None, "the model does not predict 'price', and needs it", "give 5 rows of date, price, plan"),
        (6, lambda rows: as_lines(rows[:4]), "the future has 4 rows; the forecast needs 6", "a smaller --horizon"),
        (
            3,
            lambda rows: as_lines([["2024-03-11", *rows[0][1:]], *rows]),
            "2024-03-11 does not continue the dates of the series, which end with 2024-03-11",
            "give the rows after it, with a step of 1 day",
        ),
        (
            3,
            lambda rows: as_lines(rows[1:]),
            "2024-03-13 does not continue the dates",
            "with a step of 1 day",
        ),
        (3, lambda rows: as_lines([rows[0], *rows[2:]]), "2024-03-14 does not continue the dates", ""),
        (3, lambda rows: as_lines([["x", *row[1:]] for row in rows]), "'date' holds dates in the series", ""),
        (3, lambda rows: as_lines([[*row[:3], "c"] for row in rows]), "'c'", ""),
        (3, lambda rows: as_lines([[*row[:2], "", row[3]] for row in rows]), "missing value", ""),
        (3, lambda rows: as_lines([[*row[:2], "dear", row[3]] for row in rows]), "'dear' is not a number", ""),
    ],
)
def test_a_future_that_does_not_fit_is_refused(
    horizon: int, future: Any, text: str, hint: str, known: LoadedRun, tmp_path: Path
) -> None:
    file = None if future is None else edited(known, tmp_path, "future.csv", future)
    with pytest.raises(DataError) as error:
        forecast_run(known, str(home(known) / "series.csv"), horizon, file)
    assert text in error.value.faults[0].text
    assert hint in (error.value.faults[0].hint or "")
    place = error.value.faults[0].place
    assert place is not None
    assert place.file.startswith(str(home(known) / "series.csv" if file is None else file))


def test_columns_that_the_future_lacks_are_named(known: LoadedRun, tmp_path: Path) -> None:
    path = write(tmp_path, "date,plan\n2024-03-12,a\n2024-03-13,a\n", "future.csv")
    with pytest.raises(DataError, match="the model does not predict 'price', and needs it after the last row"):
        forecast_run(known, str(home(known) / "series.csv"), 2, path)
    path = write(tmp_path, "price,plan\n1,a\n2,a\n", "future.csv")  # dates go on by themselves
    assert forecast_run(known, str(home(known) / "series.csv"), 2, path).kept["date"].tolist()[1] == "2024-03-13"


def test_dates_without_a_constant_step_need_a_file(known: LoadedRun, tmp_path: Path) -> None:
    file = str(edited(known, tmp_path, "series.csv", lambda rows: as_lines([*rows[:20], *rows[21:]])))
    with pytest.raises(DataError, match="the dates of 'date' have no constant step"):
        forecast_run(known, file, 1)
    assert forecast_run(known, file, 4, home(known) / "future.csv").kept["date"][3] == "2024-03-15"


def test_rows_out_of_order_are_refused(known: LoadedRun, tmp_path: Path) -> None:
    file = str(edited(known, tmp_path, "series.csv", lambda rows: as_lines(rows[::-1])))
    with pytest.raises(DataError, match="2024-03-10 comes after 2024-03-11: rows of a series are in order of time"):
        forecast_run(known, file, 1)


def test_a_series_needs_a_window_of_rows(known: LoadedRun, tmp_path: Path) -> None:
    file = str(edited(known, tmp_path, "series.csv", lambda rows: as_lines(rows[:3])))
    with pytest.raises(DataError, match="has 3 rows; a forecast takes the last 4"):
        forecast_run(known, file, 1)
    file = str(edited(known, tmp_path, "series.csv", lambda rows: as_lines(rows[:4])))
    assert forecast_run(known, file, 1).rows == 1


def test_a_kept_column_must_be_known(known: LoadedRun) -> None:
    with pytest.raises(DataError, match="the future of 'price' is not known"):
        forecast_run(known, str(home(known) / "series.csv"), 1, keep=["price"])
    with pytest.raises(DataError, match="there is no column 'dates'; did you mean 'date'"):
        forecast_run(known, str(home(known) / "series.csv"), 1, keep=["dates"])


SEVERAL = """
seed: 1
data:
  source: {timeseries: {source: {npz: {path: series.npz}}, sequence_length: 3}}
  inputs: {past: [{columns: [a, b]}, normalization]}
  targets: {both: [{columns: [b_next, a_next]}, normalization]}
model: {layers: [flatten, {dense: {units: 2, name: out}}]}
compile: {loss: mse, optimizer: sgd}
fit: {epochs: 1}
"""


def test_several_columns_are_predicted_and_fed_back_together(tmp_path: Path) -> None:
    rows = np.random.default_rng(4).normal(5, 3, (30, 2))
    np.savez(tmp_path / "series.npz", a=rows[:, 0], b=rows[:, 1])
    run = train(write(tmp_path, SEVERAL), tmp_path / "runs")[0]
    kernel, bias = weights(run)
    windows = np.array([rows[i : i + 3] for i in range(27)]).reshape(-1, 2)
    ahead = rows[3:, ::-1]
    series = list(rows)
    for _ in range(6):
        given = (np.array(series[-3:]) - windows.mean(0)) / windows.std(0)
        series.append(((given.ravel() @ kernel + bias) * ahead.std(0) + ahead.mean(0))[::-1])
    found = forecast_run(open_run(run), str(tmp_path / "series.npz"), 6)
    np.testing.assert_allclose(found.columns["a"], np.array(series)[30:, 0], rtol=1e-4)
    np.testing.assert_allclose(found.columns["b"], np.array(series)[30:, 1], rtol=1e-4)
    np.testing.assert_allclose(found.outputs["out"], np.array(series)[30:, ::-1], rtol=1e-4)


CLASSES = """
seed: 1
data:
  source: {timeseries: {source: {csv: {path: series.csv}}, sequence_length: 2}}
  inputs: {word: [{string_lookup: {vocabulary: [x, y, z], num_oov_indices: 0, output_mode: one_hot}}]}
  targets: {word_next: [string_lookup]}
model: {layers: [flatten, {dense: {units: 3, activation: softmax, name: out}}]}
compile: {loss: sparse_categorical_crossentropy, optimizer: {adam: 0.1}}
fit: {epochs: 20}
"""


def test_a_class_is_not_continued(tmp_path: Path) -> None:
    write(tmp_path, "word\n" + "x\ny\nz\nz\n" * 12, "series.csv")
    run = open_run(train(write(tmp_path, CLASSES), tmp_path / "runs")[0])
    said = "the output 'out' predicts a class of 'word'; a forecast continues numbers"
    with pytest.raises(ConfigError, match=said):
        forecast_run(run, str(tmp_path / "series.csv"), 9)
    with pytest.raises(ConfigError, match=said):
        forecast_picture(run)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            "data.source={csv: {path: series.csv}}",
            "a forecast needs windows of a series; the source of this run is csv",
        ),
        ("data.targets.next=[{columns: value}, {reshape: [5]}, {shift: 1}]", "a target that follows the window"),
        ("data.targets.next=[{columns: value_next}, {discretization: {bin_boundaries: [9]}}]", "cannot be undone"),
        ("data.source.timeseries.offset=2", "the target is not after the window: 'offset' is 2"),
        ("model.layers=[{lstm: {units: 1, stateful: true, name: out}}]", "this one keeps states"),
    ],
)
def test_a_model_that_cannot_continue_a_series_is_refused(
    change: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "\n".join(["value,then", *(f"{i},{i}" for i in range(1, 41)), ""]), "series.csv")
    text_of = PLAIN.format(windows="sequence_length: 5", units=5 if "shift" in change else 1)
    if change.startswith("data.source="):
        text_of = text_of.replace("value_next", "then")
    run = train(write(tmp_path, text_of), tmp_path / "runs", [change, "fit.batch_size=5", "fit.shuffle=false"])[0]
    with pytest.raises(KerasCliError, match=text):
        forecast_run(open_run(run), str(tmp_path / "series.csv"), 2)


def test_a_forecast_that_is_infinite_is_not_fed_back(tmp_path: Path) -> None:
    run, _ = plain(tmp_path, "sequence_length: 5")
    opened = open_run(run)
    for weight in opened.experiment.weights:
        weight.tensor.data.fill_(1e5)
    with pytest.raises(DataError, match="the forecast of 'value' is nan or infinite in row 1: it cannot be fed back"):
        forecast_run(opened, str(tmp_path / "series.csv"), 3)


def test_the_command_writes_a_table_that_continues_the_series(known: LoadedRun, tmp_path: Path) -> None:
    file, future = home(known) / "series.csv", home(known) / "future.csv"
    shown = command("predict", known.record.path, file, "--horizon", 3, "--future", future)
    lines = shown.splitlines()
    assert lines[0] == "date,value"
    assert [line.split(",")[0] for line in lines[1:]] == ["2024-03-12", "2024-03-13", "2024-03-14"]
    command("predict", known.record.path, file, "--horizon", 3, "--future", future, "-o", tmp_path / "next.csv")
    assert (tmp_path / "next.csv").read_text() == shown
    kept = command("predict", known.record.path, "train", "--keep", "date", "--keep", "plan").splitlines()
    assert kept[0] == "date,plan,value_next"
    rows = rows_of(file)
    assert [line.split(",")[:2] for line in kept[1:]] == [[row[0], row[3]] for row in rows[3:-1]]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--future", "f.csv"], "--future goes with --horizon"),
        (["--horizon", "2", "--classes"], "--classes cannot be used with --horizon"),
        (["--horizon", "2", "more.csv"], "--horizon continues the rows of one file"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: list[str], text: str, known: LoadedRun) -> None:
    with pytest.raises(ConfigError, match=text):
        command("predict", known.record.path, home(known) / "series.csv", *options)


def test_a_split_is_not_continued(known: LoadedRun) -> None:
    with pytest.raises(ConfigError, match="--horizon continues the rows of one file"):
        command("predict", known.record.path, "train", "--horizon", "2")


@pytest.mark.parametrize(("offset", "needed"), [(3, 5), (1, 7), (6, 2)])
def test_a_column_that_is_no_input_is_predicted_from_known_ones(offset: int, needed: int, tmp_path: Path) -> None:
    """The windows of x end at the row of y, two rows behind it, or three before it: nothing is fed back."""
    x = np.random.default_rng(6).normal(size=30)
    write(tmp_path, "\n".join(["x,y", *(f"{value:.6f},{i}" for i, value in enumerate(x[:20])), ""]), "series.csv")
    write(tmp_path, "\n".join(["x", *(f"{value:.6f}" for value in x[20 : 20 + needed]), ""]), "future.csv")
    write(tmp_path, "\n".join(["x", *(f"{value:.6f}" for value in x[20 : 19 + needed]), ""]), "short.csv")
    text = PLAIN.format(windows=f"sequence_length: 4, offset: {offset}", units=1)
    text = text.replace("value, log, normalization", "x").replace("value}, log, normalization", "x}")
    text = text.replace("value_next}, log, {rescaling: 0.5}", "y_next}")
    run = train(write(tmp_path, text), tmp_path / "runs")[0]
    kernel, bias = weights(run)
    expected = [(x[row - offset : row - offset + 4] @ kernel + bias)[0] for row in range(20, 25)]
    found = forecast_run(open_run(run), str(tmp_path / "series.csv"), 5, tmp_path / "future.csv")
    np.testing.assert_allclose(found.columns["y"], expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(DataError, match=f"forecast needs {needed}"):
        forecast_run(open_run(run), str(tmp_path / "series.csv"), 5, tmp_path / "short.csv")
