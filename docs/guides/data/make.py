"""Writes the data of the guides: made tables with fixed seeds, and data sets that come with scikit-learn.

python docs/guides/data/make.py
"""

import csv
import gzip
import io
import sys
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

Rows = Iterable[Sequence[object]]

PICTURES = 60
"""Pictures of each digit."""


def table(header: str, rows: Rows, delimiter: str = ",") -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(header.split())
    writer.writerows(rows)
    return text.getvalue()


def orders() -> str:
    """3,000 orders of a shop, of which some 6 % are fraud: large ones of new accounts, at night, sent elsewhere."""
    random = np.random.default_rng(1)
    rows = []
    for number in range(3000):
        amount = random.lognormal(4.0, 0.9)
        hour = int(random.normal(15, 5)) % 24
        age = random.exponential(400)
        before = random.poisson(age / 90)
        country, address = random.choice(["DE", "FR", "NL", "PL"], 2, p=[0.5, 0.2, 0.2, 0.1])
        device = random.choice(["phone", "desktop", "tablet"], p=[0.55, 0.35, 0.1])
        night, abroad, new = hour < 6, country != address, age < 40
        score = -6.3 + 0.9 * np.log(amount / 55) + 1.5 * night + 2.2 * new + 2.6 * (abroad and new) + 1.2 * abroad
        score += (1.4 if device == "desktop" else 0) * night - 0.1 * before
        verdict = "fraud" if random.random() < 1 / (1 + np.exp(-1.5 * score - 1.2)) else "genuine"
        rows.append((10000 + number, f"{amount:.2f}", hour, country, address, device, f"{age:.0f}", before, verdict))
    return table("order amount hour country address device account_days orders_before verdict", rows)


def houses() -> str:
    """900 houses of four towns; the price grows with the area, by a rate that depends on the town and the age."""
    random = np.random.default_rng(2)
    towns = {"Altdorf": 2100, "Burgau": 2900, "Celle": 1700, "Dahlem": 4600}
    rows = []
    for _ in range(900):
        town = str(random.choice(list(towns), p=[0.3, 0.3, 0.25, 0.15]))
        area = random.lognormal(4.75, 0.3)
        rooms = max(1, round(area / 27 + random.normal(0, 0.8)))
        built = int(random.choice([random.integers(1890, 1945), random.integers(1946, 2024)], p=[0.25, 0.75]))
        garden = 0 if random.random() < 0.3 else random.lognormal(5.5, 0.6)
        garage = random.random() < 0.55
        age = (2024 - built) / 100
        factor = (1.05 - 0.75 * age + 0.6 * age**2) * (1.08 if garage else 1)
        price = (towns[town] * area**0.97 * factor + 90 * garden) * random.lognormal(0, 0.1)
        shown = "" if random.random() < 0.03 else built  # unknown of some
        rows.append((town, f"{area:.0f}", rooms, shown, f"{garden:.0f}", "yes" if garage else "no", round(price, -2)))
    return table("town area_m2 rooms built garden_m2 garage price", [(*row[:-1], int(row[-1])) for row in rows])


