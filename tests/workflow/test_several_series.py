"""Several series in one table (`timeseries: {group: COLUMN}`), beside windows and recurrences by numpy for each."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as load_arrays

from kerascli.data.base import Context
from kerascli.data.pipeline.prepare import PreparedData, load_data
from kerascli.data.section import parse_data
from kerascli.foundation.errors import DataError
from kerascli.report.forecast_plot import plot_forecast
from kerascli.report.predictions import Predictions
from kerascli.workflow.forecasting.forecast import forecast_run
from kerascli.workflow.forecasting.picture import forecast_picture
from kerascli.workflow.loaded import LoadedRun, open_run
from kerascli.workflow.predict import predict_run
from tests.support.data_harness import whole
from tests.support.runs_harness import train, write

LENGTHS = {"b": 14, "a": 9, "c": 11}


def series(lengths: Mapping[str, int] = LENGTHS) -> dict[str, np.ndarray]:
    draws = np.random.default_rng(4)
    return {name: draws.integers(10, 90, count).astype(float) for name, count in lengths.items()}


def mixed(values: Mapping[str, np.ndarray]) -> Iterator[tuple[date, str, float]]:
    """Yield rows of several series in order of their dates: those of one day after each other."""
    for day in range(max(map(len, values.values()))):
        for name, numbers in values.items():
            if day < len(numbers):
                yield date(2024, 1, 1) + timedelta(day), name, numbers[day]


def text_of(values: Mapping[str, np.ndarray]) -> str:
    return "\n".join(["day,shop,sold", *(f"{day},{name},{number:g}" for day, name, number in mixed(values)), ""])


def load(folder: Path, settings: Mapping[str, Any], validation_split: float = 0.0, **more: Any) -> PreparedData:
    source = {"timeseries": {"source": {"csv": "shops.csv"}, "group": "shop", **settings}}
    data = {"source": source, "inputs": {"sold": []}, "targets": {"sold_next": []}, **more}
    return load_data(parse_data(data), Context(folder, 1), validation_split=validation_split)


@pytest.mark.parametrize(
    "settings",
    [
        {"sequence_length": 3},
        {"sequence_length": 2, "sampling_rate": 2, "sequence_stride": 2},
        {"sequence_length": 3, "offset": 5, "start_index": 1},
        {"sequence_length": 2, "horizon": 3, "end_index": 9},
    ],
)
def test_windows_are_those_of_each_series(settings: dict[str, int], tmp_path: Path) -> None:
    values = series()
    write(tmp_path, text_of(values), "shops.csv")
    rows = whole(load(tmp_path, settings, inputs={"sold": [], "shop": ["string_lookup"]}).splits["train"])
    length, rate = settings["sequence_length"], settings.get("sampling_rate", 1)
    ahead = settings.get("offset", length * rate) + rate * np.arange(settings.get("horizon", 1))
    windows, following, names = [], [], []
    for name, numbers in values.items():
        numbers = numbers[: settings.get("end_index")]
        for start in range(
            settings.get("start_index", 0), len(numbers) - ahead[-1], settings.get("sequence_stride", 1)
        ):
            windows.append(numbers[start : start + length * rate : rate, None])
            following.append(numbers[start + ahead])
            names.append(sorted(values).index(name))
    np.testing.assert_array_equal(rows.inputs["sold"], windows)
    np.testing.assert_array_equal(rows.targets["sold_next"].reshape(len(windows), -1), following)
    order = np.unique(names, return_index=True)[1]
    assert len(np.unique(rows.inputs["shop"][order])) == 3
    np.testing.assert_array_equal(rows.inputs["shop"], rows.inputs["shop"][order][names])


@pytest.mark.parametrize("settings", [{"split": {"test": 0.2, "order": "day_next"}}, {"validation_split": 0.2}])
def test_each_series_is_split_by_time(settings: dict[str, Any], tmp_path: Path) -> None:
    values = series()
    write(tmp_path, text_of(values), "shops.csv")
    inputs = {"sold": [], "shop": [{"string_lookup": {"vocabulary": ["a", "b", "c"], "num_oov_indices": 0}}]}
    splits = load(tmp_path, {"sequence_length": 2}, inputs=inputs, **settings).splits
    later = "test" if "split" in settings else "validation"
    for number, name in enumerate("abc"):
        targets = values[name][2:]
        cut = int(len(targets) * 0.8 + 1e-9)
        for split, expected in (("train", targets[:cut]), (later, targets[cut:])):
            rows = whole(splits[split])
            np.testing.assert_array_equal(rows.targets["sold_next"][rows.inputs["shop"] == number].ravel(), expected)


@pytest.mark.parametrize(
    ("lengths", "settings", "said"),
    [
        (
            {"b": 14, "a": 3},
            {"split": {"validation": 0.1, "test": 0.1, "order": "day_next"}},
            "split: 0.8 of 1 row of series 'a' is 0 rows for 'train'",
        ),
        ({"b": 14, "a": 3}, {"validation_split": 0.2}, "0.2 of 1 row of series 'a' leaves 0 rows for training"),
    ],
)
def test_a_series_too_short_to_be_split_is_named(
    lengths: dict[str, int], settings: dict[str, Any], said: str, tmp_path: Path
) -> None:
    write(tmp_path, text_of(series(lengths)), "shops.csv")
    with pytest.raises(DataError, match=said):
        load(tmp_path, {"sequence_length": 2}, **settings)


@pytest.mark.parametrize(
    ("days", "line"),
    [
        (["2024-01-04", "2024-01-03", "2024-01-02", "2024-01-01"], 4),
        (["2024-01-01", "2024-01-02", "2024-01-04", "2024-01-03"], 8),
        (["2024-01-01 00:03", "2024-01-01 00:02", "2024-01-01 00:01", "2024-01-01 00:00"], 4),
        (["2024-10-27 02:00", "2024-10-27 02:30", "2024-10-27 02:00", "2024-10-27 02:30"], None),  # clocks are set back
        (["2024-01-01", "2024-01-01", "2024-01-01", "x"], None),
    ],
)
def test_dates_that_go_back_within_a_series_are_refused(days: list[str], line: int | None, tmp_path: Path) -> None:
    rows = [f"{day},{shop},1" for day in days for shop in ("a", "b")]
    write(tmp_path, "\n".join(["day,shop,sold", *rows, ""]), "shops.csv")
    inputs = {"sold": [], "day": [{"string_lookup": {"max_tokens": 9}}]}
    if line is None:
        load(tmp_path, {"sequence_length": 2}, inputs=inputs)
        return
    with pytest.raises(DataError, match="rows of a series are in order of time") as error:
        load(tmp_path, {"sequence_length": 2}, inputs=inputs)
    assert str(error.value.faults[0].place) == f"shops.csv:{line}:day"


def test_the_place_of_a_value_is_that_of_its_row(tmp_path: Path) -> None:
    text = text_of(series())
    lines = text.splitlines()
    place = next(number for number, line in enumerate(lines, 1) if line.startswith("2024-01-06,c"))
    lines[place - 1] = "2024-01-06,c,"
    write(tmp_path, "\n".join(lines) + "\n", "shops.csv")
    with pytest.raises(DataError) as error:
        load(tmp_path, {"sequence_length": 3})
    assert str(error.value.faults[0].place) == f"shops.csv:{place}:sold"


@pytest.mark.parametrize(
    ("lengths", "group", "said"),
    [
        (
            {"b": 9, "a": 4, "c": 2},
            "shop",
            "'train' has 4 rows of series 'a'; a window takes 6; so is it with 1 more series",
        ),
        ({"b": 9, "": 9}, "shop", "missing value: the rows belong to a series by this column"),
        ({"b": 9}, "shops", "there is no column 'shops'; did you mean 'shop'?"),
        ({"b": 1}, "shop", "'train' has 1 row of series 'b'; a window takes 6"),
        ({"b": 9}, "flag", "group: 'flag' holds true and false; expected a text or an integer per row"),
        ({"b": 9}, "number", "missing value: the rows belong to a series by this column"),
        ({"b": 9}, "share", "group: 'share' does not hold one text or integer per row"),
    ],
)
def test_what_cannot_be_series_is_refused(lengths: dict[str, int], group: str, said: str, tmp_path: Path) -> None:
    lines = text_of(series(lengths)).splitlines()
    others = (f"0.5,true,{'' if number == 1 else 7}" for number in range(len(lines) - 1))
    text = "\n".join(
        [lines[0] + ",share,flag,number", *(f"{line},{more}" for line, more in zip(lines[1:], others, strict=True)), ""]
    )
    write(tmp_path, text, "shops.csv")
    with pytest.raises(DataError) as error:
        load(tmp_path, {"sequence_length": 5, "group": group})
    assert error.value.faults[0].text == said
    if group == "number":
        assert str(error.value.faults[0].place) == "shops.csv:3:number"


RUN = """
seed: 3
data:
  source: {timeseries: {source: {csv: {path: shops.csv}}, sequence_length: 3, group: shop}}
  split: {test: 0.2, order: day_next}
  inputs:
    sold: [normalization]
    shop: [{string_lookup: {output_mode: one_hot}}]
  targets: {sold_next: [log]}
