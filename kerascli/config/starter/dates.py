"""Detect dates in a table's text column: their format, the parts (month, hour ...) that vary, and their interval."""

import re
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from kerascli.data.dates import parsed_times, part_of

PARTS = ("month", "weekday", "hour", "minute")
_ISO = re.compile(r"\s*\d{4}-\d{2}(-\d{2}([T ]\d{2}(:\d{2}(:\d{2}(\.\d+)?)?)?(Z| ?[+-]\d\d(:?\d\d)?)?)?)?\s*")
_DAYS = ("%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%d-%m-%Y", "%d-%b-%Y", "%d %b %Y", "%b %d %Y", "%b %d, %Y",
         "%d %B %Y", "%B %d, %Y", "%d.%m.%y", "%m/%d/%y", "%d/%m/%y", "%Y%m%d", "%Y.%m.%d")  # fmt: skip
_TIMES = ("", " %H:%M", " %H:%M:%S", "T%H:%M:%S", " %I:%M %p", " %I:%M:%S %p")


def date_format(texts: Sequence[str]) -> str | None:
    """Return the date format of all texts: '' for ISO 8601, else a `strptime` format; None if one is no date."""
    if not texts or not any(mark.isdigit() for mark in texts[0]) or len(texts[0]) > 40:
        return None
    if all(_ISO.fullmatch(text) for text in texts) and times_of(texts, "") is not None:
        return ""
    for time in _TIMES:
        for day in _DAYS:
            form = day + time
            if _parses(texts[0], form) and all(_parses(text, form) for text in texts):
                return form
    return None


def times_of(texts: Sequence[str], form: str) -> np.ndarray | None:
    """Return texts in the date format `form` as an array of datetime64[s]; None if one of them is no date."""
    found = parsed_times(texts, form or None, "s")
    return None if np.isnat(found).any() else found


def varying_parts(times: np.ndarray) -> list[str]:
    """Return the periodic parts of dates that vary (of month, weekday, hour, minute), for the transform `datetime`."""
    first = times.astype("datetime64[M]").astype("datetime64[D]")
    is_first = len(np.unique(times.astype("datetime64[D]") - first)) == 1
    parts = ("month", "hour", "minute") if is_first else PARTS  # months or years, each its first day: no weekday meant
    return [part for part in parts if len(np.unique(part_of(times, part))) > 1]


def unseen_parts(times: np.ndarray, is_train: np.ndarray, parts: Sequence[str]) -> list[str]:
    """Return those of `parts` that have values in other rows which the rows to train on lack, or have one value
    there."""
    found: list[str] = []
    for part in parts:
        values = part_of(times, part)
        seen = np.unique(values[is_train])
        if len(seen) < 2 or not np.isin(values[~is_train], seen).all():
            found.append(part)
    return found


def spacing(times: np.ndarray) -> str | None:
    """Return the interval between sorted dates as a word such as `day`, if it is the same throughout; else None."""
    steps = np.diff(times).astype(np.int64)
    months = np.diff(times.astype("datetime64[M]").astype(np.int64))
    if not len(steps) or steps.min() <= 0:
        return None
    usual = float(np.median(steps))
    if np.mean(np.abs(steps - usual) <= 0.02 * usual) > 0.95:
        names = {60: "minute", 3600: "hour", 86400: "day", 604800: "week"}
        return names.get(int(usual), "month" if 28 <= usual / 86400 <= 31 else f"{usual:g} seconds")
    for size, name in ((1, "month"), (3, "quarter"), (12, "year")):
        if np.mean(months == size) > 0.95:
            return name
    if np.mean(np.isin(steps, (86400, 3 * 86400))) > 0.9:
        return "working day"
    return None


def _parses(text: str, form: str) -> bool:
    try:
        datetime.strptime(text.strip(), form)
    except ValueError:
        return False
    return True
