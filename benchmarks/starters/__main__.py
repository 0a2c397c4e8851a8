"""Scores of init's configs beside scikit-learn: python -m benchmarks.starters [--only NAME...] [--write PAGE].

Each set is written as a user would have it; `init --from` writes a config, which is trained unchanged with five seeds
(`--seed`, which also draws the split). scikit-learn's models learn from the same training and validation rows.
"""

import argparse
import csv
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import CliRunner

from benchmarks.starters.peers import peers
from benchmarks.starters.sets import SETS, DataSet, Missing
from kerascli.cli.commands import app
from kerascli.config.data import load_config_data
from kerascli.config.load import open_config

HEADING = "## What these configs reach\n"
"""Heading of the last section of the page, which is replaced."""
INTRODUCTION = """
`python -m benchmarks.starters` writes this section. Each set is written as a user would have it, `init --from` writes a
config, and `train` trains it unchanged, with five seeds, which also draw the split. scikit-learn's models have their
default settings, inputs scaled for linear models and MLPs, and learn from training and validation rows together;
init's config learns from the training rows alone, and stops by the others. Means over the seeds, with standard
errors. A tie: the mean difference to the best of scikit-learn's models, chosen by these very rows, is within its
standard error.
"""
PACKAGES = Path(__file__).parent / "packages"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=list(SETS), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--packages", type=Path, default=PACKAGES, help="folder of unpacked PyPI and npm packages")
    parser.add_argument("--write", type=Path, help="Markdown page whose table is replaced")
    chosen = parser.parse_args()
    found: dict[str, Any] = {}
    for name in chosen.only:
        try:
            found[name] = measure(name, SETS[name], chosen.seeds, chosen.packages.resolve())
        except Missing as missing:
            print(f"{name}: left out: {missing}", file=sys.stderr)
            continue
        print(name, {key: round(float(np.mean(each)), 4) for key, each in found[name]["scores"].items()}, flush=True)
    text = table({name: found[name] for name in SETS if name in found})
    print(text)
    if chosen.write:
        before = chosen.write.read_text(encoding="utf-8").partition(HEADING)[0]
        chosen.write.write_text(f"{before}{HEADING}{INTRODUCTION}\n{text}", encoding="utf-8")


def measure(name: str, which: DataSet, seeds: int, packages: Path) -> dict[str, Any]:
    """Train init's config and scikit-learn's models with each seed; return their scores on the test rows."""
    folder = Path(tempfile.mkdtemp(prefix=f"starters-{name}-"))
    try:
        path = which.write(folder, packages)
        config = folder / "config.yaml"
        run("init", str(config), "--from", str(path), *(["--target", which.target] if which.target else []))
        scores: dict[str, list[float]] = {}
        rows = (0, 0)
        for seed in range(seeds):
            train, test, classes = _rows(config, which, seed)
            rows = (len(train[1]), len(test[1]))
            run("train", str(config), "--seed", str(seed), "--quiet", "--runs-dir", str(folder / "runs"))
            out = folder / "out.csv"
            written = ("-o", str(out), "--runs-dir", str(folder / "runs"), *(["--classes"] * classes))
            run("predict", "latest", "test", *written)
            said = _predicted(out)
            out.unlink()
            scores.setdefault("init", []).append(_score(np.array(said) if classes else np.array(said, float), test[1]))
            for peer, model in peers(which.kind, seed, classes=classes).items():
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    scores.setdefault(peer, []).append(_score(model.fit(*train).predict(test[0]), test[1]))
        return {"kind": which.kind, "origin": which.origin, "classes": classes, "rows": rows, "scores": scores}
    finally:
        shutil.rmtree(folder)


