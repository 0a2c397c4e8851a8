"""Features of dates beside Python's own calendar."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from kerascli.component import Invalid
from kerascli.data.base import NOTHING_LEARNED, TRANSFORMS, Field
from kerascli.data.storage.table import BadRow

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
    found = step.apply(values, TEXT, NOTHING_LEARNED, target=False)
    assert found.shape[1:] == step.infer(TEXT, None, target=False).shape
    assert found.dtype == np.float32
    return found


@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%SZ", "%d.%m.%Y %H:%M:%S"])
def test_parts_are_those_of_python(form: str) -> None:
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
