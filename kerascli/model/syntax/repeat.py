"""Read `repeat` items of `layers`: layers that are added a number of times, or once for each value of a list."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kerascli.foundation.errors import Path, show
from kerascli.language.expressions import Value
from kerascli.language.section import key_names, keys_of, unknown_keys
from kerascli.model.syntax.reader import Reading
from kerascli.model.syntax.schema import RepeatEach, RepeatTimes

Read = Callable[[Reading, list[Any], Path], None]
"""Type of a function that reads a list of layers at a config path, and adds them to the model being read."""

_KEYS = (*key_names(RepeatTimes)[:-1], *key_names(RepeatEach))
"""Keys of a `repeat` (with `times` or with `each`) for error messages; `layers`, which both forms have, comes last."""


def read_repeat(reading: Reading, arguments: Any, entry: Path, read: Read) -> None:
    """Add the layers of a `repeat` to the model, once for each repetition."""
    path = (*entry, "repeat")
    before = len(reading.faults.found)
    rounds = _rounds(reading, arguments, path)
    if len(reading.faults.found) > before:
        reading.names.mark_broken(["?"])
        reading.names.previous = "?"
        return
    for values in rounds:
        with variables(reading, values), reading.names.inside(sees_outside=True):
            reading.budget.spend(1, path, reading.faults)
            read(reading, arguments["layers"], (*path, "layers"))


def _rounds(reading: Reading, arguments: Any, path: Path) -> list[dict[str, Value]]:
    """Return a list of the variables (name -> value) in each repetition of a `repeat`; it is empty after a config
    error."""
    add = reading.faults.add
    if not isinstance(arguments, dict) or not isinstance(arguments.get("layers"), list) or not arguments["layers"]:
        hint = "repeat: {times: 3, layers: [...]}"
        add("repeat needs 'layers', a list of layers", path, at="key", hint=hint)
        return []
    reading.faults.take(unknown_keys(arguments, _KEYS, "repeat", reading.place(path), listed="repeat has"))
    counted, each = keys_of(RepeatTimes, arguments), keys_of(RepeatEach, arguments)
    if counted.has("times") == each.has("each"):
        add("repeat needs either 'times' or 'each'", path, at="key", hint="repeat: {times: 3, layers: [...]}")
        return []
    if counted.has("times"):
        name, variable, other, of = counted.index, "index", "as", "each"
    else:
        name, variable, other, of = each.as_, "as", "index", "times"
    if other in arguments:
        add(f"repeat: '{other}' goes with '{of}'", (*path, other), at="key")
    if name is not None and not (isinstance(name, str) and name.isidentifier()):
        add(f"repeat: {variable}: expected a name, got {show(name)}", (*path, variable))
    if name is None and not counted.has("times"):
        add("repeat: 'each' needs 'as', the name of its variable", path, at="key")
    values = _counted(reading, counted.times, path) if counted.has("times") else _listed(reading, each.each, path)
    return [{name: value} if isinstance(name, str) else {} for value in values]


def _listed(reading: Reading, each: Any, path: Path) -> list[Value]:
    if isinstance(each, list):
        return each
    reading.faults.add(f"repeat: each: expected a list of values, got {show(each)}", (*path, "each"))
    return []


def _counted(reading: Reading, times: Any, path: Path) -> list[Value]:
    if type(times) is not int or times < 0:
        reading.faults.add(f"repeat: times: expected an integer of at least 0, got {show(times)}", (*path, "times"))
        return []
    reading.budget.check(times, (*path, "times"), reading.faults)
    return list(range(times))


@contextmanager
def variables(reading: Reading, values: Mapping[str, Value]) -> Iterator[None]:
    """Context manager in which `$` references may also refer to `values`, the variables of the repeat or block of
    layers being read."""
    before = reading.variables
    reading.variables = {**before, **values}
    try:
        yield
    finally:
        reading.variables = before
