"""Run all advice checks, which warn of configs that are valid but probably wrong, for all training phases of a
config."""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from functools import cache

from kerascli.config.sections.phases import in_each
from kerascli.config.yaml.document import Faulty
from kerascli.foundation.errors import Fault
from kerascli.foundation.events import Note
from kerascli.workflow.advice import checks
from kerascli.workflow.advice.case import Case

Check = Callable[[Case], Iterator[Fault]]


def advise(cases: Iterable[Case]) -> list[Fault]:
    """Return the warnings of all advice checks for a config's training phases (`cases`), without duplicates, by
    line."""
    try:
        in_each(cases, _raise_found)
    except Faulty as found:
        return list(found.everything)
    return []


def _raise_found(case: Case) -> None:
    if faults := [fault for check in _checks() for fault in check(case)]:
        raise case.config.error(faults)


def notes(faults: Iterable[Fault]) -> Iterator[Note]:
    """Yield a `Note` event for each warning about a config, to be printed."""
    for fault in faults:
        _, *below = fault.lines()
        yield Note(fault.text, "warning", str(fault.place or ""), tuple(below))


@cache
def _checks() -> tuple[Check, ...]:
    names = sorted(module.name for module in pkgutil.iter_modules(checks.__path__))
    return tuple(importlib.import_module(f"{checks.__name__}.{name}").check for name in names)
