"""`timeseries: {fill: ...}`: missing values and missing dates, beside numpy.interp, loops and files filled by hand."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerascli.config.load import open_config
from kerascli.data.base import Context
from kerascli.data.dates import parsed_times, regular_times
from kerascli.data.pipeline.prepare import PreparedData, load_data
from kerascli.data.section import parse_data
from kerascli.data.series_gaps import fill_gaps
from kerascli.foundation.errors import ConfigError, DataError, Fault
from tests.support.data_harness import whole
from tests.support.runs_harness import write

RANDOM = np.random.default_rng(11)
ROWS = 40
DAYS = [date(2024, 1, 25) + timedelta(day) for day in range(ROWS)]


def csv(columns: Mapping[str, Sequence[object]], rows: Sequence[int] | None = None) -> str:
    """Return columns as delimited text; None is a missing value."""
    chosen = range(len(next(iter(columns.values())))) if rows is None else rows
    lines = (",".join("" if c[row] is None else str(c[row]) for c in columns.values()) for row in chosen)
    return "\n".join([",".join(columns), *lines, ""])


def load(
    folder: Path, text: str, settings: Mapping[str, Any], validation_split: float = 0.0, **more: Any
) -> PreparedData:
    write(folder, text, "s.csv")
    source = {"timeseries": {"source": {"csv": "s.csv"}, "sequence_length": 3, **settings}}
    data = {"source": source, "inputs": {"sold": []}, "targets": {"sold_next": []}, **more}
    return load_data(parse_data(data), Context(folder, 1), validation_split=validation_split)


def fault(folder: Path, text: str, settings: Mapping[str, Any], **more: Any) -> Fault:
    with pytest.raises(DataError) as error:
        load(folder, text, settings, **more)
    return error.value.faults[0]


def same(found: PreparedData, expected: PreparedData) -> None:
    assert found.splits.keys() == expected.splits.keys()
    for name in expected.splits:
        rows, others = whole(found.splits[name]), whole(expected.splits[name])
        for one, other in ((rows.inputs, others.inputs), (rows.targets, others.targets)):
            assert one.keys() == other.keys()
            for key in other:
                np.testing.assert_array_equal(one[key], other[key])


def series(missing: Sequence[int] = ()) -> list[Any]:
    values = np.random.default_rng(3).integers(10, 90, ROWS).tolist()
    return [None if row in missing else value for row, value in enumerate(values)]


def forward(values: Sequence[Any]) -> list[Any]:
    out: list[Any] = []
    for value in values:
        out.append(out[-1] if value is None and out else value)
    return out


GAPS = [4, 5, 6, 17, 38, 39]
"""Rows without a value: in the middle, one alone, and the last ones."""
NO_ROWS = [9, 21, 22, 30]
"""Rows that the file does not have."""
LEFT = [row for row in range(ROWS) if row not in NO_ROWS]


@pytest.mark.parametrize("way", ["forward", "linear", 0, 1.5, {"sold": "forward"}, {"sold": -3}])
@pytest.mark.parametrize("more", [{}, {"validation_split": 0.25}, {"split": {"test": 0.2, "order": "day_next"}}])
def test_a_series_is_filled_as_a_file_is_by_hand(way: Any, more: dict[str, Any], tmp_path: Path) -> None:
    values = series([*GAPS, *NO_ROWS])
    gapped = csv({"day": DAYS, "sold": series(GAPS)}, LEFT)
    one = way["sold"] if isinstance(way, dict) else way
    there = [row for row, value in enumerate(values) if value is not None]
    by_hand: dict[Any, Sequence[Any]] = {
        "forward": forward(values),
        "linear": np.interp(range(ROWS), there, [values[row] for row in there]).tolist(),
    }
    expected = by_hand.get(one, [one if value is None else value for value in values])
    found = load(tmp_path, gapped, {"fill": way}, **more)
    same(found, load(tmp_path, csv({"day": DAYS, "sold": [float(value) for value in expected]}), {}, **more))
    days = "4 missing dates added, the first after 2024-02-02"
    assert found.warnings == [f"s.csv: {days}; values filled: 10 of 'sold' by {one}"]


def test_a_series_without_gaps_is_as_without_fill(tmp_path: Path) -> None:
    text = csv({"day": DAYS, "sold": series()})
    found = load(tmp_path, text, {"fill": "linear"})
    same(found, load(tmp_path, text, {}))
    assert found.warnings == []
    assert (
        whole(found.splits["train"]).inputs["sold"].dtype
        == whole(load(tmp_path, text, {}).splits["train"]).inputs["sold"].dtype
    )


@pytest.mark.parametrize("way", ["forward", "linear"])
def test_nothing_leaks_from_one_series_to_another(way: str, tmp_path: Path) -> None:
    """Rows of two shops are mixed; the one's first values are missing, and the other's last ones."""
    late, early = series([0, 1, 8]), series([7, 37, 38, 39])
    early = [None if value is None else 1000 + value for value in early]
    settings = {"fill": way, "group": "shop", "start_index": 2}
    rows = [
        (day, shop, value)
        for day, *two in zip(DAYS, early, late, strict=True)
        for shop, value in zip("ab", two, strict=True)
    ]
    del rows[2 * 20 + 1]  # a date of shop b
    text = csv(dict(zip(("day", "shop", "sold"), zip(*rows, strict=True), strict=True)))
    found = whole(load(tmp_path, text, settings).splits["train"])
    late[20] = None
    expected = []
    for values in (early, late):
        there = [row for row, value in enumerate(values) if value is not None]
        linear = np.interp(range(ROWS), there, [value for value in values if value is not None])
        expected.append((forward(values) if way == "forward" else linear.tolist())[5:])
    np.testing.assert_array_equal(found.targets["sold_next"].ravel(), np.concatenate(expected))
    place = fault(tmp_path, text, {**settings, "start_index": 0}).place
    assert str(place) == "s.csv:3:sold"  # of the second shop, which has no value before it


def test_values_before_the_first_one_stay_missing(tmp_path: Path) -> None:
    text = csv({"day": DAYS, "sold": series([0, 1, 2, 9])})
    for way in ("forward", "linear"):
        found = fault(tmp_path, text, {"fill": way})
        assert (found.text, str(found.place)) == ("missing value (3 rows)", "s.csv:2:sold")
        assert "begin later by 'start_index'" in str(found.hint)
        rows = whole(load(tmp_path, text, {"fill": way, "start_index": 3}).splits["train"])
        assert rows.rows == ROWS - 3 - 3
        assert np.isfinite(rows.inputs["sold"]).all()
    impute: dict[str, Any] = {"inputs": {"sold": [{"impute": "median"}]}}
    assert whole(load(tmp_path, text, {"fill": "forward"}, **impute).splits["train"]).rows == ROWS - 3
    assert whole(load(tmp_path, text, {"fill": 7}).splits["train"]).inputs["sold"][0].ravel().tolist() == [7, 7, 7]


def test_texts_booleans_and_dates_are_filled_by_the_row_before(tmp_path: Path) -> None:
    plan: list[Any] = ["ab"[row // 7 % 2] for row in range(ROWS)]
    is_open = [["true", "false"][row // 5 % 2] for row in range(ROWS)]
    more: dict[str, Any] = {
        "inputs": {
            "plan": [{"string_lookup": {"vocabulary": ["a", "b"], "num_oov_indices": 0}}],
            "open": [],
            "day": [{"columns": "day_next"}, {"datetime": {"parts": ["day", "weekday"]}}],
        }
    }
    gapped = {
        "day": DAYS,
        "sold": series(),
        "plan": [None if r in GAPS else p for r, p in enumerate(plan)],
        "open": is_open,
    }
    filled = {name: forward([None if r in NO_ROWS else v for r, v in enumerate(c)]) for name, c in gapped.items()}
    found = load(tmp_path, csv(gapped, LEFT), {"fill": "forward"}, **more)
    same(found, load(tmp_path, csv({**filled, "day": DAYS}), {}, **more))
    words = {"fill": {"plan": "b", "sold": "linear", "open": "forward"}}
    rows = whole(load(tmp_path, csv(gapped, LEFT), words, **more).splits["train"])
    assert rows.inputs["plan"][4].ravel().tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("fill", "text", "path"),
    [
        ("linear", "fill: linear does not fill 'open', which holds true and false", ()),
        ("linear", "fill: linear does not fill 'plan', which holds text", ()),
        (0, "fill: 0.0 does not fill 'plan', which holds text", ()),
        ({"plan": "linear"}, "fill: linear does not fill 'plan', which holds text", ("plan",)),
        ({"sold": "none"}, "fill: none does not fill 'sold', which holds numbers", ("sold",)),
        ({"open": 1}, "fill: 1.0 does not fill 'open', which holds true and false", ("open",)),
    ],
)
def test_a_way_that_does_not_fit_a_column_is_refused(
    fill: Any, text: str, path: tuple[str, ...], tmp_path: Path
) -> None:
    columns = {"day": DAYS, "sold": series(), "plan": list("abab" * 10), "open": ["true", "false"] * 20}
    inputs = {"plan": ["string_lookup"], **({"open": [{"cast": "float32"}]} if "'plan'" not in text else {})}
    found = fault(tmp_path, csv(columns), {"fill": fill}, inputs=inputs)
    assert (found.text, found.path) == (text, ("data", "source", "timeseries", "fill", *path))
    assert "forward" in str(found.hint)
    assert load(tmp_path, csv(columns), {"fill": fill if "sold" not in str(fill) else 0})  # columns that nothing uses


@pytest.mark.parametrize(
    ("fill", "said"),
    [
        ("foward", "got the text 'foward'; did you mean 'forward'?"),
        (
            "mean",
            "expected forward, linear, a number, or a mapping from column to these or a text, got the text 'mean'",
        ),
        ("{sold: linaer}", "got the text 'linaer'; did you mean 'linear'?"),
        ("true", "fill: expected forward or linear, got true"),
        ("[sold]", "got the list [sold]"),
        ("{sold: null}", "fill.sold: expected a number, got nothing (null)"),
    ],
)
def test_a_misspelt_way_is_an_error_of_its_line(fill: str, said: str, tmp_path: Path) -> None:
    source = f"{{timeseries: {{source: {{csv: {{path: s.csv}}}}, sequence_length: 3, fill: {fill}}}}}"
    text = f"data:\n  source: {source}\n  inputs: {{sold: []}}\n  targets: {{sold_next: []}}\n"
    model = "model: {layers: [flatten, {dense: 1}]}\ncompile: {loss: mse}\nfit: {epochs: 1}\n"
    with pytest.raises(ConfigError) as error:
        open_config(write(tmp_path, text + model))
    (found,) = error.value.faults
    assert said in found.text
    assert found.place is not None
    assert found.place.line == 2


def test_an_unknown_column_is_named_with_the_nearest(tmp_path: Path) -> None:
    text = csv({"day": DAYS, "sold": series()})
    assert "there is no column 'sol'; did you mean 'sold'?" in fault(tmp_path, text, {"fill": {"sol": 0}}).text


def test_without_fill_the_error_of_a_missing_value_names_it(tmp_path: Path) -> None:
    text = csv({"day": DAYS, "sold": series([5])})
    found = fault(tmp_path, text, {})
    assert str(found.hint).startswith("'fill: forward' of timeseries takes the value before;")
    assert "add impute to the pipeline" in str(found.hint)
    found = fault(tmp_path, text, {}, inputs={"day": [{"datetime": {"parts": ["day"]}}]})
    assert "missing label" in found.text
    assert str(found.hint).startswith("'fill: forward' of timeseries")


def test_rows_out_of_order_and_without_a_date_are_refused(tmp_path: Path) -> None:
    days: list[Any] = list(DAYS)
    days[7], days[8] = days[8], days[7]
    found = fault(tmp_path, csv({"day": days, "sold": series()}), {"fill": 0})
    assert str(found.place) == "s.csv:10:day"
    assert "rows of a series are in order of time" in found.text
    days = [None if row == 3 else day for row, day in enumerate(DAYS)]
    inputs = {"day": [{"datetime": {"parts": ["day"]}}]}
    found = fault(tmp_path, csv({"day": days, "sold": series()}), {"fill": "forward"}, inputs=inputs)
    assert (found.text, str(found.place)) == ("missing date", "s.csv:5:day")


@pytest.mark.parametrize(
    ("days", "note"),
    [
        ([day for day in DAYS if day.weekday() < 5], "no dates are added where they have no constant step"),
        ([*DAYS[:5], DAYS[4], *DAYS[5:]], "no dates are added where they have no constant step"),  # twice
        ([*DAYS[:5], *DAYS[6:]], "1 missing date added, the first after 2024-01-29"),
        ([str(row) for row in range(20)], None),
    ],
)
def test_dates_are_added_to_a_constant_step_alone(days: Sequence[object], note: str | None, tmp_path: Path) -> None:
    found = load(tmp_path, csv({"day": days, "sold": list(range(len(days)))}), {"fill": "forward"})
    said = [] if note is None else [f"s.csv: {note}"]
    assert [text.partition(";")[0] for text in found.warnings] == said


def test_columns_that_are_only_displayed_are_not_filled(tmp_path: Path) -> None:
    """They are shown as the file has them, and may hold what the way to fill does not fit."""
    note = ["fair" if row % 9 == 0 else None for row in range(ROWS)]
    write(tmp_path, csv({"day": DAYS, "sold": series(GAPS), "note": note}, LEFT), "s.csv")
    source = {"timeseries": {"source": {"csv": "s.csv"}, "sequence_length": 3, "fill": "linear"}}
    data = parse_data({"source": source, "inputs": {"sold": []}, "targets": {"sold_next": []}})
    found = load_data(data, Context(tmp_path, 1), keep=["note"])
    origin = found.splits["train"].origin
    assert origin is not None
    shown = [note[row] if row not in NO_ROWS else None for row in range(2, ROWS - 1)]
    assert origin.table.array("note")[:, -1, 0].tolist() == [text or "" for text in shown]
    assert "note" not in found.warnings[0]


def test_vectors_are_filled_value_by_value(tmp_path: Path) -> None:
    values = RANDOM.normal(size=(30, 2, 3)).astype(np.float32)
    gaps = RANDOM.random(values.shape) < 0.2
    gaps[0] = False
    np.savez(tmp_path / "s.npz", x=np.where(gaps, np.nan, values))
    source = {"timeseries": {"source": {"npz": "s.npz"}, "sequence_length": 1, "fill": "linear"}}
    rows = whole(load_data(parse_data({"source": source, "inputs": {"x": []}}), Context(tmp_path, 0)).splits["train"])
    assert rows.inputs["x"].dtype == np.float32
    for index in np.ndindex(2, 3):
        there = np.flatnonzero(~gaps[(slice(None), *index)])
        expected = np.interp(np.arange(30), there, values[(there, *index)])
        np.testing.assert_allclose(rows.inputs["x"][(slice(None), 0, *index)], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "way", "expected"),
    [
        ("int64", "forward", "int64"), ("bool", "forward", "bool"), ("float32", "linear", "float32"),
        ("int64", "linear", "float64"), ("int8", 300.0, "float64"), ("int8", 0.5, "float64"),
        ("float32", 0.1, "float32"),
    ],
)  # fmt: skip
def test_values_before_and_floats_keep_their_type(dtype: str, way: Any, expected: str) -> None:
    values, gaps = np.array([1, 0, 1, 1]).astype(dtype), np.array([False, True, False, False])
    made = fill_gaps(values, gaps, way)
    assert made.dtype == expected
    np.testing.assert_allclose(made[1], 1 if isinstance(way, str) else way, rtol=1e-6)
    np.testing.assert_array_equal(made[~gaps], values[~gaps])


def calendar(first: datetime, count: int, days: float) -> list[str]:
    return [(first + row * timedelta(days)).isoformat() for row in range(count)]


STEPS = {
    "hour": calendar(datetime(2023, 12, 30, 5), 300, 1 / 24),
    "half an hour": calendar(datetime(2024, 2, 27), 300, 1 / 48),
    "day": calendar(datetime(2024, 1, 1), 300, 1),
    "week": calendar(datetime(2024, 1, 3), 90, 7),
    "month": [f"{2010 + row // 12}-{row % 12 + 1:02d}-15" for row in range(90)],
    "last of the month": [str(date(2010 + (row + 1) // 12, (row + 1) % 12 + 1, 1) - timedelta(1)) for row in range(90)],
    "quarter": [f"{2000 + row // 4}-{row % 4 * 3 + 1:02d}" for row in range(90)],
    "year": [f"{1900 + row}-07-01" for row in range(90)],
}


@pytest.mark.parametrize("every", STEPS)
def test_missing_dates_are_those_of_the_calendar(every: str) -> None:
    times = parsed_times(STEPS[every])
    for share in (0, 0.02, 0.2, 0.4):
        left = RANDOM.random(len(times)) >= share
        left[[0, -1]] = True
        regular = regular_times(times[left])
        assert regular is not None
        np.testing.assert_array_equal(regular[1], times)


@pytest.mark.parametrize(
    "texts",
    [
        [text for text in STEPS["hour"] if 8 <= int(text[11:13]) < 18],  # by day only
        [text for text in STEPS["day"] if date.fromisoformat(text[:10]).weekday() not in (5, 6)],
        [text for text in STEPS["month"] if text[5:7] != "08"],
        STEPS["day"][::3] + STEPS["day"][-1:],  # the last step is another one
        STEPS["day"][:8:2] + STEPS["day"][7::2],  # one step is shorter than all others
        ["2024-01-01", "2024-01-02", "2204-01-01"],  # more is missing than there is
        ["2024-01-01", "2024-01-01", "2024-01-02"],
        ["2024-01-30", "2024-02-28", "2024-03-30"],
        ["2024-01-01"],
    ],
)
def test_dates_without_a_constant_step(texts: list[str]) -> None:
    assert regular_times(parsed_times(texts)) is None
