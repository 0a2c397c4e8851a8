"""What plain methods make of the data of the examples: python -m benchmarks.yardsticks

configs/README.md holds against these what Keras's examples state no result of.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, LogisticRegression

from kerascli.config.data import load_config_data
from kerascli.config.load import open_config
from kerascli.data.batches.loader import BatchSource

CONFIGS = Path(__file__).parent.parent / "configs"

Columns = dict[str, np.ndarray]
Finding = tuple[str, str]
"""A figure and what it is of."""


def main() -> None:
    for findings in (of_digits(), of_pictures("mnist"), of_pictures("fashion_mnist"), of_penguins()):
        for figure, meaning in findings:
            print(f"{figure:>8}  {meaning}", flush=True)


def of_digits() -> Iterator[Finding]:
    """Of the 10,000 test digits; learned is from the 60,000 others."""
    (x, y), (given, wanted) = _pictures("mnist")
    yield _percent(LogisticRegression(max_iter=300).fit(x, y).score(given, wanted)), "mnist: named by a linear model"


def of_pictures(source: str) -> Iterator[Finding]:
    """Of 10,000 test digits, or clothes; learned is from the 60,000 others. Pixels go from 0 to 1."""
    (x, y), (given, wanted) = _pictures(source)
    mean, means, plane = x.mean(0), np.stack([x[y == kind].mean(0) for kind in range(10)]), PCA(2).fit(x)
    yield f"{nats(given, mean):.1f}", f"{source}, nats a picture: the mean of all"
    named = nats(given, means[wanted]) + math.log(10)
    yield f"{named:.1f}", f"{source}, nats a picture: the mean of its class, with 2.3 to name it"
    yield f"{nats(given, given):.1f}", f"{source}, nats a picture: itself, as its pixels are grey"
    yield f"{np.square(given - mean).mean():.4f}", f"{source}, mean square of a pixel: the mean of all"
    yield f"{np.square(given - means[wanted]).mean():.4f}", f"{source}, mean square of a pixel: the mean of its class"
    error = np.square(given - plane.inverse_transform(plane.transform(given))).mean()
    yield f"{error:.4f}", f"{source}, mean square of a pixel: two principal components"


def of_penguins() -> Iterator[Finding]:
    """Of the test rows of configs/penguins.yaml, and of configs/two_inputs.yaml, which knows no weights."""
    (x, y), (given, wanted) = ((_beside(split), split["species"]) for split in read("penguins.yaml"))
    yield _percent(np.mean(wanted == np.bincount(y).argmax())), "penguins that are of the most frequent species"
    yield _percent(LogisticRegression().fit(x, y).score(given, wanted)), "penguins named by a linear model"
    (x, y, mass), (given, wanted, weighed) = (
        (_beside(split), split["species"].argmax(1), split["mass"]) for split in read("two_inputs.yaml")
    )
    known = LogisticRegression().fit(x, y).score(given, wanted)
    yield _percent(known), "penguins named by a linear model, without their mass"
    yield f"{np.abs(weighed - mass.mean()).mean():.3f}", "kg: mean error of the mean mass"
    error = weighed - LinearRegression().fit(x, mass).predict(given)
    yield f"{np.abs(error).mean():.3f}", "kg: mean error of a linear model's mass"


def _pictures(source: str) -> list[tuple[np.ndarray, np.ndarray]]:
    splits = read("mnist_mlp.yaml", f"data.source={source}", "fit.validation_split=0")
    return [(split["x"], split["y"].argmax(1)) for split in splits]


def _beside(split: Columns) -> np.ndarray:
    """Measures and island of each penguin in one row; an island is a vector or a number."""
    island = split["island"]
    return np.column_stack([split["measures"], np.eye(4)[island] if island.ndim == 1 else island])


def read(config: str, *sets: str) -> tuple[Columns, Columns]:
    """Inputs and targets of the training and the test rows, as the model gets them."""
    data = load_config_data(open_config(CONFIGS / config, sets=sets))

    def columns(name: str) -> Columns:
        split = data.splits[name]
        batch = next(BatchSource(split, split.rows, torch.device("cpu")).epoch(0))
        values = {**data.input_stage(batch.inputs), **data.target_stage(batch.targets)}
        return {name: value.numpy() for name, value in values.items()}

    return columns("train"), columns("test")


def nats(pictures: np.ndarray, shown: np.ndarray) -> float:
    """Binary crossentropy, summed over the pixels; `shown` keeps Keras's distance of 1e-7 from 0 and 1."""
    p = np.clip(shown, 1e-7, 1 - 1e-7)
    return float(-(pictures * np.log(p) + (1 - pictures) * np.log(1 - p)).sum(1).mean())


def _percent(part: float) -> str:
    return f"{100 * part:.1f} %"


if __name__ == "__main__":
    main()