def sentences() -> str:
    """530 messages to a shop's help desk, put together of phrases, with what they are about."""
    random = np.random.default_rng(3)
    things = ["the lamp", "my order", "the blue chair", "the kettle", "both shelves", "the second parcel", "the radio"]
    phrases = {
        "delivery": ["has not arrived", "came a week late", "was left at the wrong door", "is still on its way",
                     "should have been here on Monday", "was sent to my old address", "never left your warehouse"],
        "payment": ["was charged twice", "cost more than the page said", "appears on my bill again",
                    "was paid for in May", "is not on the invoice", "came with a wrong amount on the bill",
                    "was to be free of charge"],
        "quality": ["is broken", "has a scratch", "does not switch on", "smells of glue", "came without screws",
                    "makes a loud noise", "fell apart after a day"],
        "praise": ["is lovely", "arrived early, thank you", "works as it should", "was worth every cent",
                   "is not broken, I was wrong", "looks better than on the page", "came with no scratch at all"],
    }  # fmt: skip
    starts = ["hello,", "I write again:", "sorry to say that", "", "", "as I said on the phone,", "just so you know,"]
    ends = ["please help", "what can I do", "kind regards", "", "", "I paid by card", "it was for my mother"]
    rows = []
    for _ in range(530):
        topic = str(random.choice(list(phrases)))
        parts = [str(random.choice(words)) for words in (starts, things, phrases[topic], ends)]
        other = f"the other one {random.choice(phrases[str(random.choice(list(phrases)))])}"
        match random.integers(3):  # a second remark, on something else
            case 0:
                parts.insert(3, f"and {other}")
            case 1:
                parts[1:1] = [f"{other} but"]
        rows.append((topic, " ".join(filter(None, parts))))
    return table("topic message", rows)


def sales() -> str:
    """Three years of days of an ice cream parlour: a trend, the year, the week, the weather, and noise."""
    random = np.random.default_rng(4)
    rows, weather = [], 0.0
    for day in range(3 * 365):
        when = date(2022, 1, 1) + timedelta(days=day)
        weather = 0.7 * weather + random.normal(0, 2.2)
        temperature = 11 - 9 * np.cos(2 * np.pi * (day - 20) / 365.25) + weather
        weekend = 1.45 if when.weekday() >= 5 else 1.0
        level = (90 + 0.06 * day) * weekend * np.exp(0.045 * (temperature - 11))
        note = "holiday" if (when.month, when.day) in {(1, 1), (5, 1), (10, 3), (12, 25)} else ""
        level *= 0.3 if note else 1
        rows.append((when.isoformat(), f"{temperature:.1f}", note, round(level * random.lognormal(0, 0.08))))
    return table("date temperature note cones", rows)


def bicycles() -> str:
    """Two years of days of a bicycle counter: the year, the week, the weather; days off, and values not sent."""
    random = np.random.default_rng(12)
    off = {*range(141, 147), *range(500, 503), *random.choice(np.arange(20, 700), 12, replace=False).tolist()}
    rows, weather, wet = [], 0.0, False
    for day in range(2 * 366 - 1):
        when = date(2023, 3, 1) + timedelta(days=day)
        weather = 0.75 * weather + random.normal(0, 2)
        wet = random.random() < (0.55 if wet else 0.22)
        temperature = 11 - 9 * np.cos(2 * np.pi * (day + 39) / 365.25) + weather
        level = 1400 * (0.55 if when.weekday() >= 5 else 1) * np.exp(0.035 * (temperature - 11)) * (0.72 if wet else 1)
        count = str(round(level * random.lognormal(0, 0.07)))
        seen, felt = random.random(2) > (0.025, 0.03)
        if day not in off:
            rows.append((when.isoformat(), f"{temperature:.1f}" if felt else "", count if seen else ""))
    return table("date temperature bicycles", rows)


def patients() -> str:
    """70 patients, nine measurements each: what is measured is mostly the patient, and a little the illness."""
    random = np.random.default_rng(5)
    rows = []
    for patient in range(70):
        ill = patient % 2
        person = random.normal([70, 120, 36.6, 14], [8, 12, 0.35, 1.3])
        person += np.array([2.5, 5, 0.1, -0.5]) * ill
        for _ in range(9):
            pulse, pressure, temperature, blood = person + random.normal(0, [1.6, 2.5, 0.06, 0.2])
            values = (f"{pulse:.0f}", f"{pressure:.0f}", f"{temperature:.1f}", f"{blood:.1f}")
            rows.append((f"P{patient:02d}", *values, "ill" if ill else "well"))
    return table(
        "patient pulse pressure temperature haemoglobin state", [rows[i] for i in random.permutation(len(rows))]
    )


