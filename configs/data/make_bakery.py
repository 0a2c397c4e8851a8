"""Writes bakery.csv: three years of loaves sold by a made-up bakery, and bakery_next.csv: four weeks as planned.

    python configs/data/make_bakery.py

The numbers are drawn around a trend, a year, a week, prices and events; no real bakery was counted for them.
"""

import csv
from datetime import date, timedelta
from pathlib import Path

import numpy as np

FIRST, DAYS, PLANNED = date(2023, 1, 1), 1096, 28
WEEK = (0.82, 0.85, 0.90, 0.95, 1.15, 1.40, 0.93)
"""Factor of each weekday, from Monday."""
EVENTS = {"none": (0.90, 1.0), "market": (0.07, 1.35), "holiday": (0.03, 0.45)}
"""Probability and factor of each event."""


def main() -> None:
    random = np.random.default_rng(4)
    names = list(EVENTS)
    price = 3.2
    rows: list[list[str]] = []
    for number in range(DAYS + PLANNED):
        day = FIRST + timedelta(days=number)
        if day.day == 1 and random.random() < 0.4:
            price = round(3.2 + 0.1 * random.integers(-4, 9), 2)
        event = str(random.choice(names, p=[probability for probability, _ in EVENTS.values()]))
        year = 1 + 0.12 * np.cos(2 * np.pi * (day.timetuple().tm_yday - 15) / 365.25)
        mean = 180 * (1 + number / 6000) * year * WEEK[day.weekday()] * EVENTS[event][1] * (price / 3.2) ** -1.2
        rows.append([day.isoformat(), f"{random.normal(mean, 0.05 * mean):.0f}", f"{price:.2f}", event])
    folder = Path(__file__).parent
    _write(folder / "bakery.csv", ["date", "sold", "price", "event"], rows[:DAYS])
    _write(folder / "bakery_next.csv", ["date", "price", "event"], [[row[0], *row[2:]] for row in rows[DAYS:]])


def _write(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    main()
