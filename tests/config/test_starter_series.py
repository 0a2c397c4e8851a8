"""Tables that are a series for init, with gaps, and tables that only look so."""

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import pytest

from kerascli.config.data import load_config_data
from kerascli.config.load import open_config
from kerascli.config.starter.start import start_from

SHOPS = ("north", "south", "airport")
DAYS = np.arange(np.datetime64("2025-01-01"), np.datetime64("2025-03-22"))


def shops(day: int, shop: str) -> str:
    return f"{DAYS[day]},{shop},{'city' if shop != 'airport' else 'land'},{day % 9},{SHOPS.index(shop) + day % 7}"


def write(path: Path, header: str, lines: list[str]) -> Path:
    path.write_text("\n".join([header, *lines, ""]), encoding="utf-8")
    return path


def by_date(row: Callable[[int, str], str] = shops) -> list[str]:
    return [row(day, shop) for day in range(len(DAYS)) for shop in SHOPS]


def test_a_time_that_does_not_grow_is_a_column_as_others(tmp_path: Path) -> None:
    rows = [f"{row % 24},{row},{row % 24 + row % 7}" for row in range(480)]
    draft = start_from(write(tmp_path / "s.csv", "hour,t,level", rows), "s.csv")
    assert draft.sections["data"]["split"]["order"] == "t_next"
    assert "timeseries" in draft.sections["data"]["source"]


def transactions() -> list[str]:
    random = np.random.default_rng(0)
    days = np.sort(random.integers(0, len(DAYS), 900))
    return [f"{DAYS[day]},C{random.integers(20):02d},{random.exponential(20):.2f}" for day in days]


NO_SERIES = {
    "transactions of customers": ("date,customer,amount", transactions()),
    "two columns tell the series apart": (
        "date,shop,item,sold",
        [f"{day},{shop},{item},{n % 7}" for n, day in enumerate(DAYS) for shop in "ab" for item in "xy"],
    ),
    "words vary": ("date,shop,weather,sold", by_date(lambda n, shop: f"{DAYS[n]},{shop},{'sr'[n % 2]},{n % 7}")),
    "no time repeats": ("date,kind,sold", [f"{day},{'uv'[n % 2]},{n % 7}" for n, day in enumerate(DAYS)]),
    "several series": ("date,shop,place,visitors,sales", by_date()),
    "remarks on some days": (
        "date,remark,visitors",
        [f"{day},{f'storm {n}' if n % 3 == 0 else ''},{n % 7}" for n, day in enumerate(DAYS)],
    ),
}


@pytest.mark.parametrize(("header", "rows"), NO_SERIES.values(), ids=NO_SERIES)
def test_other_tables_with_dates_and_identifiers_are_no_series(header: str, rows: list[str], tmp_path: Path) -> None:
    source = start_from(write(tmp_path / "t.csv", header, rows), "t.csv").sections["data"]["source"]
    assert list(source) == ["csv"]


def test_an_empty_column_is_left_out(tmp_path: Path) -> None:
    days = [f"{DAYS[row]},{row % 7}," for row in range(80)]
    draft = start_from(write(tmp_path / "s.csv", "day,visitors,remark", days), "s.csv")
    assert [*draft.sections["data"]["targets"]] == ["visitors_next"]
    assert "left out: remark (no value)" in draft.reasons()


def test_texts_in_all_rows_make_no_series(tmp_path: Path) -> None:
    days = [f"{DAYS[row]},what was seen on day {row},{row % 7}" for row in range(80)]
    draft = start_from(write(tmp_path / "s.csv", "day,seen,visitors", days), "s.csv")
    assert "timeseries" not in draft.sections["data"]["source"]


def gapped(no_rows: Collection[int], no_sales: Collection[int], no_visitors: Collection[int] = ()) -> list[str]:
    return [
        f"{day},{'' if row in no_visitors else row % 9},{'' if row in no_sales else row % 7}"
        for row, day in enumerate(DAYS)
        if row not in no_rows
    ]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (gapped({9, 30, 31}, ()), "3 dates without a row: filled by the value before"),
        (gapped((), {20}), "1 missing value of 'sales': filled by the value before"),
        (
            gapped(set(range(1, 79, 3)), {12, 15}, {21}),  # a third of all days
            "26 dates without a row, 2 missing values of 'sales', 1 missing value of 'visitors': filled",
        ),
        (gapped((), ()), None),
    ],
)
def test_gaps_of_a_series_are_filled_by_the_value_before(lines: list[str], said: str | None, tmp_path: Path) -> None:
    draft = start_from(write(tmp_path / "s.csv", "day,visitors,sales", lines), "s.csv")
    windows = draft.sections["data"]["source"]["timeseries"]
    assert windows.get("fill") == (None if said is None else "forward")
    assert (said or "one row a day") in "\n".join(draft.reasons())
    assert "start_index" not in windows
    (tmp_path / "config.yaml").write_text(draft.text("config.yaml"), encoding="utf-8")
    splits = load_config_data(open_config(tmp_path / "config.yaml")).splits
    assert sum(split.rows for split in splits.values()) == len(DAYS) - windows["sequence_length"]


def test_a_series_begins_with_the_first_value_of_the_target(tmp_path: Path) -> None:
    draft = start_from(write(tmp_path / "s.csv", "day,visitors,sales", gapped((), {0, 1, 2, 40})), "s.csv")
    windows = draft.sections["data"]["source"]["timeseries"]
    assert (windows["fill"], windows["start_index"]) == ("forward", 3)
    assert "begins after 3 rows, before which 'sales' has no value" in "\n".join(draft.reasons())
    (tmp_path / "config.yaml").write_text(draft.text("config.yaml"), encoding="utf-8")
    splits = load_config_data(open_config(tmp_path / "config.yaml")).splits
    assert sum(split.rows for split in splits.values()) == len(DAYS) - 3 - windows["sequence_length"]