def export() -> bytes:
    """A table as an office writes it: Latin-1, ";", 1.234,5, NA, a remark on top, a field too many in a row."""
    random = np.random.default_rng(6)
    rows: list[tuple[object, ...]] = []
    for number in range(300):
        region = str(random.choice(["Köln", "München", "Kiel"], p=[0.4, 0.35, 0.25]))
        visits = int(random.lognormal(6, 0.7))
        rebate = random.random() < 0.4
        revenue = 4.2 * visits * {"Köln": 1.0, "München": 1.4, "Kiel": 0.8}[region] * (0.85 if rebate else 1)
        revenue = revenue * random.lognormal(0, 0.1) + 150
        day = date(2024, 1, 1) + timedelta(days=number)
        shown = "NA" if random.random() < 0.04 else f"{visits:,}".replace(",", ".")
        money = f"{revenue:,.1f}".translate(str.maketrans(",.", ".,"))
        rows.append((f"{number:05d}", day.isoformat(), region, shown, "true" if rebate else "false", money))
    lines = table("nr tag region besucher rabatt umsatz", rows, ";").splitlines()
    lines[142] += ";nachgetragen"
    return "\n".join(["# Export der Filialen", *lines, ""]).encode("latin-1")


def bundled() -> dict[str, str]:
    """Tables of scikit-learn: Fisher's irises, Italian wines, and tumours from Wisconsin."""
    from sklearn import datasets

    def rows(data: Any, columns: Iterable[int], names: Sequence[str]) -> Rows:
        for values, label in zip(data.data, data.target, strict=True):
            yield (*(f"{values[column]:.5g}" for column in columns), names[label])

    iris, wine, cancer = (getattr(datasets, f"load_{name}")() for name in ("iris", "wine", "breast_cancer"))
    wines = (
        "alcohol malic_acid ash alkalinity magnesium phenols flavanoids other_phenols proanthocyanins color hue od280"
    )
    tumours = "radius texture perimeter area smoothness compactness concavity concave_points symmetry fractal_dimension"
    return {
        "iris.csv": table(
            "sepal_length sepal_width petal_length petal_width species", rows(iris, range(4), list(iris.target_names))
        ),
        "wine.csv": table(f"{wines} proline cultivar", rows(wine, range(13), ["A", "B", "C"])),
        "tumours.csv": table(f"{tumours} diagnosis", rows(cancer, range(10), ["malignant", "benign"])),
    }


def digits() -> bytes:
    """Scanned digits of scikit-learn as pictures, in a folder for each digit: a tar file."""
    from PIL import Image
    from sklearn.datasets import load_digits

    data: Any = load_digits()
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for digit in range(10):
            for number, row in enumerate(np.flatnonzero(data.target == digit)[:PICTURES]):
                picture = io.BytesIO()
                pixels = (data.images[row] * 255 / 16).round().astype(np.uint8)
                Image.fromarray(pixels).save(picture, "png", optimize=True)
                entry = tarfile.TarInfo(f"digits/{digit}/{number:02d}.png")
                entry.size = picture.tell()
                picture.seek(0)
                archive.addfile(entry, picture)
    return gzip.compress(raw.getvalue(), 9, mtime=0)


