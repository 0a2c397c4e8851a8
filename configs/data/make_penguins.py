"""Writes penguins.csv and penguins.db: 400 made-up penguins of three species, with gaps: a table of mixed columns.

    python configs/data/make_penguins.py

The numbers are drawn around round figures for each species; no real bird was measured for them.
"""

import csv
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np

ROWS = 400
SPECIES = {  # share, islands, then mean and standard deviation of the measures
    "Adelie": (0.44, ("Torgersen", "Biscoe", "Dream"), ((39, 2.7), (18.3, 1.2), (190, 6.5), (3700, 450))),
    "Chinstrap": (0.20, ("Dream",), ((49, 3.3), (18.4, 1.1), (196, 7), (3730, 380))),
    "Gentoo": (0.36, ("Biscoe",), ((47.5, 3.1), (15.0, 1.0), (217, 6.5), (5080, 500))),
}
HEADER = (
    "species", "island", "sex", "bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "weight",
)  # fmt: skip


def write_database(path: Path, rows: list[list[str]]) -> None:
    """Write the same rows as two tables of a file of SQLite: birds, and their measures."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as database:
        names = ", ".join(f"{name} real" for name in HEADER[3:])
        database.execute("create table birds (id integer primary key, species text, island text, sex text)")
        database.execute(f"create table measures (bird integer references birds, {names})")
        fields = [[field or None for field in row] for row in rows]
        birds = [(i, *row[:3]) for i, row in enumerate(fields, 1)]
        database.executemany("insert into birds values (?, ?, ?, ?)", birds)
        database.executemany(
            "insert into measures values (?, ?, ?, ?, ?, ?)", [(i, *row[3:]) for i, row in enumerate(fields, 1)]
        )
        database.commit()


def main() -> None:
    random = np.random.default_rng(11)
    names = list(SPECIES)
    rows = []
    for species in random.choice(names, ROWS, p=[SPECIES[name][0] for name in names]):
        _, islands, measures = SPECIES[species]
        bill, depth, flipper, mass = (random.normal(mean, deviation) for mean, deviation in measures)
        sex = str(random.choice(["female", "male"]))
        mass *= 1.07 if sex == "male" else 0.93
        fields = [f"{bill:.1f}", f"{depth:.1f}", f"{flipper:.0f}", f"{mass / 25:.0f}"]
        fields[3] = str(int(fields[3]) * 25)  # scales show steps of 25 g
        gaps = random.random(5) < (0.02, 0.02, 0.02, 0.02, 0.05)
        fields = ["" if gap else field for field, gap in zip(fields, gaps[:4], strict=True)]
        weight = "0.5" if random.random() < 0.1 else "1"  # a doubtful record counts half
        rows.append([str(species), str(random.choice(islands)), "" if gaps[4] else sex, *fields, weight])
    write_database(Path(__file__).parent / "penguins.db", rows)
    with (Path(__file__).parent / "penguins.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(rows)


if __name__ == "__main__":
    main()
