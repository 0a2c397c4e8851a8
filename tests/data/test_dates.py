"""Dates of a series, beside Python's calendar: the step between rows, and what continues it."""

from datetime import date, timedelta

import numpy as np
import pytest

from kerascli.data.dates import Dates, parsed_times
from kerascli.foundation.errors import DataError


def dates(*texts: str, form: str | None = None) -> Dates:
    found = Dates.of(np.array(texts, object), form)
    assert found is not None
    return found


def continued(found: Dates, count: int) -> list[str]:
    step = found.step()
    assert step is not None
    return found.written(step.after(found.times[-1], count))


@pytest.mark.parametrize(
    ("texts", "step", "following"),
    [
        (["2024-02-27", "2024-02-28"], "1 day", ["2024-02-29", "2024-03-01"]),
        (["2024-01-01", "2024-01-08", "2024-01-15"], "7 days", ["2024-01-22", "2024-01-29"]),
        (["2023-11-01", "2023-12-01", "2024-01-01"], "1 month", ["2024-02-01", "2024-03-01"]),
        (["2024-07-15", "2024-08-15"], "1 month", ["2024-09-15", "2024-10-15"]),
        (["2023-12-31", "2024-01-31"], "1 month", ["2024-02-29", "2024-03-31"]),
        (["2023-06-30", "2023-09-30", "2023-12-31"], "3 months", ["2024-03-31", "2024-06-30"]),
        (["2022-01-01", "2023-01-01", "2024-01-01"], "1 year", ["2025-01-01", "2026-01-01"]),
        (["2024-11", "2024-12"], "1 month", ["2025-01", "2025-02"]),
        (["2024-01-01T22:00", "2024-01-01T23:00"], "1 hour", ["2024-01-02T00:00", "2024-01-02T01:00"]),
        (["2024-01-01", "2024-01-01 12:00"], "12 hours", ["2024-01-02 00:00", "2024-01-02 12:00"]),
        (["2024-01-01T00:00:00Z", "2024-01-01T00:15:00Z"], "15 minutes", ["2024-01-01T00:30:00Z"]),
        (["2024-03-31T01:00+01:00", "2024-03-31T04:00+02:00"], "2 hours", ["2024-03-31T04:00Z"]),
        (["2024-01-01 00:00:00.5", "2024-01-01 00:00:01.0"], "500000 microseconds", ["2024-01-01 00:00:01.500"]),
    ],
)
def test_a_constant_step_is_continued_as_written(texts: list[str], step: str, following: list[str]) -> None:
    found = dates(*texts)
    assert str(found.step()) == step
    assert continued(found, len(following)) == following


def test_days_of_ten_years_are_those_of_the_calendar() -> None:
    first = date(2019, 12, 30)
    found = continued(dates(first.isoformat(), (first + timedelta(1)).isoformat()), 3650)
    assert found == [(first + timedelta(2 + day)).isoformat() for day in range(3650)]


def test_another_format_is_kept() -> None:
    found = dates("30.01.2024", "31.01.2024", form="%d.%m.%Y")
    assert continued(found, 2) == ["01.02.2024", "02.02.2024"]


@pytest.mark.parametrize(
    "texts",
    [
        ["2024-01-01"],
        ["2024-01-05", "2024-01-08", "2024-01-09"],  # a weekend
        ["2024-01-02", "2024-01-01"],
        ["2024-01-01", "2024-01-01"],
        ["2024-01-30", "2024-02-28", "2024-03-30"],
    ],
)
def test_there_is_no_constant_step(texts: list[str]) -> None:
    assert dates(*texts).step() is None


@pytest.mark.parametrize(
    "texts", [[], ["2024"], ["12"], ["2024-01-01", ""], ["2024-13-01"], ["01.02.2024"], ["Monday"]]
)
def test_texts_that_are_no_dates(texts: list[str]) -> None:
    assert Dates.of(np.array(texts, object)) is None


def test_rows_out_of_order_and_gaps_are_found() -> None:
    assert dates("2024-01-01", "2024-01-03", "2024-01-02").first_disorder() == 2
    assert dates("2024-01-01", "2024-01-02").first_disorder() is None
    assert np.datetime64("2024-01-02") == dates("2024-01-02").times[0]


@pytest.mark.parametrize(
    ("texts", "form", "following"),
    [
        (["31.12.9997", "31.12.9998"], "%d.%m.%Y", "31.12.9999"),
        (["9998-12-30", "9998-12-31"], None, "9999-01-01"),
        (["9997", "9998"], "%Y", "9999"),
        (["9998-12-31T22:00Z", "9998-12-31T23:00Z"], None, "9999-01-01T00:00Z"),
    ],
)
def test_dates_after_the_year_9999_are_refused(texts: list[str], form: str | None, following: str) -> None:
    found = dates(*texts, form=form)
    assert continued(found, 1) == [following]
    for count in (365 * 24 + 1, 10**12):
        with pytest.raises(DataError, match=r"go past the year 9999"):
            continued(found, count)


def test_a_second_may_have_any_number_of_digits() -> None:
    texts = ["2020-01-01T00:00:00.1234567891", "2020-01-01T02:00:00.1234567891+02:00", "2020-01-01T00:00:00.123456Z"]
    assert set(parsed_times(texts)) == {np.datetime64("2020-01-01T00:00:00.123456")}
