"""Features of dates beside Python's own calendar."""

import warnings
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import csv, parquet

from kerascli.data.base import NO_STATE, SOURCES, TRANSFORMS, Context, Field
from kerascli.data.dates import Dates, parsed_times
from kerascli.data.storage.table import BadRow, Table
from kerascli.language.component import Invalid
from tests.support.transform_harness import transformed

TEXT = Field((), "string")
TIMES = [datetime(1899, 12, 31, 23, 59, 59) + timedelta(days=37 * i, hours=5 * i, seconds=11 * i) for i in range(2000)]
PARTS = {
    "year": lambda t: t.year, "month": lambda t: t.month, "day": lambda t: t.day,
    "day_of_year": lambda t: t.timetuple().tm_yday, "weekday": lambda t: t.weekday(), "hour": lambda t: t.hour,
    "minute": lambda t: t.minute, "second": lambda t: t.second,
}  # fmt: skip


def apply(written: object, texts: list[str]) -> np.ndarray:
    step = TRANSFORMS.parse({"datetime": written} if written is not None else "datetime")
    values = np.array(texts, object)
    found = transformed(step, values, NO_STATE, TEXT)
    assert found.shape[1:] == step.infer(TEXT, None, target=False).shape
    assert found.dtype == np.float32
    return found


@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%SZ", "%d.%m.%Y %H:%M:%S"])
def test_datetime_parts_equal_python_s(form: str) -> None:
    texts = [time.strftime(form) for time in TIMES]
    settings = {"parts": list(PARTS), **({"format": form} if "." in form else {})}
    expected = [[of(time) for of in PARTS.values()] for time in TIMES]
    np.testing.assert_array_equal(apply(settings, texts), expected)


def test_cyclic_parts_are_places_on_a_circle() -> None:
    texts = [time.isoformat() for time in TIMES]
    found = apply({"parts": ["month", "year", "hour"], "cyclic": True}, texts)
    month = np.array([2 * np.pi * (time.month - 1) / 12 for time in TIMES])
    hour = np.array([2 * np.pi * time.hour / 24 for time in TIMES])
    expected = [np.sin(month), np.cos(month), [time.year for time in TIMES], np.sin(hour), np.cos(hour)]
    np.testing.assert_allclose(found, np.stack(expected, axis=1), atol=1e-6, rtol=1e-6)  # float32


@pytest.mark.parametrize(
    ("written", "texts", "text"),
    [
        (None, ["2026-11-27", "soon"], "'soon' is no date: expected 2026-11-27 or 2026-11-27T15:30"),
        (None, ["2026-11-27", " "], "missing value"),
        (None, ["2026-11-27", "now"], "'now' is no date"),
        (None, ["2026-11-27T10:00+01:00", "2026-11-27T10:00+1"], "'2026-11-27T10:00\\+1' is no date"),
        (None, ["2026-11-27", "2026-02-30"], "'2026-02-30' is no date"),
        ({"format": "%d.%m.%Y"}, ["27.11.2026", "2026-11-27"], "'2026-11-27' is no date: expected %d.%m.%Y"),
    ],
)
def test_what_is_no_date_is_named_with_its_row(written: object, texts: list[str], text: str) -> None:
    with pytest.raises(BadRow, match=text) as error:
        apply(written, texts)
    assert error.value.row == 1


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"parts": ["moon"]}, "parts"),
        ({"parts": []}, "expected at least 1 value"),
        ({"parts": ["hour", "hour"]}, "different parts"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], text: str) -> None:
    with pytest.raises(Invalid, match=text):
        TRANSFORMS.parse({"datetime": settings})


@pytest.mark.parametrize("field", [Field((), "int64"), Field((3,), "string")])
def test_columns_that_are_no_dates_are_refused(field: Field) -> None:
    with pytest.raises(ValueError, match="needs"):
        TRANSFORMS.parse("datetime").infer(field, None, target=False)


@pytest.mark.parametrize("form", [None, "%Y-%m-%dT%H:%M:%S%z"])
@pytest.mark.parametrize("minutes", [-570, 0, 60, 345])
def test_times_with_an_offset_are_those_of_utc(form: str | None, minutes: int) -> None:
    times = [time.replace(tzinfo=timezone(timedelta(minutes=minutes))) for time in TIMES[::50]]
    expected = [[of(time.astimezone(UTC)) for of in PARTS.values()] for time in times]
    texts = [time.isoformat() for time in times]
    found = apply({"parts": list(PARTS), **({} if form is None else {"format": form})}, texts)
    np.testing.assert_array_equal(found, expected)
    beside_plain = apply({"parts": list(PARTS)}, [*texts, "2026-11-27T15:30"])
    np.testing.assert_array_equal(beside_plain[:-1], expected)
    assert beside_plain[-1, 5:7].tolist() == [15, 30]


