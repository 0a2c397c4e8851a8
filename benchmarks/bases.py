"""A network that has seen five classes, as a base for the other five: python -m benchmarks.bases [SET ...].

A small convolutional network learns the classes 0 to 4 of a set; the classes 5 to 9 are then learned from 50, 200 and
1,000 labelled pictures: by the same network without the base, with its convolutions, frozen or trained in the second
half of the epochs, and with all of its layers but the last, frozen. All take the same number of steps. Prints the
accuracy on all test pictures of the classes 5 to 9: mean, least and greatest over the seeds; a seed draws the
pictures, the weights of the base and those of the new layers. `fashion_mnist` needs Debian's package dataset-fashion-
mnist, or its files in FOLDER/fashion-mnist with `--packages FOLDER`.
"""

import argparse
import gzip
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from benchmarks.guide_session import Typed, spread
from kerascli.data.datasets.fashion_mnist import PACKAGED
from kerascli.data.datasets.mnist import idx_bytes, parse_idx
from tests.support.guides import Session

Split = tuple[np.ndarray, np.ndarray]
FILES = {"train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
         "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")}  # fmt: skip
EPOCHS = {50: 80, 200: 40, 1000: 20}
"""Pictures with labels -> epochs, half of them for each phase."""
BASE_ROWS = 10_000
FIT = "fit: {{batch_size: {batch}, epochs: {epochs}}}"
FROZEN = "fit: {{batch_size: {batch}, epochs: {epochs}, trainable: {{base: false}}}}"
PHASES = """fit:
  batch_size: {batch}
  phases: [{{epochs: {half}, trainable: {{base: false}}}}, {{epochs: {half}, trainable: {{base: true}}}}]"""
CONVOLUTIONS = """
    - conv_2d: {filters: 16, kernel_size: 3, activation: relu}
    - max_pooling_2d
    - conv_2d: {filters: 32, kernel_size: 3, activation: relu}
    - max_pooling_2d: {name: pool}"""
DENSE = """
    - flatten
    - dense: {units: 64, activation: relu, name: features}"""
CALL = """
    - base"""
CONFIG = """
seed: {seed}
data:
  source: {{npz: {rows}}}
  inputs: {{x: [{{reshape: [28, 28, 1]}}, {{rescaling: $(1/255)}}]}}
  targets: {{y: []}}
model:{shared}
  layers:{layers}
    - dense: {{units: 5, activation: softmax}}
compile: {{loss: sparse_categorical_crossentropy, optimizer: adam, metrics: [accuracy]}}
{fit}
"""
WAYS = {
    "no base": (None, CONVOLUTIONS + DENSE, FIT),
    "`until: pool`, frozen": ("pool", CALL + DENSE, FROZEN),
    "`until: pool`, then trained": ("pool", CALL + DENSE, PHASES),
    "`until: features`, frozen": ("features", CALL, FROZEN),
}
"""Name -> end of the base, layers and section `fit`."""


def mnist() -> Mapping[str, Split]:
    return {split: tuple(parse_idx(idx_bytes(name), name) for name in names) for split, names in FILES.items()}


def fashion_mnist(packages: Path | None) -> Mapping[str, Split]:
    folder = PACKAGED if packages is None else packages / "fashion-mnist"

    def array(name: str) -> np.ndarray:
        return parse_idx(gzip.decompress((folder / f"{name}.gz").read_bytes()), name)

    return {split: tuple(array(name) for name in names) for split, names in FILES.items()}


def drawn(rows: Split, classes: range, count: int | None, random: np.random.Generator) -> Split:
    """Return as many pictures of each class, in a random order, with classes from 0; all with None."""
    each = None if count is None else count // len(classes)
    picked = np.concatenate([random.permutation(np.flatnonzero(rows[1] == label))[:each] for label in classes])
    picked = random.permutation(picked)
    return rows[0][picked], (rows[1][picked] - classes.start).astype(np.int64)


def accuracies(sets: Mapping[str, Split], seed: int, folder: Path) -> Iterator[tuple[str, int, float]]:
    """Yield (way, pictures with labels, accuracy) of a seed; the base's own accuracy as (base, rows, accuracy)."""
    random = np.random.default_rng(seed)
    typed = Typed(Session(folder))

    def trained(name: str, classes: range, rows: int, text: str) -> float:
        x, y = drawn(sets["train"], classes, rows, random)
        x_test, y_test = drawn(sets["test"], classes, None, random)
        np.savez(folder / f"{name}.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        printed = re.search(r"^test .* accuracy (\S+)", typed.kerascli(f"train {name}.yaml -q"), re.M)
        assert printed is not None
        return float(printed[1])

    fit = FIT.format(batch=64, epochs=4)
    text = CONFIG.format(seed=seed, rows="base.npz", shared="", layers=CONVOLUTIONS + DENSE, fit=fit)
    yield "base", BASE_ROWS, trained("base", range(5), BASE_ROWS, text)
    for rows, epochs in EPOCHS.items():
        state = random.bit_generator.state
        for number, (way, (until, layers, fit)) in enumerate(WAYS.items()):
            random.bit_generator.state = state  # the same pictures for each
            name = f"own_{number}_{rows}"
            shared = until and f"\n  shared: {{base: {{run: base, until: {until}}}}}"
            fit = fit.format(batch=16, epochs=epochs, half=epochs // 2)
            text = CONFIG.format(seed=seed, rows=f"{name}.npz", shared=shared or "", layers=layers, fit=fit)
            yield way, rows, trained(name, range(5, 10), rows, text)


def table(name: str, sets: Mapping[str, Split], seeds: int) -> str:
    """Return the accuracies of a set as a table of Markdown."""
    found: dict[tuple[str, int], list[float]] = {}
    for seed in range(1, seeds + 1):
        with tempfile.TemporaryDirectory() as folder:
            for way, rows, value in accuracies(sets, seed, Path(folder)):
                found.setdefault((way, rows), []).append(value)
                print(name, seed, way, rows, f"{value:.4f}", file=sys.stderr, flush=True)
    lines = [f"| {name} | {rows:,} | " + " | ".join(spread(found[way, rows]) for way in WAYS) + " |" for rows in EPOCHS]
    base = f"{name}: the base is right for {spread(found['base', BASE_ROWS])} of its own classes' test pictures"
    return "\n".join([*lines, base])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help="mnist and fashion_mnist; default: both")
    parser.add_argument("--packages", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    print(f"| set | pictures | {' | '.join(WAYS)} |\n|---|---:|{'---|' * len(WAYS)}")
    for name in options.sets or ("mnist", "fashion_mnist"):
        began = time.monotonic()
        sets = mnist() if name == "mnist" else fashion_mnist(options.packages)
        print(f"{table(name, sets, options.seeds)} ({time.monotonic() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
