"""Table of the benchmark of `init`, as Markdown."""

from typing import Any

import numpy as np


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
