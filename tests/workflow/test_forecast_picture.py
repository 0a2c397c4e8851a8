"""`plot --forecast`: history, truth and forecast of a run's own series, in units and over its dates."""

from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kerascli.foundation.errors import ConfigError
from kerascli.report.forecast_plot import ForecastPanel, plot_forecast
from kerascli.workflow.forecasting.forecast import forecast_run
from kerascli.workflow.forecasting.picture import forecast_picture
from kerascli.workflow.loaded import LoadedRun, open_run
from tests.support.runs_harness import command, train, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONFIG = """
seed: 3
data:
  source: {timeseries: {source: {csv: {path: series.csv}}, sequence_length: 4}}
  split: {test: 0.25, order: date_next}
  inputs: {past: [{columns: [value, price]}, normalization]}
  targets: {value_next: [log, normalization]}
model: {layers: [flatten, {dense: 1}]}
compile: {loss: mse, optimizer: sgd}
fit: {epochs: 1}
"""


def rows(count: int, first: int = 0) -> list[str]:
    random = np.random.default_rng(first)
    day = date(2024, 1, 1)
    return [f"{day + timedelta(first + i)},{random.uniform(5, 9):.3f},{i % 3}" for i in range(count)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> LoadedRun:
    folder = tmp_path_factory.mktemp("picture")
    write(folder, "\n".join(["date,value,price", *rows(44), ""]), "series.csv")
    return open_run(train(write(folder, CONFIG), folder / "runs")[0])


def home(run: LoadedRun) -> Path:
    return run.record.path.parent.parent


def column(run: LoadedRun, index: int) -> list[str]:
    return [line.split(",")[index] for line in (home(run) / "series.csv").read_text().splitlines()[1:]]


def test_the_rows_of_the_test_split_are_forecast_beside_their_truth(run: LoadedRun, tmp_path: Path) -> None:
    found = forecast_picture(run)
    (panel,) = found.panels
    values, days = np.array(column(run, 1), float), column(run, 0)
    assert (panel.column, found.axis, found.truth, found.note) == ("value", "date", "truth (test split)", None)
    np.testing.assert_array_equal(
        panel.truth, values[34:]
    )  # 40 windows: 30 are trained on, whose last target is row 33
    np.testing.assert_array_equal(panel.history, values[4:34])  # three times as many rows as are forecast
    assert found.panels[0].positions.astype("datetime64[D]").astype(str).tolist() == days[4:]
    # The file up to there, with the known columns of what follows, is forecast alike.
    head, tail = (
        ["date,value,price", *rows(44)][:35],
        ["date,price", *(",".join(r.split(",")[::2]) for r in rows(44)[34:])],
    )
    past, later = (write(tmp_path, "\n".join([*lines, ""]), f"{len(lines)}.csv") for lines in (head, tail))
    np.testing.assert_allclose(panel.forecast, forecast_run(run, str(past), 10, later).columns["value"], rtol=1e-6)


@pytest.mark.parametrize(
    ("source", "more", "truth", "length"),
    [
        ("{path: series.csv}", "fit.validation_split=0.25", "truth (validation split)", 10),
        ("{path: series.csv, test: more.csv}", "fit.epochs=1", "truth (test split)", 12),
        ("{path: series.csv}", "fit.epochs=1", None, 4),
        ("{path: series.csv}", "data.split={test: 0.25}", None, 4),
        ("{path: series.csv}, horizon: 3", "fit.validation_split=0.25", "truth (validation split)", 10),
    ],
    ids=["validation split", "a file for the test", "no rows held out", "at random", "several steps"],
)
def test_where_the_truth_comes_from(source: str, more: str, truth: str | None, length: int, tmp_path: Path) -> None:
    write(tmp_path, "\n".join(["date,value,price", *rows(44), ""]), "series.csv")
    write(tmp_path, "\n".join(["date,value,price", *rows(16, 44), ""]), "more.csv")
    text = CONFIG.replace("  split: {test: 0.25, order: date_next}\n", "").replace("[value, price]", "[value]")
    text = text.replace("{csv: {path: series.csv}}", f"{{csv: {source.partition(', horizon')[0]}}}")
    if "horizon" in source:
        text = text.replace("length: 4}", "length: 4, horizon: 3}").replace("dense: 1", "dense: 3")
    found = forecast_picture(open_run(train(write(tmp_path, text), tmp_path / "runs", [more])[0]))
    assert len(found.panels[0].forecast) == length
    assert len(found.panels[0].truth) == (length if truth else 0)
    assert (found.truth if truth else None) == truth
    assert (found.note is None) == (truth is not None)


@pytest.mark.parametrize(
    ("count", "history", "steps"),
    [
        (400, 120, 50),  # the least number of rows that are forecast of many
        (44, 30, 10),  # three times the forecast
        (12, 8, 2),  # two windows
    ],
)
def test_a_stretch_of_history_is_drawn(count: int, history: int, steps: int, tmp_path: Path) -> None:
    write(tmp_path, "\n".join(["date,value,price", *rows(count), ""]), "series.csv")
    found = forecast_picture(open_run(train(write(tmp_path, CONFIG), tmp_path / "runs")[0]))
    (panel,) = found.panels
    assert (len(panel.history), len(panel.forecast)) == (history, steps)
    (axes,) = plot_forecast(found.panels, "a run", axis=found.axis, truth=found.truth).axes
    assert axes.get_title("left") == "value"


def shown(figure: "Figure") -> dict[str, Any]:
    (axes,) = figure.axes
    return {str(line.get_label()): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}  # pyright: ignore[reportArgumentType]


def test_lines_of_truth_and_forecast_begin_at_the_last_known_value() -> None:
    panel = ForecastPanel(
        "value_$", np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0]), np.array([4.5, 5.5]), np.arange(5)
    )
    figure = plot_forecast([panel], "a run", axis="row", truth="truth")
    assert shown(figure) == {
        "history": ([0, 1, 2], [1, 2, 3]), "truth": ([2, 3, 4], [3, 4, 5]), "forecast": ([2, 3, 4], [3, 4.5, 5.5]),
    }  # fmt: skip
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == r"value_\$"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("row", r"value_\$")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["history", "truth", "forecast"]


def test_the_command_writes_a_picture_into_the_run_or_a_file(run: LoadedRun, tmp_path: Path) -> None:
    written = command("plot", run.record.path, "--forecast").strip()
    assert Path(written) == run.record.path / "plots" / "forecast.png"
    assert Path(written).read_bytes().startswith(b"\x89PNG")
    command("plot", run.record.path, "--forecast", "-o", tmp_path / "next.svg")
    assert "<svg" in (tmp_path / "next.svg").read_text()
    command("plot", run.record.path, "--forecast", "-o", tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == Path(written).read_bytes()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--forecast", "--metric", "loss"], "--metric cannot be used with --forecast"),
        (["--forecast", "--model"], "--model cannot be used with --forecast"),
        (["--forecast", "other"], "--forecast draws one run"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: list[str], text: str, run: LoadedRun) -> None:
    with pytest.raises(ConfigError, match=text):
        command("plot", run.record.path, *options)