model:
  layers:
    - flatten: {inputs: sold}
    - concatenate: [prev, shop]
    - dense: {units: 1, name: out, bias_initializer: {constant: 3}}
compile: {loss: mse, optimizer: {adam: 0.01}}
fit: {epochs: 2}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> LoadedRun:
    folder = tmp_path_factory.mktemp("shops")
    write(folder, text_of(series()), "shops.csv")
    return open_run(train(write(folder, RUN), folder / "runs")[0])


def alone(run: LoadedRun, folder: Path, name: str, values: np.ndarray, horizon: int) -> Predictions:
    """Return the forecast of a file with one of the series only."""
    path = folder / f"{name}.csv"
    path.write_text(text_of({name: values}), encoding="utf-8")
    return forecast_run(run, str(path), horizon)


def test_each_series_is_continued_by_itself(run: LoadedRun, tmp_path: Path) -> None:
    values = series()
    path = tmp_path / "all.csv"
    path.write_text(text_of(values), encoding="utf-8")
    found = forecast_run(run, str(path), 4)
    assert [*found.kept] == ["shop", "day"]
    assert found.kept["shop"].tolist() == [name for name in values for _ in range(4)]
    assert found.kept["day"].tolist()[:2] == ["2024-01-15", "2024-01-16"]
    arrays = load_arrays(run.record.weights())
    kernel, bias = arrays["out/kernel"][:, 0].astype(float), float(arrays["out/bias"][0])
    trained = np.concatenate([_windows(numbers)[: int((len(numbers) - 3) * 0.8 + 1e-9)] for numbers in values.values()])
    vocabulary = run.learned["inputs.shop.0"].facts["vocabulary"]
    for index, (name, numbers) in enumerate(values.items()):
        expected = list(numbers)
        for _ in range(4):
            window = (np.array(expected[-3:]) - trained.mean()) / trained.std()
            one_hot = kernel[4 + list(vocabulary).index(name)]  # 3 is the index of unknown shops
            expected.append(float(np.exp(window @ kernel[:3] + one_hot + bias)))
        part = slice(4 * index, 4 * index + 4)
        np.testing.assert_allclose(found.columns["sold"][part].astype(float), expected[-4:], rtol=1e-4)
        np.testing.assert_array_equal(
            alone(run, tmp_path, name, numbers, 4).columns["sold"], found.columns["sold"][part]
        )


