"""A guide that was typed: its runs, their rows and results."""

import csv
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.support.guides import Session

SEEDS = range(1, 6)


@dataclass
class Typed:
    """A guide that was typed, with its runs."""

    session: Session

    def kerascli(self, command: str) -> str:
        printed = self.session.type(f"kerascli {command}")
        if self.session.code:
            sys.exit(printed)
        return printed

    def rows(self, run: str, split: str, columns: str) -> dict[str, np.ndarray]:
        """Return raw columns of a split: numbers where all are, with nan for gaps."""
        keep = " ".join(f"--keep {name}" for name in columns.split())
        self.kerascli(f"predict {run} {split} {keep} -o rows.csv")
        with (self.session.folder / "rows.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {name: _numbers([row[name] for row in rows]) for name in columns.split()}

    def fit_rows(self, run: str, columns: str) -> dict[str, np.ndarray]:
        """Return those of the training and validation rows together: the peers have no use for the latter."""
        parts = [self.rows(run, "train", columns)]
        if "validation" in self.splits(run):
            parts.append(self.rows(run, "validation", columns))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def splits(self, run: str) -> list[str]:
        path = self.session.folder / run_path(self, run) / "resolved.yaml"
        return re.findall(r"^    (validation|test): 0?\.[0-9]*[1-9]", path.read_text(encoding="utf-8"), re.M)

    def over_seeds(self, command: str, metric: str) -> str:
        """Return mean, least and greatest value of a metric of `evaluate` over the seeds."""
        found = []
        for seed in SEEDS:
            self.kerascli(f"train {command} -q --seed {seed} --name seeds")
            result = json.loads(self.kerascli("evaluate latest test --json").partition("{")[2].join(["{", ""]))
            found.append(_metric(result, metric))
        return spread(found)

    def value(self, run: str, metric: str, split: str = "test") -> str:
        """Return a metric of a run on a split."""
        result = json.loads(self.kerascli(f"evaluate {run} {split} --json").partition("{")[2].join(["{", ""]))
        return shown(_metric(result, metric))


def run_path(typed: Typed, run: str) -> str:
    runs = sorted(path.name for path in (typed.session.folder / "runs").iterdir() if path.name.endswith(f"-{run}"))
    return f"runs/{runs[-1]}"


def _numbers(words: Sequence[str]) -> np.ndarray:
    try:
        return np.array([float(word) if word else np.nan for word in words])
    except ValueError:
        return np.array(words, dtype=object)


def _metric(result: dict[str, Any], metric: str) -> float:
    """Return a metric: of the results, `units:` of those in units, `thresholds:` of the curves."""
    kind, _, name = metric.rpartition(":")
    part = {"": result["results"], "units": result["in_units"], "thresholds": result["thresholds"]}[kind]
    return part[name] if kind == "" else next(iter(part.values()))[name]


def shown(value: float) -> str:
    """Return a result as the tables have it: three places of a share, no places of a large amount."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:,.0f}"


def spread(values: Sequence[float]) -> str:
    """Return the mean of values, the least and the greatest."""
    return f"{shown(float(np.mean(values)))} ({shown(min(values))} to {shown(max(values))})"
