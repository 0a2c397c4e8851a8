"""Values of a study's objectives: by epoch, of a trial, and which trials are the best."""

import math
from collections.abc import Iterable, Mapping, Sequence

from kerascli.config.sections.tune import Objective
from kerascli.foundation.errors import FileRefused
from kerascli.runs.history import parse
from kerascli.runs.reading import read_bytes
from kerascli.studies.facts import TrialFacts
from kerascli.studies.folder import Member

Rows = Sequence[Mapping[str, int | float]]
"""Type of the rows of history.csv."""


def rows_of(member: Member) -> Rows:
    """Return the rows of a trial's history.csv, of the last fold that has begun; () if there are none.

    They can be read while it is written.
    """
    path = member.runs[-1].path / "history.csv"
    try:
        return parse(read_bytes(path), path)
    except (OSError, FileRefused):
        return ()


def by_epoch(rows: Rows, objective: Objective, direction: str) -> list[float]:
    """Return the best value of an objective up to each epoch, higher is better; epochs without a value have none."""
    sign, best = (-1.0 if direction == "min" else 1.0), -math.inf
    values: list[float] = []
    for row in rows:
        value = sign * row.get(objective.name, math.nan)
        best = value if value > best else best
        values.append(best)
    return values


def value_of(rows: Rows, objective: Objective, direction: str) -> float | None:
    """Return the value of an objective in its best epoch, or in the last one; None without a finite value."""
    if objective.last:
        value = rows[-1].get(objective.name, math.nan) if rows else math.nan
    else:
        value = (by_epoch(rows, objective, direction) or [math.nan])[-1] * (-1 if direction == "min" else 1)
    return float(value) if math.isfinite(value) else None


def by_fold(member: Member, objective: Objective, direction: str) -> list[float | None]:
    """Return the mean of a trial's objective over the first fold, the first two, and so on; None without a finite one.

    Without folds it is the value of the trial itself.
    """
    values = [value_of(rows_of(run), objective, direction) for run in member.runs]
    means: list[float | None] = []
    for count in range(1, len(values) + 1):
        first = [value for value in values[:count] if value is not None]
        means.append(sum(first) / count if len(first) == count else None)
    return means


def best_trials(trials: Iterable[TrialFacts], directions: Sequence[str]) -> list[TrialFacts]:
    """Return the completed trials that no other one beats: with one objective the first of the best, else the front."""
    done = [each for each in trials if each.status == "completed"]
    signs = [-1.0 if way == "min" else 1.0 for way in directions]
    scores = {each.number: [sign * value for sign, value in zip(signs, each.values, strict=True)] for each in done}
    if len(signs) == 1:
        return sorted(done, key=lambda each: (-scores[each.number][0], each.number))[:1]

    def beats(one: list[float], other: list[float]) -> bool:
        return one != other and all(a >= b for a, b in zip(one, other, strict=True))

    return [each for each in done if not any(beats(score, scores[each.number]) for score in scores.values())]