def _windows(numbers: np.ndarray) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(numbers, 3)[:-1]


def test_windows_are_predicted_with_the_name_of_their_series(run: LoadedRun, tmp_path: Path) -> None:
    values = series({"c": 5, "a": 4})
    path = tmp_path / "two.csv"
    path.write_text(text_of(values), encoding="utf-8")
    found = predict_run(run, str(path))
    assert found.kept["shop"].tolist() == ["c"] * 3 + ["a"] * 2
    last = forecast_run(run, str(path), 1)
    np.testing.assert_allclose(last.columns["sold"], found.columns["sold_next"][[2, 4]], rtol=1e-6)


def test_the_name_of_a_series_stands_before_kept_columns(run: LoadedRun, tmp_path: Path) -> None:
    path = tmp_path / "two.csv"
    path.write_text(text_of(series({"c": 5, "a": 4})), encoding="utf-8")
    found = predict_run(run, str(path), keep=["day"])
    assert [*found.kept] == ["shop", "day"]
    assert found.kept["day"].tolist() == ["2024-01-03", "2024-01-04", "2024-01-05", "2024-01-03", "2024-01-04"]


def test_a_gap_in_one_series_leaves_the_dates_of_the_others(run: LoadedRun, tmp_path: Path) -> None:
    path = tmp_path / "gap.csv"
    lines = text_of(series({"a": 9, "c": 9})).splitlines()
    path.write_text("\n".join([*(line for line in lines if line[:12] != "2024-01-04,a"), ""]), encoding="utf-8")
    for order in ("ac", "ca"):
        found = forecast_run(run, str(path), 2).kept
        assert found["shop"].tolist() == [order[0]] * 2 + [order[1]] * 2
        dates = {"a": ["", ""], "c": ["2024-01-10", "2024-01-11"]}
        assert found["day"].tolist() == dates[order[0]] + dates[order[1]]
        rows = path.read_text().splitlines()
        path.write_text("\n".join([rows[0], *sorted(rows[1:], key=lambda row: "ca".index(row[11])), ""]))


