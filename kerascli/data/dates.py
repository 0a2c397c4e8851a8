"""Dates and times: parsing of texts, and the parts of times."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np

Numbers = TypeVar("Numbers", bound=Any)
"""Integers as a numpy array or as a tensor."""

OFFSET = re.compile(r"(?<=\d) ?([+-])([01]\d|2[0-3])(?::?([0-5]\d))?$", re.ASCII)
"""Offset from UTC at the end of an ISO 8601 time; of a text without a time it matches the day or month."""
_ISO = re.compile(r"\d{4}(-\d\d(-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d+)?)?)?)?)?)?", re.ASCII)
"""Date or time without an offset; numpy reads more than that as times, such as `now`, `20251231` (a year) and `3`."""
_DATE = len("2026-11-27")


def parsed_times(texts: Sequence[str], form: str | None = None, unit: str = "us") -> np.ndarray:
    """Return texts as times (rows,) datetime64[unit]; NaT where a text is no date of the format `form`.

    None is ISO 8601. A time with an offset (`+02:00`) is converted to UTC, any other is taken as written.
    """
    if form is None:
        plain = [text.strip().removesuffix("Z") for text in texts]
        if all(map(_ISO.fullmatch, plain)):
            try:
                return np.array(plain, f"datetime64[{unit}]")
            except ValueError:
                pass
    return np.array([_time(text.strip(), form) for text in texts], f"datetime64[{unit}]")


def has_offset(text: str) -> bool:
    """Return True if an ISO 8601 time has an offset from UTC, such as `+02:00`."""
    return len(text) > _DATE and OFFSET.search(text[_DATE:]) is not None


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
            return np.datetime64(_in_utc(datetime.strptime(text, form)), "us")
        offset_match = OFFSET.search(text) if has_offset(text) else None
        written = text.removesuffix("Z") if offset_match is None else text[: offset_match.start()]
        if not _ISO.fullmatch(written):
            return np.datetime64("NaT", "us")
        time = np.datetime64(written, "us")
        if offset_match is None:
            return time
        sign, hours, minutes = offset_match.groups(default="00")
        offset = np.timedelta64(60 * int(hours) + int(minutes), "m")
        return time - offset if sign == "+" else time + offset
    except (ValueError, OverflowError):  # also a UTC before the year 1 or after 9999
        return np.datetime64("NaT", "us")


def _in_utc(time: datetime) -> datetime:
    return time.replace(tzinfo=None) if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)


ORDER = "sort the rows by date; several series in one file need a column that tells them apart: 'group' of timeseries"
"""Hint of an error about rows of a series that are not in order of time."""
