"""Selection of runs by expressions over their metrics, flags and settings: `val_accuracy > 0.9 and units == 128`."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from kerascli.foundation.errors import ConfigError, Fault, KerasCliError, Place, show, suggestion
from kerascli.language.expressions import ExpressionError, Value, check, evaluate, names_in, parse
from kerascli.language.expressions.numbers import CONSTANTS
from kerascli.report.tables import RunLine, direction, settings
from kerascli.runs.history import is_metric
from kerascli.runs.record import RunRecord

Listed = tuple[RunRecord, RunLine]

_INDEX = re.compile(r"\[(\d+)\](?=\.)")
"""Pattern of an index within a path of the config; it becomes a part of a name of the same length."""


def select(
    runs: Sequence[Listed], where: str | None, tags: Iterable[str], sort: str | None, limit: int | None
) -> list[Listed]:
    """Return the runs that have all the tags and for which the condition `where` is true, in the order of the values of
    `sort`: the first ones up to a limit, or without an order the last. Raises ConfigError.

    A run that lacks a name of the condition is not selected; one that lacks a name of the order is last.
    """
    is_true = None if where is None else _Expression(where, "--where", runs)
    tagged = [each for each in runs if set(each[1].tags).issuperset(tags)]
    selected = [each for each in tagged if is_true is None or is_true.holds(each)]
    if sort is None:
        return selected[-(limit or 0) :]
    return sorted(selected, key=_Expression(sort, "--sort", runs).key)[:limit]


def best(runs: Sequence[Listed], metric: str) -> RunLine:
    """Return the run with the best value of a metric. Raises ConfigError if it is not known whether lower is better."""
    expression = _Expression(metric, "--best", runs)
    ways = (direction(metric, run.facts().get("directions", {})) for run, line in runs if line.last)
    if (way := next(filter(None, ways), None)) is None:
        raise expression.error("whether lower or higher is better is not known", hint=f"--sort -{metric} --limit 1")
    key = _Expression(metric if way == "min" else f"-{metric}", "--best", runs).key
    if key(found := min(runs, key=key))[0]:
        raise expression.error("no run has a value of this metric")
    return found[1]


def _known(line: RunLine) -> dict[str, Any]:
    """Return the values of a run by name, without its config: the metrics of its best epoch, else its last, and of its
    splits (`test_accuracy`); its flags; what the list shows."""
    values = {"status": line.status, "epochs": line.epochs, "seconds": line.seconds, **line.flags}
    values |= {f"{split}_{name}": value for split, logs in line.results.items() for name, value in logs.items()}
    return values | {name: value for name, value in (line.best or line.last).items() if is_metric(name)}


def _meant(run: RunRecord, name: str) -> dict[str, Any]:
    """Return the settings of a run's config whose path ends with a name, or is it; of a damaged config none.

    A mapping with one key, such as `optimizer: {adam: ...}`, has the value of this key.
    """
    try:
        if name.rpartition(".")[2] not in run.resolved():
            return {}  # parsing takes a hundred times as long
        values = settings(run)
    except KerasCliError:
        return {}
    keys: dict[str, set[str]] = {}
    for path in values:
        while path:
            path, _, key = path.rpartition(".")
            keys.setdefault(path, set()).add(key)
    values |= {path: min(each) for path, each in keys.items() if len(each) == 1}
    named = {path: _INDEX.sub(r"_\1_", path) for path in values}
    exact = [path for path in values if named[path] == name]
    return {path: values[path] for path in exact or values if f".{named[path]}".endswith(f".{name}")}


class _Expression:
    """Expression over the metrics of a run's best epoch and of its splits, its flags, and its config."""

    def __init__(self, text: str, option: str, runs: Sequence[Listed]) -> None:
        """Parse an expression, the value of a command's option. Raises ConfigError if it is faulty, or has a name that
        no run has."""
        self._text, self._option = text, option
        try:
            self._tree = parse(_INDEX.sub(r"_\1_", text))
            check(self._tree)
        except ExpressionError as error:
            raise self.error(error.text, error.column, error.length) from None
        self._names = names_in(self._tree)
        self._known = names = dict.fromkeys(name for _, line in runs for name in _known(line))
        for name, node in self._names.items() if runs else ():
            if not (name in names or name in CONSTANTS or any(_meant(run, name) for run, _ in runs)):
                what = f"no run has a value '{text[node.column - 1 :][: node.length]}'{suggestion(name, names)}"
                hint = f"{', '.join([*names][:12])} ...; or a setting by the end of its path, such as fit.batch_size"
                raise self.error(what, node.column, node.length, hint)

    def value(self, listed: Listed) -> Value:
        """Return the value of the expression for a run; None if the run has no value for one of its names."""
        run, line = listed
        values = _known(line)
        for name, node in self._names.items():
            if name not in self._known and name not in CONSTANTS:
                if len(meant := _meant(run, name)) > 1:
                    paths = ", ".join([*meant][:3]) + (" ..." if len(meant) > 3 else "")
                    text = f"in '{line.run}' this is the name of {len(meant)} settings: {paths}"
                    raise self.error(text, node.column, node.length, "write more of the path")
                values[name] = next(iter(meant.values()), None)
            if values.get(name, CONSTANTS.get(name)) is None:
                return None
        try:
            return evaluate(self._tree, values)
        except ExpressionError as error:
            raise self.error(f"{error.text} (in '{line.run}')", error.column, error.length) from None

    def holds(self, listed: Listed) -> bool:
        """Return True if the value for a run is true. Raises ConfigError if it is no condition."""
        if (value := self.value(listed)) is not None and not isinstance(value, bool):
            raise self.error(f"expected a condition, got {show(value)}", hint="such as val_accuracy > 0.9")
        return bool(value)

    def key(self, listed: Listed) -> tuple[bool, bool, Any]:
        """Return a sort key that puts texts after numbers, and what has no value after both."""
        value = self.value(listed)
        has_order = isinstance(value, int | float | str) and value == value
        return not has_order, isinstance(value, str), value if has_order else 0

    def error(self, text: str, column: int = 1, length: int = 1, hint: str | None = None) -> ConfigError:
        """Return an error of the expression, at a column of its text."""
        return ConfigError(Fault(text, place=Place(self._option, 1, column, self._text, length), hint=hint))