def test_a_picture_has_a_panel_for_each_series(run: LoadedRun, tmp_path: Path) -> None:
    values = series()
    found = forecast_picture(run)
    assert [panel.series for panel in found.panels] == ["shop b", "shop a", "shop c"]
    assert (found.axis, found.truth, found.note) == ("day", "truth (test split)", None)
    for panel, (name, numbers) in zip(found.panels, values.items(), strict=True):
        begin = 3 + int((len(numbers) - 3) * 0.8 + 1e-9)
        np.testing.assert_array_equal(panel.truth, numbers[begin:])
        np.testing.assert_array_equal(panel.history, numbers[:begin][-len(panel.history) :])
        expected = alone(run, tmp_path, name, numbers[:begin], len(numbers) - begin).columns["sold"]
        np.testing.assert_allclose(panel.forecast, expected.astype(float), rtol=1e-6)
    figure = plot_forecast(found.panels, "a run", axis=found.axis, truth=found.truth)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [f"sold (shop {name})" for name in "bac"]


def test_nine_series_are_drawn_in_eight_panels(tmp_path: Path) -> None:
    write(tmp_path, text_of(series({f"shop {number}": 12 for number in range(9)})), "shops.csv")
    found = forecast_picture(open_run(train(write(tmp_path, RUN), tmp_path / "runs", ["fit.epochs=1"])[0]))
    assert len(found.panels) == 8
    assert found.note == "the first 8 of 9 series are drawn"


def test_each_series_has_its_own_future(tmp_path: Path) -> None:
    values = series()
    lines = text_of(values).splitlines()
    write(
        tmp_path,
        "\n".join(["day,shop,sold,price", *(f"{line},{i % 7}" for i, line in enumerate(lines[1:])), ""]),
        "shops.csv",
    )
    text = RUN.replace("sold: [normalization]", "sold: [{columns: [sold, price]}, normalization]")
    opened = open_run(train(write(tmp_path, text), tmp_path / "runs", ["fit.epochs=1"])[0])
    rows = [(name, step, 10 * index + step) for index, name in enumerate(values) for step in range(3)]
    day = {name: date(2024, 1, 1) + timedelta(len(numbers)) for name, numbers in values.items()}
    both = write(tmp_path, _future(day, rows), "future.csv")
    found = forecast_run(opened, str(tmp_path / "shops.csv"), 3, both)
    for index, name in enumerate(values):
        lines = (tmp_path / "shops.csv").read_text().splitlines()
        own = [lines[0], *(line for line in lines if f",{name}," in line), ""]
        path = write(tmp_path, "\n".join(own), f"{name}.csv")
        future = write(tmp_path, _future(day, [row for row in rows if row[0] == name]), f"{name}_future.csv")
        one = forecast_run(opened, str(path), 3, future)
        np.testing.assert_allclose(found.columns["sold"][3 * index : 3 * index + 3], one.columns["sold"], rtol=1e-6)
    some = write(tmp_path, _future(day, [row for row in rows if row[0] != "a"]), "some.csv")
    with pytest.raises(DataError, match="there are no rows of series 'a'"):
        forecast_run(opened, str(tmp_path / "shops.csv"), 3, some)


def test_what_is_missing_of_a_future_names_the_series_too(tmp_path: Path) -> None:
    lines = text_of(series()).splitlines()
    priced = [f"{line},{i % 7}" for i, line in enumerate(lines[1:])]
    write(tmp_path, "\n".join(["day,shop,sold,price", *priced, ""]), "shops.csv")
    text = RUN.replace("sold: [normalization]", "sold: [{columns: [sold, price]}, normalization]")
    opened = open_run(train(write(tmp_path, text), tmp_path / "runs", ["fit.epochs=1"])[0])
    with pytest.raises(DataError, match="the model does not predict 'price'") as error:
        forecast_run(opened, str(tmp_path / "shops.csv"), 2)
    assert "give 1 row of shop, day, price in a file" in str(error.value.faults[0].hint)


def _future(day: Mapping[str, date], rows: Sequence[tuple[str, int, int]]) -> str:
    return "\n".join(
        ["day,shop,price", *(f"{day[name] + timedelta(step)},{name},{price}" for name, step, price in rows), ""]
    )