def slips() -> str:
    """270 slips of an ice cream parlour: a scanned digit, the price of a portion, a discount, and what was paid."""
    random = np.random.default_rng(8)
    rows = []
    for scan in random.permutation(9 * PICTURES // 2):
        portions, number = 1 + scan % 9, 1 + 2 * (scan // 9)  # scans of odd numbers, each once
        price, discount = random.uniform(1, 4), random.choice([0, 10, 25], p=[0.6, 0.25, 0.15])
        paid = portions * price * (1 - discount / 100)
        rows.append((f"{portions}/{number:02d}.png", f"{price:.2f}", discount, f"{paid:.2f}"))
    return table("picture price discount paid", rows)


def rides() -> bytes:
    """Rides of rented bicycles in three cities, an hour of a day a row: files of Parquet in a tar."""
    import pyarrow as pa
    from pyarrow import parquet

    random = np.random.default_rng(6)
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for city, size in (("Altdorf", 60), ("Burgau", 25), ("Celle", 110)):
            for month in range(1, 13):
                rows = 70
                hour, day = random.integers(6, 22, rows), np.sort(random.integers(1, 29, rows))
                warmth = 10 - 11 * np.cos(2 * np.pi * month / 12) + 3 * np.cos(2 * np.pi * (hour - 15) / 24)
                temperature = np.round(warmth + random.normal(0, 4, rows), 1)
                rain = random.random(rows) < 0.25
                busy = 1 + 1.2 * np.exp(-((hour - 8) ** 2) / 3) + 1.6 * np.exp(-((hour - 17) ** 2) / 5)
                mean = size * busy * np.exp(0.04 * (temperature - 10) - 0.9 * rain)
                columns = {
                    "day": pa.array([date(2025, month, int(each)) for each in day]), "hour": hour,
                    "temperature": pa.array(temperature, mask=random.random(rows) < 0.03), "rain": rain,
                    "rides": random.poisson(mean),
                }  # fmt: skip
                file = io.BytesIO()
                parquet.write_table(pa.table(columns), file)
                folder = "december" if month == 12 else "rides"
                entry = tarfile.TarInfo(f"{folder}/city={city}/month={month:02d}/part-0.parquet")
                entry.size = file.tell()
                file.seek(0)
                archive.addfile(entry, file)
    return gzip.compress(raw.getvalue(), 9, mtime=0)


def parts() -> dict[str, bytes]:
    """280 parts on a belt: a small picture of each, the distance of the camera, the kind, and the width in mm."""
    from PIL import Image

    random = np.random.default_rng(3)
    across, down = np.meshgrid(np.arange(20), np.arange(20))
    rows, raw = [], io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for number in range(280):
            kind = str(random.choice(["disc", "ring", "square"]))
            distance, pixels = random.uniform(100, 300), random.uniform(5, 15)
            x, y = random.uniform(pixels / 2, 19 - pixels / 2, 2)
            away = abs(across - x), abs(down - y)
            radius = np.maximum(*away) if kind == "square" else np.hypot(*away)
            covered = np.clip(pixels / 2 - radius + 0.5, 0, 1)
            if kind == "ring":
                covered -= np.clip(pixels / 4 - radius + 0.5, 0, 1)
            grey = 40 + 160 * covered + random.normal(0, 7, covered.shape)
            picture = io.BytesIO()
            Image.fromarray((grey / 32).round().astype(np.uint8) * 32).save(picture, "png", optimize=True)
            entry = tarfile.TarInfo(f"parts/{number:03d}.png")
            entry.size = picture.tell()
            picture.seek(0)
            archive.addfile(entry, picture)
            rows.append((f"{number:03d}.png", f"{distance:.0f}", kind, f"{pixels * distance / 100:.1f}"))
    csv_file = table("picture distance kind width", rows).encode()
    return {"parts.csv": csv_file, "parts.tar.gz": gzip.compress(raw.getvalue(), 9, mtime=0)}


def files() -> Mapping[str, bytes]:
    """Return all files by their names."""
    texts = {
        "houses.csv": houses(),
        "messages.csv": sentences(),
        "sales.csv": sales(),
        "patients.csv": patients(),
        "bicycles.csv": bicycles(),
        "slips.csv": slips(),
    }
    return {
        "orders.csv.gz": gzip.compress(orders().encode(), 9, mtime=0),
        **{name: text.encode() for name, text in {**texts, **bundled()}.items()},
        "export.csv": export(),
        "digits.tar.gz": digits(),
        "rides.tar.gz": rides(),
        **parts(),
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, contents in files().items():
        (folder / name).write_bytes(contents)
