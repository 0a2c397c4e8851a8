"""Dates in the columns of a table: their format, and the parts (month, hour ...) that vary."""

from collections.abc import Sequence

import numpy as np

from kerascli.data.dates import Dates, parsed_times, part_of

_DAYS = ("%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%d-%m-%Y", "%d-%b-%Y", "%d %b %Y", "%b %d %Y", "%b %d, %Y",
         "%d %B %Y", "%B %d, %Y", "%d.%m.%y", "%m/%d/%y", "%d/%m/%y", "%Y%m%d", "%Y.%m.%d")  # fmt: skip


_TIMES = ("", " %H:%M", " %H:%M:%S", "T%H:%M:%S", " %I:%M %p", " %I:%M:%S %p")


def date_format(texts: Sequence[str]) -> str | None:
    """Return the common format of texts that are dates: '' for ISO 8601, else a `strptime` format.

    None if no format fits all texts.
    """
    if not texts or not any(mark.isdigit() for mark in texts[0]) or len(texts[0]) > 40:
        return None
    if Dates.of(np.array(texts, object)) is not None:
        return ""
    forms = (day + time for time in _TIMES for day in _DAYS)
    return next((form for form in forms if _are_dates(texts[:1], form) and _are_dates(texts, form)), None)


def _are_dates(texts: Sequence[str], form: str) -> bool:
    return not np.isnat(parsed_times(texts, form, "s")).any()


def varying_parts(times: np.ndarray) -> tuple[str, ...]:
    """Return those parts (month, weekday, hour, minute) in which times vary, as named in the transform `datetime`."""
    first = times.astype("datetime64[M]").astype("datetime64[D]")
    is_first = len(np.unique(times.astype("datetime64[D]") - first)) == 1
    parts = ("month", *(() if is_first else ("weekday",)), "hour", "minute")  # each day the first: no weekday meant
    return tuple(part for part in parts if len(np.unique(part_of(times, part))) > 1)


def unseen_parts(times: np.ndarray, is_train: np.ndarray, parts: Sequence[str]) -> list[str]:
    """Return those of the date parts `parts` (month, hour ...) that a model cannot learn from the training rows.

    The training rows, which the mask `is_train` selects of `times`, have one value of such a part, or lack a value that
    other rows have.
    """
    values = {part: part_of(times, part) for part in parts}
    seen = {part: np.unique(each[is_train]) for part, each in values.items()}
    return [part for part in parts if len(seen[part]) < 2 or not np.isin(values[part], seen[part]).all()]