def _predicted(path: Path) -> list[str]:
    """Return the first column of a table of predictions behind the names of files, which a split of files has."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        column = next(name for name in rows.fieldnames or () if name != "file")
        return [row[column] for row in rows]


def run(*arguments: str) -> None:
    """Run a command of kerascli in this process; it ends if the command fails."""
    result = CliRunner().invoke(app, list(arguments))
    if result.exit_code:
        raise SystemExit(f"kerascli {' '.join(arguments)}: {result.output}\n{result.stderr}\n{result.exception!r}")


def _rows(config: Path, which: DataSet, seed: int) -> tuple[tuple[Any, Any], tuple[Any, Any], bool]:
    """Return features and targets of the training rows (with those that validate), then of the test rows."""
    opened = open_config(config, sets=[f"seed={seed}"])
    data = load_config_data(opened)
    assert opened.data is not None
    ((name, pipeline),) = opened.data.targets.items()
    classes = data.facts.targets[name].classes is not None
    parts: dict[str, tuple[list[Any], list[Any]]] = {}
    for split in ("train", "validation", "test"):
        labels = data.tables[split].array(pipeline.columns[0])
        if (classes and which.kind == "pictures") or ("label" in data.facts.targets and which.kind == "texts"):
            names = data.facts.targets[name].classes or ()
            labels = np.array([names[label] for label in labels.tolist()]) if labels.dtype != object else labels
        x = _features(opened, data, which, split)
        found = parts.setdefault("test" if split == "test" else "train", ([], []))
        found[0].append(x)
        found[1].append(labels.astype(str) if classes else labels)
    train, test = ((np.concatenate(x), np.concatenate(y)) for x, y in (parts["train"], parts["test"]))
    return train, test, classes


def _features(opened: Any, data: Any, which: DataSet, split: str) -> np.ndarray:
    """Return what a model sees of a split: features as the config makes them; pixels and texts as they are."""
    import torch

    from kerascli.data.batches.loader import BatchSource

    table = data.tables[split]
    if which.kind == "texts":
        return table.array(next(iter(opened.data.inputs.values())).columns[0])
    if which.kind == "pictures":
        return table.array("image").reshape(table.rows, -1) / 255
    rows = data.splits[split]
    batch = next(BatchSource(rows, rows.rows, torch.device("cpu")).epoch(0))
    inputs = {**batch.inputs, **data.input_stage(batch.inputs)}
    return np.concatenate([inputs[name].numpy().reshape(rows.rows, -1) for name in opened.data.inputs], axis=1)


def _score(said: np.ndarray, true: np.ndarray) -> float:
    """Return accuracy for classes, the coefficient of determination (R²) for numbers."""
    if true.dtype.kind in "US" or true.dtype == object:
        return float(np.mean(said.astype(str) == true.astype(str)))
    true = true.astype(float)
    return float(1 - np.square(said - true).sum() / np.square(true - true.mean()).sum())


def verdict(ours: list[float], best: list[float]) -> str:
    """Return win, tie or loss: the mean difference over the seeds beside its standard error."""
    change = np.array(ours) - np.array(best)
    error = change.std(ddof=1) / np.sqrt(len(change)) if len(change) > 1 else 0.0
    if abs(change.mean()) <= error + 1e-12:
        return "tie"
    return "win" if change.mean() > 0 else "loss"


def table(found: dict[str, Any]) -> str:
    """Return the scores of all sets, init's and those of scikit-learn's models, the best of which is compared."""
    lines = ["| data | rows | score | init | scikit-learn, best | others | |", "|---|---:|---|---:|---:|---|---|"]
    verdicts: list[str] = []
    for name, each in found.items():
        scores = dict(each["scores"])
        ours = scores.pop("init")
        ranked = sorted(scores, key=lambda peer: -np.mean(scores[peer]))
        best = scores[ranked[0]] if ranked else ours
        verdicts.append(verdict(ours, best))
        others = ", ".join(f"{peer} {np.mean(scores[peer]):.3f}" for peer in ranked[1:])
        first = f"{ranked[0]} {_mean(best)}" if ranked else ""
        score = "accuracy" if each["classes"] else "R²"
        rows = f"{each['rows'][0]:,} + {each['rows'][1]:,}"
        lines.append(
            f"| `{name}` ({each['kind']}) | {rows} | {score} | {_mean(ours)} | {first} | {others} | {verdicts[-1]} |"
        )
    counts = ", ".join(f"{verdicts.count(word)} {plural}" for word, plural in
                       (("win", "wins"), ("tie", "ties"), ("loss", "losses")))  # fmt: skip
    return "\n".join([*lines, "", f"Beside the best of scikit-learn's: {counts}."]) + "\n"


def _mean(scores: list[float]) -> str:
    error = np.std(scores, ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else 0.0
    return f"{np.mean(scores):.3f} ± {error:.3f}"


if __name__ == "__main__":
    main()
