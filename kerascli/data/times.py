"""Parse texts as dates and times, ISO 8601 or a strptime format; times with an offset are converted to UTC."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

OFFSET = re.compile(r"(?<=\d)([+-])(\d\d):?(\d\d)?$")
"""Offset from UTC at the end of an ISO 8601 time; of a text without a time it matches the day or month."""
_DATE = len("2026-11-27")


def parsed_times(texts: Sequence[str], form: str | None = None, unit: str = "us") -> np.ndarray:
    """Return texts as times (rows,) datetime64[unit]; NaT where a text is no date of the format `form`.

    None is ISO 8601. A time with an offset (`+02:00`) is converted to UTC, any other is taken as written.
    """
    if form is None:
        plain = [text.strip().removesuffix("Z") for text in texts]
        if all(map(_is_plain, plain)):
            try:
                return np.array(plain, f"datetime64[{unit}]")
            except ValueError:
                pass
    return np.array([_time(text.strip(), form) for text in texts], f"datetime64[{unit}]")


def has_offset(text: str) -> bool:
    """Return True if an ISO 8601 time has an offset from UTC, such as `+02:00`."""
    return len(text) > _DATE and OFFSET.search(text[_DATE:]) is not None


def _time(text: str, form: str | None) -> np.datetime64:
    try:
        if form is not None:
            return np.datetime64(_in_utc(datetime.strptime(text, form)), "us")
        if _is_plain(text):
            return np.datetime64(text.removesuffix("Z"), "us")
        found = OFFSET.search(text) if has_offset(text) else None
        if found is None:
            return np.datetime64("NaT", "us")
        sign, hours, minutes = found.groups(default="00")
        offset = np.timedelta64(60 * int(hours) + int(minutes), "m")
        time = np.datetime64(text[: found.start()], "us")
        return time - offset if sign == "+" else time + offset
    except ValueError:
        return np.datetime64("NaT", "us")


def _is_plain(text: str) -> bool:
    """Return False for a text with an offset, and for words such as `now` and `NaT`, which numpy takes as times."""
    return text[:1].isdigit() and "+" not in text and "-" not in text[_DATE:]


def _in_utc(time: datetime) -> datetime:
    return time.replace(tzinfo=None) if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)