COLUMNS = {
    "day": pyarrow.array([date(2026, 11, 27), date(1969, 2, 1), date(2024, 2, 29)]),
    "date64": pyarrow.array([date(2026, 11, 27), date(1969, 2, 1), date(2024, 2, 29)], pyarrow.date64()),
    "seconds": pyarrow.array([1_795_000_000, -5, 0], pyarrow.timestamp("s")),
    "fractions": pyarrow.array([1_795_000_000_500_000, -1, 60_000_000], pyarrow.timestamp("us")),
    "nanoseconds": pyarrow.array([1_795_000_000_123_456_789, -1, 0], pyarrow.timestamp("ns")),
    "zone": pyarrow.array([1_795_000_000_000, -5_000, 1_774_747_800_000], pyarrow.timestamp("ms", "Europe/Berlin")),
}


def read(kind: str, path: Path) -> Table:
    return SOURCES.parse({kind: path.name}).load(Context(path.parent, 1))["train"]


def test_dates_of_parquet_are_those_of_csv(tmp_path: Path) -> None:
    table = pyarrow.table(COLUMNS)
    parquet.write_table(table, tmp_path / "t.parquet")
    csv.write_csv(table, tmp_path / "t.csv")
    mine, beside = read("parquet", tmp_path / "t.parquet"), read("csv", tmp_path / "t.csv")
    for name in COLUMNS:
        parts = {"parts": list(PARTS)}
        found = apply(parts, mine.text(name).tolist())
        np.testing.assert_array_equal(found, apply(parts, beside.text(name).tolist()), err_msg=name)
        python = [[of(time) for of in PARTS.values()] for time in _as_python(table, name)]
        np.testing.assert_array_equal(found, python, err_msg=name)
    assert mine.text("day").tolist() == ["2026-11-27", "1969-02-01", "2024-02-29"]
    assert mine.text("fractions").tolist()[:2] == ["2026-11-18T11:06:40.5", "1969-12-31T23:59:59.999999"]
    assert mine.text("zone").tolist()[2] == "2026-03-29T01:30:00Z"


def _as_python(table: pyarrow.Table, name: str) -> list[datetime]:
    column = table[name]
    unit = "ns" if name == "nanoseconds" else "us"
    times = column.cast(pyarrow.timestamp(unit, getattr(column.type, "tz", None)))
    return times.to_numpy().astype("datetime64[us]").tolist()


def test_a_missing_date_of_parquet_is_a_missing_value(tmp_path: Path) -> None:
    columns = {
        "a": pyarrow.array([None, date(2026, 1, 2)]),
        "b": pyarrow.array([None, 1], pyarrow.timestamp("s", "UTC")),
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    table = read("parquet", tmp_path / "t.parquet")
    assert table.text("a").tolist() == ["", "2026-01-02"]
    assert table.text("b").tolist() == ["", "1970-01-01T00:00:01Z"]
    with pytest.raises(BadRow, match="missing value"):
        apply(None, table.text("a").tolist())


@pytest.mark.parametrize(
    "text",
    ["20251231", "300000-01-01T00:00", "3", "9999999999999999999999", "now", "NaT", "2026-01-01 15:30:00 UTC",
     "2026-01-01T15:30+24:00", "2026-01-01T15:30+02:60", "3+02:00", "20251231T1530+02:00", "\u0662026-01-01",
     "2026-13-01"],
)  # fmt: skip
def test_a_text_that_numpy_would_guess_at_is_no_date(text: str) -> None:
    with warnings.catch_warnings(action="error"):
        assert np.isnat(parsed_times([text])).all()
        assert np.isnat(parsed_times([text, "2026-01-01T00:00+02:00"])).tolist() == [True, False]


@pytest.mark.parametrize("text", ["0001-01-01 00:00 +0200", "9999-12-31 23:00 -0200"])
def test_a_time_whose_utc_has_no_year_of_four_digits_is_no_date(text: str) -> None:
    assert np.isnat(parsed_times([text], "%Y-%m-%d %H:%M %z")).all()


@pytest.mark.parametrize(
    "text", ["2026-01-01 15:30:00 +0200", "2026-01-01 15:30:00 -03:30", "2026-01-01 15:30:00.25 +02"]
)
def test_an_offset_after_a_space_is_read(text: str) -> None:
    expected = datetime.fromisoformat(text.replace(" +", "+").replace(" -", "-")).astimezone(UTC).replace(tzinfo=None)
    assert parsed_times([text]).tolist() == [expected]
    assert Dates.of(np.array([text], object)) is not None
