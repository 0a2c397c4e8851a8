"""Dates and times: parsing of texts, parts of times, the constant step of a series, and the dates that continue it."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import numpy as np

from kerascli.foundation.errors import DataError, counted

Numbers = TypeVar("Numbers", bound=Any)
"""Integers as a numpy array or as a tensor."""

ORDER = "sort the rows by date; several series in one file need a column that tells them apart: 'group' of timeseries"
"""Hint of an error about rows of a series that are not in order of time."""
_ISO = re.compile(
    r"(?P<written>\d{4}(-\d\d(-\d\d(?P<time>[T ]\d\d(:\d\d(:\d\d(\.\d+)?)?)?)?)?)?)"
    r"(?P<utc>Z|(?(time) ?(?P<sign>[+-])(?P<hours>[01]\d|2[0-3])(:?(?P<minutes>[0-5]\d))?))?",
    re.ASCII,
)
"""Date, or time with its offset from UTC; numpy reads more than that as times, such as `now`, `20251231` (a year)."""
_UNITS = {"day": 86_400_000_000, "hour": 3_600_000_000, "minute": 60_000_000, "second": 1_000_000, "microsecond": 1}
_MONTHS = {"year": 12, "month": 1}


def parsed_times(texts: Sequence[str], form: str | None = None, unit: str = "us") -> np.ndarray:
    """Return texts as times (rows,) datetime64[unit]; NaT where a text is no date of the format `form`.

    None is ISO 8601. A time with an offset (`+02:00`) is converted to UTC, any other is taken as written.
    """
    if form is None:
        plain = [text.strip().removesuffix("Z") for text in texts]
        if all((found := _ISO.fullmatch(text)) and not found["utc"] for text in plain):
            with suppress(ValueError):
                return np.array(plain, f"datetime64[{unit}]")
    return np.array([_time(text.strip(), form) for text in texts], f"datetime64[{unit}]")


def part_of(times: np.ndarray, part: str) -> np.ndarray:
    """Return a part (such as the month) of each time, as integers."""
    return date_parts(times.astype("datetime64[s]").astype(np.int64))[part]


def date_parts(seconds: Numbers) -> dict[str, Numbers]:
    """Return the parts of times, which are given as integer seconds since 1970, as integers.

    Years of the computation begin on March 1, so that a leap day is the last of its year.
    """
    days, second = seconds // 86400, seconds % 86400
    era, day_of_era = (days + 719468) // 146097, (days + 719468) % 146097  # 400 years, from March 1 of the year 0
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * day_of_year + 2) // 153
    is_after = month >= 10  # January and February
    year = era * 400 + year_of_era + is_after
    is_leap = ((year % 4 == 0) & (year % 100 != 0)) | (year % 400 == 0)
    return {
        "year": year,
        "month": month + 3 - 12 * is_after,
        "day": day_of_year - (153 * month + 2) // 5 + 1,
        "day_of_year": is_after * (day_of_year - 305) + ~is_after * (day_of_year + 60 + is_leap),
        "weekday": (days + 3) % 7,  # 1970 began on a Thursday
        "hour": second // 3600,
        "minute": second // 60 % 60,
        "second": second % 60,
    }


def _time(text: str, form: str | None) -> np.datetime64:
    try:
        if form is not None:
            time = datetime.strptime(text, form)
            return np.datetime64((time.astimezone(UTC) if time.tzinfo else time).replace(tzinfo=None), "us")
        if found := _ISO.fullmatch(text):
            offset = np.timedelta64(60 * int(found["hours"] or 0) + int(found["minutes"] or 0), "m")
            return np.datetime64(found["written"], "us") - (-offset if found["sign"] == "-" else offset)
    except (ValueError, OverflowError):  # also a UTC before the year 1 or after 9999
        pass
    return np.datetime64("NaT", "us")


class Step(NamedTuple):
    """Distance between successive dates: calendar months, or a duration."""

    months: int = 0
    micros: int = 0
    month_ends: bool = False
    """True if each date is the last day of its month."""

    def __str__(self) -> str:
        size, sizes = (self.months, _MONTHS) if self.months else (self.micros, _UNITS)
        unit = next(name for name, each in sizes.items() if size % each == 0)
        count = size // sizes[unit]
        return f"{count} {unit}{'s' if count > 1 else ''}"

    def after(self, time: np.datetime64, count: int) -> np.ndarray:
        """Return the next `count` times (datetime64[us]) after `time`, each one step after the one before.

        Raises DataError if the last of them is after the year 9999: dates are written with years of four digits.
        """
        size, unit = (self.months, "M") if self.months else (self.micros, "us")
        end = np.datetime64("10000", unit).astype(np.int64)
        if int(time.astype(f"datetime64[{unit}]").astype(np.int64)) + count * size >= end:
            text = f"{counted(count, 'date')} after {time.astype('datetime64[s]')}, {self} apart, go past the year 9999"
            raise DataError(text, hint="dates are written with years of four digits; forecast fewer rows")
        steps = np.arange(1, count + 1) * np.timedelta64(size, unit)
        if not self.months:
            return time + steps
        month = time.astype("datetime64[M]") + int(self.month_ends)  # the last day is counted from the next month
        return (month + steps).astype("datetime64[us]") + (time - month.astype("datetime64[us]"))


def regular_times(times: np.ndarray) -> tuple[Step, np.ndarray] | None:
    """Return (step, all times from the first to the last at that step) of times (rows,) of which some may be missing.

    The result is None if they have no constant step: if they are not in order, or not all on one step, the shortest and
    most frequent one; if more would be missing than there are; or if what is missing is a rule, such as all weekends,
    all nights or a month of every year.
    """
    times = times.astype("datetime64[us]")
    months, days = times.astype("datetime64[M]"), times.astype("datetime64[D]")
    into = (days - months.astype("datetime64[D]")).astype(np.int64)
    on_one_day = bool((into == into[0]).all()) and int(into[0]) < 28
    at_ends = bool(((days + np.timedelta64(1, "D")).astype("datetime64[M]") > months).all())
    for unit, at in (("months", months), ("micros", times)) if on_one_day or at_ends else (("micros", times),):
        apart, counts = np.unique(np.diff(at).astype(np.int64), return_counts=True)
        if not len(apart) or apart[0] <= 0 or counts[0] < counts.max():
            continue
        step = Step(month_ends=unit == "months" and not on_one_day, **{unit: int(apart[0])})
        count = int((at[-1] - at[0]).astype(np.int64) // apart[0])
        due = np.concatenate([times[:1], step.after(times[0], count)]) if count < 2 * len(times) else times[:1]
        if np.isin(times, due).all():
            return None if _has_rule(step, times, due) else (step, due)
    return None


def _has_rule(step: Step, times: np.ndarray, due: np.ndarray) -> bool:
    """Return True if a month of the year, a weekday or an hour that is due more than once is in none of the times."""
    names = ("month",) if step.months else ("weekday", "hour")
    parts = ((part_of(due, each), part_of(times, each)) for each in names)
    absent = (values[~np.isin(values, present)] for values, present in parts)
    return any(len(np.unique(values)) < len(values) for values in absent)


@dataclass(frozen=True, slots=True)
class Dates:
    """Column of dates: the texts as written, their format (None: ISO 8601), and the times (rows,) datetime64[us]."""

    texts: Sequence[str]
    form: str | None
    times: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray | None, form: str | None = None) -> "Dates | None":
        """Parse a column as dates; return None if it holds no texts, or if one of them is no date."""
        if values is None or values.dtype != object:
            return None
        texts = values.tolist()
        if form is None and not all("-" in text and _ISO.fullmatch(text.strip()) for text in texts):
            return None
        times = parsed_times(texts, form)
        return None if not len(texts) or np.isnat(times).any() else cls(texts, form, times)

    def step(self) -> Step | None:
        """Return the constant step from each date to the next; None if it varies or there is only one date."""
        regular = regular_times(self.times)
        return None if regular is None or len(regular[1]) > len(self.times) else regular[0]

    def first_disorder(self) -> int | None:
        """Return the index of the first date that is not after the previous one; None if all are in order."""
        wrong = np.flatnonzero(np.diff(self.times).astype(np.int64) <= 0)
        return int(wrong[0]) + 1 if len(wrong) else None

    def first_step_back(self) -> int | None:
        """Return the index of the first date that is before the previous one; None if there is none.

        Less than an hour is what clocks are set back by in autumn, unless most dates are before the previous one.
        """
        steps = np.diff(self.times).astype(np.int64)
        back = steps < (0 if 2 * int((steps < 0).sum()) > len(steps) else 1 - _UNITS["hour"])
        return int(back.argmax()) + 1 if back.any() else None

    def out_of_order(self, row: int) -> str:
        """Return the text of the error that the date at an index is not after the previous one."""
        return f"{self.texts[row]} comes after {self.texts[row - 1]}: rows of a series are in order of time"

    def written(self, times: np.ndarray) -> list[str]:
        """Return times (datetime64) as texts in the date format of this column; in UTC if a date has an offset."""
        if self.form is not None:
            return [time.replace(tzinfo=UTC).strftime(self.form) for time in times.astype("datetime64[us]").tolist()]
        found = [each for text in self.texts if (each := _ISO.fullmatch(text.strip()))]
        longest = max((each["written"] for each in found), key=len)
        unit = np.datetime_data(np.datetime64(longest).dtype)[0]
        dates = times.astype(f"datetime64[{unit}]").astype(str).tolist()
        separator, suffix = " " if " " in longest else "T", "Z" if any(each["utc"] for each in found) else ""
        return [text.replace("T", separator) + suffix for text in dates]
