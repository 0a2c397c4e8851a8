"""Parse texts as dates and times, ISO 8601 or a strptime format; times with an offset are converted to UTC."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

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
    days = times.astype("datetime64[D]")
    match part:
        case "year":
            return times.astype("datetime64[Y]").astype(np.int64) + 1970
        case "month":
            return times.astype("datetime64[M]").astype(np.int64) % 12 + 1
        case "day":
            return (days - times.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64) + 1
        case "day_of_year":
            return (days - times.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64) + 1
        case "weekday":
            return (days.astype(np.int64) + 3) % 7  # 1970 began on a Thursday
        case _:
            seconds = (times - days).astype(np.int64)
            return {"hour": seconds // 3600, "minute": seconds // 60 % 60, "second": seconds % 60}[part]


def _time(text: str, form: str | None) -> np.datetime64:
    try:
        if form is not None:
            return np.datetime64(_in_utc(datetime.strptime(text, form)), "us")
        found = OFFSET.search(text) if has_offset(text) else None
        written = text.removesuffix("Z") if found is None else text[: found.start()]
        if not _ISO.fullmatch(written):
            return np.datetime64("NaT", "us")
        time = np.datetime64(written, "us")
        if found is None:
            return time
        sign, hours, minutes = found.groups(default="00")
        offset = np.timedelta64(60 * int(hours) + int(minutes), "m")
        return time - offset if sign == "+" else time + offset
    except (ValueError, OverflowError):  # also a UTC before the year 1 or after 9999
        return np.datetime64("NaT", "us")


def _in_utc(time: datetime) -> datetime:
    return time.replace(tzinfo=None) if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)
